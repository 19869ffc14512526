//! A large file on its way, while connectors are killed, the link is cut, and the disk is full.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use fastrand::Rng;
use nix::sys::signal::{Signal, kill};
use serde_json::json;

use crate::common::{Place, Process, Setup, certificates, free_port, wait};
use crate::cutter::Cutter;
use crate::full::Disk;
use crate::message::Route;
use crate::pair::{Daemon, Security, durable};
use crate::receiver::{Manner, Receiver};
use crate::seed::{Seed, file_size, gaps};
use crate::session::Session;

/// Megabytes of the file on every day.
const MEGABYTES: u64 = 200;

/// How often each connector is killed.
const KILLS: usize = 3;

/// How often the link is cut.
const CUTS: usize = 8;

/// Messages that pass the file by.
const MESSAGES: u64 = 2_000;

/// What a file system holds that is too small for the file, megabytes; and what it holds later.
const SMALL: u64 = 24;

/// Between two looks at a source.
const LOOK: Duration = Duration::from_millis(2);

/// Bytes that one kill or cut may cost at most: what was on its way, and what was read and not written yet.
const COST_MAX: u64 = 32 << 20;

/// A client and a server behind a proxy that counts, with a file to send.
struct Run {
    client: Daemon,
    server: Daemon,
    cutter: Cutter,
    source: PathBuf,
    target: PathBuf,
    size: u64,
    hash: Vec<u8>,
    random: Rng,
    _seed: Seed,
    place: Place,
}

impl Run {
    /// Starts both, whose queues are on disk; the file goes to the folder `in` beside the server's.
    #[track_caller]
    fn start(test: &'static str, security: Security, megabytes: u64, place: Place) -> Run {
        let seed = Seed::new(test);
        let mut random = seed.random();
        let port = free_port();
        let folder = place.file("in");
        let config = json!({"big": {"target_directory": folder, "owner": "", "override_existing": false}});
        let types = || ["any", "quick"].to_vec();
        let with_types = |setup: Setup| setup.with("send_message_types", types()).with("recv_message_types", types());
        let server = with_types(durable(Setup::server(&place, port), security)).with("file_recv_config", config);
        // Ours forgets a client by itself.
        let cutter = Cutter::start(port, || true);
        let client = with_types(durable(Setup::client(&place, "client1", cutter.port), security));
        if security == Security::Certificates {
            certificates::make(&place.file("made"));
            certificates::hand_out(&place.file("made"), &server);
            certificates::hand_out(&place.file("made"), &client);
        }
        let (server, client) = (Daemon::start(server), Daemon::start(client));
        wait::until("the client at the server", || {
            server.setup.admin().connected_peers()?.contains_key(&client.setup.id).then_some(())
        });
        wait::until("the server at the client", || client.setup.admin().connected_peers().filter(|p| !p.is_empty()));
        let (source, target) = (place.file("source"), folder.join("a file"));
        let size = (megabytes << 20) - 13;
        let hash = write_file(&source, size, random.u64(..));
        Run { client, server, cutter, source, target, size, hash, random, _seed: seed, place }
    }

    /// Sends the file, and messages beside it, while `deed` is done; then all must be there, and nothing else.
    #[track_caller]
    fn send(&mut self, deed: impl FnOnce(&mut Daemon, &mut Daemon, &Cutter)) {
        let files = Receiver::listen(self.server.setup.receive_socket("any"), Manner::Resumes);
        let others = Receiver::listen(self.server.setup.receive_socket("quick"), Manner::Resumes);
        let with_file = json!({"src_path": self.source, "dst_type": "big", "dst_name": "a file"});
        let route = |message_type: &str| Route::new(message_type, &self.client.setup, &self.server.setup);
        let socket = self.client.setup.send_socket();
        let sends_file = Session::new("file", "stored", socket.clone(), route("any").with("with_file", &with_file));
        let sends_others = Session::new("others", "stored", socket, route("quick"));
        let (begin, over) = (Instant::now(), AtomicBool::new(false));
        // What came before it are handshakes.
        let before = self.cutter.carried.get();
        let Run { client, server, cutter, source, target, size, .. } = self;
        sends_file.send_to(1);
        thread::scope(|scope| {
            let _over = Over(&over);
            scope.spawn(|| watch(source, target, *size, &over));
            let sending = scope.spawn(|| sends_others.send_to(MESSAGES));
            deed(client, server, cutter);
            sending.join().expect("receipts for all messages");
            files.wait_number(0);
            others.wait_number(MESSAGES - 1);
            wait::until("a source that is removed", || (!source.exists()).then_some(()));
        });
        self.check(&files, &others);
        let twice = (self.cutter.carried.get() - before).saturating_sub(self.size);
        let all = self.size;
        eprintln!("{all} bytes in {:.1?}, {twice} bytes more on the way (messages, TLS, twice)", begin.elapsed());
    }

    #[track_caller]
    fn check(&mut self, files: &Receiver, others: &Receiver) {
        files.tally().assert_exact(1);
        others.tally().assert_exact(MESSAGES);
        files.assert_no_complaints();
        others.assert_no_complaints();
        assert_eq!(hash_of(&self.target), self.hash, "the file came as another");
        let there = fs::read_dir(self.place.file("in")).expect("the target's folder").flatten();
        let there: Vec<_> = there.map(|entry| entry.path()).collect();
        assert_eq!(there, [self.target.as_path()], "something was left behind");
        self.client.assert_sound();
        self.server.assert_sound();
        for daemon in [&self.client, &self.server] {
            eprintln!("{}: {} KiB resident at most", daemon.setup.id, peak(&daemon.process));
        }
    }
}

