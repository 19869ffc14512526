//! The first pages of a ring's file, pure over bytes: what the ring is, and where it stands.
//!
//! ```text
//! file:  page | page | data, as long as the capacity
//! page:  8 bytes "aioring\n" | u32 format version | u32 CRC-32C | u64 generation | u64 epoch | u64 capacity
//!        | u64 first | u64 end | u64 wrapped | u64 records | u64 used | u64 next number | u64 released to | u64 moved at
//!        | u32 length of the identity | identity, JSON | zeros
//! ```
//! All integers are little endian. The CRC is over the page up to the end of the identity, without the CRC itself.
//! Pages are written in turn, the older one each time; the generation says which is the newer. All that changes lies in
//! the first 512 bytes, which disks write as one.

use serde_json::{Value, json};

use super::memory::Checkpoint;

/// Bytes of a header page.
pub const PAGE: usize = 4096;

/// Where the data begins in a file.
pub const DATA_AT: usize = 2 * PAGE;

/// The version of this format, and of the records'.
pub const FORMAT: u32 = 1;

/// The longest identity, bytes of JSON.
pub const IDENTITY_MAX: usize = PAGE - IDENTITY_AT;

const MAGIC: [u8; 8] = *b"aioring\n";
const CRC_AT: usize = 12;
const NUMBERS_AT: usize = 16;
const NUMBERS: usize = 11;
const LENGTH_AT: usize = NUMBERS_AT + NUMBERS * 8;
const IDENTITY_AT: usize = LENGTH_AT + 4;

/// Which way a ring's messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Towards a peer.
    Outbox,
    /// Towards an app.
    Inbox,
    /// Towards all who subscribed.
    Topic,
}

/// Whose messages a ring holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Which way they go.
    pub kind: Kind,
    /// The connector's own name.
    pub connector: String,
    /// The peer; empty for an inbox and a topic.
    pub peer: String,
    /// Their type.
    pub message_type: String,
}

impl Identity {
    fn to_json(&self) -> String {
        let kind = match self.kind {
            Kind::Outbox => "outbox",
            Kind::Inbox => "inbox",
            Kind::Topic => "topic",
        };
        json!({"kind": kind, "connector": self.connector, "peer": self.peer, "type": self.message_type}).to_string()
    }

    fn from_json(text: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(text).ok()?;
        let text = |key: &str| Some(value.get(key)?.as_str()?.to_owned());
        let kind = match text("kind")?.as_str() {
            "outbox" => Kind::Outbox,
            "inbox" => Kind::Inbox,
            "topic" => Kind::Topic,
            _ => return None,
        };
        Some(Self { kind, connector: text("connector")?, peer: text("peer")?, message_type: text("type")? })
    }
}

/// What a page says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Greater in the newer page.
    pub generation: u64,
    /// Drawn at random when the ring was made: numbers of another epoch mean nothing.
    pub epoch: u64,
    /// Bytes of the data area.
    pub capacity: u64,
    /// Where the ring stands.
    pub checkpoint: Checkpoint,
    /// Whose ring it is.
    pub identity: Identity,
}

/// Why a page says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPage {
    /// All of it is zero: it was not written yet.
    Zero,
    /// It is no page of a ring, or damaged, or cut.
    Damaged,
    /// It is of another version of the format.
    OtherFormat(u32),
}

impl Header {
    /// The whole page; `None` if the identity is too long for it ([`IDENTITY_MAX`]).
    #[must_use]
    pub fn to_page(&self) -> Option<Vec<u8>> {
        let identity = self.identity.to_json();
        if identity.len() > IDENTITY_MAX {
            return None;
        }
        let mut page = vec![0; PAGE];
        page[..8].copy_from_slice(&MAGIC);
        page[8..CRC_AT].copy_from_slice(&FORMAT.to_le_bytes());
        page[LENGTH_AT..IDENTITY_AT].copy_from_slice(&(identity.len() as u32).to_le_bytes());
        page[IDENTITY_AT..IDENTITY_AT + identity.len()].copy_from_slice(identity.as_bytes());
        update(&mut page, self.generation, self.epoch, self.capacity, &self.checkpoint);
        Some(page)
    }

