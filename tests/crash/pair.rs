//! A server and a client whose queues are on disk, and who can be killed.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::common::setup::wait_link;
use crate::common::{Place, Process, Setup, certificates, free_port, wait};
use crate::progress::Progress;

/// A connector that is started again and again.
pub struct Daemon {
    pub setup: Setup,
    pub process: Process,
    /// Those that were killed: a failing test shows what they had said.
    past: Vec<Process>,
}

impl Daemon {
    #[track_caller]
    pub fn start(setup: Setup) -> Daemon {
        let process = setup.start();
        Daemon::of(setup, process)
    }

    /// One that was started in a way of its own.
    pub fn of(setup: Setup, process: Process) -> Daemon {
        Daemon { setup, process, past: Vec::new() }
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) {
        assert!(self.process.is_running(), "{} ended by itself", self.setup.id);
        self.process.kill();
    }

    /// Starts it after it was killed or has ended, and waits until it answers.
    #[track_caller]
    pub fn start_again(&mut self) {
        let fresh = self.setup.start();
        self.past.push(std::mem::replace(&mut self.process, fresh));
    }

    /// Kills it and starts it again whenever `progress` has moved on by so many, or has come to its `end`.
    #[track_caller]
    pub fn kill_after_each(&mut self, gaps: &[u64], progress: &Progress, end: u64) {
        for gap in gaps {
            progress.wait((progress.get() + gap).min(end));
            self.kill();
            self.start_again();
        }
    }

    /// What it and those before it said on stderr.
    pub fn errors(&self) -> Vec<String> {
        self.past.iter().chain([&self.process]).flat_map(Process::errors).collect()
    }

    /// It runs, and none of its like has panicked.
    #[track_caller]
    pub fn assert_sound(&mut self) {
        assert!(self.process.is_running(), "{} has ended", self.setup.id);
        let panics: Vec<_> = self.errors().into_iter().filter(|line| line.contains("panicked")).collect();
        assert!(panics.is_empty(), "{panics:?}");
    }

    /// The folder of its queues.
    pub fn spool(&self) -> PathBuf {
        spool(&self.setup)
    }
}

/// The folder of a connector's queues, which it must have made.
pub fn spool(setup: &Setup) -> PathBuf {
    let found = spool_if_any(setup);
    found.unwrap_or_else(|| panic!("no folder spool_… in {}", setup.dir.display()))
}

pub fn spool_if_any(setup: &Setup) -> Option<PathBuf> {
    let entries = fs::read_dir(&setup.dir).ok()?.flatten().map(|entry| entry.path());
    let is_spool = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("spool_"));
    entries.filter(|path| path.is_dir()).find(is_spool)
}

/// How a link is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    Plain,
    Certificates,
}

pub struct Pair {
    // Dropped in this order: a client that loses its server would only talk about it.
    pub client: Daemon,
    pub server: Daemon,
    pub place: Place,
}

impl Pair {
    /// Starts both with all queues on disk, and waits for the link.
    #[track_caller]
    pub fn start(security: Security) -> Pair {
        Pair::start_with(security, |setup| setup)
    }

    /// The same with configs that `change` has changed.
    #[track_caller]
    pub fn start_with(security: Security, change: impl Fn(Setup) -> Setup) -> Pair {
        let (place, port) = (Place::new(), free_port());
        let server = change(durable(Setup::server(&place, port), security));
        let client = change(durable(Setup::client(&place, "client1", port), security));
        if security == Security::Certificates {
            certificates::make(&place.file("made"));
            certificates::hand_out(&place.file("made"), &server);
            certificates::hand_out(&place.file("made"), &client);
        }
        let (server, client) = (Daemon::start(server), Daemon::start(client));
        wait_link(&server.setup, &client.setup);
        Pair { client, server, place }
    }

    #[track_caller]
    pub fn assert_sound(&mut self) {
        self.client.assert_sound();
        self.server.assert_sound();
    }

    /// Waits until nothing is left to send at the client, and nothing to hand out at the server.
    #[track_caller]
    pub fn wait_empty(&self) {
        wait::until("empty queues", || {
            (waiting(&self.client.setup)? == [0, 0] && waiting(&self.server.setup)? == [0, 0]).then_some(())
        });
    }
}

/// Messages that wait at a connector: for apps, and for peers.
pub fn waiting(setup: &Setup) -> Option<[u64; 2]> {
    let answer = setup.admin().ask("peek_queues__sync", json!({"dump_result": true})).ok()?;
    let queues: Value = serde_json::from_str(&answer).ok()?;
    let for_peers = queues["queue_send"].as_object()?.values().filter_map(Value::as_u64).sum();
    Some([queues["queue_recv"].as_u64()?, for_peers])
}

/// The same with all queues on disk.
pub fn durable(setup: Setup, security: Security) -> Setup {
    setup
        .with("disk_persistence_send", true)
        .with("disk_persistence_recv", true)
        .with("use_ssl", security == Security::Certificates)
}
