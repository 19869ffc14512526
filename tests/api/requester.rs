//! Many requests on one connection.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

use aioconnectors::api::{ApiError, ConnectorApi, IN_FLIGHT_MAX, NoAnswer, RefusedReason};
use serde_json::{Value, json};

use crate::fake::*;

fn answer(id: &Value, data: &[u8]) -> Vec<u8> {
    frame(&json!({"message_type": "any", "response_id": id}).to_string(), data)
}

/// Takes `count` requests of one connection.
fn take(listener: &UnixListener, count: usize) -> (UnixStream, Vec<Parts>) {
    let mut stream = listener.accept().unwrap().0;
    let frames = read_frames(&mut stream, count);
    assert_eq!(frames.len(), count);
    (stream, frames)
}

#[test]
fn requests_of_many_threads_share_a_connection_and_each_gets_its_own_answer() {
    let (dir, api) = client();
    let connector = start_connector(&dir);
    let requester = api.requester();
    thread::scope(|scope| {
        for thread in 0..8 {
            let (api, requester) = (&api, &requester);
            scope.spawn(move || {
                let text = format!("question {thread}");
                let asked = api.send_message("any").text(&text).await_response_with(requester, PATIENCE);
                assert_eq!(asked.unwrap().text().unwrap(), text);
            });
        }
        let (mut stream, mut frames) = take(&connector, 8);
        frames.reverse();
        for asked in &frames {
            assert_eq!(asked.header["await_response"], true);
            assert_eq!(asked.header["await_response_timeout"].as_f64(), Some(PATIENCE.as_secs_f64()));
            stream.write_all(&answer(&asked.header["request_id"], &asked.data)).unwrap();
        }
    });
}

#[test]
fn one_thread_may_have_many_on_their_way() {
    let (dir, api) = client();
    let connector = start_connector(&dir);
    let requester = api.requester();
    let pending: Vec<_> =
        (0..100i64).map(|n| requester.start(api.send_message("any").request_id(n), PATIENCE).unwrap()).collect();
    let (mut stream, frames) = take(&connector, 100);
    for asked in frames.iter().rev() {
        stream
            .write_all(&answer(&asked.header["request_id"], asked.header["request_id"].to_string().as_bytes()))
            .unwrap();
    }
    for (n, pending) in pending.into_iter().enumerate() {
        assert_eq!(pending.wait().unwrap().text().unwrap(), n.to_string());
    }
}

#[test]
fn a_reason_in_place_of_an_answer_is_for_its_own_request_only() {
    let (dir, api) = client();
    let connector = start_connector(&dir);
    let requester = api.requester();
    let ask = |id: i64| requester.start(api.send_message("any").request_id(id), PATIENCE).unwrap();
    let [gone, refused, late, answered] = [1, 2, 3, 4].map(ask);
    let (mut stream, _) = take(&connector, 4);
    for (id, word) in [(1, "disconnected_during_wait"), (2, "peer_away"), (3, "timeout")] {
        stream.write_all(&frame(&json!({"error": word, "response_id": id}).to_string(), b"{}")).unwrap();
    }
    stream.write_all(&answer(&4.into(), b"yes")).unwrap();
    let why = |error: ApiError| error.no_answer().unwrap();
    assert_eq!(why(gone.wait().unwrap_err()), NoAnswer::PeerGone);
    assert_eq!(why(refused.wait().unwrap_err()), NoAnswer::Refused(RefusedReason::PeerAway));
    assert_eq!(why(late.wait().unwrap_err()), NoAnswer::TimedOut);
    assert_eq!(answered.wait().unwrap().data(), b"yes");
}

#[test]
fn each_has_its_own_timeout_and_a_late_answer_is_let_go() {
    let (dir, api) = client();
    let connector = start_connector(&dir);
    let requester = api.requester();
    let short = requester.start(api.send_message("any").text("short"), Duration::from_millis(20)).unwrap();
    let long = requester.start(api.send_message("any").text("long"), PATIENCE).unwrap();
    let (mut stream, frames) = take(&connector, 2);
    let error = short.wait().unwrap_err();
    assert_eq!(error.no_answer(), Some(NoAnswer::TimedOut), "{error}");
    for asked in &frames {
        stream.write_all(&answer(&asked.header["request_id"], &asked.data)).unwrap();
    }
    assert_eq!(long.wait().unwrap().data(), b"long");
}

