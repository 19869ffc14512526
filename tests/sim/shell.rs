//! What a shell does for its connector, here with the simulated network in place of sockets.

use std::time::Duration;

use aioconnectors::core::{Cause, Event, Id, Output, Reading};
use aioconnectors::wire::control::NewCertificate;

use crate::model::Place;
use crate::network::{Connection, Owner, Purpose};
use crate::world::World;

/// Most bytes that a shell reads or writes at once.
const PIECE: usize = 256 * 1024;

impl World {
    /// Does what a connector says; `current` is the connection that it was just busy with.
    pub fn outputs(&mut self, node: usize, current: Option<usize>) {
        while let Some(output) = self.nodes[node].core.poll_output() {
            match output {
                Output::Dial(id) => self.dial(node, id),
                Output::DialApp(id, message_type) => self.dial_app(node, id, &message_type),
                Output::Issue(id, name) => self.issue(node, id, &name),
                Output::Store(id, _) => {
                    self.nodes[node].certificate = true;
                    self.nodes[node].core.certificate_stored(id, Ok(()), self.now);
                }
                Output::Write(id) => self.nodes[node].to_write.push(id),
                Output::Resume(id) => self.resume(node, id),
                Output::Close(id) => {
                    if let Some(&number) = self.nodes[node].ends.get(&id)
                        && let Some(side) = self.side_of(number, node, id)
                    {
                        self.let_go(number, side);
                    }
                }
                Output::Tell(event) => self.tell(node, &event, current),
                Output::Stopped => self.bury(node),
            }
        }
    }

    fn side_of(&self, number: usize, node: usize, id: Id) -> Option<usize> {
        let connection = self.connections.get(&number)?;
        (0..2).find(|side| connection.sides[*side].owner == Owner::Core(node, id))
    }

    fn tell(&mut self, node: usize, event: &Event, current: Option<usize>) {
        self.say(&format_args!("{}: {event}", self.nodes[node].id));
        self.nodes[node].hear(event);
        if let (Event::PeerUp { .. }, Some(current)) = (event, current) {
            self.identified(node, current);
        }
    }

    /// A link is up: earlier ones of the same client are not looked at any more.
    fn identified(&mut self, node: usize, current: usize) {
        let purpose = self.connections[&current].purpose;
        for (number, connection) in &mut self.connections {
            let is_this = |o: Owner| matches!(o, Owner::Core(n, _) if n == node);
            let Some(side) = connection.sides.iter_mut().find(|s| is_this(s.owner)) else { continue };
            if *number == current {
                side.identified = true;
            } else if connection.purpose == purpose && side.identified {
                side.discarding = true;
            }
        }
    }

    fn issue(&mut self, node: usize, id: Id, name: &str) {
        let made = NewCertificate { certificate_pem: format!("certificate of {name}"), key_pem: "key".into() };
        let refused = !self.fair_weather && self.rng.u8(..8) == 0;
        let result = if refused { Err("no room for more".into()) } else { Ok(made) };
        self.nodes[node].core.certificate_issued(id, name, result, self.now);
    }

    fn dial_app(&mut self, node: usize, id: Id, message_type: &str) {
        let receiver = self.receivers.iter().position(|r| r.node == node && r.message_type == message_type);
        let receiver = receiver.unwrap_or_else(|| panic!("no app has ever listened for {message_type}"));
        let busy = !self.fair_weather && self.rng.u8(..16) == 0;
        if busy || !self.receivers[receiver].listens {
            let cause = if busy { Cause::Busy } else { Cause::NoListener };
            return self.nodes[node].core.closed(id, cause, self.now);
        }
        self.connect(Purpose::Receive, [Owner::Core(node, id), Owner::Receiver(receiver)]);
        self.nodes[node].core.opened(id, None, self.now);
    }

