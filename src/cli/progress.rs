//! What a terminal shows while something takes its time: what it is and since when. The connector does not tell how far
//! a file has come, so nothing else is claimed.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Between two looks of it.
const PERIOD: Duration = Duration::from_millis(200);

const STEPS: [char; 4] = ['|', '/', '-', '\\'];

/// A line on stderr, if that is a terminal; dropped, it goes away.
pub struct Progress(Option<(Sender<()>, JoinHandle<()>)>);

impl Progress {
    /// Shows `what` until this is dropped.
    pub fn start(what: String) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if dumb || !io::stderr().is_terminal() {
            return Self(None);
        }
        let (stop, stopped) = mpsc::channel();
        let drawing = thread::Builder::new().name("progress".into()).spawn(move || {
            let start = Instant::now();
            for step in STEPS.into_iter().cycle() {
                draw(&line(step, &what, start.elapsed()));
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

fn line(step: char, what: &str, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{step} {what}, {}:{:02} so far", seconds / 60, seconds % 60)
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
        assert_eq!(line('|', "report.pdf, 1.2 GB", Duration::from_secs(65)), expected);
    }
}
