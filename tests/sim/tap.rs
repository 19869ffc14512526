//! Reads along with a stream: which of the model's messages have passed, whole.

use aioconnectors::wire::frame::{Deframer, Frame};
use serde_json::Value;

/// Nothing in the simulation is longer.
const LIMIT: usize = 64 * 1024 * 1024;

/// What one frame is, as far as the simulation cares.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The message's number in the model; frames of the connectors' own have none.
    pub message: Option<usize>,
    pub bytes: Vec<u8>,
    /// Where it ends in the stream.
    pub end: u64,
}

/// A place where a stream is read along.
#[derive(Debug)]
pub struct Tap {
    deframer: Deframer,
    /// Bytes of whole frames.
    passed: u64,
}

impl Default for Tap {
    fn default() -> Self {
        Self { deframer: Deframer::new(LIMIT), passed: 0 }
    }
}

impl Tap {
    /// The whole frames that these bytes complete. Garbage has none.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<Seen> {
        let mut frames = self.deframer.feed(bytes);
        let mut out = Vec::new();
        while let Ok(Some(frame)) = frames.next() {
            self.passed += frame.bytes().len() as u64;
            out.push(Seen { message: number(&frame), bytes: frame.bytes().to_vec(), end: self.passed });
        }
        out
    }
}

/// The message's number: in the header where the data is too short for it, else at the beginning of the data.
fn number(frame: &Frame<'_>) -> Option<usize> {
    let header: Value = serde_json::from_slice(frame.header()).ok()?;
    if header.get("error").is_some() || header["sim"].is_null() {
        return None;
    }
    if let Some(number) = header["n"].as_u64() {
        return usize::try_from(number).ok();
    }
    let first = frame.data().first_chunk::<8>()?;
    usize::try_from(u64::from_le_bytes(*first)).ok()
}