    /// Reads a page.
    ///
    /// # Errors
    /// It says nothing.
    pub fn read(page: &[u8]) -> Result<Self, BadPage> {
        if page.iter().all(|b| *b == 0) {
            return Err(BadPage::Zero);
        }
        if page.len() < PAGE || page[..8] != MAGIC {
            return Err(BadPage::Damaged);
        }
        match u32_at(page, 8) {
            FORMAT => {}
            other => return Err(BadPage::OtherFormat(other)),
        }
        let length = u32_at(page, LENGTH_AT) as usize;
        if length > IDENTITY_MAX || crc(page, length) != u32_at(page, CRC_AT) {
            return Err(BadPage::Damaged);
        }
        let identity = Identity::from_json(&page[IDENTITY_AT..IDENTITY_AT + length]).ok_or(BadPage::Damaged)?;
        let [generation, epoch, capacity, first, end, wrapped, records, used, next_sequence, released_to, moved_at] =
            std::array::from_fn(|i| u64_at(page, NUMBERS_AT + 8 * i));
        let wrapped = wrapped != 0;
        let checkpoint = Checkpoint { first, end, wrapped, records, used, next_sequence, released_to, moved_at };
        let header = Self { generation, epoch, capacity, checkpoint, identity };
        if header.is_possible() { Ok(header) } else { Err(BadPage::Damaged) }
    }

    /// Whether a ring can stand so.
    fn is_possible(&self) -> bool {
        let c = &self.checkpoint;
        let offsets = [c.first, c.end, c.moved_at.saturating_sub(1)];
        self.capacity <= isize::MAX as u64
            && offsets.iter().all(|at| at % 8 == 0 && *at <= self.capacity)
            && c.used <= self.capacity
            && c.used / 16 >= c.records
            && (c.wrapped || c.first <= c.end)
            && (!c.wrapped || c.end <= c.first)
            && c.released_to <= c.next_sequence
    }
}

/// Writes into a page what changes, and the CRC. The identity is there already, from [`Header::to_page`].
///
/// # Panics
/// When the page is shorter than [`PAGE`].
pub fn update(page: &mut [u8], generation: u64, epoch: u64, capacity: u64, checkpoint: &Checkpoint) {
    let c = checkpoint;
    let numbers: [u64; NUMBERS] = [
        generation,
        epoch,
        capacity,
        c.first,
        c.end,
        u64::from(c.wrapped),
        c.records,
        c.used,
        c.next_sequence,
        c.released_to,
        c.moved_at,
    ];
    for (to, number) in page[NUMBERS_AT..LENGTH_AT].chunks_exact_mut(8).zip(numbers) {
        to.copy_from_slice(&number.to_le_bytes());
    }
    let length = (u32_at(page, LENGTH_AT) as usize).min(IDENTITY_MAX);
    let crc = crc(page, length);
    page[CRC_AT..NUMBERS_AT].copy_from_slice(&crc.to_le_bytes());
}

fn crc(page: &[u8], identity: usize) -> u32 {
    let first = crc32c::crc32c(&page[..CRC_AT]);
    crc32c::crc32c_append(first, &page[NUMBERS_AT..IDENTITY_AT + identity])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |n, b| n << 8 | u32::from(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let checkpoint = Checkpoint {
            first: 64,
            end: 8,
            wrapped: true,
            records: 2,
            used: 80,
            next_sequence: 9,
            released_to: 7,
            moved_at: 1,
        };
        let identity = Identity {
            kind: Kind::Outbox,
            connector: "client".to_owned(),
            peer: "server".to_owned(),
            message_type: "type \"1\"".to_owned(),
        };
        Header { generation: 3, epoch: u64::MAX, capacity: 4096, checkpoint, identity }
    }

    #[test]
    fn a_page_comes_back_as_it_was_written() {
        let page = header().to_page().unwrap();
        assert_eq!(page.len(), PAGE);
        assert_eq!(Header::read(&page), Ok(header()));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let page = header().to_page().unwrap();
        let length = IDENTITY_AT + header().identity.to_json().len();
        for bit in 0..length * 8 {
            let mut flipped = page.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::read(&flipped).is_err(), "bit {bit}");
        }
        for cut in 0..PAGE {
            assert!(Header::read(&page[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_though_its_checksum_is_right() {
        for change in [
            |h: &mut Header| h.checkpoint.first = 4104,
            |h: &mut Header| h.checkpoint.first = 65,
            |h: &mut Header| h.checkpoint.end = 72,
            |h: &mut Header| h.checkpoint.records = 6,
            |h: &mut Header| h.checkpoint.used = 5000,
            |h: &mut Header| h.checkpoint.moved_at = 8000,
            |h: &mut Header| h.checkpoint.released_to = 10,
            |h: &mut Header| h.capacity = u64::MAX,
        ] {
            let mut bad = header();
            change(&mut bad);
            assert_eq!(Header::read(&bad.to_page().unwrap()), Err(BadPage::Damaged), "{bad:?}");
        }
    }

    #[test]
    fn an_identity_that_is_too_long_has_no_page() {
        let mut long = header();
        long.identity.message_type = "x".repeat(IDENTITY_MAX);
        assert_eq!(long.to_page(), None);
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let mut page = header().to_page().unwrap();
        page[8] = 2;
        assert_eq!(Header::read(&page), Err(BadPage::OtherFormat(2)));
        assert_eq!(Header::read(&[0; PAGE]), Err(BadPage::Zero));
    }
}
