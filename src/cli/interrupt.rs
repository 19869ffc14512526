//! Ctrl-C and its like, as an end that a command comes to by itself.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

/// Calls a function when SIGINT, SIGTERM or SIGHUP comes, for as long as it lives.
pub struct OnSignal {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl OnSignal {
    /// # Errors
    /// The system lets none be caught.
    pub fn call(mut function: impl FnMut() + Send + 'static) -> io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let handle = signals.handle();
        let thread = thread::Builder::new().name("signals".into());
        let thread = thread.spawn(move || signals.forever().for_each(|_| function()))?;
        Ok(Self { handle, thread: Some(thread) })
    }
}

impl Drop for OnSignal {
    fn drop(&mut self) {
        self.handle.close();
        // It only panics if the function did, which has been said then.
        self.thread.take().map(JoinHandle::join);
    }
}

/// Whether the user wants an end; clones are the same.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<(Mutex<bool>, Condvar)>);

impl Interrupt {
    fn came_lock(&self) -> MutexGuard<'_, bool> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the end is wanted.
    pub fn set(&self) {
        *self.came_lock() = true;
        self.0.1.notify_all();
    }

    /// Whether it has been said.
    #[must_use]
    pub fn came(&self) -> bool {
        *self.came_lock()
    }

    /// Waits until it is said, or for `time`; whether it was said.
    #[must_use]
    pub fn wait(&self, time: Duration) -> bool {
        let waited = self.0.1.wait_timeout_while(self.came_lock(), time, |came| !*came);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_the_end_is_said() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.wait(Duration::from_millis(1)));
        let other = interrupt.clone();
        thread::scope(|scope| {
            scope.spawn(move || other.set());
            assert!(interrupt.wait(Duration::from_secs(60)) && interrupt.came());
        });
    }

    #[test]
    fn a_signal_calls_the_function() {
        let interrupt = Interrupt::default();
        let set = interrupt.clone();
        let _on_signal = OnSignal::call(move || set.set()).unwrap();
        signal_hook::low_level::raise(SIGHUP).unwrap();
        assert!(interrupt.wait(Duration::from_secs(60)));
    }
}
