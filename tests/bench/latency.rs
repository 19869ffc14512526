//! How long a request and its answer take, at a load that does not wait for answers: each request has the time at which it
//! is meant to be sent, and its latency counts from then, so what holds up the sender counts as well.
//!
//! The pump is the floor: between the apps its four threads do nothing but read, seal, open and write. What it takes is the
//! machine's: six times somebody is woken, twice a write goes over TCP. No broker takes less, and what one takes more is its
//! own.
//!
//! Requests and answers are messages of 100 bytes: requests of ours; in NATS a message with a reply subject; in MQTT
//! 3.1.1, which has none, a topic for each. The Python package takes one request a connection and manages few a second, so
//! it is asked on a new connection each time, and less often.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aioconnectors::wire::frame::encode;
use aioconnectors::wire::names::{Role, SocketPaths};

use crate::client::{Connection, Heard, Number, PATIENCE, Place, Speech};
use crate::floor::Floor;
use crate::kinds::{Kind, Kinds};
use crate::ours::{ASK, CLIENT};
use crate::report::{Book, PUMP_AS_OURS};
use crate::requests::answer_all;
use crate::system::{Brokers, System, join};
use crate::{Failure, Options, throughput};

pub const NAME: &str = "latency";

/// Bytes of data in a request, and in an answer.
const SIZE: usize = 100;

/// How long a repeat lasts.
const SECONDS: u32 = 5;

/// Requests a second to the Python package.
const PYTHON_RATE: u32 = 10;

/// Connections to it at a time: requests that are meant to be sent while all wait are late.
const PYTHON_ASKERS: usize = 16;

/// Subject or topic of the answers.
const ANSWER: &str = "answer";

/// How requests come in.
enum Way {
    /// Frames of ours, through two pumps.
    Floor(Box<Floor>),
    /// All on one connection.
    Stream { place: Place, requests: Speech, answers: Speech },
    /// Frames of ours, on one connection.
    Frames { place: Place, server: String },
    /// The same, each on a connection of its own.
    Single { place: Place, server: String },
}

/// Whether every request to ours was answered.
pub fn run(folder: &Path, options: &Options, kinds: &Kinds, book: &mut Book) -> Result<bool, Failure> {
    let folder = folder.join(NAME);
    fs::create_dir(&folder)?;
    // Of so little the cipher makes no difference.
    let is_asked = |kind: &&Kind| !kind.durable && kind.has_tls() && kind.name != PUMP_AS_OURS;
    let wanted: Vec<&Kind> = kinds.all.iter().filter(is_asked).collect();
    let running = throughput::start(&folder, &wanted, 1, book)?;
    let seconds = options.seconds.unwrap_or(if options.quick { 1 } else { SECONDS });
    let mut asked = Vec::new();
    for mut one in running {
        let Some(system) = &one.system else { continue };
        let kind = one.kind;
        let rate = if kind.is_python() { PYTHON_RATE } else { options.rate };
        match answerer(kind, system, &folder).and_then(|way| way.warm_up(rate)) {
            Ok(way) => asked.push((one, way, rate)),
            Err(e) => one.give_up(NAME, e, book)?,
        }
    }
    let mut whole = true;
    for repeat in 1..=options.repeats {
        for (one, way, rate) in &mut asked {
            let (rate, kind) = (*rate, one.kind);
            let Some(system) = &one.system else { continue };
            let before = system.brokers.cpu();
            let answers = match way.ask(rate, rate * seconds) {
                Ok(answers) => answers,
                Err(e) => {
                    one.give_up(NAME, e, book)?;
                    continue;
                }
            };
            let after = system.brokers.cpu();
            let brokers = (0..2).map(|side| after[side].saturating_sub(before[side])).sum::<Duration>();
            let cpu = brokers + answers.pumped;
            let case = format!("{NAME}: requests and answers of {SIZE} bytes");
            let name = format!("{}, {rate}/s", kind.name);
            eprint!("{repeat}/{}  {name:<30}", options.repeats);
            for (what, part) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
                let milliseconds = answers.percentile(part);
                eprint!(" {what} {milliseconds:.2} ms");
                book.add(&case, &name, what, "ms", milliseconds);
            }
            book.add_lost(answers.lost());
            eprintln!(", {} lost", answers.lost());
            book.add(&case, &name, "p99 of the sender's own delay", "ms", percentile(&answers.late, 0.99));
            let each = cpu.as_secs_f64() * 1e6 / f64::from(rate * seconds);
            book.add(&case, &name, "CPU of the brokers a request", "us", each);
            whole &= answers.lost() == 0 || !kind.is_ours;
        }
    }
    Ok(whole)
}

