//! Long files are written beside the loop: the disk may make the writer wait, for room in memory or for its blocks, and
//! messages must not wait with it.
//!
//! The loop hands over what has come ([`Writers::push`]) and goes on. A few threads write it, the pieces of a file in
//! their order and by one thread at a time, and ring when there is more on the disk. They are woken once a turn of the
//! loop ([`Writers::go_on`]), for all that came in it. The queue of a file is bounded, and so are all together: what
//! finds no room stays with its sender.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::background::Bell;
use super::error::refused;
use crate::core::files::{FileError, FileHash, PIECE_MAX};

/// Files of so many bytes are written beside the loop. Shorter ones fit into what the kernel takes without a word, and
/// a thread would cost more than they do.
pub(super) const BESIDE: u64 = 1024 * 1024;

/// Bytes of a file that wait to be written: more than is on its way on a link of a local network.
pub(super) const QUEUE_FILE: usize = 4 * 1024 * 1024;

/// Bytes of all files that wait to be written.
pub(super) const QUEUE_ALL: usize = 16 * 1024 * 1024;

/// Most threads that write. A disk that is slow holds up one for each of its files.
const WRITERS_MAX: usize = 4;

/// A thread that has nothing to write ends after so long.
const IDLE: Duration = Duration::from_secs(5);

/// The hash is fed with multiples of so many bytes, from multiples of it on: it is quick with as much as it takes side by
/// side, and pieces come in other lengths.
const HASHED: usize = 16 * 1024;

/// Buffers that a file keeps to be used again.
const SPARE: usize = 2;

/// What is known of a file by both sides.
#[derive(Debug, Default)]
struct Queue {
    /// What is to be written, in buffers of [`PIECE_MAX`] at most.
    pieces: VecDeque<Vec<u8>>,
    /// Their bytes, with those that are just being written.
    bytes: usize,
    /// Bytes that the file has.
    written: u64,
    /// A thread has it, or will have it.
    busy: bool,
    /// Nothing more is written.
    given_up: bool,
    failed: Option<FileError>,
    spare: Vec<Vec<u8>>,
}

/// What the thread that writes needs.
#[derive(Debug)]
struct Pen {
    file: File,
    /// Its name, for errors.
    path: PathBuf,
    hasher: Option<blake3::Hasher>,
    /// What the hash does not have yet of what was written: less than [`HASHED`] bytes.
    edge: Vec<u8>,
}

impl Pen {
    /// Adds what was written to the hash.
    fn hash(&mut self, mut bytes: &[u8]) {
        let Some(hasher) = &mut self.hasher else { return };
        if !self.edge.is_empty() {
            let (more, rest) = bytes.split_at(bytes.len().min(HASHED - self.edge.len()));
            self.edge.extend_from_slice(more);
            bytes = rest;
            if self.edge.len() == HASHED {
                hasher.update(&self.edge);
                self.edge.clear();
            }
        }
        let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % HASHED);
        hasher.update(whole);
        self.edge.extend_from_slice(rest);
    }
}

/// A file that is written beside the loop.
#[derive(Debug)]
pub(super) struct Beside {
    /// Whose turn it is, for the loop.
    ticket: u64,
    queue: Mutex<Queue>,
    /// Nobody holds it but the thread whose turn it is, and the loop when no thread has one.
    pen: Mutex<Pen>,
}

