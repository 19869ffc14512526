//! What connectors say to each other about tokens: frames of the type `_token`.

use std::fmt;

use serde_json::{Value, json};

use super::control::{ControlError, own_frame};
use super::header::Header;

/// The type of all of them.
pub const TOKEN: &str = "_token";

/// A token has so many characters; of a longer text the rest is no part of it, as in the Python package.
pub const TOKEN_CHARACTERS: usize = 64;

/// A secret that a client shows to be let in, or to be enrolled. Its text gets into no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token in this text; `None` if the text is empty.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let end = text.char_indices().nth(TOKEN_CHARACTERS).map_or(text.len(), |(at, _)| at);
        (end > 0).then(|| Self(text[..end].to_owned()))
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Token").finish_non_exhaustive()
    }
}

/// What the data of such a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenMessage {
    /// A client asks for a token of its own. A server of this project may want a token for enrolment with it.
    GetNew(Option<Token>),
    /// The server gives one.
    SetNew(Token),
    /// A client shows its own.
    Authenticate(Token),
    /// The server takes it.
    Success,
}

impl TokenMessage {
    /// The frame that says it.
    #[must_use]
    pub fn encode(&self, source_id: &str) -> Vec<u8> {
        let data = match self {
            TokenMessage::GetNew(None) => json!({"cmd": "get_new_token"}),
            TokenMessage::GetNew(Some(token)) => json!({"cmd": "get_new_token", "enrollment_token": token.text()}),
            TokenMessage::SetNew(token) => json!({"cmd": "set_new_token", "token": token.text()}),
            TokenMessage::Authenticate(token) => json!({"cmd": "authenticate", "token": token.text()}),
            TokenMessage::Success => json!({"result": "success"}),
        };
        own_frame(TOKEN, source_id, data.to_string().as_bytes())
    }

    /// Reads the data of such a frame.
    ///
    /// # Errors
    /// It is of another type, or does not say what it must. What it says is in no error: it may be a secret.
    pub fn parse(header: &Header<'_>, data: &[u8]) -> Result<Self, ControlError> {
        let fail = |problem: &str| ControlError::new(&header.message_type, problem);
        if header.message_type != TOKEN {
            return Err(fail("a \"_token\" message was expected"));
        }
        let data: Value = serde_json::from_slice(data).map_err(|_| fail("its data is not JSON"))?;
        let text = |key: &str| data.get(key).and_then(Value::as_str);
        let token =
            || text("token").and_then(Token::new).ok_or_else(|| fail("the key \"token\" with a text is expected"));
        match (text("cmd"), text("result")) {
            (Some("get_new_token"), _) => Ok(TokenMessage::GetNew(text("enrollment_token").and_then(Token::new))),
            (Some("set_new_token"), _) => token().map(TokenMessage::SetNew),
            (Some("authenticate"), _) => token().map(TokenMessage::Authenticate),
            (None, Some("success")) => Ok(TokenMessage::Success),
            _ => Err(fail("it has no command that is known")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Frame;
    use super::*;

    fn read(bytes: &[u8]) -> Result<TokenMessage, ControlError> {
        let frame = Frame::parse(bytes).unwrap();
        TokenMessage::parse(&Header::parse(frame.header()).unwrap(), frame.data())
    }

    #[test]
    fn what_is_said_is_read_back() {
        let token = Token::new("a1").unwrap();
        let said = [
            TokenMessage::GetNew(None),
            TokenMessage::GetNew(Some(token.clone())),
            TokenMessage::SetNew(token.clone()),
            TokenMessage::Authenticate(token),
            TokenMessage::Success,
        ];
        for message in said {
            assert_eq!(read(&message.encode("c1")), Ok(message));
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error_without_the_secret() {
        let wrong: [&[u8]; 6] = [
            b"hush",
            b"[]",
            br#"{"cmd": "hush"}"#,
            br#"{"cmd": "authenticate", "token": 5}"#,
            br#"{"cmd": "authenticate", "token": ""}"#,
            br#"{"result": "hush"}"#,
        ];
        for data in wrong {
            let error = read(&own_frame(TOKEN, "c1", data)).unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
        }
        assert!(read(&own_frame("_ssl", "c1", br#"{"cmd": "get_new_token"}"#)).is_err());
    }

    #[test]
    fn a_token_ends_after_64_characters_and_is_not_printed() {
        let long = "ä".repeat(70);
        assert_eq!(Token::new(&long).unwrap().text(), "ä".repeat(64));
        assert_eq!(Token::new(""), None);
        assert!(!format!("{:?}", Token::new("hush")).contains("hush"));
    }
}
