//! `test-publish-messages`: publishes a message of each type, every two seconds.

use super::command::Command;
use super::target::{CONFIG_OPTION, CONNECTOR, NAME};
use super::test_send_messages::types;
use super::tool::{self, Lines};
use crate::api::ConnectorApi;

/// See `summary`.
pub const COMMAND: Command = Command {
    name: "test-publish-messages",
    aliases: &["test_publish_messages"],
    summary: "Publish a message of each type, every two seconds.",
    details: "",
    operands: &[CONNECTOR, tool::CLIENT],
    options: &[CONFIG_OPTION, NAME],
    run: |args, out| tool::repeat("test_publish_messages", args, out, round),
};

/// Publishes a message of each of the connector's types. Whether anybody still reads of it.
fn round(api: &ConnectorApi, peer: &str, index: i64, lines: &Lines) -> bool {
    types(api).iter().filter(|message_type| !message_type.starts_with('_')).all(|message_type| {
        let said = lines.print(format!("PUBLISHING MESSAGE to peer {peer} of type {message_type} and index {index}"));
        let data = format!("\"TEST_MESSAGE {}\"", index.to_string().repeat(5));
        let message = api.publish_message(message_type).destination(peer).request_id(index).text(&data);
        let failure = message.send().err().map(|e| format!("NOT PUBLISHED: {e}"));
        said && failure.is_none_or(|line| lines.print(line))
    })
}
