//! The shadow model: what was written, how far each message came, and what must hold of all of them.
//!
//! A message is *entered* when its connector has read it whole. From then on it must be delivered exactly once, in the
//! order in which its app wrote, or stand in a ledger, unless something that happened excuses it:
//!
//! | what happened | may be lost | may come once more |
//! | --- | --- | --- |
//! | its connector crashed | what is not stored there; what was not read whole | |
//! | the machine under its connector failed | also what is stored and has no receipt | |
//! | the connector that it goes to crashed | first kind of link: what TCP has confirmed and is not stored there | what an app has got, unless it resumes by number from a stored inbox |
//! | a link of the first kind ended | what TCP has confirmed and was not read | what TCP has not confirmed |
//! | an app that receives ended its connection | what was written to it and not read, if it does not acknowledge | what it got and did not acknowledge, unless it resumes by number |
//! | a connector was set back to a backup | all that is under way through it | the same |
//!
//! Messages with files have an order of their own. The file of such a message is whole where it was sent to before the
//! message is there, and was there as often as the message may come; its source goes only when that is so. It may be
//! missing, and the message say so, if something was done to it, on links of the first kind, and when the message comes
//! again.
//!
//! What is published, and who gets it, is in `published`.
//!
//! A receipt takes excuses away: at level `stored` those of the source for types that are stored there, at level
//! `delivered` all of the source. A message that was refused is not delivered.

use std::collections::BTreeMap;

use aioconnectors::wire::receipts::Level;

use crate::apps::SESSIONS;
use crate::file_system::FileSystem;
use crate::message::{Draft, is_deleted, name, source};
use crate::published::Part;

/// How often a file comes again that was damaged.
const AGAIN_MAX: u32 = 3;

/// A message.
#[derive(Debug)]
pub struct Message {
    pub draft: Draft,
    /// The node that it goes from.
    pub from: usize,
    /// The node that it goes to, if there is one of that name.
    pub to: Option<usize>,
    /// What keeps its order: the connection of the app that wrote it, or its session.
    pub stream: usize,
    /// It answers this message.
    pub answers: Option<usize>,
    /// It is stored at its source, and where it goes to.
    pub stored: (bool, bool),
    /// Its connector has read it whole.
    pub entered: bool,
    /// It was read, but the core has perhaps put it back: it waits for room.
    pub unsure: bool,
    /// The first kind of link: the connection that it was written to last, and whether it was confirmed and read there.
    pub link: Option<usize>,
    pub confirmed: bool,
    /// Its connector knows that it was confirmed.
    pub known: bool,
    pub arrived: bool,
    /// The connection to an app that it was wholly written to last, and whether the app has read it there.
    pub at_app: Option<usize>,
    /// How often it was written to one.
    pub handed: u32,
    /// How often apps had it.
    pub delivered: u32,
    /// How often it may come again.
    pub spare: u32,
    /// It may be lost, for what happened at its source, or later.
    pub excused: (bool, bool),
    /// Something was set back in time: nothing is promised of it.
    pub wild: bool,
    /// It was dropped to make room, and came back when its connector died; or it was sent again on a link of the first
    /// kind: its order is not sure.
    pub unordered: bool,
    pub promised: Option<Level>,
    pub refused: bool,
    /// How often its file may come again besides, because it was dropped by a connector that then forgot it.
    pub spare_files: u32,
    /// It is published, or a copy for a subscriber; whose subscription outlasts its link; and it must come.
    pub part: Part,
    pub lasts: bool,
    pub required: bool,
    /// It came with the reason why its file did not.
    pub came_without_file: bool,
}

impl Message {
    pub fn new(draft: Draft, from: usize, to: Option<usize>, answers: Option<usize>) -> Self {
        Self {
            draft,
            from,
            to,
            stream: 0,
            answers,
            stored: (false, false),
            entered: false,
            unsure: false,
            link: None,
            confirmed: false,
            known: false,
            arrived: false,
            at_app: None,
            handed: 0,
            delivered: 0,
            spare: 0,
            excused: (false, false),
            wild: false,
            unordered: false,
            promised: None,
            refused: false,
            spare_files: 0,
            part: Part::Whole,
            lasts: false,
            required: false,
            came_without_file: false,
        }
    }

    fn is_excused(&self) -> bool {
        let by_receipt = match self.promised {
            Some(Level::Delivered) => true,
            Some(Level::Stored) => self.stored.0,
            _ => false,
        };
        self.wild || self.excused.1 || (self.excused.0 && !by_receipt)
    }

