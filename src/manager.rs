//! Connectors as a whole: made of their configs, run, watched and stopped.
//!
//! A program of its own is `aioconnectorsd`. Another program can hold connectors as well, several if it likes:
//!
//! ```
//! use std::sync::mpsc::channel;
//! use std::time::Duration;
//!
//! use aioconnectors::hooks::Hooks;
//! use aioconnectors::manager::{ConnectorManager, Stop};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?; // or /var/lib/something
//! # let free = std::net::TcpListener::bind("127.0.0.1:0")?;
//! # let port = free.local_addr()?.port();
//! # drop(free);
//! let server = ConnectorManager::server("127.0.0.1", port)
//!     .files_dir(dir.path().join("s"))
//!     .use_ssl(false)
//!     .hooks(Hooks::new().server_auth_client(|client| client.name == "alice"))
//!     .build()?;
//! let client = ConnectorManager::client("alice", "127.0.0.1", port)
//!     .files_dir(dir.path().join("c"))
//!     .use_ssl(false)
//!     .build()?;
//! let (at_server, at_client) = (server.api()?, client.api()?);
//! let (server, client) = (server.spawn()?, client.spawn()?);
//! server.wait_until_serving(Duration::from_secs(10))?;
//! client.wait_until_serving(Duration::from_secs(10))?;
//!
//! let (sender, receiver) = channel();
//! at_server.start_waiting_for_messages("any", move |message| sender.send(message).unwrap())?;
//! while client.status()?.connected(at_server.id()).is_none() {
//!     std::thread::sleep(Duration::from_millis(10));
//! }
//! at_client.send_message("any").text("hello").send()?;
//! assert_eq!(receiver.recv_timeout(Duration::from_secs(60))?.data(), b"hello");
//!
//! client.end(Stop::Soft)?;
//! server.end(Stop::Soft)?;
//! # Ok(())
//! # }
//! ```

mod access;
mod active;
mod admin;
mod builder;
mod control;
mod daemon;
mod doors;
mod error;
mod limits;
mod route;
mod scrapes;
mod security;
mod service;
pub(crate) mod tokens;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mio::Events;

pub use admin::Reloaded;
pub use builder::Builder;
pub use control::{Control, Phase, Running, Stop};
pub use daemon::run;
pub use error::{ControlError, StartError};

pub use crate::core::{InboxStatus, PeerStatus, Status};

use access::access;
use active::ActiveConnector;
use control::Order;
use limits::limits;
use route::route;
use scrapes::scrapes;
use security::security;
use service::Service;
use tokens::{active_tokens, set_tokens};

use crate::api::{ApiError, ConnectorApi};
use crate::config::{self, Address, Config, ConfigErrors, Coverage, Loaded, PersistenceSync, Warning};
use crate::core::{Connector, Covered, KeepAlive, Mode, OnFull, Settings, Sync};
use crate::files::{self, DiskFiles, OwnFolders};
use crate::hooks::{Hook, Hooks, Program, ProgramError, Runner};
use crate::logger;
use crate::net::doors::Doors;
use crate::net::hooks::ActiveHooks;
use crate::net::listener::{self, UnixServer};
use crate::net::rings::Rings;
use crate::net::shell::{Parts, Shell, Wish};
use crate::net::stop::Signals;
use crate::store::{Spool, StoreError};
use crate::sys::size_limit::ignore_size_signal;
use crate::version::Version;
use crate::wire::names::{self, Role};

/// Events that are taken from the poller at a time.
const EVENTS: usize = 1024;

/// A connector that can be run. See [the module](self) for an example.
///
/// It takes nothing that is the whole process's, unless [`own_process`](Self::own_process) says so: signals and limits
/// stay as they are, and what it logs goes to the `log` facade, wherever that leads.
#[derive(Debug)]
pub struct ConnectorManager {
    config: Config,
    warnings: Vec<Warning>,
    /// Where the config is from.
    file: Option<PathBuf>,
    hooks: Hooks,
    owns_process: bool,
    control: Control,
    /// The socket for admins of the life before, on the way to the next one.
    admins: Option<UnixServer>,
}

