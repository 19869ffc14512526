//! The config file: a JSON object with the keys of [`keys::KEYS`].
//!
//! To add a key, add a row to the table in `keys.rs`. The field of [`Config`], the parser, the templates and the
//! documentation follow from it.

mod check;
pub mod error;
pub mod keys;
mod nearest;
pub mod owner;
mod path;
mod reader;
pub mod reference;
mod rules;
mod save;
mod setting;
mod setting_values;
mod template;
pub mod values;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

pub use error::{ConfigError, ConfigErrors, Notice, Problem, Warning};
pub use keys::Config;
pub use nearest::nearest;
pub use owner::{Owner, OwnerError, find_owner};
pub use save::save;
pub use template::Templates;
pub use values::{
    Address, Addresses, Coverage, Enrollment, FileRecv, IgnorePeerTraffic, LogLevel, MetricsListen, OnFull,
    PersistenceSync, Proxy, ProxyAuthorization, Rotate, VerifyPeer,
};

use crate::wire::names::{self, Role, SocketPaths};
use path::Environment;
use reader::{KeyProblem, Members, Reader};

/// A config that is right, and what is worth a word nevertheless.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The config.
    pub config: Config,
    /// In the order in which they were found; to be logged at start.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn load(path: &Path) -> Result<Loaded, ConfigErrors> {
        let bytes = fs::read(path).map_err(|error| ConfigErrors::one(path, Problem::Unreadable(error)))?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|error| ConfigErrors::one(path, Problem::NotUtf8 { valid_up_to: error.valid_up_to() }))?;
        Self::parse(text, path)
    }

    /// Checks `text`, which stands in the file at `path`; that file is only named, not read.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn parse(text: &str, path: &Path) -> Result<Loaded, ConfigErrors> {
        Self::parse_with(text, path, &|name| std::env::var(name).ok())
    }

    fn parse_with(text: &str, path: &Path, env: Environment) -> Result<Loaded, ConfigErrors> {
        let members = members(text).map_err(|problem| ConfigErrors::one(path, problem))?;
        let mut reader = Reader::new(members, env);
        let config = Config::build(&mut reader);
        check::check(&config, &mut reader);

        let warning = |(key, notice)| Warning { file: path.to_owned(), key, notice };
        let mut warnings: Vec<Warning> = reader.notices.into_iter().map(warning).collect();
        warnings.dedup();
        let errors = errors(reader.problems, path);
        if errors.is_empty() { Ok(Loaded { config, warnings }) } else { Err(ConfigErrors { errors, warnings }) }
    }

    /// What `print-config-templates` prints.
    #[must_use]
    pub fn templates() -> Templates {
        Templates::new()
    }

    /// Whether the file gives `key`, in its present or an old spelling, even if with the default as its value.
    #[must_use]
    pub fn is_given(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    /// Every key's value as the file gives it, or its default. Names and passwords for proxies are not among them.
    #[must_use]
    pub fn shown_values(&self) -> BTreeMap<&'static str, Value> {
        let value = |key: &keys::Key| self.given.get(key.name).cloned().unwrap_or_else(|| key.default_value());
        keys::KEYS.iter().map(|key| (key.name, value(key))).collect()
    }

    /// Has [`shown_values`](Self::shown_values) show some keys as another config gives them.
    pub(crate) fn show_as_in(&mut self, other: &Self, wanted: impl Fn(&str) -> bool) {
        self.given.retain(|key, _| !wanted(key));
        let wanted = other.given.iter().filter(|(key, _)| wanted(key));
        self.given.extend(wanted.map(|(key, value)| (*key, value.clone())));
    }

    /// Which end of a link this connector is.
    #[must_use]
    pub fn role(&self) -> Role {
        if self.is_server { Role::Server } else { Role::Client }
    }

    /// This connector's id: of a server the text of its address, of a client its name.
    #[must_use]
    pub fn id(&self) -> String {
        match self.role() {
            Role::Server => names::server_id(&self.server_sockaddr.first.host, self.server_sockaddr.first.port),
            Role::Client => self.client_name.clone().unwrap_or_default(),
        }
    }

    /// Whether clients are known by tokens. `use_token` alone does not say so: tokens are for links that only encrypt.
    #[must_use]
    pub fn uses_tokens(&self) -> bool {
        self.use_token && self.use_ssl && self.ssl_allow_all
    }

    /// This connector's sockets.
    #[must_use]
    pub fn socket_paths(&self) -> SocketPaths {
        SocketPaths::new(&self.connector_files_dirpath, self.role(), &self.id())
    }
}

impl Default for Config {
    /// Every key at its default: a server on 127.0.0.1.
    fn default() -> Self {
        Config::build(&mut Reader::new(Members(Vec::new()), &|name| std::env::var(name).ok()))
    }
}

fn members(text: &str) -> Result<Members, Problem> {
    let error = match serde_json::from_str(text) {
        Ok(members) => return Ok(members),
        Err(error) => error,
    };
    // Valid JSON that is no object: say that, rather than point at a character.
    if let Ok(found) = serde_json::from_str::<Value>(text) {
        return Err(Problem::NotAnObject { found: error::shown(&found) });
    }
    let what = error.to_string();
    let what = what.split(" at line ").next().unwrap_or(&what).to_owned();
    Err(Problem::Syntax { line: error.line(), column: error.column(), what })
}

/// One error each; a value that an old spelling gives to two keys is wrong only once.
fn errors(problems: Vec<KeyProblem>, path: &Path) -> Vec<ConfigError> {
    let mut lines: Vec<String> = Vec::new();
    let mut errors = Vec::new();
    for KeyProblem { key, found, expected } in problems {
        let error = ConfigError { file: path.to_owned(), problem: Problem::Key { key, found, expected } };
        let line = error.to_string();
        if !lines.contains(&line) {
            lines.push(line);
            errors.push(error);
        }
    }
    errors
}

#[cfg(test)]
mod tests;