/// Starts the app that answers, and says how to ask.
fn answerer(kind: &Kind, system: &System, folder: &Path) -> Result<Way, Failure> {
    if matches!(system.brokers, Brokers::Pump(_)) {
        return Ok(Way::Floor(Box::new(Floor::new(folder)?)));
    }
    let place = system.flows[0].sources[0].place.clone();
    if let Brokers::Pair(pair, _) = &system.brokers {
        let server = pair.server().api()?.id().to_owned();
        let at_server = SocketPaths::new(&pair.server().config().with_extension(""), Role::Server, &server);
        answer_all(at_server.receive(ASK), at_server.send())?;
        return Ok(if kind.is_python() { Way::Single { place, server } } else { Way::Frames { place, server } });
    }
    let far = system.flows[1].sources[0].place.clone();
    let (requests, answers) = match &system.flows[0].sources[0].speech {
        Speech::Nats { .. } => (Speech::nats(ASK), Speech::nats(ANSWER)),
        _ => (Speech::mqtt(ASK, "asks", false), Speech::mqtt(ANSWER, "answers", false)),
    };
    let mut from = Connection::open(&far, &requests.named("answers"), true)?;
    let reply = answers.clone();
    // It ends with the broker.
    thread::spawn(move || -> Result<(), Failure> {
        loop {
            let (mut out, mut pings) = (Vec::new(), 0);
            while let Some((heard, data)) = from.hear()? {
                match heard {
                    Heard::Message { .. } => out.extend_from_slice(&reply.message(data)?.bytes),
                    Heard::Ping => pings += 1,
                    _ => {}
                }
            }
            for _ in 0..pings {
                from.write(b"PONG\r\n")?;
            }
            from.write(&out)?;
            from.read()?;
        }
    });
    Ok(Way::Stream { place, requests, answers: answers.named("asks") })
}

/// What came of the requests, milliseconds.
struct Answers {
    /// From when a request was meant to be sent to its answer, of those that were answered; sorted.
    latencies: Vec<f64>,
    /// The same to its being written.
    late: Vec<f64>,
    asked: u32,
    /// CPU time of pumps.
    pumped: Duration,
}

impl Answers {
    fn new(asked: u32, mut latencies: Vec<f64>, mut late: Vec<f64>) -> Self {
        latencies.sort_by(f64::total_cmp);
        late.sort_by(f64::total_cmp);
        Self { latencies, late, asked, pumped: Duration::ZERO }
    }

    fn lost(&self) -> u64 {
        u64::from(self.asked).saturating_sub(self.latencies.len() as u64)
    }

    fn percentile(&self, part: f64) -> f64 {
        percentile(&self.latencies, part)
    }
}

