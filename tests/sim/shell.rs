//! What a shell does for its connector, here with the simulated network in place of sockets.

use std::time::Duration;

use aioconnectors::core::{Cause, Event, Id, IssuedCertificate, LifeWork, Output, Reading, Sync};
use aioconnectors::wire::control::NewCertificate;
use aioconnectors::wire::frame::Frame;
use aioconnectors::wire::header::Header;
use aioconnectors::wire::receipts::FromReceiver;

use crate::apps::SESSIONS;
use crate::network::{Connection, Owner, Purpose, Side};
use crate::node::Node;
use crate::world::World;

/// Most bytes that a shell reads or writes at once.
const PIECE: usize = 256 * 1024;

impl World {
    /// Does what a connector says; `current` is the connection that it was just busy with. If the process died in the
    /// middle of what it did, it says nothing more.
    pub fn outputs(&mut self, node: usize, current: Option<usize>) {
        self.nodes[node].touched = true;
        loop {
            if self.nodes[node].disk.is_frozen() {
                return self.crash(node);
            }
            let Some(output) = self.nodes[node].core.poll_output() else { break };
            match output {
                Output::Dial(id) => self.dial(node, id),
                Output::DialApp(id, message_type) => self.dial_app(node, id, &message_type),
                Output::OpenRing(name) => {
                    let synced = self.profile.sync == Sync::Always;
                    let entry = &mut self.nodes[node];
                    let opened = entry.disk.open(&entry.id, &name, synced);
                    entry.core.ring_opened(&name, opened, self.now);
                }
                Output::Confirm(id) => self.confirm(node, id),
                Output::RemoveRemains(_)
                | Output::Life(LifeWork::Owner(_))
                | Output::ShowStatus(_)
                | Output::SaveConfig(..)
                | Output::Token(..)
                | Output::DeleteCertificate(..)
                | Output::DeleteOwnCertificate(..)
                | Output::Renew(..)
                | Output::StoreNext(..) => {
                    panic!("nobody asks for that")
                }
                Output::Ask(id, question) => self.ask_gate(node, id, question.gate),
                Output::Issue(id, name) => self.issue(node, id, &name),
                Output::Store(id, _) => {
                    self.nodes[node].certificate = true;
                    self.nodes[node].core.certificate_stored(id, Ok(()), self.now);
                }
                Output::Write(id) => self.nodes[node].to_write.push(id),
                Output::Resume(id) => self.resume(node, id),
                Output::Close(id) => {
                    self.forget_dial(node, id);
                    if let Some(&number) = self.nodes[node].ends.get(&id)
                        && let Some(side) = self.side_of(number, node, id)
                    {
                        self.let_go(number, side);
                    }
                }
                Output::Life(LifeWork::Rest { hard }) => self.nodes[node].core.rest(hard, self.now),
                Output::Life(LifeWork::Rests) => self.nodes[node].rests = true,
                Output::Life(LifeWork::Open) => {
                    (self.nodes[node].stopping, self.nodes[node].rests) = (false, false);
                    self.nodes[node].core.begin_again(self.now);
                }
                Output::Tell(event) => self.tell(node, &event, current),
                Output::Stopped => self.bury(node),
            }
        }
        self.nodes[node].busy_with.clear();
    }

    /// How much of what was sent on a link has come to the other side's machine.
    fn confirm(&mut self, node: usize, id: Id) {
        let Some(&number) = self.nodes[node].ends.get(&id) else { return };
        let Some(side) = self.side_of(number, node, id) else { return };
        let Some(connection) = self.connections.get_mut(&number) else { return };
        connection.pipes[side].arrive(self.now);
        let bytes = connection.pipes[side].arrived_total;
        let over = connection.settled;
        for (message, end, all) in &connection.sides[side].handed {
            let message = &mut self.model.messages[*message];
            if *end <= bytes && message.link == Some(number) {
                message.confirmed = true;
                message.excused.1 |= over && !message.arrived;
                // A connector knows of what it wrote at once as a whole.
                message.known |= *all <= bytes;
            }
        }
        self.nodes[node].core.confirmed(id, bytes, self.now);
    }

    /// A link of the first kind is over: what TCP has not confirmed is sent again.
    pub fn link_over(&mut self, number: usize) {
        let Some(connection) = self.connections.get(&number) else { return };
        for (message, ..) in connection.sides.iter().flat_map(|side| &side.handed) {
            let message = &mut self.model.messages[*message];
            message.spare += u32::from(!message.known || self.profile.waits_ack);
            message.excused.1 |= message.confirmed && !message.arrived && !message.draft.waits_ack;
        }
    }

    /// A connection has ended, for one side or for both.
    pub fn over(&mut self, number: usize) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        if std::mem::replace(&mut connection.settled, true) {
            return;
        }
        match connection.purpose {
            Purpose::Link { first_kind: true, .. } => self.link_over(number),
            Purpose::Receive => self.visit_over(number),
            _ => {}
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
        let made = NewCertificate { certificate_pem: format!("certificate of {name}"), key_pem: Some("key".into()) };
        let refused = !self.fair_weather && self.rng.u8(..8) == 0;
        let result = if refused {
            Err("no room for more".into())
        } else {
            Ok(IssuedCertificate { new: made, serial: "01".into() })
        };
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
        let number = self.connect(Purpose::Receive, [Owner::Core(node, id), Owner::Receiver(receiver)]);
        self.receivers[receiver].visited(number);
        self.nodes[node].core.opened(id, None, self.now);
    }

