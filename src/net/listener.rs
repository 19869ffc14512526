//! Sockets that are listened on: opened with clear errors, stale ones of dead processes taken over.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mio::net::{TcpListener, UnixListener};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Why a socket cannot be listened on.
#[derive(Debug)]
pub enum ListenError {
    /// The host of `server_sockaddr` is no address, interface or name of this machine.
    Host {
        /// What the config gives.
        host: String,
        /// Why not.
        error: String,
    },
    /// The address cannot be bound.
    Address {
        /// The address.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The address of `metrics_listen` cannot be bound.
    Metrics {
        /// The address.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// Another process listens on the Unix socket.
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is not a socket lies at the path.
    NoSocket {
        /// What lies there.
        path: PathBuf,
    },
    /// The Unix socket cannot be made.
    Path {
        /// The socket.
        path: PathBuf,
        /// What failed, as in `listen`.
        doing: &'static str,
        /// Why.
        error: io::Error,
    },
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenError::Host { host, error } => {
                write!(f, "server_sockaddr: {host:?} is no address, interface or name of this machine: {error}")
            }
            ListenError::Address { address, error } => {
                write!(f, "server_sockaddr: cannot listen on {address}: {error}")
            }
            ListenError::Metrics { address, error } => {
                write!(f, "metrics_listen: cannot listen on {address}: {error}")
            }
            ListenError::InUse { path } => {
                write!(f, "{}: another process listens there; is this connector running already?", path.display())
            }
            ListenError::NoSocket { path } => {
                write!(f, "{}: is no socket; it is left alone, remove it to go on", path.display())
            }
            ListenError::Path { path, doing, error } => write!(f, "{}: cannot {doing}: {error}", path.display()),
        }
    }
}

impl std::error::Error for ListenError {}

/// Listens on the TCP address that `host`, an address, interface or name of this machine, stands for.
///
/// # Errors
/// There is no such host, or the address cannot be bound.
pub fn tcp(host: &str, port: u16, share: bool) -> Result<TcpListener, ListenError> {
    let ip = local_address(host).map_err(|error| ListenError::Host { host: host.to_owned(), error })?;
    let address = SocketAddr::new(ip, port);
    bind(address, share).map_err(|error| ListenError::Address { address, error })
}

/// Listens on the address of `metrics_listen`.
///
/// # Errors
/// It cannot be bound.
pub fn tcp_for_metrics(address: SocketAddr) -> Result<TcpListener, ListenError> {
    bind(address, false).map_err(|error| ListenError::Metrics { address, error })
}

fn bind(address: SocketAddr, share: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // So that a restart is not kept away by connections of the time before; it does not take a live listener's place.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// The address of this machine that `host` stands for.
///
/// # Errors
/// It stands for none; why.
pub fn local_address(host: &str) -> Result<IpAddr, String> {
    if let Ok(ip) = host.parse() {
        return Ok(ip);
    }
    if let Some(ip) = interface_address(host) {
        return Ok(ip);
    }
    let mut found = (host, 0).to_socket_addrs().map_err(|e| e.to_string())?;
    found.next().map(|a| a.ip()).ok_or_else(|| "the name has no address".to_owned())
}

/// The first address of a network interface, IPv4 before IPv6.
#[must_use]
pub fn interface_address(name: &str) -> Option<IpAddr> {
    let all = nix::ifaddrs::getifaddrs().ok()?;
    let addresses = all.filter(|i| i.interface_name == name).filter_map(|i| i.address);
    let ips: Vec<IpAddr> = addresses
        .filter_map(|a| match (a.as_sockaddr_in(), a.as_sockaddr_in6()) {
            (Some(v4), _) => Some(IpAddr::V4(v4.ip())),
            (_, Some(v6)) => Some(IpAddr::V6(v6.ip())),
            _ => None,
        })
        .collect();
    ips.iter().find(|ip| ip.is_ipv4()).or(ips.first()).copied()
}

/// A Unix socket that is listened on; its file is removed when this is dropped, unless another one is in its place.
#[derive(Debug)]
pub struct UnixServer {
    /// The listener.
    pub listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file.
    file: (u64, u64),
}

impl UnixServer {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for UnixServer {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.file) {
            // It may be gone by now.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens on a Unix socket that `mode` lets be used. A file of a dead process is taken over, with `reuse` also that of
/// a live one.
///
/// # Errors
/// Another process listens there, or the socket cannot be made.
pub fn unix(path: &Path, mode: u32, reuse: bool) -> Result<UnixServer, ListenError> {
    clear(path, reuse)?;
    let fail = |doing| move |error| ListenError::Path { path: path.to_owned(), doing, error };
    let listener = bind_private(path).map_err(fail("listen"))?;
    let made = fs::symlink_metadata(path).map_err(fail("look at it"))?;
    let server = UnixServer { listener, path: path.to_owned(), file: (made.dev(), made.ino()) };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(fail("set the mode"))?;
    Ok(server)
}

/// Listens on a Unix socket that nobody else may use: its mode is set before it has a name. The mask for new files would
/// do the same, but is that of the whole process, in which others may be about to make files.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    nix::sys::stat::fchmod(&socket, nix::sys::stat::Mode::from_bits_truncate(0o600))?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(UnixListener::from_std(OwnedFd::from(socket).into()))
}

/// Removes the socket file of a process that is gone, with `reuse` also that of another one.
fn clear(path: &Path, reuse: bool) -> Result<(), ListenError> {
    let fail = |doing| move |error| ListenError::Path { path: path.to_owned(), doing, error };
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(fail("look at it")(e)),
        Ok(found) if !found.file_type().is_socket() => return Err(ListenError::NoSocket { path: path.to_owned() }),
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            log::info!("{}: left by a process that is gone, taken over", path.display());
            fs::remove_file(path).map_err(fail("remove it"))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) if reuse => {
            log::warn!("{}: another process listens there, taken over", path.display());
            fs::remove_file(path).map_err(fail("remove it"))
        }
        Ok(_) => Err(ListenError::InUse { path: path.to_owned() }),
        Err(e) => Err(fail("find out whether it is in use")(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_of_a_dead_process_is_taken_over_and_that_of_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let server = unix(&path, 0o600, false).unwrap();
        assert!(matches!(unix(&path, 0o600, false), Err(ListenError::InUse { .. })));
        drop(server);
        assert!(!path.exists());
    }

    #[test]
    fn nobody_else_may_use_a_socket_before_its_mode_is_set() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listener = bind_private(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_live_socket_is_taken_over_on_demand_and_its_first_owner_leaves_it_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let first = unix(&path, 0o600, false).unwrap();
        let second = unix(&path, 0o600, true).unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(unix(&path, 0o600, false), Err(ListenError::NoSocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn an_interface_name_stands_for_its_address() {
        assert_eq!(local_address("lo"), Ok("127.0.0.1".parse().unwrap()));
        assert_eq!(local_address("::1"), Ok("::1".parse().unwrap()));
        assert!(local_address("no-such-host.invalid").is_err());
    }

    #[test]
    fn a_port_in_use_is_named() {
        let first = tcp("127.0.0.1", 0, false).unwrap();
        let port = first.local_addr().unwrap().port();
        let error = tcp("127.0.0.1", port, false).unwrap_err().to_string();
        assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
    }
}
