//! Reconnect with a full store: messages that are stored while the far end is away, and brought when it comes back.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Expected, Number};
use crate::kinds::{Kind, Kinds};
use crate::report::{Book, LEAF};
use crate::system::System;
use crate::{Failure, Options, throughput};

pub const NAME: &str = "full store";

/// Bytes of data in a message.
const SIZE: usize = 100;

/// Messages that are stored; and of the Python package, which takes few a second.
const MESSAGES: u64 = 500_000;
const PYTHON_MESSAGES: u64 = 20_000;

/// Most repeats; and of the Python package, which has to wait in each.
const REPEATS: usize = 3;
const PYTHON_REPEATS: usize = 1;

/// A server of the Python package that was killed cannot listen on its port before the system has forgotten its
/// connections.
const PYTHON_PORT: Duration = Duration::from_secs(61);

/// Mosquitto writes down once a second who has subscribed: only then may the far end be killed.
const SAVED: Duration = Duration::from_millis(1500);

/// A near end that has used no CPU time to speak of for so long has stored what it was given.
const QUIET: Duration = Duration::from_millis(200);
const QUIET_CPU: Duration = Duration::from_millis(20);

/// It has no longer than this to do so.
const QUIET_MAX: Duration = Duration::from_secs(60);

/// Other repeats are counted from 1 on.
const FIRST_ROUND: u16 = 0x8000;

/// Whether ours has lost nothing.
pub fn run(folder: &Path, options: &Options, kinds: &Kinds, book: &mut Book) -> Result<bool, Failure> {
    let folder = folder.join("full-store");
    fs::create_dir(&folder)?;
    book.absent.push([LEAF.to_owned(), format!("not in {NAME:?}: a leaf node stores nothing for a hub that is away")]);
    let is_measured = |kind: &&Kind| kind.durable && kind.brings();
    let wanted: Vec<&Kind> = kinds.all.iter().filter(is_measured).collect();
    let mut running = throughput::start(&folder, &wanted, 1, book)?;
    let mut whole = true;
    for round in 1..=options.repeats.min(REPEATS) {
        for one in &mut running {
            let Some(system) = &mut one.system else { continue };
            let (messages, repeats, away) = match one.kind.is_python() {
                true => (PYTHON_MESSAGES, PYTHON_REPEATS, PYTHON_PORT),
                false => (MESSAGES, REPEATS, Duration::ZERO),
            };
            if round > repeats {
                continue;
            }
            let round = FIRST_ROUND + u16::try_from(round)?;
            match once(system, options.messages(messages), round, away, book) {
                Ok(lost) => whole &= lost == 0 || !one.kind.is_ours,
                Err(e) => one.give_up(NAME, e, book)?,
            }
        }
    }
    Ok(whole)
}

/// One repeat, in which the far end is away for this time at least; how many messages were lost.
fn once(system: &mut System, messages: u64, round: u16, away: Duration, book: &mut Book) -> Result<u64, Failure> {
    thread::sleep(SAVED);
    system.brokers.kill(true);
    let killed = Instant::now();
    let start = Instant::now();
    let source = &system.flows[0].sources[0];
    source.blast(source.connect()?, Number { lane: 0, round, at: 0 }, SIZE, messages)?;
    let taken = start.elapsed().as_secs_f64();
    let start = Instant::now();
    loop {
        let before = system.brokers.cpu()[0];
        thread::sleep(QUIET);
        if system.brokers.cpu()[0].saturating_sub(before) < QUIET_CPU || start.elapsed() > QUIET_MAX {
            break;
        }
    }
    let memory = system.brokers.memory()[0].unwrap_or(f64::NAN);
    thread::sleep(away.saturating_sub(killed.elapsed()));
    let start = Instant::now();
    system.brokers.start_again(true)?;
    let counted = system.flows[0].sink.count(&Expected { lanes: 1, round, count: messages })?;
    system.brokers.check()?;
    let first = counted.begin.unwrap_or(counted.end);
    let lost = messages.saturating_sub(counted.received);
    let case = format!("{NAME}: messages of {SIZE} bytes while the far end is away");
    let name = system.name;
    let rate = counted.received as f64 / (counted.end - first).as_secs_f64();
    for (what, unit, value) in [
        ("messages", "", messages as f64),
        ("taken by the near end", "msg/s", messages as f64 / taken),
        ("near end, resident", "MB", memory),
        ("far end started to first message", "s", (first - start).as_secs_f64()),
        ("brought", "msg/s", rate),
    ] {
        book.add(&case, name, what, unit, value);
    }
    book.add_lost(lost);
    eprintln!(
        "{name:<24} {messages} stored, {rate:.0} msg/s brought, {lost} lost, {} out of order",
        counted.out_of_order
    );
    Ok(lost)
}
