//! A connection on which messages go out while a thread listens to their receipts.
//!
//! The connector may say much before it reads on, so an app that writes must be reading at the same time.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use log::debug;

use super::connection;
use super::conversation::Conversation;
use super::error::{ApiError, Step};
use super::receipt_error::ReceiptError;
use super::request::Deadline;
use crate::wire::receipts::{Hello, Level, Refused, ToSender, Welcome};

/// Most refusals that wait to be taken by the app: more than the messages on their way, for a connector may also give
/// up messages that it had confirmed.
pub(super) const REFUSED_MAX: usize = 1_000_000;

/// What is asked of each connection of a sender.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub path: PathBuf,
    pub hello: Hello,
    /// A lower level than that of the hello will do.
    pub or_lower: bool,
    /// Longest that nothing goes on.
    pub patience: Duration,
}

/// What the connector has said since it was last asked for.
#[derive(Default)]
pub(super) struct News {
    /// The messages that have their receipt, in the connector's count.
    pub count: u64,
    /// Numbers in the connector's count.
    pub refused: Vec<Refused>,
    /// Why nothing more will come.
    pub end: Option<ApiError>,
}

#[derive(Default)]
struct Heard {
    news: Mutex<News>,
    changed: Condvar,
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection; dropped, it ends.
pub(super) struct HeardConnection {
    path: PathBuf,
    stream: UnixStream,
    patience: Duration,
    heard: Arc<Heard>,
    listening: Option<JoinHandle<()>>,
}

impl HeardConnection {
    /// Connects, says hello, and waits until `deadline` for the welcome.
    pub fn open(terms: &Terms, deadline: Deadline) -> Result<(Self, Welcome), ApiError> {
        let mut talk = Conversation::open(&terms.path, &terms.hello, terms.patience)?;
        let welcome = talk.welcome(&terms.hello, terms.or_lower, deadline)?;
        let heard = Arc::new(Heard::default());
        heard.lock().count = if terms.hello.session.is_some() { welcome.count.unwrap_or(0) } else { 0 };
        let stream = talk.handle()?;
        let listener = Listener { heard: Arc::clone(&heard), level: welcome.level };
        let listening = thread::Builder::new().name("aioconnectors-hear".into()).spawn(move || listener.listen(talk));
        let listening = Some(listening.map_err(|e| ApiError::io(&terms.path, Step::Connect, e))?);
        Ok((Self { path: terms.path.clone(), stream, patience: terms.patience, heard, listening }, welcome))
    }

    /// Writes bytes of frames; how many were written, and why not all.
    pub fn write(&mut self, bytes: &[u8]) -> (usize, Option<ApiError>) {
        connection::write(&mut self.stream, bytes, &self.path, self.patience)
    }

    /// How many messages have their receipt.
    pub fn count(&self) -> u64 {
        self.heard.lock().count
    }

    /// What there is of news.
    pub fn take_news(&self) -> News {
        let mut news = self.heard.lock();
        News { count: news.count, refused: std::mem::take(&mut news.refused), end: news.end.take() }
    }

    /// Waits for more receipts than `count`, for refusals, or the end of the connection; whether that came in time.
    pub fn wait_beyond(&self, count: u64, timeout: Duration) -> bool {
        let waits = |news: &mut News| news.count <= count && news.refused.is_empty() && news.end.is_none();
        let waited = self.heard.changed.wait_timeout_while(self.heard.lock(), timeout, waits);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Ends the connection, and returns what the connector had said until then.
    pub fn finish(mut self) -> News {
        self.end();
        self.take_news()
    }

    fn end(&mut self) {
        let Some(listening) = self.listening.take() else { return };
        // What was said before is still read.
        if let Err(e) = self.stream.shutdown(Shutdown::Both) {
            debug!("{}: the connection has ended by itself: {e}", self.path.display());
        }
        if listening.join().is_err() {
            log::error!("a thread that listened to receipts has panicked");
        }
    }
}

impl Drop for HeardConnection {
    fn drop(&mut self) {
        self.end();
    }
}

struct Listener {
    heard: Arc<Heard>,
    level: Level,
}

impl Listener {
    fn listen(&self, mut talk: Conversation) {
        loop {
            // What came with the welcome is there before anything is read.
            let result = self.take_in(&mut talk).and_then(|()| talk.hear(None));
            if let Err(error) = result {
                // What came ahead of it counts.
                let last = self.take_in(&mut talk);
                self.heard.lock().end = Some(last.err().unwrap_or(error));
                self.heard.changed.notify_all();
                return;
            }
        }
    }

    fn take_in(&self, talk: &mut Conversation) -> Result<(), ApiError> {
        let mut news = self.heard.lock();
        let mut problem = None;
        for said in talk.take_said() {
            if let Err(source) = self.note(&mut news, said) {
                problem = Some(source);
                break;
            }
        }
        drop(news);
        self.heard.changed.notify_all();
        problem.map_or(Ok(()), |problem| Err(talk.bad(problem)))
    }

    fn note(&self, news: &mut News, said: ToSender) -> Result<(), ReceiptError> {
        match said {
            ToSender::Welcome(_) => return Err(ReceiptError::OutOfTurn),
            ToSender::Receipt(receipt) if receipt.level != self.level => {
                return Err(ReceiptError::Level { expected: self.level, found: receipt.level });
            }
            ToSender::Receipt(receipt) if receipt.count < news.count => {
                return Err(ReceiptError::Number { found: receipt.count, least: news.count, most: u64::MAX });
            }
            ToSender::Receipt(receipt) => news.count = receipt.count,
            ToSender::Refused(_) if news.refused.len() >= REFUSED_MAX => {
                return Err(ReceiptError::TooManyRefused(news.refused.len() + 1));
            }
            ToSender::Refused(refused) => news.refused.push(refused),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::receipts::RefusedReason;

    #[test]
    fn refusals_that_nobody_takes_have_an_end() {
        let listener = Listener { heard: Arc::default(), level: Level::Stored };
        let refused = Refused { index: 1, reason: RefusedReason::Stopping };
        let mut news = News { refused: vec![refused.clone(); REFUSED_MAX - 1], ..News::default() };
        assert_eq!(listener.note(&mut news, ToSender::Refused(refused.clone())), Ok(()));
        let error = listener.note(&mut news, ToSender::Refused(refused)).unwrap_err();
        assert_eq!(error, ReceiptError::TooManyRefused(REFUSED_MAX + 1));
    }
}
