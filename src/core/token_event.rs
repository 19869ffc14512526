//! What the operator is told of tokens.

use std::fmt;
use std::net::SocketAddr;

use super::event::printable;

/// What the operator is told of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenEvent {
    /// A client was given a token.
    Issued {
        /// Its name.
        client: String,
        /// Its address.
        remote: Option<SocketAddr>,
    },
    /// This client has got a token, and keeps it.
    Stored,
    /// An admin had a client's token deleted.
    Forgotten {
        /// The client's name.
        client: String,
        /// It had one.
        had: bool,
    },
    /// An admin had the tokens read again.
    Loaded {
        /// How many there are.
        count: usize,
    },
    /// An admin had a token made for the enrolment of a client.
    Invited {
        /// The client's name.
        client: String,
        /// When it expires: seconds since 1970.
        expires: u64,
    },
    /// An admin has withdrawn such a token.
    Withdrawn {
        /// The client's name.
        client: String,
    },
}

impl fmt::Display for TokenEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenEvent::Issued { client, remote } => {
                write!(f, "a token was issued for client {client}")?;
                remote.map_or(Ok(()), |remote| write!(f, ", at {remote}"))
            }
            TokenEvent::Stored => write!(f, "got a token of its own from the server"),
            TokenEvent::Forgotten { client, had: true } => write!(f, "the token of client {client} was deleted"),
            TokenEvent::Forgotten { client, had: false } => {
                write!(f, "a token of {:?} was to be deleted, which has none", printable(client))
            }
            TokenEvent::Loaded { count } => write!(f, "tokens were read again: there are {count}"),
            TokenEvent::Invited { client, expires } => {
                write!(f, "a token for the enrolment of client {client} was made, which expires at {expires} Unix time")
            }
            TokenEvent::Withdrawn { client } => {
                write!(f, "the token for the enrolment of client {client} was withdrawn")
            }
        }
    }
}