/// A panic elsewhere leaves what is in here as it was: each change is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Beside {
    /// A file that has `written` bytes, of which `hasher` is.
    pub(super) fn new(ticket: u64, file: File, path: PathBuf, hasher: Option<blake3::Hasher>, written: u64) -> Self {
        let queue = Queue { written, ..Queue::default() };
        let pen = Pen { file, path, hasher, edge: Vec::new() };
        Self { ticket, queue: Mutex::new(queue), pen: Mutex::new(pen) }
    }

    /// Bytes that the file has.
    ///
    /// # Errors
    /// Those of writing: nothing more is written then.
    pub(super) fn written(&self) -> Result<u64, FileError> {
        let queue = lock(&self.queue);
        queue.failed.clone().map_or(Ok(queue.written), Err)
    }

    /// Whether no thread has anything to do with it.
    pub(super) fn is_idle(&self) -> bool {
        !lock(&self.queue).busy
    }

    /// Whether all that was handed over is written.
    pub(super) fn is_done(&self) -> bool {
        lock(&self.queue).bytes == 0
    }

    /// The hash of what was written, which is all that was handed over.
    pub(super) fn hash(&self) -> Option<FileHash> {
        let pen = lock(&self.pen);
        pen.hasher.as_ref().map(|hasher| *hasher.clone().update(&pen.edge).finalize().as_bytes())
    }

    /// The disk is so busy that nothing is written, until what this returns is dropped.
    #[cfg(test)]
    pub(super) fn stall(&self) -> impl Sized {
        lock(&self.pen)
    }

    /// Whether a thread has begun to write something.
    #[cfg(test)]
    pub(super) fn is_at_it(&self) -> bool {
        let queue = lock(&self.queue);
        queue.bytes > queue.pieces.iter().map(Vec::len).sum()
    }

    /// Takes these bytes, if there is room; whether there was, and whether somebody must write.
    fn take(&self, bytes: &[u8]) -> (bool, bool) {
        let mut queue = lock(&self.queue);
        if queue.bytes > 0 && queue.bytes + bytes.len() > QUEUE_FILE {
            return (false, false);
        }
        let Queue { pieces, spare, .. } = &mut *queue;
        let mut rest = bytes;
        while !rest.is_empty() {
            // Small pieces are written together.
            let room = pieces.back().map_or(0, |last| PIECE_MAX.saturating_sub(last.len()));
            if room == 0 {
                pieces.push_back(spare.pop().unwrap_or_else(|| Vec::with_capacity(PIECE_MAX)));
                continue;
            }
            let (now, later) = rest.split_at(room.min(rest.len()));
            pieces.iter_mut().next_back().into_iter().for_each(|last| last.extend_from_slice(now));
            rest = later;
        }
        queue.bytes += bytes.len();
        (true, !std::mem::replace(&mut queue.busy, true))
    }

    /// Drops what waits, of which nobody was told that it is there; how much that was. Nothing more is written.
    fn give_up(&self) -> usize {
        let mut queue = lock(&self.queue);
        queue.given_up = true;
        let dropped = queue.pieces.drain(..).map(|piece| piece.len()).sum();
        queue.bytes -= dropped;
        dropped
    }

    /// Writes the next piece; how much was done with, and whether there is more.
    fn step(&self) -> (usize, bool) {
        let (piece, at) = {
            let mut queue = lock(&self.queue);
            match queue.pieces.pop_front() {
                Some(piece) => (piece, queue.written),
                None => {
                    queue.busy = false;
                    return (0, false);
                }
            }
        };
        let written = {
            let mut pen = lock(&self.pen);
            let written = pen.file.write_all_at(&piece, at);
            match &written {
                Ok(()) => pen.hash(&piece),
                // What is too much would be cut off later as well: a file has what `written` says or more.
                Err(_) => _ = pen.file.set_len(at),
            }
            written.map_err(|error| refused("write", &pen.path, error))
        };
        let mut queue = lock(&self.queue);
        let mut done = piece.len();
        queue.bytes -= done;
        match written {
            Ok(()) => {
                queue.written += done as u64;
                if queue.spare.len() < SPARE {
                    let mut piece = piece;
                    piece.clear();
                    queue.spare.push(piece);
                }
            }
            Err(error) => {
                (queue.failed, queue.given_up) = (Some(error), true);
                done += queue.pieces.drain(..).map(|piece| piece.len()).sum::<usize>();
                queue.bytes = 0;
            }
        }
        queue.busy = !queue.pieces.is_empty();
        (done, queue.busy)
    }
}

/// What the threads share.
#[derive(Debug, Default)]
struct Turns {
    waiting: VecDeque<Arc<Beside>>,
    threads: usize,
    /// Of these, those that have nothing to do.
    idle: usize,
    /// Bytes of all files that wait.
    bytes: usize,
    /// The owner is gone.
    over: bool,
}

#[derive(Debug, Default)]
struct Shared {
    turns: Mutex<Turns>,
    more: Condvar,
}

/// The threads that write. They end before this does, and when there is nothing to write for a while.
#[derive(Debug)]
pub(super) struct Writers {
    shared: Arc<Shared>,
    sender: Sender<u64>,
    receiver: Receiver<u64>,
    /// Files that no thread knows of yet.
    fresh: Vec<Arc<Beside>>,
    pub bell: Bell,
}

