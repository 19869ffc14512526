//! A file from app to app over TLS, beside the bare pump with the same bytes; what it costs in memory; and, with
//! `--kill`, what the death of each connector in the middle costs in bytes that go twice.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use aioconnectors::cli::demo::pair::Pair;
use aioconnectors::wire::frame::{Deframer, encode};
use aioconnectors::wire::names::{Role, SocketPaths};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::ours::{CLIENT, CONNECT_TIMEOUT, plan_of};
use crate::process::{bytes_sent_to, megabytes as megabytes_of, memory, signal};
use crate::pump::{Cipher, Pump};
use crate::report::Book;
use crate::{Failure, cpu};

/// The type of messages with files.
pub const TYPE: &str = "file";

/// Read and written at once, bytes.
const BLOCK: usize = 256 * 1024;

/// Without the file for so long it is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// Most repeats; files are large.
const REPEATS: usize = 3;

/// Longest frame that is expected: the file's bytes are not in it.
const FRAME_MAX: usize = 1 << 20;

/// What connectors must know to receive files into `folder`.
pub fn settings(folder: &Path, durable: bool) -> Value {
    let target = folder.join("received");
    json!({"file_recv_config": {"bench": {"target_directory": target, "override_existing": true}},
        "max_size_file_upload_send": 1_u64 << 40, "max_size_file_upload_recv": 1_u64 << 40,
        "disk_persistence_send": durable, "disk_persistence_recv": durable})
}

/// Makes a file of so many bytes in `folder`, all blocks of which differ.
pub fn make_source(folder: &Path, bytes: u64) -> Result<PathBuf, Failure> {
    let path = folder.join("source");
    let (mut file, mut block) = (File::create(&path)?, vec![0; BLOCK]);
    fastrand::Rng::with_seed(bytes).fill(&mut block);
    let mut written = 0;
    while written < bytes {
        let size = (bytes - written).min(BLOCK as u64) as usize;
        block[..8].copy_from_slice(&written.to_le_bytes());
        file.write_all(&block[..size])?;
        written += size as u64;
    }
    Ok(path)
}

/// The way of a file: an app of the client sends it, one of the server waits for its message.
pub struct FileWay {
    entry: PathBuf,
    frame: Vec<u8>,
    listener: UnixListener,
    stream: Option<UnixStream>,
    deframer: Deframer,
    target: PathBuf,
}

impl FileWay {
    pub fn new(pair: &Pair, folder: &Path, source: &Path) -> Result<Self, Failure> {
        let server = pair.server().api()?.id().to_owned();
        let at_server = SocketPaths::new(&folder.join("server"), Role::Server, &server);
        let listener = UnixListener::bind(at_server.receive(TYPE))?;
        listener.set_nonblocking(true)?;
        let file = json!({"src_path": source, "dst_type": "bench", "dst_name": "file", "delete": false});
        let header = json!({"message_type": TYPE, "destination_id": server, "with_file": file});
        let mut frame = Vec::new();
        encode(header.to_string().as_bytes(), b"", None, &mut frame)?;
        let entry = SocketPaths::new(&folder.join("client"), Role::Client, CLIENT).send();
        let target = folder.join("received").join("file");
        Ok(Self { entry, frame, listener, stream: None, deframer: Deframer::new(FRAME_MAX), target })
    }

    /// Sends the message.
    pub fn begin(&self) -> Result<(), Failure> {
        Ok(UnixStream::connect(&self.entry)?.write_all(&self.frame)?)
    }

    /// Waits until the message has come, with its file; when that was.
    pub fn wait(&mut self) -> Result<Instant, Failure> {
        self.wait_for(PATIENCE)?.ok_or_else(|| format!("no file after {PATIENCE:?}").into())
    }

