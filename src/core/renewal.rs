//! The renewal of a client's certificate, on a link of the second kind whose other side knows the feature.
//!
//! The client asks with what it has made, the server accepts that beside what the client has, and answers. The link goes
//! on: the next connection begins with the new certificate. When it is time the shell knows.

use super::conn::State;
use super::connector::{Connector, Step};
use super::event::{Cause, Event, Output};
use super::settings::Mode;
use super::slots::Id;
use crate::wire::control::{self, Control, NewCertificate, Offer};
use crate::wire::frame::Frame;
use crate::wire::header::Header;
use crate::wire::names::Role;

/// Renewals that a client may ask for on a link: each costs the server some writing to its disk.
const RENEWALS_MAX: u32 = 8;

/// Characters of the server's reason that are logged.
const WHY_MAX: usize = 400;

/// What is known of renewals on a link.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    /// The other side knows of them.
    pub is_known: bool,
    /// The client has asked, and awaits the answer.
    asked: bool,
    /// How often the client has asked.
    count: u32,
}

impl Connector {
    /// Client: the link on which a certificate can be renewed, if there is one.
    fn renewal_link(&self) -> Option<Id> {
        let may = self.settings.role == Role::Client && self.settings.mode == Mode::Certificates && !self.stopping;
        let link = self.peers.find(&self.settings.server_id).and_then(|id| self.peers.get(id)?.link)?;
        let renewal = &self.conns.get(link)?.link()?.link2.as_ref()?.renewal;
        (may && renewal.is_known && !renewal.asked).then_some(link)
    }

    /// Client: whether there is a link on which its certificate can be renewed now.
    #[must_use]
    pub fn can_renew(&self) -> bool {
        self.renewal_link().is_some()
    }

    /// Client: asks for its next certificate, if it can.
    pub fn renew(&mut self, offer: &Offer) {
        let Some(id) = self.renewal_link() else { return };
        self.send_control(id, control::renew_certificate(&self.settings.id, offer));
        if let Some(renewal) = self.renewal_of(id) {
            renewal.asked = true;
        }
    }

    fn renewal_of(&mut self, id: Id) -> Option<&mut Renewal> {
        Some(&mut self.conns.get_mut(id)?.link_mut()?.link2.as_mut()?.renewal)
    }

    /// What the other side says of certificates on a link that is up.
    pub(super) fn renewal_message(&mut self, id: Id, peer: Id, frame: &Frame<'_>, header: &Header<'_>) -> Step {
        let said = match control::parse(header, frame.data()) {
            Ok(said) => said,
            Err(error) => return Step::End(Cause::BadInput(error.to_string())),
        };
        let (role, mode) = (self.settings.role, self.settings.mode);
        let Some(renewal) = self.renewal_of(id) else { return Step::Taken };
        match (role, said) {
            (Role::Server, Control::RenewCertificate(offer)) if mode == Mode::Certificates => {
                renewal.count += 1;
                if renewal.count > RENEWALS_MAX {
                    let why = format!("no more than {RENEWALS_MAX} certificates are renewed on a link");
                    self.certificate_renewed(id, &Err(why));
                    return Step::Taken;
                }
                self.offer(id, offer);
                // Who it is its certificate has said.
                let name = self.peers.get(peer).map(|peer| peer.name.clone()).unwrap_or_default();
                self.outputs.push_back(Output::Renew(id, name));
            }
            (Role::Client, Control::SetNewCertificate(new)) if std::mem::take(&mut renewal.asked) => {
                self.outputs.push_back(Output::StoreNext(new));
            }
            // On this link it is not asked again.
            (Role::Client, Control::NotRenewed(why)) if renewal.asked => {
                self.tell(Event::NotRenewed { why: why.chars().take(WHY_MAX).collect() });
            }
            // What nobody has asked for changes nothing.
            _ => {}
        }
        Step::Taken
    }

    /// Server: the shell has accepted the client's next certificate, or has not.
    pub fn certificate_renewed(&mut self, id: Id, result: &Result<NewCertificate, String>) {
        let is_up = |state: State| matches!(state, State::Up { .. });
        if !self.conns.get(id).and_then(|c| c.link()).is_some_and(|link| is_up(link.state)) {
            return;
        }
        let answer = match result {
            Ok(new) => control::set_new_certificate(&self.settings.id, new),
            Err(why) => control::certificate_not_renewed(&self.settings.id, why),
        };
        self.send_control(id, answer);
    }
}
