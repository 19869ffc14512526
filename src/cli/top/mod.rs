//! `top`: what passes through a connector and what waits there, second by second.

mod sample;
mod screen;
mod view;

use std::io::Write;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::command::{Args, Command, Failure, Opt};
use super::exit;
use super::interrupt::OnSignal;
use super::target::{CONFIG_OPTION, CONNECTOR, NAME, Target};
use crate::remote::Remote;
use sample::{Sample, Shown};
use screen::Screen;
use view::Sort;

/// Time between two updates.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(1);

/// The shortest that makes sense: the connector has other things to do.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Columns where there is no terminal.
const PLAIN_WIDTH: usize = 120;

const INTERVAL: Opt = Opt { long: "interval", value: Some("SECONDS"), help: "time between two updates, 1 by default" };
const COUNT: Opt = Opt { long: "count", value: Some("N"), help: "end after so many updates" };
const ONCE: Opt = Opt { long: "once", value: None, help: "print it once, as where stdout is no terminal" };
const SORT: Opt = Opt { long: "sort", value: Some("BY"), help: "order of the peers: name, in, out, queued or age" };

/// See `summary`.
pub const COMMAND: Command = Command {
    name: "top",
    aliases: &[],
    summary: "Show what passes through a connector and what waits there, every second.",
    details: "Keys: q ends it; n, i, o, u and a order the peers by name, messages in, messages out, queue and age of the \
              oldest message. Rates are those since the update before, so the first one comes after --interval. OLDEST is \
              how long the oldest message has waited that was not taken over.",
    operands: &[CONNECTOR],
    options: &[CONFIG_OPTION, NAME, INTERVAL, COUNT, ONCE, SORT],
    run,
};

/// What happens between two updates.
pub enum Event {
    /// A key was pressed.
    Key(u8),
    /// A signal says that it is to end.
    End,
}

/// What was asked for.
struct Plan {
    remote: Remote,
    interval: Duration,
    count: Option<u64>,
    sort: Sort,
}

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let interval = args.seconds(INTERVAL.long)?.unwrap_or(INTERVAL_DEFAULT);
    if interval < INTERVAL_MIN {
        return Err(Failure::usage(format!("--interval: {} s is the least", INTERVAL_MIN.as_secs_f32())));
    }
    let count = args.value::<u64>(COUNT.long)?;
    if count == Some(0) {
        return Err(Failure::usage("--count: 1 is the least"));
    }
    let plan = Plan { sort: sort(args)?, remote: Target::new(args)?.remote(), interval, count };
    let (sender, events) = mpsc::channel();
    let ends = sender.clone();
    let _signals = OnSignal::call(move || _ = ends.send(Event::End)).map_err(Failure::failed)?;
    if args.has(ONCE.long) || !screen::is_live() {
        plain(&plan, &events, out)?;
        return Ok(ExitCode::SUCCESS);
    }
    // Whatever is wrong at the beginning is said on the terminal as it is.
    let first = look(&plan.remote)?;
    let screen = Screen::enter(out, sender)?;
    let shown = live(plan, first, &screen, &events, out);
    screen.leave(out)?;
    shown.map(|()| ExitCode::SUCCESS)
}

fn sort(args: &Args) -> Result<Sort, Failure> {
    let Some(word) = args.option(SORT.long) else { return Ok(Sort::default()) };
    let named = Sort::ALL.iter().find(|(_, name, _)| word == *name);
    let words = Sort::ALL.map(|(_, name, _)| name).join(", ");
    let wrong = || Failure::usage(format!("--sort: found {:?}, it is one of {words}", word.to_string_lossy()));
    named.map(|(.., sort)| *sort).ok_or_else(wrong)
}

fn look(remote: &Remote) -> Result<Sample, Failure> {
    let value = remote.status().map_err(exit::refusal)?;
    Ok(Sample { value, at: Instant::now() })
}

/// Waits for the next update; a key comes before it, or the end.
fn wait(events: &Receiver<Event>, until: Instant) -> Option<Event> {
    match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
        Ok(event) => Some(event),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => Some(Event::End),
    }
}

/// Text, update after update; one if it is not said how many.
fn plain(plan: &Plan, events: &Receiver<Event>, out: &mut dyn Write) -> Result<(), Failure> {
    let width = if screen::is_live() { screen::size().0 } else { PLAIN_WIDTH };
    let mut before = look(&plan.remote)?;
    for update in 0..plan.count.unwrap_or(1) {
        if wait(events, before.at + plan.interval).is_some() {
            break;
        }
        let now = look(&plan.remote)?;
        if update > 0 {
            writeln!(out)?;
        }
        for line in view::lines(Shown::new(Some(&before), &now), plan.sort, width, None) {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        before = now;
    }
    Ok(())
}

/// The screen, until it is to end.
fn live(
    mut plan: Plan,
    first: Sample,
    screen: &Screen,
    events: &Receiver<Event>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let (mut before, mut now, mut trouble) = (None, first, None::<String>);
    let (mut next, mut updates) = (now.at + plan.interval, 1);
    loop {
        let (width, rows) = screen::size();
        let below = trouble.clone().unwrap_or_else(|| view::keys(plan.sort, width));
        let mut lines = view::lines(Shown::new(before.as_ref(), &now), plan.sort, width, Some(rows.saturating_sub(2)));
        lines.extend([String::new(), below.chars().take(width).collect()]);
        screen.show(&lines, out)?;
        match wait(events, next) {
            Some(Event::End | Event::Key(b'q' | b'Q')) => return Ok(()),
            Some(Event::Key(key)) => {
                let named = Sort::ALL.iter().find(|(k, ..)| *k as u8 == key.to_ascii_lowercase());
                plan.sort = named.map_or(plan.sort, |(.., sort)| *sort);
            }
            None if plan.count == Some(updates) => return Ok(()),
            None => {
                match look(&plan.remote) {
                    Ok(sample) => {
                        before = Some(std::mem::replace(&mut now, sample));
                        trouble = None;
                    }
                    // It may be about to start again; what was last is shown until then.
                    Err(failure) => trouble = Some(why(failure)),
                }
                updates += 1;
                next = Instant::now() + plan.interval;
            }
        }
    }
}

fn why(failure: Failure) -> String {
    match failure {
        Failure::Usage { text, .. } | Failure::Failed(text) | Failure::Exit { text, .. } => text,
        Failure::Output(error) => error.to_string(),
    }
}
