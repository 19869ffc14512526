//! A message as a line of JSON.

use serde_json::{Map, Value, json};

use crate::api::Message;
use crate::wire::base64;

/// The keys of a header that have a place of their own in the line, or say nothing to who reads it.
const PLACED: [&str; 12] = [
    "message_type",
    "source_id",
    "destination_id",
    "request_id",
    "response_id",
    "with_binary",
    "await_response",
    "await_response_timeout",
    "wait_for_ack",
    "transport_id",
    "with_file",
    "tag",
];

/// All that a message says: `type`, `source`, `id`, `answers` (the id of the request that it answers), `awaits_answer`,
/// `tag`, `file`, `header` with the keys that have no other place, `data` or `data_base64` if it is no text, `binary_base64`.
pub fn object(message: &Message) -> Map<String, Value> {
    let mut line = Map::new();
    let header = message.header();
    line.insert("type".to_owned(), message.message_type().into());
    for (key, from) in [("source", "source_id"), ("id", "request_id"), ("answers", "response_id"), ("tag", "tag")] {
        if let Some(value) = header.get(from).filter(|value| !value.is_null()) {
            line.insert(key.to_owned(), value.clone());
        }
    }
    if message.awaits_answer() {
        line.insert("awaits_answer".to_owned(), true.into());
    }
    if let Some(file) = message.file() {
        let file = json!({"type": file.dst_type(), "name": file.dst_name(), "error": file.error()});
        line.insert("file".to_owned(), file);
    }
    let others = header.iter().filter(|(key, _)| !PLACED.contains(&key.as_str()));
    let others: Map<_, _> = others.map(|(key, value)| (key.clone(), value.clone())).collect();
    if !others.is_empty() {
        line.insert("header".to_owned(), others.into());
    }
    match message.text() {
        Ok(text) => line.insert("data".to_owned(), text.into()),
        Err(_) => line.insert("data_base64".to_owned(), base64::encode(message.data()).into()),
    };
    if let Some(binary) = message.binary() {
        line.insert("binary_base64".to_owned(), base64::encode(binary).into());
    }
    line
}
