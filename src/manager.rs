//! Wires a connector together from its config, and runs it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::Events;
use nix::fcntl::{Flock, FlockArg};

use crate::config::{self, Address, Config, Coverage, Loaded, PersistenceSync};
use crate::core::{Connector, Covered, KeepAlive, Mode, OnFull, Settings, Sync};
use crate::logger::{self, LogError, LogTarget};
use crate::net::dial::Target;
use crate::net::listener::{self, ListenError};
use crate::net::rings::Rings;
use crate::net::security::{ClientSecurity, Security, SecurityError, ServerSecurity};
use crate::net::shell::{Parts, Shell, Wish};
use crate::store::{Spool, StoreError};
use crate::sys::size_limit::ignore_size_signal;
use crate::wire::names::{self, Role};

/// Events that are taken from the poller at a time.
const EVENTS: usize = 1024;

/// Longest wait for the lock of the list of running connectors.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// Wait before that lock is tried again.
const TURN_AGAIN: Duration = Duration::from_millis(2);

/// The list of running connectors in `connector_files_dirpath`, for the Python tools.
const ACTIVE_CONNECTORS: &str = "active_connectors.json";

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
    /// The queues on disk cannot be used.
    Spool(StoreError),
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
            StartError::Spool(e) => write!(f, "queues on disk: {e}"),
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

/// Runs the connector of a config file until it is told to stop. The exit code: 0 stopped, 1 failed.
#[must_use]
pub fn run(config_path: &Path) -> ExitCode {
    let loaded = match Config::load(config_path) {
        Ok(loaded) => loaded,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::FAILURE;
        }
    };
    // Where the log goes to a file only, whoever started the connector must see the error as well.
    let quiet = loaded.config.silent && logger::log_file(&loaded.config, LogTarget::Daemon).is_some();
    match start_and_run(loaded, config_path) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(StartError::Log(error)) => eprintln!("{}: {error}", config_path.display()),
        Err(error) => {
            log::error!("{}: {error}", config_path.display());
            if quiet {
                eprintln!("{}: {error}", config_path.display());
            }
        }
    }
    ExitCode::FAILURE
}

fn start_and_run(loaded: Loaded, config_path: &Path) -> Result<(), StartError> {
    let Loaded { config, warnings } = loaded;
    logger::init(&config, LogTarget::Daemon).map_err(StartError::Log)?;
    for warning in warnings {
        log::warn!("{warning}");
    }
    raise_file_limit();
    // A file that is as large as it may be is then an error of whoever writes it: the log as well as a queue.
    ignore_size_signal()?;
    let mut shell = Shell::new(parts(&config)?)?;
    let active = ActiveConnector::add(&config);
    let (version, links) = (env!("CARGO_PKG_VERSION"), describe_links(&config));
    log::info!("{} runs: version {version}, {links}, config {}", describe(&config), config_path.display());
    let result = turn_until_stopped(&mut shell, &config, config_path);
    drop(active);
    log::info!("{} stopped", describe(&config));
    result
}

fn describe(config: &Config) -> String {
    let server = names::server_id(&config.server_sockaddr.host, config.server_sockaddr.port);
    match config.role() {
        Role::Server => format!("server {server}"),
        Role::Client => format!("client {} of server {server}", config.id()),
    }
}

fn describe_links(config: &Config) -> &'static str {
    match mode(config) {
        Mode::Plain => "links without TLS",
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

/// Allows as many open files as this process may have: each peer and each app needs one.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        log::warn!("the limit of open files stays as it is: {error}");
    }
}

fn turn_until_stopped(shell: &mut Shell, config: &Config, config_path: &Path) -> Result<(), StartError> {
    let mut events = Events::with_capacity(EVENTS);
    loop {
        match shell.turn(&mut events)? {
            Wish::GoOn => {}
            Wish::Reload => reload(shell, config, config_path),
            Wish::End => return Ok(()),
        }
    }
}

/// Takes over what can change while the connector runs: the log level, and the certificates in the folder that it has
/// used from the start. All else stays as it is in `running`.
fn reload(shell: &mut Shell, running: &Config, config_path: &Path) {
    let config = match Config::load(config_path) {
        Ok(loaded) => loaded.config,
        Err(errors) => {
            return log::error!("not reloaded, all stays as it was: {errors}");
        }
    };
    match security(running) {
        Ok(security) => shell.set_security(security),
        Err(error) => return log::error!("not reloaded, all stays as it was: {error}"),
    }
    logger::set_level(config.default_logger_log_level);
    log::info!("reloaded: log level and certificates");
}

