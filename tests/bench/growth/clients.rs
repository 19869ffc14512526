//! More and more clients over TLS on one server. They are sockets of this process, besides one connector.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use aioconnectors::cli::demo::pair::Pair;
use nix::sys::signal::Signal;
use serde_json::json;

use super::block::{Block, Load, blast};
use super::counter::Counter;
use super::{PATIENCE, REPEATS, SIZE, measure, steps};
use crate::idle::{Clients, Tls, name_of, wait_peers};
use crate::kinds::Kinds;
use crate::ours::{CONNECT_TIMEOUT, Ends, MESSAGE_TYPE, header, plan_of};
use crate::report::Book;
use crate::{Failure, Options, process};

pub const NAME: &str = "growth: clients";

/// Messages of one sender, and of all clients together.
const MESSAGES: u64 = 600_000;
const SPREAD: u64 = 200_000;

/// Messages that a client writes at once when all of them send: so few that each step reads as often.
const BURST: usize = 20;

/// Whether all messages have arrived, in order.
pub fn run(folder: &Path, options: &Options, _: &Kinds, book: &mut Book) -> Result<bool, Failure> {
    let folder = folder.join("growth-clients");
    fs::create_dir(&folder)?;
    let settings = json!({"ssl_allow_all": true, "max_certs": options.clients + 10});
    let mut pair = Pair::start(&folder, &plan_of(true, &[MESSAGE_TYPE], settings))?;
    pair.wait_until_connected(CONNECT_TIMEOUT, || false)?;
    let (there, back) = (Ends::of(&pair, &folder)?, Ends::back(&pair, &folder)?);
    let server = pair.server().api()?.id().to_owned();
    let mut at_server = Counter::listen(std::slice::from_ref(&there.exit))?;
    let mut at_client = Counter::listen(std::slice::from_ref(&back.exit))?;
    let all = Clients::new(&folder, &pair, options.clients, false)?;
    let (mut connected, mut whole, mut lane) = (Vec::new(), true, 0);
    for step in steps(options.clients) {
        connected.extend(all.connect(connected.len()..step)?);
        wait_peers(&pair, step)?;
        let name = format!("{step} clients");
        for _ in 0..options.repeats.min(REPEATS) {
            lane += 1;
            let ways = [("one sends", &there, &mut at_server), ("the server sends to one", &back, &mut at_client)];
            for (way, ends, counter) in ways {
                let (entry, headers) = (&ends.entry, [ends.header.clone()]);
                let load = Load { size: SIZE, messages: MESSAGES, lane, from: 0 };
                let send = || blast(entry, &headers, load);
                let measured = measure(&mut pair, counter, (lane, 1), MESSAGES, send)?;
                measured.add_to(book, &format!("{NAME}, {way}"), &name, &pair);
                whole &= measured.is_whole();
            }
            // Each as many, and together about as many as in the other steps.
            let rounds = SPREAD.div_ceil((step * BURST) as u64);
            let messages = rounds * (step * BURST) as u64;
            let send = || spread(&mut connected, &server, rounds, lane);
            let measured = measure(&mut pair, &mut at_server, (lane, step), messages, send)?;
            measured.add_to(book, &format!("{NAME}, all send"), &name, &pair);
            whole &= measured.is_whole();
        }
    }
    let took = stop(&mut pair)?;
    book.add(&format!("{NAME}, the server stops"), &format!("{} clients", connected.len()), "time", "s", took);
    Ok(whole)
}

/// Has the server end in order; the seconds that it takes.
fn stop(pair: &mut Pair) -> Result<f64, Failure> {
    let start = Instant::now();
    process::signal(pair.server().pid(), Signal::SIGTERM)?;
    while pair.check().is_ok() && start.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(5));
    }
    Ok(start.elapsed().as_secs_f64())
}

/// All clients send in turn.
fn spread(clients: &mut [(usize, Tls)], server: &str, rounds: u64, lane: u8) -> Result<(), Failure> {
    let mut next = vec![0; clients.len()];
    for _ in 0..rounds {
        for (number, stream) in clients.iter_mut() {
            let headers = [header(&name_of(*number), server)];
            let mut block = Block::new(&headers, *number, SIZE, BURST)?;
            let (bytes, _) = block.numbered(lane, &mut next, BURST);
            stream.write_all(bytes)?;
            stream.flush()?;
        }
    }
    Ok(())
}
