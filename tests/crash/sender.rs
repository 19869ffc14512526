//! A sending app as there are many: it keeps its connection, and knows nothing of receipts.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use nix::sys::socket::{getsockopt, sockopt};

use crate::message::Route;
use crate::progress::Progress;
use crate::session::connect;
use crate::tally::Tally;

/// What a connector reads at once from an app, bytes: so much has left the socket and may not be in the queue yet.
const READ_SIZE: usize = 256 * 1024;

/// Messages that are written at once.
const BLOCK: u64 = 50;

/// It goes on with the next message when its connection was lost.
pub struct Sender {
    socket: PathBuf,
    route: Route,
    /// Messages that were written whole.
    pub written: Arc<Progress>,
    /// The number of the first message on each connection but the first.
    cuts: Vec<u64>,
    stream: Option<UnixStream>,
    /// Bytes that a connection's socket holds at most.
    room: usize,
}

impl Sender {
    pub fn new(socket: PathBuf, route: Route) -> Sender {
        let written = Arc::new(Progress::new("messages written"));
        Sender { socket, route, written, cuts: Vec::new(), stream: None, room: 0 }
    }

    /// Sends all messages below `end`, at full speed.
    #[track_caller]
    pub fn send_to(&mut self, end: u64) {
        while self.written.get() < end {
            let next = self.written.get();
            let block = self.route.encode(next..(next + BLOCK).min(end));
            let room = &mut self.room;
            let stream = self.stream.get_or_insert_with(|| {
                let stream = connect(&self.socket);
                *room = getsockopt(&stream, sockopt::SndBuf).expect("the socket's room");
                stream
            });
            let mut sent = 0;
            while sent < block.bytes.len() {
                match stream.write(&block.bytes[sent..]) {
                    Ok(count) if count > 0 => sent += count,
                    _ => {
                        self.stream = None;
                        self.cuts.push(block.next_after(sent));
                        break;
                    }
                }
            }
            self.written.set(block.next_after(sent));
        }
    }
}

/// Whatever is lost was the last on a connection that ended with its connector, and no more than had room between the app
/// and the queue.
#[track_caller]
pub fn assert_lost_in_sockets_only(tally: &Tally, count: u64, sender: &Sender) {
    let Sender { cuts, route, room, .. } = sender;
    let (room, all) = (room + READ_SIZE, tally.describe(count));
    for range in tally.lost(count) {
        assert!(cuts.contains(&range.end), "{range:?} was lost, the app was cut off at {cuts:?}: {all}");
        // What two connections lost may adjoin.
        let inside = cuts.iter().copied().filter(|cut| *cut > range.start && *cut < range.end);
        let mut ends: Vec<u64> = inside.chain([range.end]).collect();
        ends.dedup();
        let mut start = range.start;
        for end in ends {
            // Of the last message a part only may have been read.
            let bytes = route.encode(start..end).bytes.len();
            assert!(bytes <= room, "{start}..{end} of {bytes} bytes was lost, {room} have room in the socket: {all}");
            start = end;
        }
    }
}
