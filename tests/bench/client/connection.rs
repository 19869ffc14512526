//! An app's connection: bytes, and what they say.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::PATIENCE;
use super::speech::{Heard, Speech};
use crate::Failure;

/// Read at once, bytes.
const READ: usize = 1024 * 1024;

/// Between two looks at what cannot be waited for.
const LOOK: Duration = Duration::from_millis(1);

/// Where an app goes in or out.
#[derive(Clone, Debug)]
pub enum Place {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Place {
    fn dial(&self) -> io::Result<Socket> {
        match self {
            Place::Unix(path) => {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                socket.connect(&SockAddr::unix(path)?)?;
                Ok(socket)
            }
            Place::Tcp(address) => {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
                socket.connect(&(*address).into())?;
                socket.set_tcp_nodelay(true)?;
                Ok(socket)
            }
        }
    }
}

/// A connection, and what was read from it and not heard yet.
pub struct Connection {
    socket: Socket,
    speech: Speech,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Connection {
    /// Connects, and greets; who subscribes has what it asked for when this returns. Tries again while nobody listens.
    pub fn open(place: &Place, speech: &Speech, subscribes: bool) -> Result<Self, Failure> {
        let start = Instant::now();
        loop {
            match Self::try_open(place, speech, subscribes) {
                Ok(connection) => return Ok(connection),
                Err(e) if start.elapsed() > PATIENCE => return Err(format!("{place:?}: {e}").into()),
                Err(_) => thread::sleep(LOOK),
            }
        }
    }

    fn try_open(place: &Place, speech: &Speech, subscribes: bool) -> Result<Self, Failure> {
        let mut connection = Self::new(place.dial()?, speech)?;
        if let Some(greeting) = speech.greeting() {
            connection.write(&greeting)?;
            if subscribes {
                connection.write(&speech.subscription())?;
            }
            connection.flush()?;
        }
        Ok(connection)
    }

    /// A connection that somebody has made to `door`; `None` if nobody has yet.
    pub fn accept(door: &UnixListener, speech: &Speech) -> Result<Option<Self>, Failure> {
        match door.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                Ok(Some(Self::new(stream.into(), speech)?))
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                thread::sleep(LOOK);
                Ok(None)
            }
            Err(e) => Err(e.into()),
        }
    }

    fn new(socket: Socket, speech: &Speech) -> Result<Self, Failure> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket, speech: speech.clone(), buffer: vec![0; READ], start: 0, end: 0 })
    }

    /// Longest wait of [`Connection::read`].
    pub fn set_patience(&self, time: Duration) -> Result<(), Failure> {
        Ok(self.socket.set_read_timeout(Some(time))?)
    }

    pub fn another(&self) -> Result<Self, Failure> {
        Self::new(self.socket.try_clone()?, &self.speech)
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok((&self.socket).write_all(bytes)?)
    }

    /// Reads once behind what was not heard yet; whether anything came before the patience was over.
    pub fn read(&mut self) -> Result<bool, Failure> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        match (&self.socket).read(&mut self.buffer[self.end..]) {
            Ok(0) => Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
            Ok(n) => {
                self.end += n;
                Ok(true)
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// What was said next, and the data if it is a message; `None` when more has to be read.
    pub fn hear(&mut self) -> Result<Option<(Heard, &[u8])>, Failure> {
        let have = &self.buffer[self.start..self.end];
        let Some((size, heard)) = self.speech.hear(have)? else { return Ok(None) };
        self.start += size;
        let data = match &heard {
            Heard::Message { data, .. } => &have[data.clone()],
            _ => &have[..size],
        };
        Ok(Some((heard, data)))
    }

    /// Waits until the broker has read all that was written.
    pub fn flush(&mut self) -> Result<(), Failure> {
        let ping = self.speech.ping();
        if ping.is_empty() {
            return Ok(());
        }
        self.write(ping)?;
        self.wait(&Heard::Pong)
    }

    /// Waits until this was said, and answers the broker's pings meanwhile.
    pub fn wait(&mut self, what: &Heard) -> Result<(), Failure> {
        loop {
            while let Some((heard, _)) = self.hear()? {
                if heard == *what {
                    return Ok(());
                }
                if heard == Heard::Ping {
                    self.write(self.speech.pong())?;
                }
            }
            if !self.read()? {
                return Err(format!("no {what:?} came within {PATIENCE:?}").into());
            }
        }
    }
}
