//! A server and its clients over a network that misbehaves, with apps that blast, dawdle, come and go, from a seed.
//!
//! `AIOCONNECTORS_CHAOS_SEED=N` plays one world again (as far as threads and the system let it be the same);
//! `AIOCONNECTORS_CHAOS_SECONDS=N` goes on with new worlds for N seconds.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::common::setup::TYPES;
use crate::common::{Frame, Place, Process, RawReceiver, RawSender, Setup, certificates, free_port, wait};
use crate::proxy::{Proxy, Way};

const CLIENTS: usize = 2;

/// The type whose receiving apps come and go.
const COMES_AND_GOES: &str = "ask";

/// The type whose receiving apps read slowly.
const DAWDLES: &str = "slow";

/// How long the network misbehaves.
const CHAOS: Duration = Duration::from_secs(3);

/// How long messages may take to flow again after it: the longest wait between two attempts, and some.
const RECOVERY: Duration = Duration::from_secs(30);

/// What a daemon may do in a quiet second, in hundredths of one.
const IDLE_TICKS: u64 = 4;

/// What a daemon may weigh more after a world than before, in KiB.
const MORE_MEMORY: u64 = 48 * 1024;

/// Names the seed when a world fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("to see it again: AIOCONNECTORS_CHAOS_SEED={} cargo test --test daemon chaos", self.0);
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|e| panic!("{name}: {e}")))
}

