//! Certificates: the folder that connectors share with their Python relatives, and who may talk to whom.
//!
//! Trust is by pinning: a peer is accepted when the certificate that it shows is, byte for byte, one that lies in the
//! folder. Names in certificates, chains and host names play no part in it, except that a server with `server_ca` also
//! accepts what its CA has signed and its list names.
//!
//! - [`x509`]: the facts of one certificate, version 1 or 3.
//! - [`folder`]: where everything lies, and `create`.
//! - [`registry`]: the server's view: whose certificate is this, and issue one for a new client.
//! - [`client`]: the client's view: which certificate to show, which server to accept.
//! - [`authority`]: a CA for clients, if the server has one.
//! - [`pair`]: a certificate with its key, read from files and checked; [`watched`]: one whose files may change.

pub mod authority;
pub mod client;
pub mod ending;
pub mod error;
pub(crate) mod files;
pub mod folder;
mod issue;
mod links;
pub(crate) mod mint;
mod name_hash;
mod names;
mod next;
mod offer;
pub mod pair;
pub mod registry;
mod renew;
mod replace;
mod revoke;
#[cfg(test)]
pub(crate) mod testing;
pub mod watched;
pub mod x509;

pub use authority::Issuing;
pub use client::ClientFolder;
pub use ending::{Ending, ending};
pub use error::Error;
pub use folder::{Created, Layout, create};
pub use pair::Pair;
pub use registry::{Identity, Issued, Registry, SharedRegistry, Stranger, Why};
pub use replace::{replace_server, revert_server};
pub use watched::WatchedPair;
pub use x509::Certificate;