/// Ends the watch, though a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// The source goes when the target is there, and not before.
fn watch(source: &Path, target: &Path, size: u64, over: &AtomicBool) {
    while !over.load(SeqCst) {
        if !source.exists() {
            let there = fs::metadata(target).map(|file| file.len());
            assert!(there.as_ref().is_ok_and(|length| *length == size), "the source is gone, the target is {there:?}");
            return;
        }
        thread::sleep(LOOK);
    }
}

/// Writes a file of chance; its hash.
pub fn write_file(path: &Path, size: u64, seed: u64) -> Vec<u8> {
    let mut random = Rng::with_seed(seed);
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    let mut block = vec![0; 1 << 20];
    random.fill(&mut block);
    let (mut left, mut hash) = (size, Context::new(&SHA256));
    for number in 0u64.. {
        // No two blocks are equal, and drawing all of it takes long.
        block[..8].copy_from_slice(&number.to_le_bytes());
        let length = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if length == 0 {
            break;
        }
        hash.update(&block[..length]);
        file.write_all(&block[..length]).expect("room on the disk");
        left -= length as u64;
    }
    file.flush().expect("room on the disk");
    hash.finish().as_ref().to_vec()
}

#[track_caller]
pub fn hash_of(path: &Path) -> Vec<u8> {
    let mut file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut block, mut hash) = (vec![0; 1 << 20], Context::new(&SHA256));
    while let Ok(count @ 1..) = file.read(&mut block) {
        hash.update(&block[..count]);
    }
    hash.finish().as_ref().to_vec()
}

/// What a process had in memory at most, KiB.
fn peak(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn a_file_arrives_whole_and_once_whatever_is_killed() {
    let test = "a_file_arrives_whole_and_once_whatever_is_killed";
    let megabytes = file_size(MEGABYTES);
    let mut run = Run::start(test, Security::Certificates, megabytes, Place::new());
    let [own, peer] = [(); 2].map(|()| gaps(&mut run.random, KILLS, run.size * 9 / 10));
    eprintln!("{test}: the sender's connector killed after {own:?} bytes, the peer after {peer:?}");
    let before = run.cutter.carried.get();
    run.send(|client, server, cutter| {
        thread::scope(|scope| {
            scope.spawn(|| kill_after_each(client, &own, cutter));
            scope.spawn(|| kill_after_each(server, &peer, cutter));
        });
    });
    let most = run.size + run.size / 50 + 2 * KILLS as u64 * COST_MAX;
    assert!(run.cutter.carried.get() - before <= most, "more was sent twice than was on its way");
}

fn kill_after_each(daemon: &mut Daemon, gaps: &[u64], cutter: &Cutter) {
    for gap in gaps {
        cutter.carried.wait(cutter.carried.get() + gap);
        daemon.kill();
        daemon.start_again();
    }
}

#[test]
fn a_file_goes_on_where_its_link_was_cut() {
    let test = "a_file_goes_on_where_its_link_was_cut";
    let mut run = Run::start(test, Security::Certificates, file_size(MEGABYTES) / 2, Place::new());
    let cuts = gaps(&mut run.random, CUTS, run.size * 9 / 10);
    eprintln!("{test}: cut after {cuts:?} bytes");
    let before = run.cutter.carried.get();
    run.send(|_, _, cutter| {
        cutter.cut_after(cuts);
        cutter.wait_cuts();
    });
    let most = run.size + run.size / 50 + CUTS as u64 * COST_MAX;
    assert!(run.cutter.carried.get() - before <= most, "more was sent twice than was on its way");
}

#[test]
fn a_file_waits_for_room_at_its_receiver_and_goes_on() {
    let place = Place::new();
    let Some(disk) = Disk::mount(place.file("in"), usize::try_from(SMALL << 20).expect("a small size")) else { return };
    let test = "a_file_waits_for_room_at_its_receiver_and_goes_on";
    let mut run = Run::start(test, Security::Plain, SMALL * 2, place);
    run.send(|_, server, _| {
        server.process.wait_error(&["waits"]);
        disk.remount(&format!("size={}", SMALL << 22));
    });
}

#[test]
fn a_file_whose_receiver_runs_out_of_room_in_the_middle_waits_and_goes_on() {
    let place = Place::new();
    let Some(_disk) = Disk::mount(place.file("in"), usize::try_from(SMALL << 22).expect("a small size")) else {
        return;
    };
    let filler = place.file("in").join("filler");
    let test = "a_file_whose_receiver_runs_out_of_room_in_the_middle_waits_and_goes_on";
    let mut run = Run::start(test, Security::Plain, SMALL * 2, place);
    run.send(|client, server, cutter| {
        cutter.carried.wait(SMALL << 19);
        // What is on its way meanwhile is little.
        kill(client.process.pid(), Signal::SIGSTOP).expect("a client that stands still");
        let mut file = File::create(&filler).expect("a file");
        while file.write(&[0; 1 << 16]).is_ok_and(|count| count > 0) {}
        kill(client.process.pid(), Signal::SIGCONT).expect("a client that goes on");
        server.process.wait_error(&["waits"]);
        fs::remove_file(&filler).expect("the file that was in the way");
    });
}
