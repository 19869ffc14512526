//! A connection to the server that leads through a proxy, with TLS to the proxy or without.
//!
//! ```text
//! connected ─ TLS to the proxy, if it wants that ─ CONNECT ─▶ 2xx ─▶ open: bytes are the server's
//!                                                             else ─▶ error: what the proxy has said, and what to do
//! ```
//!
//! An open tunnel is read and written like a socket. What the proxy has sent behind its answer, in the same segment or the
//! same TLS record, is the server's first word, and is read first.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;
use rustls::ClientConnection;

use super::tls::{self, ClientTls, Refusals};
use crate::wire::connect::{self, Answer, AnswerError, HEAD_MAX, authority};

/// Bytes of the server's that are sealed for the proxy at a time.
const SEAL_SIZE: usize = 16 * 1024;

/// Bytes of an answer that are read at a time.
const ANSWER_STEP: usize = 2 * 1024;

/// What a tunnel is for.
#[derive(Clone)]
pub struct Plan {
    /// The proxy, as in `proxy.example:3128`.
    pub proxy: String,
    /// The server's host as the config has it: the proxy looks it up.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// The name and the password for the proxy.
    pub credentials: Option<(String, String)>,
    /// TLS to the proxy.
    pub tls: Option<ClientTls>,
}

impl fmt::Debug for Plan {
    /// Without the password, as this may get into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("proxy", &self.proxy).field("host", &self.host).finish_non_exhaustive()
    }
}

/// Why there is no tunnel.
#[derive(Debug)]
pub struct TunnelError {
    proxy: String,
    server: String,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// It has said no, and was told credentials or not.
    Refused(Answer, bool),
    /// It has answered something else than HTTP.
    NoAnswer(AnswerError),
    Closed,
    Io(io::Error),
    /// In words.
    Tls(String),
    Credentials(connect::ColonInName),
}

impl fmt::Display for TunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { proxy, server, why } = self;
        match why {
            Why::Refused(answer, with_credentials) => {
                write!(f, "proxy {proxy} opens no tunnel to {server}: {}", answer.status)?;
                if !answer.reason.is_empty() {
                    write!(f, " {}", answer.reason)?;
                }
                write!(f, "; {}", advice(answer, *with_credentials))
            }
            Why::NoAnswer(AnswerError::NotHttp(begins)) => write!(
                f,
                "proxy {proxy} speaks no HTTP, its answer begins with {begins:?}: proxy.address and proxy.port must be \
                 those of an HTTP proxy, and proxy.ssl_server true if it wants TLS"
            ),
            Why::NoAnswer(AnswerError::Tls) => {
                write!(f, "proxy {proxy} wants TLS: proxy.ssl_server must be true, or proxy.port another")
            }
            Why::NoAnswer(AnswerError::TooLong) => {
                write!(f, "proxy {proxy} has sent {HEAD_MAX} bytes of headers and no end: is it an HTTP proxy?")
            }
            Why::Closed => write!(
                f,
                "proxy {proxy} has closed the connection without an answer to CONNECT {server}: does it allow this \
                 client and this server, and is proxy.ssl_server right?"
            ),
            Why::Io(error) => write!(f, "proxy {proxy}: {error}"),
            Why::Tls(why) => write!(f, "proxy {proxy}: {why}"),
            Why::Credentials(error) => write!(f, "proxy {proxy}: {error}"),
        }
    }
}

impl std::error::Error for TunnelError {}

/// What would help.
fn advice(answer: &Answer, with_credentials: bool) -> String {
    let has_basic = answer.schemes.is_empty() || answer.schemes.iter().any(|scheme| scheme == "basic");
    match answer.status {
        407 if !has_basic => {
            format!("it wants {} authorization, and only Basic is known here", answer.schemes.join(", "))
        }
        407 if with_credentials => {
            "the name or the password in proxy.authorization, or of hook_proxy_authorization, is \
                                    not what it wants"
                .to_owned()
        }
        407 => "it wants a name and a password: proxy.authorization, or hook_proxy_authorization".to_owned(),
        401 | 403 => "its rules must allow CONNECT to this host and port".to_owned(),
        502..=504 => "it does not reach the server: are its name and port in server_sockaddr right, as the proxy sees \
                      them, and does the server run?"
            .to_owned(),
        400 | 404 | 405 | 501 => "is it a web server? proxy.port must be that of a proxy that knows CONNECT".to_owned(),
        _ => "200 was expected".to_owned(),
    }
}

/// A TCP connection to a proxy.
pub struct Tunnel {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
    refusals: Refusals,
    /// Bytes for the proxy's machine that the socket did not take yet.
    out: Vec<u8>,
    out_start: usize,
    /// What has come of the answer; once it is there, what has come behind it.
    early: Vec<u8>,
    early_start: usize,
    is_open: bool,
    plan: Plan,
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("plan", &self.plan).field("is_open", &self.is_open).finish_non_exhaustive()
    }
}

impl Tunnel {
    /// A tunnel over `tcp`, which is being connected to the proxy.
    ///
    /// # Errors
    /// TLS cannot begin, or the credentials cannot be said.
    pub fn new(tcp: TcpStream, plan: Plan) -> Result<Self, TunnelError> {
        let fail = |why| TunnelError { proxy: plan.proxy.clone(), server: authority(&plan.host, plan.port), why };
        let credentials = plan.credentials.as_ref().map(|(name, password)| (name.as_str(), password.as_str()));
        let request = connect::request(&plan.host, plan.port, credentials).map_err(|e| fail(Why::Credentials(e)))?;
        let (mut tls, mut refusals, mut out) = (None, Refusals::default(), Vec::new());
        if let Some(ClientTls { config, server_name, refusals: why }) = plan.tls.clone() {
            let mut session =
                ClientConnection::new(config, server_name).map_err(|e| fail(Why::Tls(format!("TLS: {e}"))))?;
            // It keeps the request until the handshake is done.
            session.writer().write_all(&request).map_err(|e| fail(Why::Io(e)))?;
            (tls, refusals) = (Some(Box::new(session)), why);
        } else {
            out = request;
        }
        Ok(Self { tcp, tls, refusals, out, out_start: 0, early: Vec::new(), early_start: 0, is_open: false, plan })
    }

