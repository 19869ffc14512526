//! What apps may do wrong on the socket on which they hand in messages.

use std::net::Shutdown;

use serde_json::json;

use crate::common::{Frame, RawReceiver, RawSender};
use crate::link::{Link, MAX_MESSAGE, Witness, assert_one_complaint};

/// Sends `bytes` on a connection of its own to the client's app socket, which must be closed with one line that has one of
/// `words`, while an honest app goes on.
#[track_caller]
fn is_turned_away(bytes: &[u8], words: &[&str]) {
    let link = Link::start();
    let mut witness = Witness::start(&link);
    let known = link.client_process.complaints().len();
    let mut app = RawSender::connect(&link.client.send_socket());
    app.send_bytes(bytes).expect("the first bytes are taken");
    app.wait_closed();
    assert_one_complaint(&link.client_process, known, words, &mut witness);
    witness.assert_unharmed();
}

/// A frame whose header is `header`, whatever that is.
fn frame_with(header: &[u8]) -> Vec<u8> {
    let mut body = u16::try_from(header.len()).unwrap().to_le_bytes().to_vec();
    body.extend(header);
    body.extend(0_u32.to_le_bytes());
    framed(&body)
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    frame.extend(body);
    frame
}

#[test]
fn a_frame_over_the_limit_is_turned_away_before_it_comes() {
    let length = u32::try_from(MAX_MESSAGE + 1).unwrap().to_le_bytes();
    is_turned_away(&length, &["max_message_size", "too large", "limit"]);
}

