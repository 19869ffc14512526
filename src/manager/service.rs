//! What the service manager is told of the daemon, if there is one: `sd_notify(3)`.

use std::mem;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::net::shell::Shell;
use crate::wire::names::Role;

/// Time between two looks at what the status line says.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// The service manager's side of a daemon. Without one, nothing is said and nothing waited for.
#[derive(Debug)]
pub(super) struct Service {
    is_there: bool,
    /// Half of the time in which the watchdog wants a sign of life.
    beat: Option<Duration>,
    beaten: Instant,
    looked: Instant,
    said: String,
    is_ending: bool,
}

impl Service {
    /// The one that has started this process, or nobody.
    pub fn of_process(owns_process: bool) -> Self {
        let is_there = owns_process && std::env::var_os("NOTIFY_SOCKET").is_some();
        let beat = sd_notify::watchdog_enabled().filter(|_| is_there).map(|limit| limit / 2);
        let now = Instant::now();
        Self { is_there, beat, beaten: now, looked: now, said: String::new(), is_ending: false }
    }

    fn say(&self, states: &[NotifyState<'_>]) {
        if self.is_there
            && let Err(error) = sd_notify::notify(states)
        {
            log::debug!("the service manager is not told: {error}");
        }
    }

    /// Apps and peers can connect.
    pub fn ready(&self) {
        self.say(&[NotifyState::Ready]);
    }

    /// The config is being read again; [`Service::ready`] says that this is over.
    pub fn reloading(&self) {
        let states = NotifyState::monotonic_usec_now().map(|now| [NotifyState::Reloading, now]);
        self.say(states.as_ref().map_or(&[], |states| states));
    }

    /// How long the loop may wait: no longer than the watchdog does, or than the status may be old.
    pub fn patience(&self) -> Option<Duration> {
        let look = self.is_there.then_some(LOOK_PERIOD);
        self.beat.into_iter().chain(look).min()
    }

    /// The loop has turned: it lives, and its status may be another. A loop that does not turn gives no sign, so the
    /// watchdog sees one that hangs.
    pub fn turned(&mut self, shell: &Shell, role: Role) {
        if !self.is_there {
            return;
        }
        if shell.is_told_to_end() && !mem::replace(&mut self.is_ending, true) {
            self.say(&[NotifyState::Stopping]);
        }
        let now = Instant::now();
        if self.beat.is_some_and(|beat| now >= self.beaten + beat / 2) {
            self.beaten = now;
            self.say(&[NotifyState::Watchdog]);
        }
        if self.said.is_empty() || now >= self.looked + LOOK_PERIOD {
            self.looked = now;
            let status = if shell.is_resting() { STOPPED.to_owned() } else { status(role, &shell.connected()) };
            if status != self.said {
                self.say(&[NotifyState::Status(&status)]);
                self.said = status;
            }
        }
    }
}

/// The line of a connector that an admin has stopped. The service goes on: its process answers admins.
const STOPPED: &str = "Stopped by an admin, aioconnectorsctl start begins again";

/// The line that `systemctl status` shows.
fn status(role: Role, connected: &[&str]) -> String {
    match (role, connected) {
        (Role::Server, []) => "Serving, no client is connected".to_owned(),
        (Role::Server, [one]) => format!("Serving, {one} is connected"),
        (Role::Server, all) => format!("Serving, {} clients are connected", all.len()),
        (Role::Client, []) => "Serving, not connected to the server".to_owned(),
        (Role::Client, _) => "Serving, connected to the server".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_tells_who_is_connected() {
        assert_eq!(status(Role::Server, &["alice"]), "Serving, alice is connected");
        assert_eq!(status(Role::Server, &["alice", "bob"]), "Serving, 2 clients are connected");
        assert_eq!(status(Role::Client, &[]), "Serving, not connected to the server");
    }

    #[test]
    fn without_a_service_manager_nothing_is_waited_for() {
        assert_eq!(Service::of_process(false).patience(), None);
    }
}
