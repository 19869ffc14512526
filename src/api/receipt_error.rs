//! What can be wrong with what a connector says of receipts.

use std::fmt;

use crate::wire::control::ControlError;
use crate::wire::receipts::Level;

/// What a connector should not have said of receipts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiptError {
    /// The frame is none of those that tell of receipts, or does not say what it must.
    NotUnderstood(ControlError),
    /// There is one welcome, and it comes first.
    OutOfTurn,
    /// The session's welcome does not say where the session stands.
    NoCount,
    /// The level is not the one of this connection.
    Level {
        /// The one that was expected, or the highest.
        expected: Level,
        /// The one that came.
        found: Level,
    },
    /// A message's number that cannot be.
    Number {
        /// The number that came.
        found: u64,
        /// The lowest that can be.
        least: u64,
        /// The highest that can be.
        most: u64,
    },
    /// So many messages were refused that it cannot be right.
    TooManyRefused(usize),
}

impl fmt::Display for ReceiptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReceiptError::NotUnderstood(e) => e.fmt(f),
            ReceiptError::OutOfTurn => f.write_str("one _welcome is expected, before all else"),
            ReceiptError::NoCount => f.write_str("a _welcome of a session must have the key \"count\""),
            ReceiptError::Level { expected, found } => {
                write!(f, "receipts at level {expected} are expected, these are at level {found}")
            }
            ReceiptError::Number { found, least, most } => {
                write!(f, "it tells of message {found}, one of {least} to {most} was expected")
            }
            ReceiptError::TooManyRefused(count) => {
                write!(f, "{count} refusals came, more than there can be")
            }
        }
    }
}

impl std::error::Error for ReceiptError {}
