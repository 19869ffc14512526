//! What a terminal shows while a file is on its way: what it is, since when, and how far the connector says it has come.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Between two looks of it.
const PERIOD: Duration = Duration::from_millis(200);

const STEPS: [char; 4] = ['|', '/', '-', '\\'];

/// Characters of the bar.
const BAR: usize = 20;

/// How far something has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    pub done: u64,
    pub size: u64,
}

/// A line on stderr, if that is a terminal; dropped, it goes away.
pub struct Progress(Option<(Sender<()>, JoinHandle<()>)>);

impl Progress {
    /// Shows `what` until this is dropped. `look` says how far it has come, as long as it knows.
    pub fn start(what: String, mut look: impl FnMut() -> Option<Done> + Send + 'static) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if dumb || !io::stderr().is_terminal() {
            return Self(None);
        }
        let (stop, stopped) = mpsc::channel();
        let drawing = thread::Builder::new().name("progress".into()).spawn(move || {
            let start = Instant::now();
            // Where it stood when it was seen first: a file may go on where it stopped long ago.
            let mut first: Option<(Instant, u64)> = None;
            for step in STEPS.into_iter().cycle() {
                let done = look();
                if let (None, Some(Done { done, .. })) = (first, done) {
                    first = Some((Instant::now(), done));
                }
                let since = first.map(|(at, from)| (at.elapsed(), from));
                draw(&line(step, &what, start.elapsed(), done.zip(since)));
                if stopped.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
            draw("");
        });
        // Without it everything else goes on.
        Self(drawing.ok().map(|drawing| (stop, drawing)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((stop, drawing)) = self.0.take() {
            drop(stop);
            // It only draws.
            _ = drawing.join();
        }
    }
}

fn draw(line: &str) {
    // Without line wrap meanwhile: a line that is wider than the terminal is cut. A terminal that is gone sees nothing.
    _ = write!(io::stderr().lock(), "\r\x1b[?7l{line}\x1b[K\x1b[?7h").and_then(|()| io::stderr().flush());
}

/// The line: with a bar if it is known how far it has come, and from where in which time.
fn line(step: char, what: &str, elapsed: Duration, known: Option<(Done, (Duration, u64))>) -> String {
    let Some((Done { done, size: all }, (since, from))) = known.filter(|(done, _)| done.size > 0) else {
        return format!("{step} {what}, {} so far", minutes(elapsed));
    };
    let part = (done as f64 / all as f64).min(1.0);
    let filled = (part * BAR as f64) as usize;
    let bar = format!("{}{}", "#".repeat(filled), ".".repeat(BAR - filled));
    let mut line = format!("[{bar}] {:3.0} % of {what}", (part * 100.0).floor());
    let speed = done.saturating_sub(from) as f64 / since.as_secs_f64().max(PERIOD.as_secs_f64());
    if speed > 0.0 {
        let left = Duration::try_from_secs_f64(all.saturating_sub(done) as f64 / speed).unwrap_or(Duration::MAX);
        line += &format!(", {}/s, {} left", size(speed as u64), minutes(left));
    }
    line
}

fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// A number of bytes as a person reads it.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_for_people() {
        let sizes = [0, 999, 1000, 999_949, 999_950, 1_234_567_890, u64::MAX].map(size);
        assert_eq!(sizes, ["0 bytes", "999 bytes", "1.0 kB", "999.9 kB", "1.0 MB", "1.2 GB", "18446.7 PB"]);
        let expected = "| report.pdf, 1.2 GB, 1:05 so far";
        assert_eq!(line('|', "report.pdf, 1.2 GB", Duration::from_secs(65), None), expected);
    }

    #[test]
    fn a_bar_tells_how_far_it_is_how_fast_and_how_long_it_takes() {
        let shown = |done, size, from, seconds| {
            let known = Some((Done { done, size }, (Duration::from_secs(seconds), from)));
            line('|', "a, 1.0 GB", Duration::from_secs(100), known)
        };
        // Half of it was there before.
        let expected = "[###############.....]  75 % of a, 1.0 GB, 25.0 MB/s, 0:10 left";
        assert_eq!(shown(750_000_000, 1_000_000_000, 500_000_000, 10), expected);
        assert_eq!(shown(0, 10, 0, 0), "[....................]   0 % of a, 1.0 GB");
        assert_eq!(shown(10, 10, 10, 5), "[####################] 100 % of a, 1.0 GB");
        assert_eq!(shown(0, 0, 0, 5), "| a, 1.0 GB, 1:40 so far", "an empty file has no part of it");
    }
}
