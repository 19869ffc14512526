//! What must hold between any two connectors.

use std::fs;
use std::thread;

use serde_json::json;

use crate::common::traffic::{Account, END, difference, messages};
use crate::common::{Frame, RawReceiver, RawSender, Setup, ask, wait};
use crate::pair::Pair;
use crate::python;

/// Messages in each direction.
const COUNT: usize = 3_200;

/// Requests of one app.
const REQUESTS: usize = 20;

/// Raw apps on both ends, both directions at once: every message once, in order, unaltered.
#[track_caller]
pub fn messages_between_raw_apps(pair: &Pair) {
    let (server, client) = (&pair.server, &pair.client);
    let up = messages("any", &client.id, &server.id, COUNT);
    let down = messages("any", &server.id, &client.id, COUNT);
    let at_server = RawReceiver::listen(server.receive_socket("any"));
    let at_client = RawReceiver::listen(client.receive_socket("any"));
    thread::scope(|scope| {
        scope.spawn(|| RawSender::connect(&client.send_socket()).send_all(&up));
        scope.spawn(|| RawSender::connect(&server.send_socket()).send_all(&down));
        at_server.wait_tag(END);
        at_client.wait_tag(END);
    });
    Account::of(&up, &at_server.frames()).assert_exact("client to server");
    Account::of(&down, &at_client.frames()).assert_exact("server to client");
}

/// The same with apps of the Python package.
#[track_caller]
pub fn messages_between_python_apps(pair: &Pair) {
    let (server, client) = (&pair.server, &pair.client);
    let up = messages("any", &client.id, &server.id, COUNT);
    let down = messages("any", &server.id, &client.id, COUNT);
    let mut receivers = [(server, "up"), (client, "down")].map(|(at, name)| {
        let receiver = python::spawn("app_recv.py", at, &["any", &pair.file(&format!("{name}.got"))]);
        receiver.wait_output("ready");
        receiver
    });
    let mut senders = [(client, "up", &up), (server, "down", &down)].map(|(at, name, frames)| {
        let path = pair.file(name);
        fs::write(&path, frames.iter().flat_map(Frame::encode).collect::<Vec<_>>()).expect("a file of frames");
        python::spawn("app_send.py", at, &[&path])
    });
    for app in senders.iter_mut().chain(&mut receivers) {
        assert_eq!(app.exit_code(), 0, "an app of the Python package failed");
    }
    Account::of(&up, &read(pair, "up.got")).assert_exact("client to server");
    Account::of(&down, &read(pair, "down.got")).assert_exact("server to client");
}

/// What apps send while the Python server is away is stored, arrives when it comes, and is given up then.
#[track_caller]
pub fn stored_messages(pair: &mut Pair) {
    pair.kill_server();
    let client = pair.client.admin();
    wait::until("a client that has noticed", || client.connected_peers().filter(|peers| peers.is_empty()));
    let up = messages("any", &pair.client.id, &pair.server.id, COUNT);
    RawSender::connect(&pair.client.send_socket()).send_all(&up);
    let at_server = RawReceiver::listen(pair.server.receive_socket("any"));
    pair.start_server();
    at_server.wait_tag(END);
    wait::until("an empty queue to the server", || {
        let queues = client.ask("peek_queues__sync", json!({"dump_result": true})).ok()?;
        let queues: serde_json::Value = serde_json::from_str(&queues).ok()?;
        queues["queue_send"].as_object()?.values().all(|waiting| *waiting == 0).then_some(())
    });
    Account::of(&up, &at_server.frames()).assert_exact("stored for a Python server");
}

/// A `_ping` that awaits its answer gets it from the other connector, whichever end asks.
#[track_caller]
pub fn pings(pair: &Pair) {
    for (from, to) in [(&pair.client, &pair.server), (&pair.server, &pair.client)] {
        for id in [json!(7), json!("seven"), json!(0)] {
            let ping =
                Frame::new(json!({"message_type": "_ping", "source_id": from.id, "destination_id": to.id}), "hi\0")
                    .with("request_id", id.clone())
                    .with("await_response", true)
                    .with_binary([1, 0, 255]);
            let pong = ask(&from.send_socket(), &ping).expect("an answer to a ping");
            assert_eq!(pong.field("message_type"), "_ping", "{pong:?}");
            assert_eq!(pong.field("response_id"), id, "{pong:?}");
            assert_eq!(pong.field("source_id"), to.id.as_str(), "{pong:?}");
            assert_eq!(pong.field("await_response"), json!(null), "an answer awaits no answer: {pong:?}");
            assert_eq!(pong.data, ping.data, "{pong:?}");
        }
    }
}

