//! A socket of any kind, with or without TLS, that never blocks.
//!
//! Writes are tried first; what the socket does not take of sealed bytes is kept here, and nothing more is accepted
//! until it is gone. The poller tells of changes only, so `readable` and `writable` are kept until a call says that
//! there is nothing more, or no room.

use std::io::{self, Read, Write};

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use super::buffers::{Buffers, READ_SIZE, SEAL_OVERHEAD, SEAL_SIZE};
use super::confirm::Sealed;
use super::session::{Handler, Progress, SealError, Session};
use super::tunnel::Tunnel;
use crate::core::figures::Calls;
use crate::sys::outq;

/// A stream socket.
#[derive(Debug)]
pub enum Socket {
    /// Between connectors.
    Tcp(TcpStream),
    /// The same through a proxy.
    Tunnel(Box<Tunnel>),
    /// With apps and admins.
    Unix(UnixStream),
}

impl Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.read(buffer),
            Socket::Tunnel(tunnel) => tunnel.read(buffer),
            Socket::Unix(socket) => socket.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.write(bytes),
            Socket::Tunnel(tunnel) => tunnel.write(bytes),
            Socket::Unix(socket) => socket.write(bytes),
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Socket::Tcp(socket) => socket,
            Socket::Tunnel(tunnel) => tunnel.tcp_mut(),
            Socket::Unix(socket) => socket,
        }
    }

    /// Whether there may be more to read though a read was short.
    fn may_hold_more(&self) -> bool {
        matches!(self, Socket::Tunnel(tunnel) if tunnel.may_hold_more())
    }

    /// Bytes that count as written and are not with the system yet.
    fn pending(&self) -> usize {
        if let Socket::Tunnel(tunnel) = self { tunnel.pending() } else { 0 }
    }

    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Socket::Tcp(socket) => Some(socket),
            Socket::Tunnel(tunnel) => Some(tunnel.tcp()),
            Socket::Unix(_) => None,
        }
    }

    fn shutdown_write(&mut self) {
        // That the peer is gone already is no news here.
        let _ = match self {
            Socket::Tcp(socket) => socket.shutdown(std::net::Shutdown::Write),
            Socket::Tunnel(tunnel) => return tunnel.shutdown_write(),
            Socket::Unix(socket) => socket.shutdown(std::net::Shutdown::Write),
        };
    }
}

/// Why a stream ended.
#[derive(Debug)]
pub enum End {
    /// The other side closed it.
    Closed,
    /// The socket failed.
    Io(io::Error),
    /// TLS failed while reading.
    Tls(rustls::Error),
    /// TLS failed while writing.
    Seal(SealError),
}

/// What a turn of reading came to.
#[derive(Debug)]
pub enum Received {
    /// There is nothing more for now.
    Drained,
    /// There may be more, but others have a turn first.
    More,
    /// The reader wants no more for now.
    Paused,
    /// Nothing more will come.
    End(End),
}

/// A connection.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    session: Option<Session>,
    /// Bytes on their way out that the socket did not take yet.
    pending: Vec<u8>,
    pending_start: usize,
    /// Bytes that the socket has taken.
    written: u64,
    /// Which of them are which plaintext.
    sealed: Sealed,
    /// There may be something to read.
    pub readable: bool,
    /// The other side has ended its direction: reading goes on until it says so.
    read_closed: bool,
    /// There may be room to write.
    pub writable: bool,
    /// The poller is to tell of room to write.
    awaits_room: bool,
    /// It did though there was room before.
    told_again: bool,
    /// System calls that nobody has asked for yet.
    calls: Calls,
}

impl Stream {
    /// A connection over `socket`.
    #[must_use]
    pub fn new(socket: Socket, session: Option<Session>) -> Self {
        Self {
            socket,
            session,
            pending: Vec::new(),
            pending_start: 0,
            written: 0,
            sealed: Sealed::default(),
            readable: false,
            read_closed: false,
            writable: false,
            awaits_room: true,
            told_again: false,
            calls: Calls::default(),
        }
    }

