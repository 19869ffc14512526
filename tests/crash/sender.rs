//! A sending app as there are many: it keeps its connection, and knows nothing of receipts.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use crate::message::Route;
use crate::progress::Progress;
use crate::session::connect;

/// Messages that are written at once.
const BLOCK: u64 = 50;

/// It goes on with the next message when its connection was lost.
pub struct Sender {
    socket: PathBuf,
    route: Route,
    /// Messages that were written whole.
    pub written: Arc<Progress>,
    cuts: Vec<u64>,
    stream: Option<UnixStream>,
}

impl Sender {
    pub fn new(socket: PathBuf, route: Route) -> Sender {
        let written = Arc::new(Progress::new("messages written"));
        Sender { socket, route, written, cuts: Vec::new(), stream: None }
    }

    /// Sends all messages below `end`, at full speed.
    #[track_caller]
    pub fn send_to(&mut self, end: u64) {
        while self.written.get() < end {
            let next = self.written.get();
            let block = self.route.encode(next..(next + BLOCK).min(end));
            let stream = self.stream.get_or_insert_with(|| connect(&self.socket));
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

    /// The number of the first message on each connection but the first.
    pub fn cuts(&self) -> Vec<u64> {
        self.cuts.clone()
    }
}
