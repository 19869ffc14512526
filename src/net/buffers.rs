//! Memory that all connections share: what is read and written passes through it within one turn.

use super::session::KEPT_MAX;

/// Bytes that one call reads from a socket at the most, and that one connection may deliver before others have a turn.
pub const READ_SIZE: usize = 256 * 1024;

/// Bytes of plaintext that are sealed at a time.
pub const SEAL_SIZE: usize = 64 * 1024;

/// Room for what TLS adds: at most 5 + 8 + 16 + 1 bytes a record of 16 KiB, and a key update now and then.
pub const SEAL_OVERHEAD: usize = 4 * 1024;

/// Sealed pieces that are written at a time: each write may wake the peer. Twice as many brought no more.
const SEALED_PIECES: usize = 2;

/// The shared memory.
#[derive(Debug)]
pub struct Buffers {
    /// For what is read, behind what TLS could not use the time before.
    pub read: Vec<u8>,
    /// For what is sealed.
    pub sealed: Vec<u8>,
    /// Bytes in `sealed` that wait to be written with what comes next on the same connection, within a turn's writing.
    pub gathered: usize,
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            read: vec![0; KEPT_MAX + READ_SIZE],
            sealed: vec![0; SEALED_PIECES * (SEAL_SIZE + SEAL_OVERHEAD)],
            gathered: 0,
        }
    }
}
