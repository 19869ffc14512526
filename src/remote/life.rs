//! Commands about the connector as a whole: stop, start, reload; its log; what it is told by its config.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Remote, RemoteError};

/// Time for a stop or restart, besides the pause of a restart, unless [`Remote::timeout`] gives more: what is queued goes
/// out first, for which the connector has its `shutdown_timeout`.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// What a reload has found in the config file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Config keys that have another value from now on.
    pub changed: Vec<String>,
    /// Config keys that have another value in the file, which counts from the next restart on.
    pub needs_restart: Vec<String>,
}

impl Remote {
    /// Has a connector that was stopped begin again; one that runs goes on. Returns when it serves.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let api = aioconnectors::api::ConnectorApi::client("client1").build()?;
    /// let remote = api.remote();
    /// remote.stop(false)?;
    /// // Nothing comes and goes now; what is queued is kept.
    /// remote.start()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`command`](Self::command); [`RemoteError::Refused`] if it stays stopped, as when its address is taken.
    pub fn start(&self) -> Result<(), RemoteError> {
        self.patient().done("start", &Map::new()).map(drop)
    }

    /// Stops the connector, whose process goes on and answers admins: no links, and apps find nobody. What is queued goes
    /// out first, for `shutdown_timeout` at most; with `hard` at once, and then it stays queued. Returns when it is done.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub fn stop(&self, hard: bool) -> Result<(), RemoteError> {
        self.patient().done("stop", &flags(&[("hard", hard)])).map(drop)
    }

    /// Stops the connector in the same way and ends its process. What is queued in memory, and could not be sent, is lost
    /// and counted.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub fn shutdown(&self, hard: bool) -> Result<(), RemoteError> {
        self.patient().done("stop", &flags(&[("hard", hard), ("shutdown", true)])).map(drop)
    }

    /// Stops the connector and has it begin again after `pause`, an hour at most, with the config file as it is then.
    /// Returns when it begins.
    ///
    /// # Errors
    /// As [`command`](Self::command); [`RemoteError::Refused`] if the config file is not as it must be, and all goes on
    /// as it was; or if the connector could not begin again, and stays stopped.
    pub fn restart(&self, hard: bool, pause: Duration) -> Result<(), RemoteError> {
        let mut arguments = flags(&[("hard", hard)]);
        arguments.insert("sleep_between".to_owned(), pause.as_secs_f64().into());
        let patient = self.patient();
        let timeout = patient.timeout.saturating_add(pause);
        patient.timeout(timeout).done("restart", &arguments).map(drop)
    }

    /// Has the connector read its config file and certificates again, as SIGHUP does: lists, rules and the log level hold
    /// as the file has them.
    ///
    /// # Errors
    /// As [`command_json`](Self::command_json); [`RemoteError::Refused`] if the config file is not as it must be, and all
    /// stays as it was. A connector of the Python package does not know the command.
    pub fn reload(&self) -> Result<Reloaded, RemoteError> {
        let command = "reload";
        let answer = self.done(command, &Map::new())?;
        let (path, command) = (self.path.clone(), command.to_owned());
        let answer: Value = match serde_json::from_str(&answer) {
            Ok(answer) => answer,
            Err(_) => return Err(RemoteError::NotJson { path, command, answer }),
        };
        let keys = |name: &str| {
            let keys = answer.get(name).and_then(Value::as_array).into_iter().flatten();
            keys.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Ok(Reloaded { changed: keys("changed"), needs_restart: keys("needs_restart") })
    }

    /// How important a line must be to be logged, as in `INFO`.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub fn log_level(&self) -> Result<String, RemoteError> {
        self.done("show_log_level__sync", &Map::new())
    }

    /// Changes that, until a reload or a restart: `DEBUG`, `INFO`, `WARNING`, `ERROR`, `CRITICAL`, or `TRACE`, which the
    /// Python package does not have. Returns the level that holds now.
    ///
    /// # Errors
    /// As [`command`](Self::command); [`RemoteError::Refused`] if it is no level, or the connector is a part of another
    /// program, whose log it is.
    pub fn set_log_level(&self, level: &str) -> Result<String, RemoteError> {
        self.done("set_log_level__sync", &text("level", level))
    }

    /// The value of a config key as the connector has it, or of `is_running` or `source_id`. Texts are as they are, what is
    /// true, false or not there is `True`, `False` or `None`, as in Python; all else is JSON.
    ///
    /// # Errors
    /// As [`command`](Self::command); [`RemoteError::Refused`] if there is no such attribute, or it is not shown.
    pub fn attribute(&self, name: &str) -> Result<String, RemoteError> {
        self.done("show_attribute__sync", &text("attribute", name))
    }

    /// How many messages wait: in all for apps, and for each peer.
    ///
    /// # Errors
    /// As [`command_json`](Self::command_json).
    pub fn queues(&self) -> Result<(u64, Vec<(String, u64)>), RemoteError> {
        let queues = self.command_json("peek_queues__sync", &flags(&[("dump_result", true)]))?;
        let peers = queues.get("queue_send").and_then(Value::as_object).into_iter().flatten();
        let peers = peers.map(|(peer, queued)| (peer.clone(), queued.as_u64().unwrap_or_default())).collect();
        Ok((queues.get("queue_recv").and_then(Value::as_u64).unwrap_or_default(), peers))
    }

    /// Has a client delete its own certificate; with `reconnect` it asks the server for another at once, which it gets if
    /// the server has taken back the old one.
    ///
    /// # Errors
    /// As [`command`](Self::command); [`RemoteError::Refused`] if there is none, or the connector is a server.
    pub fn delete_own_certificate(&self, reconnect: bool) -> Result<(), RemoteError> {
        self.done("delete_client_certificate_on_client", &flags(&[("restart_client", reconnect)])).map(drop)
    }

    /// Has the connector remove files of queues that are of no use any more: damaged ones that were put aside, and those of
    /// types and peers that it does not have.
    ///
    /// # Errors
    /// As [`command`](Self::command); [`RemoteError::Refused`] if a file cannot be removed.
    pub fn remove_remains(&self) -> Result<(), RemoteError> {
        self.done("delete_previous_persistence_remains__sync", &Map::new()).map(drop)
    }

    /// The same connector, with enough time for a stop.
    fn patient(&self) -> Self {
        Self { path: self.path.clone(), timeout: self.timeout.max(STOP_TIMEOUT) }
    }
}

fn flags(given: &[(&str, bool)]) -> Map<String, Value> {
    given.iter().map(|(name, flag)| ((*name).to_owned(), Value::Bool(*flag))).collect()
}

fn text(name: &str, text: &str) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), text.into())])
}
