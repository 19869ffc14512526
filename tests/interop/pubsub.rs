//! Publications, with brokers and clients of both kinds.

use std::net::TcpStream;
use std::thread;

use serde_json::json;

use crate::common::setup::wait_link;
use crate::common::traffic::{Account, messages};
use crate::common::{Frame, Place, Process, RawReceiver, RawSender, Setup, free_port, wait};
use crate::pair::Kind::{self, Ours, Python};
use crate::python;

/// Messages that are published.
const COUNT: usize = 600;

/// The tag of a message that only shows whether its subscribers are known.
const PROBE: &str = "probe";

/// A connector of either kind.
pub struct Node {
    pub setup: Setup,
    kind: Kind,
    process: Process,
}

impl Node {
    #[track_caller]
    fn start(kind: Kind, setup: Setup) -> Node {
        let process = Node::run(kind, &setup);
        Node { setup, kind, process }
    }

    #[track_caller]
    fn run(kind: Kind, setup: &Setup) -> Process {
        match kind {
            Ours => setup.start(),
            Python => {
                let setup = setup
                    .clone()
                    .with("reuse_uds_path_commander_server", true)
                    .with("reuse_uds_path_send_to_connector", true);
                let mut process = python::spawn("peer.py", &setup, &[]);
                setup.wait_ready(&mut process);
                process
            }
        }
    }

    /// As `kill -9` does; then it is started again.
    #[track_caller]
    fn kill_and_start_again(&mut self) {
        self.process.kill();
        self.process = Node::run(self.kind, &self.setup);
    }

    pub fn listen(&self, message_type: &str) -> RawReceiver {
        RawReceiver::listen(self.setup.receive_socket(message_type))
    }

    /// Says anew what it subscribes to.
    #[track_caller]
    fn subscribe(&self, message_types: &[&str]) {
        self.setup
            .admin()
            .ask("set_subscribe_message_types", json!({"message_types": message_types}))
            .expect("an answer");
    }
}

/// A broker with two subscribers of the type `any`, and a client that publishes.
pub struct Forum {
    // Dropped in this order: clients that lose their server would only talk about it.
    pub publisher: Node,
    pub subscribers: [Node; 2],
    pub broker: Node,
    _place: Place,
}

impl Forum {
    #[track_caller]
    fn start(broker: Kind, clients: [Kind; 3]) -> Forum {
        Forum::start_with(broker, clients, |setup| setup)
    }

