//! `with_file`: what a message's header says of the file that it brings.

use serde_json::{Map, Value};

use super::control::PUBSUB;
use super::header::Header;

/// Stands behind the name of a file that is sent in pieces, in the name of each piece.
pub const PIECE_MARK: &str = "__aioconnectors_chunk";

/// What `with_file` says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WithFile {
    fields: Map<String, Value>,
}

impl WithFile {
    /// That of a header which brings a file ([`Header::with_file`]). Of one that is not an object nothing is left.
    #[must_use]
    pub fn of(header: &[u8]) -> Self {
        let header: Value = serde_json::from_slice(header).unwrap_or_default();
        Self { fields: header.get("with_file").and_then(Value::as_object).cloned().unwrap_or_default() }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.fields.get(key)?.as_str()
    }

    /// Where the file is, on the sending connector's machine.
    #[must_use]
    pub fn src_path(&self) -> Option<&str> {
        self.text("src_path").filter(|path| !path.is_empty())
    }

    /// What the file is to be called; empty if that is not said.
    #[must_use]
    pub fn dst_name(&self) -> &str {
        self.text("dst_name").unwrap_or_default()
    }

    /// Whether the source is removed when the peer has the file.
    #[must_use]
    pub fn delete(&self) -> bool {
        // What is neither true nor false does not make a file go away.
        self.fields.get("delete").is_none_or(|delete| delete == &Value::Bool(true))
    }

    /// How many bytes of the frame's binary come before the file, if that is said: they are the app's own.
    #[must_use]
    pub fn binary_offset(&self) -> Option<u64> {
        self.fields.get("binary_offset")?.as_u64()
    }

    /// Why the message comes without the file's bytes, if it does.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        let error = self.fields.get("file_error").filter(|error| is_true(error))?;
        Some(error.as_str().map_or_else(|| error.to_string(), str::to_owned))
    }

    /// Whether the file is a piece of another.
    #[must_use]
    pub fn is_piece(&self) -> bool {
        self.fields.get("chunked").is_some_and(is_true)
    }

    /// The same for a piece of the file, the `index`th of `count`, counted from 1, as Python apps cut files. But the
    /// number is filled up with zeros: Python connectors join pieces in the order of their names.
    #[must_use]
    pub fn piece(mut self, index: u64, count: u64) -> Self {
        let width = count.to_string().len();
        let base = format!("{}{PIECE_MARK}", self.dst_name());
        self.fields.insert("dst_name".to_owned(), format!("{base}_{index:0width$}_{count}").into());
        self.fields.insert("chunked".to_owned(), Value::Array(vec![base.into(), index.into(), count.into()]));
        self
    }

    /// The same for a file behind so many bytes of the app's own.
    #[must_use]
    pub fn behind(mut self, own: u64) -> Self {
        self.fields.insert("binary_offset".to_owned(), own.into());
        self
    }

    /// The same for a file that does not come, for this reason.
    #[must_use]
    pub fn failed(mut self, why: &str) -> Self {
        self.fields.insert("file_error".to_owned(), why.into());
        self
    }

    /// The same for a file that lies here now, which its sender does not remove.
    #[must_use]
    pub fn kept_at(mut self, path: &str) -> Self {
        self.fields.insert("src_path".to_owned(), path.into());
        self.fields.insert("delete".to_owned(), Value::Bool(false));
        self
    }

    /// As it stands in a header.
    #[must_use]
    pub fn to_json(&self) -> String {
        // A map of names and values is always JSON.
        serde_json::to_string(&self.fields).unwrap_or_default()
    }
}

/// As Python sees it.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(set) => *set,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// Of a header whose frame has a file's bytes at the end of its binary: how many bytes of the binary come before them.
///
/// A message that says why there are none has none; then all of its binary is the app's own.
#[must_use]
pub fn file_begins(header: &[u8]) -> Option<u64> {
    let parsed = Header::parse(header).ok().filter(|parsed| parsed.with_file)?;
    let is_published = parsed.message_type == PUBSUB && parsed.publishes.is_some();
    if parsed.message_type.starts_with('_') && !is_published {
        return None;
    }
    let file = WithFile::of(header);
    if file.error().is_some() { None } else { Some(file.binary_offset().unwrap_or(0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(with_file: &str) -> Vec<u8> {
        format!(r#"{{"message_type": "any", "with_file": {with_file}}}"#).into_bytes()
    }

    #[test]
    fn what_an_app_says_is_read_as_python_reads_it() {
        let file = WithFile::of(&header(r#"{"src_path": "/a", "dst_name": "b"}"#));
        assert_eq!(
            (file.src_path(), file.delete(), file.binary_offset(), file.is_piece()),
            (Some("/a"), true, None, false)
        );
        for (delete, expected) in [("null", false), ("0", false), ("\"no\"", false), ("false", false), ("true", true)] {
            let file = WithFile::of(&header(&format!(r#"{{"delete": {delete}}}"#)));
            assert_eq!(file.delete(), expected, "{delete}");
        }
        assert_eq!(WithFile::of(&header("7")), WithFile::default());
    }

    #[test]
    fn a_piece_is_named_as_python_names_it_but_in_order() {
        let file = WithFile::of(&header(r#"{"dst_name": "b", "dst_type": "t", "mine": [1]}"#)).piece(3, 12).behind(5);
        let expected = concat!(
            r#"{"dst_name":"b__aioconnectors_chunk_03_12","dst_type":"t","mine":[1],"#,
            r#""chunked":["b__aioconnectors_chunk",3,12],"binary_offset":5}"#
        );
        assert_eq!(file.to_json(), expected);
        assert!(file.is_piece());
    }

    #[test]
    fn only_a_message_that_brings_a_file_is_divided() {
        assert_eq!(file_begins(&header(r#"{"binary_offset": 4}"#)), Some(4));
        assert_eq!(file_begins(&header(r#"{"src_path": "", "file_error": ""}"#)), Some(0));
        assert_eq!(file_begins(&header(r#"{"binary_offset": -4}"#)), Some(0));
        assert_eq!(file_begins(&header(r#"{"file_error": "gone"}"#)), None);
        for none in ["{}", "{ }", "null", "false", "\"\"", "0", "[]"] {
            assert_eq!(file_begins(&header(none)), None, "{none}");
        }
        assert_eq!(file_begins(br#"{"message_type": "_ping", "with_file": {"a": 1}}"#), None);
        let published = br#"{"message_type": "_pubsub", "message_type_publish": "any", "with_file": {"a": 1}}"#;
        assert_eq!(file_begins(published), Some(0));
        assert_eq!(file_begins(br#"{"message_type": "_pubsub", "with_file": {"a": 1}}"#), None);
        assert_eq!(file_begins(b"nonsense"), None);
    }
}
