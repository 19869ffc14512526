//! A link of two connectors, and commands beside it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::Value;

use crate::common::setup::wait_link;
use crate::common::{Place, Process, Setup, free_port};

pub const CTL: &str = env!("CARGO_BIN_EXE_aioconnectorsctl");
pub const DAEMON: &str = env!("CARGO_BIN_EXE_aioconnectorsd");

/// Two connectors on plain TCP.
pub struct Link {
    pub client: Setup,
    pub server: Setup,
    // Dropped in this order: a client that loses its server would only talk about it.
    _client_process: Process,
    pub server_process: Process,
    pub place: Place,
}

impl Link {
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(|setup| setup)
    }

    #[track_caller]
    pub fn start_with(change: impl Fn(Setup) -> Setup) -> Self {
        let (place, port) = (Place::new(), free_port());
        let (server, client) = (change(Setup::server(&place, port)), change(Setup::client(&place, "client1", port)));
        let (server_process, _client_process) = (server.start(), client.start());
        wait_link(&server, &client);
        Self { client, server, _client_process, server_process, place }
    }

    /// `aioconnectorsctl COMMAND CONFIG …` beside the client.
    pub fn client_ctl(&self, command: &str, arguments: &[&str]) -> Command {
        ctl(command, &self.client.write(), arguments)
    }

    /// The same beside the server.
    pub fn server_ctl(&self, command: &str, arguments: &[&str]) -> Command {
        ctl(command, &self.server.write(), arguments)
    }
}

pub fn ctl(command: &str, config: &PathBuf, arguments: &[&str]) -> Command {
    let mut ctl = Command::new(CTL);
    ctl.arg(command).arg(config).args(arguments);
    ctl
}

/// Runs a command to its end, with this on its stdin.
#[track_caller]
pub fn run(mut command: Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // It need not read all.
    let writing = thread::spawn(move || _ = stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    output
}

/// The exit code, the lines of stdout as JSON, and stderr.
#[track_caller]
pub fn outcome(output: &Output) -> (Option<i32>, Vec<Value>, String) {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")));
    (output.status.code(), lines.collect(), String::from_utf8_lossy(&output.stderr).into_owned())
}
