//! The messages of the simulation: all that is in them follows from their number.

use std::sync::OnceLock;

use aioconnectors::wire::frame::{self, Frame};
use serde_json::{Map, Value, json};

/// Bytes that bodies are cut from.
const BLOCK: usize = 1 << 20;

/// What a message is made of.
#[derive(Clone, Debug)]
pub struct Draft {
    pub message_type: &'static str,
    /// The ids of the connectors that it goes from and to.
    pub source: String,
    pub destination: String,
    pub style: Style,
    pub size: usize,
    pub binary: Option<usize>,
    pub request: Option<Request>,
    /// The `request_id` that it answers, as it was received.
    pub response_id: Option<Value>,
    /// The peer is to acknowledge it one by one.
    pub waits_ack: bool,
    /// The length of its file.
    pub file: Option<usize>,
    /// It is published.
    pub publishes: bool,
}

/// What the app itself writes of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// The same for each message, ids as they must be.
    Same,
    /// The same for each message, ids to be corrected.
    SameWrong,
    /// Another for each message.
    Numbered,
}

/// How an app asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    WithId,
    WithoutId,
}

impl Draft {
    /// The header as the app writes it.
    pub fn header(&self, number: usize) -> Map<String, Value> {
        let mut header = Map::new();
        header.insert("message_type".into(), self.message_type.into());
        if self.publishes {
            header.insert("message_type".into(), "_pubsub".into());
            header.insert("message_type_publish".into(), self.message_type.into());
        }
        header.insert("sim".into(), json!({"nested": [1, 2.5, null], "é": "ü"}));
        match self.style {
            Style::Same => {
                header.insert("source_id".into(), self.source.as_str().into());
                header.insert("destination_id".into(), self.destination.as_str().into());
            }
            // A server needs the destination; the source is the connector's business.
            Style::SameWrong => {
                header.insert("destination_id".into(), self.destination.as_str().into());
                header.insert("source_id".into(), "somebody else".into());
            }
            Style::Numbered => {
                header.insert("destination_id".into(), self.destination.as_str().into());
                header.insert("n".into(), number.into());
            }
        }
        if self.size < 8 {
            header.insert("n".into(), number.into());
        }
        if self.binary.is_some() {
            header.insert("with_binary".into(), true.into());
        }
        self.conversation(number, &mut header);
        header
    }

    fn conversation(&self, number: usize, header: &mut Map<String, Value>) {
        if let Some(request) = self.request {
            header.insert("await_response".into(), true.into());
            if request == Request::WithId {
                header.insert("request_id".into(), format!("ask-{number}").into());
            }
        }
        if let Some(id) = &self.response_id {
            header.insert("response_id".into(), id.clone());
        }
        if self.waits_ack {
            header.insert("wait_for_ack".into(), true.into());
        }
        if self.file.is_some() {
            let mut with_file = json!({"src_path": source(number), "dst_type": "any", "dst_name": name(number)});
            if !is_deleted(number) {
                with_file["delete"] = false.into();
            }
            header.insert("with_file".into(), with_file);
        }
    }

    /// The frame as the app writes it.
    pub fn encode(&self, number: usize) -> Vec<u8> {
        let header = Value::Object(self.header(number)).to_string();
        let mut out = Vec::new();
        let data = self.data(number);
        let written = frame::encode(header.as_bytes(), &data, self.binary(number), &mut out);
        assert_eq!(written, Ok(()));
        out
    }

    fn data(&self, number: usize) -> Vec<u8> {
        let mut data = slice(number, self.size).to_vec();
        if let Some(first) = data.first_chunk_mut::<8>() {
            *first = (number as u64).to_le_bytes();
        }
        data
    }

    fn binary(&self, number: usize) -> Option<&'static [u8]> {
        self.binary.map(|size| slice(number + 7, size))
    }

    /// The bytes of its file.
    pub fn file_bytes(&self, number: usize) -> &'static [u8] {
        slice(number + 3, self.file.unwrap_or(0))
    }

    /// Checks that a frame is this message, as the receiving app must get it; why it comes without its file, if it does.
    pub fn check(&self, number: usize, bytes: &[u8]) -> Option<String> {
        let frame = Frame::parse(bytes).unwrap_or_else(|e| panic!("message {number} is no frame: {e}"));
        assert!(frame.data() == self.data(number), "the data of message {number} is as it was sent");
        // On link 1 an empty binary is nothing to put a file behind: it is gone, as Python apps know it.
        let is_left_out = self.file.is_some() && self.binary == Some(0) && frame.binary().is_none();
        assert!(
            is_left_out || frame.binary() == self.binary(number),
            "the binary of message {number} is as it was sent: {:?} bytes came with {}, {self:?}",
            frame.binary().map(<[u8]>::len),
            String::from_utf8_lossy(frame.header())
        );
        let mut received: Value = serde_json::from_slice(frame.header()).unwrap_or_default();
        let error = received.get_mut("with_file").and_then(|with_file| with_file.as_object_mut()?.remove("file_error"));
        self.forget_offset(&mut received);
        let mut expected = self.header(number);
        if is_left_out {
            expected.remove("with_binary");
        }
        expected.insert("source_id".into(), self.source.as_str().into());
        expected.insert("destination_id".into(), self.destination.as_str().into());
        if self.publishes {
            self.as_subscribers_see_it(&mut expected, &mut received);
        }
        if self.request == Some(Request::WithoutId) {
            assert!(received["request_id"].is_string(), "message {number} was given a request_id");
            expected.insert("request_id".into(), received["request_id"].clone());
        }
        assert_eq!(received, Value::Object(expected), "the header of message {number}");
        error.map(|error| error.as_str().map(str::to_owned).unwrap_or_else(|| panic!("{error} is a text")))
    }
}

impl Draft {
    /// A publication comes from the broker, to nobody by name, with the path and the rights of the broker's file.
    fn as_subscribers_see_it(&self, expected: &mut Map<String, Value>, received: &mut Value) {
        for key in ["message_type_publish", "destination_id"] {
            expected.remove(key);
        }
        expected.insert("message_type".into(), self.message_type.into());
        expected.insert("source_id".into(), self.destination.as_str().into());
        for with_file in [expected.get_mut("with_file"), received.get_mut("with_file")].into_iter().flatten() {
            for key in ["src_path", "delete"] {
                with_file.as_object_mut().and_then(|with_file| with_file.remove(key));
            }
        }
    }

    /// On link 1 a file follows the app's own binary in one, and the header says where: that stays in it, as Python
    /// apps know it.
    fn forget_offset(&self, header: &mut Value) {
        let with_file = header.get_mut("with_file").and_then(Value::as_object_mut);
        if let Some(offset) = with_file.and_then(|with_file| with_file.remove("binary_offset")) {
            assert_eq!(offset, self.binary.unwrap_or(0), "the place of a file behind its message's binary");
        }
    }
}

/// Where the file of a message is before it is sent.
pub fn source(number: usize) -> String {
    format!("/out/{number}")
}

/// The name of the file of a message where it arrives.
pub fn name(number: usize) -> String {
    format!("file-{number}")
}

/// Whether it is removed at its source when it has arrived.
pub fn is_deleted(number: usize) -> bool {
    !number.is_multiple_of(3)
}

fn slice(number: usize, size: usize) -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| {
        let mut rng = fastrand::Rng::with_seed(7);
        (0..BLOCK).map(|_| rng.u8(..)).collect()
    });
    let start = number * 31 % (BLOCK / 2);
    &bytes[start..start + size]
}
