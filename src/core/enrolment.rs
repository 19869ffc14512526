//! Enrolment: a client that has only the certificate that new clients share gets one of its own.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use super::conn::State;
use super::connector::{Connector, Step};
use super::event::{Cause, Event, Output};
use super::gate::Wants;
use super::slots::Id;
use crate::wire::control::{self, Control, NewCertificate, Offer};
use crate::wire::frame::Frame;
use crate::wire::header::{self, Header};
use crate::wire::names::validate_client_name;

/// A certificate that a server accepts from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// What the client is sent.
    pub new: NewCertificate,
    /// Its serial number, as in `source_id_2_cert.json`.
    pub serial: String,
}

/// Who was given which certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedTo {
    /// The client's name.
    pub client: String,
    /// The certificate's serial number.
    pub serial: String,
    /// Where the client is; none if it was gone before the certificate was made.
    pub remote: Option<SocketAddr>,
}

impl fmt::Display for IssuedTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate {} is accepted for client {}, ", self.serial, self.client)?;
        match self.remote {
            Some(remote) => write!(f, "which enrolled from {remote}"),
            None => write!(f, "which was gone before it was told"),
        }
    }
}

impl Connector {
    /// Server: a client with a shared certificate asks for its own.
    pub(super) fn enrolment_request(&mut self, id: Id, frame: &Frame<'_>, header: &Header<'_>, now: Instant) -> Step {
        let asked = header.message_type == control::SSL;
        match asked.then(|| control::parse(header, frame.data())) {
            Some(Ok(Control::GetNewCertificate(offer))) => self.offer(id, offer),
            Some(Err(error)) => return Step::End(Cause::BadInput(error.to_string())),
            _ => {
                let what = format!(
                    "a client with a default certificate may only ask for one of its own, {:?} came",
                    header.message_type
                );
                return Step::End(Cause::BadInput(what));
            }
        }
        let name = match client_name(header) {
            Ok(name) => name,
            Err(cause) => return Step::End(cause),
        };
        if let Err(cause) = self.is_invited(&name, frame.data(), now) {
            return Step::End(cause);
        }
        self.admit(id, &name, Wants::Certificate, now);
        Step::Taken
    }

    /// What the client of this link offers as its certificate. On the client, before it is `secured`.
    pub fn offer(&mut self, id: Id, offer: Offer) {
        if let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) {
            link.offer = Some(Box::new(offer));
        }
    }

    /// What was offered, once.
    pub fn take_offer(&mut self, id: Id) -> Offer {
        let offer = self.conns.get_mut(id).and_then(|c| c.link_mut()).and_then(|link| link.offer.take());
        offer.map_or_else(Offer::default, |offer| *offer)
    }

    /// Server: the shell has made a certificate for the client, or has not.
    pub fn certificate_issued(&mut self, id: Id, name: &str, result: Result<IssuedCertificate, String>, now: Instant) {
        let link = self.conns.get(id).and_then(|c| c.link());
        let Some(remote) = link.filter(|link| link.state == State::Issuing).map(|link| link.remote) else {
            // It is accepted all the same, and the client does not know: who has to find out why finds this.
            if let Ok(IssuedCertificate { serial, .. }) = result {
                self.tell(Event::Issued(IssuedTo { client: name.to_owned(), serial, remote: None }));
            }
            return;
        };
        match result {
            Ok(IssuedCertificate { new, serial }) => {
                self.tell(Event::Issued(IssuedTo { client: name.to_owned(), serial, remote }));
                let answer = control::set_new_certificate(&self.settings.id, &new);
                self.finish(id, answer, Cause::Enrolled, now);
            }
            Err(why) => self.close(id, Cause::NotEnrolled(why), now),
        }
    }

    /// Client: the server's answer to the request for a certificate.
    pub(super) fn certificate(&mut self, id: Id, frame: &Frame<'_>, header: &Header<'_>) -> Step {
        if header.message_type == control::CLOSE {
            return self.peer_says_goodbye(id, frame, header);
        }
        match control::parse(header, frame.data()) {
            Ok(Control::SetNewCertificate(new)) => {
                if let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) {
                    link.state = State::Storing;
                }
                self.outputs.push_back(Output::Store(id, new));
                Step::Taken
            }
            Ok(other) => Step::End(Cause::BadInput(format!("a new certificate was expected, {other:?} came"))),
            Err(error) => Step::End(Cause::BadInput(error.to_string())),
        }
    }

    /// Client: the shell has stored the certificate, or has not.
    pub fn certificate_stored(&mut self, id: Id, result: Result<(), String>, now: Instant) {
        match result {
            Ok(()) => {
                self.tell(Event::Enrolled);
                self.close(id, Cause::Enrolled, now);
            }
            Err(why) => self.close(id, Cause::NotEnrolled(why), now),
        }
    }
}

/// The name that a client gives itself in its first frame.
pub(super) fn client_name(header: &Header<'_>) -> Result<String, Cause> {
    let missing = || Cause::BadInput(header::HeaderError::Missing("source_id").to_string());
    let name = header.source_id.as_deref().ok_or_else(missing)?;
    validate_client_name(name).map_err(|error| Cause::BadInput(error.to_string()))?;
    Ok(name.to_owned())
}
