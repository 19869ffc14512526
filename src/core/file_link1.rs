//! Messages with files on links of the first kind.

use super::connector::Connector;
use super::file_lane::header_with_error;
use super::slots::Id;
use crate::wire::frame::{self, Frame};

/// What the app reads in place of its file.
const NOT_SENT: &str = "files are not sent on this kind of link";

impl Connector {
    /// Sends the next message of a lane of files without its file. Ahead of it in the connection stands nothing that was
    /// begun.
    pub(super) fn send_without_file(&mut self, id: Id, peer: Id, lane: usize) -> Option<(usize, usize)> {
        let ring = self.peers.get_mut(peer)?.lanes.get_mut(lane)?.ring.as_mut()?;
        let message = ring.front()?;
        let size = message.len();
        let mut out = Vec::new();
        let whole = Frame::parse(message).ok().and_then(|frame| {
            let header = header_with_error(frame.header(), NOT_SENT).ok()?;
            frame::encode(&header, frame.data(), frame.binary(), &mut out).ok()
        });
        if whole.is_none() {
            // What was queued is a message whose header can be changed: it was. It goes as it is.
            out = message.to_vec();
        }
        ring.sent(size);
        let below = ring.front_sequence().unwrap_or(ring.next_sequence());
        let conn = self.conns.get_mut(id)?;
        conn.control.push(out);
        let ahead = conn.control.used();
        conn.link_mut()?.mark_behind(ahead, lane, below);
        Some((0, 0))
    }
}