impl Writers {
    pub(super) fn new() -> Self {
        let (sender, receiver) = channel();
        Self { shared: Arc::default(), sender, receiver, fresh: Vec::new(), bell: Bell(Arc::new(|| {})) }
    }

    /// Has these bytes written behind what was handed over before, from the next [`Writers::go_on`] on; false if there is
    /// no room for them now.
    pub(super) fn push(&mut self, file: &Arc<Beside>, bytes: &[u8]) -> bool {
        let waiting = lock(&self.shared.turns).bytes;
        if waiting > 0 && waiting + bytes.len() > QUEUE_ALL {
            return false;
        }
        // Counted before a thread can have written it.
        lock(&self.shared.turns).bytes += bytes.len();
        let (taken, begins) = file.take(bytes);
        if !taken {
            lock(&self.shared.turns).bytes -= bytes.len();
        }
        if begins {
            self.fresh.push(Arc::clone(file));
        }
        taken
    }

    /// Has threads write what was handed over.
    pub(super) fn go_on(&mut self) {
        for file in std::mem::take(&mut self.fresh) {
            self.begin(file);
        }
    }

    /// Nothing more of what waits is written; a piece that a thread has begun is.
    pub(super) fn give_up(&self, file: &Beside) {
        let dropped = file.give_up();
        lock(&self.shared.turns).bytes -= dropped;
    }

    /// The ticket of a file of which more is written, or that failed, or that was given up and is let go of.
    pub(super) fn come_further(&self) -> Option<u64> {
        self.receiver.try_recv().ok()
    }

    fn begin(&self, file: Arc<Beside>) {
        let mut turns = lock(&self.shared.turns);
        turns.waiting.push_back(file);
        if turns.idle >= turns.waiting.len() || turns.threads >= WRITERS_MAX {
            return self.shared.more.notify_one();
        }
        turns.threads += 1;
        drop(turns);
        let (shared, sender, bell) = (Arc::clone(&self.shared), self.sender.clone(), self.bell.clone());
        let begun = thread::Builder::new().name("writer".to_owned()).spawn(move || work(&shared, &sender, &bell));
        let Err(error) = begun else { return };
        let mut turns = lock(&self.shared.turns);
        turns.threads -= 1;
        if turns.threads == 0 {
            log::warn!("a file is written on the loop, since no thread can be had: {error}");
            while let Some(file) = turns.waiting.pop_front() {
                drop(turns);
                while turn(&self.shared, &self.sender, &self.bell, &file) {}
                turns = lock(&self.shared.turns);
            }
        }
    }
}

impl Drop for Writers {
    /// Waits for the pieces that were begun: the next life of the connector, which may be in the same process, finds
    /// files that nobody writes.
    fn drop(&mut self) {
        let mut turns = lock(&self.shared.turns);
        turns.over = true;
        self.shared.more.notify_all();
        while turns.threads > 0 {
            turns = self.shared.more.wait(turns).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }
}

/// Writes a piece of a file, and says so; whether there is more of it.
fn turn(shared: &Shared, sender: &Sender<u64>, bell: &Bell, file: &Beside) -> bool {
    let (done, more) = file.step();
    lock(&shared.turns).bytes -= done;
    // If the loop is gone, nobody waits for it.
    let _ = sender.send(file.ticket);
    (bell.0)();
    more
}

/// A thread: files take turns.
fn work(shared: &Shared, sender: &Sender<u64>, bell: &Bell) {
    let mut turns = lock(&shared.turns);
    while !turns.over {
        if let Some(file) = turns.waiting.pop_front() {
            drop(turns);
            let more = turn(shared, sender, bell, &file);
            turns = lock(&shared.turns);
            if more {
                turns.waiting.push_back(file);
            } else {
                // The last that holds a long file without a name gives back its blocks.
                drop(turns);
                drop(file);
                turns = lock(&shared.turns);
            }
            continue;
        }
        turns.idle += 1;
        let (woken, waited) = shared.more.wait_timeout(turns, IDLE).unwrap_or_else(std::sync::PoisonError::into_inner);
        turns = woken;
        turns.idle -= 1;
        if waited.timed_out() && turns.waiting.is_empty() {
            break;
        }
    }
    turns.threads -= 1;
    if turns.over {
        shared.more.notify_all();
    }
}
