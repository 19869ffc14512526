//! Requests and answers through two pumps, one for each direction: what they take with no broker in mind.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::client::{Connection, PATIENCE, Place, Speech};
use crate::pump::{Cipher, Pump};
use crate::requests::answer_all;

/// Two pumps. Requests go in at the first and come out where an app answers them; answers the same way through the second.
pub struct Floor {
    pumps: [Pump; 2],
    /// Where each of them is entered.
    entries: [PathBuf; 2],
    /// Where requests come out.
    asked: PathBuf,
    /// Where answers come out.
    answered: UnixListener,
}

impl Floor {
    pub fn new(folder: &Path) -> Result<Self, Failure> {
        let [asks, asked, answers, answered] =
            ["asks", "asked", "answers", "answered"].map(|name| folder.join(format!("floor-{name}")));
        let pumps = [Pump::new(&asks, &asked, Cipher::Plain)?, Pump::new(&answers, &answered, Cipher::Plain)?];
        let answered = UnixListener::bind(answered)?;
        answered.set_nonblocking(true)?;
        Ok(Self { pumps, entries: [asks, answers], asked, answered })
    }

    /// Has `ask` write requests to one connection and read their answers from another; what it returns, and the CPU time
    /// of the pumps. The `first` request is answered before.
    pub fn run<T: Send>(
        &self,
        first: &[u8],
        ask: impl FnOnce(Connection, Connection) -> Result<T, Failure> + Send,
    ) -> Result<(T, Duration), Failure> {
        if self.asked.exists() {
            fs::remove_file(&self.asked)?;
        }
        answer_all(self.asked.clone(), self.entries[1].clone())?;
        let asking = || {
            let mut to = Connection::open(&Place::Unix(self.entries[0].clone()), &Speech::frames(""), false)?;
            let mut from = self.accept()?;
            to.write(first)?;
            while from.hear()?.is_none() {
                from.read()?;
            }
            ask(to, from)
        };
        let ((done, back), there) = self.pumps[0].run(|| self.pumps[1].run(asking))?;
        Ok((done, there.into_iter().chain(back).sum()))
    }

    fn accept(&self) -> Result<Connection, Failure> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(connection) = Connection::accept(&self.answered, &Speech::frames(""))? {
                return Ok(connection);
            }
        }
        Err("the pump does not connect".into())
    }
}
