//! Connections that this connector opens: to its server, and to the apps that receive.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::SocketAddr as UnixAddress;
use std::path::PathBuf;
use std::time::Instant;

use mio::net::UnixStream;

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
                self.add_unix(id, socket, Kind::Delivery, now);
                self.parts.connector.opened(id, None, now);
            }
            Err(error) => {
                let cause = match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Cause::NoListener,
                    io::ErrorKind::WouldBlock => Cause::Busy,
                    _ => {
                        log::warn!("{}: cannot connect to the app that listens there: {error}", path.display());
                        Cause::NoListener
                    }
                };
                self.parts.connector.closed(id, cause, now);
            }
        }
    }
}
