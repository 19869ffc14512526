//! How long it takes from the start of a process until a message goes through: of the near end, with the far end
//! running; and of the far end after a kill, when the near end has to notice and to connect again.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::kinds::{Kind, Kinds};
use crate::report::Book;
use crate::system::System;
use crate::{Failure, Options, throughput};

pub const NAME: &str = "start-up";

/// Most repeats: some take seconds to come back.
const REPEATS: usize = 5;

/// So long nothing comes out any more before a process is killed.
const QUIET: Duration = Duration::from_millis(300);

/// Whether it is the far end, and what is done with it.
const ENDS: [(bool, &str); 2] = [(false, "near end started"), (true, "far end killed, started")];

pub fn run(folder: &Path, options: &Options, kinds: &Kinds, book: &mut Book) -> Result<bool, Failure> {
    let folder = folder.join(NAME);
    fs::create_dir(&folder)?;
    let is_measured = |kind: &&Kind| !kind.durable && kind.has_tls() && kind.has_processes();
    let wanted: Vec<&Kind> = kinds.all.iter().filter(is_measured).collect();
    let mut running = throughput::start(&folder, &wanted, 1, book)?;
    for repeat in 1..=options.repeats.min(REPEATS) {
        for one in &mut running {
            let Some(system) = &mut one.system else { continue };
            // A killed server of the Python package cannot listen on its port again for a minute.
            let ends: &[_] = if one.kind.is_python() { &ENDS[..1] } else { &ENDS };
            if let Err(e) = measure(system, ends, repeat, book) {
                one.give_up(NAME, e, book)?;
            }
        }
    }
    Ok(true)
}

fn measure(system: &mut System, ends: &[(bool, &str)], repeat: usize, book: &mut Book) -> Result<(), Failure> {
    for (far_end, what) in ends {
        let took = restart(system, *far_end)?;
        eprintln!("{repeat}  {:<24} {what}: {took:.3} s", system.name);
        book.add(NAME, system.name, what, "s", took);
    }
    let [near, far] = system.brokers.memory();
    for (what, memory) in [("near end, resident", near), ("far end, resident", far)] {
        book.add(NAME, system.name, what, "MB", memory.unwrap_or(f64::NAN));
    }
    Ok(())
}

/// Kills an end, starts it again and waits for a message that comes through; the seconds from its start on.
fn restart(system: &mut System, far_end: bool) -> Result<f64, Failure> {
    while system.flows[0].sink.wait_probe(QUIET)? {}
    system.brokers.kill(far_end);
    let start = Instant::now();
    system.brokers.start_again(far_end)?;
    Ok((system.wait_through(0, 0)? - start).as_secs_f64())
}
