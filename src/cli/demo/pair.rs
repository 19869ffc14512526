//! A server and a client connector as processes of their own, in one folder: for the demo and for measurements.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Map, Value, json};

use crate::api::{ApiError, ConnectorApi};
use crate::certs;

/// Time for a connector to end by itself after SIGTERM; then it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause between two looks at something that cannot be waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Lines of a connector's log that an error shows.
const LOG_LINES: usize = 10;

/// What the two are.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program that runs a connector.
    pub program: OsString,
    /// Its arguments before the config file.
    pub arguments: &'static [&'static str],
    /// TLS with certificates, or plain TCP.
    pub tls: bool,
    /// The client's name.
    pub client_name: &'static str,
    /// Types that both send and receive.
    pub message_types: &'static [&'static str],
    /// What else the configs of both say.
    pub settings: Map<String, Value>,
}

/// Why the two connectors do not run.
#[derive(Debug)]
pub enum PairError {
    /// A file or folder could not be made.
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The certificates could not be made.
    Certificates(certs::Error),
    /// No port is free.
    Port(io::Error),
    /// A config that was written is not understood.
    Api(ApiError),
    /// The program could not be started.
    Start {
        /// The program.
        program: OsString,
        /// Why.
        source: io::Error,
    },
    /// A connector has ended.
    Exited {
        /// Which one.
        name: &'static str,
        /// How.
        status: ExitStatus,
        /// The last lines of its log.
        log: Vec<String>,
    },
    /// They did not connect in time: the last lines of the client's log.
    NotConnected {
        /// After so long.
        after: Duration,
        /// Those lines.
        log: Vec<String>,
    },
}

impl fmt::Display for PairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PairError::File { path, source } => write!(f, "{}: {source}", path.display()),
            PairError::Certificates(e) => write!(f, "no certificates: {e}"),
            PairError::Port(e) => write!(f, "no port to listen on: {e}"),
            PairError::Api(e) => e.fmt(f),
            PairError::Start { program, source } => write!(f, "{} cannot be started: {source}", program.display()),
            PairError::Exited { name, status, log } => {
                write!(f, "the {name} connector has ended with {status}; its last lines:{}", indented(log))
            }
            PairError::NotConnected { after, log } => {
                write!(f, "not connected after {after:.1?}; the client's last lines:{}", indented(log))
            }
        }
    }
}

impl std::error::Error for PairError {}

fn indented(log: &[String]) -> String {
    if log.is_empty() { " none".to_owned() } else { log.iter().map(|line| format!("\n    {line}")).collect() }
}

/// Starts the program of a connector. What it says goes to a file in `folder`, behind what is there.
fn run(program: &OsStr, arguments: &[&str], config: &Path, folder: &Path) -> Result<Child, PairError> {
    let path = folder.join("output.log");
    let output = File::options().create(true).append(true).open(&path).and_then(|f| Ok((f.try_clone()?, f)));
    let output = output.map_err(|source| PairError::File { path, source })?;
    let mut command = Command::new(program);
    command.args(arguments).arg(config).process_group(0);
    command.stdin(Stdio::null()).stdout(output.0).stderr(output.1);
    command.spawn().map_err(|source| PairError::Start { program: program.to_owned(), source })
}

/// One of the two.
#[derive(Debug)]
pub struct Connector {
    name: &'static str,
    program: OsString,
    arguments: &'static [&'static str],
    child: Child,
    config: PathBuf,
    folder: PathBuf,
}

impl Connector {
    /// Writes its config and starts it. It is in a process group of its own, so that a Ctrl-C is not for it.
    fn start(dir: &Path, name: &'static str, plan: &Plan, mut config: Value) -> Result<Self, PairError> {
        let folder = dir.join(name);
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| PairError::File { path, source }
        };
        fs::create_dir(&folder).map_err(fail(&folder))?;
        config["connector_files_dirpath"] = json!(folder);
        config["default_logger_dirpath"] = json!(folder);
        let file = dir.join(format!("{name}.json"));
        fs::write(&file, format!("{config:#}\n")).map_err(fail(&file))?;
        let (program, arguments) = (plan.program.clone(), plan.arguments);
        let child = run(&program, arguments, &file, &folder)?;
        Ok(Self { name, program, arguments, child, config: file, folder })
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        // Both do nothing to a process that has ended.
        _ = self.child.kill();
        _ = self.child.wait();
    }

    /// Starts it once more, after it was killed.
    ///
    /// # Errors
    /// [`PairError::File`], [`PairError::Start`].
    pub fn start_again(&mut self) -> Result<(), PairError> {
        self.child = run(&self.program, self.arguments, &self.config, &self.folder)?;
        Ok(())
    }

    /// Its config file.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The number of its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An app's side of it.
    ///
    /// # Errors
    /// Its config is not understood.
    pub fn api(&self) -> Result<ConnectorApi, PairError> {
        ConnectorApi::from_file(&self.config).map_err(PairError::Api)
    }

    /// # Errors
    /// It has ended.
    fn check(&mut self) -> Result<(), PairError> {
        match self.child.try_wait() {
            Ok(Some(status)) => Err(PairError::Exited { name: self.name, status, log: self.last_lines() }),
            // If the system does not know, the connector is taken for alive: a real end shows elsewhere.
            Ok(None) | Err(_) => Ok(()),
        }
    }

    fn last_lines(&self) -> Vec<String> {
        let files = ["aioconnectors.log", "output.log"].map(|name| self.folder.join(name));
        let texts = files.map(|file| String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned());
        let lines: Vec<&str> = texts.iter().flat_map(|text| text.lines()).collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].iter().map(|line| (*line).to_owned()).collect()
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // That it is gone already is what was wanted.
            _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

