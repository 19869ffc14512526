//! Throughput from app to app, one way: two connectors as processes of their own on loopback, an app that blasts
//! ready-made frames into one and an app that counts what comes out of the other. Beside them, in the same run, a bare
//! TLS pump of the same bytes: Unix socket, rustls, TCP, rustls, Unix socket, without any message in mind.
//!
//! ```text
//! cargo bench                        # 5 repeats, interleaved; the medians
//! cargo bench -- --quick             # fewer messages, 3 repeats
//! cargo bench -- --json FILE         # all repeats as JSON as well
//! cargo bench -- --spool            # instead: 10 million messages that are stored while the peer is away
//! cargo bench -- --repeats N --messages N --only TEXT
//! cargo bench -- --folder DIR        # where all files lie, instead of /tmp: on another disk, or on none
//! ```
//!
//! Behind it come four more cases; `--only` takes their names as well:
//!
//! ```text
//! requests    latency of requests at a fixed load, alone and beside a file   --rate N --seconds N
//! file        a file of 1 GB beside the pump, and memory                     --gigabytes N --kill
//! pubsub      one publisher, 1,000 subscribers                               --subscribers N
//! idle        10,000 idle clients over TLS on one server                     --clients N
//! ```

mod apps;
mod cpu;
mod files;
mod idle;
mod process;
mod pubsub;
mod pump;
mod report;
mod requests;
mod spool;
mod system;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use report::{Repeat, Row};
use system::{Kind, System};

/// What a bench can fail with: it is printed, and that is all.
type Failure = Box<dyn Error + Send + Sync>;

/// Sizes of data in bytes, and how many messages of each make a repeat of two seconds or so.
const SIZES: [(usize, u64); 2] = [(100, 6_000_000), (1024, 2_000_000)];

struct Options {
    repeats: usize,
    messages: Option<u64>,
    quick: bool,
    spool: bool,
    only: String,
    json: Option<PathBuf>,
    folder: PathBuf,
    rate: u32,
    seconds: Option<u32>,
    gigabytes: f64,
    kill: bool,
    subscribers: usize,
    clients: usize,
}

/// A case that is measured in its own way.
type Case = fn(&Path, &Options) -> Result<bool, Failure>;

/// The cases besides throughput.
const CASES: [(&str, Case); 4] = [("requests", requests), ("file", file), ("pubsub", pubsub), ("idle", idle)];

fn requests(folder: &Path, options: &Options) -> Result<bool, Failure> {
    let seconds = options.seconds.unwrap_or(requests::SECONDS / if options.quick { 4 } else { 1 });
    requests::run(folder, &requests::Load { rate: options.rate, seconds, file_bytes: options.file_bytes() })
}

fn file(folder: &Path, options: &Options) -> Result<bool, Failure> {
    files::run(folder, options.file_bytes(), options.repeats, options.kill)
}

fn pubsub(folder: &Path, options: &Options) -> Result<bool, Failure> {
    pubsub::run(folder, options.subscribers, options.quick)
}

fn idle(folder: &Path, options: &Options) -> Result<bool, Failure> {
    idle::run(folder, if options.quick { options.clients / 10 } else { options.clients })
}

impl Options {
    fn parse() -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let mut options = Self {
            repeats: 5,
            messages: None,
            quick: false,
            spool: false,
            only: String::new(),
            json: None,
            folder: "/tmp".into(),
            rate: requests::RATE,
            seconds: None,
            gigabytes: 1.0,
            kill: false,
            subscribers: pubsub::SUBSCRIBERS,
            clients: idle::CLIENTS,
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(arg) = parser.next()? {
            match arg {
                Long("quick") => (options.quick, options.repeats) = (true, 3),
                Long("spool") => options.spool = true,
                Long("repeats") => options.repeats = parser.value()?.parse::<usize>()?.max(1),
                Long("messages") => options.messages = Some(parser.value()?.parse::<u64>()?.max(1)),
                Long("only") => options.only = parser.value()?.string()?,
                Long("json") => options.json = Some(parser.value()?.into()),
                Long("folder") => options.folder = parser.value()?.into(),
                Long("rate") => options.rate = parser.value()?.parse::<u32>()?.max(1),
                Long("seconds") => options.seconds = Some(parser.value()?.parse::<u32>()?.max(1)),
                Long("gigabytes") => options.gigabytes = parser.value()?.parse()?,
                Long("kill") => options.kill = true,
                Long("clients") => options.clients = parser.value()?.parse()?,
                Long("subscribers") => options.subscribers = parser.value()?.parse()?,
                // Cargo adds it.
                Long("bench") => {}
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }

    fn file_bytes(&self) -> u64 {
        (self.gigabytes * 1e9) as u64
    }

    fn messages(&self, default: u64) -> u64 {
        self.messages.unwrap_or(if self.quick { default / 5 } else { default })
    }
}

fn main() -> ExitCode {
    match Options::parse().map_err(Failure::from).and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("bench: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every message has arrived, in order.
fn run(options: &Options) -> Result<bool, Failure> {
    // What else runs on the machine runs in the figures.
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load of the machine before: {}", load.trim());
    let folder = tempfile::Builder::new().prefix("aioc-bench-").tempdir_in(&options.folder)?;
    if options.spool {
        return spool::run(folder.path(), options.messages(spool::MESSAGES));
    }
    let cases: Vec<Case> = CASES.into_iter().filter(|(name, _)| name.contains(&options.only)).map(|(_, c)| c).collect();
    let wanted = |kind: &Kind| kind.name().contains(&options.only);
    let mut systems = Vec::new();
    for kind in Kind::ALL.into_iter().filter(wanted) {
        systems.push(System::start(kind, folder.path())?);
    }
    if systems.is_empty() && cases.is_empty() {
        let names = [&Kind::ALL.map(Kind::name)[..], &CASES.map(|(name, _)| name)].concat().join("; ");
        return Err(format!("--only {:?}: is in none of: {names}", options.only).into());
    }
    let mut whole = systems.is_empty() || throughput(&mut systems, options)?;
    // They would only be in the way of what follows.
    drop(systems);
    for case in cases {
        whole &= case(folder.path(), options)?;
    }
    Ok(whole)
}

fn throughput(systems: &mut [System], options: &Options) -> Result<bool, Failure> {
    let mut rows: Vec<Row> = Vec::new();
    for (size, default) in SIZES {
        let messages = options.messages(default);
        rows.extend(systems.iter().map(|system| Row::new(system.kind().name(), size, messages)));
    }
    for repeat in 1..=options.repeats {
        for (at, row) in rows.iter_mut().enumerate() {
            let count = systems.len();
            let measured = systems[at % count].measure(row.size, row.messages)?;
            eprintln!("{repeat}/{}  {}", options.repeats, row.describe(&measured));
            row.repeats.push(measured);
        }
    }
    report::print(&rows);
    if let Some(file) = &options.json {
        std::fs::write(file, report::json(&rows))?;
    }
    Ok(rows.iter().flat_map(|row| &row.repeats).all(Repeat::is_whole))
}