/// What comes after the end of a loop.
enum Next {
    Nothing,
    /// A new beginning, with another config if there is a file.
    Again(Option<Box<Loaded>>),
}

impl ConnectorManager {
    /// The connector of a config file.
    ///
    /// # Errors
    /// All that is wrong with the file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigErrors> {
        Ok(Self::made_of(Config::load(path.as_ref())?, Some(path.as_ref().to_owned())))
    }

    /// The connector of a config that was read, or changed, by the program.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self::made_of(Loaded { config, warnings: Vec::new() }, None)
    }

    /// The server connector that listens at this address.
    pub fn server(host: &str, port: u16) -> Builder {
        Builder::new(true, host, port)
    }

    /// The client connector `name` of the server at this address.
    pub fn client(name: &str, host: &str, port: u16) -> Builder {
        Builder::new(false, host, port).set("client_name", name)
    }

    fn made_of(loaded: Loaded, file: Option<PathBuf>) -> Self {
        let Loaded { config, warnings } = loaded;
        Self { config, warnings, file, hooks: Hooks::new(), owns_process: false, control: Control::new(), admins: None }
    }

    /// What is asked where the config alone would decide. A closure goes before a program that the config names.
    #[must_use]
    pub fn hooks(mut self, hooks: Hooks) -> Self {
        self.hooks = hooks;
        self
    }

    /// Whether the process is there for this connector, as that of the daemon is; by default it is not. If so, SIGTERM and
    /// SIGINT stop it, SIGHUP reloads it, the process may open as many files as the system allows, a file that is as large
    /// as it may be (SIGXFSZ) does not end it, and a reload sets the level of the log.
    #[must_use]
    pub fn own_process(mut self, owns: bool) -> Self {
        self.owns_process = owns;
        self
    }

    /// Its config.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What in its config is probably not what its author thinks. It is logged at the start.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// What stops it and asks it for things once it runs, from other threads.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// The api of an app of this connector, in this program or another.
    ///
    /// # Errors
    /// [`ApiError::ClientName`], [`ApiError::PathTooLong`].
    pub fn api(&self) -> Result<ConnectorApi, ApiError> {
        let Address { host, port } = &self.config.server_sockaddr.first;
        let builder = match self.config.role() {
            Role::Server => ConnectorApi::server(host, *port),
            Role::Client => ConnectorApi::client(&self.config.id()).server_address(host, *port),
        };
        builder
            .files_dir(&self.config.connector_files_dirpath)
            .send_message_types(self.config.send_message_types.iter().map(String::as_str))
            .recv_message_types(self.config.recv_message_types.iter().map(String::as_str))
            .keep_connection(self.config.uds_path_send_preserve_socket)
            .any_connector_owner(self.config.receive_from_any_connector_owner)
            .build()
    }

    /// Runs the connector on a thread of its own.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn spawn(self) -> io::Result<Running> {
        let control = self.control();
        let thread = thread::Builder::new().name("connector".to_owned()).spawn(move || self.run())?;
        Ok(Running::new(control, thread))
    }

    /// Runs the connector on this thread, until it is stopped.
    ///
    /// # Errors
    /// It cannot start, or go on.
    pub fn run(mut self) -> Result<(), StartError> {
        let _ended = Ended(self.control.clone());
        let mut signals = None;
        if self.owns_process {
            raise_file_limit();
            // A file that is as large as it may be is then an error of whoever writes it: the log as well as a queue.
            ignore_size_signal()?;
            signals = Some(Signals::take_over()?);
        }
        loop {
            match self.live(&mut signals)? {
                Next::Nothing => return Ok(()),
                Next::Again(Some(loaded)) => {
                    (self.config, self.warnings) = (loaded.config, loaded.warnings);
                    if self.owns_process {
                        logger::set_level(self.config.default_logger_log_level);
                    }
                    self.control.over(Phase::Starting);
                }
                Next::Again(None) => self.control.over(Phase::Starting),
            }
        }
    }

    /// One life, from its start to its end.
    fn live(&mut self, signals: &mut Option<Signals>) -> Result<Next, StartError> {
        for warning in mem::take(&mut self.warnings) {
            log::warn!("{warning}");
        }
        let config = &self.config;
        let hooks = with_programs(&self.hooks, config).map_err(|(hook, error)| StartError::Hook { hook, error })?;
        let mut parts = parts(config, &hooks, self.admins.take())?;
        parts.signals = signals.take();
        parts.config_file = self.file.clone();
        let mut shell = Shell::new(parts)?;
        let active = ActiveConnector::add(config);
        let (version, links) = (Version, describe_links(config));
        let origin = self.file.as_deref().map(|file| format!(", config {}", file.display())).unwrap_or_default();
        log::info!("{} runs: version {version}, {links}{origin}", describe(config));
        self.control.serves(shell.waker());
        let mut service = Service::of_process(self.owns_process);
        service.ready();
        service.turned(&shell, self.config.role());
        let result = self.turn_until_stopped(&mut shell, &mut service);
        *signals = shell.give_signals_back();
        // Where there is no file, what admins have changed is in no other place.
        access::keep(&mut self.config, shell.access());
        if let Ok(Next::Again(_)) = result {
            self.admins = shell.give_admins_back();
        }
        drop(active);
        log::info!("{} stopped", describe(&self.config));
        result
    }

    fn turn_until_stopped(&mut self, shell: &mut Shell, service: &mut Service) -> Result<Next, StartError> {
        let mut events = Events::with_capacity(EVENTS);
        let mut next = Next::Nothing;
        loop {
            if shell.is_told_to_end() {
                self.control.set_phase(Phase::Stopping);
            }
            for order in self.control.take() {
                self.carry_out(order, shell, &mut next);
            }
            let wish = shell.turn(&mut events, service.patience())?;
            self.serve_admins(shell, &mut next);
            service.turned(shell, self.config.role());
            match wish {
                Wish::GoOn => {}
                Wish::Reload => {
                    service.reloading();
                    if let Err(error) = self.reload(shell) {
                        log::error!("not reloaded, all stays as it was: {error}");
                    }
                    service.ready();
                }
                // A signal counts for more than a restart that is under way.
                Wish::End if shell.is_told_to_end() => return Ok(Next::Nothing),
                Wish::End => return Ok(next),
            }
        }
    }

    fn carry_out(&mut self, order: Order, shell: &mut Shell, next: &mut Next) {
        // If nobody waits for an answer any more, it is of no use.
        match order {
            Order::Status(answer) => drop(answer.send(shell.status())),
            Order::Reload(answer) => drop(answer.send(self.reload(shell))),
            Order::Restart(_, answer) if shell.is_stopping() => drop(answer.send(Err(ControlError::Stopping))),
            Order::Restart(how, answer) => {
                let prepared = self.prepare();
                if let Ok(loaded) = prepared {
                    *next = Next::Again(loaded.map(Box::new));
                    self.control.set_phase(Phase::Restarting);
                    log::info!("restarting");
                    halt_or_stop(shell, how);
                    drop(answer.send(Ok(())));
                } else {
                    drop(answer.send(prepared.map(drop)));
                }
            }
            Order::Stop(how) => {
                *next = Next::Nothing;
                self.control.set_phase(Phase::Stopping);
                halt_or_stop(shell, how);
            }
        }
    }
}

