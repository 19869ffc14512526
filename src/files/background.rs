//! What waits for the disk: done on threads that end with it, so that the loop does not wait.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// Most threads at a time; what else there is to do waits for them.
const THREADS_MAX: usize = 4;

/// Bytes from which on a file is large: when the last of it is let go, the disk is busy with its blocks for a while.
pub(super) const LARGE: u64 = 16 * 1024 * 1024;

/// Closes what holds a file of so many bytes, which may have lost its name: beside the loop if it is large.
pub(super) fn close<T: Send + 'static>(file: T, size: u64) {
    if size >= LARGE {
        // Without a thread it is closed here, with what the thread would have done.
        let _ = thread::Builder::new().name("files".to_owned()).spawn(move || drop(file));
    }
}

/// Wakes the loop.
#[derive(Clone)]
pub(super) struct Bell(pub Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bell")
    }
}

/// Runs tasks of a kind, and hands them back.
#[derive(Debug)]
pub(super) struct Background<T> {
    sender: Sender<T>,
    receiver: Receiver<T>,
    running: usize,
    waiting: VecDeque<T>,
    run: fn(&mut T),
    pub bell: Bell,
}

impl<T: Send + 'static> Background<T> {
    pub(super) fn new(run: fn(&mut T)) -> Self {
        let (sender, receiver) = channel();
        Self { sender, receiver, running: 0, waiting: VecDeque::new(), run, bell: Bell(Arc::new(|| {})) }
    }

    /// Begins a task; it comes back by [`Background::answer`].
    pub(super) fn start(&mut self, task: T) {
        self.waiting.push_back(task);
        self.start_waiting();
    }

    fn start_waiting(&mut self) {
        while self.running < THREADS_MAX
            && let Some(task) = self.waiting.pop_front()
        {
            self.running += 1;
            let (sender, bell, run) = (self.sender.clone(), self.bell.clone(), self.run);
            // The task is handed over behind the thread's back, so that it is still here if there is no thread.
            let (hand, take) = channel::<T>();
            let begun = thread::Builder::new().name("files".to_owned()).spawn(move || {
                let Ok(mut task) = take.recv() else { return };
                run(&mut task);
                // If the loop is gone, nobody waits for the answer.
                let _ = sender.send(task);
                (bell.0)();
            });
            match begun {
                // The thread takes it, so this does not fail.
                Ok(_) => _ = hand.send(task),
                Err(error) => self.run_here(task, &error),
            }
        }
    }

    /// Better slowly than not at all.
    fn run_here(&mut self, mut task: T, error: &std::io::Error) {
        log::warn!("a file is written through on the loop, since no thread can be had: {error}");
        (self.run)(&mut task);
        let _ = self.sender.send(task);
        (self.bell.0)();
    }

    /// One task that is done.
    pub(super) fn answer(&mut self) -> Option<T> {
        let task = self.receiver.try_recv().ok()?;
        self.running -= 1;
        self.start_waiting();
        Some(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_comes_back_and_rings() {
        let (rung, rings) = channel();
        let mut background = Background::new(|number: &mut u32| *number += 100);
        background.bell = Bell(Arc::new(move || rung.send(()).unwrap()));
        (0..20).for_each(|number| background.start(number));
        let mut done = Vec::new();
        while done.len() < 20 {
            rings.recv().unwrap();
            assert!(background.running <= THREADS_MAX);
            done.extend(std::iter::from_fn(|| background.answer()));
        }
        done.sort_unstable();
        assert_eq!(done, (100..120).collect::<Vec<u32>>());
    }
}
