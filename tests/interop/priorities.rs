//! The urgent and the rest, towards peers of both kinds. In which order they go is for the tests of the core: here two
//! sockets bring them, whose readers run when the system lets them.

use serde_json::json;

use crate::common::traffic::Account;
use crate::common::{Frame, RawReceiver, RawSender, Setup};
use crate::pair::Kind::{self, Ours, Python};
use crate::pair::Mode::Plain;
use crate::pair::Pair;
use crate::python;

/// Messages of each type.
const COUNT: usize = 1_600;

/// Two apps of our client flood its server: all of both types come, each in order, whichever is the urgent one.
#[track_caller]
fn floods_of_two_priorities(server: Kind) {
    if python::interpreter().is_none() {
        return;
    }
    let priorities = |setup: Setup| setup.with("send_message_types_priorities", json!({"any": -1, "quick": 2}));
    let pair = Pair::start_with(server, Ours, Plain, priorities);
    let (from, to) = (&pair.client, &pair.server);
    let flood = |message_type: &str| -> Vec<Frame> {
        let header = json!({"message_type": message_type, "source_id": from.id, "destination_id": to.id});
        (0..COUNT).map(|i| Frame::new(header.clone(), vec![b'x'; 20_000]).with("tag", format!("{i}"))).collect()
    };
    let (urgent, other) = (flood("any"), flood("quick"));
    let [at_any, at_quick] = ["any", "quick"].map(|name| RawReceiver::listen(to.receive_socket(name)));
    std::thread::scope(|scope| {
        scope.spawn(|| RawSender::connect(&from.send_socket()).send_all(&other));
        // The less urgent goes first, as long as there is nothing else.
        at_quick.wait_count(1);
        scope.spawn(|| RawSender::connect(&from.send_socket()).send_all(&urgent));
        at_any.wait_count(COUNT);
        at_quick.wait_count(COUNT);
    });
    Account::of(&urgent, &at_any.frames()).assert_exact("urgent");
    Account::of(&other, &at_quick.frames()).assert_exact("the other");
}

#[test]
fn floods_of_two_priorities_come_to_a_python_server() {
    floods_of_two_priorities(Python);
}

#[test]
fn floods_of_two_priorities_come_to_ours() {
    floods_of_two_priorities(Ours);
}
