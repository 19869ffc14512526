//! One publisher and many subscribers: how fast what is published goes out to all, what it costs the server in memory,
//! and whether anything is lost. Most subscribers are sockets of one process that speak the first kind of link; beside
//! them are some real connectors, with apps that receive.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aioconnectors::cli::demo::pair::Pair;
use aioconnectors::wire::control::{HANDSHAKE_NO_SSL, HELLO, PUBSUB, own_frame};
use aioconnectors::wire::frame::Deframer;
use aioconnectors::wire::names::{Role, SocketPaths};
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

use crate::Failure;
use crate::client::{Number, Place, Sink, Source, Speech};
use crate::ours::{CLIENT, CONNECT_TIMEOUT, plan_of};
use crate::process::memory;
use crate::report::Book;

/// What is published.
const NEWS: &str = "news";

/// Subscribers that are sockets of this process.
pub const SUBSCRIBERS: usize = 1000;

/// Subscribers that are connectors.
const REAL: usize = 10;

/// Bytes of data, and how many messages are published.
const SIZES: [(usize, u64); 2] = [(100, 2_000), (10_000, 400)];

/// Without a message for so long, the rest is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest frame that is expected.
const FRAME_MAX: usize = 1 << 20;

/// Whether every subscriber has got everything, in order.
pub fn run(folder: &Path, subscribers: usize, quick: bool, book: &mut Book) -> Result<bool, Failure> {
    let folder = folder.join("pubsub");
    fs::create_dir(&folder)?;
    let mut pair = Pair::start(&folder, &plan_of(false, &[NEWS], json!({"pubsub_central_broker": true})))?;
    pair.wait_until_connected(CONNECT_TIMEOUT, || false)?;
    let config: Value = serde_json::from_slice(&fs::read(pair.server().config())?)?;
    let port = config["server_sockaddr"][1].as_u64().ok_or("the server's config has no port")?;
    let mut sockets = Subscribers::connect(SocketAddr::from(([127, 0, 0, 1], u16::try_from(port)?)), subscribers)?;
    let real: Vec<Real> = (0..REAL).map(|n| Real::start(&folder, &config, n)).collect::<Result<_, _>>()?;
    let mut counters: Vec<Sink> = real.iter().map(|real| Sink::listen(&real.exit)).collect::<Result<_, _>>()?;
    wait_peers(&pair, 1 + subscribers + REAL)?;
    let server = pair.server().api()?.id().to_owned();
    let entry = SocketPaths::new(&folder.join("client"), Role::Client, CLIENT).send();
    let header = format!(
        r#"{{"message_type": "{PUBSUB}", "message_type_publish": "{NEWS}", "source_id": "{CLIENT}", "destination_id": "{server}"}}"#
    );
    let source = Source { place: Place::Unix(entry), speech: Speech::frames(&header) };
    println!("\none publisher, {subscribers} subscribers on TCP and {REAL} connectors with an app each");
    println!("{:<28} {} MB resident with all links", "server", memory(pair.server().pid(), "VmRSS"));
    let mut whole = true;
    for (size, count) in SIZES.map(|(size, count)| (size, if quick { count / 5 } else { count })) {
        let start = Instant::now();
        let counted = thread::scope(|scope| {
            let apps: Vec<_> = counters.iter_mut().map(|counter| scope.spawn(move || counter.count(count))).collect();
            let sending = scope.spawn(|| source.blast(source.connect()?, Number::FIRST, size, count));
            let end = sockets.count(count)?;
            sending.join().unwrap_or_else(|_| Err("the publishing app has panicked".into()))?;
            let join =
                |app: thread::ScopedJoinHandle<'_, _>| app.join().unwrap_or_else(|_| Err("an app has panicked".into()));
            let apps = apps.into_iter().map(join).collect::<Result<Vec<_>, Failure>>()?;
            Ok::<_, Failure>((end, apps))
        });
        let (end, apps) = counted?;
        let end = apps.iter().map(|counted| counted.end).fold(end, Instant::max);
        let seconds = (end - start).as_secs_f64();
        let (received, disorder) = sockets.totals();
        let received = received + apps.iter().map(|counted| counted.received).sum::<u64>();
        let disorder = disorder + apps.iter().map(|counted| counted.out_of_order).sum::<u64>();
        let lost = (count * (subscribers + REAL) as u64).saturating_sub(received);
        let case = format!("pubsub, {size} bytes to {} subscribers", subscribers + REAL);
        book.add(&case, "ours, plain", "deliveries", "1/s", received as f64 / seconds);
        book.add_lost(lost);
        println!(
            "{size:>6} bytes {:<15} {:>10.0} deliveries/s, {:.0} MB/s, {:.0} published/s; {lost} of {} lost, {disorder} out of order",
            "",
            received as f64 / seconds,
            received as f64 * size as f64 / seconds / 1e6,
            count as f64 / seconds,
            count * (subscribers + REAL) as u64,
        );
        println!("{:<28} {} MB resident at most so far", "server", memory(pair.server().pid(), "VmHWM"));
        whole &= lost == 0 && disorder == 0;
    }
    pair.check()?;
    Ok(whole)
}

