//! The line of questions to programs, and the threads that ask them.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::child::{self, Reply, RunError, Watch};
use super::program::Program;

/// Programs of a connector that run at a time; further questions wait in line.
pub const AT_ONCE: usize = 16;

/// Most questions that wait in line; further ones have failed at once.
pub const LINE_MAX: usize = 1024;

/// Memory for a thread that asks: it only waits.
const STACK: usize = 256 * 1024;

/// What is done with an answer, on the thread that asked.
pub(super) type Done = Box<dyn FnOnce(Number, Result<Reply, RunError>) + Send>;

/// Wakes whoever waits for answers.
type Wake = Box<dyn Fn() + Send>;

/// Names a question of a [`Runner`].
pub(super) type Number = u64;

/// Has programs asked, beside the connector's loop, for one connector. Clones are one and the same.
///
/// A thread begins with a question when all others are busy, and ends when nobody waits in line.
#[derive(Clone)]
pub struct Runner {
    shared: Arc<Shared>,
}

struct Shared {
    connector: String,
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    line: VecDeque<Job>,
    threads: usize,
    /// Process groups of the programs that run.
    running: BTreeSet<Pid>,
    asked: Number,
    wake: Option<Wake>,
    /// Nothing is asked any more.
    stopped: bool,
}

struct Job {
    number: Number,
    program: Program,
    input: Vec<u8>,
    deadline: Instant,
    done: Done,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        let (line, threads) = (state.line.len(), state.threads);
        f.debug_struct("Runner").field("line", &line).field("threads", &threads).finish_non_exhaustive()
    }
}

impl Runner {
    /// A runner for the connector of this id. Each question is answered, or has failed, `timeout` after it was asked.
    #[must_use]
    pub fn new(connector: &str, timeout: Duration) -> Self {
        let shared = Shared { connector: connector.to_owned(), timeout, state: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Has `wake` called, on any thread, when an answer has come.
    pub fn wake_with(&self, wake: impl Fn() + Send + 'static) {
        self.shared.lock().wake = Some(Box::new(wake));
    }

    /// Ends: programs that run are killed, and nothing is asked any more.
    pub fn stop(&self) {
        let mut state = self.shared.lock();
        state.stopped = true;
        state.line.clear();
        for group in &state.running {
            let _ = killpg(*group, Signal::SIGKILL);
        }
    }

    /// The connector's id.
    pub(super) fn connector(&self) -> &str {
        &self.shared.connector
    }

    /// Has `program` asked. The answer goes to `done` in any case, unless the question is withdrawn.
    pub(super) fn ask(&self, program: &Program, input: Vec<u8>, done: Done) -> Number {
        let deadline = Instant::now() + self.shared.timeout;
        let mut state = self.shared.lock();
        state.asked += 1;
        let job = Job { number: state.asked, program: program.clone(), input, deadline, done };
        let number = job.number;
        if state.stopped || state.line.len() >= LINE_MAX {
            let why = if state.stopped { RunError::Stopped } else { RunError::LineFull };
            drop(state);
            self.shared.answer(job, Err(why));
            return number;
        }
        state.line.push_back(job);
        if state.threads < AT_ONCE {
            state.threads += 1;
            drop(state);
            self.begin_thread();
        }
        number
    }

    /// Takes a question back that still waits in line. One that was asked is answered.
    pub(super) fn withdraw(&self, number: Number) {
        self.shared.lock().line.retain(|job| job.number != number);
    }

    fn begin_thread(&self) {
        let shared = Arc::clone(&self.shared);
        let begun = thread::Builder::new().name("hooks".to_owned()).stack_size(STACK).spawn(move || shared.work());
        let Err(error) = begun else { return };
        let mut state = self.shared.lock();
        state.threads -= 1;
        // If another thread is at work, it comes to what waits in line.
        if state.threads == 0 {
            let jobs: Vec<Job> = state.line.drain(..).collect();
            drop(state);
            let why = || RunError::System(error.kind().into());
            jobs.into_iter().for_each(|job| self.shared.answer(job, Err(why())));
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What is locked is whole wherever a panic could come from: nothing is called in between that could.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks what waits in line, one after another.
    fn work(&self) {
        while let Some(job) = self.next() {
            let in_time = Instant::now() < job.deadline;
            let answer = if in_time {
                child::ask(&job.program, &job.input, job.deadline, self)
            } else {
                Err(RunError::TimedOut)
            };
            self.answer(job, answer);
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        let job = state.line.pop_front();
        if job.is_none() {
            state.threads -= 1;
        }
        job
    }

    fn answer(&self, job: Job, answer: Result<Reply, RunError>) {
        (job.done)(job.number, answer);
        if let Some(wake) = &self.lock().wake {
            wake();
        }
    }
}

impl Watch for Shared {
    fn begins(&self, group: Pid) -> bool {
        let mut state = self.lock();
        state.running.insert(group);
        !state.stopped
    }

    fn ends(&self, group: Pid) {
        self.lock().running.remove(&group);
    }
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;
