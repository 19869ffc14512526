//! Peers on plain TCP that speak frames themselves.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Frame, wait};

/// One end of a plain link.
pub struct RawPeer {
    pub stream: TcpStream,
}

impl RawPeer {
    /// Connects to a server and says nothing.
    #[track_caller]
    pub fn silent(port: u16) -> RawPeer {
        let stream = wait::until("a server that listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        RawPeer { stream }
    }

    /// Connects to a server as the client `name`.
    #[track_caller]
    pub fn client(port: u16, name: &str) -> RawPeer {
        let mut peer = RawPeer::silent(port);
        peer.send(&hello(name));
        peer
    }

    /// Waits, as a server, for a client's connection.
    #[track_caller]
    pub fn accept(listener: &TcpListener) -> RawPeer {
        listener.set_nonblocking(true).expect("a listener that does not wait");
        let stream = wait::until("a client that connects", || listener.accept().ok()).0;
        stream.set_nonblocking(false).expect("a connection that waits");
        RawPeer { stream }
    }

    #[track_caller]
    pub fn send(&mut self, frame: &Frame) {
        self.stream.write_all(&frame.encode()).unwrap_or_else(|error| panic!("{frame:?} was not taken: {error}"));
    }

    /// Answers the `_ping` that must come next, as every connector does.
    #[track_caller]
    pub fn answer_ping(&mut self) {
        let ping = self.receive();
        assert_eq!((ping.field("message_type"), ping.field("await_response")), ("_ping".into(), true.into()));
        let header = json!({"message_type": "_ping", "source_id": "raw", "response_id": ping.field("request_id")});
        self.send(&Frame::new(header, ping.data));
    }

    /// Writes what may not be taken to its end.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next frame that the other end sends; panics if there is none.
    #[track_caller]
    pub fn receive(&mut self) -> Frame {
        self.stream.set_read_timeout(Some(wait::LIMIT)).expect("a time limit");
        let frame = Frame::read(&mut self.stream).unwrap_or_else(|error| panic!("no frame came: {error}"));
        frame.expect("a frame before the connection's end")
    }

    /// Waits until the other end closes, and says how long that took.
    #[track_caller]
    pub fn wait_closed(&mut self) -> Duration {
        self.stream.set_read_timeout(Some(wait::LIMIT)).expect("a time limit");
        wait_end(&mut self.stream)
    }
}

/// What a client says first on a plain link.
pub fn hello(name: &str) -> Frame {
    Frame::new(json!({"message_type": "_handshake_no_ssl", "source_id": name}), "hello")
}

/// Reads to the end of `stream`, which has a read timeout, and says how long that took. A reset is an end, too.
#[track_caller]
pub fn wait_end(stream: &mut impl Read) -> Duration {
    let start = Instant::now();
    match io::copy(stream, &mut io::sink()) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("the connection is not closed"),
        _ => start.elapsed(),
    }
}
