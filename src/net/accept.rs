//! Connections that others open: peers, apps and admins.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::{TcpStream, UnixStream};

use super::caller::caller;
use super::dial;
use super::security::Way;
use super::shell::{Kind, LinkEntry, Shell};
use super::stream::{Socket, Stream};
use crate::core::{Cause, Id};

/// Connections of a kind that are accepted before others have a turn.
const ACCEPT_BUDGET: usize = 64;

/// Time that a turn gives to peers who connect: a flood of them must not hold up who is there.
const ACCEPT_TIME: Duration = Duration::from_millis(1);

/// Wait before accepting again after it failed, as it does while the process has no more file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

impl Shell {
    /// Goes on with all listeners if it is time to. The poller tells of a listener only once, so what a budget or a
    /// failure left waiting would wait for the next newcomer.
    pub(super) fn accept_again(&mut self, now: Instant) {
        if self.accept_again.is_some_and(|at| at <= now) {
            self.accept_again = None;
            self.accept_links(now);
            self.accept_apps(now);
            self.accept_admins(now);
            self.accept_fails = self.accept_again.is_some_and(|at| at > now);
        }
    }

    pub(super) fn accept_links(&mut self, now: Instant) {
        let begin = Instant::now();
        for _ in 0..ACCEPT_BUDGET {
            if begin.elapsed() >= ACCEPT_TIME {
                break;
            }
            let Some(listener) = self.parts.doors.links.as_ref().filter(|_| !self.stopping) else { return };
            match listener.accept() {
                Ok((_, remote)) if !self.parts.connector.admits(remote, now) => self.do_outputs(now),
                Ok((_, remote)) if !self.has_room(remote, now) => {}
                Ok((socket, remote)) => {
                    dial::set_up(&socket, self.parts.send_timeout);
                    let id = self.parts.connector.accept_link(remote, now);
                    self.begin_link(id, socket, now);
                }
                Err(error) => return self.accept_ended(&error, now),
            }
        }
        self.accept_again = Some(now);
    }

    /// Whether the core wants one more connection.
    fn has_room(&mut self, remote: SocketAddr, now: Instant) -> bool {
        let has_room = self.parts.connector.has_room(remote, now);
        self.do_outputs(now);
        has_room
    }

    fn begin_link(&mut self, id: Id, socket: TcpStream, now: Instant) {
        match self.parts.security.begin(Way::From) {
            Ok(secure) => {
                let (session, link) = LinkEntry::new(secure, false);
                let mut stream = Stream::new(Socket::Tcp(socket), session);
                stream.writable = true;
                self.add(id, stream, Kind::Link(Box::new(link)), now);
                self.secure(id, now);
            }
            Err(error) => {
                self.parts.connector.closed(id, Cause::Failed(error.to_string()), now);
                self.do_outputs(now);
            }
        }
    }

    pub(super) fn accept_apps(&mut self, now: Instant) {
        for _ in 0..ACCEPT_BUDGET {
            let Some(apps) = &self.parts.doors.apps else { return };
            match apps.listener.accept() {
                Ok(_) if self.stopping => {}
                Ok((socket, _)) => {
                    let id = self.parts.connector.accept_app();
                    self.identify(id, &socket);
                    self.add_unix(id, socket, Kind::App, now);
                }
                Err(error) => return self.accept_ended(&error, now),
            }
        }
        self.accept_again = Some(now);
    }

    pub(super) fn accept_admins(&mut self, now: Instant) {
        // Another life may find them where they wait.
        if self.parts.connector.ends_when_answered() {
            return;
        }
        for _ in 0..ACCEPT_BUDGET {
            match self.parts.admins.listener.accept() {
                Ok(_) if !self.has_room_for_admin(now) => {}
                Ok((socket, _)) => {
                    let id = self.parts.connector.accept_admin(now);
                    self.identify(id, &socket);
                    self.add_unix(id, socket, Kind::Admin, now);
                }
                Err(error) => return self.accept_ended(&error, now),
            }
        }
        self.accept_again = Some(now);
    }

    fn has_room_for_admin(&mut self, now: Instant) -> bool {
        let has_room = self.parts.connector.has_room_for_admin(now);
        self.do_outputs(now);
        has_room
    }

    /// Tells the core who has connected.
    fn identify(&mut self, id: Id, socket: &UnixStream) {
        if let Some(caller) = caller(socket) {
            self.parts.connector.set_caller(id, caller);
        }
    }

    fn accept_ended(&mut self, error: &io::Error, now: Instant) {
        if error.kind() != io::ErrorKind::WouldBlock {
            if !std::mem::replace(&mut self.accept_fails, true) {
                log::warn!("a connection could not be accepted, and is tried again: {error}");
            }
            self.accept_again = Some(now + ACCEPT_AGAIN);
        }
    }

    pub(super) fn add_unix(&mut self, id: Id, socket: UnixStream, kind: Kind, now: Instant) {
        let mut stream = Stream::new(Socket::Unix(socket), None);
        // Both are found out at the first try.
        (stream.readable, stream.writable) = (true, true);
        self.add(id, stream, kind, now);
    }
}
