//! The numbers that only the shell knows, beside those of the core.

use std::time::Instant;

use super::security::unix_now;
use super::shell::{Kind, Shell};
use crate::core::Id;
use crate::core::figures::{CertificateFigures, Figures, Host, Process, Store, Syncs};
use crate::sys::usage;
use crate::version::{COMMIT, VERSION};

impl Shell {
    /// How all stands, and what has passed.
    #[must_use]
    pub fn figures(&self, now: Instant) -> Figures {
        let mut figures = self.parts.connector.figures(now);
        for peer in &mut figures.peers {
            peer.tls = peer.link.and_then(|id| self.tls_version(id));
        }
        let (count, total, longest) = self.parts.rings.syncs();
        let store = self.parts.rings.folder().map(|folder| {
            let disk_free = usage::disk_free(folder);
            let lasts = self.meter.lasts(figures.stored, disk_free, now);
            Store { path: folder.to_owned(), disk_free, lasts }
        });
        let certificate = self.parts.security.certificate().map(|(subject, not_after)| {
            let expires_in = not_after.saturating_sub(unix_now());
            CertificateFigures { subject, not_after, expires_in }
        });
        figures.host = Host {
            config: self.parts.config_file.clone(),
            server: Some(self.parts.server.clone()),
            store,
            syncs: Syncs { count, total, longest },
            turns: self.meter.turns(),
            certificate,
            process: Process {
                id: std::process::id(),
                resident: usage::resident_bytes(),
                open_files: usage::open_files(),
                files_max: usage::open_files_max(),
                cpu: usage::cpu_time(),
            },
        };
        figures
    }

    /// Answers an admin who wants to see all numbers.
    pub(super) fn show_status(&mut self, id: Id, now: Instant) {
        let status = self.figures(now).to_json(VERSION, COMMIT);
        self.parts.connector.status_shown(id, &status, now);
    }

    /// A turn that began then is over.
    pub(super) fn measure_turn(&mut self, begin: Instant) {
        let end = Instant::now();
        self.meter.turned(end.saturating_duration_since(begin));
        if self.parts.rings.folder().is_some() && self.meter.is_look_due(end) {
            let stored = self.parts.connector.stored();
            self.meter.look(stored.bytes, end);
        }
    }

    fn tls_version(&self, id: Id) -> Option<&'static str> {
        let entry = self.connections.get(id.index())?.as_ref().filter(|entry| entry.id == id)?;
        if let Kind::Link(_) = entry.kind { entry.stream.tls_version() } else { None }
    }
}
