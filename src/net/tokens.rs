//! What the core wants done with files of tokens, and the hooks that have a say in them.

use std::path::Path;
use std::time::Instant;

use super::shell::Shell;
use crate::core::{Id, TokenWork};
use crate::hooks::{self, Asked, Desk, Hooks, Runner, Stored};
use crate::tokens::{ClientFile, ServerFile};
use crate::wire::token::Token;

/// The files of tokens of a connector, and its hooks for them.
#[derive(Debug)]
pub struct ActiveTokens {
    server: ServerFile,
    client: ClientFile,
    to_store: Desk<Id, hooks::Token, Result<String, String>>,
    to_load: Desk<Id, Stored, Result<String, String>>,
}

impl ActiveTokens {
    /// Those of the connector `name` in the folder `dir`; programs are asked by way of `runner`.
    #[must_use]
    pub fn new(dir: &Path, name: &str, hooks: &Hooks, runner: &Runner) -> Self {
        let (to_store, to_load) = (hooks.tokens_to_store(runner), hooks.tokens_to_load(runner));
        Self { server: ServerFile::new(dir), client: ClientFile::new(dir, name), to_store, to_load }
    }

    /// The token that was to be loaded for this connection is of no use any more. One that is to be stored is: the server
    /// has given it, and gives no other.
    pub(super) fn forget(&mut self, id: Id) {
        self.to_load.forget(id);
    }

    /// Reads the token; none if the answer comes later.
    fn load(&mut self, id: Id) -> Option<Result<Option<Token>, String>> {
        let kept = match self.client.load() {
            Ok(Some(kept)) => kept,
            Ok(None) => return Some(Ok(None)),
            Err(error) => return Some(Err(error.to_string())),
        };
        match self.to_load.ask(id, &Stored(kept.clone())) {
            None => Some(Ok(Token::new(&kept))),
            Some(Asked::Now(answer)) => Some(loaded(answer)),
            Some(Asked::Later) => None,
        }
    }

    /// Keeps the token; none if that is done later.
    fn store(&mut self, id: Id, token: &Token) -> Option<Result<(), String>> {
        match self.to_store.ask(id, &hooks::Token(token.text().to_owned())) {
            None => Some(self.keep(Ok(token.text().to_owned()))),
            Some(Asked::Now(answer)) => Some(self.keep(answer)),
            Some(Asked::Later) => None,
        }
    }

    fn keep(&self, text: Result<String, String>) -> Result<(), String> {
        text.and_then(|text| self.client.store(&text).map_err(|e| e.to_string()))
    }
}

fn loaded(answer: Result<String, String>) -> Result<Option<Token>, String> {
    answer.map(|text| Token::new(&text))
}

impl Shell {
    pub(super) fn token_work(&mut self, id: Id, work: TokenWork, now: Instant) {
        let (tokens, connector) = (&mut self.parts.tokens, &mut self.parts.connector);
        let table = connector.token_table().cloned().unwrap_or_default();
        match work {
            TokenWork::Issue(client) => {
                let issued = tokens.server.issue(&table, &client).map_err(|e| e.to_string());
                connector.token_issued(id, &client, issued, now);
            }
            TokenWork::Forget(client) => {
                let forgotten = tokens.server.forget(&table, &client).map_err(|e| e.to_string());
                connector.token_forgotten(id, &client, forgotten, now);
            }
            TokenWork::LoadAll => {
                let loaded = tokens.server.load().map_err(|e| e.to_string());
                connector.tokens_loaded(id, loaded, now);
            }
            TokenWork::Load => {
                if let Some(loaded) = tokens.load(id) {
                    connector.token_loaded(id, loaded, now);
                }
            }
            TokenWork::Store(token) => {
                if let Some(stored) = tokens.store(id, &token) {
                    connector.token_stored(id, stored, now);
                }
            }
            TokenWork::Remove { reconnect } => {
                let removed = tokens.client.remove().map_err(|e| e.to_string());
                connector.token_removed(id, reconnect, removed, now);
            }
        }
    }

    /// Takes what programs have answered about tokens.
    pub(super) fn take_token_answers(&mut self, now: Instant) {
        while let Some((id, answer)) = self.parts.tokens.to_load.answer() {
            self.parts.connector.token_loaded(id, loaded(answer), now);
            self.do_outputs(now);
        }
        while let Some((id, answer)) = self.parts.tokens.to_store.answer() {
            let stored = self.parts.tokens.keep(answer);
            self.parts.connector.token_stored(id, stored, now);
            self.do_outputs(now);
        }
    }
}
