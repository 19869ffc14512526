//! Strangers who mean harm, many or with tricks, and what an honest client notices of them.
//!
//! Each case prints a line with the honest client's latency, from app to app, before and meanwhile:
//! `cargo test --release --test daemon hostile -- --nocapture --test-threads 1`. With `AIOCONNECTORS_HOSTILE_SECONDS` the
//! floods last longer than they have to.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde_json::json;

use crate::common::peer::hello;
use crate::common::setup::wait_link;
use crate::common::{Frame, RawPeer, RawSender, Role, Setup, certificates, wait};
use crate::link::{Link, message};

/// Connections that say nothing: more than may be unidentified.
const HALF_OPEN: usize = 5000;

/// Messages of the honest client that make a figure.
const SAMPLES: usize = 200;

/// Threads that flood.
const FLOODERS: usize = 4;

/// An honest client that sends one message after the other, each when the one before has arrived.
struct Honest {
    latencies: Arc<Mutex<Vec<Duration>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Honest {
    #[track_caller]
    fn start(link: &Link) -> Honest {
        let listener = UnixListener::bind(link.server.receive_socket("quick")).expect("a socket");
        let mut sender = RawSender::connect(&link.client.send_socket());
        let frame = message("quick", &link.client, &link.server, vec![b'.'; 100]);
        let (latencies, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (kept, stopped) = (Arc::clone(&latencies), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut from = None;
            for number in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let begin = Instant::now();
                sender.send(&frame.clone().with("tag", number.to_string())).expect("a connector that takes it");
                let from = from.get_or_insert_with(|| {
                    let stream = listener.accept().expect("the connector").0;
                    stream.set_read_timeout(Some(wait::LIMIT)).expect("a time limit");
                    stream
                });
                let arrived = Frame::read(from).expect("a message").expect("the connection stays");
                assert_eq!(arrived.tag(), number.to_string(), "all arrive, in order");
                kept.lock().unwrap().push(begin.elapsed());
                thread::sleep(Duration::from_millis(1));
            }
        });
        Honest { latencies, stop, thread: Some(thread) }
    }

    /// Waits for so many latencies and takes all that are there.
    #[track_caller]
    fn take(&self, at_least: usize) -> Vec<Duration> {
        wait::until("messages of the honest client", || {
            assert!(!self.thread.as_ref().is_some_and(JoinHandle::is_finished), "the honest client has failed");
            (self.latencies.lock().unwrap().len() >= at_least).then_some(())
        });
        std::mem::take(&mut *self.latencies.lock().unwrap())
    }

    #[track_caller]
    fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it runs").join().expect("all messages have arrived");
    }
}

