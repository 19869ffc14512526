//! One TLS session, from memory to memory: rustls without buffers of its own.
//!
//! rustls remembers places in the bytes that it was given and could not use yet, so each call must begin with these
//! very bytes: the session keeps them. It works through all whole records at once, whether or not the reader wants more,
//! so what is kept never holds a record that sealing would have to skip. After an error only an alert can come out.

use std::fmt;
use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{ClientConfig, CommonState, Error, ProtocolVersion, ServerConfig};

use crate::wire::link::ALPN;

/// What a session reports while it works through what came.
pub trait Handler {
    /// The handshake is done: what is known of the peer is in `state`. Called once, before any data.
    fn secured(&mut self, state: &CommonState);
    /// Data of the peer; whether more should be read now. More may come all the same, of what was read already.
    fn data(&mut self, plaintext: &[u8]) -> bool;
}

/// Most bytes that wait for the rest of a record or of a handshake message; rustls takes none over 64 KiB.
pub const KEPT_MAX: usize = 128 * 1024;

/// Memory that an idle session may hold for what it keeps, bytes.
const IDLE_CAPACITY: usize = 4 * 1024;

/// How far a session came with what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It needs more bytes of the peer.
    NeedsInput,
    /// The handler wants no more for now. If the peer has ended, that is said when it is asked again.
    Paused,
    /// The peer said that nothing more comes.
    PeerClosed,
}

/// The two kinds of rustls connections, which differ in their type only.
trait Machine {
    type Data;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Machine for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

impl Machine for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

enum Side {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// A TLS session.
pub struct Session {
    side: Side,
    /// Bytes of the peer that rustls could not use yet.
    kept: Vec<u8>,
    announced: bool,
    failed: bool,
    peer_closed: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("announced", &self.announced).finish_non_exhaustive()
    }
}

/// Whether both sides of a handshake that is done said that they speak the second kind of link.
#[must_use]
pub fn speaks_link2(state: &CommonState) -> bool {
    state.alpn_protocol() == Some(ALPN)
}

/// What one state of rustls asks for.
enum Step {
    /// To be asked again; whether the handler wants more.
    Again {
        goes_on: bool,
    },
    Stop(Progress),
}

impl Session {
    /// The side that connects.
    ///
    /// # Errors
    /// rustls refuses the settings.
    pub fn client(config: Arc<ClientConfig>, server: ServerName<'static>) -> Result<Self, Error> {
        Ok(Self::new(Side::Client(UnbufferedClientConnection::new(config, server)?)))
    }

    /// The side that accepts.
    ///
    /// # Errors
    /// rustls refuses the settings.
    pub fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self::new(Side::Server(UnbufferedServerConnection::new(config)?)))
    }

    fn new(side: Side) -> Self {
        Self { side, kept: Vec::new(), announced: false, failed: false, peer_closed: false }
    }

    /// What must stand in front of the bytes that are given next.
    #[must_use]
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Whether the peer said that nothing more comes.
    #[must_use]
    pub fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Whether both sides said in the handshake that they speak the second kind of link.
    #[must_use]
    pub fn speaks_link2(&self) -> bool {
        speaks_link2(self.state())
    }

    /// What the two sides speak, as OpenSSL words it.
    #[must_use]
    pub fn tls_version(&self) -> Option<&'static str> {
        match self.state().protocol_version()? {
            ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
            ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
            _ => None,
        }
    }

    fn state(&self) -> &CommonState {
        match &self.side {
            Side::Client(connection) => connection,
            Side::Server(connection) => connection,
        }
    }

    /// Works through `incoming`, which begins with [`Session::kept`]. What the protocol itself has to say goes to `out`,
    /// also after an error: an alert for the peer.
    ///
    /// # Errors
    /// The peer broke the protocol, or was refused.
    pub fn receive(
        &mut self,
        incoming: &mut [u8],
        out: &mut Vec<u8>,
        handler: &mut dyn Handler,
    ) -> Result<Progress, Error> {
        if self.peer_closed {
            return Ok(Progress::PeerClosed);
        }
        let (used, result) = self.work_through(incoming, out, handler);
        self.kept.clear();
        if result.is_ok() {
            self.kept.extend_from_slice(&incoming[used..]);
        } else {
            self.failed = true;
            self.collect_alert(out);
        }
        if self.kept.is_empty() && self.kept.capacity() > IDLE_CAPACITY {
            self.kept = Vec::new();
        }
        if self.kept.len() > KEPT_MAX {
            self.failed = true;
            return Err(Error::General(format!("{} bytes that make no message", self.kept.len())));
        }
        result
    }

    fn work_through(
        &mut self,
        incoming: &mut [u8],
        out: &mut Vec<u8>,
        handler: &mut dyn Handler,
    ) -> (usize, Result<Progress, Error>) {
        let (mut used, mut goes_on) = (0, true);
        loop {
            // The peer's first data may come with the end of the handshake; who it is has to be told first.
            let (announced, mut early) = (self.announced, Early::default());
            let handler_now: &mut dyn Handler = if announced { handler } else { &mut early };
            let (discard, step) = self.step(&mut incoming[used..], out, handler_now);
            used += discard;
            if !announced && step.is_ok() && !self.state().is_handshaking() {
                self.announced = true;
                handler.secured(self.state());
            }
            if !early.0.is_empty() {
                goes_on &= handler.data(&early.0);
            }
            match step {
                Ok(Step::Again { goes_on: more }) => goes_on &= more,
                Ok(Step::Stop(progress)) => {
                    self.peer_closed = progress == Progress::PeerClosed;
                    return (used, Ok(if goes_on { progress } else { Progress::Paused }));
                }
                Err(error) => return (used, Err(error)),
            }
        }
    }

    fn step(
        &mut self,
        incoming: &mut [u8],
        out: &mut Vec<u8>,
        handler: &mut dyn Handler,
    ) -> (usize, Result<Step, Error>) {
        match &mut self.side {
            Side::Client(connection) => step(connection, incoming, out, handler),
            Side::Server(connection) => step(connection, incoming, out, handler),
        }
    }

    /// After an error rustls still gives out what it has for the peer. It must not be asked for anything else: it would
    /// look for the places that it remembers.
    fn collect_alert(&mut self, out: &mut Vec<u8>) {
        while self.state().wants_write() {
            if self.step(&mut [], out, &mut Early::default()).1.is_err() {
                return;
            }
        }
    }

    /// Seals `plaintext` into `sealed`, behind what the protocol itself has to say; how many bytes that makes.
    ///
    /// # Errors
    /// The session is not secured, or has failed, or `sealed` is too small.
    pub fn seal(&mut self, plaintext: &[u8], sealed: &mut [u8]) -> Result<usize, SealError> {
        self.write(sealed, &|traffic, room| traffic.seal(plaintext, room))
    }

    /// Writes into `sealed` that nothing more comes; how many bytes that makes.
    ///
    /// # Errors
    /// The session is not secured, or has failed, or `sealed` is too small.
    pub fn close(&mut self, sealed: &mut [u8]) -> Result<usize, SealError> {
        self.write(sealed, &|traffic, room| traffic.close(room))
    }

    fn write(&mut self, sealed: &mut [u8], write: Write<'_>) -> Result<usize, SealError> {
        if self.failed || !self.announced {
            return Err(SealError("the session is not secured".to_owned()));
        }
        match &mut self.side {
            Side::Client(connection) => write_traffic(connection, &mut self.kept, sealed, write),
            Side::Server(connection) => write_traffic(connection, &mut self.kept, sealed, write),
        }
    }
}

