//! Requests that await their answers.

use std::thread;

use crate::common::{RawReceiver, RawSender, ask, wait};
use crate::link::Link;

#[test]
fn an_answer_goes_to_the_app_that_asked_and_to_no_other() {
    let link = Link::start();
    let at_client = RawReceiver::listen(link.client.receive_socket("ask"));
    let at_server = RawReceiver::listen(link.server.receive_socket("ask"));
    thread::scope(|scope| {
        let question = link.up("ask", "what?").with("request_id", 5).with("await_response", true);
        let socket = link.client.send_socket();
        let asking = scope.spawn(move || ask(&socket, &question));
        at_server.wait_count(1);
        let question = &at_server.frames()[0];
        assert_eq!((question.field("request_id"), question.field("await_response")), (5.into(), true.into()));
        let other = link.down("ask", "something else").with("response_id", 6);
        let answer = link.down("ask", "that").with("response_id", 5);
        RawSender::connect(&link.server.send_socket()).send_all([&other, &answer]);
        let came = asking.join().unwrap().expect("an answer");
        assert_eq!((came.data.as_slice(), came.field("response_id")), (&b"that"[..], 5.into()));
    });
    at_client.wait_count(1);
    assert_eq!(at_client.frames()[0].data, b"something else", "an answer that nobody awaits is an ordinary message");
}

#[test]
fn a_request_without_an_id_is_given_one() {
    let link = Link::start();
    let at_server = RawReceiver::listen(link.server.receive_socket("ask"));
    thread::scope(|scope| {
        let asking =
            scope.spawn(|| ask(&link.client.send_socket(), &link.up("ask", "what?").with("await_response", true)));
        at_server.wait_count(1);
        let id = at_server.frames()[0].field("request_id");
        assert!(id.is_string() || id.is_number(), "{id}");
        let answer = link.down("ask", "that").with("response_id", id);
        RawSender::connect(&link.server.send_socket()).send_all([&answer]);
        assert_eq!(asking.join().unwrap().expect("an answer").data, b"that");
    });
}

#[test]
fn many_requests_at_once_each_get_their_own_answer() {
    let link = Link::start();
    let at_server = RawReceiver::listen(link.server.receive_socket("ask"));
    let count = 100;
    thread::scope(|scope| {
        let asking: Vec<_> = (0..count)
            .map(|i| {
                let question = link.up("ask", i.to_string()).with("request_id", i).with("await_response", true);
                let socket = link.client.send_socket();
                scope.spawn(move || ask(&socket, &question))
            })
            .collect();
        at_server.wait_count(count);
        let mut app = RawSender::connect(&link.server.send_socket());
        for question in at_server.frames().iter().rev() {
            app.send_all([&link.down("ask", question.data.clone()).with("response_id", question.field("request_id"))]);
        }
        for (i, asking) in asking.into_iter().enumerate() {
            assert_eq!(asking.join().unwrap().expect("an answer").data, i.to_string().as_bytes());
        }
    });
}

#[test]
fn a_request_to_a_peer_that_is_not_there_is_closed_without_an_answer() {
    let mut link = Link::start();
    link.server_process.kill();
    wait::until("a client that has noticed", || link.client.admin().connected_peers().filter(|peers| peers.is_empty()));
    let question = link.up("ask", "anybody?").with("request_id", 1).with("await_response", true);
    assert_eq!(ask(&link.client.send_socket(), &question), None);
}

#[test]
fn a_peer_that_goes_while_its_answer_is_awaited_is_an_error_frame() {
    let mut link = Link::start();
    let at_server = RawReceiver::listen(link.server.receive_socket("ask"));
    let question = link.up("ask", "still there?").with("request_id", 1).with("await_response", true);
    let mut app = RawSender::connect(&link.client.send_socket());
    app.send_all([&question]);
    at_server.wait_count(1);
    link.server_process.kill();
    let answer = app.receive().expect("an answer of the connector's own");
    assert_eq!(answer.field("error"), "disconnected_during_wait", "{answer:?}");
}

#[test]
fn an_app_that_leaves_while_it_waits_harms_nobody() {
    let link = Link::start();
    let at_client = RawReceiver::listen(link.client.receive_socket("ask"));
    let at_server = RawReceiver::listen(link.server.receive_socket("ask"));
    let mut gone = RawSender::connect(&link.client.send_socket());
    gone.send_all([&link.up("ask", "what?").with("request_id", 1).with("await_response", true)]);
    at_server.wait_count(1);
    drop(gone);
    let mut app = RawSender::connect(&link.server.send_socket());
    app.send_all([&link.down("ask", "too late").with("response_id", 1), &link.down("ask", "next")]);
    // The late answer may be delivered as an ordinary message or be dropped; what follows it is delivered.
    wait::until("the message after the late answer", || {
        at_client.frames().into_iter().find(|frame| frame.data == b"next")
    });
}
