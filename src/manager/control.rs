//! The handle to a running connector. The connector's own thread does what it is asked for: nobody else touches it.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;
use std::panic::resume_unwind;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use mio::Waker;

use super::admin::Reloaded;
use super::error::{ControlError, StartError};
use crate::core::Status;

/// How a connector stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// What is queued is sent first, for `shutdown_timeout` at most.
    Soft,
    /// At once. What is queued in memory is counted as dropped; what is stored is there at the next start.
    Hard,
}

/// Where a connector is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has not begun yet, or is about to.
    Starting,
    /// Its sockets are open: apps and peers can connect.
    Serving,
    /// An admin has stopped it: only admins are answered, until one starts it again.
    Stopped,
    /// It is stopping.
    Stopping,
    /// It is stopping, and starts again then.
    Restarting,
    /// It has ended, or could not start.
    Ended,
}

/// What a connector is asked for.
pub(super) enum Order {
    Stop(Stop),
    Restart(Stop, Sender<Result<(), ControlError>>),
    Reload(Sender<Result<Reloaded, ControlError>>),
    Status(Sender<Status>),
}

/// Asks one connector for things, from any thread. Clones are one and the same.
#[derive(Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    phase: Phase,
    orders: VecDeque<Order>,
    /// Wakes the loop, while there is one.
    waker: Option<Arc<Waker>>,
    /// The loop's thread.
    thread: Option<ThreadId>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("phase", &self.phase()).finish_non_exhaustive()
    }
}

impl Control {
    pub(super) fn new() -> Self {
        let state = State { phase: Phase::Starting, orders: VecDeque::new(), waker: None, thread: None };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What is locked is whole wherever a panic could come from: nothing is called in between that could.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the connector is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// Stops the connector, also one that is about to start. A hard stop goes ahead of a soft one that is under way.
    pub fn stop(&self, how: Stop) {
        let mut state = self.lock();
        if state.phase != Phase::Ended {
            state.order(Order::Stop(how));
        }
    }

    /// Has the connector stop and start again, with its config file read anew and the hooks that it has. Returns as soon
    /// as that is under way; see [`Control::wait_until_serving`].
    ///
    /// # Errors
    /// The config file is not as it must be, and the connector goes on as it was; it has ended, or is stopping.
    pub fn restart(&self, how: Stop) -> Result<(), ControlError> {
        self.ask(|answer| Order::Restart(how, answer))?
    }

    /// Has the config file and certificates read again: lists, rules and the log level hold as the file has them. Hooks
    /// and the connector's links stay.
    ///
    /// # Returns
    /// What of the config has changed, and what of it counts after a restart only.
    ///
    /// # Errors
    /// The config file or the certificates are not as they must be, and all stays as it was; the connector has ended.
    pub fn reload(&self) -> Result<Reloaded, ControlError> {
        self.ask(Order::Reload)?
    }

    /// How the connector stands.
    ///
    /// # Errors
    /// It has ended.
    pub fn status(&self) -> Result<Status, ControlError> {
        self.ask(Order::Status)
    }

    /// Waits until apps and peers can connect.
    ///
    /// # Errors
    /// The connector has ended, or could not start, or it does not serve after `timeout`.
    pub fn wait_until_serving(&self, timeout: Duration) -> Result<(), ControlError> {
        let end = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            match state.phase {
                Phase::Serving => return Ok(()),
                Phase::Ended => return Err(ControlError::Ended),
                Phase::Starting | Phase::Stopped | Phase::Stopping | Phase::Restarting => {}
            }
            if state.thread == Some(thread::current().id()) {
                return Err(ControlError::FromHook);
            }
            let left = end.checked_duration_since(Instant::now()).ok_or(ControlError::TimedOut(timeout))?;
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Hands an order in and waits for its answer. While the connector starts, that takes as long as the start.
    fn ask<T>(&self, order: impl FnOnce(Sender<T>) -> Order) -> Result<T, ControlError> {
        let (sender, receiver) = channel();
        {
            let mut state = self.lock();
            if state.thread == Some(thread::current().id()) {
                return Err(ControlError::FromHook);
            }
            if state.phase == Phase::Ended {
                return Err(ControlError::Ended);
            }
            state.order(order(sender));
        }
        // At its end the connector lets go of the orders that it has not carried out.
        receiver.recv().map_err(|_| ControlError::Ended)
    }

    /// The orders that have come.
    pub(super) fn take(&self) -> VecDeque<Order> {
        std::mem::take(&mut self.lock().orders)
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.lock().phase = phase;
        self.shared.changed.notify_all();
    }

    /// The loop runs on this thread, and is woken with `waker`.
    pub(super) fn serves(&self, waker: Arc<Waker>) {
        let mut state = self.lock();
        (state.waker, state.thread, state.phase) = (Some(waker), Some(thread::current().id()), Phase::Serving);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// The loop is over, and another one begins, or not.
    pub(super) fn over(&self, phase: Phase) {
        let mut state = self.lock();
        (state.waker, state.phase) = (None, phase);
        if phase == Phase::Ended {
            (state.thread, state.orders) = (None, VecDeque::new());
        }
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl State {
    fn order(&mut self, order: Order) {
        self.orders.push_back(order);
        if let Some(waker) = &self.waker {
            // One that fails leaves the order for the next turn.
            let _ = waker.wake();
        }
    }
}

/// A connector on a thread of its own, and its [`Control`]. Dropped, it stops the connector and waits for its end: softly,
/// or, if this thread panics, hard. To have its result, [`join`](Self::join) it.
#[derive(Debug)]
#[must_use = "the connector stops when this is dropped"]
pub struct Running {
    control: Control,
    thread: Option<JoinHandle<Result<(), StartError>>>,
}

impl Running {
    pub(super) fn new(control: Control, thread: JoinHandle<Result<(), StartError>>) -> Self {
        Self { control, thread: Some(thread) }
    }

    /// What asks the connector for things, for other threads.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Waits for the connector's end; somebody must have stopped it.
    ///
    /// # Errors
    /// It could not start, or go on.
    ///
    /// # Panics
    /// If the connector's thread did, with the same: a hook has panicked.
    pub fn join(mut self) -> Result<(), StartError> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => resume_unwind(panic),
            None => Ok(()),
        }
    }

    /// Stops the connector, and waits for its end.
    ///
    /// # Errors
    /// As [`Running::join`].
    pub fn end(self, how: Stop) -> Result<(), StartError> {
        self.stop(how);
        self.join()
    }
}

impl Deref for Running {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.control.stop(if thread::panicking() { Stop::Hard } else { Stop::Soft });
        // A hook that drops it would wait for itself.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            log::error!("the connector ended with a panic");
        }
    }
}