    /// The socket.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// The same, for the poller.
    pub fn tcp_mut(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    /// Where it leads from and to, for a log.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Goes on towards an open tunnel, as far as the socket allows; whether it is open. To be called when the poller has
    /// told of the socket.
    ///
    /// # Errors
    /// There will be none.
    pub fn advance(&mut self) -> Result<bool, TunnelError> {
        let mut step = [0; ANSWER_STEP];
        while !self.is_open {
            match self.flush() {
                Err(e) if e.kind() != ErrorKind::WouldBlock => return Err(self.failed(e)),
                _ => {}
            }
            match self.receive(&mut step) {
                Ok(0) => return Err(self.error(Why::Closed)),
                Ok(count) => self.early.extend_from_slice(&step[..count]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(self.failed(e)),
            }
            match connect::answer(&self.early) {
                Ok(None) => {}
                Ok(Some((answer, used))) if answer.is_open() => (self.is_open, self.early_start) = (true, used),
                Ok(Some((answer, _))) => {
                    let with_credentials = self.plan.credentials.is_some();
                    return Err(self.error(Why::Refused(answer, with_credentials)));
                }
                Err(error) => return Err(self.error(Why::NoAnswer(error))),
            }
        }
        Ok(true)
    }

    fn error(&self, why: Why) -> TunnelError {
        let Plan { proxy, host, port, .. } = &self.plan;
        TunnelError { proxy: proxy.clone(), server: authority(host, *port), why }
    }

    fn failed(&mut self, error: io::Error) -> TunnelError {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidMessage(_)) => {
                let why = "it does not speak TLS: proxy.ssl_server must be false, or proxy.port another";
                self.error(Why::Tls(why.to_owned()))
            }
            Some(tls) => self.error(Why::Tls(tls::explain(tls, &self.refusals))),
            None => self.error(Why::Io(error)),
        }
    }

    /// Bytes from the other side, decrypted where there is TLS to the proxy. 0: nothing more comes.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(session) = &mut self.tls else { return self.tcp.read(buffer) };
        loop {
            match session.reader().read(buffer) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                // It was closed without a word, which the session within would notice.
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            if session.read_tls(&mut self.tcp)? == 0 {
                return Ok(0);
            }
            let worked = session.process_new_packets();
            // What it has to say goes out also if it failed: why, to the proxy.
            while session.wants_write() {
                session.write_tls(&mut self.out)?;
            }
            let flushed = write_out(&mut self.tcp, &mut self.out, &mut self.out_start);
            worked.map_err(|e| io::Error::new(ErrorKind::InvalidData, e))?;
            flushed.or_else(|e| if e.kind() == ErrorKind::WouldBlock { Ok(()) } else { Err(e) })?;
        }
    }

    /// Reads from an open tunnel, as from a socket that does not block.
    ///
    /// # Errors
    /// The socket or TLS to the proxy fails; [`ErrorKind::WouldBlock`].
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let early = &self.early[self.early_start..];
        if early.is_empty() {
            self.early = Vec::new();
            self.early_start = 0;
            return self.receive(buffer);
        }
        let count = early.len().min(buffer.len());
        buffer[..count].copy_from_slice(&early[..count]);
        self.early_start += count;
        Ok(count)
    }

    /// Whether there may be more to read though a read was short.
    #[must_use]
    pub fn may_hold_more(&self) -> bool {
        self.tls.is_some() || self.early_start < self.early.len()
    }

    /// Writes into an open tunnel, as into a socket that does not block. What was sealed for the proxy counts as written;
    /// [`Tunnel::flush`] goes on with it.
    ///
    /// # Errors
    /// The socket fails; [`ErrorKind::WouldBlock`].
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let Some(session) = &mut self.tls else { return self.tcp.write(bytes) };
        let count = session.writer().write(&bytes[..bytes.len().min(SEAL_SIZE)])?;
        match self.flush() {
            Err(e) if e.kind() != ErrorKind::WouldBlock => Err(e),
            _ => Ok(count),
        }
    }

    /// Writes what is ready for the proxy.
    ///
    /// # Errors
    /// The socket fails; [`ErrorKind::WouldBlock`] if it does not take all.
    pub fn flush(&mut self) -> io::Result<()> {
        if let Some(session) = &mut self.tls {
            while session.wants_write() {
                session.write_tls(&mut self.out)?;
            }
        }
        write_out(&mut self.tcp, &mut self.out, &mut self.out_start)
    }

    /// Bytes that wait for room in the socket.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.out.len() - self.out_start
    }

    /// Ends this side's direction.
    pub fn shutdown_write(&mut self) {
        if let Some(session) = &mut self.tls {
            session.send_close_notify();
        }
        // Who does not hear of the end sees it, or is gone.
        let _ = self.flush();
        let _ = self.tcp.shutdown(std::net::Shutdown::Write);
    }
}

fn write_out(tcp: &mut TcpStream, out: &mut Vec<u8>, start: &mut usize) -> io::Result<()> {
    while *start < out.len() {
        match tcp.write(&out[*start..]) {
            Ok(count) => *start += count,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    out.clear();
    out.shrink_to(2 * SEAL_SIZE);
    *start = 0;
    Ok(())
}