fn worlds(ssl: bool) {
    let end = Instant::now() + Duration::from_secs(variable("AIOCONNECTORS_CHAOS_SECONDS").unwrap_or(0));
    let mut seed = variable("AIOCONNECTORS_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000_000));
    loop {
        eprintln!("chaos, seed {seed}, ssl {ssl}");
        let _seed = Seed(seed);
        World::start(seed, ssl).run();
        seed += 1;
        if Instant::now() >= end {
            return;
        }
    }
}

#[test]
fn chaos_on_plain_links_harms_neither_order_nor_the_connectors() {
    worlds(false);
}

#[test]
fn chaos_under_tls_harms_neither_order_nor_the_connectors() {
    worlds(true);
}

/// Messages of one type from one connector to another.
struct Flow {
    from: Setup,
    /// The destination's name, at the sending connector.
    destination: String,
    receiver: usize,
    message_type: &'static str,
    sent: AtomicU64,
    /// Only those from here on must all arrive.
    calm_from: AtomicU64,
}

impl Flow {
    /// A message that is known by its number: by its tag or, if its header is that of others, by its data.
    fn message(&self, number: u64) -> Frame {
        let random = &mut Rng::with_seed(number);
        let header = json!({"message_type": self.message_type, "source_id": self.from.id,
            "destination_id": self.destination});
        let size = match random.u8(..) {
            0..2 => random.usize(..300_000),
            2..12 => random.usize(..70_000),
            12..60 => random.usize(..3_000),
            _ => random.usize(..100),
        };
        let body: Vec<u8> = number.to_le_bytes().into_iter().cycle().take(size).collect();
        match random.u8(..8) {
            0 => Frame::new(header, "").with("tag", number.to_string()),
            1 => Frame::new(header, "").with("tag", number.to_string()).with_binary(body),
            2 => Frame::new(header, body).with("tag", number.to_string()),
            3 => Frame::new(header, number.to_le_bytes()).with_binary(body),
            _ => Frame::new(header, [&number.to_le_bytes()[..], &body].concat()),
        }
    }

    fn blast(&self, over: &AtomicBool, random: &mut Rng) {
        let mut app = RawSender::connect(&self.from.send_socket());
        while !over.load(SeqCst) {
            for _ in 0..random.u32(1..60) {
                let number = self.sent.fetch_add(1, SeqCst);
                app.send_all([&self.message(number)]);
            }
            thread::sleep(Duration::from_millis(random.u64(1..40)));
            if random.u8(..) < 8 {
                app = self.after_the_first(app);
            }
        }
        self.after_the_first(app);
    }

    /// A new connection, when all of the old one's messages have been read: order holds within one connection.
    fn after_the_first(&self, mut app: RawSender) -> RawSender {
        let ping = json!({"message_type": "_ping", "destination_id": self.destination, "request_id": 1,
            "await_response": true});
        app.send_all([&Frame::new(ping, "")]);
        // Answered by the peer or, without one, by the end of the connection.
        app.receive();
        RawSender::connect(&self.from.send_socket())
    }
}

fn number(frame: &Frame) -> u64 {
    let by_data = || frame.data.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    frame.tag().parse().ok().or_else(by_data).unwrap_or_else(|| panic!("a message without a number: {frame:?}"))
}

struct World {
    /// Nothing is cut, so nothing may be missing.
    gentle: bool,
    random: Rng,
    setups: Vec<Setup>,
    flows: Vec<Flow>,
    over: AtomicBool,
    proxies: Vec<Proxy>,
    /// The clients, and the server as the last.
    daemons: Vec<Process>,
    _place: Place,
}

impl World {
    fn start(seed: u64, ssl: bool) -> World {
        let (place, port, mut random) = (Place::new(), free_port(), Rng::with_seed(seed));
        let server = Setup::server(&place, port);
        let proxies: Vec<Proxy> = (0..CLIENTS).map(|_| Proxy::start(port, random.u64(..))).collect();
        let name = |i| format!("client{i}");
        let clients = (0..CLIENTS).map(|i| Setup::client_in(&place, &format!("c{i}"), &name(i), proxies[i].port));
        let setups: Vec<Setup> = clients.chain([server]).map(|s| s.with("use_ssl", ssl)).collect();
        if ssl {
            certificates::make(&place.file("made"));
            setups.iter().for_each(|setup| certificates::hand_out(&place.file("made"), setup));
        }
        let daemons = setups.iter().map(Setup::start).collect();
        let flow = |from: usize, to: usize, message_type| Flow {
            from: setups[from].clone(),
            destination: setups[to].id.clone(),
            receiver: to,
            message_type,
            sent: 0.into(),
            calm_from: 0.into(),
        };
        let both = |i| [(i, CLIENTS), (CLIENTS, i)];
        let flows =
            (0..CLIENTS).flat_map(both).flat_map(|(from, to)| TYPES.map(|t| flow(from, to, t))).collect::<Vec<_>>();
        let gentle = random.u8(..4) == 0;
        World { gentle, random, setups, flows, over: false.into(), proxies, daemons, _place: place }
    }

    fn run(mut self) {
        self.wait_links();
        let before: Vec<_> = self.daemons.iter().map(Figures::lowest).collect();
        let mut streams: Vec<Received> =
            (0..=CLIENTS).flat_map(|at| TYPES.map(|t| Received::listen(at, t, &self.setups[at]))).collect();
        self.proxies.iter().for_each(|proxy| proxy.set_calm(false));
        self.misbehave(&mut streams);
        self.recover(&mut streams);
        for flow in &self.flows {
            let received = receiver(&mut streams, flow.receiver, flow.message_type);
            self.check(flow, received.of(&flow.from.id));
        }
        drop(streams);
        self.check_quiet(&before);
    }

    /// Lets apps blast while everything else goes wrong.
    fn misbehave(&mut self, streams: &mut [Received]) {
        let mut random = self.random.fork();
        let this = &*self;
        thread::scope(|scope| {
            for flow in &this.flows {
                let mut random = random.fork();
                scope.spawn(move || flow.blast(&this.over, &mut random));
            }
            let end = Instant::now() + CHAOS;
            while Instant::now() < end {
                this.act(streams, &mut random);
                thread::sleep(Duration::from_millis(random.u64(1..60)));
            }
            this.over.store(true, SeqCst);
            this.proxies.iter().for_each(|proxy| proxy.set_calm(true));
            streams.iter_mut().for_each(Received::attend);
        });
    }

    /// One thing that goes wrong.
    fn act(&self, streams: &mut [Received], random: &mut Rng) {
        let proxy = &self.proxies[random.usize(..CLIENTS)];
        let way = if random.bool() { Way::Up } else { Way::Down };
        let time = Duration::from_millis(random.u64(1..300));
        let at = random.usize(..=CLIENTS);
        match random.u8(..if self.gentle { 5 } else { 8 }) {
            0 => receiver(streams, at, COMES_AND_GOES).come_or_go(),
            1 => receiver(streams, at, DAWDLES).dawdle(),
            2 => {
                self.daemons[at].signal(Signal::SIGSTOP);
                thread::sleep(time);
                self.daemons[at].signal(Signal::SIGCONT);
            }
            3 | 4 => proxy.stall(way, time),
            5 => proxy.cut(random.bool()),
            6 => proxy.halve(way),
            _ => {
                proxy.refuse(time);
                proxy.cut(random.bool());
            }
        }
    }

    /// Has messages flow again, and waits for those that are sent from now on.
    fn recover(&mut self, streams: &mut [Received]) {
        if !self.gentle {
            let before: Vec<_> = self.proxies.iter().map(Proxy::seen_by_server).collect();
            self.proxies.iter().for_each(|proxy| proxy.cut(true));
            for (proxy, before) in self.proxies.iter().zip(before) {
                self.wait_for("a new connection", || proxy.seen_by_server().filter(|new| Some(new) != before.as_ref()));
            }
        }
        self.wait_links();
        for flow in &self.flows {
            let mut app = RawSender::connect(&flow.from.send_socket());
            flow.calm_from.store(flow.sent.load(SeqCst), SeqCst);
            let numbers = flow.sent.fetch_add(30, SeqCst)..flow.sent.load(SeqCst);
            numbers.for_each(|number| app.send_all([&flow.message(number)]));
        }
        for flow in &self.flows {
            let last = flow.sent.load(SeqCst) - 1;
            let received = receiver(streams, flow.receiver, flow.message_type);
            self.wait_for(&format!("the last message of {flow:?}"), || received.has(&flow.from.id, last).then_some(()));
        }
    }

    /// Waits until the server and each client list the other, over the newest connections.
    fn wait_links(&self) {
        let (clients, server) = (&self.setups[..CLIENTS], &self.setups[CLIENTS]);
        for (client, proxy) in clients.iter().zip(&self.proxies) {
            self.wait_for("a link at the server", || {
                let port = server.admin().connected_peers()?.get(&client.id)?.get(1)?.as_u64()?;
                (port == u64::from(proxy.seen_by_server()?.port())).then_some(())
            });
            self.wait_for("a link at the client", || client.admin().connected_peers().filter(|p| !p.is_empty()));
        }
    }

    fn wait_for<T>(&self, what: &str, ask: impl FnMut() -> Option<T>) -> T {
        wait::within(RECOVERY, ask).unwrap_or_else(|| panic!("waited {} s in vain for: {what}", RECOVERY.as_secs()))
    }

    fn check<'a>(&self, flow: &Flow, received: impl Iterator<Item = &'a Frame>) {
        let sent = flow.sent.load(SeqCst);
        let mut next = 0;
        let nothing_may_miss =
            if self.gentle && flow.message_type != COMES_AND_GOES { 0 } else { flow.calm_from.load(SeqCst) };
        for frame in received {
            let number = number(frame);
            assert!(number < sent, "{flow:?}: {frame:?} was never sent");
            assert!(number >= next, "{flow:?}: {number} came when {next} was expected: twice or out of order");
            assert!(number == next || next < nothing_may_miss, "{flow:?}: {next} is missing, {number} came");
            let expected = flow.message(number);
            let is_same =
                (&frame.data, &frame.binary, frame.tag()) == (&expected.data, &expected.binary, expected.tag());
            assert!(is_same, "{flow:?}: {expected:?} was sent, {frame:?} came");
            next = number + 1;
        }
        assert_eq!(next, sent, "{flow:?}: the last ones are missing");
    }

    /// Nothing is left of the chaos in the daemons: files, memory, work, complaints about themselves.
    fn check_quiet(&mut self, before: &[Figures]) {
        for (daemon, before) in self.daemons.iter_mut().zip(before) {
            assert!(daemon.is_running(), "a daemon has ended");
            let panics: Vec<_> = daemon.errors().into_iter().filter(|line| line.contains("panicked")).collect();
            assert!(panics.is_empty(), "{panics:?}");
            let is_back = |now: &Figures| now.files == before.files && now.memory <= before.memory + MORE_MEMORY;
            let back = wait::within(RECOVERY, || Some(Figures::of(daemon)).filter(is_back));
            assert!(back.is_some(), "{before:?} before, {:?} after", Figures::of(daemon));
        }
        let ticks = |daemons: &[Process]| daemons.iter().map(|d| Figures::of(d).ticks).collect::<Vec<_>>();
        let first = ticks(&self.daemons);
        thread::sleep(Duration::from_secs(1));
        for (first, then) in first.iter().zip(ticks(&self.daemons)) {
            assert!(then - first <= IDLE_TICKS, "{} hundredths of a quiet second were spent", then - first);
        }
    }
}

