//! The admin socket's format: one request a connection, `u32` length and JSON; the answer, `u32` length and text.

use std::fmt;

use serde_json::{Map, Value, json};

/// Longest request, bytes.
pub const REQUEST_MAX: usize = 64 * 1024;

/// Longest answer that a client of the admin socket takes, bytes.
pub const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// An admin command.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The command's name, without the ending `__sync` that the Python tools give some of them.
    pub command: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
}

/// Why bytes are not an admin request.
#[derive(Debug)]
pub enum RequestError {
    /// The request says that it is longer than [`REQUEST_MAX`].
    TooLong(usize),
    /// It is not JSON.
    Json(serde_json::Error),
    /// It has no `cmd` with a string, or `kwargs` that are no object.
    Shape(&'static str),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::TooLong(n) => write!(f, "a request of {n} bytes is over the limit of {REQUEST_MAX}"),
            RequestError::Json(e) => write!(f, "the request is not JSON: {e}"),
            RequestError::Shape(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for RequestError {}

/// Reads a request from the bytes that came so far; `None` while it is not whole.
///
/// # Errors
/// What came is no request.
pub fn parse_request(bytes: &[u8]) -> Result<Option<Request>, RequestError> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if length > REQUEST_MAX {
        return Err(RequestError::TooLong(length));
    }
    let Some(json) = rest.get(..length) else { return Ok(None) };
    let value: Value = serde_json::from_slice(json).map_err(RequestError::Json)?;
    let command = value.get("cmd").and_then(Value::as_str);
    let command = command.ok_or(RequestError::Shape("the request has no key \"cmd\" with a string"))?;
    let arguments = match value.get("kwargs") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(arguments)) => arguments.clone(),
        Some(_) => return Err(RequestError::Shape("\"kwargs\" must be an object")),
    };
    let command = command.strip_suffix("__sync").unwrap_or(command).to_owned();
    Ok(Some(Request { command, arguments }))
}

/// Writes a request.
#[must_use]
pub fn encode_request(command: &str, arguments: &Map<String, Value>) -> Vec<u8> {
    with_length(json!({"cmd": command, "kwargs": arguments}).to_string().as_bytes())
}

/// Writes an answer.
#[must_use]
pub fn encode_answer(text: &str) -> Vec<u8> {
    with_length(text.as_bytes())
}

fn with_length(text: &[u8]) -> Vec<u8> {
    debug_assert!(text.len() <= ANSWER_MAX, "admin texts are short");
    let mut out = (text.len() as u32).to_le_bytes().to_vec();
    out.extend_from_slice(text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_when_it_is_whole() {
        let bytes = encode_request("peek_queues__sync", &Map::new());
        for cut in 0..bytes.len() {
            assert!(parse_request(&bytes[..cut]).unwrap().is_none(), "cut at {cut}");
        }
        assert_eq!(parse_request(&bytes).unwrap().unwrap().command, "peek_queues");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert!(matches!(parse_request(&u32::MAX.to_le_bytes()), Err(RequestError::TooLong(_))));
        assert!(matches!(parse_request(b"\x01\0\0\0{"), Err(RequestError::Json(_))));
        assert!(matches!(parse_request(b"\x02\0\0\0{}"), Err(RequestError::Shape(_))));
    }
}
