//! What a service manager is told: the datagrams of `sd_notify(3)`, on a socket of the test's.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use aioconnectors::remote::Remote;
use nix::sys::signal::Signal;

use crate::common::{Place, Process, Setup, free_port, wait};

/// A daemon and the socket that it tells of itself.
pub struct Service {
    _place: Place,
    socket: UnixDatagram,
    process: Process,
    setup: Setup,
    told: Vec<String>,
}

impl Service {
    fn start(watchdog: &str) -> Self {
        Self::start_with(watchdog, |setup| setup)
    }

    pub fn start_with(watchdog: &str, change: impl FnOnce(Setup) -> Setup) -> Self {
        let place = Place::new();
        let path = place.file("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(wait::LIMIT)).unwrap();
        let setup = change(Setup::server(&place, free_port()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_aioconnectorsd"));
        command.arg(setup.write()).env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", watchdog);
        Self {
            socket,
            process: Process::spawn("aioconnectorsd as a service", &mut command),
            _place: place,
            setup,
            told: vec![],
        }
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Whether it tells nothing for so long. What it told before is forgotten.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        self.told.clear();
        self.socket.set_read_timeout(Some(time)).unwrap();
        let is_silent = self.socket.recv(&mut [0; 4096]).is_err();
        self.socket.set_read_timeout(Some(wait::LIMIT)).unwrap();
        is_silent
    }

    /// Whether a line that begins so has come meanwhile.
    pub fn has_said(&mut self, wanted: &str) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        while let Ok(n) = self.socket.recv(&mut buffer) {
            self.told.extend(String::from_utf8_lossy(&buffer[..n]).lines().map(str::to_owned));
        }
        self.socket.set_nonblocking(false).unwrap();
        self.told.iter().any(|line| line.starts_with(wanted))
    }

    /// Waits for a line; the others before it are dropped.
    #[track_caller]
    pub fn wait(&mut self, wanted: &str) -> String {
        loop {
            if let Some(at) = self.told.iter().position(|line| line.starts_with(wanted)) {
                return self.told.drain(..=at).next_back().unwrap();
            }
            let mut buffer = [0; 4096];
            let n = self.socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{wanted} was not told: {error}"));
            self.told.extend(String::from_utf8_lossy(&buffer[..n]).lines().map(str::to_owned));
        }
    }
}

#[test]
fn a_service_manager_is_told_of_readiness_status_reload_and_end() {
    let mut service = Service::start("");
    service.wait("READY=1");
    service.process.wait_said("runs: version");
    assert_eq!(service.wait("STATUS="), "STATUS=Serving, no client is connected");
    service.process.signal(Signal::SIGHUP);
    service.wait("RELOADING=1");
    let since: u64 = service.wait("MONOTONIC_USEC=").split_once('=').unwrap().1.parse().unwrap();
    assert!(since > 0);
    service.wait("READY=1");
    service.process.signal(Signal::SIGTERM);
    service.wait("STOPPING=1");
    assert_eq!(service.process.exit_code(), 0);
}

#[test]
fn a_connector_that_an_admin_stops_is_a_service_that_says_so_and_lives_on() {
    let mut service = Service::start("200000");
    service.wait("STATUS=Serving");
    let remote = Remote::new(service.setup.admin().path);
    remote.stop(false).unwrap();
    service.wait("STATUS=Stopped by an admin");
    service.wait("WATCHDOG=1");
    remote.start().unwrap();
    service.wait("STATUS=Serving");
    remote.stop(true).unwrap();
    remote.shutdown(false).unwrap();
    service.wait("STOPPING=1");
    assert_eq!(service.process.exit_code(), 0);
}

#[test]
fn the_watchdog_hears_of_a_loop_that_turns_though_nothing_happens() {
    let mut service = Service::start("200000");
    for _ in 0..3 {
        service.wait("WATCHDOG=1");
    }
}

#[test]
fn for_the_journal_lines_have_priorities_and_no_time_of_their_own() {
    let place = Place::new();
    let config = Setup::server(&place, free_port()).write();
    let mut command = Command::new(env!("CARGO_BIN_EXE_aioconnectorsd"));
    let process = Process::spawn("aioconnectorsd", command.arg("--log-format=journal").arg(&config));
    assert!(process.wait_said("runs: version").starts_with("<6>server "));
    let mut command = Command::new(env!("CARGO_BIN_EXE_aioconnectorsd"));
    let second = Process::spawn("another aioconnectorsd", command.arg("--log-format=json").arg(&config));
    let line: serde_json::Value = serde_json::from_str(&second.wait_said("ERROR")).unwrap();
    let message = line["message"].as_str().unwrap_or_default();
    assert!(line["level"] == "ERROR" && message.contains(config.to_str().unwrap()), "{line}");
}
