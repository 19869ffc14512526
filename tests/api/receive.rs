use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use aioconnectors::api::{ApiError, ConnectorApi, Message};

use crate::fake::*;

/// Waits for messages of type `any`, and collects their data.
fn collect(api: &ConnectorApi) -> Arc<Mutex<Vec<String>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&seen);
    let callback = move |m: Message| into.lock().unwrap().push(m.text().unwrap().to_owned());
    api.start_waiting_for_messages("any", callback).unwrap();
    seen
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[test]
fn messages_come_in_order_on_each_of_several_connections() {
    let (dir, api) = client();
    let seen = collect(&api);
    let mut first = connect(&receive_path(&dir));
    let mut second = connect(&receive_path(&dir));
    for at in (0..1000).step_by(100) {
        write_messages(&mut first, at..at + 100);
        write_messages(&mut second, 1000 + at..1000 + at + 100);
    }
    wait_until("2000 messages", || seen.lock().unwrap().len() == 2000);
    let (low, high): (Vec<_>, Vec<_>) =
        std::mem::take(&mut *seen.lock().unwrap()).into_iter().partition(|n| n.len() < 4);
    assert!(low == numbers(0..1000) && high == numbers(1000..2000));
}

#[test]
fn what_the_connector_had_written_is_delivered_before_stopping_returns() {
    let (dir, api) = client();
    let seen = collect(&api);
    let mut open = connect(&receive_path(&dir));
    write_messages(&mut open, 0..100);
    let mut in_line = connect(&receive_path(&dir));
    write_messages(&mut in_line, 100..200);
    assert!(api.stop_waiting_for_messages("any"));
    let mut seen = seen.lock().unwrap().clone();
    seen.sort_by_key(|n| n.parse::<u32>().unwrap());
    assert_eq!(seen, numbers(0..200));
    assert!(open.write_all(b"more").is_err(), "the connector learns that nobody reads");
}

#[test]
fn stopping_removes_the_socket_and_one_can_start_again() {
    let (dir, api) = client();
    collect(&api);
    assert!(receive_path(&dir).exists());
    assert!(api.stop_waiting_for_messages("any"));
    assert!(!receive_path(&dir).exists());
    assert!(!api.stop_waiting_for_messages("any"));
    let seen = collect(&api);
    write_messages(&mut connect(&receive_path(&dir)), 0..1);
    wait_until("a message", || seen.lock().unwrap().len() == 1);
    drop(api);
    assert!(!receive_path(&dir).exists(), "dropping the api stops as well");
}

#[test]
fn stopping_leaves_the_socket_of_another_alone() {
    let (dir, api) = client();
    collect(&api);
    std::fs::remove_file(receive_path(&dir)).unwrap();
    let _other = std::os::unix::net::UnixListener::bind(receive_path(&dir)).unwrap();
    assert!(api.stop_waiting_for_messages("any"));
    assert!(receive_path(&dir).exists());
}

#[test]
fn a_callback_may_stop_its_own_waiting() {
    let (dir, api) = client();
    let api = Arc::new(api);
    let (done, wait) = mpsc::channel();
    let callback = {
        let api = Arc::clone(&api);
        move |_| done.send(api.stop_waiting_for_messages("any")).unwrap()
    };
    api.start_waiting_for_messages("any", callback).unwrap();
    // A second connection has a thread that wants the callback too.
    let mut streams = [connect(&receive_path(&dir)), connect(&receive_path(&dir))];
    streams.iter_mut().for_each(|s| write_messages(s, 0..1));
    assert_eq!(wait.recv_timeout(PATIENCE), Ok(true));
    assert!(!receive_path(&dir).exists());
}

#[test]
fn garbage_and_a_panic_end_their_own_connection_only() {
    let (dir, api) = client();
    let (panicked, count) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(0)));
    let callback = {
        let (panicked, count) = (Arc::clone(&panicked), Arc::clone(&count));
        move |_| {
            *count.lock().unwrap() += 1;
            assert!(panicked.swap(true, Ordering::SeqCst), "the first message makes the callback panic");
        }
    };
    api.start_waiting_for_messages("any", callback).unwrap();
    let closed = |mut stream: UnixStream| {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    };
    let mut good = connect(&receive_path(&dir));
    let mut panics = connect(&receive_path(&dir));
    write_messages(&mut panics, 0..1);
    closed(panics);
    let mut garbage = connect(&receive_path(&dir));
    garbage.write_all(&frame("no json", b"")).unwrap();
    closed(garbage);
    write_messages(&mut good, 0..3);
    wait_until("the good connection's messages", || *count.lock().unwrap() == 4);
}

#[test]
fn only_one_can_wait_for_a_type_and_only_for_one_of_the_config() {
    let (dir, api) = client();
    collect(&api);
    assert!(matches!(api.start_waiting_for_messages("any", drop), Err(ApiError::AlreadyWaiting { .. })));
    let error = api.start_waiting_for_messages("news", drop).unwrap_err().to_string();
    assert_eq!(error, "\"news\" is not among the recv_message_types: any, other");
    let second = ConnectorApi::client("c1").files_dir(dir.path()).build().unwrap();
    assert!(matches!(second.start_waiting_for_messages("any", drop), Err(ApiError::InUse { .. })));
    api.start_waiting_for_messages("other", drop).unwrap();
}

#[test]
fn an_answer_goes_back_to_where_the_question_came_from() {
    let (dir, api) = client();
    let connector = start_connector(&dir);
    let (seen, questions) = mpsc::channel();
    api.start_waiting_for_messages("any", move |m| seen.send(m).unwrap()).unwrap();
    let question =
        frame(r#"{"message_type": "any", "source_id": "s", "request_id": "q1", "await_response": true}"#, b"?");
    connect(&receive_path(&dir)).write_all(&question).unwrap();
    let question = questions.recv_timeout(PATIENCE).unwrap();
    assert!(question.awaits_answer());
    api.answer(&question).text("!").send().unwrap();
    let frames = read_frames(&mut connector.accept().unwrap().0, 1);
    assert_eq!((&frames[0].header["response_id"], &frames[0].header["destination_id"]), (&"q1".into(), &"s".into()));
}
