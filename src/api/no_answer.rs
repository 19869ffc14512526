//! Why a request has no answer, as connectors word it.

use std::fmt;

use crate::wire::control::{DISCONNECTED_DURING_WAIT, TIMEOUT};
use crate::wire::receipts::RefusedReason;

/// Why a request has no answer. See [`ApiError::no_answer`](super::ApiError::no_answer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The peer went away while its answer was awaited. It may have got the request.
    PeerGone,
    /// It did not come in time.
    TimedOut,
    /// The connector did not take the request.
    Refused(RefusedReason),
    /// The connection to the connector has ended: the peer was away and the connector is an older one or that of the
    /// Python package, or the connector has ended.
    ConnectionLost,
}

impl NoAnswer {
    /// What `word` stands for in the `error` of a frame that comes in place of an answer.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word {
            DISCONNECTED_DURING_WAIT => NoAnswer::PeerGone,
            TIMEOUT => NoAnswer::TimedOut,
            _ => NoAnswer::Refused(RefusedReason::from_word(word)),
        }
    }

    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            NoAnswer::PeerGone => DISCONNECTED_DURING_WAIT,
            NoAnswer::TimedOut => TIMEOUT,
            NoAnswer::Refused(reason) => reason.word(),
            NoAnswer::ConnectionLost => "connection_lost",
        }
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
