//! What connectors carry and how fast, beside what people would use instead, all in one run: brokers as processes of
//! their own on loopback, apps that blast ready-made messages into one and apps that count what comes out of another.
//!
//! Compared are connectors of ours over TLS, plain, and on disk; `nats-server` as a leaf node, and its JetStream;
//! `mosquitto` as a bridge; the Python package; and, as the limit, a bare TLS pump of the same bytes: Unix socket, rustls,
//! TCP, rustls, Unix socket, without any message in mind, with the cipher of rustls and with that of the connectors. What
//! is not installed is named, and left out.
//!
//! ```text
//! cargo bench                        # all cases, 5 repeats, interleaved; medians and spread
//! cargo bench -- --quick             # throughput and latency only, shorter, 3 repeats
//! cargo bench -- --json FILE         # all repeats as JSON as well
//! cargo bench -- --svg FILE          # and drawn
//! cargo bench -- --only TEXT         # cases whose name has it
//! cargo bench -- --system TEXT       # of what is compared, the names that have it
//! cargo bench -- --repeats N --seconds N --messages N
//! cargo bench -- --python FILE       # an interpreter with the Python package, or AIOCONNECTORS_BENCH_PYTHON
//! cargo bench -- --folder DIR        # where all files lie, instead of /tmp: on another disk, or on none
//! cargo bench -- --spool             # instead: 10 million messages that are stored while the peer is away
//! ```
//!
//! Cases of all: `one way`, `both ways`, `durable`, `10 clients`, `100 clients` (as many near ends, each a process of its
//! own with a sender, and one far end with one counter); `latency` (`--rate N`), `start-up`, `full store`. Cases of ours:
//!
//! ```text
//! requests    latency of requests at a fixed load, alone and beside a file   --rate N --seconds N
//! file        a file of 1 GB beside the pump, and memory                     --gigabytes N --kill
//! pubsub      one publisher, 1,000 subscribers                               --subscribers N
//! idle        10,000 idle clients over TLS on one server                     --clients N
//! growth: clients   1 to 10,000 of them on one server                        --clients N
//! growth: queues    0 to 10 GB stored while the peer is away                 --queue-gigabytes N
//! growth: types     1 to 1,000 message types
//! ```

mod broker;
mod client;
mod cpu;
mod files;
mod floor;
mod growth;
mod idle;
mod jetstream;
mod kinds;
mod latency;
mod ours;
mod plot;
mod process;
mod pubsub;
mod pump;
mod report;
mod requests;
mod rivals;
mod spool;
mod startup;
mod store;
mod system;
mod throughput;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use kinds::Kinds;
use report::Book;

/// What a bench can fail with: it is printed, and that is all.
type Failure = Box<dyn Error + Send + Sync>;

struct Options {
    repeats: usize,
    messages: Option<u64>,
    quick: bool,
    spool: bool,
    only: String,
    system: String,
    python: Option<PathBuf>,
    json: Option<PathBuf>,
    svg: Option<PathBuf>,
    folder: PathBuf,
    rate: u32,
    seconds: Option<u32>,
    gigabytes: f64,
    kill: bool,
    subscribers: usize,
    clients: usize,
    queue_gigabytes: f64,
}

/// A case that is measured in its own way; whether it went as it must.
type Case = fn(&Path, &Options, &Kinds, &mut Book) -> Result<bool, Failure>;

/// The cases besides throughput, and whether `--quick` alone has them too.
const CASES: [(&str, bool, Case); 10] = [
    (latency::NAME, true, latency::run),
    (startup::NAME, false, startup::run),
    (store::NAME, false, store::run),
    ("requests", false, requests),
    ("file", false, file),
    ("pubsub", false, pubsub),
    ("idle", false, idle),
    (growth::clients::NAME, false, growth::clients::run),
    (growth::types::NAME, false, growth::types::run),
    (growth::queues::NAME, false, growth::queues::run),
];

fn requests(folder: &Path, options: &Options, _: &Kinds, book: &mut Book) -> Result<bool, Failure> {
    let seconds = options.seconds.unwrap_or(requests::SECONDS / if options.quick { 4 } else { 1 });
    let load = requests::Load { rate: options.rate, seconds, file_bytes: options.file_bytes() };
    requests::run(folder, &load, book)
}

fn file(folder: &Path, options: &Options, _: &Kinds, book: &mut Book) -> Result<bool, Failure> {
    files::run(folder, options.file_bytes(), options.repeats, options.kill, book)
}

fn pubsub(folder: &Path, options: &Options, _: &Kinds, book: &mut Book) -> Result<bool, Failure> {
    pubsub::run(folder, options.subscribers, options.quick, book)
}

