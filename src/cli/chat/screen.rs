//! What a chat shows: lines, and on a terminal a prompt behind them.

use std::io::{self, IsTerminal, Write};

const PROMPT: &str = "> ";

/// Where it is shown.
pub struct Screen<'a> {
    out: &'a mut dyn Write,
    prompts: bool,
    /// The prompt stands there, and nothing behind it yet.
    open: bool,
}

impl<'a> Screen<'a> {
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self { out, prompts: io::stdout().is_terminal() && io::stdin().is_terminal(), open: false }
    }

    /// A line; what was typed so far stays above it.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        if std::mem::take(&mut self.open) {
            write!(self.out, "\r")?;
        }
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Something was typed, so the cursor is on a new line.
    pub fn typed(&mut self) {
        self.open = false;
    }

    /// The user may type.
    pub fn prompt(&mut self) -> io::Result<()> {
        if self.prompts && !std::mem::replace(&mut self.open, true) {
            write!(self.out, "{PROMPT}")?;
        }
        self.out.flush()
    }
}
