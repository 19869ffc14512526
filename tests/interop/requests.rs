//! Requests and their answers, whoever asks and whoever answers.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use aioconnectors::api::{ConnectorApi, Message, NoAnswer, RefusedReason};
use serde_json::json;

use crate::common::traffic::difference;
use crate::common::{Frame, Process, RawReceiver, Setup, wait};
use crate::pair::Kind::{self, Ours, Python};
use crate::pair::Mode::{self, Certificates, Plain};
use crate::pair::Pair;
use crate::python;

/// Requests of one app that wait at the same time.
const TOGETHER: usize = 100;

/// Requests of each of our apps, one after another.
const EACH: usize = 5;

/// What a request may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The request of a number, with an id of either kind.
fn request(from: &Setup, to: &Setup, number: usize) -> Frame {
    let header = json!({"message_type": "ask", "source_id": from.id, "destination_id": to.id});
    let frame = Frame::new(header, format!("request {number} \u{e9}"));
    let frame = if number.is_multiple_of(2) {
        frame.with("request_id", number)
    } else {
        frame.with("request_id", format!("id-{number}"))
    };
    if number.is_multiple_of(3) { frame.with_binary([0, 1, 2, 255]) } else { frame }
}

/// What answers `request`, as the answering app makes it.
fn answer(request: &Frame, from: &Setup, to: &Setup) -> Frame {
    let header = json!({"message_type": "ask", "source_id": from.id, "destination_id": to.id});
    let backwards = |bytes: &Vec<u8>| bytes.iter().rev().copied().collect::<Vec<_>>();
    let answer = Frame::new(header, backwards(&request.data)).with("response_id", request.field("request_id"));
    match &request.binary {
        Some(binary) => answer.with_binary(backwards(binary)),
        None => answer,
    }
}

/// Asks with an app of the Python package: an answer each, in the order of the requests; `None` where none came.
#[track_caller]
fn ask_with_python(pair: &Pair, at: &Setup, requests: &[Frame], manner: &[&str]) -> Vec<Option<Frame>> {
    let mut asking = start_asking(pair, at, requests, manner);
    assert_eq!(asking.exit_code(), 0, "the asking app failed");
    answers(pair, at)
}

#[track_caller]
fn start_asking(pair: &Pair, at: &Setup, requests: &[Frame], manner: &[&str]) -> Process {
    let asked = pair.file(&format!("{}.asked", at.role.word()));
    fs::write(&asked, requests.iter().flat_map(Frame::encode).collect::<Vec<_>>()).expect("a file of frames");
    let answered = answers_path(pair, at);
    python::spawn("app_ask.py", at, &[[asked.as_str(), answered.as_str()].as_slice(), manner].concat())
}

fn answers_path(pair: &Pair, at: &Setup) -> String {
    pair.file(&format!("{}.answers", at.role.word()))
}

#[track_caller]
fn answers(pair: &Pair, at: &Setup) -> Vec<Option<Frame>> {
    let written = fs::read(answers_path(pair, at)).expect("what the app wrote");
    let frames = Frame::read_all(&written).expect("whole frames");
    frames.into_iter().map(|frame| (frame.field("none") != true).then_some(frame)).collect()
}

/// Many requests of one Python app, answered by another, all of them waiting at once and answered backwards.
#[track_caller]
fn many_at_once_between_python_apps(pair: &Pair, from: &Setup, to: &Setup) {
    let answering = python::spawn("app_answer.py", to, &["ask", &TOGETHER.to_string()]);
    answering.wait_output("ready");
    let requests: Vec<_> = (0..TOGETHER).map(|number| request(from, to, number)).collect();
    let answers = ask_with_python(pair, from, &requests, &["together"]);
    assert_eq!(answers.len(), TOGETHER, "an answer to each");
    for (request, came) in requests.iter().zip(&answers) {
        let came = came.as_ref().unwrap_or_else(|| panic!("no answer to {request:?}"));
        assert_eq!(difference(&answer(request, to, from), came), None, "answer to {request:?}");
    }
}

fn api(at: &Setup) -> ConnectorApi {
    ConnectorApi::from_file(at.write()).expect("the api of a config")
}

/// Apps with our library ask an app of the Python package, each many times, at once.
#[track_caller]
fn rust_apps_ask_a_python_app(from: &Setup, to: &Setup) {
    let answering = python::spawn("app_answer.py", to, &["ask"]);
    answering.wait_output("ready");
    let api = api(from);
    thread::scope(|scope| {
        for app in 0..8 {
            let api = &api;
            scope.spawn(move || {
                for number in 0..EACH {
                    let (id, text) = (format!("{app}/{number}"), format!("what is {app} {number}?"));
                    let request = api.send_message("ask").destination(&to.id).request_id(id.as_str()).text(&text);
                    let answer = request.binary(&[1, 2, 3]).await_response(PATIENCE).expect("an answer");
                    let backwards: Vec<u8> = text.bytes().rev().collect();
                    assert_eq!((answer.data(), answer.binary()), (backwards.as_slice(), Some(&[3, 2, 1][..])));
                    assert_eq!(answer.source_id(), Some(to.id.as_str()));
                    assert_eq!(answer.response_id().map(|id| id.to_json()), Some(format!("{id:?}")));
                }
            });
        }
    });
}

