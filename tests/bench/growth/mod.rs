//! The cost of growth: how much slower messages go, and how much more memory the connectors take, as clients, what is
//! stored, and message types become more. What does not grow with them is flat; the table says what is not.
//!
//! The CPU time a message is what to compare between steps: other work on the machine changes the rate more than that.

pub mod clients;
pub mod queues;
pub mod types;

mod block;
mod counter;

use std::thread;
use std::time::{Duration, Instant};

use aioconnectors::cli::demo::pair::{Connector, Pair};

use crate::report::Book;
use crate::system::join;
use crate::{Failure, cpu, process};
use counter::{Counted, Counter};

/// All figures of growth begin with it, and are printed as tables.
pub const NAME: &str = "growth";

/// Without a message for so long, the rest is lost; apps wait for so long to write.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of data in a message, where nothing else is said.
const SIZE: usize = 100;

/// Most measurements of a step.
const REPEATS: usize = 3;

/// 1, 10, 100 and so on, and at last `most`.
fn steps(most: usize) -> Vec<usize> {
    let tens = std::iter::successors(Some(1_usize), |step| step.checked_mul(10));
    tens.take_while(|step| *step < most).chain([most]).collect()
}

/// One measurement.
struct Measured {
    messages: u64,
    counted: Counted,
    /// From the first write, or from the first message that came, to the last one.
    time: Duration,
    /// CPU time of the client, the server and of this process, which has all apps.
    cpu: [Duration; 3],
}

/// Counts `messages` while `send` sends them.
fn measure(
    pair: &mut Pair,
    counter: &mut Counter,
    (lane, streams): (u8, usize),
    messages: u64,
    send: impl FnOnce() -> Result<(), Failure> + Send,
) -> Result<Measured, Failure> {
    let before = times(pair);
    let start = Instant::now();
    let counted = thread::scope(|scope| {
        let counting = scope.spawn(|| counter.count(lane, streams, messages, PATIENCE));
        let sending = scope.spawn(send);
        let counted = join(counting)?;
        join(sending).map(|()| counted)
    })?;
    pair.check()?;
    let after = times(pair);
    let cpu = [0, 1, 2].map(|of| after[of].saturating_sub(before[of]));
    Ok(Measured { messages, time: counted.end.saturating_duration_since(start), counted, cpu })
}

fn times(pair: &Pair) -> [Duration; 3] {
    [cpu::process(pair.client().pid()), cpu::process(pair.server().pid()), cpu::this_process()]
}

impl Measured {
    fn lost(&self) -> u64 {
        self.messages.saturating_sub(self.counted.received)
    }

    /// Whether all have arrived, in order.
    fn is_whole(&self) -> bool {
        self.lost() == 0 && self.counted.out_of_order == 0
    }

    /// Writes it down, with what the connectors have in memory now.
    fn add_to(&self, book: &mut Book, case: &str, step: &str, pair: &Pair) {
        let rate = self.counted.received as f64 / self.time.as_secs_f64();
        book.add(case, step, "messages", "1/s", rate);
        book.add_lost(self.lost());
        for (what, cpu) in ["client", "server", "apps"].into_iter().zip(self.cpu) {
            book.add(case, step, &format!("{what} CPU"), "us/msg", cpu.as_secs_f64() * 1e6 / self.messages as f64);
        }
        add_memory(book, case, step, "client", pair.client());
        add_memory(book, case, step, "server", pair.server());
        let disorder = match self.counted.out_of_order {
            0 => String::new(),
            some => format!(", {some} OUT OF ORDER"),
        };
        eprintln!("{case:<28} {step:<24} {rate:>10.0} msg/s, {} lost{disorder}", self.lost());
    }
}

/// What a connector has in memory: all, and of that what is no page of a file.
fn add_memory(book: &mut Book, case: &str, step: &str, name: &str, connector: &Connector) {
    for (what, field) in [("RSS", "VmRSS"), ("anon", "RssAnon")] {
        let megabytes = process::megabytes(connector.pid(), field).unwrap_or(f64::NAN);
        book.add(case, step, &format!("{name} {what}"), "MB", megabytes);
    }
}