fn receiver<'a>(all: &'a mut [Received], at: usize, message_type: &str) -> &'a mut Received {
    all.iter_mut().find(|r| r.at == at && r.message_type == message_type).expect("a receiver for each type")
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} from {} to {}", self.message_type, self.from.id, self.destination)
    }
}

/// The app that receives one type at one connector, and what it and those before it got.
struct Received {
    at: usize,
    message_type: &'static str,
    path: PathBuf,
    app: Option<RawReceiver>,
    dawdling: bool,
    frames: Vec<Frame>,
}

impl Received {
    fn listen(at: usize, message_type: &'static str, setup: &Setup) -> Received {
        let path = setup.receive_socket(message_type);
        let app = Some(RawReceiver::listen(path.clone()));
        Received { at, message_type, path, app, dawdling: false, frames: Vec::new() }
    }

    fn collect(&mut self) {
        self.frames.extend(self.app.iter().flat_map(RawReceiver::take));
    }

    fn come_or_go(&mut self) {
        self.collect();
        self.app = if self.app.is_some() { None } else { Some(RawReceiver::listen(self.path.clone())) };
    }

    fn dawdle(&mut self) {
        self.dawdling = !self.dawdling;
        match &self.app {
            Some(app) if self.dawdling => app.pause(),
            Some(app) => app.resume(),
            None => {}
        }
    }