    /// It must be delivered, or stand in a ledger.
    pub fn is_missing(&self) -> bool {
        // An answer is delivered when it is on its way to who asked.
        let is_own = self.draft.message_type == "_ping" || self.answers.is_some();
        let is_own = match self.part {
            Part::Whole => is_own,
            Part::Published(_) => true,
            Part::Copy(_) => !self.required,
        };
        self.entered && self.delivered == 0 && !self.is_excused() && !is_own
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Waiting,
    Answered,
    Error,
    ConnectionEnded,
    /// The app did not want to wait any longer.
    GivenUp,
}

/// Messages that pass each other by, though one app sent them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// Without a file from the beginning.
    Plain,
    /// With their files, or, directly, to where it was refused.
    WithFile,
    /// Published, with a file that the broker could not keep: from there on they are messages like others.
    WithoutFile,
}

/// All messages, and all requests by their message.
#[derive(Debug, Default)]
pub struct Model {
    pub messages: Vec<Message>,
    pub requests: BTreeMap<usize, Outcome>,
    /// The newest message that was delivered of a stream, to a node.
    newest: BTreeMap<(usize, Option<usize>, &'static str, Way), usize>,
    /// The files of all nodes, and which of them speak the second kind of link.
    pub files: Vec<(FileSystem, bool)>,
    pub delivered: u64,
}

impl Model {
    pub fn draft(&mut self, message: Message) -> usize {
        self.messages.push(message);
        self.messages.len() - 1
    }

    /// A connector has read a message of an app whole; of a session, perhaps for the second time.
    pub fn enter(&mut self, number: usize, in_session: bool) {
        let message = &mut self.messages[number];
        assert!(!message.entered || in_session, "message {number} was written once: {message:?}");
        message.entered = true;
        if let Part::Published(copies) = message.part.clone() {
            copies.values().for_each(|copy| self.messages[*copy].entered = true);
        }
    }

    /// An app that listens has got a message.
    pub fn deliver(&mut self, number: usize, node: usize, message_type: &str, bytes: &[u8]) {
        let message = &self.messages[number];
        let whole = self.whole_of(number);
        let error = message.draft.check(whole, bytes);
        assert_eq!(message.to, Some(node), "message {number} came to the right connector");
        self.check_file(number, node, error);
        let message = &self.messages[number];
        assert_eq!(message.draft.message_type, message_type, "message {number} came to the right app");
        self.count(number);
        let message = &self.messages[number];
        let published = &self.messages[whole];
        let way = match message.draft.file {
            None => Way::Plain,
            Some(_) if message.came_without_file && whole != number => Way::WithoutFile,
            Some(_) => Way::WithFile,
        };
        let stream = (published.stream, message.to, message.draft.message_type, way);
        if message.delivered > 1 || [message, published].iter().any(|m| m.wild || m.unordered) {
            return;
        }
        let newest = self.newest.insert(stream, number);
        let is_free = |number: usize| self.messages[number].wild || self.messages[number].unordered;
        let is_wild = newest.is_some_and(|newest| is_free(newest) || is_free(self.whole_of(newest)));
        assert!(newest < Some(number) || is_wild, "message {number} came after {newest:?} of the same app");
    }

    /// A message has come: its file is there whole, or it is said why not, and there is a reason.
    fn check_file(&mut self, number: usize, node: usize, error: Option<String>) {
        let message = &self.messages[number];
        if message.draft.file.is_none() {
            return assert_eq!(error, None, "message {number} has no file");
        }
        let sent = self.whole_of(number);
        let published = &self.messages[sent];
        let came: Vec<_> = self.files[node].0.arrived_as(&name(sent));
        let whole = message.draft.file_bytes(sent);
        let was_changed = self.files[published.from].0.harmed(&source(sent)) > 0;
        let harmed = was_changed || message.wild || published.wild;
        let was_damaged = [node, 0].iter().any(|at| self.files[*at].0.harmed(&name(sent)) > AGAIN_MAX);
        assert!(harmed || came.iter().all(|bytes| bytes == whole), "the file of message {number} is as it was sent");
        let spare = if sent == number { 0 } else { published.spare + published.spare_files };
        let often = (message.spare + message.spare_files + spare) as usize + 1;
        assert!(came.len() <= often || message.wild, "the file of {number} came {} times: {message:?}", came.len());
        let is_first_kind = !(self.files[message.from].1 && self.files[node].1);
        self.messages[number].came_without_file |= error.is_some();
        let message = &self.messages[number];
        match error {
            None => assert!(!came.is_empty(), "the file of message {number} is there before it"),
            // What comes again may find its source removed.
            Some(_) if harmed || was_damaged || is_first_kind || message.spare > 0 || self.may_lack_file(number) => {}
            Some(error) => panic!("the file of message {number} did not come, {error}: {message:?}"),
        }
    }

