//! What hooks are asked, and what they answer.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

/// The hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// May this client's link come up?
    ServerAuthClient,
    /// May this client come in at all?
    WhitelistClients,
    /// May this new client get a certificate?
    AllowCertificateCreation,
    /// Where does this file go?
    TargetDirectory,
    /// With what name and password is the proxy spoken to?
    ProxyAuthorization,
    /// What is kept of this token?
    StoreToken,
    /// What token is this, that was kept?
    LoadToken,
}

impl Hook {
    /// The config key of its program, which is its name everywhere.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Hook::ServerAuthClient => "hook_server_auth_client",
            Hook::WhitelistClients => "hook_whitelist_clients",
            Hook::AllowCertificateCreation => "hook_allow_certificate_creation",
            Hook::TargetDirectory => "hook_target_directory",
            Hook::ProxyAuthorization => "hook_proxy_authorization",
            Hook::StoreToken => "hook_store_token",
            Hook::LoadToken => "hook_load_token",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

/// A client that wants to come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its name.
    pub name: String,
    /// Where it connects from.
    pub address: SocketAddr,
    /// Its certificate, its own, says its name. Else nothing but its word does: without TLS, with `ssl_allow_all`, and
    /// when it asks for its certificate.
    pub certificate: bool,
}

/// Whether somebody may do something. A closure may answer with a `bool` as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// He may.
    Allowed,
    /// He may not: a reason for the log, or nothing.
    Refused(String),
}

impl From<bool> for Verdict {
    fn from(allowed: bool) -> Self {
        if allowed { Verdict::Allowed } else { Verdict::Refused(String::new()) }
    }
}

/// Where a file goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    /// Where `file_recv_config` says.
    AsConfigured,
    /// Into this folder: one beneath that of `file_recv_config`, or, if the path is absolute, in its place.
    Named(PathBuf),
    /// Nowhere: why.
    Refused(String),
}

/// A name and a password, which must get into no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A token, which must get into no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(
    /// Its text.
    pub String,
);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Token").finish_non_exhaustive()
    }
}

/// What was kept of a token, which must get into no log either.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored(
    /// The text of its file.
    pub String,
);

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stored").finish_non_exhaustive()
    }
}

/// What a hook is asked, as a program gets it.
pub trait Question {
    /// The members of the JSON object, besides `hook` and `connector`.
    fn members(&self) -> Map<String, Value>;
}

/// What a hook answers, as a program says it.
pub trait Answer: Send + 'static {
    /// Yes, with this on standard output.
    ///
    /// # Errors
    /// What it should be.
    fn read(output: Vec<u8>) -> Result<Self, String>
    where
        Self: Sized;

    /// No, or the hook has failed.
    fn refused(why: String) -> Self;
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(members) = value { members } else { Map::new() }
}

impl Question for Client {
    fn members(&self) -> Map<String, Value> {
        object(json!({
            "client": self.name,
            "address": self.address.ip().to_string(),
            "port": self.address.port(),
            "certificate": self.certificate,
        }))
    }
}

/// The header of a message with a file.
impl Question for Map<String, Value> {
    fn members(&self) -> Map<String, Value> {
        object(json!({"header": self}))
    }
}

impl Question for Credentials {
    fn members(&self) -> Map<String, Value> {
        object(json!({"username": self.username, "password": self.password}))
    }
}

impl Question for Token {
    fn members(&self) -> Map<String, Value> {
        object(json!({"token": self.0}))
    }
}

impl Question for Stored {
    fn members(&self) -> Map<String, Value> {
        object(json!({"stored": self.0}))
    }
}

impl Answer for Verdict {
    fn read(_: Vec<u8>) -> Result<Self, String> {
        Ok(Verdict::Allowed)
    }

    fn refused(why: String) -> Self {
        Verdict::Refused(why)
    }
}

impl Answer for Folder {
    fn read(mut output: Vec<u8>) -> Result<Self, String> {
        if output.ends_with(b"\n") {
            output.pop();
        }
        if output.contains(&0) || output.contains(&b'\n') {
            return Err("one line with the path of a folder".to_owned());
        }
        let path = PathBuf::from(OsString::from_vec(output));
        Ok(if path.as_os_str().is_empty() { Folder::AsConfigured } else { Folder::Named(path) })
    }

    fn refused(why: String) -> Self {
        Folder::Refused(why)
    }
}

/// A proxy's name and password.
impl Answer for Result<Credentials, String> {
    fn read(output: Vec<u8>) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(&output).unwrap_or_default();
        let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        match (text("username"), text("password")) {
            (Some(username), Some(password)) => Ok(Ok(Credentials { username, password })),
            _ => Err(r#"{"username": TEXT, "password": TEXT}"#.to_owned()),
        }
    }

    fn refused(why: String) -> Self {
        Err(why)
    }
}

/// A token, or what is kept of it.
impl Answer for Result<String, String> {
    fn read(mut output: Vec<u8>) -> Result<Self, String> {
        if output.ends_with(b"\n") {
            output.pop();
        }
        String::from_utf8(output).map(Ok).map_err(|_| "text in UTF-8".to_owned())
    }

    fn refused(why: String) -> Self {
        Err(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_line_or_nothing() {
        assert_eq!(Folder::read(b"".to_vec()), Ok(Folder::AsConfigured));
        assert_eq!(Folder::read(b"\n".to_vec()), Ok(Folder::AsConfigured));
        assert_eq!(Folder::read(b"a b/c\n".to_vec()), Ok(Folder::Named("a b/c".into())));
        for bad in [&b"a\nb\n"[..], b"a\0b"] {
            assert!(Folder::read(bad.to_vec()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_program_is_told_who_the_client_is() {
        let client = Client { name: "c1".into(), address: ([10, 0, 0, 9], 4000).into(), certificate: true };
        let said = Value::Object(client.members()).to_string();
        assert_eq!(said, r#"{"client":"c1","address":"10.0.0.9","port":4000,"certificate":true}"#);
    }

    #[test]
    fn what_a_program_says_of_secrets_is_read_and_never_shown() {
        let said = |output: &str| Result::<Credentials, String>::read(output.as_bytes().to_vec());
        let read = said(r#"{"username": "joe", "password": "hush"}"#).unwrap().unwrap();
        assert_eq!((read.username.as_str(), read.password.as_str()), ("joe", "hush"));
        assert!(said("hush").is_err_and(|e| !e.contains("hush")));
        assert_eq!(Result::<String, String>::read(b"cipher\n".to_vec()), Ok(Ok("cipher".into())));
        assert!(Result::<String, String>::read(vec![0xff]).is_err());
        assert!(!format!("{:?} {:?}", Token("hush".into()), Stored("hush".into())).contains("hush"));
    }

    #[test]
    fn a_password_is_not_in_the_debug_text() {
        let secret = Credentials { username: "joe".into(), password: "hush".into() };
        assert!(!format!("{secret:?}").contains("hush"));
    }
}
