//! Receiving apps that acknowledge, through the library for apps.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use aioconnectors::api::{ConnectorApi, Message};

use crate::common::{Frame, RawSender, wait};
use crate::link::{Link, Witness};

fn api(link: &Link) -> ConnectorApi {
    let api = ConnectorApi::server("127.0.0.1", link.port).files_dir(&link.server.dir).any_connector_owner(false);
    api.recv_message_types(["any"]).build().expect("an api")
}

fn number(message: &Message) -> u32 {
    message.text().expect("text").parse().expect("a number")
}

fn send(link: &Link, numbers: std::ops::Range<u32>) {
    let frames: Vec<Frame> = numbers.map(|n| link.up("any", n.to_string())).collect();
    RawSender::connect(&link.client.send_socket()).send_all(&frames);
}

/// An app that is done with all messages but those that are in `refused`, which it gives back so many times first.
fn receive(api: &ConnectorApi, mut refused: BTreeMap<u32, u32>) -> Receiver<u32> {
    let (into, done) = channel();
    let callback = move |message: Message| {
        let number = number(&message);
        if let Some(left @ 1..) = refused.get_mut(&number) {
            *left -= 1;
            return Err(format!("{number} is given back"));
        }
        into.send(number).map_err(|e| e.to_string())
    };
    api.start_waiting_for_messages_with_acks("any", callback).expect("a waiting app");
    done
}

fn take(done: &Receiver<u32>, count: u32) -> Vec<u32> {
    (0..count).map(|_| done.recv_timeout(wait::LIMIT).expect("one more message")).collect()
}

#[test]
fn what_an_app_gives_back_comes_again_and_nothing_is_out_of_order() {
    let link = Link::start();
    let api = api(&link);
    let done = receive(&api, [(0, 1), (777, 2)].into());
    send(&link, 0..3000);
    assert_eq!(take(&done, 3000), (0..3000).collect::<Vec<_>>());
}

#[test]
fn what_an_app_had_not_acknowledged_when_it_ended_goes_to_the_next_one() {
    let link = Link::start();
    let first = api(&link);
    // From 5 on it is done with nothing.
    let done = receive(&first, [(5, u32::MAX)].into());
    send(&link, 0..10);
    assert_eq!(take(&done, 5), [0, 1, 2, 3, 4]);
    drop(first);
    send(&link, 10..12);
    let second = api(&link);
    let done = receive(&second, BTreeMap::new());
    assert_eq!(take(&done, 7), [5, 6, 7, 8, 9, 10, 11]);
    assert!(done.recv_timeout(Duration::from_millis(100)).is_err(), "nothing comes twice");
}

#[test]
fn garbage_of_an_app_that_receives_ends_its_connection_with_one_line() {
    let link = Link::start();
    let mut witness = Witness::start(&link);
    let listener = UnixListener::bind(link.server.receive_socket("any")).expect("a listening app");
    send(&link, 0..1);
    let (mut connector, _) = listener.accept().expect("the connector comes");
    connector.write_all(b"\xff\xff\xff\xff").expect("garbage is taken");
    let line = link.server_process.wait_error(&["receives"]);
    assert!(line.contains("\"any\"") && line.contains("limit"), "{line}");
    witness.speak();
}
