//! More and more messages that are stored while the peer is away: how fast still more are stored, what is in memory, how
//! long a start takes, and how fast they go out in the end.

use std::fs;
use std::path::Path;
use std::time::Instant;

use aioconnectors::cli::demo::pair::Pair;

use super::block::{Load, blast};
use super::counter::Counter;
use super::{add_memory, measure};
use crate::kinds::Kinds;
use crate::ours::{CONNECT_TIMEOUT, Ends, plan};
use crate::report::Book;
use crate::{Failure, Options, cpu, spool};

pub const NAME: &str = "growth: queues";

/// Bytes of data in a message.
const SIZE: usize = 1024;

/// Messages that are stored at each step behind those that are there, and timed.
const MORE: u64 = 200_000;

/// Bytes that are stored before, each step on its own.
const STEPS: [u64; 5] = [0, 10_000_000, 100_000_000, 1_000_000_000, 10_000_000_000];

/// The greatest step.
pub const GIGABYTES: f64 = 10.0;

/// The disk must have so many times the room that the greatest step takes.
const ROOM: f64 = 2.5;

/// Whether all messages have arrived, in order.
pub fn run(folder: &Path, options: &Options, _: &Kinds, book: &mut Book) -> Result<bool, Failure> {
    let free = free_bytes(folder)?;
    let mut whole = true;
    for (at, step) in STEPS.into_iter().filter(|step| *step as f64 <= options.queue_gigabytes * 1e9).enumerate() {
        if step as f64 * ROOM > free {
            book.absent.push([NAME.to_owned(), format!("{step} bytes: the disk has {free:.0} free, too few")]);
            continue;
        }
        // A folder of its own, which is removed at once; sockets want short paths.
        let folder = folder.join(format!("queues{at}"));
        fs::create_dir(&folder)?;
        whole &= one_step(&folder, step, u8::try_from(at)?, book)?;
        fs::remove_dir_all(&folder)?;
    }
    Ok(whole)
}

fn one_step(folder: &Path, step: u64, lane: u8, book: &mut Book) -> Result<bool, Failure> {
    let name = format!("{} MB", step / 1_000_000);
    let mut pair = Pair::start(folder, &plan(true, true))?;
    pair.wait_until_connected(CONNECT_TIMEOUT, || false)?;
    let ends = Ends::of(&pair, folder)?;
    let header = [ends.header.clone()];
    pair.server_mut().kill();
    let before = step / SIZE as u64;
    let fill = Load { size: SIZE, messages: before, lane, from: 0 };
    blast(&ends.entry, &header, fill)?;
    spool::wait_stored(&pair, before)?;
    let (start, cpu) = (Instant::now(), cpu::process(pair.client().pid()));
    blast(&ends.entry, &header, Load { messages: MORE, from: before, ..fill })?;
    spool::wait_stored(&pair, before + MORE)?;
    let (took, cpu) = (start.elapsed(), cpu::process(pair.client().pid()).saturating_sub(cpu));
    let case = format!("{NAME}, stored");
    book.add(&case, &name, "messages", "1/s", MORE as f64 / took.as_secs_f64());
    book.add(&case, &name, "client CPU", "us/msg", cpu.as_secs_f64() * 1e6 / MORE as f64);
    add_memory(book, &case, &name, "client", pair.client());
    pair.client_mut().kill();
    let start = Instant::now();
    pair.client_mut().start_again()?;
    spool::wait_answer(pair.client())?;
    book.add(&case, &name, "start-up with it", "s", start.elapsed().as_secs_f64());
    spool::wait_stored(&pair, before + MORE)?;
    add_memory(book, &case, &name, "client then", pair.client());
    let mut counter = Counter::listen(std::slice::from_ref(&ends.exit))?;
    pair.server_mut().start_again()?;
    let mut measured = measure(&mut pair, &mut counter, (lane, 1), before + MORE, || Ok(()))?;
    // The server's start is in the CPU time, but not in the rate.
    measured.time = measured.counted.end - measured.counted.begin;
    measured.add_to(book, &format!("{NAME}, brought"), &name, &pair);
    Ok(measured.is_whole())
}

/// Room on the disk that a folder lies on.
fn free_bytes(folder: &Path) -> Result<f64, Failure> {
    let system = nix::sys::statvfs::statvfs(folder)?;
    Ok(system.blocks_available() as f64 * system.fragment_size() as f64)
}
