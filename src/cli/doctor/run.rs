//! Programs of the system that are asked.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longest wait for an answer. A bus that hangs must not hold this up.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Longest answer, bytes.
const ANSWER_MAX: u64 = 64 * 1024;

/// What a program says on stdout, if it is there, ends in time and is content.
pub(super) fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let stdout = child.stdout.take()?;
    let (sender, answer) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.take(ANSWER_MAX).read_to_string(&mut text);
        // Nobody waits any more if it took too long.
        let _ = sender.send(read.map(|_| text));
    });
    let text = answer.recv_timeout(TIMEOUT).ok().and_then(Result::ok);
    if text.is_none() {
        let _ = child.kill();
    }
    let ended = child.wait().ok()?;
    text.filter(|_| ended.success())
}

/// The value of `KEY=value` in such lines.
pub(super) fn value<'a>(lines: &'a str, key: &str) -> Option<&'a str> {
    let of = |line: &'a str| line.strip_prefix(key)?.strip_prefix('=');
    lines.lines().find_map(of).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_fails_or_hangs_says_nothing() {
        assert_eq!(output("echo", &["A=b"]).as_deref(), Some("A=b\n"));
        assert_eq!(output("no-such-program", &[]), None);
        assert_eq!(output("false", &[]), None);
        assert_eq!(output("sleep", &["60"]), None);
    }

    #[test]
    fn values_are_found_by_their_keys() {
        assert_eq!(value("A=1\nAB=2\nC=\n", "AB"), Some("2"));
        assert_eq!(value("A=1\nAB=2\nC=\n", "C"), None);
    }
}
