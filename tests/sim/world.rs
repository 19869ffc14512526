//! The world: connectors, apps and the network between them, and one clock for all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aioconnectors::core::{Cause, Id, Mode, Secured};
use aioconnectors::wire::receipts::Level;
use fastrand::Rng;

use crate::apps::{Receipts, Sender};
use crate::gates::Question;
use crate::model::{Model, Outcome};
use crate::network::{Connection, Owner, Pipe, Purpose};
use crate::node::{Node, Profile, RECEIVED};
use crate::published::PUBLISHED;
use crate::receivers::{Manner, Receiver};

/// More rounds than this without a step of the clock: something goes round in circles.
const ROUNDS_MAX: usize = 20_000;

/// An attempt of a client to reach its server, and when it succeeds or fails.
#[derive(Debug)]
struct Dial {
    at: Instant,
    node: usize,
    id: Id,
    succeeds: bool,
}

/// Everything.
#[derive(Debug)]
pub struct World {
    pub profile: Profile,
    pub rng: Rng,
    pub start: Instant,
    pub now: Instant,
    pub nodes: Vec<Node>,
    pub connections: BTreeMap<usize, Connection>,
    next_connection: usize,
    dials: Vec<Dial>,
    pub questions: Vec<Question>,
    pub senders: BTreeMap<usize, Sender>,
    pub next_sender: usize,
    pub receivers: Vec<Receiver>,
    /// Requests that came to apps, and are to be answered: the node, the request, and its `request_id`.
    pub to_answer: Vec<(usize, usize, serde_json::Value)>,
    pub model: Model,
    /// Nothing fails any more: the end is near, or this world is calm from the start.
    pub fair_weather: bool,
    /// Prints what happens.
    pub trace: bool,
}

/// Apps that send, a node; further ones come and go.
pub const SENDERS: usize = 3;

impl World {
    pub fn new(profile: Profile, mut rng: Rng, trace: bool) -> Self {
        let start = Instant::now();
        let nodes: Vec<Node> = (0..=profile.clients).map(|n| Node::new(n, &profile, rng.u64(..))).collect();
        let mut senders = BTreeMap::new();
        for node in 0..nodes.len() {
            for index in 0..SENDERS {
                let receipts = receipts(&mut rng, index);
                senders.insert(node * SENDERS + index, Sender { node, receipts, ..Sender::default() });
            }
        }
        let mut receivers = Vec::new();
        for node in 0..nodes.len() {
            for message_type in RECEIVED {
                // With one message a connection, that is over before the app is heard.
                let ways = if profile.preserve_receive_socket { 3 } else { 1 };
                let manner = [Manner::Silent, Manner::Acknowledges, Manner::Resumes][rng.usize(..ways)];
                receivers.push(Receiver::new(node, message_type, manner));
            }
        }
        for node in 1..nodes.len() {
            for message_type in PUBLISHED.iter().filter(|_| profile.pubsub) {
                let ways = if profile.preserve_receive_socket { 3 } else { 1 };
                let manner = [Manner::Silent, Manner::Acknowledges, Manner::Resumes][rng.usize(..ways)];
                receivers.push(Receiver::new(node, message_type, manner));
            }
        }
        let mut world = Self {
            rng,
            start,
            now: start,
            connections: BTreeMap::new(),
            next_connection: 0,
            dials: Vec::new(),
            questions: Vec::new(),
            next_sender: senders.len(),
            senders,
            receivers,
            to_answer: Vec::new(),
            model: Model::default(),
            fair_weather: profile.calm,
            trace,
            nodes,
            profile,
        };
        let nodes = world.nodes.iter().zip(&world.profile.nodes);
        world.model.files = nodes.map(|(node, traits)| (node.files.clone(), traits.link2)).collect();
        for node in 0..world.nodes.len() {
            world.start_node(node);
        }
        world
    }

    /// A connector's process starts.
    pub fn start_node(&mut self, node: usize) {
        self.nodes[node].start(&self.profile, self.now - self.start, self.now);
        self.outputs(node, None);
    }

    pub fn say(&self, what: &dyn std::fmt::Display) {
        if self.trace {
            println!("{:>10.3} s  {what}", (self.now - self.start).as_secs_f64());
        }
    }

    pub fn connect(&mut self, purpose: Purpose, owners: [Owner; 2]) -> usize {
        let delay = if let Purpose::Link { .. } = purpose { 0..self.rng.u64(1..60) } else { 0..0 };
        let most = if self.profile.large { 400_000 } else { 60_000 };
        let pipes = [(); 2].map(|()| Pipe::new(self.rng.usize(200..most), delay.clone(), self.now));
        let number = self.next_connection;
        self.next_connection += 1;
        for owner in owners {
            if let Owner::Core(node, id) = owner {
                self.nodes[node].ends.insert(id, number);
            }
        }
        self.connections.insert(number, Connection::new(purpose, owners, pipes));
        number
    }