/// Nothing could be sealed.
#[derive(Debug, PartialEq, Eq)]
pub struct SealError(String);

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS: nothing can be sent: {}", self.0)
    }
}

impl std::error::Error for SealError {}

/// Keeps what comes before it is known from whom.
#[derive(Default)]
struct Early(Vec<u8>);

impl Handler for Early {
    fn secured(&mut self, _: &CommonState) {}
    fn data(&mut self, plaintext: &[u8]) -> bool {
        self.0.extend_from_slice(plaintext);
        true
    }
}

/// [`WriteTraffic`] of either side.
trait Seal {
    fn seal(&mut self, plaintext: &[u8], sealed: &mut [u8]) -> Result<usize, EncryptError>;
    fn close(&mut self, sealed: &mut [u8]) -> Result<usize, EncryptError>;
}

impl<Data> Seal for WriteTraffic<'_, Data> {
    fn seal(&mut self, plaintext: &[u8], sealed: &mut [u8]) -> Result<usize, EncryptError> {
        self.encrypt(plaintext, sealed)
    }

    fn close(&mut self, sealed: &mut [u8]) -> Result<usize, EncryptError> {
        self.queue_close_notify(sealed)
    }
}

/// Writes sealed bytes into the room that it is given.
type Write<'a> = &'a dyn Fn(&mut dyn Seal, &mut [u8]) -> Result<usize, EncryptError>;

fn write_traffic<M: Machine>(
    machine: &mut M,
    kept: &mut Vec<u8>,
    sealed: &mut [u8],
    write: Write<'_>,
) -> Result<usize, SealError> {
    let mut used = 0;
    loop {
        let UnbufferedStatus { discard, state } = machine.process(kept);
        match state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                let written = write(&mut traffic, &mut sealed[used..]).map_err(|e| SealError(e.to_string()))?;
                kept.drain(..discard);
                return Ok(used + written);
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                used += data.encode(&mut sealed[used..]).map_err(|e| SealError(e.to_string()))?;
            }
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            Ok(ConnectionState::PeerClosed) => {}
            Ok(other) => return Err(SealError(format!("the session is in the state {other:?}"))),
            Err(error) => return Err(SealError(error.to_string())),
        }
        kept.drain(..discard);
    }
}

fn step<M: Machine>(
    machine: &mut M,
    incoming: &mut [u8],
    out: &mut Vec<u8>,
    handler: &mut dyn Handler,
) -> (usize, Result<Step, Error>) {
    let UnbufferedStatus { discard, state } = machine.process(incoming);
    let step = state.map(|state| match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            let mut goes_on = true;
            while let Some(Ok(record)) = traffic.next_record() {
                goes_on &= handler.data(record.payload);
            }
            Step::Again { goes_on }
        }
        ConnectionState::EncodeTlsData(mut data) => {
            encode(out, |room| data.encode(room));
            Step::Again { goes_on: true }
        }
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Step::Again { goes_on: true }
        }
        ConnectionState::PeerClosed | ConnectionState::Closed => Step::Stop(Progress::PeerClosed),
        _ => Step::Stop(Progress::NeedsInput),
    });
    (discard, step)
}

/// Appends what `encode` writes, in as much room as it asks for.
fn encode(out: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) {
    let start = out.len();
    let written = match encode(&mut []) {
        Err(EncodeError::InsufficientSize(needed)) => {
            out.resize(start + needed.required_size, 0);
            encode(&mut out[start..]).unwrap_or(0)
        }
        Ok(written) => written,
        Err(EncodeError::AlreadyEncoded) => 0,
    };
    out.truncate(start + written);
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
