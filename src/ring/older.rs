//! What a ring held when it was opened. All that is behind it was put there by this process: damage among the older
//! records must not take it along, however little they lead to it.

use super::ring::Ring;
use crate::wire::record::{RECORD_HEADER, write_skip, write_wrap};

/// The records that were there at the opening and are not given up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Older {
    pub records: usize,
    /// Their bytes.
    pub used: usize,
    /// Offset behind them: of the first record that came later, or of a mark that leads there.
    pub end: usize,
}

impl Older {
    /// One of them, of `size` bytes, is given up.
    pub fn drop_one(&mut self, size: usize) {
        self.records = self.records.saturating_sub(1);
        self.used = self.used.saturating_sub(size);
    }
}

impl Ring {
    /// Gives up the older records from index `index` on, which `offset` should lead to and does not, and has `offset`
    /// lead to the first record that came later; how many those were. `None` if none came later, or damage is among
    /// them. The first `index` records, of `used` bytes, stay.
    pub(super) fn leap_to_newer(&mut self, index: usize, offset: usize, used: usize) -> Option<usize> {
        let older = self.older;
        if older.records <= index || older.records >= self.records || offset + RECORD_HEADER > self.capacity() {
            return None;
        }
        let bytes = self.memory.bytes_mut();
        if older.end >= offset + RECORD_HEADER {
            write_skip(bytes, offset, older.end - offset);
        } else if self.wrapped && older.end <= self.first {
            write_wrap(bytes, offset);
            self.wrap_at = Some(offset);
            if older.end > 0 {
                write_skip(bytes, 0, older.end);
            }
        } else {
            return None;
        }
        let (gone, gone_used) = (older.records - index, older.used.saturating_sub(used));
        // Nothing is sent that was not seen to be sound.
        debug_assert!(self.records - self.unsent <= index, "what is given up was not sent");
        self.records -= gone;
        self.used = self.used.saturating_sub(gone_used);
        self.unsent = self.unsent.saturating_sub(gone);
        self.unsent_used = self.unsent_used.saturating_sub(gone_used);
        self.verified = self.verified.min(index);
        self.older = Older { records: index, used, end: older.end };
        Some(gone)
    }
}