    fn resume(&mut self, node: usize, id: Id) {
        let Some(&number) = self.nodes[node].ends.get(&id) else { return };
        let Some(side) = self.side_of(number, node, id) else { return };
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.sides[side].paused = false;
            connection.sides[side].unsure.clear();
        }
    }

    /// One side of a connection reads what has come, or the end.
    pub fn read(&mut self, number: usize, side: usize) -> bool {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&number) else { return false };
        let pipe = &mut connection.pipes[1 - side];
        pipe.arrive(now);
        let (readable, at_end) = (pipe.is_readable(), pipe.is_at_end());
        let (owner, paused) = (connection.sides[side].owner, connection.sides[side].paused);
        let purpose = connection.purpose;
        if !readable && !at_end {
            return false;
        }
        match owner {
            Owner::Core(node, _) if self.nodes[node].stopping && purpose != Purpose::Send => return false,
            Owner::Core(..) if paused => return false,
            Owner::Core(node, id) if readable => self.read_core(number, side, node, id),
            Owner::Core(node, id) => {
                self.nodes[node].core.closed(id, Cause::ClosedByPeer, now);
                self.outputs(node, Some(number));
            }
            Owner::Receiver(app) if !self.receivers[app].reads(now) => return false,
            Owner::Receiver(_) if self.is_behind(number, owner) => return false,
            Owner::Receiver(app) if readable => self.read_receiver(number, side, app),
            Owner::Sender(app) if readable => self.read_sender(number, side, app),
            Owner::Receiver(_) | Owner::Sender(_) | Owner::Stranger => self.let_go(number, side),
            Owner::Nobody => return false,
        }
        true
    }

    /// An app that receives reads one connection to its end before the next.
    fn is_behind(&self, number: usize, owner: Owner) -> bool {
        self.connections.range(..number).any(|(_, earlier)| earlier.sides[1].owner == owner)
    }

    /// Takes a random amount of what has come, and lets the writer know that there is room.
    pub fn take(&mut self, number: usize, side: usize) -> Vec<u8> {
        let most = if self.rng.bool() { PIECE } else { self.rng.usize(1..5000) };
        let Some(connection) = self.connections.get_mut(&number) else { return Vec::new() };
        let bytes = connection.pipes[1 - side].read(most);
        let writer = &mut connection.sides[1 - side];
        if !std::mem::replace(&mut writer.writable, true)
            && let Owner::Core(node, id) = writer.owner
        {
            self.nodes[node].to_write.push(id);
        }
        bytes
    }

    fn read_core(&mut self, number: usize, side: usize, node: usize, id: Id) {
        let bytes = self.take(number, side);
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let discarding = connection.sides[side].discarding;
        let seen: Vec<usize> =
            connection.sides[side].read.pass(&bytes).into_iter().filter_map(|seen| seen.message).collect();
        let from_app = connection.purpose == Purpose::Send;
        for &message in seen.iter().filter(|_| !discarding) {
            if from_app { self.model.came(message, Place::Entered) } else { self.arrived(message) }
        }
        let reading = self.nodes[node].core.input(id, &bytes, self.now);
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.sides[side].paused = reading == Reading::Paused;
            connection.sides[side].unsure = if reading == Reading::Paused { seen } else { Vec::new() };
        }
        self.outputs(node, Some(number));
    }

    pub fn transmit_all(&mut self) -> bool {
        let mut busy = false;
        for node in 0..self.nodes.len() {
            for id in std::mem::take(&mut self.nodes[node].to_write) {
                busy |= self.transmit(node, id);
            }
        }
        busy
    }

    fn transmit(&mut self, node: usize, id: Id) -> bool {
        let Some(&number) = self.nodes[node].ends.get(&id) else { return false };
        let Some(side) = self.side_of(number, node, id) else { return false };
        let Some(connection) = self.connections.get_mut(&number) else { return false };
        if !connection.sides[side].writable {
            return false;
        }
        let budget = if self.rng.bool() { PIECE } else { self.rng.usize(1..PIECE) };
        let Connection { sides, pipes, purpose } = connection;
        let (rng, now, mut written) = (&mut self.rng, self.now, Vec::new());
        let more = self.nodes[node].core.transmit(id, budget, now, &mut |bytes| {
            let taken = pipes[side].write(bytes, now, rng);
            written.extend_from_slice(&bytes[..taken]);
            sides[side].writable = taken == bytes.len() || pipes[side].has_room();
            taken
        });
        assert!(written.len() <= budget, "no more is sent than the budget allows");
        let seen = sides[side].written.pass(&written);
        let place = if *purpose == Purpose::Receive { Place::AtApp(number) } else { Place::OnLink(number) };
        for message in seen.into_iter().filter_map(|seen| seen.message).filter(|_| *purpose != Purpose::Send) {
            self.model.came(message, place);
        }
        if more || (!written.is_empty() && sides[side].writable) {
            self.nodes[node].to_write.push(id);
        }
        self.outputs(node, Some(number));
        true
    }

    /// The connection is cut; each side learns of it soon, or late, or by itself.
    pub fn cut(&mut self, number: usize) {
        let notice = [(); 2].map(|()| {
            let wait = [0, 10, 1000, 30_000, 200_000][self.rng.usize(..5)];
            self.now + Duration::from_millis(self.rng.u64(0..=wait))
        });
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.cut(notice);
        }
    }
}
