//! Messages a second, of all that is there to be compared: what is in one group runs at the same time, and is measured in
//! turn, all of it once before any of it again.
//!
//! Each sends as many messages as take it the wanted time, found out before. Nobody is asked to send slower than it can
//! take: who drops messages then has them in its row as lost. None of them has to drop any: their queues are
//! without limit here, or hold their senders up.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::kinds::{Kind, Kinds};
use crate::report::{Book, Row};
use crate::system::{System, Work};
use crate::{Failure, Options};

/// A try that takes less says little of the speed.
const TRY_TIME: Duration = Duration::from_millis(150);

/// Messages of the first try, of all senders together.
const TRY: u64 = 500;

/// Messages of each sender that show that all is well.
const FIRST: u64 = 50;

/// How often a rival is started that does not bring these.
const STARTS: usize = 5;

/// Most messages of all senders in a repeat: what waits in memory stays below 4 GB.
const MESSAGES_MAX: u64 = 20_000_000;

/// Most bytes of data in a repeat, for the same reason.
const BYTES_MAX: u64 = 3_000_000_000;

/// One case: a name, sizes of data, whether it goes both ways.
struct Case {
    name: &'static str,
    sizes: &'static [usize],
    /// For `--quick`.
    quick: &'static [usize],
    both_ways: bool,
}

/// What runs at the same time, and what is measured of it.
struct Group {
    clients: usize,
    durable: bool,
    cases: &'static [Case],
}

const GROUPS: [Group; 4] = [
    Group {
        clients: 1,
        durable: false,
        cases: &[
            Case { name: "one way", sizes: &[100, 1024, 65536], quick: &[100, 1024, 65536], both_ways: false },
            Case { name: "both ways", sizes: &[100, 1024], quick: &[100], both_ways: true },
        ],
    },
    Group {
        clients: 1,
        durable: true,
        cases: &[Case { name: "durable", sizes: &[100, 1024], quick: &[100], both_ways: false }],
    },
    Group {
        clients: 10,
        durable: false,
        cases: &[Case { name: "10 clients", sizes: &[100, 1024], quick: &[100], both_ways: false }],
    },
    Group {
        clients: 100,
        durable: false,
        cases: &[Case { name: "100 clients", sizes: &[100], quick: &[], both_ways: false }],
    },
];

/// Names of all cases.
pub fn names() -> Vec<&'static str> {
    GROUPS.iter().flat_map(|group| group.cases).map(|case| case.name).collect()
}

/// Measures all cases that are wanted; whether all messages of ours have arrived, in order.
pub fn run(folder: &Path, options: &Options, kinds: &Kinds, book: &mut Book) -> Result<bool, Failure> {
    let seconds = options.seconds.map_or(if options.quick { 0.3 } else { 2.0 }, f64::from);
    for (at, group) in GROUPS.iter().enumerate() {
        let mut works = Vec::new();
        for case in group.cases.iter().filter(|case| options.wants(case.name)) {
            let sizes = if options.quick { case.quick } else { case.sizes };
            works.extend(sizes.iter().map(|size| (case, *size)));
        }
        if works.is_empty() {
            continue;
        }
        let folder = folder.join(format!("group{at}"));
        fs::create_dir(&folder)?;
        let of_group = |kind: &&Kind| kind.durable == group.durable && group.clients <= kind.clients_max;
        let wanted: Vec<&Kind> = kinds.all.iter().filter(of_group).collect();
        if wanted.is_empty() {
            continue;
        }
        eprintln!("starting {} of {} clients each", wanted.len(), group.clients);
        let mut running = start(&folder, &wanted, group.clients, book)?;
        let mut rows = prepare(&works, &mut running, seconds, options, book)?;
        for repeat in 1..=options.repeats {
            for (which, work, row) in &mut rows {
                let Some(system) = &mut running[*which].system else { continue };
                match system.measure(work) {
                    Ok(measured) => {
                        let (rate, lost) = (measured.rate(), measured.lost);
                        eprintln!(
                            "{repeat}/{}  {:<12} {:>6} B  {:<24} {rate:>10.0} msg/s, {lost} lost",
                            options.repeats, row.case, row.size, row.system
                        );
                        row.repeats.push(measured);
                    }
                    Err(e) => running[*which].give_up(&format!("{}, {} bytes", row.case, row.size), e, book)?,
                }
            }
        }
        book.rows.extend(rows.into_iter().map(|(_, _, row)| row));
    }
    Ok(book.rows.iter().filter(|row| row.is_ours).flat_map(|row| &row.repeats).all(|repeat| repeat.is_whole()))
}

