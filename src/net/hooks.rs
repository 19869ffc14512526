//! The hooks that the core has asked about clients.

use std::time::Instant;

use super::shell::Shell;
use crate::core::{Gate, Gates, Id, Question};
use crate::hooks::{Asked, Client, Clients, Hook, Hooks, Runner, Verdict};

/// The hooks of a connector, at work. When it is dropped, programs that run are killed.
#[derive(Debug)]
pub struct ActiveHooks {
    runner: Runner,
    pub(super) clients: Clients<Id>,
}

impl Drop for ActiveHooks {
    fn drop(&mut self) {
        self.runner.stop();
    }
}

impl ActiveHooks {
    /// Has `hooks` asked; programs by way of `runner`, which is theirs from now on.
    #[must_use]
    pub fn new(hooks: &Hooks, runner: Runner) -> Self {
        Self { clients: hooks.clients(&runner), runner }
    }

    pub(super) fn wake_with(&self, wake: impl Fn() + Send + 'static) {
        self.runner.wake_with(wake);
    }

    /// What the core must know of `hooks`.
    #[must_use]
    pub fn gates(hooks: &Hooks, timeout: std::time::Duration) -> Gates {
        let is_set = |gate| hooks.is_set(hook(gate));
        Gates {
            whitelist: is_set(Gate::Whitelist),
            authentication: is_set(Gate::Authentication),
            certificate: is_set(Gate::Certificate),
            timeout,
        }
    }
}

fn hook(gate: Gate) -> Hook {
    match gate {
        Gate::Whitelist => Hook::WhitelistClients,
        Gate::Authentication => Hook::ServerAuthClient,
        Gate::Certificate => Hook::AllowCertificateCreation,
    }
}

impl Shell {
    pub(super) fn ask(&mut self, id: Id, question: Question, now: Instant) {
        let Question { gate, client: name, remote: address, certificate } = question;
        let client = Client { name, address, certificate };
        if let Asked::Now(verdict) = self.parts.hooks.clients.ask(hook(gate), id, &client) {
            self.parts.connector.answered(id, gate, as_result(verdict), now);
        }
    }

    pub(super) fn take_verdicts(&mut self, now: Instant) {
        while let Some((hook, id, verdict)) = self.parts.hooks.clients.answer() {
            let gates = [Gate::Whitelist, Gate::Authentication, Gate::Certificate];
            if let Some(gate) = gates.into_iter().find(|gate| self::hook(*gate) == hook) {
                self.parts.connector.answered(id, gate, as_result(verdict), now);
            }
            self.do_outputs(now);
        }
    }
}

fn as_result(verdict: Verdict) -> Result<(), String> {
    match verdict {
        Verdict::Allowed => Ok(()),
        Verdict::Refused(why) => Err(why),
    }
}
