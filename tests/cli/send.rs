//! `aioconnectorsctl send`.

use std::fs;
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::thread;

use aioconnectors::api::ConnectorApi;
use serde_json::{Value, json};

use crate::common::{Frame, Place, RawReceiver, Setup};
use crate::rig::{Link, ctl, outcome, run};

fn send(link: &Link, arguments: &[&str], input: &[u8]) -> (Option<i32>, Vec<Value>, String) {
    outcome(&run(link.client_ctl("send", arguments), input))
}

#[test]
fn a_message_arrives_with_all_that_was_typed() {
    let link = Link::start();
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    let binary = link.place.file("binary");
    fs::write(&binary, [0, 1, 255]).unwrap();
    let binary = binary.to_str().unwrap();
    let arguments =
        ["any", "hello", "--binary", binary, "--tag", "t1", "--header", "own=[1, 2]", "--header", "word=some text"];
    assert_eq!(send(&link, &arguments, b""), (Some(0), vec![json!({"sent": 1})], String::new()));
    receiver.wait_count(1);
    let frame = &receiver.frames()[0];
    assert_eq!((frame.data.as_slice(), frame.binary.as_deref()), (&b"hello"[..], Some(&[0, 1, 255][..])));
    assert_eq!(
        (frame.field("own"), frame.field("word"), frame.tag()),
        (json!([1, 2]), json!("some text"), "t1".into())
    );
}

#[test]
fn stdin_is_one_message_or_one_a_line() {
    let link = Link::start();
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    assert_eq!(send(&link, &["any", "-"], b"a\nb\n").0, Some(0));
    let lines: String = (0..5000).map(|n| format!("line {n}\n")).collect();
    assert_eq!(send(&link, &["any", "-", "--lines"], lines.as_bytes()).1, [json!({"sent": 5000})]);
    assert_eq!(send(&link, &["any", "x", "--count", "3"], b"").1, [json!({"sent": 3})]);
    receiver.wait_count(5004);
    let data: Vec<_> = receiver.frames().into_iter().map(|frame| String::from_utf8(frame.data).unwrap()).collect();
    assert_eq!((data[0].as_str(), data[1].as_str(), data[5000].as_str()), ("a\nb\n", "line 0", "line 4999"));
    assert_eq!(data[5001..], ["x", "x", "x"]);
}

#[test]
fn receipts_are_told_one_a_message() {
    let link = Link::start_with(|setup| setup.with("disk_persistence_send", true));
    let _receiver = RawReceiver::listen(link.server.receive_socket("any"));
    for level in ["accepted", "stored", "delivered"] {
        let (code, lines, error) = send(&link, &["any", "-", "--lines", "--receipt", level], b"1\n2\n3\n");
        let expected: Vec<_> = (1..=3).map(|id| json!({"id": id, "level": level})).collect();
        assert_eq!((code, lines, error.as_str()), (Some(0), expected, ""));
    }
}

#[test]
fn a_publication_comes_to_those_who_subscribe() {
    let link = Link::start_with(|setup| setup.with("pubsub_central_broker", true));
    let receiver = RawReceiver::listen(link.client.receive_socket("quick"));
    let api = ConnectorApi::from_file(link.client.write()).unwrap();
    assert_eq!(api.remote().subscribe(&["quick"]).unwrap(), ["quick"]);
    assert_eq!(api.remote().subscriptions().unwrap(), ["quick"]);
    assert!(api.remote().subscribe(&["a/b"]).is_err());
    // The subscription is on its way ahead of it.
    let (code, _, error) = send(&link, &["quick", "news", "--publish", "--receipt", "delivered"], b"");
    assert_eq!(code, Some(0), "{error}");
    receiver.wait_count(1);
    let frame = &receiver.frames()[0];
    assert_eq!((frame.data.as_slice(), frame.field("source_id")), (&b"news"[..], json!(link.server.id)));
}

#[test]
fn what_was_refused_is_not_told_as_stored_when_the_connector_takes_no_more() {
    let place = Place::new();
    let setup = Setup::client(&place, "client1", 1);
    let config = setup.write();
    let listener = UnixListener::bind(setup.send_socket()).unwrap();
    // A connector that refuses three messages, has stored a fourth, and reads no more.
    let connector = thread::spawn(move || {
        let mut app = listener.accept().unwrap().0;
        let say = |app: &mut UnixStream, said| app.write_all(&Frame::new(said, "").encode()).unwrap();
        assert_eq!(Frame::read(&mut app).unwrap().unwrap().field("message_type"), "_hello");
        say(&mut app, json!({"message_type": "_welcome", "receipts": "stored", "connector": "c", "version": "0"}));
        for _ in 0..4 {
            Frame::read(&mut app).unwrap().unwrap();
        }
        for index in 1..=3 {
            say(&mut app, json!({"message_type": "_refused", "index": index, "reason": "queue_full"}));
        }
        say(&mut app, json!({"message_type": "_receipt", "level": "stored", "count": 4}));
        app
    });
    let lines = "a line of some length\n".repeat(100_000);
    let arguments = ["any", "-", "--lines", "--receipt", "stored", "--timeout", "2"];
    let (code, lines, error) = outcome(&run(ctl("send", &config, &arguments), lines.as_bytes()));
    assert_eq!(code, Some(4), "{error}");
    let refused = |id| json!({"id": id, "error": "queue_full"});
    assert_eq!(lines, [refused(1), refused(2), refused(3), json!({"id": 4, "level": "stored"})], "{error}");
    drop(connector.join().unwrap());
}