fn percentile(latencies: &mut [Duration], part: f64) -> f64 {
    latencies.sort_unstable();
    latencies[((latencies.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3
}

/// Runs an attack beside an honest client, whose messages must all arrive, while a second one must get in.
#[track_caller]
fn beside_an_honest_client(name: &str, link: &mut Link, attack: impl FnOnce(&Link) -> Vec<TcpStream>) {
    let honest = Honest::start(link);
    honest.take(SAMPLES / 4);
    let mut before = honest.take(SAMPLES);
    let held = attack(link);
    let mut during = honest.take(SAMPLES / 4);
    let late = late_client(link);
    let begin = Instant::now();
    let _process = late.start();
    wait_link(&link.server, &late);
    let joined = begin.elapsed();
    assert!(link.server_process.is_running());
    honest.end();
    drop(held);
    let [p50, p99] = [0.5, 0.99].map(|part| percentile(&mut before, part));
    let [p50_during, p99_during, most] = [0.5, 0.99, 1.0].map(|part| percentile(&mut during, part));
    let _ = writeln!(
        io::stderr(),
        "HOSTILE {name:<26} before: p50 {p50:.2} ms, p99 {p99:.2}; meanwhile: p50 {p50_during:.2}, p99 {p99_during:.2}, \
         most {most:.2}, of {}; another client was in after {} ms",
        during.len(),
        joined.as_millis(),
    );
}

fn late_client(link: &Link) -> Setup {
    let late = Setup::client_in(&link.place, "late", "late", link.port);
    if link.tls() { late.with("use_ssl", true).with("ssl_allow_all", true) } else { late }
}

fn over_tls(setup: Setup) -> Setup {
    if setup.role == Role::Server {
        certificates::make(&setup.dir);
    }
    setup.with("use_ssl", true).with("ssl_allow_all", true)
}

/// How long a flood lasts.
fn flood_time() -> Duration {
    let seconds = std::env::var("AIOCONNECTORS_HOSTILE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1))
}

/// Has threads open connections and do this with each, for the time of a flood at least and until each has done so often.
fn flood(port: u16, often: usize, each: impl Fn(TcpStream) + Sync) -> usize {
    let (end, count) = (Instant::now() + flood_time(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..FLOODERS {
            scope.spawn(|| {
                let mut done = 0;
                while Instant::now() < end || done < often {
                    if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                        each(stream);
                    }
                    done += 1;
                }
                count.fetch_add(done, Ordering::Relaxed);
            });
        }
    });
    count.into_inner()
}

/// What a client of TLS says first.
fn client_hello() -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let mut client =
        ClientConnection::new(Arc::new(config), "localhost".try_into().expect("a name")).expect("a client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("memory");
    bytes
}

/// As many connections as there are to be, or as this process can have beside those of other tests.
fn half_open_connections() -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit of open files");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("a limit that is allowed");
    HALF_OPEN.min(usize::try_from(most / 3).unwrap_or(HALF_OPEN))
}

#[test]
fn thousands_of_half_open_connections() {
    let half_open = half_open_connections();
    for (name, change) in [("half-open", (|setup| setup) as fn(Setup) -> Setup), ("half-open, TLS", over_tls)] {
        let mut link = Link::start_with(change);
        beside_an_honest_client(name, &mut link, |link| {
            (0..half_open).map(|_| TcpStream::connect(("127.0.0.1", link.port)).expect("a connection")).collect()
        });
        link.server_process.wait_error(&["max_unidentified_connections"]);
        link.server_process.wait_error(&["more connections ended within a second"]);
        let lines = link.server_process.errors().len();
        assert!(lines < half_open / 10, "{lines} lines in the log");
    }
}

#[test]
fn a_byte_a_second() {
    let mut link = Link::start();
    beside_an_honest_client("a byte a second", &mut link, |link| {
        let slow: Vec<TcpStream> = (0..100).map(|_| RawPeer::silent(link.port).stream).collect();
        let end = Instant::now() + Duration::from_secs(30);
        for byte in hello("mallory").encode() {
            // The answer to what was sent after the end is an error, sooner or later.
            let taken: Vec<bool> = slow.iter().map(|mut stream| stream.write_all(&[byte]).is_ok()).collect();
            if !taken.contains(&true) {
                return slow;
            }
            assert!(Instant::now() < end, "they are still taken");
            thread::sleep(Duration::from_secs(1));
        }
        panic!("they could say all that they had to say");
    });
    link.server_process.wait_error(&["10 s"]);
}

#[test]
fn a_flood_of_handshakes() {
    let mut link = Link::start_with(over_tls);
    beside_an_honest_client("a flood of handshakes", &mut link, |link| {
        let hello = client_hello();
        let answered = AtomicUsize::new(0);
        let count = flood(link.port, 50, |mut stream| {
            let mut answer = [0; 1024];
            if stream.write_all(&hello).is_ok() && stream.read(&mut answer).is_ok_and(|n| n > 0) {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _ = writeln!(io::stderr(), "HOSTILE {} of {count} handshakes were begun", answered.into_inner());
        Vec::new()
    });
    let lines = link.server_process.errors().len();
    assert!(lines < 1000, "{lines} lines in the log");
}

#[test]
fn a_flood_of_connections_that_close_at_once() {
    let mut link = Link::start();
    beside_an_honest_client("connections that close", &mut link, |link| {
        flood(link.port, 500, drop);
        Vec::new()
    });
}

#[test]
fn headers_as_long_as_they_can_be_and_lengths_of_gigabytes() {
    let mut link = Link::start();
    let header = |length: usize| {
        let begin = r#"{"message_type": "_handshake_no_ssl", "x": ""#;
        Frame { header: format!("{begin}{}\"}}", "y".repeat(length - begin.len() - 2)), data: vec![], binary: None }
    };
    let attacks =
        [header(60_000).encode(), header(65_535).encode(), vec![0xff; 65_536], u32::MAX.to_le_bytes().to_vec()];
    beside_an_honest_client("giant headers", &mut link, |link| {
        flood(link.port, 100, |mut stream| {
            for attack in &attacks {
                let _ = stream.write_all(attack);
            }
            let _ = io::copy(&mut stream, &mut io::sink());
        });
        Vec::new()
    });
}

/// JSON that is so deep that reading it by recursion would end the process.
fn deep(open: &str) -> String {
    open.repeat(32_000 / open.len())
}

#[test]
fn deep_json_in_headers_and_data_before_and_after_a_hello() {
    let mut link = Link::start();
    let mut attacks = Vec::new();
    for open in ["[", "{\"a\":", "[{\"a\":"] {
        let nested = deep(open);
        for kind in ["_handshake_no_ssl", "_ssl", "_token", "_close", "_link", "_pubsub", "_ping", "any"] {
            let header = format!(r#"{{"message_type": "{kind}", "source_id": "deep", "with_file": {nested}"#);
            attacks.push(Frame { header, data: vec![], binary: None }.encode());
            let header = json!({"message_type": kind, "source_id": "deep"});
            attacks.push(Frame::new(header, nested.clone().into_bytes()).encode());
        }
    }
    beside_an_honest_client("deep JSON", &mut link, |link| {
        for attack in &attacks {
            for before in [vec![], hello("deep").encode()] {
                let mut stream = RawPeer::silent(link.port).stream;
                let _ = stream.write_all(&before).and_then(|()| stream.write_all(attack));
                let _ = stream.shutdown(std::net::Shutdown::Write);
                let _ = io::copy(&mut stream, &mut io::sink());
            }
        }
        Vec::new()
    });
}

/// All paths in a folder, and those beside it that a name could lead to.
fn paths(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            }
            found.insert(entry.path());
        }
    }
    found
}

#[test]
fn names_that_are_no_names_make_no_files() {
    let mut link = Link::start_with(|setup| setup.with("disk_persistence_send", true));
    let names: [&[u8]; 14] = [
        b"",
        b".",
        b"..",
        b"../../tmp/x",
        b"/etc/passwd",
        b"a/b",
        b"a\\u0000b",
        b"a\0b",
        b"\xff\xfe",
        b"\xc0\xaf",
        b"a\\nWARN a line of its own",
        b"\\ud800",
        b"default",
        &[b'x'; 5000],
    ];
    let known = paths(&link.server.dir);
    beside_an_honest_client("names with tricks", &mut link, |link| {
        for name in names {
            let header = [br#"{"message_type": "_handshake_no_ssl", "source_id": ""#, name, b"\"}"].concat();
            let data = b"hello";
            let length = u32::try_from(2 + header.len() + 4 + data.len()).expect("a short frame");
            let mut bytes = length.to_le_bytes().to_vec();
            bytes.extend(u16::try_from(header.len()).expect("a short header").to_le_bytes());
            bytes.extend(header);
            bytes.extend(u32::try_from(data.len()).expect("short").to_le_bytes());
            bytes.extend(data);
            let mut peer = RawPeer::silent(link.port);
            peer.send_bytes(&bytes).expect("bytes are taken");
            peer.wait_closed();
        }
        Vec::new()
    });
    let made: Vec<PathBuf> = paths(&link.server.dir).difference(&known).cloned().collect();
    // The honest clients' queues, and the app's socket.
    let is_honest = |path: &PathBuf| {
        let path = path.to_string_lossy().into_owned();
        ["client1", "late", "uds_path_receive"].iter().any(|name| path.contains(name)) || path.contains("spool_")
    };
    assert!(made.iter().all(is_honest), "{made:#?}");
    assert!(link.server_process.errors().iter().all(|line| !line.starts_with("WARN a line")), "a name wrote a line");
    let peers = link.server.admin().connected_peers().expect("an answer");
    assert!(peers.keys().all(|name| name == "client1" || name == "late"), "{peers:?}");
}

#[test]
fn more_connections_than_there_may_be_from_one_address() {
    let link = Link::start_with(|setup| setup.with("max_connections_per_address", 3));
    let second = RawPeer::client(link.port, "second");
    wait::until("the second", || link.server.admin().connected_peers()?.contains_key("second").then_some(()));
    let _third = RawPeer::client(link.port, "third");
    wait::until("the third", || link.server.admin().connected_peers()?.contains_key("third").then_some(()));
    RawPeer::silent(link.port).wait_closed();
    link.server_process.wait_error(&["max_connections_per_address"]);
    drop(second);
    wait::until("its end", || (link.server.admin().connected_peers()?.len() == 2).then_some(()));
    let _fourth = RawPeer::client(link.port, "fourth");
    wait::until("the fourth", || link.server.admin().connected_peers()?.contains_key("fourth").then_some(()));
}
