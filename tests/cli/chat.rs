//! `aioconnectorsctl chat`, one side against the other.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use aioconnectors::api::{ConnectorApi, File};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::common::{Place, Setup, free_port, wait};
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

    /// What lies in its folder, hidden ones aside, each with what is in it.
    fn files(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut folders = vec![self.dir.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let path = entry.path();
                let name = path.strip_prefix(&self.dir).unwrap().to_str().unwrap().to_owned();
                match entry.file_type().unwrap().is_dir() {
                    true if name.starts_with('.') => {}
                    true => folders.push(path),
                    false => found.push((name, fs::read_to_string(path).unwrap())),
                }
            }
        }
        found.sort();
        found
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
    b.until("Connected: 127.0.0.1");
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

fn file(name: &str, text: &str) -> (String, String) {
    (name.to_owned(), text.to_owned())
}

#[test]
fn files_and_folders_come_when_they_are_wanted_and_overwrite_nothing() {
    let place = Place::new();
    let (mut a, mut b) = pair(&place, &[], &[]);
    b.until("Connected: 127.0.0.1");
    a.until("Let in chat_client");
    a.say("y");
    fs::create_dir_all(b.dir.join("top/in")).unwrap();
    fs::write(b.dir.join("top/in/deep"), "deep").unwrap();
    fs::write(b.dir.join("top/flat"), "flat").unwrap();
    fs::write(b.dir.join("note.txt"), "new").unwrap();
    fs::write(a.dir.join("note.txt"), "old").unwrap();

    b.say("!upload note.txt");
    a.until("Take note.txt (3 bytes) from chat_client? y/n");
    a.say("n");
    b.until("The other side does not want it.");
    b.say("!upload note.txt");
    a.until("Take note.txt");
    a.say("y");
    a.until("Got ");
    b.until("The file is there.");
    b.say("!upload top");
    a.until("Take folder top (2 files, 8 bytes) from chat_client? y/n");
    a.say("y");
    b.until("2 files are there.");
    let expected =
        [file("note (1).txt", "new"), file("note.txt", "old"), file("top/flat", "flat"), file("top/in/deep", "deep")];
    assert_eq!(a.files(), expected);

    // The other way round.
    fs::write(a.dir.join("answer"), "42").unwrap();
    a.say("!upload answer");
    b.until("Take answer (2 bytes) from 127.0.0.1? y/n");
    b.say("y");
    a.until("The file is there.");
    assert!(b.files().contains(&file("answer", "42")));
    a.say("!upload /no/such/file");
    a.until("/no/such/file: No such file");
    a.say("after that");
    b.until("127.0.0.1: after that");
}

#[test]
fn an_upload_is_a_command_of_its_own_with_an_exit_code() {
    let place = Place::new();
    let port = free_port().to_string();
    let mut a = Chat::start(&place, "a", &["--bind", "127.0.0.1", "--port", &port, "--accept", "--dir", "."]);
    a.until("chat --target");
    let source = place.file("source");
    fs::write(&source, "bytes").unwrap();
    let upload = ["--target", "127.0.0.1", "--port", &port, "--upload", source.to_str().unwrap()];
    let (code, said, errors) = Chat::start(&place, "b", &upload).end();
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{said}");
    assert!(said.ends_with("The file is there."), "{said}");
    assert_eq!(a.files(), [file("source", "bytes")]);
    kill(Pid::from_raw(a.child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(a.end().0, Some(0));

    let mut a = Chat::start(&place, "c", &["--bind", "127.0.0.1", "--port", &port]);
    a.until("chat --target");
    let mut b = Chat::start(&place, "b", &upload);
    a.until("Let in");
    a.say("y");
    b.until("Sending source (5 bytes).");
    a.until("Take source");
    a.say("n");
    let (code, said, _) = b.end();
    assert_eq!(code, Some(3), "{said}");
    assert!(a.files().is_empty());
}

#[test]
fn a_file_that_was_not_offered_is_asked_for_when_it_is_there() {
    let place = Place::new();
    let (a, mut b) = pair(&place, &["--accept"], &[]);
    b.until("Connected: 127.0.0.1");
    let port = a.said[0].split(' ').find_map(|word| word.trim_end_matches('.').parse::<u16>().ok()).unwrap();
    drop(b.stdin.take());
    b.end();
    // As a chat of the Python package sends files: without a word before.
    let mut client = Setup::client(&place, "chat_client", port);
    for (key, value) in [("use_ssl", true), ("ssl_allow_all", true)] {
        client = client.with(key, value);
    }
    let source = place.file("source");
    fs::write(&source, "bytes").unwrap();
    let _process = client.start();
    let api = ConnectorApi::from_file(client.write()).unwrap();
    wait::until("a link", || client.admin().connected_peers().filter(|peers| !peers.is_empty()));
    for (name, taken) in [("plain", true), ("../outside", false), (".", false)] {
        let message =
            api.send_message("any").request_id(7).text("Receiving it").file(File::new(&source).dst_name(name));
        let answer = message.await_response(wait::LIMIT).unwrap();
        assert_eq!(answer.header()["chat"]["taken"], taken, "{name}: {answer:?}");
    }
    let more = json!({"chat": {"file_of": "never-offered", "path": "x"}});
    let message = api.send_message("any").request_id(8).file(File::new(&source).dst_name("y"));
    let answer = message.header(more.as_object().unwrap()).await_response(wait::LIMIT).unwrap();
    assert_eq!(answer.header()["chat"], json!({"taken": false, "error": "it was not offered"}));
    assert_eq!(a.files(), [file("plain", "bytes")]);
    assert!(!place.file("outside").exists());
}
