//! Disks that are full, for a while.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::common::certificates::run;
use crate::common::{Place, Process, Setup, free_port, wait};
use crate::message::Route;
use crate::pair::{Daemon, Security, durable};
use crate::receiver::{Manner, Receiver};
use crate::session::Session;

/// Messages that are more than the small disk holds.
const MESSAGES: u64 = 20_000;

/// What the small disk holds, bytes.
const SMALL: usize = 3 << 20;

/// What it holds later.
const LARGE: usize = 64 << 20;

/// A time of a full disk is one line, however many messages it costs; what it costs is counted once a second.
#[track_caller]
fn assert_one_line_a_burst(process: &Process, since: Instant) {
    let lines = process.complaints();
    let about = |word: &str| lines.iter().filter(|line| line.contains(word)).count();
    assert_eq!(about("cannot be kept"), 1, "one line a burst: {lines:#?}");
    let seconds = usize::try_from(since.elapsed().as_secs()).expect("a short time");
    assert!(about("dropped") <= seconds + 1, "one line a second: {lines:#?}");
}

/// A file system of its own in memory; it goes when it is dropped.
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts it at a folder, which is made; `None` where tests may not mount.
    pub fn mount(path: PathBuf, size: usize) -> Option<Disk> {
        fs::create_dir_all(&path).expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&path);
        match mount.output() {
            Ok(output) if output.status.success() => Some(Disk { path }),
            _ => {
                eprintln!("SKIPPED: no file system can be mounted here");
                None
            }
        }
    }

    pub fn remount(&self, options: &str) {
        run(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.path));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
    }
}

/// A client without its server, whose disk is small.
struct Client {
    daemon: Daemon,
    server: Setup,
    session: Session,
}

impl Client {
    fn start(place: &Place, start: impl FnOnce(&Setup) -> Process) -> Client {
        let port = free_port();
        let server = durable(Setup::server(place, port), Security::Plain);
        let client = durable(Setup::client(place, "client1", port), Security::Plain);
        let mut process = start(&client);
        client.wait_ready(&mut process);
        let route = Route::new("any", &client, &server);
        let session = Session::new("full", "stored", client.send_socket(), route);
        Client { daemon: Daemon::of(client, process), server, session }
    }

    fn refused(&self, numbers: Range<u64>) -> Vec<u64> {
        let refused = self.session.refused.lock().unwrap();
        let refused = refused.iter().filter(|(number, _)| numbers.contains(number));
        refused
            .map(|(number, reason)| {
                assert!(["queue_full", "store_failed"].contains(&reason.as_str()), "{number}: {reason}");
                *number
            })
            .collect()
    }

    /// Fills the disk, gives it room, sends more, and then has all of it delivered.
    #[track_caller]
    fn fill_and_go_on(mut self, make_room: impl FnOnce(&Client)) {
        let begin = Instant::now();
        self.session.send_to(MESSAGES);
        let refused = self.refused(0..MESSAGES);
        assert!(!refused.is_empty() && refused.len() < MESSAGES as usize, "{} refused", refused.len());
        assert!(self.daemon.process.is_running(), "a full disk is no reason to end");
        assert_one_line_a_burst(&self.daemon.process, begin);
        make_room(&self);
        let mut sent = MESSAGES;
        wait::until("a message that is taken again", || {
            sent += 1;
            self.session.send_to(sent);
            self.refused(sent - 1..sent).is_empty().then_some(())
        });
        let end = sent + 500;
        self.session.send_to(end);
        assert!(self.refused(sent..end).is_empty(), "there is room again");
        fs::create_dir_all(&self.server.dir).expect("the server's folder");
        let receiver = Receiver::listen(self.server.receive_socket("any"), Manner::Resumes);
        let mut server = Daemon::start(self.server.clone());
        receiver.wait_number(end - 1);
        let tally = receiver.tally();
        eprintln!("{} of {end} refused: {}", self.refused(0..end).len(), tally);
        tally.assert_order(end);
        let lost: Vec<u64> = tally.lost(end).into_iter().flatten().collect();
        assert_eq!(lost, self.refused(0..end), "what was not refused arrives, and nothing else");
        assert_eq!(tally.twice, 0, "{tally}");
        server.assert_sound();
        self.daemon.assert_sound();
    }
}

#[test]
fn a_full_disk_refuses_messages_until_it_has_room_and_loses_none_that_got_a_receipt() {
    let place = Place::new();
    let Some(disk) = Disk::mount(place.file("c"), SMALL) else { return };
    // In this order: nothing may use the disk when it goes.
    let client = Client::start(&place, Setup::spawn);
    client.fill_and_go_on(|_| disk.remount(&format!("size={LARGE}")));
}

#[test]
fn a_limit_for_the_size_of_files_refuses_messages_and_ends_nobody() {
    let place = Place::new();
    let start = |client: &Setup| {
        let mut command = Command::new("prlimit");
        command.arg(format!("--fsize={SMALL}:unlimited")).arg(env!("CARGO_BIN_EXE_aioconnectorsd"));
        Process::spawn("a client with small files", command.arg(client.write()))
    };
    let client = Client::start(&place, start);
    client.fill_and_go_on(|client| {
        let pid = client.daemon.process.pid().to_string();
        run(Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]));
    });
}

#[test]
fn a_peer_whose_disk_is_full_is_waited_for_and_nothing_is_lost() {
    let place = Place::new();
    let Some(_disk) = Disk::mount(place.file("s"), SMALL) else { return };
    let port = free_port();
    let server = durable(Setup::server(&place, port), Security::Plain);
    let client = durable(Setup::client(&place, "client1", port), Security::Plain);
    let (mut server, mut client) = (Daemon::start(server), Daemon::start(client));
    let route = Route::new("any", &client.setup, &server.setup);
    let session = Session::new("full", "stored", client.setup.send_socket(), route);
    let begin = Instant::now();
    session.send_to(MESSAGES);
    assert_eq!(*session.refused.lock().unwrap(), [], "the sender's disk has room");
    server.process.wait_error(&["cannot be kept"]);
    let receiver = Receiver::listen(server.setup.receive_socket("any"), Manner::Resumes);
    receiver.wait_number(MESSAGES - 1);
    receiver.tally().assert_exact(MESSAGES);
    assert_one_line_a_burst(&server.process, begin);
    server.assert_sound();
    client.assert_sound();
}
