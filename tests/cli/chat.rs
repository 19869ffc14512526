//! `aioconnectorsctl chat`, one side against the other.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{Place, free_port, wait};
use crate::rig::CTL;

/// One side: what is typed goes to its stdin.
struct Chat {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    said: Vec<String>,
    dir: PathBuf,
}

impl Chat {
    fn start(place: &Place, name: &str, arguments: &[&str]) -> Self {
        let dir = place.file(name);
        fs::create_dir_all(&dir).unwrap();
        let mut command = Command::new(CTL);
        command.arg("chat").args(arguments).current_dir(&dir);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { stdin: child.stdin.take(), child, lines, said: Vec::new(), dir }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for a line with `text`.
    #[track_caller]
    fn until(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(wait::LIMIT) {
                Ok(line) => self.said.push(line),
                Err(_) => panic!("{text:?} is not in\n{}\n{}", self.said.join("\n"), self.errors()),
            }
            let last = self.said.last().unwrap();
            if last.contains(text) {
                return last.clone();
            }
        }
    }

    fn errors(&mut self) -> String {
        let _ = self.child.kill();
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        errors
    }

    /// Waits for the end: the exit code, all that was said, and stderr.
    fn end(mut self) -> (Option<i32>, String, String) {
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        let code = self.child.wait().unwrap().code();
        let said: Vec<_> = self.said.drain(..).chain(self.lines.iter()).collect();
        (code, said.join("\n"), errors)
    }
}

/// Two sides; the one that listens is `first`.
fn pair(place: &Place, listener: &[&str], other: &[&str]) -> (Chat, Chat) {
    let port = free_port().to_string();
    let mut first = Chat::start(place, "a", &[&["--bind", "127.0.0.1", "--port", &port], listener].concat());
    first.until(&format!("--target 127.0.0.1 --port {port}"));
    let second = Chat::start(place, "b", &[&["--target", "127.0.0.1", "--port", &port], other].concat());
    (first, second)
}

#[test]
fn two_sides_talk_once_the_other_is_let_in() {
    let place = Place::new();
    let (mut a, mut b) = pair(&place, &[], &[]);
    b.say("hello");
    b.until("Connected: 127.0.0.1");
    a.until("Let in chat_client from 127.0.0.1:");
    a.say("maybe");
    a.until("y or n?");
    a.say("y");
    a.until("chat_client: hello");
    a.say("hello to you\u{1b}[2J");
    b.until("127.0.0.1: hello to you\u{fffd}[2J");
    b.say("!date");
    b.until("!date is not known");
    b.say("!exit");
    let (code, _, errors) = b.end();
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    a.until("chat_client is not connected any more");
    kill(Pid::from_raw(a.child.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(fs::read_dir(&a.dir).unwrap().count(), 1, "while it runs there is a folder for what comes");
    let dir = a.dir.clone();
    assert_eq!(a.end().0, Some(0));
    assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
}

#[test]
fn who_is_not_let_in_is_not_heard() {
    let place = Place::new();
    let (mut a, mut b) = pair(&place, &[], &[]);
    b.say("hello");
    a.until("Let in chat_client");
    a.say("n");
    a.until("chat_client is not let in");
    b.until("127.0.0.1 is not connected any more");
    a.until("chat_client is not connected any more");
    b.say("hello?");
    b.until("Nobody is there yet: it was not sent.");
    b.say("!exit");
    assert_eq!(b.end().0, Some(0));
    a.say("!exit");
    let (code, said, _) = a.end();
    assert_eq!((code, said.contains("hello")), (Some(0), false), "{said}");
}

#[test]
fn lines_of_a_pipe_wait_until_somebody_is_there_and_its_end_is_the_end() {
    let place = Place::new();
    let (mut a, mut b) = pair(&place, &["--accept"], &[]);
    b.say("one");
    b.say("two");
    b.stdin = None;
    assert_eq!(b.end().0, Some(0));
    a.until("chat_client: one");
    a.until("chat_client: two");
    a.stdin = None;
    let port =
        a.said[0].split(' ').find_map(|word| word.trim_end_matches('.').parse::<u16>().ok()).unwrap().to_string();
    let mut c = Chat::start(&place, "c", &["--target", "127.0.0.1", "--port", &port, "--exec"]);
    c.say("!echo $((40 + 2))");
    c.until("42");
    c.say("three");
    a.until("chat_client: three");
}

#[test]
fn arguments_and_ports_that_cannot_be_are_told() {
    let place = Place::new();
    for (arguments, code, said) in [
        (&["--upload", "x"][..], 2, "--upload needs a --target"),
        (&["--target", "x", "--bind", "y"], 2, "leave one out"),
        (&["--port", "many"], 2, "--port"),
        (&["--target", "x", "--upload", "/no/such/file"], 1, "/no/such/file: No such file"),
        (&["--dir", "/no/such/folder"], 1, "/no/such/folder: no files can come here"),
    ] {
        let (found, _, errors) = Chat::start(&place, "a", arguments).end();
        assert_eq!((found, errors.contains(said)), (Some(code), true), "{arguments:?}: {errors}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, _, errors) = Chat::start(&place, "a", &["--bind", "127.0.0.1", "--port", &port]).end();
    assert_eq!(code, Some(1));
    assert!(errors.contains("Address already in use") && errors.contains(&port), "{errors}");
}