    /// A client's connector wants to reach its server.
    pub fn dial(&mut self, node: usize, id: Id) {
        let fails = !self.fair_weather && self.rng.u8(..4) == 0;
        let wait = if fails && self.rng.bool() { 60_000 } else { self.rng.u64(..200) };
        self.dials.push(Dial { at: self.now + Duration::from_millis(wait), node, id, succeeds: !fails });
    }

    /// A connector does not want the connection any more that it was about to open.
    pub fn forget_dial(&mut self, node: usize, id: Id) {
        self.dials.retain(|dial| (dial.node, dial.id) != (node, id));
    }

    fn finish_dials(&mut self) -> bool {
        let Some(index) = self.dials.iter().position(|d| d.at <= self.now) else { return false };
        let Dial { node, id, succeeds, .. } = self.dials.remove(index);
        if self.nodes[node].stopped {
            return true;
        }
        if !succeeds || self.nodes[0].stopping {
            self.nodes[node].core.closed(id, Cause::Failed("no connection".into()), self.now);
            self.outputs(node, None);
            return true;
        }
        let remote = ([10, 0, 0, node as u8], 4000).into();
        let accepted = self.nodes[0].core.accept_link(remote, self.now);
        let owners = [Owner::Core(node, id), Owner::Core(0, accepted)];
        let first_kind = !(self.profile.nodes[node].link2 && self.profile.nodes[0].link2);
        let connection = self.connect(Purpose::Link { client: node, first_kind }, owners);
        self.nodes[node].core.opened(id, Some(([10, 0, 0, 1], 10673).into()), self.now);
        self.secure(connection, node, id, accepted);
        true
    }

    /// TLS is done, or there is none.
    fn secure(&mut self, connection: usize, node: usize, id: Id, accepted: Id) {
        let client = &self.nodes[node];
        let secured = match self.profile.mode {
            Mode::Plain | Mode::AllowAll => Secured::Anonymous,
            Mode::Certificates if client.certificate => Secured::Named(client.id.clone()),
            Mode::Certificates => Secured::Shared,
        };
        let alpn = self.profile.mode != Mode::Plain && self.profile.nodes[node].link2 && self.profile.nodes[0].link2;
        self.nodes[0].core.secured(accepted, secured.clone(), alpn, self.now);
        self.outputs(0, Some(connection));
        self.nodes[node].core.secured(id, secured, alpn, self.now);
        self.outputs(node, Some(connection));
    }

    /// When something happens next by itself.
    pub fn next_event(&self) -> Option<Instant> {
        let arrivals = self.connections.values().flat_map(|c| c.pipes.iter().filter_map(Pipe::next_arrival));
        let notices = self.connections.values().flat_map(|c| c.sides.iter().filter_map(|s| s.notice_at));
        let alive = self.nodes.iter().filter(|n| !n.stopped);
        let deadlines = alive.filter_map(|n| n.core.next_deadline());
        let wakes = self.receivers.iter().filter_map(|r| r.asleep_until);
        let answers = self.questions.iter().map(|q| q.at).chain(self.dials.iter().map(|d| d.at));
        let all = arrivals.chain(notices).chain(deadlines).chain(answers).chain(wakes);
        all.filter(|at| *at > self.now).min()
    }

