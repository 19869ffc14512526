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
use super::shell::{Kind, LinkEntry, Shell};
use super::stream::{Socket, Stream};
use crate::core::{Cause, Id};

impl Shell {
    pub(super) fn dial(&mut self, id: Id, now: Instant) {
        let Some(target) = self.parts.target.clone() else { return };
        match self.resolver.ask(id, &target) {
            Some(address) => self.connect(id, address, now),
            None => self.looked_up = Some(id),
        }
    }

    pub(super) fn take_answers(&mut self, now: Instant) {
        while let Some((id, answer)) = self.resolver.answer() {
            // An answer can come when its connection has been given up, and another one may be in its place.
            if self.looked_up.take_if(|waiting| *waiting == id).is_none() {
                continue;
            }
            match answer {
                Ok(address) => self.connect(id, address, now),
                Err(error) => self.parts.connector.closed(id, Cause::Failed(error.to_string()), now),
            }
            self.do_outputs(now);
        }
    }

    fn connect(&mut self, id: Id, address: SocketAddr, now: Instant) {
        let bind = self.parts.target.as_ref().and_then(|t| t.bind.clone());
        let begun = self.parts.security.begin().map_err(|e| e.to_string());
        let connected = begun.and_then(|s| {
            Ok((s, dial::connect(address, bind.as_deref(), self.parts.send_timeout).map_err(|e| e.to_string())?))
        });
        match connected {
            Ok((secure, socket)) => {
                let (session, link) = LinkEntry::new(secure, true);
                let stream = Stream::new(Socket::Tcp(socket), session);
                self.add(id, stream, Kind::Link(Box::new(link)), now);
            }
            Err(error) => self.parts.connector.closed(id, Cause::Failed(error), now),
        }
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
