//! Programs that read the metrics: their sockets, in the loop with all others.
//!
//! A scrape gets a turn of its own after all messages had theirs: one request is read or one piece of an answer written
//! in a turn of the loop. Who reads slowly holds up nobody, and not for long.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use rustls::CommonState;

use super::buffers::Buffers;
use super::listener::UnixServer;
use super::session::Handler;
use super::shell::{SCRAPE_LISTENER, SCRAPES, Shell};
use super::stream::{Received, Socket, Stream};
use crate::metrics::http::{self, Asked, Status};
use crate::metrics::{self, Format};

/// Connections of scrapers at a time. One more takes the place of the one that has been there for longest.
pub const SCRAPES_MAX: usize = 16;

/// Connections of scrapers that are accepted in a turn.
const ACCEPT_BUDGET: usize = 4;

/// Until a connection on which nothing is asked is closed: longer than the time between two scrapes.
const IDLE: Duration = Duration::from_secs(120);

/// From the first byte of a request to its last.
const REQUEST_TIME: Duration = Duration::from_secs(10);

/// From a request to the last byte of its answer.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// Bytes of an answer that are written in a turn.
const WRITE_BUDGET: usize = 64 * 1024;

/// For so long an answer is good for who asks next: asking without a pause costs a text no more often.
const TEXT_KEPT: Duration = Duration::from_millis(100);

/// Where scrapers connect.
#[derive(Debug)]
pub enum ScrapeListener {
    /// On a loopback port.
    Tcp(TcpListener),
    /// On a Unix socket.
    Unix(UnixServer),
}

impl ScrapeListener {
    pub(super) fn register(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => registry.register(listener, SCRAPE_LISTENER, Interest::READABLE),
            Self::Unix(server) => registry.register(&mut server.listener, SCRAPE_LISTENER, Interest::READABLE),
        }
    }

    fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => listener.accept().map(|(socket, _)| Socket::Tcp(socket)),
            Self::Unix(server) => server.listener.accept().map(|(socket, _)| Socket::Unix(socket)),
        }
    }
}

/// A connection of a scraper.
#[derive(Debug)]
struct Scrape {
    stream: Stream,
    /// What has come of the next request.
    request: Vec<u8>,
    answer: Option<Answer>,
    /// It is closed then.
    until: Instant,
    /// Counts them as they came.
    number: u64,
}

/// An answer on its way.
#[derive(Debug)]
struct Answer {
    head: Vec<u8>,
    body: Rc<str>,
    sent: usize,
    closes: bool,
}

impl Answer {
    /// What is to be sent next; nothing when all is.
    fn rest(&self) -> &[u8] {
        match self.head.get(self.sent..).filter(|head| !head.is_empty()) {
            Some(head) => head,
            None => self.body.as_bytes().get(self.sent - self.head.len()..).unwrap_or_default(),
        }
    }
}

/// All connections of scrapers.
#[derive(Debug, Default)]
pub(super) struct Scrapes {
    slots: Vec<Option<Scrape>>,
    accepted: u64,
    /// The listener may have more.
    accepts: bool,
    /// The last text of each format.
    texts: Vec<(Format, Instant, Rc<str>)>,
}

impl Scrapes {
    /// Whether somebody has something to do.
    pub fn is_busy(&self) -> bool {
        self.accepts || self.slots.iter().flatten().any(Scrape::is_busy)
    }

    /// When the next connection is closed.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.slots.iter().flatten().map(|scrape| scrape.until).min()
    }

    pub fn listener_event(&mut self) {
        self.accepts = true;
    }

    pub fn event(&mut self, slot: usize, event: &mio::event::Event) {
        if let Some(Some(scrape)) = self.slots.get_mut(slot) {
            scrape.stream.ready(event);
        }
    }

    fn accept(&mut self, listener: &ScrapeListener, registry: &Registry, now: Instant) {
        for _ in 0..ACCEPT_BUDGET {
            match listener.accept() {
                Ok(socket) => self.add(socket, registry, now),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.accepts = false;
                    if error.kind() != io::ErrorKind::WouldBlock {
                        log::warn!("metrics_listen: a connection could not be accepted: {error}");
                    }
                    return;
                }
            }
        }
    }

    fn add(&mut self, socket: Socket, registry: &Registry, now: Instant) {
        let slot = match self.slots.iter().position(Option::is_none) {
            Some(free) => free,
            None if self.slots.len() < SCRAPES_MAX => {
                self.slots.push(None);
                self.slots.len() - 1
            }
            None => {
                let by_age = |(_, scrape): &(usize, &Option<Scrape>)| scrape.as_ref().map_or(0, |s| s.number);
                self.slots.iter().enumerate().min_by_key(by_age).map_or(0, |(slot, _)| slot)
            }
        };
        let mut stream = Stream::new(socket, None);
        (stream.readable, stream.writable) = (true, true);
        if let Err(error) = stream.register(registry, Token(SCRAPES + slot)) {
            return log::warn!("metrics_listen: a connection could not be accepted: {error}");
        }
        self.accepted += 1;
        let (request, until, number) = (Vec::new(), now + IDLE, self.accepted);
        self.slots[slot] = Some(Scrape { stream, request, answer: None, until, number });
    }

    /// The text of a format, from a short while ago if there is one.
    fn text(&mut self, format: Format, now: Instant, make: impl FnOnce() -> String) -> Rc<str> {
        self.texts.retain(|(_, made, _)| now.saturating_duration_since(*made) < TEXT_KEPT);
        if let Some((.., text)) = self.texts.iter().find(|(of, ..)| *of == format) {
            return Rc::clone(text);
        }
        let text: Rc<str> = make().into();
        self.texts.push((format, now, Rc::clone(&text)));
        text
    }
}

