//! Files of tokens, as the Python package has them in `tokens_directory_path`.
//!
//! - A server's `server_tokens.json`: `{NAME: SHA-256 of the token, in lower-case hexadecimal}`.
//! - A client's file has its [`uid`] for a name, and the token for its text, or what `hook_store_token` made of it.
//!
//! Files are written whole and for the owner only. One that others may read is closed to them when it is read.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value};

use crate::certs::{self, files};
use crate::core::TokenTable;
use crate::core::tokens::{TOKENS_MAX, TokenHash};
use crate::wire::names::uid;
use crate::wire::token::{TOKEN_CHARACTERS, Token};

/// The name of a server's file.
pub const SERVER_FILE: &str = "server_tokens.json";

/// Mode of the folder, if it has to be made.
const FOLDER_MODE: u32 = 0o700;

/// Why tokens cannot be read or written.
#[derive(Debug)]
pub enum TokenError {
    /// A file cannot be read or written.
    File(certs::Error),
    /// The folder cannot be made.
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A server's file is damaged, or a client's is no text.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; nothing that is in it.
        problem: String,
    },
    /// The system has no random bytes.
    Random,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenError::File(e) => e.fmt(f),
            TokenError::Folder { path, source } => {
                write!(f, "tokens_directory_path: cannot make the folder {}: {source}", path.display())
            }
            TokenError::Damaged { path, problem } => write!(f, "{} is damaged: {problem}", path.display()),
            TokenError::Random => write!(f, "the system has no random bytes"),
        }
    }
}

impl std::error::Error for TokenError {}

impl From<certs::Error> for TokenError {
    fn from(e: certs::Error) -> Self {
        TokenError::File(e)
    }
}

/// A token that nobody has: 64 hexadecimal digits.
///
/// # Errors
/// [`TokenError::Random`].
pub fn fresh() -> Result<Token, TokenError> {
    let mut bytes = [0; TOKEN_CHARACTERS / 2];
    rand::fill(&mut bytes).map_err(|_| TokenError::Random)?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Token::new(&text).ok_or(TokenError::Random)
}

/// A server's file.
#[derive(Clone, Debug)]
pub struct ServerFile {
    path: PathBuf,
}

impl ServerFile {
    /// That in the folder `dir`. Nothing is read yet.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { path: dir.join(SERVER_FILE) }
    }

    /// The tokens in the file; none if there is no file.
    ///
    /// # Errors
    /// It cannot be read, or is not as it must be: then it says less than it should of who may come in.
    pub fn load(&self) -> Result<TokenTable, TokenError> {
        let mut table = TokenTable::default();
        let Some(text) = read_secret(&self.path, "the file of tokens")? else { return Ok(table) };
        let damaged = |problem: String| TokenError::Damaged { path: self.path.clone(), problem };
        let read: Map<String, Value> = serde_json::from_slice(&text)
            .map_err(|e| damaged(format!("it is no JSON object, line {} column {}", e.line(), e.column())))?;
        if read.len() > TOKENS_MAX {
            return Err(damaged(format!("it has {} tokens, {TOKENS_MAX} is the most", read.len())));
        }
        for (client, hash) in read {
            let hash = hash.as_str().and_then(TokenHash::from_hex);
            let hash = hash.ok_or_else(|| damaged(format!("what it has for {client:?} is no SHA-256")))?;
            table.set(&client, hash);
        }
        Ok(table)
    }

    /// Writes these tokens, and no others.
    ///
    /// # Errors
    /// The system's.
    pub fn store(&self, table: &TokenTable) -> Result<(), TokenError> {
        let tokens: Map<String, Value> =
            table.iter().map(|(client, hash)| (client.to_owned(), hash.to_hex().into())).collect();
        let mut text = Vec::new();
        let written =
            tokens.serialize(&mut Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"    ")));
        debug_assert!(written.is_ok(), "texts go into memory: {written:?}");
        write_secret(&self.path, &text)
    }

    /// Makes a token for the client, and adds it to these in the file.
    ///
    /// # Errors
    /// The system's.
    pub fn issue(&self, table: &TokenTable, client: &str) -> Result<Token, TokenError> {
        let token = fresh()?;
        let mut table = table.clone();
        table.set(client, TokenHash::of(&token));
        self.store(&table)?;
        Ok(token)
    }

    /// Writes these tokens without that of the client.
    ///
    /// # Errors
    /// The system's.
    pub fn forget(&self, table: &TokenTable, client: &str) -> Result<(), TokenError> {
        let mut table = table.clone();
        if table.remove(client) { self.store(&table) } else { Ok(()) }
    }
}

/// A client's file.
#[derive(Clone, Debug)]
pub struct ClientFile {
    path: PathBuf,
}

