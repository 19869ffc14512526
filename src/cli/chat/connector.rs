//! The connector of one side of a chat, in this process, with its files in a temporary folder.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::words::{TYPE, UPLOAD};
use crate::api::ConnectorApi;
use crate::certs;
use crate::cli::command::Failure;
use crate::cli::demo::make_folder;
use crate::hooks::{Client, Hooks, Verdict};
use crate::manager::{ConnectorManager, Phase, Running, Stop};

/// The client's name, as in the Python package.
pub const CLIENT: &str = "chat_client";

/// Time to start.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// How many seconds what was said last may take to get to the other side.
const STOP_SECONDS: u64 = 5;

/// Where the two meet.
pub struct Meeting {
    /// Where the server is; `None` on the server itself.
    pub target: Option<String>,
    /// Where the server listens: an address or a network interface.
    pub bind: String,
    pub port: u16,
}

/// Addresses that were not let in.
type Refused = Arc<Mutex<HashSet<IpAddr>>>;

/// It runs until this is dropped.
pub struct Connector {
    /// `None` once it has ended by itself.
    running: Option<Running>,
    pub api: Arc<ConnectorApi>,
    peer: String,
    /// The other side, as a person calls it.
    pub label: String,
    refused: Refused,
    // Removed when the connector has ended.
    _folder: TempDir,
}

impl Connector {
    /// Starts it; files that come go to `aside`.
    pub fn start(meeting: &Meeting, aside: &Path) -> Result<Self, Failure> {
        let folder = make_folder().map_err(|e| Failure::Failed(format!("no temporary folder: {e}")))?;
        if meeting.target.is_none() {
            certs::create(folder.path(), false).map_err(Failure::failed)?;
        }
        let refused = Refused::default();
        let manager = manager(meeting, folder.path(), aside, &refused)?;
        let api = Arc::new(manager.api().map_err(Failure::failed)?);
        let (label, peer) = match &meeting.target {
            Some(target) => (target.clone(), api.server_id().to_owned()),
            None => (CLIENT.to_owned(), CLIENT.to_owned()),
        };
        let running = Some(manager.spawn().map_err(|e| Failure::Failed(format!("no thread: {e}")))?);
        let mut connector = Self { running, api, peer, label, refused, _folder: folder };
        if let Some(running) = &connector.running
            && let Err(e) = running.wait_until_serving(START_TIMEOUT)
        {
            connector.check()?;
            return Err(Failure::failed(e));
        }
        Ok(connector)
    }

    /// The id of the other side.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// # Errors
    /// It has ended.
    pub fn check(&mut self) -> Result<(), Failure> {
        if self.running.as_ref().is_some_and(|running| running.phase() != Phase::Ended) {
            return Ok(());
        }
        match self.running.take().map(Running::join) {
            Some(Err(e)) => Err(Failure::failed(e)),
            _ => Err(Failure::Failed("the connector has ended".to_owned())),
        }
    }

    /// Where the other side is connected from, if it is.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        // One that does not answer has ended, which `check` says.
        let status = self.running.as_ref()?.status().ok()?;
        status.connected(&self.peer)?.address
    }

    /// Ends the connection from there, and lets nobody in from that machine.
    pub fn refuse(&self, address: SocketAddr) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(address.ip());
        if let Some(running) = &self.running
            && let Err(e) = running.restart(Stop::Hard)
        {
            log::warn!("the connection from {address} stays: {e}");
        }
    }
}

/// TLS that only encrypts, as in the Python package: who is let in is for the user to say.
fn manager(meeting: &Meeting, folder: &Path, aside: &Path, refused: &Refused) -> Result<ConnectorManager, Failure> {
    let Meeting { target, bind, port } = meeting;
    let builder = match target {
        Some(host) => ConnectorManager::client(CLIENT, host, *port),
        None => ConnectorManager::server(bind, *port),
    };
    // In such a path braces stand for keys of the header.
    let aside = aside.to_string_lossy().replace('{', "{{").replace('}', "}}");
    let place = json!({"target_directory": aside, "override_existing": false});
    let refused = Arc::clone(refused);
    let may_come = move |client: &Client| {
        let refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
        match client.name == CLIENT && !refused.contains(&client.address.ip()) {
            true => Verdict::Allowed,
            false => Verdict::Refused("it is not let in".to_owned()),
        }
    };
    let builder = builder
        .files_dir(folder.join("connector"))
        .certificates_dir(folder)
        .ssl_allow_all(true)
        .send_message_types([TYPE])
        .recv_message_types([TYPE])
        .set("file_recv_config", json!({TYPE: place, UPLOAD: place}))
        .set("shutdown_timeout", STOP_SECONDS)
        .hooks(Hooks::new().server_auth_client(may_come));
    builder.build().map_err(Failure::failed)
}

/// Addresses of this machine that others may reach it at.
pub fn own_addresses() -> io::Result<Vec<String>> {
    let addresses = nix::ifaddrs::getifaddrs()?.filter_map(|interface| {
        let address = interface.address?;
        let ip = address.as_sockaddr_in().map(|address| address.ip())?;
        (!ip.is_loopback()).then(|| ip.to_string())
    });
    Ok(addresses.collect())
}
