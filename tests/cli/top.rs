//! `aioconnectorsctl top`: as text, and on a terminal that is as it was before when it ends.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::Pid;

use crate::common::{RawReceiver, RawSender, wait};
use crate::rig::{Link, run};

fn top(link: &Link, arguments: &[&str]) -> Command {
    link.server_ctl("top", arguments)
}

#[test]
fn without_a_terminal_it_is_printed_once() {
    let link = Link::start();
    let output = run(top(&link, &["--interval", "0.1"]), b"");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with(&format!("server {}", link.server.id)), "{text}");
    let peer = text.lines().find(|line| line.starts_with("client1")).expect("the peer's line");
    assert!(peer.contains("up "), "{text}");
    assert_eq!(text.matches("PEER").count(), 1, "{text}");
    assert!(!text.contains('\x1b'), "{text:?}");
    let output = run(top(&link, &["--interval", "0.1", "--count", "2", "--sort", "age"]), b"");
    assert_eq!(String::from_utf8_lossy(&output.stdout).matches("PEER").count(), 2);
}

#[test]
fn what_was_not_delivered_and_what_passes_are_shown() {
    let link = Link::start();
    let receiver = RawReceiver::listen(link.client.receive_socket("any"));
    let mut sender = RawSender::connect(&link.server.send_socket());
    let frame = |to: &str| {
        let header = serde_json::json!({"message_type": "any", "source_id": link.server.id, "destination_id": to});
        crate::common::Frame::new(header, "x")
    };
    sender.send_all([&frame("client1"), &frame("nobody")]);
    receiver.wait_count(1);
    let text = wait::until("the drop in the ledger", || {
        let output = run(top(&link, &["--once", "--interval", "0.1"]), b"");
        let text = String::from_utf8(output.stdout).expect("text");
        text.contains("unknown_peer").then_some(text)
    });
    assert!(text.lines().any(|line| line.starts_with("nobody") && line.contains("any")), "{text}");
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let link = Link::start();
    for arguments in [["--interval", "0.01"], ["--count", "0"], ["--sort", "colour"]] {
        assert_eq!(run(top(&link, &arguments), b"").status.code(), Some(2), "{arguments:?}");
    }
}

/// `top` on a terminal, which ends in some way.
struct Session {
    child: Child,
    screen: File,
    terminal: std::os::fd::OwnedFd,
    before: Termios,
}

impl Session {
    fn start(link: &Link, columns: u16) -> Self {
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).expect("a terminal");
        let before = tcgetattr(pty.slave.as_fd()).expect("its settings");
        let terminal = || Stdio::from(pty.slave.try_clone().expect("its end"));
        let mut command = top(link, &["--interval", "0.1"]);
        command.env("TERM", "xterm").stdin(terminal()).stdout(terminal()).stderr(terminal());
        let child = command.spawn().expect("the tool");
        Self { child, screen: File::from(pty.master), terminal: pty.slave, before }
    }

    /// Reads on until this is shown; all since the last time.
    fn until(&mut self, wanted: &str) -> String {
        let (mut shown, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let n = self.screen.read(&mut buffer).expect("more on the screen");
            shown.extend_from_slice(&buffer[..n]);
            let text = String::from_utf8_lossy(&shown).into_owned();
            if text.contains(wanted) {
                return text;
            }
        }
    }

    fn ends_well(mut self) {
        self.until("\x1b[?25h\x1b[?1049l");
        assert_eq!(self.child.wait().expect("its end").code(), Some(0));
        let after = tcgetattr(self.terminal.as_fd()).expect("its settings");
        assert_eq!((after.local_flags, after.control_chars), (self.before.local_flags, self.before.control_chars));
    }
}

#[test]
fn keys_order_the_peers_and_end_it() {
    let link = Link::start();
    let mut session = Session::start(&link, 80);
    let first = session.until("name*");
    assert!(first.contains("\x1b[?1049h\x1b[?25l") && first.contains("client1"), "{first:?}");
    session.screen.write_all(b"a").expect("a key");
    session.until("age*");
    session.screen.write_all(b"q").expect("a key");
    session.ends_well();
}

#[test]
fn ctrl_c_gives_the_terminal_back_and_forty_columns_will_do() {
    let link = Link::start();
    let mut session = Session::start(&link, 40);
    // The second update has rates.
    session.until("q quit");
    let shown = session.until("q quit");
    let lines = shown.split("\x1b[K").map(|line| line.trim_start_matches(|c: char| c.is_ascii_control()));
    assert!(shown.contains("client1"), "{shown:?}");
    for line in lines.filter(|line| !line.contains('\x1b')) {
        assert!(line.chars().count() <= 40, "{line:?}");
    }
    let pid = Pid::from_raw(i32::try_from(session.child.id()).expect("a process id"));
    kill(pid, Signal::SIGINT).expect("it runs");
    session.ends_well();
}