fn idle(folder: &Path, options: &Options, _: &Kinds, book: &mut Book) -> Result<bool, Failure> {
    idle::run(folder, if options.quick { options.clients / 10 } else { options.clients }, book)
}

impl Options {
    fn parse() -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let mut repeats = None;
        let mut options = Self {
            repeats: 0,
            messages: None,
            quick: false,
            spool: false,
            only: String::new(),
            system: String::new(),
            python: None,
            json: None,
            svg: None,
            folder: "/tmp".into(),
            rate: requests::RATE,
            seconds: None,
            gigabytes: 1.0,
            kill: false,
            subscribers: pubsub::SUBSCRIBERS,
            clients: idle::CLIENTS,
            queue_gigabytes: growth::queues::GIGABYTES,
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(arg) = parser.next()? {
            match arg {
                Long("quick") => options.quick = true,
                Long("spool") => options.spool = true,
                Long("repeats") => repeats = Some(parser.value()?.parse::<usize>()?.max(1)),
                Long("messages") => options.messages = Some(parser.value()?.parse::<u64>()?.max(1)),
                Long("only") => options.only = parser.value()?.string()?,
                Long("system") => options.system = parser.value()?.string()?,
                Long("python") => options.python = Some(parser.value()?.into()),
                Long("json") => options.json = Some(parser.value()?.into()),
                Long("svg") => options.svg = Some(parser.value()?.into()),
                Long("folder") => options.folder = parser.value()?.into(),
                Long("rate") => options.rate = parser.value()?.parse::<u32>()?.max(1),
                Long("seconds") => options.seconds = Some(parser.value()?.parse::<u32>()?.max(1)),
                Long("gigabytes") => options.gigabytes = parser.value()?.parse()?,
                Long("kill") => options.kill = true,
                Long("clients") => options.clients = parser.value()?.parse()?,
                Long("queue-gigabytes") => options.queue_gigabytes = parser.value()?.parse()?,
                Long("subscribers") => options.subscribers = parser.value()?.parse()?,
                // Cargo adds it.
                Long("bench") => {}
                other => return Err(other.unexpected()),
            }
        }
        options.repeats = repeats.unwrap_or(if options.quick { 3 } else { 5 });
        Ok(options)
    }

    fn file_bytes(&self) -> u64 {
        (self.gigabytes * 1e9) as u64
    }

    fn messages(&self, default: u64) -> u64 {
        self.messages.unwrap_or(if self.quick { default / 5 } else { default })
    }

    fn wants(&self, case: &str) -> bool {
        case.contains(&self.only)
    }
}

fn main() -> ExitCode {
    match Options::parse().map_err(Failure::from).and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("bench: not everything of ours went as it must; see above");
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("bench: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every message of ours has arrived, in order.
fn run(options: &Options) -> Result<bool, Failure> {
    let names = [throughput::names(), CASES.map(|(name, ..)| name).to_vec()].concat();
    if !names.iter().any(|name| options.wants(name)) {
        return Err(format!("--only {:?}: is in none of: {}", options.only, names.join("; ")).into());
    }
    // Before anything is measured it is known whether they can be written.
    for file in options.json.iter().chain(&options.svg) {
        std::fs::write(file, "").map_err(|e| format!("{}: {e}", file.display()))?;
    }
    println!("load of the machine before: {}", report::load());
    let folder = tempfile::Builder::new().prefix("aioc-bench-").tempdir_in(&options.folder)?;
    let _on_signal = broker::end_on_signal(folder.path().to_owned())?;
    let mut book = Book::default();
    if options.spool {
        return spool::run(folder.path(), options.messages(spool::MESSAGES));
    }
    let kinds = Kinds::find(options, &mut book);
    book.print_about();
    let result = measure(folder.path(), options, &kinds, &mut book);
    // What was found out until something failed counts too, and what has failed.
    book.print_absent();
    book.print_rows();
    book.print_facts();
    book.print_growth();
    if let Some(file) = &options.json {
        std::fs::write(file, book.json())?;
    }
    if let Some(file) = &options.svg {
        std::fs::write(file, plot::svg(&book))?;
    }
    result
}

fn measure(folder: &Path, options: &Options, kinds: &Kinds, book: &mut Book) -> Result<bool, Failure> {
    let mut whole = throughput::run(folder, options, kinds, book)?;
    for (name, is_quick, case) in CASES {
        if options.wants(name) && (is_quick || !options.quick || !options.only.is_empty()) {
            eprintln!("{name}");
            whole &= case(folder, options, kinds, book)?;
        }
    }
    Ok(whole)
}
