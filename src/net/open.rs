//! Connections that this connector opens: to its server, and to the apps that receive.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::SocketAddr as UnixAddress;
use std::path::PathBuf;
use std::time::Instant;

use mio::net::UnixStream;
use nix::libc;

use super::caller::caller;
use super::dial;
use super::route::Proxy;
use super::security::{Secure, Way};
use super::shell::{Entry, Kind, LinkEntry, Shell};
use super::stream::{Socket, Stream};
use super::tunnel::Tunnel;
use crate::core::{Cause, DialStep, Id};
use crate::hooks::{Asked, Credentials};

/// Where a dialled connection leads before it is open.
#[derive(Debug)]
pub(super) struct Dialled {
    /// What the proxy is told.
    credentials: Option<Credentials>,
}

impl Shell {
    /// Begins to open a connection to the server: the proxy's credentials, its or the server's address, the connection.
    pub(super) fn dial(&mut self, id: Id, now: Instant) {
        let Some(proxy) = self.parts.route.as_mut().and_then(|route| route.proxy.as_mut()) else {
            return self.look_up(id, None, now);
        };
        let given = proxy.credentials().cloned();
        let nobody = || Credentials { username: String::new(), password: String::new() };
        match proxy.desk.ask(id, &given.clone().unwrap_or_else(nobody)) {
            None => self.look_up(id, given, now),
            Some(Asked::Now(answer)) => self.take_credentials(id, answer, now),
            Some(Asked::Later) => {
                let step = DialStep::Hook(proxy.hook_timeout);
                self.parts.connector.dial_step(id, step, now);
            }
        }
    }

    fn take_credentials(&mut self, id: Id, answer: Result<Credentials, String>, now: Instant) {
        match answer {
            Ok(credentials) => self.look_up(id, Some(credentials), now),
            Err(why) => {
                let why = if why.is_empty() { "it says no".to_owned() } else { why };
                let cause = Cause::Failed(format!("no credentials for the proxy from hook_proxy_authorization: {why}"));
                self.parts.connector.closed(id, cause, now);
            }
        }
    }

    fn look_up(&mut self, id: Id, credentials: Option<Credentials>, now: Instant) {
        let Some(route) = &self.parts.route else { return };
        let server = self.parts.connector.server_of(id);
        let target = route.proxy.as_ref().map(Proxy::target).or_else(|| route.servers.get(server));
        let Some(target) = target else { return };
        match self.resolver.ask(id, target) {
            Some(address) => self.connect(id, address, credentials, now),
            None => _ = self.dialled.insert(id, Dialled { credentials }),
        }
    }

    /// Takes what was found out about connections to be opened.
    pub(super) fn take_answers(&mut self, now: Instant) {
        let answer = |shell: &mut Self| shell.parts.route.as_mut()?.proxy.as_mut()?.desk.answer();
        while let Some((id, answer)) = answer(self) {
            self.parts.connector.dial_step(id, DialStep::Connect, now);
            self.take_credentials(id, answer, now);
            self.do_outputs(now);
        }
        while let Some((id, answer)) = self.resolver.answer() {
            // An answer can come when its connection has been given up.
            let Some(Dialled { credentials }) = self.dialled.remove(&id) else { continue };
            match answer {
                Ok(address) => self.connect(id, address, credentials, now),
                Err(error) => self.parts.connector.closed(id, Cause::Failed(error.to_string()), now),
            }
            self.do_outputs(now);
        }
    }

    /// What is being found out about a connection is of no use any more.
    pub(super) fn forget_dialled(&mut self, id: Id) {
        self.dialled.remove(&id);
        if let Some(proxy) = self.parts.route.as_mut().and_then(|route| route.proxy.as_mut()) {
            proxy.desk.forget(id);
        }
    }

    fn connect(&mut self, id: Id, address: SocketAddr, credentials: Option<Credentials>, now: Instant) {
        self.parts.connector.set_invitation(self.parts.tokens.invitation());
        match self.begin(id, address, credentials) {
            Ok((secure, socket)) => {
                let (session, link) = LinkEntry::new(secure, true);
                self.add(id, Stream::new(socket, session), Kind::Link(Box::new(link)), now);
            }
            Err(error) => self.parts.connector.closed(id, Cause::Failed(error), now),
        }
    }