    fn wait_for(&mut self, patience: Duration) -> Result<Option<Instant>, Failure> {
        let (start, mut buffer) = (Instant::now(), vec![0; 64 * 1024]);
        while start.elapsed() < patience {
            let Some(stream) = &mut self.stream else {
                match self.listener.accept() {
                    Ok((stream, _)) => {
                        stream.set_nonblocking(false)?;
                        stream.set_read_timeout(Some(Duration::from_millis(100)))?;
                        (self.stream, self.deframer) = (Some(stream), Deframer::new(FRAME_MAX));
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => thread::sleep(LOOK),
                    Err(e) => return Err(e.into()),
                }
                continue;
            };
            let n = match stream.read(&mut buffer) {
                Ok(0) => {
                    self.stream = None;
                    continue;
                }
                Ok(n) => n,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(e) if e.kind() == ErrorKind::ConnectionReset => {
                    self.stream = None;
                    continue;
                }
                Err(e) => return Err(e.into()),
            };
            if let Some(frame) = self.deframer.feed(&buffer[..n]).next()? {
                let header: Value = serde_json::from_slice(frame.header())?;
                match &header["with_file"]["file_error"] {
                    Value::Null => return Ok(Some(Instant::now())),
                    error => return Err(format!("the file did not come: {error}").into()),
                }
            }
        }
        Ok(None)
    }
}

/// Whether the file has always come whole, and once.
pub fn run(folder: &Path, bytes: u64, repeats: usize, kill: bool, book: &mut Book) -> Result<bool, Failure> {
    let folder = folder.join("file");
    fs::create_dir(&folder)?;
    let source = make_source(&folder, bytes)?;
    let megabytes = bytes as f64 / 1e6;
    println!("\na file of {megabytes:.0} MB over TLS");
    let pump = Pump::new(&folder.join("in"), &folder.join("out"), Cipher::Plain)?;
    let exit = UnixListener::bind(folder.join("out"))?;
    let mut pair = Pair::start(&folder, &plan_of(true, &[TYPE], settings(&folder, true)))?;
    pair.wait_until_connected(CONNECT_TIMEOUT, || false)?;
    let mut way = FileWay::new(&pair, &folder, &source)?;
    let mut rows = [("TLS pump, to nowhere", vec![]), ("TLS pump, to a file", vec![]), ("connectors, TLS", vec![])];
    let pids = [pair.client().pid(), pair.server().pid()];
    let theirs = || pids.into_iter().map(cpu::process).sum::<Duration>();
    let mut costs = [Duration::ZERO; 3];
    let (mut whole, mut clean) = (true, 0);
    for _ in 0..repeats.clamp(1, REPEATS) {
        let before = cpu::this_process();
        rows[0].1.push(pumped(&pump, &exit, &folder, &source, None, bytes)?);
        let between = cpu::this_process();
        rows[1].1.push(pumped(&pump, &exit, &folder, &source, Some(&folder.join("pumped")), bytes)?);
        costs[0] += between - before;
        costs[1] += cpu::this_process() - between;
        // Memory that was given back lately is dearer to take than what a file that is written anew leaves: both take
        // what the file before them has left.
        fs::remove_file(folder.join("pumped"))?;
        let (sent, start, before) = (bytes_on_way(&pair)?, Instant::now(), theirs());
        way.begin()?;
        rows[2].1.push((way.wait()? - start).as_secs_f64());
        costs[2] += theirs().saturating_sub(before);
        clean = bytes_on_way(&pair)? - sent;
        whole &= are_equal(&source, &way.target)?;
        fs::remove_file(&way.target)?;
    }
    let pump = median(&rows[0].1);
    for ((name, seconds), cost) in rows.iter().zip(costs) {
        let (median, share) = (median(seconds), pump / median(seconds) * 100.0);
        for seconds in seconds {
            book.add("file", name, "speed", "MB/s", megabytes / seconds);
        }
        let list: Vec<String> = seconds.iter().map(|seconds| format!("{:.0}", megabytes / seconds)).collect();
        // Beside other programs the time says little: what it takes of a core says more.
        let cost = cost.as_secs_f64() / (seconds.len() as f64 * megabytes / 1e3);
        println!(
            "{name:<28} {:>8.0} MB/s, {share:.0} % of pump ({}); {cost:.2} s of a core a GB",
            megabytes / median,
            list.join(", ")
        );
    }
    for (name, connector) in [("client", pair.client()), ("server", pair.server())] {
        let most = megabytes_of(connector.pid(), "VmHWM").unwrap_or(f64::NAN);
        book.add("file", name, "resident at most", "MB", most);
        println!("{name:<28} {most:>8.1} MB resident at most");
    }
    println!("{:<28} the file is {} byte for byte", "", if whole { "right" } else { "WRONG" });
    if kill {
        whole &= killed(&mut pair, &mut way, &source, bytes, clean)?;
    }
    pair.check()?;
    Ok(whole)
}

/// The file's bytes through the pump, into a file if there is one; the seconds that took.
pub fn pumped(
    pump: &Pump,
    exit: &UnixListener,
    folder: &Path,
    source: &Path,
    target: Option<&Path>,
    bytes: u64,
) -> Result<f64, Failure> {
    let entry = folder.join("in");
    let ((seconds, came), _) = pump.run(|| {
        let start = Instant::now();
        thread::scope(|scope| {
            let sending = scope.spawn(|| copy(&mut File::open(source)?, &mut UnixStream::connect(entry)?));
            let mut stream = exit.accept()?.0;
            let came = match target {
                Some(target) => copy(&mut stream, &mut File::create(target)?)?,
                None => copy(&mut stream, &mut std::io::sink())?,
            };
            sending.join().unwrap_or_else(|_| Err("the sending app has panicked".into()))?;
            Ok((start.elapsed().as_secs_f64(), came))
        })
    })?;
    if came == bytes { Ok(seconds) } else { Err(format!("{came} bytes of {bytes} came out of the pump").into()) }
}

/// Copies to the end, without the short cuts that `io::copy` takes between descriptors.
fn copy(from: &mut impl Read, to: &mut impl Write) -> Result<u64, Failure> {
    let (mut block, mut all) = (vec![0; BLOCK], 0);
    loop {
        let n = from.read(&mut block)?;
        if n == 0 {
            return Ok(all);
        }
        to.write_all(&block[..n])?;
        all += n as u64;
    }
}

fn median(seconds: &[f64]) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn are_equal(one: &Path, other: &Path) -> Result<bool, Failure> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut a, mut b) = (vec![0; BLOCK], vec![0; BLOCK]);
    loop {
        let n = one.read(&mut a)?;
        if n == 0 {
            return Ok(true);
        }
        other.read_exact(&mut b[..n])?;
        if a[..n] != b[..n] {
            return Ok(false);
        }
    }
}

