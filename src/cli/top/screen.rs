//! The terminal while `top` has it: a screen of its own, and keys as they are pressed.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::mpsc::Sender;
use std::thread;

use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};

use super::Event;
use crate::sys::terminal;

/// Columns and rows of a terminal that does not say.
const SIZE_DEFAULT: (usize, usize) = (80, 24);

/// Another screen than the one with what was typed before; no cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Whether stdout is a terminal on which lines can be written over.
pub fn is_live() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    io::stdout().is_terminal() && !dumb
}

/// Columns and rows of stdout's terminal.
pub fn size() -> (usize, usize) {
    terminal::size(&io::stdout()).unwrap_or(SIZE_DEFAULT)
}

/// The terminal as it was, for when this ends.
pub struct Screen {
    before: Option<Termios>,
}

impl Screen {
    /// Takes the terminal, and has each key sent to `events`.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub fn enter(out: &mut dyn Write, events: Sender<Event>) -> io::Result<Self> {
        let before = tcgetattr(io::stdin()).ok();
        let screen = Self { before };
        if let Some(mut raw) = screen.before.clone() {
            // Keys come at once and are not shown; Ctrl-C stays a signal.
            raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
            raw.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
            raw.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
            if tcsetattr(io::stdin(), SetArg::TCSANOW, &raw).is_ok() {
                // It ends with the process: nothing else reads there.
                let keys = thread::Builder::new().name("keys".into()).spawn(move || send_keys(&events));
                drop(keys);
            }
        }
        write!(out, "{ENTER}")?;
        out.flush()?;
        Ok(screen)
    }

    /// Shows these lines and no others.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub fn show(&self, lines: &[String], out: &mut dyn Write) -> io::Result<()> {
        let (_, rows) = size();
        let mut text = "\x1b[H".to_owned();
        for (at, line) in lines.iter().take(rows).enumerate() {
            // No line break behind the last one, which would move all up.
            if at > 0 {
                text += "\r\n";
            }
            text += line;
            text += "\x1b[K";
        }
        text += "\x1b[J";
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Gives the screen back.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub fn leave(self, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "{LEAVE}")?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A terminal that is gone needs nothing.
            _ = tcsetattr(io::stdin(), SetArg::TCSANOW, before);
        }
    }
}

fn send_keys(events: &Sender<Event>) {
    let mut key = [0];
    while io::stdin().read_exact(&mut key).is_ok() && events.send(Event::Key(key[0])).is_ok() {}
}