    fn begin(&self, id: Id, address: SocketAddr, credentials: Option<Credentials>) -> Result<(Secure, Socket), String> {
        let connector = &self.parts.connector;
        let route = self.parts.route.as_ref().ok_or("there is no server")?;
        let server = route.servers.get(connector.server_of(id)).ok_or("there is no such server")?;
        let plan = route.proxy.as_ref().map(|proxy| proxy.plan(server, credentials)).transpose();
        let plan = plan.map_err(|e| e.to_string())?;
        let way = Way::To { host: &server.host, returns: connector.is_returning(id) };
        let secure = self.parts.security.begin(way).map_err(|e| e.to_string())?;
        let via = plan.as_ref().map(|plan| format!("proxy {}: ", plan.proxy)).unwrap_or_default();
        let connected = dial::connect(address, route.bind.as_deref(), self.parts.send_timeout);
        let socket = connected.map_err(|e| format!("{via}{e}"))?;
        let socket = match plan {
            None => Socket::Tcp(socket),
            Some(plan) => Socket::Tunnel(Box::new(Tunnel::new(socket, plan).map_err(|e| e.to_string())?)),
        };
        Ok((secure, socket))
    }

    /// A connection that was dialled is open, has come nearer to that, or has failed.
    pub(super) fn opening_event(&mut self, id: Id, now: Instant) {
        match self.opening(id, now) {
            Ok(None) => {}
            Ok(Some(remote)) => {
                let returns = self.parts.connector.is_returning(id);
                self.parts.connector.opened(id, Some(remote), now);
                if !returns {
                    self.parts.security.is_open();
                }
                self.secure(id, now);
                self.list(id);
            }
            Err(why) => self.parts.connector.closed(id, Cause::Failed(why), now),
        }
        self.do_outputs(now);
    }

    /// Where the connection leads, once it is open.
    fn opening(&mut self, id: Id, now: Instant) -> Result<Option<SocketAddr>, String> {
        let Some(Entry { stream, kind: Kind::Link(link), .. }) = self.entry(id) else { return Ok(None) };
        let Some(socket) = stream.tcp() else { return Ok(None) };
        let (error, remote) = (socket.take_error().unwrap_or_else(Some), socket.peer_addr().ok());
        let via = stream.tunnel().map(|tunnel| tunnel.plan().proxy.clone());
        let (Some(proxy), Some(remote), None) = (&via, remote, &error) else {
            link.opening &= remote.is_none();
            let words = |error| via.map_or_else(|| format!("{error}"), |proxy| format!("proxy {proxy}: {error}"));
            return error.map_or(Ok(remote), |error| Err(words(error)));
        };
        let is_open = stream.tunnel().map_or(Ok(true), Tunnel::advance).map_err(|e| e.to_string())?;
        let is_first = !std::mem::replace(&mut link.reached, true);
        if is_open {
            link.opening = false;
            stream.is_open();
            log::debug!("proxy {proxy} has opened a tunnel");
            return Ok(Some(remote));
        }
        if is_first {
            self.parts.connector.dial_step(id, DialStep::Proxy(proxy.clone()), now);
        }
        Ok(None)
    }

    pub(super) fn dial_app(&mut self, id: Id, message_type: &str, now: Instant) {
        let path: PathBuf = self.parts.paths.receive(message_type);
        match UnixAddress::from_pathname(&path).and_then(|address| UnixStream::connect_addr(&address)) {
            Ok(socket) => {
                self.unreachable_apps.remove(message_type);
                if !self.parts.connector.receiver_is(id, caller(&socket), now) {
                    return;
                }
                self.add_unix(id, socket, Kind::Delivery, now);
                self.parts.connector.opened(id, None, now);
            }
            Err(error) => {
                let cause = app_cause(&error);
                if !is_everyday(&error) && self.unreachable_apps.insert(message_type.to_owned()) {
                    log::warn!("{}: cannot connect to the app that listens there: {error}", path.display());
                }
                self.parts.connector.closed(id, cause, now);
            }
        }
    }
}

/// It happens all the time: the app is not there, or is slow.
fn is_everyday(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotFound, WouldBlock};
    matches!(error.kind(), NotFound | ConnectionRefused | WouldBlock)
}

/// Whether an app that could not be connected to is there all the same: then its messages wait for the next attempt.
fn app_cause(error: &io::Error) -> Cause {
    let is_short = |code| [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM].contains(&code);
    if error.kind() == io::ErrorKind::WouldBlock {
        Cause::Busy
    } else if error.raw_os_error().is_some_and(is_short) {
        Cause::Failed(error.to_string())
    } else {
        Cause::NoListener
    }
}