/// One of what is compared, as long as it runs.
pub struct Running<'a> {
    pub kind: &'a Kind,
    pub system: Option<System>,
}

impl Running<'_> {
    /// Goes on without it, and says why; where it is one of ours, this is an error.
    pub fn give_up(&mut self, case: &str, error: Failure, book: &mut Book) -> Result<(), Failure> {
        self.system = None;
        if self.kind.is_ours {
            return Err(error);
        }
        let why = format!("failed in {case:?}: {error}");
        eprintln!("{}: {why}", self.kind.name);
        book.absent.push([self.kind.name.to_owned(), why]);
        Ok(())
    }
}

/// All of a group, running.
pub fn start<'a>(
    folder: &Path,
    kinds: &[&'a Kind],
    clients: usize,
    book: &mut Book,
) -> Result<Vec<Running<'a>>, Failure> {
    let mut all = Vec::new();
    for (at, &kind) in kinds.iter().enumerate() {
        let folder = folder.join(at.to_string());
        fs::create_dir(&folder)?;
        let mut running = Running { kind, system: None };
        let tries = if kind.is_ours { 1 } else { STARTS };
        for number in 1..=tries {
            match start_one(&folder.join(number.to_string()), kind, clients) {
                Ok(system) => {
                    running.system = Some(system);
                    break;
                }
                Err(e) if number < tries => eprintln!("{}: {e}; once more", kind.name),
                Err(e) => running.give_up("start", e, book)?,
            }
        }
        all.push(running);
    }
    Ok(all)
}

/// Starts one, and sends it some messages in all its directions.
fn start_one(folder: &Path, kind: &Kind, clients: usize) -> Result<System, Failure> {
    fs::create_dir(folder)?;
    let mut system = kind.start(folder, clients)?;
    system.wait_ready()?;
    let tried = system.measure(&Work { size: 100, messages: FIRST, both_ways: system.flows.len() > 1 })?;
    match tried.lost {
        0 => Ok(system),
        lost => Err(format!("{}: {lost} of the first {} messages were lost", kind.name, tried.messages).into()),
    }
}

/// What is measured of which of them, and where it will be written down.
type Line = (usize, Work, Row);

/// Finds out how many messages each has to send.
fn prepare(
    works: &[(&Case, usize)],
    running: &mut [Running<'_>],
    seconds: f64,
    options: &Options,
    book: &mut Book,
) -> Result<Vec<Line>, Failure> {
    let mut rows = Vec::new();
    for (case, size) in works.iter().copied() {
        for (which, one) in running.iter_mut().enumerate() {
            let Some(system) = &mut one.system else { continue };
            let work = Work { size, messages: 0, both_ways: case.both_ways };
            if case.both_ways && system.flows.len() < 2 {
                continue;
            }
            match calibrate(system, work, seconds, options.messages) {
                Ok(messages) => {
                    let (system, is_ours) = (one.kind.name, one.kind.is_ours);
                    let row = Row { case: case.name, system, is_ours, size, repeats: vec![] };
                    rows.push((which, Work { messages, ..work }, row));
                }
                Err(e) => one.give_up(&format!("{}, {size} bytes", case.name), e, book)?,
            }
        }
    }
    Ok(rows)
}

/// How many messages of each sender take so many seconds; `wanted` of all senders where that is given.
fn calibrate(system: &mut System, work: Work, seconds: f64, wanted: Option<u64>) -> Result<u64, Failure> {
    let senders = system.senders(&work);
    let most = MESSAGES_MAX.min(BYTES_MAX / work.size as u64);
    if let Some(wanted) = wanted {
        return Ok((wanted.min(most) / senders).max(1));
    }
    let mut messages = (TRY / senders).max(1);
    loop {
        let tried = system.measure(&Work { messages, ..work })?;
        let enough = (seconds / 4.0).min(TRY_TIME.as_secs_f64());
        if tried.seconds >= enough || tried.lost > 0 || messages * senders >= most {
            let all = (tried.rate() * seconds) as u64;
            return Ok((all.clamp(1, most) / senders).max(1));
        }
        // Towards what would be enough, not too boldly: the first ones are slow.
        let factor = (1.5 * enough / tried.seconds.max(1e-6)).clamp(2.0, 16.0);
        messages = (messages as f64 * factor) as u64;
    }
}
