//! Two of our connectors on plain TCP, and a witness that notices when anything harms them.

use serde_json::json;

use crate::common::process::has_word;
use crate::common::setup::wait_link;
use crate::common::traffic::Account;
use crate::common::{Frame, Place, Process, RawReceiver, RawSender, Setup, free_port, wait};

/// What a message may weigh in these tests: with the default of 1 GiB most garbage would pass for a long message.
pub const MAX_MESSAGE: usize = 1_000_000;

pub struct Link {
    pub port: u16,
    pub server: Setup,
    pub client: Setup,
    // Dropped in this order: a client that loses its server would only talk about it.
    pub client_process: Process,
    pub server_process: Process,
    pub place: Place,
}

impl Link {
    #[track_caller]
    pub fn start() -> Link {
        Link::start_with(|setup| setup)
    }

    /// Starts both with configs that `change` has changed.
    #[track_caller]
    pub fn start_with(change: impl Fn(Setup) -> Setup) -> Link {
        let (place, port) = (Place::new(), free_port());
        let prepare = |setup: Setup| change(setup.with("max_message_size", MAX_MESSAGE));
        let server = prepare(Setup::server(&place, port));
        let client = prepare(Setup::client(&place, "client1", port));
        let (server_process, client_process) = (server.start(), client.start());
        wait_link(&server, &client);
        Link { port, server, client, client_process, server_process, place }
    }

    /// Whether it is over TLS.
    pub fn tls(&self) -> bool {
        self.server.key("use_ssl") == Some(&true.into())
    }

    /// A message of an app on the client to one on the server.
    pub fn up(&self, message_type: &str, data: impl Into<Vec<u8>>) -> Frame {
        message(message_type, &self.client, &self.server, data)
    }

    /// A message of an app on the server to one on the client.
    pub fn down(&self, message_type: &str, data: impl Into<Vec<u8>>) -> Frame {
        message(message_type, &self.server, &self.client, data)
    }
}

pub fn message(message_type: &str, from: &Setup, to: &Setup, data: impl Into<Vec<u8>>) -> Frame {
    Frame::new(json!({"message_type": message_type, "source_id": from.id, "destination_id": to.id}), data)
}

/// Honest apps on both ends of a link that go on all through a test.
pub struct Witness {
    sender: RawSender,
    receiver: RawReceiver,
    from: Setup,
    to: Setup,
    sent: Vec<Frame>,
}

impl Witness {
    #[track_caller]
    pub fn start(link: &Link) -> Witness {
        let (from, to) = (link.client.clone(), link.server.clone());
        let receiver = RawReceiver::listen(to.receive_socket("quick"));
        let sender = RawSender::connect(&from.send_socket());
        let mut witness = Witness { sender, receiver, from, to, sent: Vec::new() };
        witness.speak();
        witness
    }

    /// Sends a message and waits until it has arrived.
    #[track_caller]
    pub fn speak(&mut self) {
        let i = self.sent.len();
        let frame = message("quick", &self.from, &self.to, format!("witness {i}")).with("tag", format!("w-{i}"));
        self.sender.send_all([&frame]);
        self.sent.push(frame);
        self.receiver.wait_count(i + 1);
    }

    /// A last message; then all must have come, and over the same connections as the first.
    #[track_caller]
    pub fn assert_unharmed(mut self) {
        self.speak();
        Account::of(&self.sent, &self.receiver.frames()).assert_exact("an honest app beside");
        assert_eq!(self.receiver.connections(), 1, "the honest receiver's connection was dropped");
    }
}

/// Waits for the warning that has one of `words`, and checks that it is the only one of those after the first `known`.
#[track_caller]
pub fn assert_one_complaint(process: &Process, known: usize, words: &[&str], witness: &mut Witness) {
    wait::within(wait::LIMIT, || (process.complaints().len() > known).then_some(()));
    // Whatever else it has to say of this, it has said before it carries the witness's next messages.
    witness.speak();
    witness.speak();
    let fresh = &process.complaints()[known..];
    assert_eq!(fresh.len(), 1, "one line that says why: {fresh:#?}");
    assert!(has_word(&fresh[0], words), "it should say one of {words:?}: {}", fresh[0]);
}