impl Scrape {
    fn is_busy(&self) -> bool {
        if self.answer.is_some() { self.stream.writable } else { self.stream.readable }
    }

    /// Reads, once; what is asked if a request is whole. An error if the connection is to end.
    fn read(&mut self, buffers: &mut Buffers, any_host: bool, now: Instant) -> Result<Option<Asked>, ()> {
        let mut collect = Collect(&mut self.request);
        // What came before the end of the connection is still answered.
        let ended = matches!(self.stream.receive(buffers, &mut collect), Received::End(_));
        if self.request.is_empty() {
            return if ended { Err(()) } else { Ok(None) };
        }
        if let Some((used, asked)) = http::parse(&self.request, any_host) {
            self.request.drain(..used);
            self.until = now + ANSWER_TIME;
            return Ok(Some(asked));
        }
        self.until = self.until.min(now + REQUEST_TIME);
        if ended { Err(()) } else { Ok(None) }
    }

    /// Writes a piece of the answer. An error if the connection is to end.
    fn write(&mut self, buffers: &mut Buffers, now: Instant) -> Result<(), ()> {
        let Some(answer) = &mut self.answer else { return Ok(()) };
        let mut left = WRITE_BUDGET;
        while left > 0 && !answer.rest().is_empty() && self.stream.writable {
            let rest = answer.rest();
            let sent = self.stream.send(&rest[..rest.len().min(left)], buffers).map_err(drop)?;
            answer.sent += sent;
            left -= sent;
        }
        if answer.rest().is_empty() {
            if answer.closes {
                return Err(());
            }
            self.answer = None;
            self.until = now + IDLE;
            // The next request may have come with the last one.
            self.stream.readable = true;
        }
        Ok(())
    }
}

/// Keeps what comes.
struct Collect<'a>(&'a mut Vec<u8>);

impl Handler for Collect<'_> {
    fn secured(&mut self, _: &CommonState) {}

    fn data(&mut self, bytes: &[u8]) -> bool {
        // One byte more than may be says that it is too long.
        let room = (http::REQUEST_MAX + 1).saturating_sub(self.0.len());
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        true
    }
}

impl Shell {
    /// Gives each scraper its turn.
    pub(super) fn serve_scrapes(&mut self, now: Instant) {
        let Some(listener) = &self.parts.scrapes else { return };
        let any_host = matches!(listener, ScrapeListener::Unix(_));
        let mut scrapes = std::mem::take(&mut self.scrapes);
        if scrapes.accepts {
            scrapes.accept(listener, self.poll.registry(), now);
        }
        for slot in 0..scrapes.slots.len() {
            let Some(mut scrape) = scrapes.slots[slot].take() else { continue };
            let goes_on = scrape.until > now && self.serve_scrape(&mut scrapes, &mut scrape, any_host, now).is_ok();
            if goes_on {
                scrapes.slots[slot] = Some(scrape);
            }
        }
        self.scrapes = scrapes;
    }

    fn serve_scrape(
        &mut self,
        scrapes: &mut Scrapes,
        scrape: &mut Scrape,
        any_host: bool,
        now: Instant,
    ) -> Result<(), ()> {
        if scrape.answer.is_none() && scrape.stream.readable {
            let asked = scrape.read(self.buffers(), any_host, now)?;
            scrape.answer = asked.map(|asked| self.answer(scrapes, &asked, now));
        }
        scrape.write(self.buffers(), now)
    }

    fn answer(&self, scrapes: &mut Scrapes, asked: &Asked, now: Instant) -> Answer {
        let body = match asked.status {
            Status::Ok => scrapes.text(asked.format, now, || metrics::write(&self.figures(now), asked.format)),
            status => status.text().into(),
        };
        let head = http::head(asked, body.len());
        let body = if asked.head_only { "".into() } else { body };
        Answer { head, body, sent: 0, closes: asked.closes }
    }
}
