//! What peers may do wrong on a plain link, before and after they have named themselves.

use std::net::{Shutdown, TcpListener};
use std::time::Duration;

use serde_json::json;

use crate::common::peer::hello;
use crate::common::process::has_word;
use crate::common::setup::wait_link;
use crate::common::{Frame, Place, RawPeer, Setup, wait};
use crate::link::{Link, MAX_MESSAGE, Witness, assert_one_complaint};

/// How long a peer may take to name itself.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What a peer may send before it has.
const BEFORE_HANDSHAKE: usize = 64 * 1024;

/// A peer sends `bytes`, after its hello if it has a `name`; it must be cut off with one line that has one of `words`,
/// while the honest client stays connected.
#[track_caller]
fn is_cut_off(name: Option<&str>, bytes: &[u8], words: &[&str]) {
    let link = Link::start();
    let mut witness = Witness::start(&link);
    let known = link.server_process.complaints().len();
    let mut peer = match name {
        Some(name) => RawPeer::client(link.port, name),
        None => RawPeer::silent(link.port),
    };
    let _ = peer.send_bytes(bytes);
    let took = peer.wait_closed();
    assert!(took < HANDSHAKE / 2, "it was cut off after {took:?}, as if it had been silent");
    assert_one_complaint(&link.server_process, known, words, &mut witness);
    witness.assert_unharmed();
    let peers = link.server.admin().connected_peers().expect("an answer");
    assert_eq!(peers.keys().collect::<Vec<_>>(), [&link.client.id]);
}

fn bad_header() -> Vec<u8> {
    Frame { header: "no JSON".to_owned(), data: vec![], binary: None }.encode()
}

#[test]
fn garbage_instead_of_a_hello() {
    is_cut_off(None, &[0xff; 100], &["max_message_size", "too large", "limit"]);
}

#[test]
fn a_first_header_that_is_no_json() {
    is_cut_off(None, &bad_header(), &["JSON"]);
}

#[test]
fn a_message_before_the_hello() {
    let message = Frame::new(json!({"message_type": "any", "source_id": "mallory"}), "let me in");
    is_cut_off(None, &message.encode(), &["handshake", "hello", "_handshake_no_ssl"]);
}

#[test]
fn a_hello_without_a_name() {
    let nameless = Frame::new(json!({"message_type": "_handshake_no_ssl"}), "hello");
    is_cut_off(None, &nameless.encode(), &["source_id", "name"]);
}

#[test]
fn a_hello_with_a_name_that_is_a_path() {
    is_cut_off(None, &hello("../../etc/passwd").encode(), &["name"]);
}

#[test]
fn a_hello_with_a_reserved_name() {
    is_cut_off(None, &hello("default7").encode(), &["reserved", "name"]);
}

#[test]
fn a_hello_that_says_something_else() {
    let rude = Frame { data: b"goodbye".to_vec(), ..hello("mallory") };
    is_cut_off(None, &rude.encode(), &["hello", "handshake"]);
}

#[test]
fn garbage_after_the_hello() {
    is_cut_off(Some("mallory"), &[0xff; 100], &["max_message_size", "too large", "limit"]);
}

#[test]
fn a_frame_over_the_limit_after_the_hello() {
    // The header may have grown on the way, up to the most that its length can say. What it says is looked at: a
    // frame that brings a file may be longer.
    let message = Frame::new(json!({"message_type": "any", "source_id": "mallory"}), "").encode();
    let length = u32::try_from(MAX_MESSAGE + usize::from(u16::MAX) + 1).unwrap().to_le_bytes();
    let bytes = [&length[..], &message[length.len()..]].concat();
    is_cut_off(Some("mallory"), &bytes, &["max_message_size", "too large", "limit"]);
}

#[test]
fn a_header_that_is_no_json_after_the_hello() {
    is_cut_off(Some("mallory"), &bad_header(), &["JSON"]);
}

#[test]
fn a_header_without_a_type_after_the_hello() {
    is_cut_off(Some("mallory"), &Frame::new(json!({"source_id": "mallory"}), "").encode(), &["message_type"]);
}

#[test]
fn a_frame_that_ends_in_its_middle() {
    let link = Link::start();
    let mut witness = Witness::start(&link);
    let known = link.server_process.complaints().len();
    let mut peer = RawPeer::client(link.port, "mallory");
    peer.send_bytes(&link.up("any", vec![0; 100]).encode()[..50]).expect("bytes are taken");
    peer.stream.shutdown(Shutdown::Write).expect("an end of writing");
    peer.wait_closed();
    assert_one_complaint(
        &link.server_process,
        known,
        &["middle", "half", "end", "incomplete", "truncated"],
        &mut witness,
    );
    witness.assert_unharmed();
}

#[test]
fn peers_that_say_nothing_or_never_end_their_hello_are_dropped_in_time() {
    let link = Link::start();
    let witness = Witness::start(&link);
    let known = link.server_process.complaints().len();
    let mut slow = RawPeer::silent(link.port);
    slow.send_bytes(&hello("mallory").encode()[..20]).expect("bytes are taken");
    let mut silent = RawPeer::silent(link.port);
    let took = slow.wait_closed();
    assert!(took > HANDSHAKE / 2, "it was given {took:?} only");
    silent.wait_closed();
    let expected = ["time", "handshake", "10 s"];
    let complaints = wait::until("both complaints", || {
        link.server_process.complaints().get(known..known + 2).map(<[String]>::to_vec)
    });
    assert!(complaints.iter().all(|line| has_word(line, &expected)), "{complaints:?}");
    witness.assert_unharmed();
}

#[test]
fn a_hello_longer_than_64_kib_is_cut_off_before_it_has_come() {
    let long = Frame { data: vec![b'x'; 4 * BEFORE_HANDSHAKE], ..hello("mallory") };
    is_cut_off(None, &long.encode()[..2 * BEFORE_HANDSHAKE], &["64", "65536", "limit", "too large", "handshake"]);
}

#[test]
fn many_silent_peers_do_not_keep_an_honest_one_out() {
    let link = Link::start();
    let silent: Vec<_> = (0..100).map(|_| RawPeer::silent(link.port)).collect();
    let late = Setup::client_in(&link.place, "late", "late", link.port);
    let _process = late.start();
    wait_link(&link.server, &late);
    drop(silent);
}

#[test]
fn a_server_that_talks_nonsense_is_left_and_tried_again() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = Setup::client(&place, "client1", listener.local_addr().expect("its number").port());
    let process = client.with("max_message_size", MAX_MESSAGE).start();
    for _ in 0..2 {
        let mut server = RawPeer::accept(&listener);
        assert_eq!(server.receive().data, b"hello");
        server.send_bytes(&[0xff; 50]).expect("bytes are taken");
        server.wait_closed();
    }
    process.wait_error(&["max_message_size", "too large", "limit"]);
}
