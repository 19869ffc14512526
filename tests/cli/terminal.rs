//! Commands on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use nix::pty::openpty;

use crate::common::{RawReceiver, free_port, wait};
use crate::rig::{CTL, Link};

/// Runs a command on a terminal, where this is typed; what it shows.
fn typed(command: &mut Command, typed: &str) -> String {
    let pty = openpty(None, None).unwrap();
    let terminal = || Stdio::from(pty.slave.try_clone().unwrap());
    let stdin = if typed.is_empty() { Stdio::null() } else { terminal() };
    let mut child = command.env("TERM", "xterm").stdin(stdin).stdout(terminal()).stderr(terminal()).spawn().unwrap();
    // The command holds its ends.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    drop(pty.slave);
    let mut shown = Vec::new();
    let mut screen = File::from(pty.master);
    screen.write_all(typed.as_bytes()).unwrap();
    let mut buffer = [0; 4096];
    // The end of a terminal is an error.
    while let Ok(n) = screen.read(&mut buffer)
        && n > 0
    {
        shown.extend_from_slice(&buffer[..n]);
    }
    child.wait().unwrap();
    String::from_utf8_lossy(&shown).replace("\r\n", "\n")
}

/// Runs a command whose stdout and stderr are a terminal; what it shows.
fn shown(command: &mut Command) -> String {
    typed(command, "")
}

#[test]
fn a_person_is_told_in_words() {
    let link = Link::start();
    let _receiver = RawReceiver::listen(link.server.receive_socket("any"));
    assert_eq!(shown(&mut link.client_ctl("send", &["any", "x", "--count", "3"])), "3 sent\n");
    assert_eq!(shown(&mut link.client_ctl("send", &["any", "x", "--receipt", "delivered"])), "1 delivered\n");
    assert_eq!(shown(&mut link.client_ctl("send", &["any", "x", "--json"])), "{\"sent\":1}\n");
    let refused = shown(&mut link.server_ctl("send", &["any", "x", "--to", "c9", "--receipt", "accepted"]));
    assert_eq!(refused, "0 accepted\naioconnectorsctl: message 1: refused: unknown_peer\n");
}

#[test]
fn a_file_that_takes_its_time_shows_what_it_is_and_since_when() {
    let link = Link::start();
    let path = link.place.file("report.bin");
    std::fs::write(&path, vec![0; 12_345]).unwrap();
    let receiver = RawReceiver::listen_paused(link.server.receive_socket("ask"));
    thread::scope(|scope| {
        let path = path.to_str().unwrap();
        let mut command = link.client_ctl("send", &["ask", "x", "--file", path, "--await=3"]);
        let showing = scope.spawn(move || shown(&mut command));
        let shown = showing.join().unwrap();
        assert!(shown.contains("report.bin, 12.3 kB, 0:00 so far"), "{shown:?}");
        assert!(shown.contains("\r\u{1b}[?7l\u{1b}[K\u{1b}[?7h"), "the line goes away: {shown:?}");
    });
    receiver.resume();
    wait::until("the question", || (receiver.count() == 1).then_some(()));
}

#[test]
fn a_file_that_is_on_its_way_shows_how_far_it_is() {
    let link = crate::files::link();
    let path = link.place.file("report.bin");
    // Long enough to be looked at on its way, on any machine.
    File::create(&path).unwrap().set_len(1 << 30).unwrap();
    let pty = openpty(None, None).unwrap();
    let mut command =
        link.client_ctl("send", &["any", "x", "--file", path.to_str().unwrap(), "--receipt", "delivered"]);
    command.env("TERM", "xterm").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(pty.slave));
    let mut child = command.spawn().unwrap();
    drop(command);
    let (mut screen, mut shown, mut buffer) = (File::from(pty.master), String::new(), [0; 4096]);
    while !shown.contains("left") {
        let n = screen.read(&mut buffer).unwrap_or_else(|error| panic!("{error} after {shown:?}"));
        shown += &String::from_utf8_lossy(&buffer[..n]);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let told = shown.split("\u{1b}[?7l").find(|line| line.contains("left")).unwrap();
    let (bar, rest) = told.split_at(told.find(']').unwrap() + 1);
    assert!(bar.len() == 22 && bar.chars().all(|c| "[#.]".contains(c)), "{told:?}");
    assert!(rest.contains(" % of report.bin, 1.1 GB, ") && rest.contains("B/s, "), "{told:?}");
}

#[test]
fn a_chat_on_a_terminal_takes_lines_before_anybody_is_there() {
    let place = crate::common::Place::new();
    let mut chat = Command::new(CTL);
    let port = free_port().to_string();
    chat.args(["chat", "--bind", "127.0.0.1", "--port", &port]).current_dir(place.path());
    let shown = typed(&mut chat, "hello\n!help\n!exit\n");
    assert!(shown.contains("Nobody is there yet: it was not sent.\n"), "{shown:?}");
    assert!(shown.contains("!upload PATH sends a file or a folder, !exit ends it"), "{shown:?}");
}