/// A server and a client, connected. They end when this is dropped, unless they are kept.
#[derive(Debug)]
pub struct Pair {
    server: Connector,
    client: Connector,
    kept: bool,
}

impl Pair {
    /// Makes certificates and configs in `dir` and starts both, the server first.
    ///
    /// # Errors
    /// [`PairError`].
    pub fn start(dir: &Path, plan: &Plan) -> Result<Self, PairError> {
        if plan.tls {
            certs::create(dir, false).map_err(PairError::Certificates)?;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(PairError::Port)?;
        let address = listener.local_addr().map_err(PairError::Port)?;
        drop(listener);
        let mut config = json!({
            "is_server": true,
            "server_sockaddr": [address.ip().to_string(), address.port()],
            "use_ssl": plan.tls,
            "certificates_directory_path": dir,
            "send_message_types": plan.message_types,
            "recv_message_types": plan.message_types,
        });
        for (key, value) in &plan.settings {
            config[key] = value.clone();
        }
        let mut client_config = config.clone();
        client_config["is_server"] = json!(false);
        client_config["client_name"] = json!(plan.client_name);
        let mut server = Connector::start(dir, "server", plan, config)?;
        let client = match Connector::start(dir, "client", plan, client_config) {
            Ok(client) => client,
            Err(e) => {
                _ = server.child.kill();
                _ = server.child.wait();
                return Err(e);
            }
        };
        Ok(Self { server, client, kept: false })
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &Connector {
        &self.server
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Connector {
        &self.client
    }

    /// The server, to be killed and started again.
    pub fn server_mut(&mut self) -> &mut Connector {
        &mut self.server
    }

    /// The client, to be killed and started again.
    pub fn client_mut(&mut self) -> &mut Connector {
        &mut self.client
    }

    /// Whether both still run.
    ///
    /// # Errors
    /// [`PairError::Exited`].
    pub fn check(&mut self) -> Result<(), PairError> {
        self.server.check()?;
        self.client.check()
    }

    /// Whether both still run, and go on doing so for `time`.
    ///
    /// # Errors
    /// [`PairError::Exited`].
    pub fn check_for(&mut self, time: Duration) -> Result<(), PairError> {
        let start = Instant::now();
        self.check()?;
        while start.elapsed() < time {
            thread::sleep(LOOK_AGAIN);
            self.check()?;
        }
        Ok(())
    }

    /// Waits until the two are connected, which both must say; looks at `interrupted` now and then, and returns early
    /// when that says so.
    ///
    /// # Errors
    /// One has ended, or `timeout` is over.
    pub fn wait_until_connected(&mut self, timeout: Duration, interrupted: impl Fn() -> bool) -> Result<(), PairError> {
        let start = Instant::now();
        let remotes = [self.server.api()?.remote().timeout(timeout), self.client.api()?.remote().timeout(timeout)];
        let connected = || remotes.iter().all(|r| r.connected_peers().is_ok_and(|peers| !peers.is_empty()));
        while !connected() && !interrupted() {
            self.check()?;
            if start.elapsed() > timeout {
                return Err(PairError::NotConnected { after: timeout, log: self.client.last_lines() });
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Lets both run on when this is dropped.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Ends both: with SIGTERM, and with SIGKILL when that takes too long.
    pub fn stop(&mut self) {
        let start = Instant::now();
        for connector in [&mut self.client, &mut self.server] {
            connector.signal(Signal::SIGTERM);
            while connector.check().is_ok() && start.elapsed() < STOP_TIMEOUT {
                thread::sleep(LOOK_AGAIN);
            }
            connector.kill();
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if !self.kept {
            self.stop();
        }
    }
}