/// An app of the Python package asks one with our library.
#[track_caller]
fn a_python_app_asks_a_rust_app(pair: &Pair, from: &Setup, to: &Setup) {
    let api = Arc::new(api(to));
    let answering = Arc::clone(&api);
    let reply = move |message: Message| {
        let data: Vec<u8> = message.data().iter().rev().copied().collect();
        let binary: Vec<u8> = message.binary().unwrap_or_default().iter().rev().copied().collect();
        answering.answer(&message).bytes(&data).binary(&binary).send().expect("a connector that takes the answer");
    };
    api.start_waiting_for_messages("ask", reply).expect("a socket of its own");
    let requests: Vec<_> = (0..EACH).map(|number| request(from, to, number)).collect();
    let answers = ask_with_python(pair, from, &requests, &[]);
    // The callback holds the api.
    api.stop_waiting_for_messages("ask");
    for (request, came) in requests.iter().zip(&answers) {
        let came = came.as_ref().unwrap_or_else(|| panic!("no answer to {request:?}"));
        assert_eq!(difference(&answer(request, to, from), came), None, "answer to {request:?}");
    }
}

/// Apps of both kinds ask the other connector itself.
#[track_caller]
fn apps_ping(pair: &Pair, from: &Setup, to: &Setup) {
    let ping = Frame::new(json!({"message_type": "_ping", "source_id": from.id, "destination_id": to.id}), "hi")
        .with("request_id", "p");
    let answers = ask_with_python(pair, from, &[ping], &[]);
    let pong = answers[0].as_ref().expect("an answer of the connector");
    assert_eq!((pong.field("message_type"), pong.field("response_id")), ("_ping".into(), "p".into()));
    assert_eq!(pong.data, b"hi");
    let pong = api(from).send_message("_ping").destination(&to.id).request_id(8).text("you").await_response(PATIENCE);
    assert_eq!(pong.expect("an answer of the connector").data(), b"you");
}

/// A peer that is killed while requests wait, and is then away: apps of both kinds are told.
#[track_caller]
fn a_peer_that_goes_is_told_to_who_waits(mut pair: Pair, server_dies: bool) {
    let (from, to) = if server_dies { (&pair.client, &pair.server) } else { (&pair.server, &pair.client) };
    let (from, to) = (from.clone(), to.clone());
    let at_peer = RawReceiver::listen(to.receive_socket("ask"));
    let api = api(&from);
    let ask =
        || api.send_message("ask").destination(&to.id).request_id(1_000).text("and you?").await_response(PATIENCE);
    let mut asking = start_asking(&pair, &from, &[request(&from, &to, 1)], &[]);
    let told = thread::scope(|scope| {
        let waiting = scope.spawn(ask);
        at_peer.wait_count(2);
        if server_dies {
            pair.kill_server();
        } else {
            pair.kill_client();
        }
        waiting.join().expect("an app that is told")
    });
    assert_eq!(told.expect_err("an error").no_answer(), Some(NoAnswer::PeerGone));
    assert_eq!(asking.exit_code(), 0, "the asking app failed");
    // Whoever waits without a time limit is told the same and takes it for an answer.
    assert_eq!(answers(&pair, &from), [None], "there is nobody to answer");
    wait::until("a connector that has noticed", || from.admin().connected_peers().filter(|peers| peers.is_empty()));
    let told = ask().expect_err("an error").no_answer();
    // A server need not remember a client that has left nothing behind.
    let away = [RefusedReason::PeerAway, RefusedReason::UnknownPeer].map(NoAnswer::Refused);
    assert!(told.as_ref().is_some_and(|told| away.contains(told)), "{told:?}");
    assert_eq!(ask_with_python(&pair, &from, &[request(&from, &to, 2)], &[]), [None], "there is nobody to ask");
}

#[track_caller]
fn conversations(server: Kind, client: Kind, mode: Mode) {
    if python::interpreter().is_some() {
        let pair = Pair::start(server, client, mode);
        for (from, to) in [(&pair.client, &pair.server), (&pair.server, &pair.client)] {
            many_at_once_between_python_apps(&pair, from, to);
            rust_apps_ask_a_python_app(from, to);
            a_python_app_asks_a_rust_app(&pair, from, to);
            apps_ping(&pair, from, to);
        }
    }
}

#[test]
fn apps_of_both_kinds_converse_through_our_connectors() {
    conversations(Ours, Ours, Plain);
}

#[test]
fn apps_of_both_kinds_converse_through_our_connectors_with_certificates() {
    conversations(Ours, Ours, Certificates(Ours));
}

#[test]
fn apps_of_both_kinds_converse_through_our_server_and_a_python_client() {
    conversations(Ours, Python, Plain);
}

#[test]
fn apps_of_both_kinds_converse_through_our_server_and_a_python_client_with_certificates() {
    conversations(Ours, Python, Certificates(Ours));
}

#[test]
fn apps_of_both_kinds_converse_through_a_python_server_and_our_client() {
    conversations(Python, Ours, Plain);
}

#[test]
fn apps_of_both_kinds_converse_through_a_python_server_and_our_client_with_certificates() {
    conversations(Python, Ours, Certificates(Python));
}

#[track_caller]
fn goes(server: Kind, client: Kind, mode: Mode, server_dies: bool) {
    if python::interpreter().is_some() {
        a_peer_that_goes_is_told_to_who_waits(Pair::start(server, client, mode), server_dies);
    }
}

#[test]
fn apps_of_both_kinds_are_told_that_our_server_went() {
    goes(Ours, Ours, Plain, true);
}

#[test]
fn apps_of_both_kinds_are_told_that_our_client_went() {
    goes(Ours, Ours, Certificates(Ours), false);
}

#[test]
fn apps_of_both_kinds_are_told_that_a_python_server_went() {
    goes(Python, Ours, Certificates(Ours), true);
}

#[test]
fn apps_of_both_kinds_are_told_that_a_python_client_went() {
    goes(Ours, Python, Plain, false);
}
