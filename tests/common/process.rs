//! Child processes that end with the test, whatever happens, and whose words are kept for the failure message.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::wait;

/// How many of the last lines a failing test shows.
const SHOWN_LINES: usize = 80;

/// Lines that a process has written so far.
#[derive(Default)]
struct Lines {
    all: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Lines {
    fn collect(self: &Arc<Self>, from: impl Read + Send + 'static) -> JoinHandle<()> {
        let lines = Arc::clone(self);
        thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                lines.all.lock().unwrap().push(text);
                lines.changed.notify_all();
                line.clear();
            }
        })
    }

    fn wait(&self, limit: Duration, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let end = Instant::now() + limit;
        let mut all = self.all.lock().unwrap();
        loop {
            if let Some(line) = all.iter().find(|line| wanted(line)) {
                return Some(line.clone());
            }
            let left = end.checked_duration_since(Instant::now())?;
            all = self.changed.wait_timeout(all, left).unwrap().0;
        }
    }
}

/// A running child, the head of a process group of its own. Dropping it kills the group.
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Lines>,
    errors: Arc<Lines>,
    readers: Vec<JoinHandle<()>>,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`; `name` stands for it in messages.
    pub fn spawn(name: impl Into<String>, command: &mut Command) -> Process {
        let name = name.into();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let (output, errors) = (Arc::new(Lines::default()), Arc::new(Lines::default()));
        let readers = vec![
            output.collect(child.stdout.take().expect("a pipe")),
            errors.collect(child.stderr.take().expect("a pipe")),
        ];
        Process { name, child, output, errors, readers, ended: None }
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap_or_else(|error| panic!("{}: {signal} was not sent: {error}", self.name));
    }

    /// The process's end, or `None` if it still runs after `limit`.
    pub fn wait_exit(&mut self, limit: Duration) -> Option<ExitStatus> {
        wait::within(limit, || self.status())
    }

    /// The exit code, when all that it wrote has been read as well; panics if the process runs on or died of a signal.
    #[track_caller]
    pub fn exit_code(&mut self) -> i32 {
        let status = self.wait_exit(wait::LIMIT).unwrap_or_else(|| panic!("{} does not end", self.name));
        self.readers.drain(..).for_each(|reader| reader.join().expect("a reader of lines"));
        status.code().unwrap_or_else(|| panic!("{} ended with {status}", self.name))
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.wait_exit(wait::LIMIT);
    }

    pub fn is_running(&mut self) -> bool {
        self.status().is_none()
    }

    /// What it has written to stderr so far.
    pub fn errors(&self) -> Vec<String> {
        self.errors.all.lock().unwrap().clone()
    }

    /// The warnings and errors among them.
    pub fn complaints(&self) -> Vec<String> {
        self.errors().into_iter().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect()
    }

    /// The first line on stderr with one of `words` (in whatever case), now or within the limit; lines of the normal
    /// course of things do not count.
    #[track_caller]
    pub fn wait_error(&self, words: &[&str]) -> String {
        let found = self.errors.wait(wait::LIMIT, |line| !line.contains(" INFO ") && has_word(line, words));
        found.unwrap_or_else(|| panic!("{} never said one of {words:?} on stderr", self.name))
    }

    /// Waits for a line on stderr with these words, of whatever level.
    #[track_caller]
    pub fn wait_said(&self, words: &str) -> String {
        let found = self.errors.wait(wait::LIMIT, |line| line.contains(words));
        found.unwrap_or_else(|| panic!("{} never said {words:?} on stderr", self.name))
    }

    /// Waits for a line on stdout that begins with `start`.
    #[track_caller]
    pub fn wait_output(&self, start: &str) -> String {
        let found = self.output.wait(wait::LIMIT, |line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("{} never said {start:?} on stdout", self.name))
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"))
    }

    fn status(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("the child's status");
        }
        self.ended
    }

    fn show(&self) {
        for (stream, lines) in [("stdout", &self.output), ("stderr", &self.errors)] {
            let lines = lines.all.lock().unwrap();
            let from = lines.len().saturating_sub(SHOWN_LINES);
            eprintln!("--- {stream} of {}, the last {} of {} lines", self.name, lines.len() - from, lines.len());
            lines[from..].iter().for_each(|line| eprintln!("{line}"));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
        if thread::panicking() {
            self.show();
        }
    }
}

/// Whether `line` has one of `words`, in whatever case.
pub fn has_word(line: &str, words: &[&str]) -> bool {
    let line = line.to_lowercase();
    words.iter().any(|word| line.contains(&word.to_lowercase()))
}