    /// It is there, and reads.
    fn attend(&mut self) {
        if self.app.is_none() {
            self.come_or_go();
        }
        if self.dawdling {
            self.dawdle();
        }
    }

    fn has(&mut self, source: &str, last: u64) -> bool {
        self.collect();
        self.of(source).next_back().is_some_and(|frame| number(frame) == last)
    }

    /// What came from one connector.
    fn of<'a>(&'a self, source: &'a str) -> impl DoubleEndedIterator<Item = &'a Frame> {
        self.frames.iter().filter(move |frame| frame.field("source_id") == source)
    }
}

/// What a process holds and has done.
#[derive(Debug)]
struct Figures {
    files: usize,
    /// In KiB.
    memory: u64,
    /// Processor time in hundredths of a second.
    ticks: u64,
}

impl Figures {
    /// With the fewest files of a few looks: answered admins go a moment later.
    fn lowest(process: &Process) -> Figures {
        let look = |_| {
            thread::sleep(Duration::from_millis(5));
            Figures::of(process)
        };
        (0..40).map(look).min_by_key(|figures| figures.files).expect("one of many")
    }

    fn of(process: &Process) -> Figures {
        let folder = PathBuf::from(format!("/proc/{}", process.pid()));
        let status = fs::read_to_string(folder.join("status")).expect("the process's status");
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        let stat = fs::read_to_string(folder.join("stat")).expect("the process's figures");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        Figures {
            files: fs::read_dir(folder.join("fd")).expect("the process's files").count(),
            memory: memory.trim().trim_end_matches(" kB").parse().expect("a number of KiB"),
            ticks: fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number of ticks")).sum(),
        }
    }
}
