//! An api by hand, without a config file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ConnectorApi;
use super::error::ApiError;
use super::settings::Settings;
use crate::wire::names::{Role, server_id, validate_client_name};

/// Time for which a connector may take no byte of a message, unless the app says otherwise. A connector whose queue is
/// full reads no more until there is room.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The shortest that a socket knows; zero would be no limit at all.
pub(super) const WRITE_TIMEOUT_MIN: Duration = Duration::from_millis(1);

/// What an app knows of its connector; [`build`](Self::build) makes the api. See [`ConnectorApi::client`].
///
/// ```
/// use aioconnectors::api::ConnectorApi;
///
/// let api = ConnectorApi::client("client1").files_dir("/run/messages").recv_message_types(["any", "news"]).build()?;
/// assert_eq!(api.id(), "client1");
/// # Ok::<(), aioconnectors::api::ApiError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "build() makes the api"]
pub struct Builder {
    settings: Settings,
    write_timeout: Duration,
}

impl Builder {
    pub(super) fn client(name: &str) -> Self {
        Self { settings: Settings::client(name), write_timeout: WRITE_TIMEOUT }
    }

    pub(super) fn server(host: &str, port: u16) -> Self {
        Self { settings: Settings::server(host, port), write_timeout: WRITE_TIMEOUT }
    }

    /// What a config file says; see [`ConnectorApi::from_file`].
    ///
    /// # Errors
    /// [`ApiError::Config`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ApiError> {
        Ok(Self { settings: Settings::from_file(path.as_ref())?, write_timeout: WRITE_TIMEOUT })
    }

    /// The connector's `connector_files_dirpath`; by default [`FILES_DIR`](super::FILES_DIR).
    pub fn files_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.settings.files_dir = dir.into();
        self
    }

    /// The `server_sockaddr` of a client's config. What a client sends goes there anyway; it is only written in messages.
    pub fn server_address(mut self, host: &str, port: u16) -> Self {
        self.settings.server_id = server_id(host, port);
        if self.settings.role == Role::Server {
            self.settings.id.clone_from(&self.settings.server_id);
        }
        self
    }

    /// The types that may be sent: others are refused without asking the connector. By default it is asked.
    pub fn send_message_types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.settings.send_types = Some(types.into_iter().map(Into::into).collect());
        self
    }

    /// The types that can be waited for; by default `any`.
    pub fn recv_message_types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.settings.recv_types = types.into_iter().map(Into::into).collect();
        self
    }

    /// Whether a connection is kept for the next message; by default it is.
    pub fn keep_connection(mut self, keep: bool) -> Self {
        self.settings.keep_connection = keep;
        self
    }

    /// Whether the sockets of this app go to `nobody:nogroup`, where that is permitted; by default they do.
    pub fn any_connector_owner(mut self, any: bool) -> Self {
        self.settings.any_connector_owner = any;
        self
    }

    /// Time for which the connector may take no byte of a message; by default [`WRITE_TIMEOUT`]. Zero counts as 1 ms.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout.max(WRITE_TIMEOUT_MIN);
        self
    }

    /// The api. Nothing is connected yet: the connector may come later.
    ///
    /// # Errors
    /// [`ApiError::ClientName`], [`ApiError::PathTooLong`].
    pub fn build(self) -> Result<ConnectorApi, ApiError> {
        if self.settings.role == Role::Client {
            let fail = |source| ApiError::ClientName { name: self.settings.id.clone(), source };
            validate_client_name(&self.settings.id).map_err(fail)?;
        }
        ConnectorApi::new(self.settings, self.write_timeout)
    }
}
