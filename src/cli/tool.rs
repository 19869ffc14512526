//! What the commands that try out a connector have in common: they print lines until Ctrl-C.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use super::command::{Args, Failure, Operand};
use super::interrupt::OnSignal;
use super::target::Target;
use crate::api::{ApiError, ConnectorApi};

/// Pause between two rounds.
const PERIOD: Duration = Duration::from_secs(2);

/// The peer of a server.
pub const CLIENT: Operand = Operand {
    name: "CLIENT",
    required: false,
    help: "the client's name, if the config is a server's; else it is asked for",
};

/// Why a command that tries out a connector has failed.
#[derive(Debug)]
pub enum ToolError {
    /// The config says too little, or the socket cannot be used.
    Api(ApiError),
    /// A server's peer has a name, and none was given.
    NoName,
    /// Stdin could not be read.
    Input(io::Error),
    /// Stdout could not be written.
    Output(io::Error),
    /// Signals could not be caught.
    Signals(io::Error),
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToolError::Api(e) => e.fmt(f),
            ToolError::NoName => f.write_str("the connector is a server: the name of the client is needed"),
            ToolError::Input(e) => write!(f, "stdin cannot be read: {e}"),
            ToolError::Output(e) => write!(f, "stdout cannot be written: {e}"),
            ToolError::Signals(e) => write!(f, "signals cannot be caught: {e}"),
        }
    }
}

impl std::error::Error for ToolError {}

impl From<ToolError> for Failure {
    fn from(error: ToolError) -> Self {
        match error {
            ToolError::Output(e) => Failure::Output(e),
            other => Failure::failed(other),
        }
    }
}

impl From<ApiError> for ToolError {
    fn from(error: ApiError) -> Self {
        ToolError::Api(error)
    }
}

/// The connector to talk to: a client's server, or on a server the client `given`, which is asked for if it is missing.
///
/// # Errors
/// [`ToolError::NoName`] when nothing is typed, or stdin and stdout fail.
fn destination(
    api: &ConnectorApi,
    given: Option<&str>,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> Result<String, ToolError> {
    if !api.is_server() {
        return Ok(api.server_id().to_owned());
    }
    let mut name = given.unwrap_or_default().to_owned();
    if given.is_none() {
        writeln!(out, "\nPlease type the name of your remote client")
            .and_then(|()| out.flush())
            .map_err(ToolError::Output)?;
        input.read_line(&mut name).map_err(ToolError::Input)?;
    }
    match name.trim() {
        "" => Err(ToolError::NoName),
        name => Ok(name.to_owned()),
    }
}

/// Where a tool's threads leave the lines to print.
#[derive(Clone, Debug)]
pub struct Lines(Sender<Option<String>>);

impl Lines {
    /// Prints a line. Whether anybody still reads.
    #[must_use]
    pub fn print(&self, line: String) -> bool {
        self.0.send(Some(line)).is_ok()
    }
}

/// Calls `start`, and prints the lines that its threads leave until Ctrl-C; then `NAME stopped !`.
///
/// # Errors
/// Those of `start`, and [`ToolError::Output`] when stdout cannot be written.
pub fn print_until_interrupted(
    name: &str,
    out: &mut dyn Write,
    start: impl FnOnce(Lines) -> Result<(), ToolError>,
) -> Result<(), ToolError> {
    let (sender, lines) = mpsc::channel();
    let stop = sender.clone();
    let on_signal = OnSignal::call(move || _ = stop.send(None)).map_err(ToolError::Signals)?;
    start(Lines(sender))?;
    let print = |out: &mut dyn Write, line: &str| writeln!(out, "{line}").and_then(|()| out.flush());
    for line in lines.iter().map_while(|line| line) {
        print(out, &line).map_err(ToolError::Output)?;
    }
    drop(on_signal);
    print(out, &format!("{name} stopped !")).map_err(ToolError::Output)
}

/// Calls `round` every two seconds until Ctrl-C, with the connector and its peer that `args` name, a number that counts
/// from 1, and a place for lines to print; no more when it returns false.
///
/// # Errors
/// The config does not say which connector is meant, or there is no peer's name.
pub fn repeat(
    name: &str,
    args: &Args,
    out: &mut dyn Write,
    round: impl Fn(&ConnectorApi, &str, i64, &Lines) -> bool + Send + 'static,
) -> Result<ExitCode, Failure> {
    let client = args.operand(CLIENT.name).map(|name| name.to_string_lossy());
    let api = Target::new(args)?.into_api();
    let peer = destination(&api, client.as_deref(), &mut io::stdin().lock(), out)?;
    print_until_interrupted(name, out, |lines| {
        thread::spawn(move || {
            let mut index = 1;
            while round(&api, &peer, index, &lines) {
                index += 1;
                thread::sleep(PERIOD);
            }
        });
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Bytes as Python prints them, as in `b'PING\n'`.
#[must_use]
pub fn python_bytes(bytes: &[u8]) -> String {
    format!("b'{}'", bytes.escape_ascii().to_string().replace("\\\"", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_asks_for_the_name_that_was_not_given() {
        let server = ConnectorApi::server("127.0.0.1", 1).build().unwrap();
        let ask = |given, mut typed: &[u8]| {
            let mut out = Vec::new();
            let name = destination(&server, given, &mut typed, &mut out);
            (name, String::from_utf8(out).unwrap())
        };
        let (name, out) = ask(None, b" c1\n");
        assert_eq!((name.unwrap().as_str(), out.as_str()), ("c1", "\nPlease type the name of your remote client\n"));
        let (name, out) = ask(Some("c2"), b"");
        assert_eq!((name.unwrap().as_str(), out.as_str()), ("c2", ""));
        assert!(matches!(ask(None, b"\n").0, Err(ToolError::NoName)));
        let client = ConnectorApi::client("c1").build().unwrap();
        assert_eq!(destination(&client, None, &mut &b""[..], &mut Vec::new()).unwrap(), "('127.0.0.1', 10673)");
    }

    #[test]
    fn bytes_look_as_in_python() {
        assert_eq!(python_bytes(b"a\"'\n\x00"), r#"b'a"\'\n\x00'"#);
    }
}