    fn resume(&mut self, node: usize, id: Id) {
        let Some(&number) = self.nodes[node].ends.get(&id) else { return };
        let Some(side) = self.side_of(number, node, id) else { return };
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.sides[side].paused = false;
            for message in connection.sides[side].unsure.drain(..) {
                self.model.messages[message].unsure = false;
            }
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
        let Connection { sides, purpose, .. } = connection;
        let (purpose, discarding) = (*purpose, sides[side].discarding);
        let mut read = Vec::new();
        match purpose {
            Purpose::Send => {
                read.extend(sides[side].read.pass(&bytes).into_iter().filter_map(|seen| seen.message));
                for message in &read {
                    let in_session = self.model.messages[*message].stream >= SESSIONS;
                    self.model.enter(*message, in_session);
                }
                if !read.is_empty() {
                    self.say(&format_args!("{} reads {read:?} on {number}", self.nodes[node].id));
                }
            }
            Purpose::Link { first_kind: true, .. } => {
                let seen = sides[side].read.pass(&bytes).into_iter().filter_map(|seen| seen.message);
                read.extend(seen.map(|number| self.model.seen_at(number, node)));
                for message in read.iter().filter(|_| !discarding) {
                    self.model.messages[*message].arrived = true;
                }
            }
            Purpose::Link { .. } => {}
            Purpose::Receive => hear_receiver(&mut sides[side], &bytes),
        }
        self.nodes[node].busy_with.clone_from(&read);
        let reading = self.nodes[node].core.input(id, &bytes, self.now);
        if let Some(connection) = self.connections.get_mut(&number) {
            let paused = reading == Reading::Paused;
            connection.sides[side].paused = paused;
            for message in read.iter().filter(|_| paused) {
                self.model.messages[*message].unsure = true;
            }
            connection.sides[side].unsure = if paused { read } else { Vec::new() };
        }
        self.outputs(node, Some(number));
    }

    pub fn transmit_all(&mut self) -> bool {
        let mut busy = false;
        for node in 0..self.nodes.len() {
            let mut ids = std::mem::take(&mut self.nodes[node].to_write);
            ids.sort_unstable();
            ids.dedup();
            for id in ids {
                busy |= self.transmit(node, id);
                self.moment(node);
            }
        }
        busy
    }

    /// The connectors go on with what takes long with files.
    pub fn work_all(&mut self) -> bool {
        let mut busy = false;
        for node in 0..self.nodes.len() {
            if !self.nodes[node].stopped {
                busy |= self.nodes[node].core.work(self.now);
                self.outputs(node, None);
            }
        }
        busy
    }

    /// What the connectors have done last is kept, and told to those who wait for it.
    pub fn settle_all(&mut self) {
        for node in 0..self.nodes.len() {
            self.moment(node);
            if self.nodes[node].stopped || !self.nodes[node].touched {
                continue;
            }
            self.nodes[node].core.settle(self.now);
            self.moment(node);
            self.outputs(node, None);
        }
    }

    fn transmit(&mut self, node: usize, id: Id) -> bool {
        let Some(&number) = self.nodes[node].ends.get(&id) else { return false };
        let Some(side) = self.side_of(number, node, id) else { return false };
        let Some(connection) = self.connections.get_mut(&number) else { return false };
        if !connection.sides[side].writable {
            return false;
        }
        let budget = if self.rng.bool() { PIECE } else { self.rng.usize(1..PIECE) };
        let Connection { sides, pipes, purpose, .. } = connection;
        let (rng, now, mut written) = (&mut self.rng, self.now, Vec::new());
        let Node { core, disk, .. } = &mut self.nodes[node];
        let more = core.transmit(id, budget, now, &mut |bytes| {
            // A process that is dead writes nothing.
            if disk.is_frozen() {
                return 0;
            }
            let taken = pipes[side].write(bytes, now, rng);
            written.extend_from_slice(&bytes[..taken]);
            sides[side].writable = taken == bytes.len() || pipes[side].has_room();
            taken
        });
        assert!(written.len() <= budget, "no more is sent than the budget allows");
        let purpose = *purpose;
        if matches!(purpose, Purpose::Link { first_kind: true, .. } | Purpose::Receive) {
            sides[side].written_total += written.len() as u64;
            let gone = sides[1].owner == Owner::Nobody && (!sides[0].hello_read || self.nodes[node].stopping);
            let all = sides[side].written_total;
            for seen in sides[side].written.pass(&written) {
                let Some(message) = seen.message else { continue };
                let towards = match purpose {
                    Purpose::Link { client, .. } if node == 0 => client,
                    Purpose::Link { .. } => 0,
                    _ => node,
                };
                let message = self.model.seen_at(message, towards);
                sides[side].handed.push((message, seen.end, all));
                let message = &mut self.model.messages[message];
                if purpose == Purpose::Receive {
                    message.at_app = Some(number);
                    message.handed += 1;
                    // The app has left, and nobody has told the connector.
                    message.excused.1 |= gone;
                } else {
                    // What was dropped where it came to may be taken in when it comes again.
                    message.unordered |= message.link.is_some();
                    (message.link, message.arrived) = (Some(number), false);
                    (message.confirmed, message.known) = (false, false);
                }
            }
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
        self.over(number);
    }
}

/// What a connector reads of an app that receives.
fn hear_receiver(side: &mut Side, bytes: &[u8]) {
    for seen in side.read.pass(bytes) {
        let frame = Frame::parse(&seen.bytes).unwrap_or_else(|e| panic!("{e}"));
        let header = Header::parse(frame.header()).unwrap_or_else(|e| panic!("{e}"));
        match FromReceiver::parse(&header, frame.header()) {
            Ok(FromReceiver::Acknowledges { .. }) => side.hello_read = true,
            Ok(FromReceiver::Done(count)) => side.acknowledged = count,
            Err(error) => panic!("apps say what is right: {error}"),
        }
    }
}
