//! A message's frame: u32 length, u16 header length, header, u32 data length, data, and with `with_binary` u32 and binary.

use std::fmt;
use std::io::{self, Read};

use serde_json::{Map, Value};

/// A message as it stands on a socket. The header is kept as text, because its text must survive the way.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub header: String,
    pub data: Vec<u8>,
    pub binary: Option<Vec<u8>>,
}

impl Frame {
    /// `header` is a JSON object.
    pub fn new(header: Value, data: impl Into<Vec<u8>>) -> Frame {
        assert!(header.is_object(), "a header is an object, not {header}");
        Frame { header: header.to_string(), data: data.into(), binary: None }
    }

    /// The same with a header field more.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Frame {
        let mut fields = self.fields();
        fields.insert(key.to_owned(), value.into());
        self.header = Value::Object(fields).to_string();
        self
    }

    /// The same with a binary part, which the header announces.
    pub fn with_binary(self, binary: impl Into<Vec<u8>>) -> Frame {
        Frame { binary: Some(binary.into()), ..self.with("with_binary", true) }
    }

    /// The header's fields.
    pub fn fields(&self) -> Map<String, Value> {
        serde_json::from_str(&self.header).unwrap_or_else(|error| panic!("header {:?}: {error}", self.header))
    }

    /// A header field, or null.
    pub fn field(&self, key: &str) -> Value {
        self.fields().remove(key).unwrap_or(Value::Null)
    }

    pub fn tag(&self) -> String {
        self.field("tag").as_str().unwrap_or_default().to_owned()
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.header.len() + self.data.len() + 16);
        body.extend(u16::try_from(self.header.len()).expect("a header of at most 65535 bytes").to_le_bytes());
        body.extend(self.header.as_bytes());
        put_part(&mut body, &self.data);
        if let Some(binary) = &self.binary {
            put_part(&mut body, binary);
        }
        let mut frame = Vec::with_capacity(body.len() + 4);
        put_part(&mut frame, &body);
        frame
    }

    /// The next frame of `from`; `None` if it ends before the frame's first byte.
    pub fn read(from: &mut impl Read) -> io::Result<Option<Frame>> {
        let mut length = [0; 4];
        let got = loop {
            match from.read(&mut length) {
                // A read with a time limit is not begun again after a signal by itself.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                got => break got?,
            }
        };
        if got == 0 {
            return Ok(None);
        }
        from.read_exact(&mut length[got..])?;
        let mut body = vec![0; u32::from_le_bytes(length) as usize];
        from.read_exact(&mut body)?;
        Frame::decode(&body).map(Some)
    }

    /// All frames of `bytes`.
    pub fn read_all(mut bytes: &[u8]) -> io::Result<Vec<Frame>> {
        let mut frames = Vec::new();
        while let Some(frame) = Frame::read(&mut bytes)? {
            frames.push(frame);
        }
        Ok(frames)
    }

    fn decode(body: &[u8]) -> io::Result<Frame> {
        let (length, rest) = split(body, 2)?;
        let (header, rest) = split(rest, usize::from(u16::from_le_bytes(length.try_into().expect("two bytes"))))?;
        let header = String::from_utf8(header.to_vec()).map_err(|error| bad(&error.to_string()))?;
        let fields: Map<String, Value> = serde_json::from_str(&header)?;
        let (data, rest) = take_part(rest)?;
        let with_binary = fields.get("with_binary") == Some(&Value::Bool(true));
        // The Python connector's answer to a `_ping` has a binary part that its header does not announce.
        let has_binary = with_binary || !rest.is_empty();
        let (binary, rest) = if has_binary { take_part(rest).map(|(b, r)| (Some(b), r))? } else { (None, rest) };
        if !rest.is_empty() {
            return Err(bad(&format!("{} bytes are left over", rest.len())));
        }
        Ok(Frame { header, data, binary })
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} data {}", self.header, brief(&self.data))?;
        self.binary.as_ref().map_or(Ok(()), |binary| write!(f, " binary {}", brief(binary)))
    }
}

fn put_part(to: &mut Vec<u8>, part: &[u8]) {
    to.extend(u32::try_from(part.len()).expect("a part of under 4 GiB").to_le_bytes());
    to.extend(part);
}

fn take_part(from: &[u8]) -> io::Result<(Vec<u8>, &[u8])> {
    let (length, rest) = split(from, 4)?;
    let (part, rest) = split(rest, u32::from_le_bytes(length.try_into().expect("four bytes")) as usize)?;
    Ok((part.to_vec(), rest))
}

fn split(from: &[u8], at: usize) -> io::Result<(&[u8], &[u8])> {
    from.split_at_checked(at).ok_or_else(|| bad(&format!("{at} bytes announced, {} there", from.len())))
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a frame: {why}"))
}

/// Length and beginning of `bytes`, for messages to people.
pub fn brief(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(60)];
    format!("({} bytes) {:?}", bytes.len(), String::from_utf8_lossy(start))
}
