//! One question to one program: it is started, written to, read from, waited for, and gone at the end.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::program::Program;
use crate::sys::process::end_of;

/// Most bytes that a program may write on standard output.
pub const OUTPUT_MAX: usize = 64 * 1024;

/// Bytes of standard error that are looked at; the rest is read and thrown away.
pub const ERRORS_MAX: usize = 4096;

/// Longest line of it that gets into the log, characters.
const REASON_MAX: usize = 200;

/// Wait before a program is started again that could not be, because somebody writes to its file.
const BUSY_AGAIN: Duration = Duration::from_millis(5);

/// All of a program's environment: where it finds others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a program has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Yes, with this on standard output.
    Yes(Vec<u8>),
    /// No, with this on standard error.
    No(String),
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum RunError {
    /// The program does not start.
    Start(io::Error),
    /// The system refuses what it takes to wait for it.
    System(io::Error),
    /// It did not end in time.
    TimedOut,
    /// It wrote more than [`OUTPUT_MAX`].
    TooMuch,
    /// It ended otherwise than a hook should; the first line on its standard error.
    Ended(ExitStatus, String),
    /// Too many wait in line.
    LineFull,
    /// The connector ends.
    Stopped,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Start(error) => write!(f, "it does not start: {error}"),
            RunError::System(error) => write!(f, "the system refuses what it takes to wait for it: {error}"),
            RunError::TimedOut => write!(f, "no answer within hook_timeout"),
            RunError::TooMuch => write!(f, "it wrote more than {OUTPUT_MAX} bytes"),
            RunError::Ended(status, said) => {
                match (status.code(), status.signal()) {
                    (Some(code), _) => write!(f, "it ended with exit code {code}, 0 or 1 was expected")?,
                    (None, Some(signal)) => write!(f, "it was ended by signal {signal}")?,
                    (None, None) => write!(f, "it ended with {status}")?,
                }
                if said.is_empty() { Ok(()) } else { write!(f, ": {said}") }
            }
            RunError::LineFull => write!(f, "too many questions wait in line"),
            RunError::Stopped => write!(f, "the connector ends"),
        }
    }
}

impl std::error::Error for RunError {}

/// Who must know that a program runs, to be able to end it.
pub(super) trait Watch {
    /// It runs, in the process group of this number. False if it must end at once.
    fn begins(&self, group: Pid) -> bool;

    /// It has ended, and its number is free from now on.
    fn ends(&self, group: Pid);
}

/// Starts `program`, gives it `input`, and waits for its answer until `deadline`.
pub(super) fn ask(program: &Program, input: &[u8], deadline: Instant, watch: &dyn Watch) -> Result<Reply, RunError> {
    let mut child = start(program, deadline)?;
    // A process id fits: that is how the system counts them.
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let said = if watch.begins(group) { listen(&mut child, input, deadline) } else { Err(RunError::Stopped) };
    // The group has its number for as long as its head was not waited for.
    let _ = killpg(group, Signal::SIGKILL);
    watch.ends(group);
    let status = child.wait().map_err(RunError::System)?;
    let (output, errors) = said?;
    match status.code() {
        Some(0) => Ok(Reply::Yes(output)),
        Some(1) => Ok(Reply::No(first_line(&errors))),
        _ => Err(RunError::Ended(status, first_line(&errors))),
    }
}

fn start(program: &Program, deadline: Instant) -> Result<Child, RunError> {
    let mut command = Command::new(program.path());
    command.env_clear().env("PATH", PATH).current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    loop {
        match command.spawn() {
            // Its file is being written. That takes no longer than a moment, as when another thread of this process was
            // about to start a program of its own.
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && Instant::now() < deadline => {
                thread::sleep(BUSY_AGAIN);
            }
            result => return result.map_err(RunError::Start),
        }
    }
}

/// The program's standard input, output and error, as far as they are open.
struct Pipes<'a> {
    input: (Option<ChildStdin>, &'a [u8]),
    output: (Option<ChildStdout>, Vec<u8>),
    errors: (Option<ChildStderr>, Vec<u8>),
}

/// What the program says until its end.
fn listen(child: &mut Child, input: &[u8], deadline: Instant) -> Result<(Vec<u8>, Vec<u8>), RunError> {
    let mut pipes = Pipes {
        input: (child.stdin.take(), input),
        output: (child.stdout.take(), Vec::new()),
        errors: (child.stderr.take(), Vec::new()),
    };
    pipes.never_wait().map_err(RunError::System)?;
    let end = end_of(child).map_err(RunError::System)?;
    loop {
        pipes.go_on()?;
        let left = deadline.checked_duration_since(Instant::now()).ok_or(RunError::TimedOut)?;
        // A millisecond more than is left: the system counts in those, and must not wake before the time.
        let left = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        let mut waited = vec![PollFd::new(end.as_fd(), PollFlags::POLLIN)];
        waited.extend(pipes.input.0.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)));
        waited.extend(pipes.output.0.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        waited.extend(pipes.errors.0.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        match poll(&mut waited, left) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(RunError::System(error.into())),
        }
        if waited[0].any().unwrap_or(false) {
            // What it wrote before its end is there now; what others may still write does not count.
            pipes.go_on()?;
            return Ok((pipes.output.1, pipes.errors.1));
        }
    }
}

impl Pipes<'_> {
    fn never_wait(&self) -> io::Result<()> {
        let pipes = [
            self.input.0.as_ref().map(ChildStdin::as_fd),
            self.output.0.as_ref().map(ChildStdout::as_fd),
            self.errors.0.as_ref().map(ChildStderr::as_fd),
        ];
        for pipe in pipes.into_iter().flatten() {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(())
    }

    /// Writes and reads what is possible without waiting.
    fn go_on(&mut self) -> Result<(), RunError> {
        self.write();
        read(&mut self.output.0, &mut self.output.1, OUTPUT_MAX + 1);
        if self.output.1.len() > OUTPUT_MAX {
            return Err(RunError::TooMuch);
        }
        read(&mut self.errors.0, &mut self.errors.1, ERRORS_MAX);
        Ok(())
    }

    /// A program need not read: what it does not want is nobody's.
    fn write(&mut self) {
        let (pipe, left) = &mut self.input;
        while let Some(open) = pipe {
            match open.write(left) {
                _ if left.is_empty() => *pipe = None,
                Ok(count) => *left = &left[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => *pipe = None,
            }
        }
    }
}

/// Reads on until nothing is there, the end, or one read beyond `most` bytes; keeps those.
fn read<R: Read>(pipe: &mut Option<R>, into: &mut Vec<u8>, most: usize) {
    let mut buffer = [0; 4096];
    while let Some(open) = pipe {
        match open.read(&mut buffer) {
            Ok(0) => *pipe = None,
            Ok(count) => {
                let room = most - into.len();
                into.extend_from_slice(&buffer[..count.min(room)]);
                if count >= room {
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => *pipe = None,
        }
    }
}

/// The first line, fit for a log.
fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.trim().lines().next().unwrap_or_default();
    line.chars().take(REASON_MAX).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
