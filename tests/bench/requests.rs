//! Requests and their answers through both connectors over TLS, at a fixed load: how long an answer takes, alone and
//! beside files on their way in the same direction. In between, beside the bare TLS pump of the same file, into a file:
//! then the connectors have nothing to do with it, and what it costs is the machine's cores, memory and disk alone. That
//! is the floor under the figure beside the connectors' own files.
//!
//! The load does not wait for answers: each request has the time at which it is meant to be sent, and its latency counts
//! from then, so what holds up the sender counts as well.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aioconnectors::cli::demo::pair::Pair;
use aioconnectors::wire::frame::{Deframer, encode};
use aioconnectors::wire::header::{Header, MessageId};
use aioconnectors::wire::names::{Role, SocketPaths};

use crate::files::{FileWay, TYPE as FILE, make_source, pumped, settings};
use crate::ours::{CLIENT, CONNECT_TIMEOUT, MESSAGE_TYPE, plan_of};
use crate::pump::{Cipher, Pump};
use crate::report::Book;
use crate::{Failure, cpu};

/// Requests a second.
pub const RATE: u32 = 1000;

/// How long each part lasts.
pub const SECONDS: u32 = 20;

/// Bytes of data in a request, and in an answer.
const SIZE: usize = 100;

/// Without an answer for so long, the rest is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest frame that is expected.
const FRAME_MAX: usize = 1 << 20;

/// What is asked, how often, and beside how large a file.
pub struct Load {
    pub rate: u32,
    pub seconds: u32,
    pub file_bytes: u64,
}

/// Whether every request was answered, and every file has arrived.
pub fn run(folder: &Path, load: &Load, book: &mut Book) -> Result<bool, Failure> {
    let folder = folder.join("requests");
    std::fs::create_dir(&folder)?;
    let mut pair = Pair::start(&folder, &plan_of(true, &[MESSAGE_TYPE, FILE], settings(&folder, false)))?;
    pair.wait_until_connected(CONNECT_TIMEOUT, || false)?;
    let server = pair.server().api()?.id().to_owned();
    let at_server = SocketPaths::new(&folder.join("server"), Role::Server, &server);
    let entry = SocketPaths::new(&folder.join("client"), Role::Client, CLIENT).send();
    answer_all(at_server.receive(MESSAGE_TYPE), at_server.send())?;
    println!("\nrequests of {SIZE} bytes over TLS, {} a second for {} s", load.rate, load.seconds);
    // Connections are opened, memory is touched.
    ask(&entry, &server, load.rate, load.rate)?;
    let count = load.rate * load.seconds;
    let before = waited(&pair);
    let alone = ask(&entry, &server, load.rate, count)?;
    alone.say("alone", book, |_| true);
    say_waited(&pair, before);
    let source = make_source(&folder, load.file_bytes)?;
    let mut way = FileWay::new(&pair, &folder, &source)?;
    let (pump, exit) =
        (Pump::new(&folder.join("in"), &folder.join("out"), Cipher::Plain)?, UnixListener::bind(folder.join("out"))?);
    let asking = || ask(&entry, &server, load.rate, count);
    let before = waited(&pair);
    let pumping = || pumped(&pump, &exit, &folder, &source, Some(&folder.join("pumped")), load.file_bytes).map(drop);
    let floor = beside("the bare TLS pump", load.file_bytes, book, asking, pumping)?;
    say_waited(&pair, before);
    std::fs::remove_file(folder.join("pumped"))?;
    let before = waited(&pair);
    let sending = || way.begin().and_then(|()| way.wait()).map(drop);
    let whole = beside("the connectors' own", load.file_bytes, book, asking, sending)?;
    say_waited(&pair, before);
    pair.check()?;
    Ok(alone.is_whole() && floor && whole)
}

/// Requests while files are on their way, one after the other; whether all were answered.
fn beside(
    what: &str,
    bytes: u64,
    book: &mut Book,
    asking: impl Fn() -> Result<Asked, Failure>,
    mut sending: impl FnMut() -> Result<(), Failure> + Send,
) -> Result<bool, Failure> {
    let over = AtomicBool::new(false);
    let (asked, files) = thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut times = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let begin = Instant::now();
                sending()?;
                times.push((begin, Instant::now()));
            }
            Ok::<_, Failure>(times)
        });
        let asked = asking();
        over.store(true, Ordering::Relaxed);
        let files = sending.join().unwrap_or_else(|_| Err("the app that sends files has panicked".into()));
        Ok::<_, Failure>((asked?, files?))
    })?;
    let megabytes = bytes as f64 / 1e6;
    println!("beside a file of {megabytes:.0} MB, {what}:");
    asked.say(what, book, |at| files.iter().any(|(from, to)| (from..=to).contains(&&at)));
    let seconds: f64 = files.iter().map(|(from, to)| (*to - *from).as_secs_f64()).sum();
    println!("{:<28} {} files meanwhile, {:.0} MB/s each", "", files.len(), megabytes * files.len() as f64 / seconds);
    Ok(asked.is_whole())
}

/// How long the client and the server have waited for a core.
fn waited(pair: &Pair) -> [f64; 2] {
    [pair.client(), pair.server()].map(|connector| cpu::waited(connector.pid()))
}

/// What other programs on the machine have cost.
fn say_waited(pair: &Pair, before: [f64; 2]) {
    let now = waited(pair);
    let [client, server] = [0, 1].map(|which| now[which] - before[which]);
    println!("{:<28} the client waited {client:.2} s for a core, the server {server:.2} s", "");
}

