//! A message of a peer on its way to the app that it is for.

use std::time::Instant;

use super::conn::LinkMemo;
use super::connector::{Connector, Step};
use super::event::Cause;
use super::ledger::Reason;
use super::slots::Id;
use crate::wire::control;
use crate::wire::frame::{self, Frame};
use crate::wire::header::{self, Change, Header};
use crate::wire::with_file::{WithFile, file_begins};

/// Where a message goes: its inbox, and its row in the counts.
pub(super) type Way = (usize, usize);

/// A message for an app.
pub(super) struct ForApp {
    pub inbox: usize,
    /// The row in the counts of its peer and type.
    pub row: usize,
    /// The frame, if the app gets another than the one that came.
    pub changed: Option<Vec<u8>>,
}

impl Connector {
    /// A message for an app: an answer to its asker, all else to the inbox of its type.
    pub(super) fn ordinary(&mut self, id: Id, peer: Id, frame: &Frame<'_>, header: &Header<'_>, now: Instant) -> Step {
        if let Some(own) = header.with_file.then(|| file_begins(frame.header())).flatten() {
            let (head, size) = frame.divided(own);
            return match self.begin_target(id, peer, &head, size, header, now) {
                Step::Taken => Step::Divided(head.bytes().len()),
                step => step,
            };
        }
        let step = match self.for_app(id, peer, frame, header, now) {
            Ok(Some(ForApp { inbox, row, changed })) => {
                self.deliver((inbox, row), &[changed.as_deref().unwrap_or(frame.bytes())], peer, id, now)
            }
            Ok(None) => Step::Taken,
            Err(cause) => return Step::End(cause),
        };
        if let (Step::Taken, Some(transport_id)) = (&step, header.transport_id) {
            self.send_control(id, control::ack(&self.settings.id, transport_id));
        }
        step
    }

    /// The inbox of a message, and what the app gets of it if that is not as it came. `None` if there is nothing more
    /// to do: it was an answer, which its asker has now, or its type is not received here.
    pub(super) fn for_app(
        &mut self,
        id: Id,
        peer: Id,
        frame: &Frame<'_>,
        header: &Header<'_>,
        now: Instant,
    ) -> Result<Option<ForApp>, Cause> {
        let changed = changed_for_app(frame, header)?;
        if header.response_id.is_some()
            && let Some(asker) = self.take_asker(peer, header)
        {
            let row = self.row_of(peer, &header.message_type);
            self.traffic.received(row, frame.bytes().len());
            self.answer_app(asker, changed.unwrap_or_else(|| frame.bytes().to_vec()), now);
            return Ok(None);
        }
        let Some(inbox) = self.inbox_for(&header.message_type) else {
            let name = self.peers.get(peer).map(|p| p.name.clone()).unwrap_or_default();
            self.count_drop(&name, &header.message_type, Reason::TypeNotAllowed, 1, now);
            return Ok(None);
        };
        let row = self.row_of(peer, &header.message_type);
        if changed.is_none() && header.response_id.is_none() {
            self.remember_inbox(id, frame, inbox, row);
        }
        Ok(Some(ForApp { inbox, row, changed }))
    }

    /// The row in the counts of a peer and a type.
    pub(super) fn row_of(&mut self, peer: Id, message_type: &str) -> usize {
        let name = self.peers.get(peer).map_or("", |peer| peer.name.as_str());
        self.traffic.row(name, message_type)
    }

    fn remember_inbox(&mut self, id: Id, frame: &Frame<'_>, inbox: usize, row: usize) {
        if let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) {
            let with_binary = frame.binary().is_some();
            link.memo = Some(LinkMemo { header: frame.header().to_vec(), with_binary, row: row as u32, inbox });
        }
    }
}

/// The frame as the app gets it, if that is not as it came: without the number that asks for an acknowledgement, and
/// without the bytes of a file. A Python connector leaves an empty binary out and says all the same that there is one,
/// at which Python apps stumble, so it is put back.
pub(super) fn changed_for_app(frame: &Frame<'_>, header: &Header<'_>) -> Result<Option<Vec<u8>>, Cause> {
    let lacks_binary = header.with_binary && frame.binary().is_none();
    if header.transport_id.is_none() && !header.with_file && !lacks_binary {
        return Ok(None);
    }
    let bad = |error: &dyn std::fmt::Display| Cause::BadInput(error.to_string());
    let mut changes: Vec<Change<'_>> = vec![("transport_id", None)];
    let binary = match frame.binary() {
        _ if header.with_file => own_binary(frame),
        None if lacks_binary => Some(&[][..]),
        binary => binary,
    };
    if binary.is_none() {
        changes.push(("with_binary", None));
    }
    let changed = header::rewrite(frame.header(), &changes).map_err(|e| bad(&e))?;
    let mut out = Vec::new();
    frame::encode(&changed, frame.data(), binary, &mut out).map_err(|e| bad(&e))?;
    Ok(Some(out))
}

/// The app's own binary in a frame that carries a file behind it, or says why it does not.
fn own_binary<'a>(frame: &Frame<'a>) -> Option<&'a [u8]> {
    let with_file = WithFile::of(frame.header());
    let all = if with_file.error().is_some() { u64::MAX } else { 0 };
    let (own, _) = frame.divided(with_file.binary_offset().unwrap_or(all));
    own.binary().filter(|own| !own.is_empty())
}