#[test]
fn text_that_is_no_frame_is_turned_away() {
    is_turned_away(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", &["max_message_size", "too large", "limit"]);
}

#[test]
fn a_frame_too_short_for_its_own_lengths_is_turned_away() {
    is_turned_away(&framed(&[1, 2, 3]), &["short", "frame", "header", "length"]);
}

#[test]
fn a_frame_of_length_zero_is_turned_away() {
    is_turned_away(&framed(&[]), &["short", "frame", "header", "length"]);
}

#[test]
fn a_header_that_is_longer_than_its_frame_is_turned_away() {
    is_turned_away(&framed(&[0xff, 0xff, b'{', b'}', 0, 0, 0, 0]), &["header"]);
}

#[test]
fn data_that_is_longer_than_its_frame_is_turned_away() {
    let mut body = Frame::new(json!({"message_type": "any"}), "").encode().split_off(4);
    let end = body.len();
    body[end - 4..].copy_from_slice(&50_u32.to_le_bytes());
    is_turned_away(&framed(&body), &["data"]);
}

#[test]
fn a_binary_part_that_was_announced_and_is_absent_is_turned_away() {
    is_turned_away(&frame_with(br#"{"message_type":"any","with_binary":true}"#), &["binary"]);
}

#[test]
fn a_header_that_is_no_json_is_turned_away() {
    is_turned_away(&frame_with(b"{message_type: any}"), &["JSON"]);
}

#[test]
fn a_header_that_is_no_utf8_is_turned_away() {
    is_turned_away(&frame_with(b"{\"message_type\":\"\xff\xfe\"}"), &["UTF-8", "JSON"]);
}

#[test]
fn a_header_that_is_no_object_is_turned_away() {
    is_turned_away(&frame_with(b"[\"message_type\"]"), &["object", "JSON"]);
}

#[test]
fn a_header_nested_deeper_than_any_stack_is_turned_away() {
    let mut header = b"{\"message_type\":\"any\",\"x\":".to_vec();
    header.extend([b'['; 60_000]);
    is_turned_away(&frame_with(&header), &["JSON", "header", "nest", "deep"]);
}

#[test]
fn a_header_without_a_message_type_is_turned_away() {
    is_turned_away(&frame_with(b"{}"), &["message_type"]);
}

#[test]
fn a_message_type_that_is_no_text_is_turned_away() {
    is_turned_away(&frame_with(br#"{"message_type":7}"#), &["message_type", "expected a string"]);
}

#[test]
fn a_message_that_ends_in_its_middle_is_reported_and_not_delivered() {
    let link = Link::start();
    let mut witness = Witness::start(&link);
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    let known = link.client_process.complaints().len();
    let whole = link.up("any", "whole").encode();
    let mut app = RawSender::connect(&link.client.send_socket());
    app.send_bytes(&[&whole[..], &whole[..whole.len() - 3]].concat()).expect("bytes are taken");
    app.stream.shutdown(Shutdown::Write).expect("an end of writing");
    app.wait_closed();
    assert_one_complaint(
        &link.client_process,
        known,
        &["middle", "half", "end", "incomplete", "truncated"],
        &mut witness,
    );
    receiver.wait_count(1);
    witness.assert_unharmed();
    assert_eq!(receiver.count(), 1, "the whole message alone is delivered");
}

#[test]
fn half_a_message_that_is_never_ended_holds_up_nobody() {
    let link = Link::start();
    let mut witness = Witness::start(&link);
    let whole = link.up("any", vec![b'x'; 1000]).encode();
    let apps: Vec<_> = (1..100)
        .map(|part| {
            let mut app = RawSender::connect(&link.client.send_socket());
            app.send_bytes(&whole[..part * 10]).expect("bytes are taken");
            app
        })
        .collect();
    (0..20).for_each(|_| witness.speak());
    drop(apps);
    witness.assert_unharmed();
}

#[test]
fn messages_before_the_bad_one_on_the_same_connection_are_delivered() {
    let link = Link::start();
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    let mut bytes: Vec<u8> = (0..10).flat_map(|i| link.up("any", format!("good {i}")).encode()).collect();
    bytes.extend(frame_with(b"no JSON"));
    bytes.extend(link.up("any", "behind the bad one").encode());
    let mut app = RawSender::connect(&link.client.send_socket());
    app.send_bytes(&bytes).expect("bytes are taken");
    app.wait_closed();
    receiver.wait_count(10);
    Witness::start(&link).assert_unharmed();
    assert_eq!(receiver.count(), 10, "nothing behind the bad frame counts");
}

#[test]
fn a_type_that_the_config_does_not_let_pass_is_refused_and_the_next_message_is_not() {
    let link = Link::start();
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    let mut app = RawSender::connect(&link.client.send_socket());
    app.send_all([&link.up("other", "no"), &link.up("_ssl", "no"), &link.up("_ack", "no"), &link.up("any", "yes")]);
    receiver.wait_count(1);
    assert_eq!(receiver.frames()[0].data, b"yes");
    link.client_process.wait_error(&["other"]);
}

#[test]
fn an_app_that_listens_and_talks_back_nonsense_harms_no_other_type() {
    let link = Link::start();
    let witness = Witness::start(&link);
    let path = link.server.receive_socket("any");
    let listener = std::os::unix::net::UnixListener::bind(path).expect("a socket");
    let mut app = RawSender::connect(&link.client.send_socket());
    app.send_all([&link.up("any", "hello")]);
    let (stream, _) = listener.accept().expect("the connector's connection");
    let mut talker = RawSender { stream };
    let _ = talker.send_bytes(&[0xff; 5000]);
    app.send_all([&link.up("any", "hello again")]);
    witness.assert_unharmed();
}

#[test]
fn a_flood_of_bad_connections_does_not_hinder_an_honest_app() {
    let link = Link::start();
    let mut witness = Witness::start(&link);
    for i in 0..300_u16 {
        let mut app = RawSender::connect(&link.client.send_socket());
        let _ = app.send_bytes(&i.to_le_bytes().repeat(5));
        if i % 30 == 0 {
            witness.speak();
        }
    }
    witness.assert_unharmed();
    let panics: Vec<_> = link.client_process.errors().into_iter().filter(|line| line.contains("panicked")).collect();
    assert_eq!(panics, [""; 0]);
}
