//! Commands about tokens, and about tokens for enrolment.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Remote, RemoteError};

impl Remote {
    /// Has a server forget the token of a client, whose connection ends.
    ///
    /// # Errors
    /// As [`command_json`](Self::command_json); [`RemoteError::Refused`].
    pub fn delete_client_token_on_server(&self, client: &str) -> Result<(), RemoteError> {
        self.done("delete_client_token_on_server", &client_id(client)).map(drop)
    }

    /// Has a client forget its token; with `reconnect` it connects anew, for which it needs another.
    ///
    /// # Errors
    /// As [`command_json`](Self::command_json); [`RemoteError::Refused`].
    pub fn delete_client_token_on_client(&self, reconnect: bool) -> Result<(), RemoteError> {
        let arguments = Map::from_iter([("restart_client".to_owned(), reconnect.into())]);
        self.done("delete_client_token_on_client", &arguments).map(drop)
    }

    /// Has a server read its file of tokens again. Clients whose token is not the same any more are dropped.
    ///
    /// # Errors
    /// As [`command_json`](Self::command_json); [`RemoteError::Refused`], and all stays as it was.
    pub fn load_server_tokens(&self) -> Result<(), RemoteError> {
        self.done("load_server_tokens", &Map::new()).map(drop)
    }

    /// Has a client read its token, to see whether that can be done: it does so for each connection by itself.
    ///
    /// # Errors
    /// As [`command_json`](Self::command_json); [`RemoteError::Refused`].
    pub fn load_client_token(&self) -> Result<(), RemoteError> {
        self.done("load_client_token", &Map::new()).map(drop)
    }

    /// Has a server make a token with which a client of this name can enrol once; without `ttl` it is good for a day.
    ///
    /// # Returns
    /// The token, which nobody else knows.
    ///
    /// # Errors
    /// As [`command_json`](Self::command_json); [`RemoteError::Refused`].
    pub fn enroll(&self, client: &str, ttl: Option<Duration>) -> Result<String, RemoteError> {
        let mut arguments = client_id(client);
        if let Some(ttl) = ttl {
            arguments.insert("ttl".to_owned(), ttl.as_secs_f64().into());
        }
        let answer = self.done_json("enroll", &arguments)?;
        Ok(answer.get("token").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// The clients that may enrol at a server, and until when: seconds since 1970.
    ///
    /// # Errors
    /// As [`command_json`](Self::command_json); [`RemoteError::Refused`].
    pub fn enrollments(&self) -> Result<Vec<(String, u64)>, RemoteError> {
        let answer = self.done_json("show_enrollments", &Map::new())?;
        let known = answer.as_object().into_iter().flatten();
        Ok(known.map(|(client, expires)| (client.clone(), expires.as_u64().unwrap_or_default())).collect())
    }

    /// Has a server take back the token for the enrolment of this client.
    ///
    /// # Errors
    /// As [`command_json`](Self::command_json); [`RemoteError::Refused`].
    pub fn withdraw_enrollment(&self, client: &str) -> Result<(), RemoteError> {
        self.done("withdraw_enrollment", &client_id(client)).map(drop)
    }

    fn done_json(&self, command: &str, arguments: &Map<String, Value>) -> Result<Value, RemoteError> {
        let answer = self.done(command, arguments)?;
        let (path, command) = (self.path.clone(), command.to_owned());
        serde_json::from_str(&answer).map_err(|_| RemoteError::NotJson { path, command, answer })
    }
}

fn client_id(client: &str) -> Map<String, Value> {
    Map::from_iter([("client_id".to_owned(), client.into())])
}