/// An app of the Python package asks, another on the other end answers, both ways.
#[track_caller]
pub fn requests_between_python_apps(pair: &Pair) {
    for (asker, answerer, name) in [(&pair.client, &pair.server, "up"), (&pair.server, &pair.client, "down")] {
        let answering = python::spawn("app_answer.py", answerer, &["ask"]);
        answering.wait_output("ready");
        let requests: Vec<_> = (0..REQUESTS).map(|i| request(asker, answerer, i)).collect();
        let (asked, answered) = (pair.file(&format!("{name}.ask")), format!("{name}.answers"));
        fs::write(&asked, requests.iter().flat_map(Frame::encode).collect::<Vec<_>>()).expect("a file of frames");
        let mut asking = python::spawn("app_ask.py", asker, &[&asked, &pair.file(&answered)]);
        assert_eq!(asking.exit_code(), 0, "the asking app failed");
        let answers = read(pair, &answered);
        assert_eq!(answers.len(), REQUESTS, "an answer to each request");
        for (request, answer) in requests.iter().zip(&answers) {
            check_answer(request, answer, answerer, asker);
        }
    }
}

fn request(asker: &Setup, answerer: &Setup, i: usize) -> Frame {
    let header = json!({"message_type": "ask", "source_id": asker.id, "destination_id": answerer.id});
    let frame = Frame::new(header, format!("request {i} \u{e9}"));
    let frame =
        if i.is_multiple_of(2) { frame.with("request_id", i) } else { frame.with("request_id", format!("id-{i}")) };
    if i.is_multiple_of(3) { frame.with_binary([0, 1, u8::try_from(i).expect("few requests")]) } else { frame }
}

#[track_caller]
fn check_answer(request: &Frame, answer: &Frame, answerer: &Setup, asker: &Setup) {
    let header = json!({"message_type": "ask", "source_id": answerer.id, "destination_id": asker.id});
    let backwards = |bytes: &Vec<u8>| bytes.iter().rev().copied().collect::<Vec<_>>();
    let mut expected = Frame::new(header, backwards(&request.data)).with("response_id", request.field("request_id"));
    if let Some(binary) = &request.binary {
        expected = expected.with_binary(backwards(binary));
    }
    assert_eq!(difference(&expected, answer), None, "answer to {request:?}");
}

/// Header keys that no connector knows arrive as they were sent, both ways.
#[track_caller]
pub fn unknown_keys(pair: &Pair) {
    for (from, to) in [(&pair.client, &pair.server), (&pair.server, &pair.client)] {
        let receiver = RawReceiver::listen(to.receive_socket("quick"));
        let frame = Frame::new(json!({"message_type": "quick", "source_id": from.id, "destination_id": to.id}), "x")
            .with("x_trace", json!({"a": [1, -2.5, null, true, "\u{e9}\"\\\u{2603}"], "b": {}}))
            .with("\u{e9}t\u{e9}", "")
            .with("priority", 3)
            .with("BIG", "REPLACED");
        // More digits than a 64-bit number or a double holds: only who leaves it alone carries it through.
        let frame = Frame { header: frame.header.replace("\"REPLACED\"", "123456789012345678901234567890"), ..frame };
        RawSender::connect(&from.send_socket()).send_all([&frame]);
        receiver.wait_count(1);
        let came = &receiver.frames()[0];
        assert_eq!(difference(&frame, came), None);
        assert!(came.header.contains("123456789012345678901234567890"), "a number was altered: {}", came.header);
    }
}

#[track_caller]
fn read(pair: &Pair, name: &str) -> Vec<Frame> {
    Frame::read_all(&fs::read(pair.file(name)).expect("what an app wrote")).expect("whole frames")
}
