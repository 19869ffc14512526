//! What the core wants done with certificates, and what is said of it to who reads the log of what matters for security.

use std::time::Instant;

use super::audit;
use super::shell::Shell;
use crate::core::{Event, Id, IssuedCertificate, Output};
use crate::logger::AUDIT;

impl Shell {
    /// Does what an output about certificates says.
    pub(super) fn certificate_output(&mut self, output: Output, now: Instant) {
        match output {
            Output::Issue(id, name) => {
                let result = self.parts.security.issue(&name, &self.parts.connector.take_offer(id));
                self.parts.connector.certificate_issued(id, &name, result, now);
            }
            Output::Store(id, new) => {
                let result = self.parts.security.store(&new);
                if let Ok(serial) = &result {
                    log::info!(target: AUDIT, "the certificate {serial} is this client's own from now on");
                }
                self.parts.connector.certificate_stored(id, result.map(drop), now);
            }
            Output::Renew(id, name) => {
                let result = self.parts.security.renew(&name, &self.parts.connector.take_offer(id));
                match &result {
                    Ok(IssuedCertificate { serial, .. }) => log::info!(
                        target: AUDIT,
                        "the certificate of client {name} was renewed: {serial} is accepted as its next"
                    ),
                    Err(why) => log::warn!(target: AUDIT, "the certificate of client {name} was not renewed: {why}"),
                }
                self.parts.connector.certificate_renewed(id, &result.map(|issued| issued.new));
            }
            Output::StoreNext(new) => match self.parts.security.store(&new) {
                Ok(serial) => {
                    log::info!(target: AUDIT, "this client's certificate was renewed: {serial} is its own from now on");
                }
                Err(why) => log::warn!(target: AUDIT, "this client's certificate was renewed, and is not kept: {why}"),
            },
            Output::DeleteCertificate(id, client, only_link) => self.delete_certificate(id, &client, only_link, now),
            Output::DeleteOwnCertificate(id, restart) => {
                let result = self.parts.security.delete_own();
                match &result {
                    Ok(serial) => {
                        let serial = serial.as_deref().unwrap_or("which could not be read");
                        log::info!(target: AUDIT, "an admin had this client's own certificate deleted, {serial}");
                    }
                    Err(why) => log::warn!(target: AUDIT, "this client's own certificate was not deleted: {why}"),
                }
                self.parts.connector.own_certificate_deleted(id, restart, &result.map(drop), now);
            }
            _ => {}
        }
    }

    /// Logs what the operator is told.
    pub(super) fn tell(&mut self, event: &Event, now: Instant) {
        if let Event::PeerUp { .. } = event
            && self.parts.security.is_up()
        {
            // There is a link now on which its certificate can be renewed.
            self.certificates_at = now;
        }
        audit::tell(event);
    }

    fn delete_certificate(&mut self, id: Id, client: &str, only_link: bool, now: Instant) {
        let result = self.parts.security.delete(client, only_link);
        match &result {
            Ok(serials) => {
                let files = if only_link { "; its files stay" } else { "" };
                let serials = serials.join(", ");
                log::info!(target: AUDIT, "an admin had the certificate of client {client} deleted, {serials}{files}");
            }
            Err(why) => log::warn!(target: AUDIT, "an admin wanted a certificate to be deleted: {why}"),
        }
        self.parts.connector.certificate_deleted(id, client, &result.map(drop), now);
    }
}
