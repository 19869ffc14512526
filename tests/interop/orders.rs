//! What is asked of a link beside carrying messages: acknowledgements, and the urgent before the rest.

use serde_json::json;

use crate::checks::wait_empty;
use crate::common::traffic::{Account, messages};
use crate::common::{Frame, RawReceiver, RawSender, Setup};
use crate::pair::Kind::{self, Ours, Python};
use crate::pair::Mode::{self, Certificates, Plain};
use crate::pair::Pair;
use crate::python;

/// Messages in each direction.
const COUNT: usize = 1_600;

/// Every message asks for an acknowledgement: each comes once, in order, and what was kept for it is given up.
#[track_caller]
fn acknowledged(server: Kind, client: Kind, mode: Mode) {
    if python::interpreter().is_none() {
        return;
    }
    let pair = Pair::start(server, client, mode);
    for (from, to, what) in [(&pair.client, &pair.server, "up"), (&pair.server, &pair.client, "down")] {
        let sent: Vec<Frame> = messages("any", &from.id, &to.id, COUNT);
        let sent: Vec<Frame> = sent.into_iter().map(|frame| frame.with("wait_for_ack", true)).collect();
        let receiver = RawReceiver::listen(to.receive_socket("any"));
        RawSender::connect(&from.send_socket()).send_all(&sent);
        receiver.wait_count(sent.len());
        let came: Vec<Frame> = receiver.frames().into_iter().map(without_number).collect();
        Account::of(&sent, &came).assert_exact(what);
        wait_empty(&from.admin());
    }
}

/// A Python connector leaves the number that asks for the acknowledgement in the header.
fn without_number(frame: Frame) -> Frame {
    let mut fields = frame.fields();
    fields.remove("transport_id");
    Frame { header: json!(fields).to_string(), ..frame }
}

#[test]
fn acknowledgements_between_our_server_and_a_python_client() {
    acknowledged(Ours, Python, Plain);
}

#[test]
fn acknowledgements_between_a_python_server_and_our_client() {
    acknowledged(Python, Ours, Plain);
}

#[test]
fn acknowledgements_between_our_server_and_a_python_client_over_tls() {
    acknowledged(Ours, Python, Certificates(Ours));
}

#[test]
fn acknowledgements_between_two_of_ours() {
    acknowledged(Ours, Ours, Plain);
}

/// Two apps of our client flood its server: most that comes is of the urgent type, and the other comes as well.
#[track_caller]
fn urgent_first(server: Kind) {
    if python::interpreter().is_none() {
        return;
    }
    let client = |client: Setup| client.with("send_message_types_priorities", json!({"any": -1, "quick": 2.5}));
    let pair = Pair::start_with(server, Ours, Plain, client);
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
        at_any.wait_count(1);
        let before = at_quick.count();
        at_any.wait_count(COUNT);
        let between = at_quick.count() - before;
        assert!(
            (20..COUNT * 3 / 4).contains(&between),
            "{between} of the less urgent came beside {COUNT} of the urgent"
        );
        at_quick.wait_count(COUNT);
    });
    Account::of(&urgent, &at_any.frames()).assert_exact("urgent");
    Account::of(&other, &at_quick.frames()).assert_exact("the other");
}

#[test]
fn the_urgent_goes_first_to_a_python_server() {
    urgent_first(Python);
}

#[test]
fn the_urgent_goes_first_to_ours() {
    urgent_first(Ours);
}
