//! The types of config values that the standard library has no type for.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use log::LevelFilter;

/// A host and a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// An IP address, a host name or, on a server, the name of a network interface.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Where programs connect that read the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsListen {
    /// At a Unix socket.
    Unix(PathBuf),
    /// At a loopback address.
    Tcp(SocketAddr),
}

/// The addresses of a server: one, or, on a client, several, the preferred one first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The first, which names the server: in ids, and so in sockets' and files' names.
    pub first: Address,
    /// Those that a client tries when there is no link by the ones before.
    pub others: Vec<Address>,
}

impl Addresses {
    /// Most addresses of a server.
    pub const MAX: usize = 16;

    /// All, the preferred one first.
    pub fn iter(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl From<Address> for Addresses {
    fn from(first: Address) -> Self {
        Self { first, others: Vec::new() }
    }
}

/// Which message types something applies to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Coverage {
    /// No type.
    #[default]
    None,
    /// Every type.
    All,
    /// These types.
    Types(Vec<String>),
}

impl Coverage {
    /// Whether it applies to messages of `message_type`.
    #[must_use]
    pub fn covers(&self, message_type: &str) -> bool {
        match self {
            Coverage::None => false,
            Coverage::All => true,
            Coverage::Types(types) => types.iter().any(|t| t == message_type),
        }
    }
}

/// The size at which a log file is rotated when the config says `true`: 64 MiB, as in the Python package.
pub const ROTATE_DEFAULT_BYTES: u64 = 1 << 26;

/// When the log file is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotate {
    /// Never.
    Off,
    /// Before it would grow over so many bytes.
    Bytes(u64),
}

impl Default for Rotate {
    fn default() -> Self {
        Rotate::Bytes(ROTATE_DEFAULT_BYTES)
    }
}

/// How important a log line must be to be written. Names as in Python; Rust's are understood too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// `TRACE`, which Python does not have.
    Trace,
    /// `DEBUG`.
    Debug,
    /// `INFO`.
    #[default]
    Info,
    /// `WARNING`, `WARN`.
    Warning,
    /// `ERROR`.
    Error,
    /// `CRITICAL`, `FATAL`, `OFF`: above every line that there is.
    Critical,
}

impl LogLevel {
    /// Every level by its name, and the other names that are understood.
    const NAMES: [(&'static str, LogLevel); 9] = [
        ("TRACE", LogLevel::Trace),
        ("DEBUG", LogLevel::Debug),
        ("INFO", LogLevel::Info),
        ("WARNING", LogLevel::Warning),
        ("ERROR", LogLevel::Error),
        ("CRITICAL", LogLevel::Critical),
        ("WARN", LogLevel::Warning),
        ("FATAL", LogLevel::Critical),
        ("OFF", LogLevel::Critical),
    ];

    /// What to tell somebody who gave another name.
    pub const EXPECTED: &'static str = r#""DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL" or "TRACE""#;
}

/// A text is the name of no log level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLogLevel(
    /// The text.
    pub String,
);

impl fmt::Display for UnknownLogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "found log level {:?}, expected {}", self.0, LogLevel::EXPECTED)
    }
}

impl std::error::Error for UnknownLogLevel {}

impl FromStr for LogLevel {
    type Err = UnknownLogLevel;

    /// In upper or lower case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        named.map(|(_, level)| *level).ok_or_else(|| UnknownLogLevel(text.to_owned()))
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::NAMES.iter().find(|(_, level)| level == self);
        f.write_str(named.map_or("INFO", |(name, _)| name))
    }
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Trace => LevelFilter::Trace,
            LogLevel::Debug => LevelFilter::Debug,
            LogLevel::Info => LevelFilter::Info,
            LogLevel::Warning => LevelFilter::Warn,
            LogLevel::Error => LevelFilter::Error,
            LogLevel::Critical => LevelFilter::Off,
        }
    }
}

impl From<LevelFilter> for LogLevel {
    fn from(filter: LevelFilter) -> Self {
        match filter {
            LevelFilter::Trace => LogLevel::Trace,
            LevelFilter::Debug => LogLevel::Debug,
            LevelFilter::Info => LogLevel::Info,
            LevelFilter::Warn => LogLevel::Warning,
            LevelFilter::Error => LogLevel::Error,
            LevelFilter::Off => LogLevel::Critical,
        }
    }
}

/// Where received files of one destination type go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRecv {
    /// A folder, in which `{message_type}`, `{source_id}` and other header keys in braces are still to be filled in.
    pub target_directory: String,
    /// `USER:GROUP` that the file is given to.
    pub owner: Option<String>,
    /// Whether a file that exists is replaced.
    pub override_existing: bool,
}

/// The HTTP proxy that a client goes through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// Whether it is used at all.
    pub enabled: bool,
    /// Where it listens; none only if it is not used.
    pub address: Option<Address>,
    /// What it wants to know of us.
    pub authorization: Option<ProxyAuthorization>,
    /// Whether the proxy itself is spoken to over TLS.
    pub ssl_server: bool,
    /// The CA certificates that its certificate is verified with then; without it those that the system trusts.
    pub cafile: Option<PathBuf>,
}

/// Basic authorization at a proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyAuthorization {
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for ProxyAuthorization {
    /// Without the password, as this may get into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyAuthorization").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Whether the certificate of the peer is verified when tokens are used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum VerifyPeer {
    /// It is not.
    No,
    /// It must be one that is pinned.
    #[default]
    Yes,
    /// It must be signed by a CA in this file.
    CaFile(PathBuf),
}

/// Who gets a certificate, or a token, as a new client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enrollment {
    /// Everybody.
    #[default]
    Open,
    /// Who shows a token for enrolment.
    Token,
}

/// Whose messages are dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IgnorePeerTraffic {
    /// Nobody's.
    #[default]
    No,
    /// Everybody's.
    All,
    /// Those of the peers with these ids.
    Peers(Vec<String>),
}

/// When a durable queue is written through to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PersistenceSync {
    /// `os`: whenever the operating system does. Survives the death of the process.
    #[default]
    Os,
    /// `interval:MS`: at least so often.
    Interval(Duration),
    /// `always`: before a message counts as stored. Survives the loss of power.
    Always,
}

/// What happens to a message that finds its queue full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// The app that sends it has to wait.
    Block,
    /// It is refused.
    Reject,
    /// The oldest message in the queue gives way.
    DropOldest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_levels_have_the_names_of_python_and_of_rust() {
        for (text, level, name) in [
            ("DEBUG", LogLevel::Debug, "DEBUG"),
            ("warn", LogLevel::Warning, "WARNING"),
            ("Warning", LogLevel::Warning, "WARNING"),
            ("off", LogLevel::Critical, "CRITICAL"),
            ("trace", LogLevel::Trace, "TRACE"),
        ] {
            assert_eq!(text.parse(), Ok(level));
            assert_eq!(level.to_string(), name);
            assert_eq!(LogLevel::from(LevelFilter::from(level)), level);
        }
        let error = "verbose".parse::<LogLevel>().unwrap_err().to_string();
        assert!(error.contains("\"verbose\"") && error.contains("\"WARNING\""), "{error}");
    }

    #[test]
    fn coverage_covers_what_it_lists() {
        let some = Coverage::Types(vec!["a".to_owned()]);
        assert!(some.covers("a") && !some.covers("b"));
        assert!(Coverage::All.covers("b") && !Coverage::None.covers("a"));
    }

    #[test]
    fn a_password_is_not_in_the_debug_text() {
        let secret = ProxyAuthorization { username: "joe".to_owned(), password: "hush".to_owned() };
        assert!(!format!("{secret:?}").contains("hush"));
    }
}
