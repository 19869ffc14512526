//! A broker as a process of its own, and what ends all of them when the bench is interrupted.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use aioconnectors::cli::interrupt::OnSignal;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Failure;

/// Last characters of a broker's log that an error shows.
const LOG: usize = 1000;

/// How often it is tried to remove the folder of an interrupted bench, and how long it is waited in between.
const REMOVALS: usize = 100;
const LOOK: Duration = Duration::from_millis(10);

/// It ends when this is dropped.
pub struct Broker {
    program: OsString,
    arguments: Vec<OsString>,
    log: PathBuf,
    child: Child,
}

impl Broker {
    /// Starts a program with these arguments; what it says goes to the file `log`.
    pub fn start<A: Into<OsString>>(
        program: impl Into<OsString>,
        arguments: impl IntoIterator<Item = A>,
        log: PathBuf,
    ) -> Result<Self, Failure> {
        let (program, arguments) = (program.into(), arguments.into_iter().map(Into::into).collect::<Vec<_>>());
        let child = spawn(&program, &arguments, &log)?;
        Ok(Self { program, arguments, log, child })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        // Both do nothing to a process that has ended.
        _ = self.child.kill();
        _ = self.child.wait();
    }

    pub fn start_again(&mut self) -> Result<(), Failure> {
        self.child = spawn(&self.program, &self.arguments, &self.log)?;
        Ok(())
    }

    /// An error if it has ended.
    pub fn check(&mut self) -> Result<(), Failure> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let from = (log.len().saturating_sub(LOG)..log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(0);
        Err(format!("{} has ended with {status}:\n{}", self.program.to_string_lossy(), &log[from..]).into())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// In a process group of its own, as connectors are: [`end_on_signal`] ends it on Ctrl-C.
fn spawn(program: &OsString, arguments: &[OsString], log: &Path) -> Result<Child, Failure> {
    let out = File::options().create(true).append(true).open(log)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).process_group(0);
    command.spawn().map_err(|e| format!("{} cannot be started: {e}", program.to_string_lossy()).into())
}

/// A port that is free now.
pub fn free_port() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// From now on SIGINT, SIGTERM and SIGHUP kill all processes that this one has started, remove the folder, and end it.
pub fn end_on_signal(folder: PathBuf) -> Result<OnSignal, Failure> {
    let end = move || {
        eprintln!("\ninterrupted");
        // Other threads go on meanwhile: once the folder is gone, they can start nothing any more.
        for _ in 0..REMOVALS {
            for child in children() {
                // That it is gone already is what was wanted.
                _ = kill(child, Signal::SIGKILL);
            }
            _ = fs::remove_dir_all(&folder);
            thread::sleep(LOOK);
            if !folder.exists() && children().is_empty() {
                break;
            }
        }
        std::process::exit(130);
    };
    Ok(OnSignal::call(end)?)
}

/// All processes whose parent this one is, and that have not ended.
fn children() -> Vec<Pid> {
    let own = std::process::id().to_string();
    let is_child = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Behind the name, which is in parentheses: the state, and the parent.
        let Some((_, rest)) = stat.rsplit_once(')') else { return false };
        let mut words = rest.split_whitespace();
        words.next() != Some("Z") && words.next() == Some(own.as_str())
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| is_child(*pid)).map(Pid::from_raw).collect()
}
