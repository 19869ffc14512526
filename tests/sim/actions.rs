//! What happens in a world, by chance.

use std::time::Duration;

use aioconnectors::core::OnFull;
use aioconnectors::wire::admin::encode_request;
use aioconnectors::wire::names::Role;
use aioconnectors::wire::receipts::Level;
use serde_json::{Map, Value};

use crate::apps::{SESSIONS, Sender, What};
use crate::message::{Draft, Request, Style};
use crate::model::{Message, Outcome};
use crate::network::{Owner, Purpose};
use crate::node::{Climate, SENT};
use crate::world::{SENDERS, World};

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The clock goes on to the next event.
    Tick,
    /// The clock goes on for a while, however much happens.
    Wait,
    Send,
    Publish,
    Ask,
    Ping,
    Answer,
    /// An app closes its connection, perhaps in the middle of a message.
    Hang,
    /// An app that receives closes its connections.
    Drop,
    /// An app listens no more, or again.
    Listen,
    /// An app reads nothing for a while.
    Sleep,
    /// An app writes what is no frame.
    Garbage,
    /// Somebody connects to the server, and says nothing or garbage.
    Stranger,
    Cut,
    /// A client's connector stops and starts again, or the server's.
    Stop,
    Restart,
    /// An admin stops a connector, whose process goes on; it is started again as those are that have ended.
    Rest,
    /// A process dies, or its machine: now, or in the middle of something.
    Crash,
    /// A disk has no room for more, or fails; or it is well again.
    Disk,
    /// Something goes wrong with files: there is no room, they are changed, their bytes are damaged; or nothing more.
    Files,
    /// A copy is made of all that a node keeps, or a node is set back to it.
    Backup,
}

const WEIGHTS: [(Action, u32); 21] = [
    (Action::Tick, 400),
    (Action::Wait, 12),
    (Action::Send, 260),
    (Action::Publish, 260),
    (Action::Ask, 60),
    (Action::Ping, 15),
    (Action::Answer, 90),
    (Action::Hang, 12),
    (Action::Drop, 8),
    (Action::Listen, 12),
    (Action::Sleep, 8),
    (Action::Garbage, 3),
    (Action::Stranger, 3),
    (Action::Cut, 10),
    (Action::Stop, 2),
    (Action::Restart, 6),
    (Action::Rest, 3),
    (Action::Crash, 8),
    (Action::Disk, 6),
    (Action::Files, 10),
    (Action::Backup, 20),
];

impl Action {
    fn is_calm(self) -> bool {
        matches!(self, Action::Tick | Action::Send | Action::Publish | Action::Ask | Action::Ping | Action::Answer)
    }
}

