//! What two chats say to each other besides text, in the header's key `chat`.
//!
//! A chat of the Python package knows nothing of it: it shows the text of an offer, answers at once, and takes the file.

use serde_json::{Map, Value, json};

use crate::api::Message;

/// The key.
pub const KEY: &str = "chat";

/// The type of all messages of a chat, and the destination type of files for a chat of the Python package.
pub const TYPE: &str = "any";

/// The destination type of files that were offered before.
pub const UPLOAD: &str = "upload";

/// Longest name of an offer, characters.
const ID_MAX: usize = 64;

/// What a message of a chat says of uploads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// A file or a folder is there to be sent: its name, and how many files and bytes that is. It awaits an answer.
    Offer {
        /// Names the offer.
        id: String,
        /// Of the file or folder.
        name: String,
        /// Whether it is a folder.
        folder: bool,
        /// How many files.
        files: u64,
        /// How many bytes together.
        bytes: u64,
    },
    /// The answer to an offer.
    Accept(bool),
    /// With this message comes a file of an offer: where it lies in the folder, or its name.
    File {
        /// The offer.
        id: String,
        /// Its path below the offered folder, or its name.
        path: String,
    },
    /// The answer to a file: why it was not taken, if it was not.
    Taken(Option<String>),
    /// All files of an offer were sent.
    Done {
        /// The offer.
        id: String,
    },
}

impl Word {
    /// The header's further keys.
    pub fn header(&self) -> Map<String, Value> {
        let value = match self {
            Word::Offer { id, name, folder, files, bytes } => {
                json!({"offer": id, "name": name, "folder": folder, "files": files, "bytes": bytes})
            }
            Word::Accept(accept) => json!({"accept": accept}),
            Word::File { id, path } => json!({"file_of": id, "path": path}),
            Word::Taken(error) => json!({"taken": error.is_none(), "error": error}),
            Word::Done { id } => json!({"done": id}),
        };
        Map::from_iter([(KEY.to_owned(), value)])
    }

    /// What a message says, if it says any of this in the right way.
    pub fn of(message: &Message) -> Option<Self> {
        Self::parse(message.header().get(KEY)?)
    }

    fn parse(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let id = |key: &str| text(key).filter(|id| is_id(id));
        let number = |key: &str| value.get(key).and_then(Value::as_u64);
        if let Some(id) = id("offer") {
            let folder = value.get("folder")?.as_bool()?;
            return Some(Word::Offer {
                id,
                name: text("name")?,
                folder,
                files: number("files")?,
                bytes: number("bytes")?,
            });
        }
        if let Some(accept) = value.get("accept").and_then(Value::as_bool) {
            return Some(Word::Accept(accept));
        }
        if let Some(id) = id("file_of") {
            return Some(Word::File { id, path: text("path")? });
        }
        if let Some(taken) = value.get("taken").and_then(Value::as_bool) {
            let error = text("error").unwrap_or_else(|| "it was not taken".to_owned());
            return Some(Word::Taken((!taken).then_some(error)));
        }
        id("done").map(|id| Word::Done { id })
    }
}

/// Offers are named by their sender; the name is part of file names.
fn is_id(id: &str) -> bool {
    (1..=ID_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Text of a peer as it may be shown: a terminal would obey control characters.
pub fn harmless(text: &str) -> String {
    let show = |c: char| if c.is_control() && c != '\n' && c != '\t' { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_understood_as_it_was_meant() {
        let (id, name) = ("5f-1".to_owned(), "n".to_owned());
        for word in [
            Word::Offer { id: id.clone(), name, folder: true, files: 2, bytes: u64::MAX },
            Word::Accept(true),
            Word::Accept(false),
            Word::File { id: id.clone(), path: "a/b".to_owned() },
            Word::Taken(None),
            Word::Taken(Some("disk full".to_owned())),
            Word::Done { id },
        ] {
            assert_eq!(Word::parse(&word.header()[KEY]), Some(word));
        }
    }

    #[test]
    fn what_is_not_right_is_not_understood() {
        for value in
            [json!(null), json!([]), json!({"offer": "../x"}), json!({"offer": "a", "name": 5}), json!({"done": ""})]
        {
            assert_eq!(Word::parse(&value), None, "{value}");
        }
    }

    #[test]
    fn a_terminal_is_not_commanded_by_a_peer() {
        assert_eq!(harmless("a\x1b[2Jb\r\n\tc\u{9b}\x07"), "a\u{fffd}[2Jb\u{fffd}\n\tc\u{fffd}\u{fffd}");
    }
}
