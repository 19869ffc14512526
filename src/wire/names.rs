//! Identities, and the socket names that follow from them.

use std::fmt;
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};

/// A client's name has at most so many characters.
pub const CLIENT_NAME_MAX: usize = 128;

/// A Unix socket's path has at most so many bytes (`sun_path` of the BSDs; Linux would take three more).
pub const SOCKET_PATH_MAX: usize = 104;

/// A [`uid`] that is longer gives way to its MD5 in socket names.
const UID_IN_SOCKET_NAME_MAX: usize = 32;

/// Which end of a link a connector is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Listens, and has many peers.
    Server,
    /// Connects, and has one peer.
    Client,
}

impl Role {
    /// The word for this role in socket names.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Role::Server => "server",
            Role::Client => "client",
        }
    }
}

/// Why a text cannot be a client's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameError {
    /// It has no characters.
    Empty,
    /// It has more than [`CLIENT_NAME_MAX`] characters: how many.
    TooLong(usize),
    /// It has a character other than letters, digits, `-`, `_` and `:`.
    Character(char),
    /// `default` and `default<digits>` are names of shared certificates.
    Reserved,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => write!(f, "a client's name cannot be empty"),
            NameError::TooLong(n) => {
                write!(f, "a client's name has at most {CLIENT_NAME_MAX} characters, this has {n}")
            }
            NameError::Character(c) => {
                write!(f, "a client's name has letters, digits, '-', '_' and ':' only, this has {c:?}")
            }
            NameError::Reserved => write!(f, "'default' and 'default<digits>' are reserved for shared certificates"),
        }
    }
}

impl std::error::Error for NameError {}

/// Checks that `name` can be a client's id.
///
/// # Errors
/// The first rule that it breaks.
pub fn validate_client_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if let Some(c) = name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':'))) {
        return Err(NameError::Character(c));
    }
    if name.len() > CLIENT_NAME_MAX {
        return Err(NameError::TooLong(name.len()));
    }
    if is_default_certificate(name) {
        return Err(NameError::Reserved);
    }
    Ok(())
}

/// Whether `name` is `default` or `default<digits>`: a certificate that new clients share.
#[must_use]
pub fn is_default_certificate(name: &str) -> bool {
    name.strip_prefix("default").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
}

/// A server's id: the text of the Python tuple of its address, as in `('127.0.0.1', 10673)`.
#[must_use]
pub fn server_id(host: &str, port: u16) -> String {
    format!("('{host}', {port})")
}

/// An id as it stands in file names: only its alphanumeric characters, words joined by `_`.
#[must_use]
pub fn uid(id: &str) -> String {
    let words: Vec<String> =
        id.split_whitespace().map(|w| w.chars().filter(|c| c.is_alphanumeric()).collect()).collect();
    words.join("_")
}

fn uid_in_socket_name(id: &str) -> String {
    let uid = uid(id);
    if uid.chars().count() <= UID_IN_SOCKET_NAME_MAX {
        return uid;
    }
    Md5::digest(uid.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

/// The sockets of one connector, and the folder of its queues.
#[derive(Clone, Debug)]
pub struct SocketPaths {
    dir: PathBuf,
    role: Role,
    uid: String,
}

impl SocketPaths {
    /// The sockets of the connector `id` in `connector_files_dirpath`.
    #[must_use]
    pub fn new(dir: &Path, role: Role, id: &str) -> Self {
        Self { dir: dir.to_owned(), role, uid: uid_in_socket_name(id) }
    }

    /// Where the connector listens for apps that send.
    #[must_use]
    pub fn send(&self) -> PathBuf {
        self.dir.join(format!("uds_path_send_to_connector_{}_{}", self.role.word(), self.uid))
    }

    /// Where an app listens for messages of `message_type`.
    #[must_use]
    pub fn receive(&self, message_type: &str) -> PathBuf {
        self.dir.join(format!("uds_path_receive_from_connector_{}_{message_type}_{}", self.role.word(), self.uid))
    }

    /// Where the connector listens for admin commands.
    #[must_use]
    pub fn commander(&self) -> PathBuf {
        self.dir.join(format!("uds_path_commander_{}", self.uid))
    }

    /// The folder of the connector's queues on disk.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.dir.join(format!("spool_{}_{}", self.role.word(), self.uid))
    }

    /// The folder in which the connector notes what files it is receiving.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.dir.join(format!("files_{}_{}", self.role.word(), self.uid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_as_python_prints_its_address() {
        assert_eq!(server_id("127.0.0.1", 10673), "('127.0.0.1', 10673)");
        assert_eq!(uid("('127.0.0.1', 10673)"), "127001_10673");
    }

    #[test]
    fn a_long_uid_gives_way_to_its_md5_in_socket_names() {
        let paths = SocketPaths::new(Path::new("/d"), Role::Client, &"a".repeat(33));
        assert_eq!(paths.commander(), Path::new("/d/uds_path_commander_b4f13cb081e412f44e99742cb128a1a5"));
    }

    #[test]
    fn socket_names_have_role_type_and_uid() {
        let paths = SocketPaths::new(Path::new("/d"), Role::Server, "('127.0.0.1', 10673)");
        assert_eq!(paths.send(), Path::new("/d/uds_path_send_to_connector_server_127001_10673"));
        assert_eq!(paths.receive("any"), Path::new("/d/uds_path_receive_from_connector_server_any_127001_10673"));
        assert_eq!(paths.commander(), Path::new("/d/uds_path_commander_127001_10673"));
        assert_eq!(paths.spool(), Path::new("/d/spool_server_127001_10673"));
        assert_eq!(paths.files(), Path::new("/d/files_server_127001_10673"));
    }

    #[test]
    fn names_that_could_be_paths_or_shared_certificates_are_refused() {
        assert_eq!(validate_client_name("probe-7:a_B"), Ok(()));
        assert_eq!(validate_client_name("a/b"), Err(NameError::Character('/')));
        assert_eq!(validate_client_name("default12"), Err(NameError::Reserved));
        assert_eq!(validate_client_name(""), Err(NameError::Empty));
        assert_eq!(validate_client_name(&"x".repeat(129)), Err(NameError::TooLong(129)));
        assert_eq!(validate_client_name("defaults"), Ok(()));
    }
}
