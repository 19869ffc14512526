//! `aioconnectorsctl demo` as its user sees it.
#![cfg(feature = "daemon")]

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A demo that runs, and what it has said so far.
struct Demo {
    child: Child,
    stdout: BufReader<ChildStdout>,
    said: String,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aioconnectorsctl"));
        command.arg("demo").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout, said: String::new() }
    }

    /// Reads until a line that has `text`, and returns it.
    fn until(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "{text:?} is not in\n{}", self.said);
            self.said += &line;
            if line.contains(text) {
                return line;
            }
        }
    }

    fn folder(&self) -> PathBuf {
        let line = self.said.lines().find(|line| line.contains(" are in ")).unwrap();
        PathBuf::from(line.rsplit(' ').next().unwrap())
    }

    /// The two connectors.
    fn processes(&self) -> Vec<Pid> {
        let numbers = self.said.lines().filter_map(|line| line.split_once("  process ")?.1.parse().ok());
        numbers.map(Pid::from_raw).collect()
    }

    /// Waits for the end: how it ended, what stderr has, and stdout in `said`.
    fn end(mut self) -> (ExitStatus, String, Self) {
        self.stdout.read_to_string(&mut self.said).unwrap();
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap(), stderr, self)
    }

    fn assert_nothing_stays(&self) {
        assert!(!self.folder().exists());
        assert_eq!(self.processes().len(), 2, "{}", self.said);
        assert!(self.processes().iter().all(|pid| !lives(*pid)));
    }
}

/// Whether the process runs. One that has ended may still be listed, if nobody asks how: kept connectors have no parent.
fn lives(pid: Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
}

#[test]
fn it_shows_messages_that_all_arrive_and_leaves_nothing_behind() {
    let (status, stderr, demo) = Demo::start(&[]).end();
    assert!(status.success(), "{status}\n{}{stderr}", demo.said);
    assert!(demo.said.contains("client -> server  hello number 1 from the client"), "{}", demo.said);
    assert!(demo.said.contains(" messages sent, all have arrived, in order.\n"), "{}", demo.said);
    assert!(!demo.said.contains(['\r', '\x1b']), "a pipe is no terminal: {:?}", demo.said);
    assert_eq!(stderr, "");
    demo.assert_nothing_stays();
}

#[test]
fn ctrl_c_ends_it_in_order() {
    let mut demo = Demo::start(&[]);
    demo.until("answers/s");
    let asked = Instant::now();
    kill(Pid::from_raw(demo.child.id().cast_signed()), Signal::SIGINT).unwrap();
    let (status, stderr, demo) = demo.end();
    assert!(status.success(), "{status}\n{}{stderr}", demo.said);
    assert!(demo.said.contains("Interrupted"), "{}", demo.said);
    assert!(asked.elapsed() < PATIENCE);
    demo.assert_nothing_stays();
}

#[test]
fn a_connector_that_dies_is_told_with_its_last_words() {
    let mut demo = Demo::start(&[]);
    demo.until("answers/s");
    kill(demo.processes()[0], Signal::SIGKILL).unwrap();
    let (status, stderr, demo) = demo.end();
    assert_eq!(status.code(), Some(1), "{}{stderr}", demo.said);
    assert!(stderr.contains("the server connector has ended with signal: 9"), "{stderr}");
    assert!(stderr.contains(" connected"), "the log's last lines are shown: {stderr}");
    demo.assert_nothing_stays();
}

#[test]
fn kept_connectors_run_on_and_the_printed_commands_work() {
    let mut demo = Demo::start(&["--keep"]);
    let stop = demo.until("  kill ");
    let (status, stderr, demo) = demo.end();
    assert!(status.success(), "{status}\n{}{stderr}", demo.said);
    assert!(demo.processes().iter().all(|pid| lives(*pid)));

    let ping = demo.said.lines().find(|line| line.contains(" ping ")).unwrap();
    let mut ping = Command::new("sh").args(["-c", &format!("exec {ping}")]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(ping.stdout.take().unwrap()).lines().map(Result::unwrap);
    let answer = lines.find(|line| line.contains("REPLY")).unwrap();
    assert!(answer.starts_with("RECEIVING REPLY from peer ('127.0.0.1', "), "{answer}");
    kill(Pid::from_raw(ping.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(ping.wait().unwrap().success());

    assert!(Command::new("sh").args(["-c", stop.trim()]).status().unwrap().success());
    demo.assert_nothing_stays();
}
