//! Where the data of the messages comes from.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};

use super::Failure;

/// Longest data, bytes: a frame says its length in 32 bits, and has a header besides.
const DATA_MAX: u64 = u32::MAX as u64 - 64 * 1024 - 16;

/// Read at once from stdin, bytes.
const READ_SIZE: usize = 64 * 1024;

/// The data of all messages.
#[derive(Debug)]
pub enum Input {
    /// The same for each of so many.
    Same(Vec<u8>, u64),
    /// A line of stdin each.
    Lines,
}

/// What comes next.
pub enum Next<'a> {
    /// The data of a message.
    Data(&'a [u8]),
    /// The one after that may take its time: what is gathered should go out.
    Pause,
}

impl Input {
    /// # Errors
    /// The arguments do not go together, or stdin cannot be read.
    pub fn new(data: Option<&OsStr>, lines: bool, count: Option<u64>) -> Result<Self, Failure> {
        let is_stdin = data.is_some_and(|data| data == "-");
        if lines {
            return match (is_stdin, count) {
                (false, _) => Err(Failure::usage("--lines reads stdin: it needs - for DATA")),
                (true, Some(_)) => Err(Failure::usage("--lines and --count: leave one out")),
                (true, None) => Ok(Input::Lines),
            };
        }
        let data = if is_stdin {
            let mut data = Vec::new();
            io::stdin().lock().take(DATA_MAX + 1).read_to_end(&mut data).map_err(unreadable)?;
            check_length(data.len())?;
            data
        } else {
            data.unwrap_or_default().as_encoded_bytes().to_owned()
        };
        Ok(Input::Same(data, count.unwrap_or(1)))
    }

    /// How many there are, if that is known.
    pub fn count(&self) -> Option<u64> {
        match self {
            Input::Same(_, count) => Some(*count),
            Input::Lines => None,
        }
    }

    /// Calls `each` with what comes next, to the end.
    pub fn for_each(self, mut each: impl FnMut(Next<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
        match self {
            Input::Same(data, count) => (0..count).try_for_each(|_| each(Next::Data(&data))),
            Input::Lines => read_lines(&mut BufReader::with_capacity(READ_SIZE, io::stdin().lock()), each),
        }
    }
}

fn read_lines<R: Read>(
    from: &mut BufReader<R>,
    mut each: impl FnMut(Next<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut line = Vec::new();
    loop {
        if !from.buffer().contains(&b'\n') {
            each(Next::Pause)?;
        }
        line.clear();
        if from.by_ref().take(DATA_MAX + 1).read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            return Ok(());
        }
        check_length(line.len())?;
        each(Next::Data(line.strip_suffix(b"\n").unwrap_or(&line)))?;
    }
}

fn check_length(length: usize) -> Result<(), Failure> {
    if length as u64 > DATA_MAX {
        return Err(Failure::Failed(format!("stdin has more than the {DATA_MAX} bytes of a message")));
    }
    Ok(())
}

fn unreadable(error: io::Error) -> Failure {
    Failure::Failed(format!("stdin cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_one_and_before_a_wait_there_is_a_pause() {
        let mut seen = Vec::new();
        let mut from = BufReader::new(&b"a\n\nlast, without an end"[..]);
        let note = |next: Next<'_>| {
            seen.push(match next {
                Next::Data(data) => String::from_utf8(data.to_owned()).unwrap(),
                Next::Pause => "(pause)".to_owned(),
            });
            Ok(())
        };
        read_lines(&mut from, note).unwrap();
        assert_eq!(seen, ["(pause)", "a", "", "(pause)", "last, without an end", "(pause)"]);
    }

    #[test]
    fn arguments_that_do_not_go_together_are_told() {
        for (data, count) in [(Some("x"), None), (None, None), (Some("-"), Some(2))] {
            let input = Input::new(data.map(OsStr::new), true, count);
            assert!(matches!(input, Err(Failure::Usage { .. })), "{input:?}");
        }
    }
}
