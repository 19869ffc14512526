//! What a connector says and answers on a plain link of the Python package's kind.

use std::net::TcpListener;

use serde_json::json;

use crate::common::{Frame, Place, RawPeer, RawReceiver, RawSender, Setup};
use crate::link::Link;

#[test]
fn a_client_names_itself_first_and_then_both_talk() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its number").port();
    let client = Setup::client(&place, "client1", port);
    let _process = client.start();
    let mut server = RawPeer::accept(&listener);
    let hello = server.receive();
    assert_eq!(hello.field("message_type"), "_handshake_no_ssl");
    assert_eq!((hello.field("source_id"), hello.data), ("client1".into(), b"hello".to_vec()));
    // It wants to hear from the server once before it hands over messages.
    server.answer_ping();
    let receiver = RawReceiver::listen(client.receive_socket("any"));
    let header = json!({"message_type": "any", "source_id": "server", "destination_id": "client1"});
    server.send(&Frame::new(header, "down"));
    receiver.wait_count(1);
    RawSender::connect(&client.send_socket()).send_all([&Frame::new(json!({"message_type": "any"}), "up")]);
    let up = server.receive();
    assert_eq!((up.field("message_type"), up.data), ("any".into(), b"up".to_vec()));
}

#[test]
fn a_message_that_wants_an_ack_gets_one_and_is_delivered_without_its_number() {
    let link = Link::start();
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    let mut peer = RawPeer::client(link.port, "raw");
    let header = json!({"message_type": "any", "source_id": "raw", "destination_id": link.server.id});
    peer.send(&Frame::new(header, "x").with("wait_for_ack", true).with("transport_id", 41));
    let ack = peer.receive();
    assert_eq!((ack.field("message_type"), ack.field("transport_id")), ("_ack".into(), 41.into()));
    receiver.wait_count(1);
    assert_eq!(receiver.frames()[0].field("transport_id"), json!(null));
}

#[test]
fn a_ping_is_answered_at_once_and_the_answer_awaits_none() {
    let link = Link::start();
    let mut peer = RawPeer::client(link.port, "raw");
    let header = json!({"message_type": "_ping", "source_id": "raw", "request_id": "keep_alive_client_check"});
    peer.send(&Frame::new(header, "still there?").with("await_response", true).with_binary([9]));
    let pong = peer.receive();
    assert_eq!(
        (pong.field("message_type"), pong.field("response_id")),
        ("_ping".into(), "keep_alive_client_check".into())
    );
    assert_eq!((pong.field("await_response"), pong.field("with_binary")), (json!(null), true.into()));
    assert_eq!((pong.data, pong.binary), (b"still there?".to_vec(), Some(vec![9])));
}

#[test]
fn a_peer_whose_bytes_come_one_by_one_is_understood() {
    let link = Link::start();
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    let mut peer = RawPeer::silent(link.port);
    peer.stream.set_nodelay(true).expect("bytes that leave at once");
    let header = json!({"message_type": "any", "source_id": "raw", "destination_id": link.server.id});
    let bytes =
        [crate::common::peer::hello("raw").encode(), Frame::new(header, "x").with_binary("y").encode()].concat();
    bytes.iter().for_each(|byte| peer.send_bytes(&[*byte]).expect("a byte is taken"));
    receiver.wait_count(1);
    assert_eq!(receiver.frames()[0].binary.as_deref(), Some(&b"y"[..]));
}

#[test]
fn messages_for_a_raw_peer_reach_it_in_order() {
    let link = Link::start();
    let mut peer = RawPeer::client(link.port, "raw");
    crate::common::wait::until("the raw peer in the list", || {
        link.server.admin().connected_peers().filter(|peers| peers.contains_key("raw"))
    });
    let sent: Vec<_> = (0..100).map(|i| link.down("any", i.to_string()).with("destination_id", "raw")).collect();
    RawSender::connect(&link.server.send_socket()).send_all(&sent);
    for frame in &sent {
        assert_eq!(crate::common::traffic::difference(frame, &peer.receive()), None);
    }
}