#[test]
fn a_connection_that_ends_is_told_to_all_who_wait_and_the_next_request_has_a_new_one() {
    let (dir, api) = client();
    let connector = start_connector(&dir);
    let requester = api.requester();
    let [first, second] =
        [1, 2].map(|id: i64| requester.start(api.send_message("any").request_id(id), PATIENCE).unwrap());
    drop(take(&connector, 2));
    for pending in [first, second] {
        assert_eq!(pending.wait().unwrap_err().no_answer(), Some(NoAnswer::ConnectionLost));
    }
    thread::scope(|scope| {
        let asking = scope.spawn(|| api.send_message("any").request_id(3).await_response_with(&requester, PATIENCE));
        let (mut stream, _) = take(&connector, 1);
        stream.write_all(&answer(&3.into(), b"again")).unwrap();
        assert_eq!(asking.join().unwrap().unwrap().data(), b"again");
    });
}

#[test]
fn a_connector_that_is_not_there_is_said_and_found_when_it_comes() {
    let (dir, api) = client();
    let requester = api.requester();
    let ask = || requester.start(api.send_message("any").request_id(1), PATIENCE);
    assert!(matches!(ask(), Err(ApiError::NotRunning { .. })));
    let connector = start_connector(&dir);
    let pending = ask().unwrap();
    let (mut stream, _) = take(&connector, 1);
    stream.write_all(&answer(&1.into(), b"here")).unwrap();
    assert_eq!(pending.wait().unwrap().data(), b"here");
}

#[test]
fn two_requests_under_one_id_are_not_sent() {
    let (dir, api) = client();
    let _connector = start_connector(&dir);
    let requester = api.requester();
    let ask = || requester.start(api.send_message("any").request_id("x"), PATIENCE);
    let first = ask().unwrap();
    assert!(matches!(ask(), Err(ApiError::RequestIdInUse(_))));
    drop(first);
    assert!(ask().is_ok(), "an id is free when nobody waits for it");
}

#[test]
fn there_is_a_most_that_may_be_on_their_way() {
    let (dir, api) = client();
    let connector = start_connector(&dir);
    let requester = api.requester();
    thread::scope(|scope| {
        let reading = scope.spawn(|| take(&connector, IN_FLIGHT_MAX + 1));
        let mut pending: Vec<_> =
            (0..IN_FLIGHT_MAX).map(|_| requester.start(api.send_message("any"), PATIENCE).unwrap()).collect();
        let error = requester.start(api.send_message("any"), PATIENCE).unwrap_err();
        assert!(matches!(error, ApiError::TooManyRequests(IN_FLIGHT_MAX)), "{error}");
        pending.pop();
        pending.push(requester.start(api.send_message("any"), PATIENCE).unwrap());
        drop(reading.join().unwrap());
    });
}

#[test]
fn a_connector_that_reads_nothing_does_not_hold_others_up_beyond_their_time() {
    let dir = tempfile::tempdir().unwrap();
    let api = ConnectorApi::client("c1").files_dir(dir.path()).write_timeout(PATIENCE * 10).build().unwrap();
    let connector = start_connector(&dir);
    let requester = api.requester();
    let big = vec![0; 16 << 20];
    thread::scope(|scope| {
        let blocked = scope.spawn(|| requester.start(api.send_message("any").bytes(&big), PATIENCE));
        let mut stream = connector.accept().unwrap().0;
        wait_until("half a request", || {
            let mut byte = [0];
            std::io::Read::read(&mut stream, &mut byte).unwrap() == 1
        });
        let error = requester.start(api.send_message("any"), Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error, ApiError::TimedOut { .. }), "{error}");
        drop(stream);
        drop(connector);
        assert!(blocked.join().unwrap().is_err());
    });
}
