//! Numbered messages that show whether they were altered.

use serde_json::{Value, json};

use crate::common::{Frame, Setup};

/// Bytes before the filling: the number and the checksum.
const PREFIX: usize = 16;

/// From where to where messages go, and of which type.
#[derive(Clone)]
pub struct Route {
    header: String,
    /// The number of the first message.
    first: u64,
}

impl Route {
    pub fn new(message_type: &str, from: &Setup, to: &Setup) -> Route {
        let header = json!({"message_type": message_type, "source_id": from.id, "destination_id": to.id});
        Route { header: header.to_string(), first: 0 }
    }

    /// The same with messages whose acknowledgement by the peer connector is waited for.
    pub fn waiting_for_acks(self) -> Route {
        self.with("wait_for_ack", &true.into())
    }

    /// The same with a header key more.
    pub fn with(self, key: &str, value: &Value) -> Route {
        Route { header: self.header.replacen('{', &format!("{{\"{key}\":{value},"), 1), ..self }
    }

    /// The same with messages that are numbered from `first`, whatever they count from for their sender.
    pub fn numbered_from(self, first: u64) -> Route {
        Route { first, ..self }
    }

    /// The message of a number.
    pub fn frame(&self, number: u64) -> Frame {
        Frame { header: self.header.clone(), data: data(self.first + number), binary: None }
    }

    /// Messages as they stand on a socket.
    pub fn encode(&self, numbers: std::ops::Range<u64>) -> Block {
        let mut block = Block { bytes: Vec::new(), ends: Vec::new(), first: numbers.start };
        for number in numbers {
            block.bytes.extend(self.frame(number).encode());
            block.ends.push(block.bytes.len());
        }
        block
    }
}

/// Some messages in a row, as bytes.
pub struct Block {
    pub bytes: Vec<u8>,
    ends: Vec<usize>,
    first: u64,
}

impl Block {
    /// The number of the first message that is not whole in the first `written` bytes.
    pub fn next_after(&self, written: usize) -> u64 {
        self.first + self.ends.partition_point(|end| *end <= written) as u64
    }
}

/// How much a message weighs beside its prefix: mostly little, sometimes more than is read or written at once.
fn filling(number: u64) -> usize {
    let spread = usize::try_from(number.wrapping_mul(7919) % 10_007).expect("less than 10,007");
    match number {
        n if n % 5003 == 17 => 300_000,
        n if n % 499 == 5 => 20_000 + spread,
        _ => spread % 150,
    }
}

fn data(number: u64) -> Vec<u8> {
    let mut data = Vec::with_capacity(PREFIX + filling(number));
    data.extend(number.to_le_bytes());
    data.extend([0; 8]);
    data.extend(number.to_le_bytes().into_iter().cycle().take(filling(number)));
    let sum = checksum(&data);
    data[8..PREFIX].copy_from_slice(&sum.to_le_bytes());
    data
}

/// FNV-1a over number and filling, eight bytes at a time.
fn checksum(data: &[u8]) -> u64 {
    let words = data[..8].chunks(8).chain(data[PREFIX..].chunks(8));
    words.fold(0xcbf2_9ce4_8422_2325, |sum: u64, word| {
        let mut bytes = [0; 8];
        bytes[..word.len()].copy_from_slice(word);
        (sum ^ u64::from_le_bytes(bytes)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The number of a message that came; what is wrong with it if it is not as it was sent.
pub fn number(frame: &Frame) -> Result<u64, String> {
    let word = |at: usize| Some(u64::from_le_bytes(frame.data.get(at..at + 8)?.try_into().ok()?));
    let (Some(number), Some(sum)) = (word(0), word(8)) else { return Err(format!("no number: {frame:?}")) };
    if frame.data.len() != PREFIX + filling(number) || sum != checksum(&frame.data) || frame.binary.is_some() {
        return Err(format!("altered: {frame:?}"));
    }
    Ok(number)
}