    /// Nothing has become of a source that its receiver does not have.
    pub fn check_sources(&self, is_calm: bool) {
        for (number, message) in self.messages.iter().enumerate().filter(|(_, m)| m.draft.file.is_some()) {
            let is_there = self.files[message.from].0.has(&source(number));
            let has_come = message.to.is_some_and(|to| !self.files[to].0.arrived_as(&name(number)).is_empty());
            let is_first_kind = message.to.is_none_or(|to| !(self.files[message.from].1 && self.files[to].1));
            if let Part::Copy(_) = message.part {
                continue;
            }
            // On link 1 a source goes when TCP has confirmed its bytes; what the receiver then cannot write, refuses or
            // loses with the message is gone.
            let may_be_lost = is_first_kind && (!is_calm || message.delivered == 0 || message.came_without_file);
            let is_kept = is_there || has_come || may_be_lost || message.part != Part::Whole;
            assert!(is_kept, "the source of message {number} is gone, and it did not come: {message:?}");
            assert!(is_there || is_deleted(number), "the source of message {number} was to stay");
            if is_calm && !is_first_kind {
                assert_eq!(is_there, !is_deleted(number), "the source of message {number} is removed");
            }
        }
    }

    fn count(&mut self, number: usize) {
        self.delivered += 1;
        let whole = self.whole_of(number);
        let (spare, is_wild) =
            if whole == number { (0, false) } else { (self.messages[whole].spare, self.messages[whole].wild) };
        let message = &mut self.messages[number];
        message.delivered += 1;
        assert!(message.entered, "message {number} was sent whole: {message:?}");
        let most = 1 + message.spare + spare;
        assert!(message.delivered <= most || message.wild || is_wild, "message {number} comes again: {message:?}");
    }

    /// The asker has got an answer.
    pub fn answer(&mut self, request: usize, answer: usize, bytes: &[u8]) {
        self.end_request(request, Outcome::Answered);
        let error = self.messages[answer].draft.check(answer, bytes);
        if let Some(to) = self.messages[answer].to {
            self.check_file(answer, to, error);
        }
        self.count(answer);
        assert_eq!(self.messages[answer].answers, Some(request), "the answer is that to the question");
    }

    pub fn end_request(&mut self, request: usize, outcome: Outcome) {
        let before = self.requests.insert(request, outcome);
        assert_eq!(before, Some(Outcome::Waiting), "request {request} ends once, now with {outcome:?}");
    }

    /// An app has a receipt.
    pub fn promise(&mut self, number: usize, level: Level) {
        let message = &mut self.messages[number];
        assert!(message.entered, "message {number} has a receipt and was not read: {message:?}");
        message.promised = message.promised.max(Some(level));
        match level {
            Level::Delivered => message.excused.0 = false,
            Level::Stored if message.stored.0 => message.excused.0 = false,
            _ => {}
        }
    }

    /// A connector dies. With `power` also what it has not synced is gone; `half` are messages that it was busy with.
    pub fn crash(&mut self, node: usize, power: bool, half: &[usize]) {
        for (number, message) in self.messages.iter_mut().enumerate() {
            if message.from == node {
                let is_safe = message.stored.0 && !power && !message.unsure && !half.contains(&number);
                message.excused.0 |= !is_safe;
                message.spare += u32::from(message.link.is_some());
            }
            if message.to == Some(node) {
                let is_safe =
                    message.stored.1 && message.arrived && !message.unsure && !power && !half.contains(&number);
                message.excused.1 |= message.link.is_some() && !is_safe;
            }
        }
    }

    /// A connector has ended, or died: what apps had of it may come again, from stored inboxes or from those that sent
    /// it. `resumes` says of which types apps know what they had, whatever happens; with `ails` the disk may have failed.
    pub fn ended(&mut self, node: usize, ails: bool, resumes: &dyn Fn(&str) -> bool) {
        // What has come could not be kept, though the messages were.
        for message in self.messages.iter_mut().filter(|m| ails && (m.from == node || m.to == Some(node))) {
            message.spare += u32::from(message.entered);
            // What it had refused, or dropped, comes again too, behind what it took meanwhile.
            message.unordered |= message.entered && message.delivered == 0;
        }
        // What a session has in memory only is sent again, also if a peer had it without the connector knowing.
        for message in self.messages.iter_mut().filter(|m| m.from == node && m.stream >= SESSIONS) {
            message.spare += u32::from(!message.stored.0 && message.entered);
        }
        for message in self.messages.iter_mut().filter(|m| m.to == Some(node)) {
            let is_known = message.stored.1 && resumes(message.draft.message_type);
            // An answer was never in an inbox.
            let again = if is_known { 0 } else { message.handed };
            message.spare += again.max(message.delivered.saturating_sub(message.handed));
        }
    }
}
