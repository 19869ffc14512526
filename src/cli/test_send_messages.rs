//! `test-send-messages`: sends a message of each type, every two seconds.

use super::command::Command;
use super::target::{CONFIG_OPTION, CONNECTOR, NAME};
use super::tool::{self, Lines};
use crate::api::ConnectorApi;

/// The types of a config that names none.
const DEFAULT_TYPES: [&str; 1] = ["any"];

const TAG: &str = "tag1";

/// See `summary`.
pub const COMMAND: Command = Command {
    name: "test-send-messages",
    aliases: &["test_send_messages"],
    summary: "Send a message of each type, every two seconds.",
    details: "",
    operands: &[CONNECTOR, tool::CLIENT],
    options: &[CONFIG_OPTION, NAME],
    run: |args, out| tool::repeat("test_send_messages", args, out, round),
};

/// Sends a message of each of the connector's types. Whether anybody still reads of it.
fn round(api: &ConnectorApi, peer: &str, index: i64, lines: &Lines) -> bool {
    types(api).iter().all(|message_type| {
        let said = lines.print(announcement(peer, message_type, index));
        let failure = send(api, peer, message_type, index);
        said && failure.is_none_or(|line| lines.print(line))
    })
}

/// The types that the connector's apps may send.
pub fn types(api: &ConnectorApi) -> Vec<String> {
    api.send_message_types().map_or(DEFAULT_TYPES.map(str::to_owned).to_vec(), <[String]>::to_vec)
}

fn announcement(peer: &str, message_type: &str, index: i64) -> String {
    format!("SENDING MESSAGE to peer {peer} of type {message_type} and index {index} and tag {TAG}")
}

/// Sends one message; what is to be said of it if that fails.
fn send(api: &ConnectorApi, peer: &str, message_type: &str, index: i64) -> Option<String> {
    let data = format!("\"TEST_MESSAGE {}\"", index.to_string().repeat(5));
    let message = api.send_message(message_type).destination(peer).request_id(index).tag(TAG).text(&data);
    message.send().err().map(|e| format!("NOT SENT: {e}"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::wire::frame::Frame;
    use crate::wire::names::{Role, SocketPaths};

    #[test]
    fn a_test_message_looks_as_the_python_tools_do() {
        let dir = tempfile::tempdir().unwrap();
        let api = ConnectorApi::client("c1").files_dir(dir.path()).keep_connection(false).build().unwrap();
        assert!(send(&api, "s", "any", 1).unwrap().starts_with("NOT SENT: no connector runs at "));
        let listener = UnixListener::bind(SocketPaths::new(dir.path(), Role::Client, "c1").send()).unwrap();
        assert_eq!(send(&api, "s", "any", 12), None);
        let mut bytes = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut bytes).unwrap();
        let frame = Frame::parse(&bytes).unwrap();
        let header =
            r#"{"message_type": "any", "source_id": "c1", "destination_id": "s", "request_id": 12, "tag": "tag1"}"#;
        assert_eq!(std::str::from_utf8(frame.header()), Ok(header));
        assert_eq!(frame.data(), b"\"TEST_MESSAGE 1212121212\"");
    }
}
