//! The tests' own tools: an account that overlooks something would make all else worthless.

use serde_json::json;

use crate::common::Frame;
use crate::common::traffic::{Account, messages};

fn sent() -> Vec<Frame> {
    messages("any", "a", "b", 200)
}

/// What the account says of a change to what was received.
fn account_of(change: impl FnOnce(&mut Vec<Frame>)) -> String {
    let mut received = sent();
    change(&mut received);
    let account = Account::of(&sent(), &received);
    assert!(!account.is_exact(), "a fault was overlooked");
    account.to_string()
}

#[test]
fn what_arrives_as_it_was_sent_is_exact() {
    assert!(Account::of(&sent(), &sent()).is_exact());
}

#[test]
fn a_lost_message_is_named() {
    let account = account_of(|frames| drop(frames.remove(7)));
    assert!(account.contains("lost: 1, the first any-7"), "{account}");
}

#[test]
fn a_message_that_comes_twice_is_named() {
    let account = account_of(|frames| frames.insert(9, frames[8].clone()));
    assert!(account.contains("twice: 1, the first any-8"), "{account}");
    assert!(account.contains("out of order: 0"), "{account}");
}

#[test]
fn messages_in_the_wrong_order_are_named() {
    let account = account_of(|frames| frames.swap(3, 4));
    assert!(account.contains("out of order: 1, the first any-3"), "{account}");
}

#[test]
fn a_message_that_nobody_sent_is_shown() {
    let account = account_of(|frames| frames.push(Frame::new(json!({"tag": "spy"}), "hi")));
    assert!(account.contains("unexpected: 1") && account.contains("spy"), "{account}");
}

#[test]
fn the_first_differing_byte_of_data_or_binary_is_shown() {
    let account = account_of(|frames| *frames[8].data.last_mut().unwrap() ^= 1);
    assert!(account.contains("altered: 1, the first any-8"), "{account}");
    assert!(account.contains("data from byte 99999 on"), "{account}");
    let account = account_of(|frames| frames[5].binary.as_mut().unwrap().truncate(20));
    assert!(account.contains("binary from byte 20 on"), "{account}");
}

#[test]
fn a_changed_header_is_shown() {
    let account = account_of(|frames| frames[2] = frames[2].clone().with("request_id", "2"));
    assert!(account.contains("altered: 1") && account.contains(r#""request_id":"2""#), "{account}");
}

#[test]
fn frames_of_all_kinds_survive_their_own_encoding() {
    let bytes: Vec<u8> = sent().iter().flat_map(Frame::encode).collect();
    assert!(Frame::read_all(&bytes).unwrap() == sent());
    assert!(Frame::read_all(&bytes[..bytes.len() - 1]).is_err(), "half a frame is none");
}
