use std::io::Write;
use std::thread;
use std::time::Duration;

use aioconnectors::api::{ApiError, Message, Step, WRITE_TIMEOUT};

use crate::fake::*;

/// Asks a question, to which the connector replies with `reply` and closes.
fn ask(reply: &[u8]) -> Result<Message, ApiError> {
    let (dir, api) = client();
    let connector = start_connector(&dir);
    thread::scope(|scope| {
        let asking = scope.spawn(|| api.send_message("any").request_id(5).text("?").await_response(PATIENCE));
        let (mut stream, _) = connector.accept().unwrap();
        let frames = read_frames(&mut stream, 1);
        assert_eq!((&frames[0].header["await_response"], &frames[0].header["request_id"]), (&true.into(), &5.into()));
        stream.write_all(reply).unwrap();
        drop(stream);
        asking.join().unwrap()
    })
}

#[test]
fn the_answer_is_returned() {
    let answer = ask(&frame(r#"{"message_type": "any", "response_id": 5, "source_id": "s"}"#, b"!")).unwrap();
    assert_eq!((answer.data(), answer.source_id()), (&b"!"[..], Some("s")));
}

#[test]
fn a_connection_that_ends_is_no_answer() {
    assert!(matches!(ask(b""), Err(ApiError::NoAnswer { .. })));
    assert!(matches!(ask(&frame("{}", b"")[..5]), Err(ApiError::NoAnswer { .. })));
}

#[test]
fn an_error_in_place_of_an_answer_is_told() {
    let error = ask(&frame(r#"{"error": "disconnected_during_wait", "response_id": 5}"#, b"{}")).unwrap_err();
    assert!(matches!(&error, ApiError::Refused { error, .. } if error == "disconnected_during_wait"), "{error}");
}

#[test]
fn garbage_is_not_an_answer() {
    assert!(matches!(ask(&[1, 0, 0, 0, 0]), Err(ApiError::BadFrame { .. })));
    assert!(matches!(ask(&frame("[]", b"")), Err(ApiError::BadHeader { .. })));
}

#[test]
fn waiting_ends_at_the_timeout() {
    let (dir, api) = client();
    let _connector = start_connector(&dir);
    let error = api.send_message("any").await_response(Duration::from_millis(20)).unwrap_err();
    assert!(matches!(error, ApiError::TimedOut { .. }), "{error}");
}

#[test]
fn the_timeout_is_for_the_question_too() {
    let (dir, api) = client();
    let _connector = start_connector(&dir);
    let question = vec![0; 16 << 20];
    let error = api.send_message("any").bytes(&question).await_response(Duration::from_millis(20)).unwrap_err();
    assert!(matches!(error, ApiError::TimedOut { step: Step::Write, after, .. } if after < WRITE_TIMEOUT), "{error}");
}

#[test]
fn the_admin_socket_is_that_of_the_same_connector() {
    let (dir, api) = client();
    assert_eq!(api.remote().path(), paths(&dir).commander());
}