impl World {
    /// One thing happens, and all that follows from it at once.
    pub fn step(&mut self) {
        let profile = self.profile.clone();
        let may_be = |action: Action| match action {
            Action::Crash => profile.climate == Climate::Deadly,
            Action::Disk => profile.bad_disks,
            Action::Publish if !profile.pubsub => false,
            Action::Backup => profile.backups,
            _ => !profile.calm || action.is_calm(),
        };
        let allowed = WEIGHTS.iter().filter(|(action, _)| may_be(*action));
        let whole: u32 = allowed.clone().map(|(_, weight)| weight).sum();
        let mut pick = self.rng.u32(..whole);
        let mut action = Action::Tick;
        for (candidate, weight) in allowed {
            action = *candidate;
            match pick.checked_sub(*weight) {
                Some(rest) => pick = rest,
                None => break,
            }
        }
        self.say(&format_args!("{action:?}"));
        self.act(action);
        self.pump();
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Tick => self.tick(Duration::from_secs(3600)),
            Action::Wait => {
                let most = [100, 2000, 20_000, 80_000][self.rng.usize(..4)];
                let time = Duration::from_millis(self.rng.u64(0..most));
                self.wait(time);
            }
            Action::Send => self.send_some(),
            Action::Publish => self.publish_some(),
            Action::Ask => self.ask(false),
            Action::Ping => self.ask(true),
            Action::Answer => self.answer(),
            Action::Hang => self.hang(),
            Action::Drop => self.drop_receiver(),
            Action::Listen => {
                let app = self.rng.usize(..self.receivers.len());
                self.receivers[app].listens ^= true;
            }
            Action::Sleep => {
                let app = self.rng.usize(..self.receivers.len());
                self.receivers[app].asleep_until = Some(self.now + Duration::from_millis(self.rng.u64(1..120_000)));
            }
            Action::Garbage => self.garbage(),
            Action::Stranger => self.stranger(),
            Action::Cut => self.cut_some(),
            Action::Stop => self.stop_some(),
            Action::Restart => self.restart_some(),
            Action::Rest => self.rest_some(),
            Action::Crash => self.doom_some(),
            Action::Disk => self.trouble_some(),
            Action::Files => self.harm_files(),
            Action::Backup => self.back_up_some(),
        }
    }

    /// The clock goes on to the next event, but no further than this.
    pub fn tick(&mut self, most: Duration) {
        let until = self.now + most;
        self.now = self.next_event().map_or(until, |at| at.min(until));
    }

    /// The clock goes on for so long, from event to event.
    pub fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.tick(until - self.now);
            self.pump();
        }
    }

    /// Where messages of a node go.
    fn destination(&mut self, node: usize) -> (String, Option<usize>) {
        if self.nodes[node].role == Role::Client {
            return (self.nodes[0].id.clone(), Some(0));
        }
        if !self.profile.calm && self.rng.u8(..30) == 0 {
            return ("nobody".to_owned(), None);
        }
        let to = self.rng.usize(1..self.nodes.len());
        (self.nodes[to].id.clone(), Some(to))
    }

    pub fn draft(&mut self, node: usize, style: Style) -> (Draft, Option<usize>) {
        let (mut destination, mut to) = self.destination(node);
        let refused = !self.profile.calm && self.rng.u8(..30) == 0;
        let message_type = SENT[if refused { self.rng.usize(3..5) } else { self.rng.usize(..3) }];
        if to.is_none() && self.profile.on_full.get(message_type) == Some(&OnFull::Block) {
            // Those who wait for room there would wait for ever.
            (destination, to) = (self.nodes[1].id.clone(), Some(1));
        }
        let size = match self.rng.u8(..20) {
            0..2 => 0,
            2..4 => self.rng.usize(..20),
            4..18 => self.rng.usize(..300),
            _ if self.profile.large => self.rng.usize(..500_000),
            _ => self.rng.usize(..9000),
        };
        let binary = (self.rng.u8(..5) == 0).then(|| self.rng.usize(..100));
        let source = self.nodes[node].id.clone();
        let waits_ack = self.profile.waits_ack && self.rng.u8(..6) == 0;
        let (request, response_id) = (None, None);
        let (file, publishes) = (self.file_size(), false);
        let draft = Draft {
            message_type,
            source,
            destination,
            style,
            size,
            binary,
            request,
            response_id,
            waits_ack,
            file,
            publishes,
        };
        (draft, to)
    }

    pub fn post(&mut self, app: usize, draft: Draft, to: Option<usize>, answers: Option<usize>) -> usize {
        let from = self.senders[&app].node;
        let stored_at = |node: usize| &self.profile.nodes[node];
        let stored = (
            stored_at(from).persist_send.covers(draft.message_type),
            to.is_some_and(|to| stored_at(to).persist_recv.covers(draft.message_type)),
        );
        let mut message = Message::new(draft, from, to, answers);
        message.stored = stored;
        if self.senders[&app].has_session() {
            message.stream = SESSIONS + app;
        }
        let number = self.model.draft(message);
        let draft = &self.model.messages[number].draft;
        if draft.file.is_some() {
            self.nodes[from].files.put(&crate::message::source(number), draft.file_bytes(number));
        }
        let bytes = draft.encode(number);
        if let Some(sender) = self.senders.get_mut(&app) {
            sender.post(number, bytes);
        }
        number
    }

    pub fn style(&mut self) -> Style {
        [Style::Same, Style::SameWrong, Style::Numbered][self.rng.usize(..3)]
    }

    fn send_some(&mut self) {
        let app = self.rng.usize(..self.nodes.len() * SENDERS);
        let node = self.senders[&app].node;
        if self.nodes[node].stopping {
            return;
        }
        let style = self.style();
        let (first, to) = self.draft(node, style);
        // What is never delivered would have those behind it wait for ever.
        let waits = self.senders[&app].receipts.as_ref().is_some_and(|r| r.level == Level::Delivered);
        if to.is_none() && waits {
            return;
        }
        for _ in 0..self.rng.usize(1..12) {
            let (draft, _) = self.draft(node, style);
            let Draft { size, binary, file, .. } = draft;
            self.post(app, Draft { size, binary, file, ..first.clone() }, to, None);
        }
    }

    fn ask(&mut self, pings: bool) {
        let node = self.rng.usize(..self.nodes.len());
        if self.nodes[node].stopping {
            return;
        }
        let style = self.style();
        let (mut draft, to) = self.draft(node, style);
        draft.request = Some(if pings || self.rng.bool() { Request::WithId } else { Request::WithoutId });
        if pings {
            (draft.message_type, draft.file) = ("_ping", None);
        }
        let app = self.next_sender;
        self.next_sender += 1;
        self.senders.insert(app, Sender { node, pings, ..Sender::default() });
        let request = self.post(app, draft, to, None);
        self.model.requests.insert(request, Outcome::Waiting);
        if let Some(sender) = self.senders.get_mut(&app) {
            sender.asks = Some(request);
        }
    }

    pub fn answer(&mut self) {
        if self.to_answer.is_empty() {
            return;
        }
        let (node, request, id) = self.to_answer.remove(0);
        if self.nodes[node].stopping {
            return;
        }
        self.say(&format_args!("answer to {request}"));
        let style = self.style();
        let (draft, _) = self.draft(node, style);
        let asker = self.model.messages[request].from;
        let message_type = self.model.messages[request].draft.message_type;
        let destination = self.nodes[asker].id.clone();
        let response_id: Option<Value> = Some(id);
        self.post(
            node * SENDERS,
            Draft { message_type, destination, response_id, ..draft },
            Some(asker),
            Some(request),
        );
    }

    /// An app that sends or asks closes its connection.
    fn hang(&mut self) {
        let apps: Vec<usize> = self.senders.keys().copied().collect();
        let app = apps[self.rng.usize(..apps.len())];
        let Some(sender) = self.senders.get_mut(&app).filter(|s| s.connection.is_some()) else { return };
        let most = sender.letters.front().map_or(0, |(_, bytes)| bytes.len() - sender.written);
        sender.close_after = Some(self.rng.usize(..=most));
    }

    fn drop_receiver(&mut self) {
        let app = self.rng.usize(..self.receivers.len());
        for number in self.connections.keys().copied().collect::<Vec<_>>() {
            if self.connections[&number].sides[1].owner == Owner::Receiver(app) {
                self.let_go(number, 1);
            }
        }
    }

    fn garbage(&mut self) {
        let app = self.rng.usize(..self.nodes.len() * SENDERS);
        if let Some(sender) = self.senders.get_mut(&app).filter(|s| s.receipts.is_none()) {
            sender.letters.push_back((What::Garbage, vec![self.rng.u8(..), 0, 0, 0, 0, 0, 1, 1, 0, 0]));
        }
    }

    fn stranger(&mut self) {
        if self.nodes[0].stopping {
            return;
        }
        let id = self.nodes[0].core.accept_link(([6, 6, 6, 6], 66).into(), self.now);
        let owners = [Owner::Stranger, Owner::Core(0, id)];
        let number = self.connect(Purpose::Link { client: usize::MAX, first_kind: false }, owners);
        self.nodes[0].core.secured(id, aioconnectors::core::Secured::Anonymous, false, self.now);
        self.outputs(0, Some(number));
        let garbage: Vec<u8> = (0..self.rng.usize(..30)).map(|_| self.rng.u8(..)).collect();
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.pipes[0].write(&garbage, self.now, &mut self.rng);
        }
    }

    fn cut_some(&mut self) {
        let is_link = |purpose| matches!(purpose, Purpose::Link { .. });
        let links: Vec<usize> =
            self.connections.iter().filter(|(_, c)| is_link(c.purpose) && !c.is_cut()).map(|(n, _)| *n).collect();
        if !links.is_empty() {
            let number = links[self.rng.usize(..links.len())];
            self.say(&format_args!("connection {number} is cut"));
            self.cut(number);
        }
    }

    fn stop_some(&mut self) {
        let node = self.rng.usize(..self.nodes.len());
        if self.nodes[node].stopping && !self.nodes[node].rests {
            return;
        }
        self.say(&format_args!("{} stops", self.nodes[node].id));
        (self.nodes[node].stopping, self.nodes[node].rests) = (true, false);
        self.nodes[node].core.stop(self.now);
        self.outputs(node, None);
    }

    pub fn restart_some(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].stopped {
                self.start_node(node);
            } else if self.nodes[node].rests {
                self.ask_admin(node, "start", Map::new());
            }
        }
    }

    fn rest_some(&mut self) {
        let node = self.rng.usize(..self.nodes.len());
        if self.nodes[node].stopping {
            return;
        }
        let hard = self.rng.bool();
        self.say(&format_args!("{} is stopped by an admin, hard: {hard}", self.nodes[node].id));
        self.nodes[node].stopping = true;
        self.ask_admin(node, "stop", Map::from_iter([("hard".to_owned(), hard.into())]));
    }

    /// An admin asks a connector for something, and takes the answer if it comes at once.
    fn ask_admin(&mut self, node: usize, command: &str, arguments: Map<String, Value>) {
        let (core, now) = (&mut self.nodes[node].core, self.now);
        let admin = core.accept_admin(now);
        core.input(admin, &encode_request(command, &arguments), now);
        self.outputs(node, None);
        self.nodes[node].core.transmit(admin, usize::MAX, now, &mut <[u8]>::len);
        self.outputs(node, None);
    }
}
