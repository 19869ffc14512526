//! The sockets where links and apps come in. They are closed while the connector rests, and opened again.

use std::io;
use std::path::PathBuf;

use mio::net::TcpListener;
use mio::{Interest, Registry, Token};

use super::listener::{self, ListenError, UnixServer};

/// Where the doors are.
#[derive(Clone, Debug)]
pub struct Places {
    /// A server's host, an address, interface or name of this machine, and its port.
    pub links: Option<(String, u16)>,
    /// Other processes may share that address.
    pub share: bool,
    /// Where apps connect to send.
    pub apps: PathBuf,
    /// The mode of that socket.
    pub mode: u32,
    /// It is taken over from a live process.
    pub reuse: bool,
}

/// The listeners.
#[derive(Debug)]
pub struct Doors {
    places: Places,
    pub(super) links: Option<TcpListener>,
    pub(super) apps: Option<UnixServer>,
}

impl Doors {
    /// Opens them.
    ///
    /// # Errors
    /// Somebody else is there, or they cannot be made.
    pub fn open(places: Places) -> Result<Self, ListenError> {
        let mut doors = Self { places, links: None, apps: None };
        doors.open_closed()?;
        Ok(doors)
    }

    fn open_closed(&mut self) -> Result<(), ListenError> {
        let places = &self.places;
        let links = match &places.links {
            Some((host, port)) if self.links.is_none() => Some(listener::tcp(host, *port, places.share)?),
            _ => self.links.take(),
        };
        let apps = match self.apps.take() {
            Some(apps) => apps,
            None => listener::unix(&places.apps, places.mode, places.reuse)?,
        };
        (self.links, self.apps) = (links, Some(apps));
        Ok(())
    }

    /// Has the poller look at them.
    pub(super) fn register(&mut self, registry: &Registry, links: Token, apps: Token) -> io::Result<()> {
        if let Some(listener) = &mut self.links {
            registry.register(listener, links, Interest::READABLE)?;
        }
        if let Some(server) = &mut self.apps {
            registry.register(&mut server.listener, apps, Interest::READABLE)?;
        }
        Ok(())
    }

    /// Closes them: who comes now finds nobody. The poller forgets what is closed.
    pub(super) fn close(&mut self) {
        (self.links, self.apps) = (None, None);
    }

    /// Opens them again after that.
    pub(super) fn open_again(&mut self, registry: &Registry, links: Token, apps: Token) -> Result<(), String> {
        let opened = self.open_closed().map_err(|error| error.to_string());
        let registered = opened.and_then(|()| self.register(registry, links, apps).map_err(|error| error.to_string()));
        if registered.is_err() {
            self.close();
        }
        registered
    }
}
