//! What the owner of the loop asks of it, and what the process's signals do: its end, mostly.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use mio::event::Source;
use mio::{Interest, Registry, Token, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0 as signals;

use super::listener::UnixServer;
use super::shell::{Shell, Wish};
use crate::core::{Access, Status};

/// SIGTERM, SIGINT and SIGHUP of this process, taken over.
pub struct Signals(signals::Signals);

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signals").finish_non_exhaustive()
    }
}

impl Signals {
    /// Takes them over.
    ///
    /// # Errors
    /// The system's.
    pub fn take_over() -> io::Result<Self> {
        Ok(Self(signals::Signals::new([SIGTERM, SIGINT, SIGHUP])?))
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.0.register(registry, token, Interest::READABLE)
    }
}

impl Shell {
    /// Ends the wait for events of the turn under way, or of the next one, from any thread.
    #[must_use]
    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Whether a signal has asked for its end.
    #[must_use]
    pub fn is_told_to_end(&self) -> bool {
        self.told_to_end
    }

    /// Whether its end has begun.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.parts.connector.is_ending()
    }

    /// How the connector stands.
    #[must_use]
    pub fn status(&self) -> Status {
        Status { certificate_ends: self.parts.security.ends(), ..self.parts.connector.status() }
    }

    /// Who may come in and do what, as of now.
    #[must_use]
    pub fn access(&self) -> &Access {
        self.parts.connector.access()
    }

    /// Takes over other lists and rules. Clients that may not be here any more are dropped.
    pub fn change_access(&mut self, access: Access, now: Instant) {
        self.parts.connector.change_access(access, now);
        self.do_outputs(now);
    }

    /// SIGHUP is a wish to read the config again; the others end the connector, a second one at once.
    pub(super) fn take_signals(&mut self, now: Instant) {
        let pending: Vec<i32> = self.parts.signals.iter_mut().flat_map(|s| s.0.pending()).collect();
        for signal in pending {
            match signal {
                SIGHUP => self.wish = Wish::Reload,
                _ if self.told_to_end => {
                    log::warn!("a second signal to stop: stopping at once");
                    self.leave();
                }
                _ => {
                    self.told_to_end = true;
                    self.stop(now);
                }
            }
        }
    }

    /// Ends at once. What is queued in memory is counted as dropped.
    pub fn halt(&mut self, now: Instant) {
        log::info!("stopping at once");
        self.stopping = true;
        self.parts.connector.halt(now);
        self.do_outputs(now);
        self.leave();
    }

    /// Waits for nothing more.
    pub(super) fn leave(&mut self) {
        self.ended = true;
        self.lingering.clear();
    }

    /// Begins the end: nothing new is accepted, what was sent before is taken, and the core drains.
    pub fn stop(&mut self, now: Instant) {
        if !self.stopping {
            log::info!("stopping: what is queued is sent first");
            self.take_last_words(false, now);
        }
        self.parts.connector.stop(now);
        self.do_outputs(now);
    }

    /// Gives the signals back, for the next shell of this process: a signal that comes in between waits for it.
    pub fn give_signals_back(&mut self) -> Option<Signals> {
        let mut signals = self.parts.signals.take()?;
        // Else the next poller would not take them.
        signals.0.deregister(self.poll.registry()).ok().map(|()| signals)
    }

    /// Its end: gives the socket for admins back, for the next shell. An admin who comes in between waits for it.
    #[must_use]
    pub fn give_admins_back(self) -> Option<UnixServer> {
        let Self { poll, parts, .. } = self;
        let mut admins = parts.admins;
        poll.registry().deregister(&mut admins.listener).ok().map(|()| admins)
    }
}
