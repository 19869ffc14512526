//! Removals beside the loop: a disk may make the one wait who takes a file's last name away, until it has written what
//! it was about to write, or has told the device which blocks are free.
//!
//! One thread does them, in the order in which they were asked for. What is named by an id is not begun anew while
//! something of it is still to be removed: [`Errands::has`].

use std::collections::HashMap;
use std::fmt;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

/// Removals that wait; beyond these the loop does them itself, and is slowed down to the disk's pace.
const ERRANDS_MAX: usize = 1024;

struct Errand {
    id: String,
    run: Box<dyn FnOnce() + Send>,
}

/// How many were asked for and are not done, by id.
#[derive(Clone, Debug, Default)]
struct Pending(Arc<Mutex<HashMap<String, usize>>>);

impl Pending {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        // Each change is whole, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// See the module. Dropped, it waits until all is done.
#[derive(Default)]
pub(super) struct Errands {
    pending: Pending,
    /// The thread, from the first errand on.
    thread: Option<(Sender<Errand>, JoinHandle<()>)>,
}

impl fmt::Debug for Errands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Errands").field("pending", &self.pending).finish_non_exhaustive()
    }
}

impl Errands {
    /// Has something removed that is known by this id.
    pub(super) fn run(&mut self, id: &str, run: impl FnOnce() + Send + 'static) {
        {
            let mut pending = self.pending.lock();
            if pending.values().sum::<usize>() >= ERRANDS_MAX {
                drop(pending);
                return run();
            }
            *pending.entry(id.to_owned()).or_default() += 1;
        }
        let errand = Errand { id: id.to_owned(), run: Box::new(run) };
        if self.thread.is_none() {
            self.thread = self.begin();
        }
        let unsent = match &self.thread {
            Some((sender, _)) => sender.send(errand).err().map(|unsent| unsent.0),
            None => Some(errand),
        };
        if let Some(errand) = unsent {
            done(errand, &self.pending);
        }
    }

    fn begin(&self) -> Option<(Sender<Errand>, JoinHandle<()>)> {
        let (sender, receiver) = channel();
        let pending = self.pending.clone();
        let work = move || receiver.into_iter().for_each(|errand| done(errand, &pending));
        match thread::Builder::new().name("remover".to_owned()).spawn(work) {
            Ok(thread) => Some((sender, thread)),
            Err(error) => {
                log::warn!("a file is removed on the loop, since no thread can be had: {error}");
                None
            }
        }
    }

    /// Whether something of this id is still to be removed.
    pub(super) fn has(&self, id: &str) -> bool {
        self.pending.lock().contains_key(id)
    }

    /// Waits until all is done.
    pub(super) fn finish(&mut self) {
        if let Some((sender, thread)) = self.thread.take() {
            drop(sender);
            // A panic in there was told.
            let _ = thread.join();
        }
    }
}

fn done(errand: Errand, pending: &Pending) {
    (errand.run)();
    let mut pending = pending.lock();
    if let Some(count) = pending.get_mut(&errand.id) {
        *count -= 1;
        if *count == 0 {
            pending.remove(&errand.id);
        }
    }
}

impl Drop for Errands {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errands_are_done_in_order_and_known_until_then() {
        let mut errands = Errands::default();
        let (go, wait) = channel::<()>();
        let (said, heard) = channel();
        let first = said.clone();
        errands.run("0", move || {
            wait.recv().unwrap();
            first.send(0).unwrap();
        });
        for number in 1..5 {
            let said = said.clone();
            errands.run(&number.to_string(), move || said.send(number).unwrap());
        }
        assert!(errands.has("0") && errands.has("4") && !errands.has("5"));
        go.send(()).unwrap();
        errands.finish();
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert!(!errands.has("0") && !errands.has("4"));
        errands.run("0", move || said.send(5).unwrap());
        drop(errands);
        assert_eq!(heard.recv(), Ok(5), "one that goes on after a rest");
    }

    #[test]
    fn what_is_too_much_is_done_at_once() {
        let mut errands = Errands::default();
        let (go, wait) = channel::<()>();
        errands.run("0", move || wait.recv().unwrap());
        (1..ERRANDS_MAX).for_each(|number| errands.run(&number.to_string(), || ()));
        let (said, heard) = channel();
        errands.run("more", move || said.send(()).unwrap());
        assert_eq!(heard.try_recv(), Ok(()));
        go.send(()).unwrap();
    }
}