fn parts(config: &Config) -> Result<Parts, StartError> {
    let folder = &config.connector_files_dirpath;
    fs::create_dir_all(folder).map_err(|error| StartError::Folder { path: folder.clone(), error })?;
    let paths = config.socket_paths();
    let settings = settings(config);
    // Before the sockets, which may be taken over from another connector: not if it still works with these queues.
    let spool = open_spool(config, &settings)?;
    let Address { host, port } = config.server_sockaddr.clone();
    let security = security(config)?;
    let (links, target) = match config.role() {
        Role::Server => (Some(listener::tcp(&host, port, config.reuse_server_sockaddr)?), None),
        Role::Client => (None, Some(Target { host, port, bind: config.client_bind_ip.clone() })),
    };
    let admins = listener::unix(&paths.commander(), 0o660, config.reuse_uds_path_commander_server)?;
    let apps_mode = if config.everybody_can_send_messages { 0o777 } else { 0o770 };
    let apps = listener::unix(&paths.send(), apps_mode, config.reuse_uds_path_send_to_connector)?;
    let rings = Rings::new(spool, &settings.id, settings.max_ring_bytes);
    let mut connector = Connector::new(settings);
    rings.restore(&mut connector, Instant::now()).map_err(StartError::Spool)?;
    let (shutdown_timeout, send_timeout) = (config.shutdown_timeout, config.send_timeout);
    Ok(Parts { connector, security, links, target, apps, admins, paths, rings, shutdown_timeout, send_timeout })
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

fn security(config: &Config) -> Result<Security, SecurityError> {
    let dir = &config.certificates_directory_path;
    if !config.use_ssl {
        return Ok(Security::Plain);
    }
    match config.role() {
        Role::Server => {
            let max_certs = usize::try_from(config.max_certs).unwrap_or(usize::MAX);
            Ok(Security::Server(ServerSecurity::new(dir, config.ssl_allow_all, max_certs)?))
        }
        Role::Client => Ok(Security::Client(ClientSecurity::new(
            dir,
            &config.id(),
            &config.server_sockaddr.host,
            config.client_cafile_verify_server.clone(),
            config.ssl_allow_all,
        )?)),
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
        server_id: names::server_id(&config.server_sockaddr.host, config.server_sockaddr.port),
        mode: mode(config),
        send_types: config.send_message_types.iter().cloned().collect(),
        recv_types: unique(&config.recv_message_types),
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

/// The connector's entry in the list of running ones; gone when this is dropped.
struct ActiveConnector {
    path: PathBuf,
    name: String,
}

impl ActiveConnector {
    fn add(config: &Config) -> Self {
        let name = match config.role() {
            Role::Server => format!("{} {}", config.server_sockaddr.host, config.server_sockaddr.port),
            Role::Client => config.id(),
        };
        let active = Self { path: config.connector_files_dirpath.join(ACTIVE_CONNECTORS), name };
        active.change(|names| {
            names.insert(active.name.clone());
        });
        active
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<String>)) {
        if let Err(error) = self.rewrite(change) {
            log::warn!("{}: the list of running connectors cannot be written: {error}", self.path.display());
        }
    }

    /// Rewrites the list whole; a list that cannot be read is begun anew. Connectors that share the folder take turns.
    fn rewrite(&self, change: impl FnOnce(&mut BTreeSet<String>)) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let _turn = take_turn(folder);
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let mut names: BTreeSet<String> = serde_json::from_str(&text).unwrap_or_default();
        change(&mut names);
        let mut draft = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o644)).tempfile_in(folder)?;
        serde_json::to_writer(&mut draft, &names)?;
        draft.persist(&self.path)?;
        Ok(())
    }
}

/// The lock of a folder. Without it, since it cannot be had or another holds it for too long, a list may lack a name:
/// that is better than a connector that does not start.
fn take_turn(folder: &Path) -> Option<Flock<File>> {
    let mut file = File::open(folder).ok()?;
    let start = Instant::now();
    while start.elapsed() < TURN_TIMEOUT {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Some(lock),
            Err((unlocked, _)) => file = unlocked,
        }
        thread::sleep(TURN_AGAIN);
    }
    None
}

impl Drop for ActiveConnector {
    fn drop(&mut self) {
        self.change(|names| {
            names.remove(&self.name);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connectors_that_start_and_stop_at_once_keep_one_list() {
        let dir = tempfile::tempdir().unwrap();
        let add = &|name: String| {
            let active = ActiveConnector { path: dir.path().join(ACTIVE_CONNECTORS), name };
            active.rewrite(|names| _ = names.insert(active.name.clone())).unwrap();
            active
        };
        let _running: Vec<ActiveConnector> = thread::scope(|scope| {
            let stay: Vec<_> = (0..8).map(|number| scope.spawn(move || add(format!("stays{number}")))).collect();
            for number in 0..8 {
                scope.spawn(move || drop(add(format!("goes{number}"))));
            }
            stay.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let list: Vec<String> = serde_json::from_slice(&fs::read(dir.path().join(ACTIVE_CONNECTORS)).unwrap()).unwrap();
        assert_eq!(list, (0..8).map(|n| format!("stays{n}")).collect::<Vec<_>>());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }
}
