//! What is measured: two connectors, or the pump.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use aioconnectors::cli::demo::pair::{Pair, Plan};
use aioconnectors::wire::names::{Role, SocketPaths};
use serde_json::{Value, json};

use crate::apps::{Counted, Counter, Sent, blast};
use crate::pump::Pump;
use crate::report::Repeat;
use crate::{Failure, cpu};

pub const CLIENT: &str = "bench";
pub const MESSAGE_TYPE: &str = "any";

/// Bytes that a queue on disk may have: more than is ever measured.
const PERSISTENCE_MAX: u64 = 64 << 30;

/// Time for two connectors to start and connect.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Which of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The bare pump.
    Pump,
    /// Two connectors over TLS, the client with a certificate of its own that it got by enrolment.
    Tls,
    /// Two connectors over TCP.
    Plain,
    /// As `Tls`, with the queues of both ends on disk; they survive the death of a process (`persistence_sync` is `os`).
    Durable,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Pump, Kind::Tls, Kind::Plain, Kind::Durable];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Pump => "TLS pump",
            Kind::Tls => "connectors, TLS",
            Kind::Plain => "connectors, plain",
            Kind::Durable => "connectors, disk",
        }
    }
}

enum Inside {
    Pump(Pump),
    Connectors(Box<Pair>),
}

/// One of them, running.
pub struct System {
    kind: Kind,
    inside: Inside,
    entry: PathBuf,
    header: String,
    counter: Counter,
}

impl System {
    pub fn start(kind: Kind, folder: &Path) -> Result<Self, Failure> {
        let folder = folder.join(format!("{}", kind as u8));
        std::fs::create_dir(&folder)?;
        if kind == Kind::Pump {
            let (entry, exit) = (folder.join("in"), folder.join("out"));
            let header = header("('127.0.0.1', 10673)");
            let (counter, inside) = (Counter::listen(&exit)?, Inside::Pump(Pump::new(&entry, &exit)?));
            return Ok(Self { kind, inside, entry, header, counter });
        }
        let plan = plan(kind != Kind::Plain, kind == Kind::Durable);
        let mut pair = Pair::start(&folder, &plan)?;
        pair.wait_until_connected(CONNECT_TIMEOUT, || false)?;
        let ends = Ends::of(&pair, &folder)?;
        let counter = Counter::listen(&ends.exit)?;
        Ok(Self { kind, inside: Inside::Connectors(Box::new(pair)), entry: ends.entry, header: ends.header, counter })
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Sends `messages` with `size` bytes of data through it.
    pub fn measure(&mut self, size: usize, messages: u64) -> Result<Repeat, Failure> {
        let (entry, header, counter) = (&self.entry, &self.header, &mut self.counter);
        let mut work = || both(counter, messages, || blast(entry, header, size, messages));
        let ((start, sent, counted), [near, far]) = match &mut self.inside {
            Inside::Pump(pump) => pump.run(work)?,
            Inside::Connectors(pair) => {
                let pids = [pair.client().pid(), pair.server().pid()];
                let before = pids.map(cpu::process);
                let done = work()?;
                let after = pids.map(cpu::process);
                pair.check()?;
                (done, [after[0] - before[0], after[1] - before[1]])
            }
        };
        Ok(Repeat {
            seconds: (counted.end - start).as_secs_f64(),
            lost: messages.saturating_sub(counted.received),
            out_of_order: counted.out_of_order,
            cpu: [sent.cpu, near, far, counted.cpu].map(|time| time.as_secs_f64()),
        })
    }
}

/// Two connectors as they are measured.
pub fn plan(tls: bool, durable: bool) -> Plan {
    let settings = json!({"disk_persistence_send": durable, "disk_persistence_recv": durable,
        "max_size_persistence_path": PERSISTENCE_MAX});
    plan_of(tls, &[MESSAGE_TYPE], settings)
}

/// The same with these message types and settings.
pub fn plan_of(tls: bool, message_types: &'static [&'static str], settings: Value) -> Plan {
    Plan {
        program: env!("CARGO_BIN_EXE_aioconnectorsd").into(),
        arguments: &[],
        tls,
        client_name: CLIENT,
        message_types,
        settings: settings.as_object().cloned().unwrap_or_default(),
    }
}

/// Where apps go in and out of two connectors in `folder`.
pub struct Ends {
    pub entry: PathBuf,
    pub exit: PathBuf,
    pub header: String,
}

impl Ends {
    pub fn of(pair: &Pair, folder: &Path) -> Result<Self, Failure> {
        let server = pair.server().api()?.id().to_owned();
        let exit = SocketPaths::new(&folder.join("server"), Role::Server, &server).receive(MESSAGE_TYPE);
        let entry = SocketPaths::new(&folder.join("client"), Role::Client, CLIENT).send();
        Ok(Self { entry, exit, header: header(&server) })
    }
}

/// The header that an app writes; the same for each message.
fn header(destination: &str) -> String {
    format!(r#"{{"message_type": "{MESSAGE_TYPE}", "source_id": "{CLIENT}", "destination_id": "{destination}"}}"#)
}

/// Counts `messages` while `send` sends them: when that began, and what both have to say.
fn both(
    counter: &mut Counter,
    messages: u64,
    send: impl FnOnce() -> Result<Sent, Failure> + Send,
) -> Result<(Instant, Sent, Counted), Failure> {
    let start = Instant::now();
    thread::scope(|scope| {
        let sending = scope.spawn(send);
        let counted = counter.count(messages);
        let sent = sending.join().unwrap_or_else(|_| Err("the sending app has panicked".into()))?;
        Ok((start, sent, counted?))
    })
}
