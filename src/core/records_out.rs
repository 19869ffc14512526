//! What goes out on a link of the second kind: whose turn it is, and how much of it.

use std::time::Instant;

use super::conn::{Conn, Control, Kind, Link};
use super::connector::{Connector, SCRATCH, TLS_RECORD};
use super::durable::RingRef;
use super::peer::{Lane, Peer};
use super::priority::TURN;
use super::runs_out::gather;
use super::settings::Mode;
use super::slots::Id;
use crate::ring::Ring;
use crate::wire::record;

/// Bytes of records that are looked at for one write of runs: headers are half of what repeats most.
const RUNS_FROM: usize = 2 * SCRATCH;

impl Connector {
    /// Offers one piece of what waits for a peer on a link 2; how much was taken of how much.
    pub(super) fn transmit_records(
        &mut self,
        id: Id,
        peer_id: Id,
        left: usize,
        now: Instant,
        sink: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Option<(usize, usize)> {
        if self.link_files(id)?.sending > 0 && self.is_turn_of_piece(id, peer_id) {
            return self.transmit_piece(id, peer_id, left, now, sink);
        }
        if let Some(feed) = self.feed_to_send(id, peer_id) {
            return self.transmit_feed_records(id, peer_id, feed, left, now, sink);
        }
        let shares = self.feeds_pending(id, peer_id);
        let Conn { kind: Kind::Link(Link { link2: Some(link2), .. }), control, .. } = self.conns.get_mut(id)? else {
            return None;
        };
        let window = link2.window;
        let is_mid_frame = |peer: &Peer, lane: usize| peer.lanes.get(lane).is_some_and(Lane::is_mid_frame);
        let mid = link2.out.filter(|lane| self.peers.get(peer_id).is_some_and(|p| is_mid_frame(p, *lane)));
        if mid.is_none() && !control.is_empty() {
            return control.offer(left, sink);
        }
        let peer = self.peers.get_mut(peer_id).filter(|p| p.link == Some(id))?;
        let number = mid.or_else(|| peer.next_lane(|lane| lane.may_send(window)))?;
        let alone = !shares && !peer.lanes.others_wait(number, |lane| lane.may_send(window));
        let lane = &mut peer.lanes[number];
        let (settled, may_have_runs) = (lane.may_send_below(), lane.may_have_runs());
        let ring = lane.ring.as_mut()?;
        if mid.is_none() && (!lane.announced || link2.out != Some(number)) {
            let mut out = Vec::new();
            if !std::mem::replace(&mut lane.announced, true) {
                let said = lane.said(number).encode(&self.settings.id);
                record::append_record(&mut out, 0, record::CONTROL, &[&said]);
            }
            link2.out = Some(number);
            record::append_record(&mut out, 0, record::SWITCH, &[&(number as u32).to_le_bytes()]);
            control.push(out);
            return control.offer(left, sink);
        }
        // A record that was begun is ended before it is looked whether the window has room for more.
        let turn = if alone { left } else { left.min(TURN) };
        let (room, below) = match ring.front_sequence() {
            Some(begun) if mid.is_some() => (left, begun + 1),
            _ => (turn.min(window.saturating_sub(ring.in_flight_bytes()).max(1)), settled),
        };
        if mid.is_none() && link2.takes_runs && may_have_runs {
            // Without TLS each is a write of its own.
            let most = if self.settings.mode == Mode::Plain { SCRATCH } else { TLS_RECORD };
            let (header, out) = (&mut link2.header_out, &mut self.scratch[..most.min(left)]);
            if let Some((taken, made)) = transmit_run(ring, room, below, header, out, control, sink) {
                link2.files.message_sent(made, now);
                peer.sent(number, made, |lane| lane.may_send(window));
                return Some((taken, made));
            }
        }
        let Ok(bytes) = ring.raw(room, below) else {
            let (name, message_type) = (peer.name.clone(), lane.message_type.clone());
            self.ring_damaged(RingRef::Outbox(peer_id, number), &name, &message_type, now);
            return Some((0, 0));
        };
        let bytes = &bytes[..bytes.len().min(left)];
        let (offered, taken) = (bytes.len(), sink(bytes));
        link2.files.message_sent(taken, now);
        ring.raw_sent(taken);
        lane.go_back_if_whole();
        peer.sent(number, taken, |lane| lane.may_send(window));
        Some((taken, offered))
    }

    /// Whether a lane of the peer may send something on its link 2.
    pub(super) fn lanes_pending(&self, id: Id, peer_id: Id) -> bool {
        let Some(window) = self.conns.get(id).and_then(|c| c.link()).and_then(|l| l.link2.as_ref()).map(|l| l.window)
        else {
            return false;
        };
        let Some(peer) = self.peers.get(peer_id).filter(|p| p.link == Some(id)) else { return false };
        let may_send = peer.mid_frame().is_some() || peer.next_lane(|lane| lane.may_send(window)).is_some();
        may_send || self.may_send_piece(id) || self.holds_offers(id) || self.feeds_pending(id, peer_id)
    }
}

/// Offers runs of what is next in a queue, made in `out`; how much was taken of how much. `None` if it is not for runs.
fn transmit_run(
    ring: &mut Ring,
    room: usize,
    below: u64,
    header: &mut Vec<u8>,
    out: &mut [u8],
    control: &mut Control,
    sink: &mut dyn FnMut(&[u8]) -> usize,
) -> Option<(usize, usize)> {
    let records = ring.unsummed(room.min(RUNS_FROM), below).ok()?;
    let (made, gone) = gather(records, header, out);
    if made == 0 {
        return None;
    }
    let taken = sink(&out[..made]);
    // What was begun is ended before all else, so what was put into runs counts as sent.
    control.push_next(out[taken..made].to_vec());
    ring.unsummed_sent(&gone);
    Some((taken, made))
}