    /// All that can happen at this instant happens.
    pub fn pump(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut busy = self.finish_dials() | self.answer_questions() | self.notice() | self.timeouts();
            for number in self.connections.keys().copied().collect::<Vec<_>>() {
                busy |= self.read(number, 0) | self.read(number, 1);
            }
            busy |= self.work_all();
            self.settle_all();
            busy |= self.transmit_all();
            self.settle_all();
            busy |= self.send_all() | self.acknowledge_all();
            if !busy {
                return self.check();
            }
        }
        panic!("no rest within {ROUNDS_MAX} rounds at one instant");
    }

    fn check(&mut self) {
        self.connections.retain(|_, connection| !connection.is_over());
        for node in &mut self.nodes {
            if std::mem::take(&mut node.touched) {
                node.core.check_invariants();
            }
        }
        for receiver in &mut self.receivers {
            receiver.asleep_until = receiver.asleep_until.filter(|until| *until > self.now);
        }
    }

    fn timeouts(&mut self) -> bool {
        let mut busy = false;
        for node in 0..self.nodes.len() {
            let due = self.nodes[node].core.next_deadline().is_some_and(|at| at <= self.now);
            if due && !self.nodes[node].stopped {
                self.nodes[node].core.timeout(self.now);
                self.outputs(node, None);
                let next = self.nodes[node].core.next_deadline();
                assert!(next.is_none_or(|at| at > self.now), "a timer that was due is done with");
                busy = true;
            }
        }
        busy
    }

    /// Those who are to learn now that their connection is cut, do.
    fn notice(&mut self) -> bool {
        let due = |c: &Connection| (0..2).find(|s| c.sides[*s].notice_at.is_some_and(|at| at <= self.now));
        let Some((number, side)) = self.connections.iter().find_map(|(n, c)| Some((*n, due(c)?))) else {
            return false;
        };
        let Some(connection) = self.connections.get_mut(&number) else { return false };
        connection.sides[side].notice_at = None;
        if let Owner::Core(node, id) = connection.sides[side].owner {
            self.nodes[node].core.closed(id, Cause::Failed("cut".into()), self.now);
            self.outputs(node, Some(number));
        }
        self.let_go(number, side);
        true
    }

    /// One side of a connection closes it.
    pub fn let_go(&mut self, number: usize, side: usize) {
        let Some(connection) = self.connections.get(&number) else { return };
        let owner = connection.sides[side].owner;
        self.say(&format_args!("connection {number} is closed by {owner:?}"));
        if let Owner::Core(..) = owner {
            self.held_back(number, side);
        }
        self.over(number);
        if let Owner::Receiver(app) = owner {
            self.visitor_leaves(number, app);
        }
        if let Owner::Core(node, id) = owner {
            self.nodes[node].ends.remove(&id);
        }
        if let Owner::Sender(app) = owner {
            self.sender_let_go(app);
        }
        let Some(connection) = self.connections.get_mut(&number) else { return };
        connection.sides[side].notice_at = None;
        connection.close(side);
        // A write to a connection that the other side has closed fails at once: it needs no room.
        let other = &mut connection.sides[1 - side];
        other.writable = true;
        if let Owner::Core(node, id) = other.owner {
            self.nodes[node].to_write.push(id);
        }
    }

    /// A connector closes a connection. What waited for room on it is in the ledger; unless the app has receipts:
    /// then it knows by them.
    fn held_back(&mut self, number: usize, side: usize) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        // Also if the app has let go of it before.
        let has_receipts = connection.receipts;
        for message in std::mem::take(&mut connection.sides[side].unsure) {
            self.model.messages[message].unsure = false;
            self.model.messages[message].excused.0 |= has_receipts;
        }
    }

    fn sender_let_go(&mut self, app: usize) {
        let Some(sender) = self.senders.get_mut(&app) else { return };
        sender.disconnected();
        if let Some(request) = sender.asks {
            if self.model.requests.get(&request) == Some(&Outcome::Waiting) {
                self.model.end_request(request, Outcome::ConnectionEnded);
            }
            self.senders.remove(&app);
        }
    }

    /// A stopped connector's process ends: all that it held is closed.
    pub fn bury(&mut self, node: usize) {
        self.say(&format_args!("{} has ended", self.nodes[node].id));
        let unreported = self.nodes[node].core.ledger().total();
        let buried: u64 = self.nodes[node].buried.values().sum();
        assert_eq!(self.nodes[node].reported, buried + unreported, "what was dropped was reported");
        self.end_process(node, false);
    }

    pub fn end_process(&mut self, node: usize, crashed: bool) {
        let receivers: Vec<(&str, Manner)> =
            self.receivers.iter().filter(|r| r.node == node).map(|r| (r.message_type, r.manner)).collect();
        self.model
            .ended(node, self.profile.bad_disks, &|message_type| receivers.contains(&(message_type, Manner::Resumes)));
        self.dials.retain(|d| d.node != node);
        self.questions.retain(|q| q.node != node);
        if node == 0 {
            self.model.broker_ended();
        }
        let forgets = self.nodes[node].forgets;
        for message in self.model.messages.iter_mut().filter(|m| forgets && m.to == Some(node)) {
            message.spare_files += 1;
        }
        for number in self.connections.keys().copied().collect::<Vec<_>>() {
            for side in 0..2 {
                let owner = self.connections[&number].sides[side].owner;
                if matches!(owner, Owner::Core(n, _) if n == node) {
                    self.let_go(number, side);
                }
            }
        }
        self.nodes[node].end(&self.profile, crashed);
    }
}

/// Whether an app wants receipts, and of which kind: the first of a node does not.
fn receipts(rng: &mut Rng, index: usize) -> Option<Receipts> {
    let level = [Level::Accepted, Level::Stored, Level::Delivered][rng.usize(..3)];
    match index {
        0 => None,
        1 => Some(Receipts::new(level, true)),
        _ => rng.bool().then(|| Receipts::new(level, false)),
    }
}