    /// The same with something changed in all configs.
    #[track_caller]
    pub fn start_with(broker: Kind, clients: [Kind; 3], change: impl Fn(Setup) -> Setup) -> Forum {
        let (place, port) = (Place::new(), free_port());
        let mut broker = Node::start(broker, change(Setup::server(&place, port).with("pubsub_central_broker", true)));
        wait::until("a broker that listens", || {
            assert!(broker.process.is_running(), "the broker ended at its start");
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        let client = |name: &str| change(Setup::client_in(&place, name, name, port));
        let subscribers = [(clients[0], "sub1"), (clients[1], "sub2")]
            .map(|(kind, name)| Node::start(kind, client(name).with("subscribe_message_types", vec!["any"])));
        let publisher = Node::start(clients[2], client("pub1"));
        for node in subscribers.iter().chain([&publisher]) {
            wait_link(&broker.setup, &node.setup);
        }
        Forum { publisher, subscribers, broker, _place: place }
    }

    /// A message as its publisher writes it.
    pub fn publication(&self, message: &Frame) -> Frame {
        let message_type = message.field("message_type");
        let publication = message.clone().with("message_type_publish", message_type).with("message_type", "_pubsub");
        publication
            .with("source_id", self.publisher.setup.id.as_str())
            .with("destination_id", self.broker.setup.id.as_str())
    }

    #[track_caller]
    fn publish(&self, messages: &[Frame]) {
        let mut app = RawSender::connect(&self.publisher.setup.send_socket());
        for message in messages {
            app.send(&self.publication(message)).expect("a connector that takes it");
        }
    }

    /// Publishes until each of these apps has got something: then the broker knows of all of them.
    #[track_caller]
    pub fn wait_known(&self, message_type: &str, apps: &[&RawReceiver]) {
        let probe = self.message(message_type, PROBE);
        wait::until("subscribers that are known", || {
            self.publish(std::slice::from_ref(&probe));
            apps.iter().all(|app| app.count() > 0).then_some(())
        });
    }

    /// A publication as it comes to a subscriber.
    fn delivered(&self, message: &Frame, subscriber: &Node) -> Frame {
        let mut fields = message.fields();
        fields.insert("source_id".to_owned(), self.broker.setup.id.as_str().into());
        // Ours keeps a publication once for all subscribers, so it says none of them.
        match self.broker.kind {
            Ours => _ = fields.remove("destination_id"),
            Python => _ = fields.insert("destination_id".to_owned(), subscriber.setup.id.as_str().into()),
        }
        Frame { header: json!(fields).to_string(), ..message.clone() }
    }

    fn message(&self, message_type: &str, tag: &str) -> Frame {
        let header = json!({"message_type": message_type, "source_id": self.broker.setup.id, "destination_id": ""});
        Frame::new(header, "").with("tag", tag)
    }
}

/// What an app got, without the probes.
fn taken(app: &RawReceiver) -> Vec<Frame> {
    app.frames().into_iter().filter(|frame| frame.tag() != PROBE).collect()
}

/// Waits for all that was `published`; each must have come once, in order, as of the broker.
#[track_caller]
fn check(forum: &Forum, subscriber: &Node, app: &RawReceiver, published: &[Frame]) {
    wait::until("all publications", || (taken(app).len() >= published.len()).then_some(()));
    let addressed: Vec<_> = published.iter().map(|frame| forum.delivered(frame, subscriber)).collect();
    let account = Account::of(&addressed, &taken(app));
    // A Python broker takes them in on several connections at once.
    let account = if forum.broker.kind == Python { account.without_order() } else { account };
    account.assert_exact(&subscriber.setup.id);
}

#[track_caller]
fn publications(broker: Kind, clients: [Kind; 3]) {
    if python::interpreter().is_none() {
        return;
    }
    let mut forum = Forum::start(broker, clients);
    let apps = [0, 1].map(|i| forum.subscribers[i].listen("any"));
    let not_subscribed = forum.publisher.listen("any");
    forum.wait_known("any", &[&apps[0], &apps[1]]);
    let published = messages("any", "", "", COUNT);
    forum.publish(&published);
    thread::scope(|scope| {
        for (subscriber, app) in forum.subscribers.iter().zip(&apps) {
            let (forum, published) = (&forum, &published);
            scope.spawn(move || check(forum, subscriber, app, published));
        }
    });
    // One that says something else gets that, and no more of what it had.
    let quick = forum.subscribers[0].listen("quick");
    forum.subscribers[0].subscribe(&["quick"]);
    forum.wait_known("quick", &[&quick]);
    let before = taken(&apps[0]).len();
    let more = [forum.message("quick", "q"), forum.message("any", "a"), forum.message("quick", "r")];
    forum.publish(&more);
    assert!(quick.wait_tag("q") && quick.wait_tag("r") && apps[1].wait_tag("a"), "publications never came");
    assert_eq!(taken(&quick).len(), 2, "{:?}", taken(&quick));
    assert_eq!(taken(&apps[0]).len(), before, "a subscription that was given up");
    // One that comes again says again what it wants.
    forum.subscribers[1].kill_and_start_again();
    wait::until("a broker without it or with it anew", || {
        forum.broker.setup.admin().connected_peers().filter(|peers| peers.contains_key("sub2"))
    });
    apps[1].take();
    forum.wait_known("any", &[&apps[1]]);
    forum.publish(&[forum.message("any", "again")]);
    assert!(apps[1].wait_tag("again"), "what was published when it was back never came");
    assert_eq!(not_subscribed.frames(), [], "nobody asked for it");
}

#[test]
fn of_a_python_broker_come_to_python_clients() {
    publications(Python, [Python, Python, Python]);
}

#[test]
fn of_a_python_broker_come_to_our_clients() {
    publications(Python, [Ours, Ours, Ours]);
}

#[test]
fn of_a_python_broker_come_to_clients_of_both_kinds() {
    publications(Python, [Ours, Python, Ours]);
}

#[test]
fn of_our_broker_come_to_python_clients() {
    publications(Ours, [Python, Python, Python]);
}

#[test]
fn of_our_broker_come_to_clients_of_both_kinds() {
    publications(Ours, [Ours, Python, Python]);
}

#[test]
fn of_our_broker_come_to_our_clients() {
    publications(Ours, [Ours, Ours, Ours]);
}
