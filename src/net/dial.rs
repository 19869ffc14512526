//! Opening the connection to the server: names are looked up off the loop, which never waits.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use mio::Waker;
use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::listener::interface_address;
use crate::core::Id;

/// A link is silent for so long before TCP asks whether the other machine is still there.
const IDLE_PROBE: Duration = Duration::from_secs(60);

/// Time between two such questions.
const PROBE_PERIOD: Duration = Duration::from_secs(15);

/// After so many without an answer the link is gone.
const PROBES: u32 = 4;

/// Where to connect to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The config key that says so, for errors.
    pub key: &'static str,
    /// An address, interface or name.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Why no connection could be begun.
#[derive(Debug)]
pub enum DialError {
    /// The name has no address.
    Name {
        /// The config key that it is from.
        key: &'static str,
        /// The name.
        host: String,
        /// Why not.
        error: String,
    },
    /// `client_bind_ip` is no address or interface of this machine.
    Bind {
        /// What the config gives.
        bind: String,
        /// Why not.
        error: String,
    },
    /// The connection failed.
    Connect {
        /// Where to.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Name { key, host, error } => write!(f, "{key}: the name {host:?} has no address: {error}"),
            DialError::Bind { bind, error } => write!(f, "client_bind_ip: cannot connect from {bind:?}: {error}"),
            DialError::Connect { address, error } => write!(f, "cannot connect to {address}: {error}"),
        }
    }
}

impl std::error::Error for DialError {}

/// Looks names up, each on a thread that ends with its answer.
#[derive(Debug)]
pub struct Resolver {
    sender: Sender<(Id, Result<SocketAddr, DialError>)>,
    receiver: Receiver<(Id, Result<SocketAddr, DialError>)>,
    waker: Arc<Waker>,
    /// Look-ups of each name so far. Names are those of the config.
    asked: HashMap<String, usize>,
}

impl Resolver {
    /// A resolver that wakes the loop when an answer is there.
    #[must_use]
    pub fn new(waker: Arc<Waker>) -> Self {
        let (sender, receiver) = channel();
        Self { sender, receiver, waker, asked: HashMap::new() }
    }

    /// Begins to look up where `target` is; the answer comes by [`Resolver::answer`]. An address needs no look-up and
    /// is returned at once. Of the addresses of a name each has its turn, one an attempt: the server may listen on one
    /// of them only.
    pub fn ask(&mut self, id: Id, target: &Target) -> Option<SocketAddr> {
        if let Some(ip) = target.host.parse::<IpAddr>().ok().or_else(|| interface_address(&target.host)) {
            return Some(SocketAddr::new(ip, target.port));
        }
        let asked = target.clone();
        let (sender, waker) = (self.sender.clone(), Arc::clone(&self.waker));
        let turns = self.asked.entry(asked.host.clone()).or_default();
        let turn = *turns;
        *turns = turn.wrapping_add(1);
        let looking = std::thread::Builder::new().name("look-up".to_owned()).spawn(move || {
            let found = look_up(&asked).map(|all| in_turn(&all, turn));
            // If the loop is gone, nobody waits for the answer.
            let _ = sender.send((id, found));
            let _ = waker.wake();
        });
        if let Err(error) = looking {
            let (key, host) = (target.key, target.host.clone());
            // As above; a waker that fails leaves the answer for `connect_timeout`.
            let _ = self.sender.send((id, Err(DialError::Name { key, host, error: error.to_string() })));
            let _ = self.waker.wake();
        }
        None
    }

    /// One answer that has come.
    pub fn answer(&self) -> Option<(Id, Result<SocketAddr, DialError>)> {
        self.receiver.try_recv().ok()
    }
}

/// The addresses of a name, at least one.
fn look_up(target: &Target) -> Result<Vec<SocketAddr>, DialError> {
    let Target { key, host, port } = target;
    let fail = |error: String| DialError::Name { key, host: host.clone(), error };
    let mut found: Vec<SocketAddr> =
        (host.as_str(), *port).to_socket_addrs().map_err(|e| fail(e.to_string()))?.collect();
    found.dedup();
    if found.is_empty() { Err(fail("the answer is empty".to_owned())) } else { Ok(found) }
}

/// One of the addresses, of which there is at least one.
fn in_turn(all: &[SocketAddr], turn: usize) -> SocketAddr {
    all[turn % all.len()]
}

/// Begins a connection. It is open when the socket becomes writable without an error.
///
/// # Errors
/// It cannot be begun.
pub fn connect(address: SocketAddr, bind: Option<&str>, send_timeout: Duration) -> Result<TcpStream, DialError> {
    let fail = |error| DialError::Connect { address, error };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).map_err(fail)?;
    socket.set_nonblocking(true).map_err(fail)?;
    if let Some(bind) = bind {
        let fail = |error: String| DialError::Bind { bind: bind.to_owned(), error };
        let ip = bind.parse().ok().or_else(|| interface_address(bind));
        let ip: IpAddr = ip.ok_or_else(|| fail("it is no address or interface of this machine".to_owned()))?;
        socket.bind(&SocketAddr::new(ip, 0).into()).map_err(|e| fail(e.to_string()))?;
    }
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(e) if e.raw_os_error() == Some(nix::libc::EINPROGRESS) => {}
        Err(e) => return Err(fail(e)),
    }
    let socket = TcpStream::from_std(socket.into());
    set_up(&socket, send_timeout);
    Ok(socket)
}

/// Sets the options of a link's socket: no waiting for full segments, and a peer whose machine is gone is noticed, with
/// data on the way after `send_timeout`, without after two minutes of silence.
pub fn set_up(socket: &TcpStream, send_timeout: Duration) {
    let socket = SockRef::from(socket);
    let probes = TcpKeepalive::new().with_time(IDLE_PROBE).with_interval(PROBE_PERIOD).with_retries(PROBES);
    // A socket that cannot be set up this way is still good for messages.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&probes);
    let _ = socket.set_tcp_user_timeout(Some(send_timeout));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str) -> Target {
        Target { key: "server_sockaddr", host: host.to_owned(), port: 7 }
    }

    #[test]
    fn each_address_of_a_name_has_its_turn() {
        let all: Vec<SocketAddr> = vec!["[::1]:7".parse().unwrap(), "127.0.0.1:7".parse().unwrap()];
        let tried: Vec<SocketAddr> = (0..4).map(|turn| in_turn(&all, turn)).collect();
        assert_eq!(tried, [all[0], all[1], all[0], all[1]]);
        assert_eq!(in_turn(&look_up(&target("127.0.0.1")).unwrap(), usize::MAX), all[1]);
    }

    #[test]
    fn a_name_without_an_address_is_an_error_that_names_it() {
        let error = look_up(&target("no-such-host.invalid")).unwrap_err().to_string();
        assert!(error.contains("no-such-host.invalid"), "{error}");
    }
}