/// What the client has sent on its connection.
fn bytes_on_way(pair: &Pair) -> Result<u64, Failure> {
    let config: Value = serde_json::from_slice(&fs::read(pair.server().config())?)?;
    let port = config["server_sockaddr"][1].as_u64().and_then(|port| u16::try_from(port).ok());
    bytes_sent_to(port.ok_or("the server's config has no port")?)
}

/// The file once more: the receiver is killed when a third of it has gone out, the sender when two thirds have.
fn killed(pair: &mut Pair, way: &mut FileWay, source: &Path, bytes: u64, clean: u64) -> Result<bool, Failure> {
    let before = bytes_on_way(pair)?;
    let start = Instant::now();
    way.begin()?;
    let sent = stopped_at(pair, before + bytes / 3)?;
    pair.server_mut().kill();
    signal(pair.client().pid(), Signal::SIGCONT)?;
    let mut all = sent - before;
    pair.server_mut().start_again()?;
    let sent = stopped_at(pair, (bytes * 2 / 3).saturating_sub(all))?;
    all += sent;
    pair.client_mut().kill();
    signal(pair.server().pid(), Signal::SIGCONT)?;
    pair.client_mut().start_again()?;
    let seconds = (way.wait()? - start).as_secs_f64();
    all += bytes_on_way(pair)?;
    let twice = way.wait_for(Duration::from_secs(2))?.is_some();
    let whole = are_equal(source, &way.target)?;
    println!(
        "{:<28} {seconds:.1} s, {:.1} MB more than without, {:.2} % of the file; the file is {}, its message came {}",
        "both killed in the middle",
        (all as f64 - clean as f64) / 1e6,
        (all as f64 - clean as f64) / bytes as f64 * 100.0,
        if whole { "right" } else { "WRONG" },
        if twice { "TWICE" } else { "once" },
    );
    for (name, connector) in [("client", pair.client()), ("server", pair.server())] {
        println!("{name:<28} {:>8} MB resident at most since", memory(connector.pid(), "VmHWM"));
    }
    Ok(whole && !twice)
}

/// Stops both when the client has sent so many bytes on its connection; how many it has sent. Both at once: what is on
/// its way then is neither sent nor taken while it is looked.
fn stopped_at(pair: &Pair, bytes: u64) -> Result<u64, Failure> {
    let start = Instant::now();
    while bytes_on_way(pair)? < bytes {
        if start.elapsed() > PATIENCE {
            return Err(format!("{bytes} bytes were not sent in {PATIENCE:?}").into());
        }
        thread::sleep(LOOK);
    }
    for connector in [pair.client(), pair.server()] {
        signal(connector.pid(), Signal::SIGSTOP)?;
    }
    bytes_on_way(pair)
}
