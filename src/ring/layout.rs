//! How a record lies in memory.
//!
//! ```text
//! u32 length of the frame | u32 zero | u64 sequence number | frame | padding to a multiple of 8
//! ```
//! All integers are little endian. A record is never split: where the rest of the memory is too short for the next
//! one, a length of [`WRAP`] says that it lies at the beginning.

/// Bytes before the frame.
pub const RECORD_HEADER: usize = 16;

/// Records begin at multiples of it.
pub const ALIGNMENT: usize = 8;

/// In place of a length: the next record is at offset 0.
pub const WRAP: u32 = u32::MAX;

/// Bytes that a record with a frame of `length` bytes takes.
#[must_use]
pub const fn record_size(length: usize) -> usize {
    RECORD_HEADER + length.next_multiple_of(ALIGNMENT)
}

/// The length that stands at `at`, or `None` where the records go on at the beginning.
#[must_use]
pub fn length_at(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at + 4)?;
    match u32::from_le_bytes([four[0], four[1], four[2], four[3]]) {
        WRAP => None,
        length => Some(length as usize),
    }
}

/// Writes a record of these parts at `at`, where there must be room for it.
pub fn write_record(bytes: &mut [u8], at: usize, sequence: u64, length: usize, parts: &[&[u8]]) {
    let record = &mut bytes[at..at + RECORD_HEADER + length];
    record[..4].copy_from_slice(&(length as u32).to_le_bytes());
    record[4..8].copy_from_slice(&[0; 4]);
    record[8..16].copy_from_slice(&sequence.to_le_bytes());
    let mut to = RECORD_HEADER;
    for part in parts {
        record[to..to + part.len()].copy_from_slice(part);
        to += part.len();
    }
}

/// Writes the mark that the next record is at the beginning, if there is room for a mark.
pub fn write_wrap(bytes: &mut [u8], at: usize) {
    if let Some(four) = bytes.get_mut(at..at + 4) {
        four.copy_from_slice(&WRAP.to_le_bytes());
    }
}
