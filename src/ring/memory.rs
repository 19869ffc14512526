//! What a ring lies in: memory of the process, or something that outlasts it.

use std::fmt::Debug;
use std::ops::Range;

/// All that must be known of a ring besides its records, as it is kept with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Offset of the oldest record, or of a mark that leads to it.
    pub first: u64,
    /// Offset behind the newest record. Records that were put there later are found at the next open.
    pub end: u64,
    /// The newest record lies before the oldest.
    pub wrapped: bool,
    /// Records between `first` and `end`, and their bytes.
    pub records: u64,
    /// Bytes of all records.
    pub used: u64,
    /// All records behind `end` have this number or a greater one.
    pub next_sequence: u64,
    /// The highest number that was given up, and 1; all records have this number or a greater one.
    pub released_to: u64,
    /// 0, or 1 more than the offset that the beginning of the ring was moved to. The mark that stood there leads to
    /// offset 0, where the first 8 bytes of the record still are; if it stands there still, they replace it.
    pub moved_at: u64,
}

/// Memory that outlasts the process.
///
/// What was written is kept in the order of writing if the process dies. If the machine dies, what was written since
/// the last [`Durable::sync`] may be there or not, in any order.
pub trait Durable: Debug {
    /// The data area, as long as its capacity is now.
    fn bytes(&self) -> &[u8];

    /// The data area, to write.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// Grows in place to at least `capacity` bytes, a multiple of 8: contents stay at their offsets. The room is
    /// reserved, so that writing to it cannot fail.
    ///
    /// # Errors
    /// There is no room: why.
    fn grow(&mut self, capacity: usize) -> Result<(), String>;

    /// The ring is empty: gives room back. A checkpoint follows.
    fn shrink(&mut self);

    /// What was written so far, checkpoints included, is on the disk when this returns.
    ///
    /// # Errors
    /// The disk says why not.
    fn sync(&mut self) -> Result<(), String>;

    /// Whether the ring must survive the death of the machine, not only of the process: room that was given up is then
    /// written to only when a sync came after the checkpoint that says so.
    fn is_synced(&self) -> bool {
        false
    }

    /// Writes the checkpoint in place of the older of two, so that one is whole at any time.
    fn save(&mut self, checkpoint: &Checkpoint);

    /// These bytes will not be needed soon: they need not stay in memory.
    fn cool(&mut self, range: Range<usize>);

    /// The ring is damaged: keeps a copy of all of it as it is; where that is.
    ///
    /// # Errors
    /// There is no copy: why.
    fn quarantine(&mut self) -> Result<String, String>;

    /// The ring is not needed any more, and empty: removes it.
    fn discard(self: Box<Self>);
}

/// Contiguous bytes that a ring owns.
#[derive(Debug)]
pub enum Memory {
    /// Of the process.
    Heap(Vec<u8>),
    /// Of something that outlasts it.
    Durable(Box<dyn Durable>),
}

impl Memory {
    /// All of them.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Durable(durable) => durable.bytes(),
        }
    }

    /// All of them, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Durable(durable) => durable.bytes_mut(),
        }
    }

    /// Grows in place to at least `capacity` bytes.
    ///
    /// # Errors
    /// There is no room: why.
    pub fn grow(&mut self, capacity: usize) -> Result<(), String> {
        match self {
            Self::Heap(bytes) => {
                let more = capacity.saturating_sub(bytes.len());
                bytes.try_reserve_exact(more).map_err(|e| e.to_string())?;
                bytes.resize(bytes.len() + more, 0);
                Ok(())
            }
            Self::Durable(durable) => durable.grow(capacity),
        }
    }

    /// What outlasts the process, if this does.
    pub fn durable(&mut self) -> Option<&mut dyn Durable> {
        match self {
            Self::Heap(_) => None,
            Self::Durable(durable) => Some(&mut **durable),
        }
    }
}
