//! What can go wrong with a connector as a whole.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::ConfigErrors;
use crate::core::access::EntryError;
use crate::hooks::{Hook, ProgramError};
use crate::logger::LogError;
use crate::net::listener::ListenError;
use crate::net::route::ProxyError;
use crate::net::security::SecurityError;
use crate::store::StoreError;
use crate::tokens::TokenError;

/// Why a connector cannot run.
#[derive(Debug)]
pub enum StartError {
    /// A folder cannot be made.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A socket cannot be listened on.
    Listen(ListenError),
    /// Certificates or TLS are not as they must be.
    Security(SecurityError),
    /// TLS to the proxy cannot be set up.
    Proxy(ProxyError),
    /// The queues on disk cannot be used.
    Spool(StoreError),
    /// A server's tokens cannot be read.
    Tokens(TokenError),
    /// The program that is to answer a hook cannot.
    Hook {
        /// The hook, whose config key names the program.
        hook: Hook,
        /// Why not.
        error: ProgramError,
    },
    /// A list of clients has an entry that is none.
    List {
        /// The config key.
        key: &'static str,
        /// What is wrong.
        error: EntryError,
    },
    /// The log cannot be written.
    Log(LogError),
    /// The system refuses what the loop needs.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Folder { path, error } => {
                write!(f, "connector_files_dirpath: cannot make the folder {}: {error}", path.display())
            }
            StartError::Listen(e) => e.fmt(f),
            StartError::Security(e) => e.fmt(f),
            StartError::Proxy(e) => e.fmt(f),
            StartError::Spool(e) => write!(f, "queues on disk: {e}"),
            StartError::Tokens(e) => write!(f, "tokens: {e}"),
            StartError::Hook { hook, error } => write!(f, "{hook}: {error}"),
            StartError::List { key, error } => write!(f, "{key}: {error}"),
            StartError::Log(e) => e.fmt(f),
            StartError::System(e) => write!(f, "the system refuses what the loop needs: {e}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<ListenError> for StartError {
    fn from(e: ListenError) -> Self {
        StartError::Listen(e)
    }
}

impl From<SecurityError> for StartError {
    fn from(e: SecurityError) -> Self {
        StartError::Security(e)
    }
}

impl From<io::Error> for StartError {
    fn from(e: io::Error) -> Self {
        StartError::System(e)
    }
}

/// Why a running connector does not do what it was asked for.
#[derive(Debug)]
pub enum ControlError {
    /// It does not run any more. Its result says why.
    Ended,
    /// It does not serve after so long.
    TimedOut(Duration),
    /// It is stopping.
    Stopping,
    /// It was asked by a hook of its own, for which it waits.
    FromHook,
    /// The config file is not as it must be.
    Config(ConfigErrors),
    /// Certificates are not as they must be.
    Security(SecurityError),
    /// The program of a hook is not as it must be.
    Hook {
        /// The hook.
        hook: Hook,
        /// Why not.
        error: ProgramError,
    },
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ControlError::Ended => write!(f, "the connector does not run any more"),
            ControlError::TimedOut(after) => write!(f, "the connector does not serve after {} s", after.as_secs_f32()),
            ControlError::Stopping => write!(f, "the connector is stopping"),
            ControlError::FromHook => write!(f, "a hook may not wait for the connector, which waits for it"),
            ControlError::Config(errors) => errors.fmt(f),
            ControlError::Security(error) => error.fmt(f),
            ControlError::Hook { hook, error } => write!(f, "{hook}: {error}"),
        }
    }
}

impl std::error::Error for ControlError {}
