//! When certificates are looked at: warnings ahead of their end, and the renewal of a client's own.

use std::time::{Duration, Instant};

use std::path::{Path, PathBuf};
use std::thread;

use super::expiry::{DAY, WARN_DAYS};
use super::security::{ClientSecurity, Security, ServerSecurity, unix_now};
use super::shell::Shell;
use crate::certs::pair::load_certificates;
use crate::certs::x509::date;
use crate::certs::{self, Certificate, Ending, Layout};

/// Time between two looks at the certificates.
const CHECK_PERIOD: Duration = Duration::from_secs(3600);

/// Until a renewal that could not be asked for, or was not answered, is tried again.
const RENEW_AGAIN: Duration = Duration::from_secs(60);

/// A client's certificate is renewed when so much of its life is over.
const RENEW_PERCENT: i64 = 80;

/// Seconds between two looks at the certificates of all clients.
const CLIENTS_PERIOD: i64 = DAY;

/// Clients whose certificates end that are named; the others are counted.
const NAMED_MAX: usize = 5;

/// When a certificate is to be renewed, in Unix seconds.
fn renewal_time(certificate: &Certificate) -> i64 {
    let life = certificate.not_after().saturating_sub(certificate.not_before());
    certificate.not_before().saturating_add(life / 100 * RENEW_PERCENT)
}

impl Shell {
    /// Looks at the certificates if it is time to, and has this client's own renewed if it is.
    pub(super) fn check_certificates(&mut self, now: Instant) {
        if self.certificates_at > now {
            return;
        }
        let due = self.parts.security.check();
        let wait =
            due.map_or(CHECK_PERIOD, |due| Duration::from_secs(u64::try_from(due).unwrap_or(0)).min(CHECK_PERIOD));
        self.certificates_at = now + if wait.is_zero() { RENEW_AGAIN } else { wait };
        if wait.is_zero() && self.parts.connector.can_renew() {
            log::info!(
                "{RENEW_PERCENT} % of the life of this client's certificate is over: the server is asked to renew it"
            );
            let offer = self.parts.security.offer();
            self.parts.connector.renew(&offer);
            self.do_outputs(now);
        }
    }
}

impl Security {
    /// When the certificate that this connector shows ends, in Unix seconds, if it shows one.
    pub(super) fn ends(&self) -> Option<i64> {
        self.certificate().map(|(_, ends)| ends)
    }

    /// Whose certificate this connector shows, and when it ends, in Unix seconds, if it shows one.
    pub(super) fn certificate(&self) -> Option<(String, i64)> {
        let told = |certificate: &Certificate| (certificate.subject().to_owned(), certificate.not_after());
        match self {
            Security::Plain => None,
            Security::Server(server) => Some(told(server.own.borrow().pair.pair().certificate())),
            Security::Client(client) if client.setup.way.is_without_certificate() => None,
            Security::Client(client) => Some(told(&client.folder.own_certificate(&client.setup.name).ok()?)),
        }
    }

    /// Warns of certificates that end soon. In how many seconds, at the soonest, this client's own is to be renewed.
    fn check(&self) -> Option<i64> {
        match self {
            Security::Plain => None,
            Security::Server(server) => {
                server.check();
                None
            }
            Security::Client(client) => client.check(),
        }
    }
}

/// Warns of the certificates of clients that may be away: who is connected has its own renewed. There may be thousands,
/// so it is a thread that reads them, and ends.
fn look_at_clients(dir: PathBuf, now: i64) {
    let look = move || {
        if let Some(line) = ends_of_clients(&dir, now) {
            log::warn!("{line}");
        }
    };
    if let Err(e) = thread::Builder::new().name("certificates".to_owned()).spawn(look) {
        log::warn!("the certificates of clients were not looked at: {e}");
    }
}

/// One line on the certificates of clients that end soon, if some do.
fn ends_of_clients(dir: &Path, now: i64) -> Option<String> {
    let days = WARN_DAYS[0];
    let all = match certs::ending(dir, now.saturating_add(days * DAY)) {
        Ok(all) => all,
        Err(e) => return Some(format!("the certificates of clients were not looked at: {e}")),
    };
    let names: Vec<String> = all
        .iter()
        .take(NAMED_MAX)
        .map(|Ending { client, not_after }| {
            format!("{client} ({} {})", if *not_after < now { "since" } else { "on" }, date(*not_after))
        })
        .collect();
    let more = all.len().checked_sub(NAMED_MAX).filter(|more| *more > 0);
    let more = more.map(|more| format!(" and {more} more")).unwrap_or_default();
    let (count, names) = (all.len(), names.join(", "));
    (count > 0).then(|| {
        format!(
            "{count} clients have certificates that end within {days} days, or have ended: {names}{more}; a client \
            renews its own in time when it connects, one that has ended is to be deleted on both sides"
        )
    })
}

impl ServerSecurity {
    fn check(&self) {
        let (now, mut expiry, layout) = (unix_now(), self.expiry.borrow_mut(), Layout::new(&self.setup.dir));
        expiry.look("the server's certificate", self.own.borrow().pair.pair().certificate(), now);
        if self.registry.is_none() {
            return;
        }
        if self.clients_at.get() <= now {
            self.clients_at.set(now.saturating_add(CLIENTS_PERIOD));
            look_at_clients(self.setup.dir.clone(), now);
        }
        let others = [
            ("the CA for clients", layout.ca_certificate()),
            ("the certificate that new clients share", layout.client_certificate("default")),
        ];
        for (what, path) in others {
            for certificate in load_certificates(&path).unwrap_or_default() {
                expiry.look(what, &certificate, now);
            }
        }
    }
}

impl ClientSecurity {
    fn check(&self) -> Option<i64> {
        if self.setup.way.is_without_certificate() {
            return None;
        }
        let (now, mut expiry) = (unix_now(), self.expiry.borrow_mut());
        for server in self.folder.pinned_servers().unwrap_or_default() {
            expiry.look("the server's certificate, as it is accepted here", &server, now);
        }
        let own = self.folder.own_certificate(&self.setup.name).ok()?;
        expiry.look("this client's certificate", &own, now);
        Some(renewal_time(&own).saturating_sub(now).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::{Registry, create};

    #[test]
    fn of_many_clients_whose_certificates_end_some_are_named_and_the_others_counted() {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path(), false).unwrap();
        let mut registry = Registry::open(dir.path(), 10).unwrap();
        let mut issue = |name: &str| {
            registry.issue(name).unwrap();
            load_certificates(&Layout::new(dir.path()).client_certificate(name)).unwrap()[0].not_after()
        };
        let end = issue("c0");
        assert_eq!(ends_of_clients(dir.path(), end - 31 * DAY), None);
        for n in 1..7 {
            issue(&format!("c{n}"));
        }
        let line = ends_of_clients(dir.path(), end - DAY).unwrap();
        assert!(
            line.starts_with("7 clients have") && line.contains("c0 (on ") && line.contains("and 2 more"),
            "{line}"
        );
        let line = ends_of_clients(dir.path(), end + DAY).unwrap();
        assert!(line.contains("c0 (since ") && !line.contains('\n'), "{line}");
    }
}
