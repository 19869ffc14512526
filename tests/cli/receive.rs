//! `aioconnectorsctl receive`.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::common::{RawSender, wait};
use crate::rig::{Link, outcome, run};

/// A `receive` that runs beside the server.
struct Receive {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Receive {
    /// Starts it, and waits until it listens.
    #[track_caller]
    fn start(link: &Link, arguments: &[&str]) -> Self {
        let mut command = link.server_ctl("receive", arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        for message_type in arguments.iter().filter(|argument| ["any", "ask"].contains(argument)) {
            let socket = link.server.receive_socket(message_type);
            wait::until("a socket to receive at", || socket.exists().then_some(()));
        }
        Self { child, out }
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"))
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits for the end: the exit code, the rest of stdout, and stderr.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut rest, mut error) = (String::new(), String::new());
        self.out.read_to_string(&mut rest).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), None);
        (status.code(), rest, error)
    }
}

fn send(link: &Link, arguments: &[&str], input: &[u8]) {
    let output = run(link.client_ctl("send", arguments), input);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn each_message_is_a_line_of_json() {
    let link = Link::start();
    let mut receive = Receive::start(&link, &["any", "ask", "--count", "3"]);
    send(&link, &["any", "h\u{e9}llo\n", "--tag", "t", "--header", "own=1"], b"");
    let expected =
        json!({"type": "any", "source": "client1", "tag": "t", "header": {"own": 1}, "data": "h\u{e9}llo\n"});
    assert_eq!(receive.line(), expected);
    send(&link, &["ask", "-"], b"\xff\x00");
    assert_eq!(receive.line(), json!({"type": "ask", "source": "client1", "data_base64": "/wA="}));
    let mut sender = RawSender::connect(&link.client.send_socket());
    let frame = crate::common::Frame::new(json!({"message_type": "any", "request_id": 7}), "").with_binary([1, 2]);
    sender.send_all([&frame]);
    let expected = json!({"type": "any", "source": "client1", "id": 7, "data": "", "binary_base64": "AQI="});
    assert_eq!(receive.line(), expected);
    assert_eq!(receive.end(), (Some(0), String::new(), String::new()));
}

#[test]
fn raw_data_is_written_as_it_came() {
    let link = Link::start();
    let receive = Receive::start(&link, &["any", "--raw", "--count", "2"]);
    send(&link, &["any", "a", "--count", "2"], b"");
    assert_eq!(receive.end().1, "aa");
    let receive = Receive::start(&link, &["any", "--lines", "--count", "2"]);
    send(&link, &["any", "-", "--lines"], b"a\nb\n");
    assert_eq!(receive.end().1, "a\nb\n");
}

#[test]
fn questions_are_answered() {
    let link = Link::start();
    let mut receive = Receive::start(&link, &["ask", "--answer", "yes"]);
    let (code, lines, error) = outcome(&run(link.client_ctl("send", &["ask", "well?", "--await"]), b""));
    assert_eq!((code, &lines[0]["answer"]["data"]), (Some(0), &json!("yes")), "{error}");
    assert_eq!(receive.line()["awaits_answer"], true);
    receive.signal(Signal::SIGTERM);
    assert_eq!(receive.end().0, Some(0));
}

#[test]
fn signals_and_a_closed_pipe_end_it_in_order() {
    let link = Link::start();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let receive = Receive::start(&link, &["any"]);
        receive.signal(signal);
        assert_eq!(receive.end(), (Some(0), String::new(), String::new()));
        assert!(!link.server.receive_socket("any").exists());
    }
    let Receive { mut child, out } = Receive::start(&link, &["any"]);
    drop(out);
    let status = wait::until("the end of it, though no message comes", || child.try_wait().unwrap());
    assert!(status.success(), "{status}");
}

#[test]
fn what_was_not_written_is_not_acknowledged() {
    let link = Link::start_with(|setup| setup.with("disk_persistence_recv", true));
    let lines: String = (0..100).map(|n| format!("{n}\n")).collect();
    send(&link, &["any", "-", "--lines", "--receipt", "delivered"], lines.as_bytes());
    let mut seen = String::new();
    for count in ["1", "10", "50"] {
        let (code, out, error) = Receive::start(&link, &["any", "--ack", "--lines", "--count", count]).end();
        assert_eq!((code, error.as_str()), (Some(0), ""));
        seen += &out;
    }
    let Receive { mut child, out } = Receive::start(&link, &["any", "--ack", "--lines"]);
    let mut out = out.lines();
    for _ in 0..4 {
        seen += &(out.next().unwrap().unwrap() + "\n");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let rest: Vec<_> = out.map(|line| line.unwrap() + "\n").collect();
    seen += &rest.concat();
    let last = Receive::start(&link, &["any", "--ack", "--lines", "--timeout", "3"]).end().1;
    // One that is killed had maybe not yet said of the last ones that they are written.
    let mut next = seen.lines().count();
    for line in last.lines() {
        let number: usize = line.parse().unwrap();
        assert!(number <= next, "{number} after {next}: one is missing");
        if number == next {
            seen += &format!("{line}\n");
            next += 1;
        }
    }
    assert_eq!(seen, lines);
}

#[test]
fn a_count_that_is_not_reached_in_time_has_exit_code_4() {
    let link = Link::start();
    let (code, _, error) =
        outcome(&run(link.server_ctl("receive", &["any", "--count", "1", "--timeout", "0.05"]), b""));
    assert_eq!(code, Some(4));
    assert!(error.contains("0 of 1 messages have come"), "{error}");
    let (code, _, _) = outcome(&run(link.server_ctl("receive", &["any", "--timeout", "0.05"]), b""));
    assert_eq!(code, Some(0), "without a count the end of time is an end as any other");
}

#[test]
fn types_that_cannot_be_waited_for_are_told() {
    let link = Link::start();
    let (code, _, error) = outcome(&run(link.server_ctl("receive", &["any", "quikc"]), b""));
    assert_eq!(code, Some(3));
    assert!(error.contains("did you mean quick?"), "{error}");
    let _receive = Receive::start(&link, &["any"]);
    let (code, _, error) = outcome(&run(link.server_ctl("receive", &["any"]), b""));
    assert_eq!(code, Some(1));
    assert!(error.contains("a living process listens"), "{error}");
    let (code, _, error) = outcome(&run(link.server_ctl("receive", &[]), b""));
    assert_eq!((code, error.contains("TYPE… is missing")), (Some(2), true), "{error}");
}