fn wait_peers(pair: &Pair, count: usize) -> Result<(), Failure> {
    let remote = pair.server().api()?.remote().timeout(PATIENCE);
    let start = Instant::now();
    loop {
        let connected = remote.connected_peers()?.len();
        if connected == count {
            return Ok(());
        }
        if start.elapsed() > CONNECT_TIMEOUT {
            return Err(format!("{connected} peers of {count} are connected").into());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// A connector that subscribes, with an app that receives.
struct Real {
    child: Child,
    exit: PathBuf,
}

impl Real {
    fn start(folder: &Path, server: &Value, number: usize) -> Result<Self, Failure> {
        let name = format!("real{number}");
        let own = folder.join(&name);
        fs::create_dir(&own)?;
        let config = json!({"is_server": false, "client_name": name, "server_sockaddr": server["server_sockaddr"],
            "use_ssl": false, "connector_files_dirpath": own, "default_logger_dirpath": own,
            "recv_message_types": [NEWS], "send_message_types": [NEWS], "subscribe_message_types": [NEWS]});
        let file = folder.join(format!("{name}.json"));
        fs::write(&file, config.to_string())?;
        let log = fs::File::create(own.join("output.log"))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_aioconnectorsd"));
        command.arg(&file).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn()?;
        let exit = SocketPaths::new(&own, Role::Client, &name).receive(NEWS);
        Ok(Self { child, exit })
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // Both do nothing to a process that has ended.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Subscribers that are no more than their sockets.
struct Subscribers {
    poll: Poll,
    all: Vec<Subscriber>,
}

struct Subscriber {
    stream: mio::net::TcpStream,
    deframer: Deframer,
    /// The number of the next message.
    expected: u64,
    received: u64,
    out_of_order: u64,
}

impl Subscribers {
    fn connect(server: SocketAddr, count: usize) -> Result<Self, Failure> {
        let (poll, mut all) = (Poll::new()?, Vec::with_capacity(count));
        let subscribe = json!({"subscribe_message_types": [NEWS]}).to_string();
        for number in 0..count {
            let name = format!("sub{number}");
            let mut stream = TcpStream::connect(server)?;
            stream.write_all(&own_frame(HANDSHAKE_NO_SSL, &name, HELLO))?;
            stream.write_all(&own_frame(PUBSUB, &name, subscribe.as_bytes()))?;
            stream.set_nonblocking(true)?;
            let mut stream = mio::net::TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            let deframer = Deframer::new(FRAME_MAX);
            all.push(Subscriber { stream, deframer, expected: 0, received: 0, out_of_order: 0 });
        }
        Ok(Self { poll, all })
    }

    /// Counts until all have got the message numbered `count - 1`; when the last one came.
    fn count(&mut self, count: u64) -> Result<Instant, Failure> {
        for one in &mut self.all {
            (one.expected, one.received, one.out_of_order) = (0, 0, 0);
        }
        let (mut events, mut buffer) = (Events::with_capacity(1024), vec![0; 256 * 1024]);
        let (mut left, mut end) = (self.all.len(), Instant::now());
        while left > 0 {
            self.poll.poll(&mut events, Some(PATIENCE))?;
            if events.is_empty() {
                break;
            }
            for event in &events {
                let one = &mut self.all[event.token().0];
                let had_all = one.expected >= count;
                one.read(&mut buffer)?;
                left -= usize::from(!had_all && one.expected >= count);
            }
            end = Instant::now();
        }
        Ok(end)
    }

    /// Messages that have come, and those of them that were not the next.
    fn totals(&self) -> (u64, u64) {
        self.all.iter().fold((0, 0), |(received, disorder), one| (received + one.received, disorder + one.out_of_order))
    }
}

impl Subscriber {
    fn read(&mut self, buffer: &mut [u8]) -> Result<(), Failure> {
        loop {
            let n = match self.stream.read(buffer) {
                Ok(0) => return Err("the server has closed a subscriber's connection".into()),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e.into()),
            };
            let mut frames = self.deframer.feed(&buffer[..n]);
            while let Some(frame) = frames.next()? {
                let number = frame.data().first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
                // What the server says for itself is shorter.
                let Some(number) = number else { continue };
                self.received += 1;
                self.out_of_order += u64::from(number != self.expected);
                self.expected = number + 1;
            }
        }
    }
}