impl ClientFile {
    /// That of the client `name` in the folder `dir`. Nothing is read yet.
    #[must_use]
    pub fn new(dir: &Path, name: &str) -> Self {
        Self { path: dir.join(uid(name)) }
    }

    /// What was kept; none if there is no file, or nothing in it.
    ///
    /// # Errors
    /// It cannot be read, or is no text.
    pub fn load(&self) -> Result<Option<String>, TokenError> {
        let Some(bytes) = read_secret(&self.path, "the token's file")? else { return Ok(None) };
        let text = String::from_utf8(bytes);
        let problem = "it is not UTF-8".to_owned();
        let text = text.map_err(|_| TokenError::Damaged { path: self.path.clone(), problem })?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// Keeps this.
    ///
    /// # Errors
    /// The system's.
    pub fn store(&self, text: &str) -> Result<(), TokenError> {
        write_secret(&self.path, text.as_bytes())
    }

    /// Keeps nothing.
    ///
    /// # Errors
    /// The system's.
    pub fn remove(&self) -> Result<(), TokenError> {
        Ok(files::remove_if_there(&self.path)?)
    }
}

/// Reads a file that is for its owner only; none if there is no such file.
pub(crate) fn read_secret(path: &Path, what: &'static str) -> Result<Option<Vec<u8>>, TokenError> {
    let bytes = match files::read(path, what) {
        Err(certs::Error::Missing { .. }) => return Ok(None),
        read => read?,
    };
    let mode = fs::metadata(path).map_or(files::SECRET, |meta| meta.permissions().mode() & 0o777);
    if mode & !files::SECRET != 0 {
        let closed = fs::set_permissions(path, Permissions::from_mode(files::SECRET));
        let after = closed.map_or_else(|e| format!("which cannot be changed: {e}"), |()| "now 600".to_owned());
        log::warn!("{} was open to others, with mode {mode:o}, {after}", path.display());
    }
    Ok(Some(bytes))
}

/// Writes a file for its owner only, whole, in a folder that is made if there is none.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), TokenError> {
    if let Some(folder) = path.parent() {
        let made = fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
        made.map_err(|source| TokenError::Folder { path: folder.to_owned(), source })?;
    }
    Ok(files::write_whole(path, bytes, files::SECRET)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_servers_file_is_as_python_writes_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = ServerFile::new(&dir.path().join("new/folder"));
        assert_eq!(file.load().unwrap(), TokenTable::default());
        let mut table = TokenTable::default();
        for client in ["c2", "c1"] {
            let token = file.issue(&table, client).unwrap();
            assert!(token.text().len() == 64 && token.text().bytes().all(|b| b.is_ascii_hexdigit()));
            table.set(client, TokenHash::of(&token));
        }
        assert_eq!(file.load().unwrap(), table);
        assert_eq!(mode(&file.path), 0o600);
        let hashes: Vec<String> = table.iter().map(|(_, hash)| hash.to_hex()).collect();
        let python = format!("{{\n    \"c1\": \"{}\",\n    \"c2\": \"{}\"\n}}", hashes[0], hashes[1]);
        assert_eq!(fs::read_to_string(&file.path).unwrap(), python);
        file.forget(&table, "c1").unwrap();
        assert_eq!(file.load().unwrap().iter().map(|(client, _)| client).collect::<Vec<_>>(), ["c2"]);
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_an_empty_table() {
        let dir = tempfile::tempdir().unwrap();
        let file = ServerFile::new(dir.path());
        let deep = "[".repeat(100_000);
        for text in ["", "{", "[]", r#"{"c1": 5}"#, r#"{"c1": "abc"}"#, &deep] {
            fs::write(&file.path, text).unwrap();
            let error = file.load().unwrap_err().to_string();
            assert!(error.contains(SERVER_FILE) && error.contains("damaged"), "{error}");
        }
        fs::remove_file(&file.path).unwrap();
        fs::create_dir(&file.path).unwrap();
        assert!(file.load().is_err());
    }

    #[test]
    fn a_clients_file_has_its_uid_for_a_name_and_is_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let file = ClientFile::new(dir.path(), "c-1_a:b");
        assert_eq!(file.path, dir.path().join("c1ab"));
        assert_eq!(file.load().unwrap(), None);
        file.store("hush").unwrap();
        assert_eq!((file.load().unwrap().as_deref(), mode(&file.path)), (Some("hush"), 0o600));
        fs::set_permissions(&file.path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(file.load().unwrap().as_deref(), Some("hush"));
        assert_eq!(mode(&file.path), 0o600);
        fs::write(&file.path, b"\xff").unwrap();
        assert!(file.load().unwrap_err().to_string().contains("UTF-8"));
        fs::write(&file.path, b"").unwrap();
        assert_eq!(file.load().unwrap(), None);
        file.remove().unwrap();
        file.remove().unwrap();
    }
}