/// An app that answers every request, until its connector ends.
pub fn answer_all(socket: PathBuf, entry: PathBuf) -> Result<(), Failure> {
    let listener = UnixListener::bind(socket)?;
    thread::spawn(move || -> Result<(), Failure> {
        let (mut from, mut to) = (listener.accept()?.0, UnixStream::connect(entry)?);
        let (mut deframer, mut buffer, mut out) = (Deframer::new(FRAME_MAX), vec![0; 64 * 1024], Vec::new());
        loop {
            let n = from.read(&mut buffer)?;
            if n == 0 {
                return Ok(());
            }
            let mut frames = deframer.feed(&buffer[..n]);
            while let Some(frame) = frames.next()? {
                let header = Header::parse(frame.header())?;
                let Some(request) = header.request_id else { continue };
                // A Python connector knows a request by its type as well.
                let (id, kind) = (request.to_json(), &header.message_type);
                let header =
                    format!(r#"{{"message_type": "{kind}", "destination_id": "{CLIENT}", "response_id": {id}}}"#);
                encode(header.as_bytes(), frame.data(), None, &mut out)?;
            }
            to.write_all(&out)?;
            out.clear();
        }
    });
    Ok(())
}

/// What came of requests.
struct Asked {
    start: Instant,
    interval: Duration,
    /// How long after the time at which a request was meant to be sent its answer came.
    latencies: Vec<Option<Duration>>,
    /// The same for its being written.
    late: Vec<Duration>,
    errors: u64,
}

/// Sends so many requests on one connection, at this rate, and takes their answers.
fn ask(entry: &Path, server: &str, rate: u32, count: u32) -> Result<Asked, Failure> {
    let mut stream = UnixStream::connect(entry)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let reading = stream.try_clone()?;
    let (interval, start) = (Duration::from_secs(1) / rate, Instant::now() + Duration::from_millis(10));
    thread::scope(|scope| {
        let answers = scope.spawn(move || take_answers(reading, start, interval, count));
        let mut late = Vec::with_capacity(count as usize);
        let mut frame = Vec::new();
        for number in 0..count {
            let at = start + interval * number;
            thread::sleep(at.saturating_duration_since(Instant::now()));
            let to = format!(r#"{{"message_type": "{MESSAGE_TYPE}", "destination_id": "{server}""#);
            let header = format!(r#"{to}, "await_response": true, "request_id": {number}}}"#);
            frame.clear();
            encode(header.as_bytes(), &[b'.'; SIZE], None, &mut frame)?;
            stream.write_all(&frame)?;
            late.push(Instant::now() - at);
        }
        let (latencies, errors) = answers.join().unwrap_or_else(|_| Err("the app that asks has panicked".into()))?;
        _ = stream.shutdown(Shutdown::Both);
        Ok(Asked { start, interval, latencies, late, errors })
    })
}

type Answers = (Vec<Option<Duration>>, u64);

fn take_answers(mut from: UnixStream, start: Instant, interval: Duration, count: u32) -> Result<Answers, Failure> {
    from.set_read_timeout(Some(PATIENCE))?;
    let (mut latencies, mut errors, mut left) = (vec![None; count as usize], 0, count);
    let (mut deframer, mut buffer) = (Deframer::new(FRAME_MAX), vec![0; 64 * 1024]);
    while left > 0 {
        let n = match from.read(&mut buffer) {
            Ok(0) => break,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            read => read?,
        };
        let now = Instant::now();
        let mut frames = deframer.feed(&buffer[..n]);
        while let Some(frame) = frames.next()? {
            left -= 1;
            // What is said in place of an answer has no type.
            let header = Header::parse(frame.header()).ok();
            let number = match header.and_then(|header| header.response_id) {
                Some(MessageId::Number(digits)) => digits.parse::<u32>().ok(),
                _ => None,
            };
            match number.filter(|number| *number < count) {
                Some(number) => latencies[number as usize] = Some(now - (start + interval * number)),
                None => errors += 1,
            }
        }
    }
    Ok((latencies, errors))
}

impl Asked {
    fn is_whole(&self) -> bool {
        self.latencies.iter().all(Option::is_some)
    }

    /// Prints what came of the requests that were meant to be sent at a time that `counts`.
    fn say(&self, what: &str, book: &mut Book, counts: impl Fn(Instant) -> bool) {
        let meant = |number: usize| self.start + self.interval * number as u32;
        let answered = self.latencies.iter().enumerate().filter(|(number, _)| counts(meant(*number)));
        let mut sorted: Vec<Duration> = answered.filter_map(|(_, latency)| *latency).collect();
        sorted.sort_unstable();
        let mut late = self.late.clone();
        late.sort_unstable();
        let [p50, p99, p999, most] = [0.5, 0.99, 0.999, 1.0].map(|part| milliseconds(&sorted, part));
        for (name, value) in [("p50", &p50), ("p99", &p99), ("p99.9", &p999)] {
            book.add("requests beside a file", what, name, "ms", value.parse().unwrap_or(f64::NAN));
        }
        book.add_lost(self.latencies.iter().filter(|latency| latency.is_none()).count() as u64);
        println!(
            "{what:<28} {} answers, p50 {p50} ms, p99 {p99}, p99.9 {p999}, most {most}; of that the sender's own: \
             p50 {}, p99 {}",
            sorted.len(),
            milliseconds(&late, 0.5),
            milliseconds(&late, 0.99)
        );
        let lost = self.latencies.iter().filter(|latency| latency.is_none()).count();
        println!("{:<28} {lost} of {} not answered, {} of them with an error", "", self.latencies.len(), self.errors);
    }
}

/// The smallest that this part of them does not exceed.
fn milliseconds(sorted: &[Duration], part: f64) -> String {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    let value = sorted.get(rank.saturating_sub(1)).map(Duration::as_secs_f64);
    value.map_or("?".to_owned(), |seconds| format!("{:.2}", seconds * 1e3))
}