/// The smallest that this part of them does not exceed.
fn percentile(sorted: &[f64], part: f64) -> f64 {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// When requests are meant to be sent.
#[derive(Clone, Copy)]
struct Schedule {
    start: Instant,
    interval: Duration,
}

impl Schedule {
    fn of(rate: u32) -> Self {
        Self { start: Instant::now() + Duration::from_millis(10), interval: Duration::from_secs(1) / rate }
    }

    fn at(self, number: u32) -> Instant {
        self.start + self.interval * number
    }

    fn wait(self, number: u32) {
        thread::sleep(self.at(number).saturating_duration_since(Instant::now()));
    }

    fn since(self, number: u32) -> f64 {
        self.at(number).elapsed().as_secs_f64() * 1e3
    }
}

/// Tells the requests of one call from late answers to those of another.
static ROUND: AtomicUsize = AtomicUsize::new(1);

impl Way {
    /// Asks until requests are answered: then connections are open and memory is touched.
    fn warm_up(self, rate: u32) -> Result<Self, Failure> {
        let start = Instant::now();
        while self.ask(rate, (rate / 2).max(1))?.lost() > 0 {
            if start.elapsed() > PATIENCE {
                return Err("requests are not answered".into());
            }
        }
        Ok(self)
    }

    /// Sends so many requests at this rate, and takes their answers.
    fn ask(&self, rate: u32, count: u32) -> Result<Answers, Failure> {
        let round = ROUND.fetch_add(1, Ordering::Relaxed) as u16;
        match self {
            Way::Single { place, server } => ask_singly(place, server, rate, count, round),
            Way::Floor(floor) => {
                let request = |data: &[u8]| frame("floor", data);
                let asking = |to, from| pipeline((to, from), rate, count, round, request);
                let (answers, pumped) = floor.run(&request(&data(0, 0))?, asking)?;
                Ok(Answers { pumped, ..answers })
            }
            Way::Frames { place, server } => {
                let to = Connection::open(place, &Speech::frames(""), false)?;
                let from = to.another()?;
                pipeline((to, from), rate, count, round, |data| frame(server, data))
            }
            Way::Stream { place, requests, answers } => {
                let to = Connection::open(place, answers, true)?;
                let from = to.another()?;
                pipeline((to, from), rate, count, round, |data| match requests {
                    Speech::Nats { subject } => {
                        let mut bytes = format!("PUB {subject} {ANSWER} {}\r\n", data.len()).into_bytes();
                        bytes.extend_from_slice(data);
                        bytes.extend_from_slice(b"\r\n");
                        Ok(bytes)
                    }
                    _ => Ok(requests.message(data)?.bytes),
                })
            }
        }
    }
}

/// A request of ours; the client gives the number of it, which is in the data too.
fn frame(server: &str, data: &[u8]) -> Result<Vec<u8>, Failure> {
    let id = Number::of(data).map_or(0, |number| number.at);
    let to = format!(r#"{{"message_type": "{ASK}", "source_id": "{CLIENT}", "destination_id": "{server}""#);
    let header = format!(r#"{to}, "await_response": true, "request_id": {id}}}"#);
    let mut frame = Vec::new();
    encode(header.as_bytes(), data, None, &mut frame)?;
    Ok(frame)
}

fn data(number: u32, round: u16) -> [u8; SIZE] {
    let mut data = [b'.'; SIZE];
    data[..8].copy_from_slice(&Number { lane: 0, round, at: u64::from(number) }.bytes());
    data
}

/// All requests on one connection; answers are taken by a thread of its own.
fn pipeline(
    (mut to, mut from): (Connection, Connection),
    rate: u32,
    count: u32,
    round: u16,
    request: impl Fn(&[u8]) -> Result<Vec<u8>, Failure>,
) -> Result<Answers, Failure> {
    let schedule = Schedule::of(rate);
    let (latencies, late) = thread::scope(|scope| {
        let answers = scope.spawn(move || {
            let mut latencies = Vec::with_capacity(count as usize);
            // A second without any is enough at any rate.
            from.set_patience(schedule.interval + Duration::from_secs(1))?;
            while latencies.len() < count as usize && from.read()? {
                while let Some((heard, data)) = from.hear()? {
                    let number = Number::of(data).filter(|number| number.round == round);
                    if let (Heard::Message { .. }, Some(number)) = (heard, number) {
                        latencies.push(schedule.since(number.at as u32));
                    }
                }
            }
            Ok::<_, Failure>(latencies)
        });
        let mut late = Vec::with_capacity(count as usize);
        for number in 0..count {
            schedule.wait(number);
            to.write(&request(&data(number, round))?)?;
            late.push(schedule.since(number));
        }
        Ok::<_, Failure>((join(answers)?, late))
    })?;
    Ok(Answers::new(count, latencies, late))
}

/// Each request on a connection of its own, by some threads that take turns.
fn ask_singly(place: &Place, server: &str, rate: u32, count: u32, round: u16) -> Result<Answers, Failure> {
    let schedule = Schedule::of(rate);
    let askers = PYTHON_ASKERS.min(count as usize);
    let asker = |first: usize| {
        let (mut latencies, mut late) = (Vec::new(), Vec::new());
        for number in (first as u32..count).step_by(askers) {
            schedule.wait(number);
            let mut to = Connection::open(place, &Speech::frames(""), false)?;
            to.write(&frame(server, &data(number, round))?)?;
            late.push(schedule.since(number));
            // What ends the connection is no answer.
            while to.read().unwrap_or(false) {
                if to.hear()?.is_some_and(|(_, data)| Number::of(data).is_some_and(|one| one.round == round)) {
                    latencies.push(schedule.since(number));
                    break;
                }
            }
        }
        Ok::<_, Failure>((latencies, late))
    };
    let (mut latencies, mut late) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..askers).map(|first| scope.spawn(move || asker(first))).collect();
        for thread in threads {
            let (some, times) = join(thread)?;
            latencies.extend(some);
            late.extend(times);
        }
        Ok::<_, Failure>(())
    })?;
    Ok(Answers::new(count, latencies, late))
}
