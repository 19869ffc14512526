//! What the demo shows: lines, and on a terminal one that changes in place.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// Where the demo writes.
pub struct Screen<'a> {
    out: &'a mut dyn Write,
    live: bool,
    /// The line that changes in place stands there, without an end.
    open: bool,
}

impl<'a> Screen<'a> {
    /// On a terminal a line can change in place; elsewhere there are only plain lines.
    pub fn on_stdout(out: &'a mut dyn Write) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self::new(out, io::stdout().is_terminal() && !dumb)
    }

    fn new(out: &'a mut dyn Write, live: bool) -> Self {
        Self { out, live, open: false }
    }

    /// Time between two updates of a line that changes.
    pub fn period(&self) -> Duration {
        Duration::from_millis(if self.live { 200 } else { 1000 })
    }

    /// A line for good.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.close()?;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// A heading, bold on a terminal.
    pub fn heading(&mut self, text: &str) -> io::Result<()> {
        let text = if self.live { format!("\n\x1b[1m{text}\x1b[0m") } else { format!("\n{text}") };
        self.line(&text)
    }

    /// The state of something that goes on: takes the place of the last one on a terminal.
    pub fn update(&mut self, text: &str) -> io::Result<()> {
        if !self.live {
            return self.line(text);
        }
        self.open = true;
        // Without line wrap meanwhile: a line that is wider than the terminal is cut, so that the next one covers it.
        write!(self.out, "\r\x1b[?7l{text}\x1b[K\x1b[?7h")?;
        self.out.flush()
    }

    /// Ends the line that changes.
    fn close(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.open) { writeln!(self.out) } else { Ok(()) }
    }
}

/// A number with its thousands apart: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        assert_eq!(
            [0, 12, 123, 1234, 123_456, 1_234_567].map(count),
            ["0", "12", "123", "1,234", "123,456", "1,234,567"]
        );
    }

    #[test]
    fn without_a_terminal_there_are_no_control_codes() {
        let shown = |live| {
            let mut out = Vec::new();
            let mut screen = Screen::new(&mut out, live);
            screen.heading("Title").unwrap();
            screen.update("1").unwrap();
            screen.update("2").unwrap();
            screen.line("end").unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(false), "\nTitle\n1\n2\nend\n");
        assert_eq!(shown(true), "\n\x1b[1mTitle\x1b[0m\n\r\x1b[?7l1\x1b[K\x1b[?7h\r\x1b[?7l2\x1b[K\x1b[?7h\nend\n");
    }
}
