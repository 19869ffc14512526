//! What the core wants done.

use std::time::Instant;

use super::shell::{Kind, Shell};
use crate::config;
use crate::core::{Id, Output};

impl Shell {
    pub(super) fn do_outputs(&mut self, now: Instant) {
        while let Some(output) = self.parts.connector.poll_output() {
            match output {
                Output::Write(id) => self.to_write.push(id),
                Output::Resume(id) => self.resume(id),
                Output::Close(id) => self.close(id, now),
                Output::Dial(id) => self.dial(id, now),
                Output::DialApp(id, message_type) => self.dial_app(id, &message_type, now),
                Output::OpenRing(name) => {
                    let opened = self.parts.rings.open(&name);
                    self.parts.connector.ring_opened(&name, opened, now);
                }
                Output::Confirm(id) => self.confirm(id, now),
                Output::RemoveRemains(id) => {
                    let result = self.parts.rings.remove_remains(&self.parts.connector);
                    self.parts.connector.remains_removed(id, result, now);
                }
                Output::Ask(id, question) => self.ask(id, question, now),
                Output::Issue(..)
                | Output::Store(..)
                | Output::Renew(..)
                | Output::StoreNext(..)
                | Output::DeleteCertificate(..)
                | Output::DeleteOwnCertificate(..) => self.certificate_output(output, now),
                Output::ShowStatus(id) => self.show_status(id, now),
                Output::SaveConfig(id, change) => {
                    let file = self.parts.config_file.as_deref();
                    let result = file.map_or(Ok(()), |file| config::save(file, &change));
                    self.parts.connector.config_saved(id, result, now);
                }
                Output::Token(id, work) => self.token_work(id, work, now),
                Output::Life(work) => self.life_work(work, now),
                Output::Tell(event) => self.tell(&event, now),
                Output::Stopped => self.ended = true,
            }
        }
    }

    /// Tells the core how much of what was sent on a link has arrived.
    pub(super) fn confirm(&mut self, id: Id, now: Instant) {
        let Some(entry) = self.entry(id).filter(|entry| matches!(entry.kind, Kind::Link(_))) else { return };
        let bytes = entry.stream.confirmed();
        self.parts.connector.confirmed(id, bytes, now);
    }
}