    /// System calls since the last time that this was asked. A tunnel through a proxy may make more.
    pub fn take_calls(&mut self) -> Calls {
        std::mem::take(&mut self.calls)
    }

    /// Has the poller watch it.
    ///
    /// # Errors
    /// The poller's.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(self.socket.source(), token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Has the poller watch it, and tell of room to write only after there was none.
    ///
    /// The poller tells that a Unix socket has room each time that its other side has read, also when there was room
    /// before: that would wake the loop once a message for nothing. Of TCP it tells when there was none. Where an app is slow
    /// it is asked once, and goes on telling until it does so for nothing.
    ///
    /// # Errors
    /// The poller's.
    pub fn register_for_reading(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.awaits_room = matches!(self.socket, Socket::Tcp(_) | Socket::Tunnel(_));
        let interest = self.interest();
        registry.register(self.socket.source(), token, interest)
    }

    /// Goes on with what [`Stream::register_for_reading`] has begun, after a write or what the poller said.
    ///
    /// # Errors
    /// The poller's.
    pub fn watch_room(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let told_again = std::mem::take(&mut self.told_again);
        let changes = if self.awaits_room { told_again } else { !self.writable };
        if !changes || !matches!(self.socket, Socket::Unix(_)) {
            return Ok(());
        }
        self.awaits_room = !self.awaits_room;
        self.calls.others += 1;
        // If there is room by now, the poller tells of it.
        let interest = self.interest();
        registry.reregister(self.socket.source(), token, interest)
    }

    fn interest(&self) -> Interest {
        if self.awaits_room { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE }
    }

    /// Has the poller watch it under another token.
    ///
    /// # Errors
    /// The poller's.
    pub fn reregister(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.reregister(self.socket.source(), token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Notes what the poller said.
    pub fn ready(&mut self, event: &mio::event::Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.read_closed |= event.is_read_closed() || event.is_error();
        self.told_again |= event.is_writable() && self.writable;
        self.writable |= event.is_writable() || event.is_error();
    }

    /// What TLS the two sides speak, as OpenSSL words it; none without TLS, or before that is known.
    #[must_use]
    pub fn tls_version(&self) -> Option<&'static str> {
        self.session.as_ref()?.tls_version()
    }

    /// Whether bytes wait for room in the socket.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        self.has_kept() || self.socket.pending() > 0
    }

    /// Whether bytes wait here, and not in the socket.
    fn has_kept(&self) -> bool {
        self.pending_start < self.pending.len()
    }

    /// Begins TLS on a connection that was opened: on the client's side there is something to say at once.
    ///
    /// # Errors
    /// The socket or TLS fails.
    pub fn begin(&mut self, handler: &mut dyn Handler) -> Result<(), End> {
        self.process(&mut [], handler).map(|_| ())
    }

    /// Reads what there is, at most [`READ_SIZE`] bytes, and hands it on.
    pub fn receive(&mut self, buffers: &mut Buffers, handler: &mut dyn Handler) -> Received {
        let result = match self.session {
            None => self.receive_plain(&mut buffers.read[..READ_SIZE], handler),
            Some(_) => self.receive_sealed(&mut buffers.read, handler),
        };
        result.unwrap_or_else(Received::End)
    }

    fn receive_plain(&mut self, buffer: &mut [u8], handler: &mut dyn Handler) -> Result<Received, End> {
        let Some(count) = self.read(buffer)? else { return Ok(Received::Drained) };
        if !handler.data(&buffer[..count]) {
            return Ok(Received::Paused);
        }
        Ok(if self.readable { Received::More } else { Received::Drained })
    }

