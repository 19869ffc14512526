//! Warnings of the connector, among what a chat shows.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::SyncSender;

use log::{LevelFilter, Log, Metadata, Record};

use super::Event;

/// Passes warnings on.
struct Teller(Mutex<SyncSender<Event>>);

impl Log for Teller {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LevelFilter::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // It may come from who takes events: nobody may wait here. What does not fit is not told.
            _ = events.try_send(Event::Told(format!("Note: {}", record.args())));
        }
    }

    fn flush(&self) {}
}

/// Has warnings told from now on. A process that logs elsewhere already goes on with that.
pub fn tell(events: SyncSender<Event>) {
    if log::set_boxed_logger(Box::new(Teller(Mutex::new(events)))).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