fn halt_or_stop(shell: &mut Shell, how: Stop) {
    match how {
        Stop::Soft => shell.stop(Instant::now()),
        Stop::Hard => shell.halt(Instant::now()),
    }
}

/// Says that the connector has ended, however it did.
struct Ended(Control);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.over(Phase::Ended);
    }
}

/// The programs that the config names, where there is no closure; of one that cannot be asked, which and why.
fn with_programs(hooks: &Hooks, config: &Config) -> Result<Hooks, (Hook, ProgramError)> {
    let programs = [
        (Hook::ServerAuthClient, &config.hook_server_auth_client),
        (Hook::WhitelistClients, &config.hook_whitelist_clients),
        (Hook::AllowCertificateCreation, &config.hook_allow_certificate_creation),
        (Hook::TargetDirectory, &config.hook_target_directory),
        (Hook::ProxyAuthorization, &config.hook_proxy_authorization),
        (Hook::StoreToken, &config.hook_store_token),
        (Hook::LoadToken, &config.hook_load_token),
    ];
    let mut hooks = hooks.clone();
    for (hook, path) in programs {
        if let Some(path) = path {
            hooks.set_program(hook, Program::new(path).map_err(|error| (hook, error))?);
        }
    }
    Ok(hooks)
}

/// Allows as many open files as this process may have: each peer and each app needs one.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        log::warn!("the limit of open files stays as it is: {error}");
    }
}