#[test]
fn what_is_refused_has_its_reason_and_exit_code_3() {
    let link = Link::start();
    let (code, lines, error) = send(&link, &["any", "x", "--receipt", "stored"], b"");
    assert_eq!((code, lines.len()), (Some(3), 0));
    assert!(error.contains("gives receipts at level accepted only"), "{error}");
    let (code, lines, error) = send(&link, &["quikc", "x"], b"");
    assert_eq!((code, lines.len()), (Some(3), 0));
    assert!(error.ends_with("; did you mean quick?\n"), "{error}");
    let to_nobody = ["any", "x", "--to", "nobody", "--receipt", "accepted", "--count", "2"];
    let (code, lines, error) = outcome(&run(link.server_ctl("send", &to_nobody), b""));
    assert_eq!(code, Some(3), "{error}");
    assert_eq!(lines, [1, 2].map(|id| json!({"id": id, "error": "unknown_peer"})));
    assert!(error.contains("message 1: refused: unknown_peer (and 1 others)"), "{error}");
}

#[test]
fn answers_are_told_and_their_absence_has_codes_of_its_own() {
    let link = Link::start();
    let api = ConnectorApi::from_file(link.server.write()).unwrap();
    let answering = ConnectorApi::from_file(link.server.write()).unwrap();
    api.start_waiting_for_messages("ask", move |question| {
        if question.data() != b"silence" {
            answering.answer(&question).bytes(&[question.data(), b"!"].concat()).send().unwrap();
        }
    })
    .unwrap();
    let (code, lines, _) = send(&link, &["ask", "what", "--await"], b"");
    assert_eq!((code, &lines[0]["id"], &lines[0]["answer"]["data"]), (Some(0), &json!(1), &json!("what!")));
    let many: String = (0..300).map(|n| format!("{n}\n")).collect();
    let (code, lines, error) = send(&link, &["ask", "-", "--lines", "--await=60"], many.as_bytes());
    assert_eq!((code, lines.len()), (Some(0), 300), "{error}");
    for (n, line) in lines.iter().enumerate() {
        assert_eq!((&line["id"], &line["answer"]["data"]), (&json!(n + 1), &json!(format!("{n}!"))));
    }
    let (code, lines, error) = send(&link, &["ask", "silence", "--await=0.05"], b"");
    assert_eq!((code, lines), (Some(4), vec![json!({"id": 1, "error": "timeout"})]), "{error}");
}

#[test]
fn a_peer_that_is_away_is_no_answer() {
    let mut link = Link::start();
    link.server_process.kill();
    let gone = || link.client.admin().connected_peers().filter(serde_json::Map::is_empty);
    crate::common::wait::until("a client without its server", gone);
    for arguments in [&["any", "x", "--await"][..], &["any", "-", "--lines", "--await"]] {
        let (code, lines, error) = send(&link, arguments, b"1\n");
        assert_eq!((code, lines.len()), (Some(3), 1), "{lines:?} {error}");
        assert!(lines[0]["error"].is_string(), "{lines:?}");
    }
}

#[test]
fn without_a_connector_the_exit_code_is_5() {
    let place = crate::common::Place::new();
    let client = Setup::client(&place, "client1", 1);
    for arguments in [&["any", "x"][..], &["any", "x", "--receipt", "accepted"], &["any", "x", "--await"]] {
        let (code, lines, error) = outcome(&run(ctl("send", &client.write(), arguments), b""));
        assert_eq!((code, lines.len()), (Some(5), 0), "{error}");
        assert!(error.contains("no connector runs at"), "{error}");
    }
}

#[test]
fn arguments_that_make_no_sense_are_usage_errors() {
    let link = Link::start();
    for (arguments, said) in [
        (&[][..], "TYPE is missing"),
        (&["any", "x", "--receipt", "known"], "\"known\" is none of accepted, stored, delivered"),
        (&["any", "x", "--receipt", "stored", "--await"], "leave one out"),
        (&["any", "x", "--await=soon"], "--await"),
        (&["any", "x", "--timeout", "-1"], "no time in seconds"),
        (&["any", "x", "--lines"], "it needs - for DATA"),
        (&["any", "x", "--delete"], "--delete is for a --file"),
        (&["any", "x", "--header", "key"], "not KEY=JSON"),
    ] {
        let (code, _, error) = send(&link, arguments, b"");
        assert_eq!(code, Some(2), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
    let (code, _, error) = outcome(&run(link.server_ctl("send", &["any", "x"]), b""));
    assert_eq!(code, Some(2));
    assert!(error.contains("--to CLIENT is needed"), "{error}");
    let (code, _, error) = send(&link, &["any", "x", "--file", "/no/such/file"], b"");
    assert_eq!(code, Some(1));
    assert!(error.contains("/no/such/file cannot be sent: No such file"), "{error}");
}

#[test]
fn nobody_who_reads_the_report_does_not_keep_messages_from_being_sent() {
    let link = Link::start();
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = link.client_ctl("send", &["any", "x", "--count", "500", "--receipt", "delivered"]);
    let output = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    receiver.wait_count(500);
}
