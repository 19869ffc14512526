//! Where hooks are asked, and where their answers come.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::{Map, Value};

use super::child::{Reply, RunError};
use super::question::{Answer, Client, Folder, Hook, Question, Verdict};
use super::runner::{Number, Runner};
use super::set::{Hooks, Provider};

/// Names a question: no two that are under way have the same.
pub trait Ticket: Copy + Eq + Hash + Send + 'static {}

impl<T: Copy + Eq + Hash + Send + 'static> Ticket for T {}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked<A> {
    /// The answer.
    Now(A),
    /// It comes later.
    Later,
}

/// A program's reply to a question.
type Replied<T> = (T, Number, Result<Reply, RunError>);

/// Where one hook is asked. A hook that fails says no, and the log says why.
pub struct Desk<T, Q, A> {
    hook: Hook,
    provider: Provider<Q, A>,
    runner: Runner,
    /// The questions under way.
    asked: HashMap<T, Number>,
    sender: Sender<Replied<T>>,
    receiver: Receiver<Replied<T>>,
}

impl<T, Q, A> fmt::Debug for Desk<T, Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("hook", &self.hook).field("asked", &self.asked.len()).finish_non_exhaustive()
    }
}

impl<T: Ticket, Q, A> Desk<T, Q, A> {
    pub(super) fn new(hook: Hook, provider: Provider<Q, A>, runner: &Runner) -> Self {
        let (sender, receiver) = channel();
        Self { hook, provider, runner: runner.clone(), asked: HashMap::new(), sender, receiver }
    }

    /// Whether there is somebody to ask.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.provider.is_set()
    }

    /// The answer to a question is of no use any more.
    pub fn forget(&mut self, ticket: T) {
        if let Some(number) = self.asked.remove(&ticket) {
            self.runner.withdraw(number);
        }
    }
}

impl<T: Ticket, Q: Question, A: Answer> Desk<T, Q, A> {
    /// Asks. `None` without a hook. A closure answers at once; of a program the answer comes by [`Desk::answer`], at the
    /// latest when `hook_timeout` is over.
    pub fn ask(&mut self, ticket: T, question: &Q) -> Option<Asked<A>> {
        let program = match &self.provider {
            Provider::None => return None,
            Provider::Closure(closure) => return Some(Asked::Now(closure(question))),
            Provider::Program(program) => program,
        };
        let mut members = Map::new();
        members.insert("hook".to_owned(), self.hook.key().into());
        members.insert("connector".to_owned(), self.runner.connector().into());
        members.extend(question.members());
        let input = Value::Object(members).to_string().into_bytes();
        let sender = self.sender.clone();
        let done = move |number, replied| {
            // If the desk is gone, nobody waits for the answer.
            let _ = sender.send((ticket, number, replied));
        };
        self.asked.insert(ticket, self.runner.ask(program, input, Box::new(done)));
        Some(Asked::Later)
    }

    /// An answer that has come.
    pub fn answer(&mut self) -> Option<(T, A)> {
        loop {
            let (ticket, number, replied) = self.receiver.try_recv().ok()?;
            if self.asked.get(&ticket) == Some(&number) {
                self.asked.remove(&ticket);
                return Some((ticket, self.read(replied)));
            }
        }
    }

    fn read(&self, replied: Result<Reply, RunError>) -> A {
        let failure = match replied {
            Ok(Reply::No(why)) => return A::refused(why),
            Ok(Reply::Yes(output)) => match A::read(output) {
                Ok(answer) => return answer,
                Err(expected) => format!("it wrote something else than {expected}"),
            },
            Err(error) => error.to_string(),
        };
        log::error!("{} has failed: {failure}", self.hook);
        A::refused(format!("{} has failed: {failure}", self.hook))
    }
}

/// Where the hooks that decide about clients are asked.
#[derive(Debug)]
pub struct Clients<T> {
    desks: [(Hook, Desk<T, Client, Verdict>); 3],
}

impl<T: Ticket> Clients<T> {
    pub(super) fn new(hooks: &Hooks, runner: &Runner) -> Self {
        let providers = [
            (Hook::WhitelistClients, &hooks.whitelist_clients),
            (Hook::ServerAuthClient, &hooks.server_auth_client),
            (Hook::AllowCertificateCreation, &hooks.allow_certificate_creation),
        ];
        Self { desks: providers.map(|(hook, provider)| (hook, Desk::new(hook, provider.clone(), runner))) }
    }

    /// Asks one of the three hooks about a client; who is asked nothing says yes.
    pub fn ask(&mut self, hook: Hook, ticket: T, client: &Client) -> Asked<Verdict> {
        let desk = self.desks.iter_mut().find(|(of, _)| *of == hook);
        desk.and_then(|(_, desk)| desk.ask(ticket, client)).unwrap_or(Asked::Now(Verdict::Allowed))
    }

    /// An answer that has come, and whose.
    pub fn answer(&mut self) -> Option<(Hook, T, Verdict)> {
        self.desks.iter_mut().find_map(|(hook, desk)| desk.answer().map(|(ticket, verdict)| (*hook, ticket, verdict)))
    }

    /// The answer to a question is of no use any more.
    pub fn forget(&mut self, ticket: T) {
        self.desks.iter_mut().for_each(|(_, desk)| desk.forget(ticket));
    }
}

/// Where it is asked into which folder a file goes.
#[derive(Debug)]
pub struct TargetDirectory {
    desk: Option<Desk<u64, Map<String, Value>, Folder>>,
}

impl Default for TargetDirectory {
    fn default() -> Self {
        Self::none()
    }
}

impl TargetDirectory {
    /// Without a hook: files go where the config says.
    #[must_use]
    pub fn none() -> Self {
        Self { desk: None }
    }

    pub(super) fn new(desk: Desk<u64, Map<String, Value>, Folder>) -> Self {
        Self { desk: desk.is_set().then_some(desk) }
    }

    /// Asks where the file goes whose message has this header. A closure answers at once, as nobody does if there is no
    /// hook; of a program the answer comes by [`TargetDirectory::answer`], at the latest when `hook_timeout` is over.
    pub fn ask(&mut self, ticket: u64, header: &[u8]) -> Asked<Folder> {
        let Some(desk) = &mut self.desk else { return Asked::Now(Folder::AsConfigured) };
        match serde_json::from_slice(header) {
            Ok(header) => desk.ask(ticket, &header).unwrap_or(Asked::Now(Folder::AsConfigured)),
            Err(error) => Asked::Now(Folder::Refused(format!("its header is no JSON object: {error}"))),
        }
    }

    /// An answer that has come. The loop is woken when there is one.
    pub fn answer(&mut self) -> Option<(u64, Folder)> {
        self.desk.as_mut()?.answer()
    }

    /// The answer to a question is of no use any more.
    pub fn forget(&mut self, ticket: u64) {
        if let Some(desk) = &mut self.desk {
            desk.forget(ticket);
        }
    }
}