    fn receive_sealed(&mut self, buffer: &mut [u8], handler: &mut dyn Handler) -> Result<Received, End> {
        let kept = self.session.as_ref().map_or(&[][..], Session::kept);
        buffer[..kept.len()].copy_from_slice(kept);
        let kept = kept.len();
        if self.session.as_ref().is_some_and(Session::peer_closed) {
            return Err(End::Closed);
        }
        let Some(count) = self.read(&mut buffer[kept..])? else { return Ok(Received::Drained) };
        Ok(match self.process(&mut buffer[..kept + count], handler)? {
            Progress::Paused => {
                // The end that came with it is not to be read from the socket any more.
                self.readable |= self.session.as_ref().is_some_and(Session::peer_closed);
                Received::Paused
            }
            Progress::PeerClosed => Received::End(End::Closed),
            Progress::NeedsInput if self.readable => Received::More,
            Progress::NeedsInput => Received::Drained,
        })
    }

    /// Has TLS work through `incoming`, and sends what it has to say.
    fn process(&mut self, incoming: &mut [u8], handler: &mut dyn Handler) -> Result<Progress, End> {
        let Some(session) = &mut self.session else { return Ok(Progress::NeedsInput) };
        let progress = session.receive(incoming, &mut self.pending, handler);
        // What is said to a peer that is refused may find it gone, and why it was refused matters more.
        let flushed = self.flush();
        let progress = progress.map_err(End::Tls)?;
        flushed.map_err(End::Io)?;
        Ok(progress)
    }

    /// Bytes from the socket; `None` if there are none now.
    fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, End> {
        if !self.readable {
            return Ok(None);
        }
        loop {
            self.calls.reads += 1;
            match self.socket.read(buffer) {
                Ok(0) => return Err(End::Closed),
                Ok(count) => {
                    // A short read says that the socket is empty, unless its end is still to be read.
                    self.readable = count == buffer.len() || self.read_closed || self.socket.may_hold_more();
                    self.acknowledge();
                    return Ok(Some(count));
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(None);
                }
                Err(e) => return Err(End::Io(e)),
            }
        }
    }

    /// Asks TCP to acknowledge at once: a Python peer writes each frame in two pieces and has not switched Nagle's
    /// algorithm off, so that its second piece waits for the acknowledgement of the first, 40 ms if it is delayed.
    ///
    /// Peers that speak the second kind of link do no such thing, and acknowledge with what they say.
    fn acknowledge(&mut self) {
        if self.session.as_ref().is_some_and(Session::speaks_link2) {
            return;
        }
        if let Some(socket) = self.socket.tcp() {
            self.calls.others += 1;
            // It is a hint; without it things are slower, not wrong.
            let _ = SockRef::from(socket).set_tcp_quickack(true);
        }
    }

    /// Sends `bytes`; how many were accepted. Sealed bytes that the socket does not take are kept and count as
    /// accepted, and so do those that wait for [`Stream::send_gathered`].
    ///
    /// # Errors
    /// The socket or TLS fails.
    pub fn send(&mut self, bytes: &[u8], buffers: &mut Buffers) -> Result<usize, End> {
        self.flush().map_err(End::Io)?;
        let mut accepted = 0;
        while accepted < bytes.len() && !self.has_pending() && self.writable {
            let rest = &bytes[accepted..];
            accepted += match &mut self.session {
                None => self.write(rest).map_err(End::Io)?,
                Some(_) => self.seal(&rest[..rest.len().min(SEAL_SIZE)], buffers)?,
            };
        }
        Ok(accepted)
    }

    /// Seals a piece, to be written when no more fit behind it, or by [`Stream::send_gathered`]; how many bytes were accepted.
    fn seal(&mut self, piece: &[u8], buffers: &mut Buffers) -> Result<usize, End> {
        if buffers.gathered + piece.len() + SEAL_OVERHEAD > buffers.sealed.len() {
            self.send_gathered(buffers).map_err(End::Io)?;
            if self.has_pending() {
                return Ok(0);
            }
        }
        let Some(session) = &mut self.session else { return Ok(0) };
        buffers.gathered += session.seal(piece, &mut buffers.sealed[buffers.gathered..]).map_err(End::Seal)?;
        if !session.speaks_link2() {
            let kept = self.pending.len() - self.pending_start;
            self.sealed.add(self.written + (kept + buffers.gathered) as u64, piece.len());
        }
        Ok(piece.len())
    }