fn describe(config: &Config) -> String {
    let server = names::server_id(&config.server_sockaddr.first.host, config.server_sockaddr.first.port);
    match config.role() {
        Role::Server => format!("server {server}"),
        Role::Client => format!("client {} of server {server}{}", config.id(), route::in_words(config)),
    }
}

fn describe_links(config: &Config) -> &'static str {
    match mode(config) {
        Mode::Plain => "links without TLS",
        Mode::AllowAll if config.uses_tokens() => "links with TLS and tokens",
        Mode::AllowAll => "links with TLS that only encrypts",
        Mode::Certificates => "links with TLS and certificates",
    }
}

fn mode(config: &Config) -> Mode {
    match (config.use_ssl, config.ssl_allow_all) {
        (false, _) => Mode::Plain,
        (true, true) => Mode::AllowAll,
        (true, false) => Mode::Certificates,
    }
}

fn parts(config: &Config, hooks: &Hooks, admins: Option<UnixServer>) -> Result<Parts, StartError> {
    let folder = &config.connector_files_dirpath;
    fs::create_dir_all(folder).map_err(|error| StartError::Folder { path: folder.clone(), error })?;
    let paths = config.socket_paths();
    let settings = settings(config);
    let access = access(config).map_err(|(key, error)| StartError::List { key, error })?;
    // Before the sockets, which may be taken over from another connector: not if it still works with these queues.
    let spool = open_spool(config, &settings)?;
    let Address { host, port } = config.server_sockaddr.first.clone();
    let security = security(config)?;
    let runner = Runner::new(&settings.id, config.hook_timeout);
    let route = match config.role() {
        Role::Server => None,
        Role::Client => Some(route(config, hooks, &runner).map_err(StartError::Proxy)?),
    };
    let admins = match admins.filter(|admins| admins.path() == paths.commander()) {
        Some(admins) => admins,
        None => listener::unix(&paths.commander(), 0o660, config.reuse_uds_path_commander_server)?,
    };
    let doors = Doors::open(doors::places(config))?;
    let scrapes = scrapes(config)?;
    let rings = Rings::new(spool, &settings.id, settings.max_ring_bytes);
    let mut connector = Connector::new(settings);
    connector.set_servers(route::server_names(config), config.server_return_after);
    connector.set_gates(ActiveHooks::gates(hooks, config.hook_timeout));
    connector.set_access(access);
    connector.set_limits(limits(config));
    connector.set_attributes(config.shown_values());
    set_tokens(&mut connector, config).map_err(StartError::Tokens)?;
    rings.restore(&mut connector, Instant::now()).map_err(StartError::Spool)?;
    let (shutdown_timeout, send_timeout) = (config.shutdown_timeout, config.send_timeout);
    let mut files = DiskFiles::open(files_setup(config));
    files.set_hook(Box::new(hooks.folders(&runner)));
    let files = Some(files);
    let tokens = active_tokens(config, hooks, &runner);
    let (hooks, signals, config_file, server) = (ActiveHooks::new(hooks, runner), None, None, (host, port));
    Ok(Parts {
        connector,
        security,
        doors,
        route,
        admins,
        paths,
        rings,
        server,
        config_file,
        files,
        hooks,
        tokens,
        scrapes,
        signals,
        shutdown_timeout,
        send_timeout,
    })
}

