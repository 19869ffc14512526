//! What can be wrong with certificates on disk.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::folder::FOLDER;
use super::x509::date;
use crate::wire::names::NameError;

/// Why a certificate, a key or a folder of them cannot be used. Each prints as one line.
#[derive(Debug)]
pub enum Error {
    /// A file or folder that must be there is not.
    Missing {
        /// What it is for.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
    },
    /// The system refused something.
    Io {
        /// What was tried: a verb, as in "read".
        doing: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is larger than any certificate, key or list of them.
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The largest size that is read, in bytes.
        limit: u64,
    },
    /// A file has no PEM block of the kind that it must have, or a broken one.
    NotPem {
        /// The file.
        path: PathBuf,
        /// What it must hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// A PEM block holds no certificate.
    NotACertificate {
        /// The file.
        path: PathBuf,
        /// Where reading it failed.
        why: String,
    },
    /// A private key is of a kind that TLS cannot use here.
    UnusableKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A private key is not the one that a certificate was made for.
    KeyMismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A certificate is past its end. Times are Unix seconds.
    Expired {
        /// Its file.
        path: PathBuf,
        /// Its last second.
        not_after: i64,
        /// When it was looked at.
        now: i64,
    },
    /// A certificate's time has not come. Times are Unix seconds.
    NotYetValid {
        /// Its file.
        path: PathBuf,
        /// Its first second.
        not_before: i64,
        /// When it was looked at.
        now: i64,
    },
    /// Certificates are only created where there are none.
    NotEmpty {
        /// All folders that stand in the way.
        paths: Vec<PathBuf>,
    },
    /// A text cannot be a client's name.
    Name {
        /// The text.
        name: String,
        /// The rule that it breaks.
        source: NameError,
    },
    /// A client has a certificate already; it gets one only once.
    AlreadyIssued {
        /// The client.
        name: String,
        /// The certificate, or the list that names one.
        path: PathBuf,
    },
    /// What a client offers as its certificate cannot be accepted.
    Offer {
        /// The client.
        name: String,
        /// Why not.
        why: String,
    },
    /// A client has no certificate that could be deleted.
    NotIssued {
        /// The client.
        name: String,
        /// The list that does not name it.
        path: PathBuf,
    },
    /// The limit `max_certs` is reached.
    TooMany {
        /// The list of clients.
        path: PathBuf,
        /// The limit.
        max: usize,
    },
    /// `source_id_2_cert.json` is not what it must be.
    NamesFile {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        why: String,
    },
    /// A key or certificate could not be generated.
    Generate(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Missing { what, path } => {
                write!(f, "{} is missing: it should be {what}", path.display())?;
                let ours = path.components().any(|part| part.as_os_str() == FOLDER);
                if ours { write!(f, "; 'aioconnectorsctl create-certificates' makes such a folder") } else { Ok(()) }
            }
            Error::Io { doing, path, source } => write!(f, "cannot {doing} {}: {source}", path.display()),
            Error::TooLarge { path, limit } => {
                write!(f, "{} is larger than {limit} bytes, so it is not read", path.display())
            }
            Error::NotPem { path, expected, found } => {
                write!(f, "{} should hold {expected} in PEM, but {found}", path.display())
            }
            Error::NotACertificate { path, why } => write!(f, "{} holds no certificate: {why}", path.display()),
            Error::UnusableKey { path, why } => write!(f, "the key in {} cannot be used: {why}", path.display()),
            Error::KeyMismatch { certificate, key } => {
                write!(f, "{} is not the key of the certificate {}", key.display(), certificate.display())
            }
            Error::Expired { path, not_after, now } => {
                write!(f, "{} expired on {} (now: {})", path.display(), date(*not_after), date(*now))
            }
            Error::NotYetValid { path, not_before, now } => {
                write!(f, "{} is valid only from {} on (now: {})", path.display(), date(*not_before), date(*now))
            }
            Error::NotEmpty { paths } => {
                let list: Vec<_> = paths.iter().map(|p| p.display().to_string()).collect();
                write!(f, "nothing was created, because these should be empty first: {}", list.join(", "))
            }
            Error::Name { name, source } => write!(f, "{name:?} cannot have a certificate: {source}"),
            Error::AlreadyIssued { name, path } => {
                write!(
                    f,
                    "{name} has a certificate already, see {}; if it has lost it, 'aioconnectorsctl delete-certificate' frees the name",
                    path.display()
                )
            }
            Error::Offer { name, why } => write!(f, "the certificate that {name} offers is not accepted: {why}"),
            Error::NotIssued { name, path } => {
                write!(f, "{name} has no certificate that could be deleted: {} does not name it", path.display())
            }
            Error::TooMany { path, max } => {
                write!(f, "{} names {max} clients, which is the limit (max_certs)", path.display())
            }
            Error::NamesFile { path, why } => write!(f, "{} cannot be used: {why}", path.display()),
            Error::Generate(why) => write!(f, "cannot generate a certificate: {why}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            Error::Name { source, .. } => Some(source),
            _ => None,
        }
    }
}