    /// Writes what [`Stream::send`] has gathered. To be called after it, before another connection sends anything.
    ///
    /// # Errors
    /// The socket fails.
    pub fn send_gathered(&mut self, buffers: &mut Buffers) -> io::Result<()> {
        let gathered = std::mem::take(&mut buffers.gathered);
        if gathered == 0 { Ok(()) } else { self.write_or_keep(&buffers.sealed[..gathered]) }
    }

    fn write_or_keep(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.write(bytes)?;
        self.pending.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    /// Writes what the socket takes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < bytes.len() && self.writable {
            self.calls.writes += 1;
            match self.socket.write(&bytes[written..]) {
                Ok(count) => {
                    written += count;
                    self.written += count as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(e) => return Err(e),
            }
        }
        Ok(written)
    }

    /// Writes what was kept.
    ///
    /// # Errors
    /// The socket fails.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.writable
            && let Socket::Tunnel(tunnel) = &mut self.socket
        {
            match tunnel.flush() {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                flushed => flushed?,
            }
        }
        if !self.has_kept() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        let start = self.pending_start;
        let written = self.write(&pending[start..])?;
        self.pending = pending;
        self.pending_start = start + written;
        if !self.has_kept() {
            self.pending.clear();
            self.pending.shrink_to(SEAL_SIZE);
            self.pending_start = 0;
        }
        Ok(())
    }

    /// Of the bytes that [`Stream::send`] has accepted from the connection's beginning, the other machine has confirmed
    /// so many at least. On a TLS link of the second kind they are not counted: its peer acknowledges by itself. Through a
    /// proxy the other machine is the proxy's, and with TLS to it some more count as open than are: its records are longer.
    pub fn confirmed(&mut self) -> u64 {
        let Some(socket) = self.socket.tcp() else { return 0 };
        self.calls.others += 1;
        // A socket that cannot say has confirmed nothing.
        let Ok(open) = outq::unconfirmed_bytes(socket) else { return self.sealed.confirmed() };
        let confirmed = self.written.saturating_sub((open + self.socket.pending()) as u64);
        if self.session.is_some() { self.sealed.confirm(confirmed) } else { confirmed }
    }

    /// Says that nothing more comes, and ends this side's direction once all is written.
    ///
    /// # Errors
    /// The socket fails.
    pub fn end(&mut self, buffers: &mut Buffers) -> io::Result<()> {
        if let Some(session) = &mut self.session
            && let Ok(sealed) = session.close(&mut buffers.sealed)
        {
            self.pending.extend_from_slice(&buffers.sealed[..sealed]);
        }
        self.session = None;
        self.flush_and_shut()
    }

    /// Goes on with [`Stream::end`].
    ///
    /// # Errors
    /// The socket fails.
    pub fn flush_and_shut(&mut self) -> io::Result<()> {
        self.flush()?;
        if !self.has_pending() {
            self.socket.shutdown_write();
        }
        Ok(())
    }

    /// Reads once and throws away what came; whether the other side has ended, too.
    pub fn discard(&mut self, buffers: &mut Buffers) -> bool {
        self.read(&mut buffers.read).is_err()
    }

    /// The TCP socket, to look at its state.
    #[must_use]
    pub fn tcp(&self) -> Option<&TcpStream> {
        self.socket.tcp()
    }

    /// The way through a proxy, if it takes one.
    #[must_use]
    pub fn tunnel(&mut self) -> Option<&mut Tunnel> {
        if let Socket::Tunnel(tunnel) = &mut self.socket { Some(tunnel) } else { None }
    }

    /// What the poller has told of was taken by who opened the tunnel: there may be something to read, and room.
    pub fn is_open(&mut self) {
        (self.readable, self.writable) = (true, true);
    }
}
