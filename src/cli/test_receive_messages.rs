//! `test-receive-messages`: prints what a connector brings.

use std::io::Write;
use std::process::ExitCode;

use super::command::Command;
use super::target::{CONFIG_OPTION, CONNECTOR, NAME, Target};
use super::tool::{self, Lines, ToolError};
use crate::api::{ConnectorApi, Message};

/// See `summary`.
pub const COMMAND: Command = Command {
    name: "test-receive-messages",
    aliases: &["test_receive_messages"],
    summary: "Print the messages that a connector brings.",
    details: "No other app can receive from this connector meanwhile.",
    operands: &[CONNECTOR],
    options: &[CONFIG_OPTION, NAME],
    run: |args, out| {
        run(&Target::new(args)?.into_api(), out)?;
        Ok(ExitCode::SUCCESS)
    },
};

/// Prints the messages of all `recv_message_types` of a connector until Ctrl-C.
///
/// # Errors
/// Another app waits for one of the types.
pub fn run(api: &ConnectorApi, out: &mut dyn Write) -> Result<(), ToolError> {
    let warning = "Warning : No other application should be receiving events from this connector";
    writeln!(out, "{warning}").map_err(ToolError::Output)?;
    tool::print_until_interrupted("test_receive_messages", out, |lines| start(api, &lines))
}

fn start(api: &ConnectorApi, lines: &Lines) -> Result<(), ToolError> {
    for message_type in api.recv_message_types() {
        let lines = lines.clone();
        api.start_waiting_for_messages(message_type, move |message| {
            // Nobody reads on after Ctrl-C: what comes then is not shown.
            _ = lines.print(describe(&message));
        })?;
    }
    Ok(())
}

fn describe(message: &Message) -> String {
    let mut text = format!("RECEIVED MESSAGE {}", String::from_utf8_lossy(message.header_json()));
    if !message.data().is_empty() {
        text += &format!("\n\tWith data {}", String::from_utf8_lossy(message.data()));
    }
    if let Some(binary) = message.binary() {
        text += &format!("\n\tWith binary {}", tool::python_bytes(binary));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::wire::frame::encode;
    use crate::wire::names::{Role, SocketPaths};

    #[test]
    fn a_message_is_described_with_all_its_parts() {
        let dir = tempfile::tempdir().unwrap();
        let api = ConnectorApi::client("c1").files_dir(dir.path()).any_connector_owner(false).build().unwrap();
        let (sender, received) = mpsc::channel();
        api.start_waiting_for_messages("any", move |m| sender.send(describe(&m)).unwrap()).unwrap();
        let mut stream = UnixStream::connect(SocketPaths::new(dir.path(), Role::Client, "c1").receive("any")).unwrap();
        let mut out = Vec::new();
        encode(br#"{"message_type": "any"}"#, b"", None, &mut out).unwrap();
        encode(br#"{"message_type": "any", "with_binary": true}"#, b"hi", Some(b"\x01"), &mut out).unwrap();
        stream.write_all(&out).unwrap();
        let next = || received.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(next(), r#"RECEIVED MESSAGE {"message_type": "any"}"#);
        let second = "RECEIVED MESSAGE {\"message_type\": \"any\", \"with_binary\": true}\n\tWith data hi\n\tWith binary b'\\x01'";
        assert_eq!(next(), second);
    }
}