/// What the config says of files. None goes to where certificates, tokens and queues are, whoever may send files.
fn files_setup(config: &Config) -> files::Setup {
    let folders = vec![
        config.connector_files_dirpath.clone(),
        config.certificates_directory_path.clone(),
        config.tokens_directory_path.clone(),
        config.default_logger_dirpath.clone(),
    ];
    files::Setup {
        receive: config.file_recv_config.clone(),
        max_receive: config.max_size_file_upload_recv,
        max_send: config.max_size_file_upload_send,
        journal: config.socket_paths().files(),
        max_published: config.max_size_published_files,
        own: OwnFolders { folders },
        synced: config.persistence_sync != PersistenceSync::Os,
    }
}

/// The folder of the queues on disk. It is of use also to a connector that stores no messages: what apps and peers were
/// told outlives a restart there. Such a connector can do without it, though.
fn open_spool(config: &Config, settings: &Settings) -> Result<Option<Spool>, StartError> {
    let stores = settings.persist_send != Covered::None || settings.persist_recv != Covered::None;
    let must_last = settings.sync != Sync::Os;
    match Spool::open(&config.socket_paths().spool(), must_last) {
        Ok(spool) => Ok(Some(spool)),
        Err(error) if stores || matches!(error, StoreError::InUse { .. }) => Err(StartError::Spool(error)),
        Err(error) => {
            log::warn!("what apps and peers were told is forgotten when this connector ends: {error}");
            Ok(None)
        }
    }
}

fn settings(config: &Config) -> Settings {
    let keep_alive = config.keep_alive_period.map(|period| KeepAlive {
        period,
        timeout: config.keep_alive_timeout,
        unanswered_max: u32::try_from(config.max_number_of_unanswered_keep_alive).unwrap_or(u32::MAX),
    });
    // A clock before 1970 makes numbers that begin at 0, as in a connector that was never started before.
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let bytes = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    Settings {
        id: config.id(),
        role: config.role(),
        server_id: names::server_id(&config.server_sockaddr.first.host, config.server_sockaddr.first.port),
        mode: mode(config),
        send_types: config.send_message_types.iter().cloned().collect(),
        recv_types: unique(&config.recv_message_types),
        pubsub_broker: config.pubsub_central_broker && config.is_server,
        subscribe: if config.is_server { Vec::new() } else { config.subscribe_message_types.clone() },
        preserve_send_socket: config.uds_path_send_preserve_socket,
        preserve_receive_socket: config.uds_path_receive_preserve_socket,
        connect_timeout: config.connect_timeout,
        send_timeout: config.send_timeout,
        keep_alive,
        reconnect: config.enable_client_try_reconnect,
        max_message_size: bytes(config.max_message_size),
        queue_max_bytes: bytes(config.queue_max_bytes),
        link2: true,
        chunk_max: config.max_size_chunk_upload,
        persist_send: covered(&config.disk_persistence_send),
        persist_recv: covered(&config.disk_persistence_recv),
        max_ring_bytes: bytes(config.max_size_persistence_path),
        sync: match config.persistence_sync {
            PersistenceSync::Os => Sync::Os,
            PersistenceSync::Interval(interval) => Sync::Interval(interval),
            PersistenceSync::Always => Sync::Always,
        },
        on_full: config.on_full.iter().map(|(message_type, policy)| (message_type.clone(), on_full(*policy))).collect(),
        priorities: config.send_message_types_priorities.clone(),
        session_ttl: config.session_ttl,
        started_at: started.as_secs(),
        start_sequence: u64::try_from(started.as_micros()).unwrap_or(u64::MAX),
        shutdown_timeout: config.shutdown_timeout,
        seed: fastrand::u64(..),
    }
}

fn covered(coverage: &Coverage) -> Covered {
    match coverage {
        Coverage::None => Covered::None,
        Coverage::All => Covered::All,
        Coverage::Types(types) => Covered::Types(types.iter().cloned().collect()),
    }
}

fn on_full(policy: config::OnFull) -> OnFull {
    match policy {
        config::OnFull::Block => OnFull::Block,
        config::OnFull::Reject => OnFull::Reject,
        config::OnFull::DropOldest => OnFull::DropOldest,
    }
}

fn unique(types: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    types.iter().filter(|t| seen.insert(*t)).cloned().collect()
}
