//! What admins want of the connector's owner: its config, its log, another life.

use std::time::Instant;

use serde_json::json;

use super::access::{access, keep};
use super::control::Phase;
use super::error::ControlError;
use super::security::security;
use super::{ConnectorManager, Next, with_programs};
use crate::config::{Config, Loaded, LogLevel};
use crate::core::OwnerWork;
use crate::logger;
use crate::net::shell::Shell;

/// Config keys whose values are taken over by a reload. All others need a restart.
const RELOADED: [&str; 10] = [
    "blacklisted_clients_id",
    "blacklisted_clients_ip",
    "blacklisted_clients_subnet",
    "client_max_queued_bytes",
    "client_rules",
    "ignore_peer_traffic",
    "local_rules",
    "whitelisted_clients_id",
    "whitelisted_clients_ip",
    "whitelisted_clients_subnet",
];

/// The same if the process is the connector's own.
const RELOADED_OF_PROCESS: &str = "default_logger_log_level";

/// What a reload has found in the config file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Config keys that have another value from now on.
    pub changed: Vec<&'static str>,
    /// Config keys that have another value in the file, which counts from the next restart on.
    pub needs_restart: Vec<&'static str>,
}

impl Reloaded {
    /// What has changed from the config that is in use to the one in the file.
    pub(super) fn of(used: &Config, found: &Config, owns_process: bool) -> Self {
        let is_taken = |key: &&str| RELOADED.contains(key) || (owns_process && *key == RELOADED_OF_PROCESS);
        let (changed, needs_restart) = used.differing(found).into_iter().partition(is_taken);
        Self { changed, needs_restart }
    }
}

/// Takes over from `found` what a reload takes over.
pub(super) fn take_over(used: &mut Config, found: &Config, owns_process: bool) {
    used.blacklisted_clients_id.clone_from(&found.blacklisted_clients_id);
    used.blacklisted_clients_ip.clone_from(&found.blacklisted_clients_ip);
    used.blacklisted_clients_subnet.clone_from(&found.blacklisted_clients_subnet);
    used.whitelisted_clients_id.clone_from(&found.whitelisted_clients_id);
    used.whitelisted_clients_ip.clone_from(&found.whitelisted_clients_ip);
    used.whitelisted_clients_subnet.clone_from(&found.whitelisted_clients_subnet);
    used.client_max_queued_bytes = found.client_max_queued_bytes;
    used.client_rules.clone_from(&found.client_rules);
    used.local_rules.clone_from(&found.local_rules);
    used.ignore_peer_traffic.clone_from(&found.ignore_peer_traffic);
    if owns_process {
        used.default_logger_log_level = found.default_logger_log_level;
    }
    used.show_as_in(found, |key| RELOADED.contains(&key) || (owns_process && key == RELOADED_OF_PROCESS));
}

impl ConnectorManager {
    /// Does what admins have asked for since the last turn.
    pub(super) fn serve_admins(&mut self, shell: &mut Shell, next: &mut Next) {
        for work in shell.take_owner_work() {
            self.serve_admin(work, shell, next);
        }
        let phase = match self.control.phase() {
            Phase::Serving if shell.is_resting() => Phase::Stopped,
            Phase::Stopped if !shell.is_resting() => Phase::Serving,
            _ => return,
        };
        self.control.set_phase(phase);
    }

    fn serve_admin(&mut self, work: OwnerWork, shell: &mut Shell, next: &mut Next) {
        let now = Instant::now();
        let in_words = |error: ControlError| error.to_string();
        match work {
            OwnerWork::Prepare(id, restart) => {
                let result = self.prepare().map(drop).map_err(in_words);
                shell.restart_prepared(id, restart, result, now);
            }
            OwnerWork::BeginAnew => self.begin_anew(shell, next, now),
            OwnerWork::End => {
                *next = Next::Nothing;
                self.control.set_phase(Phase::Stopping);
                shell.end_for_good(now);
            }
            OwnerWork::Reload(id) => {
                let result = self.reload(shell).map_err(in_words).map(|Reloaded { changed, needs_restart }| {
                    json!({"status": true, "msg": "", "changed": changed, "needs_restart": needs_restart}).to_string()
                });
                shell.owner_answers(id, result, now);
            }
            OwnerWork::ShowLogLevel(id) => shell.owner_answers(id, Ok(logger::level().to_string()), now),
            OwnerWork::SetLogLevel(id, level) => shell.owner_answers(id, self.set_log_level(&level), now),
        }
    }

    /// Reads the config for another life: what can be checked without ending this one.
    pub(super) fn prepare(&self) -> Result<Option<Loaded>, ControlError> {
        let loaded = self.file.as_deref().map(Config::load).transpose().map_err(ControlError::Config)?;
        let config = loaded.as_ref().map_or(&self.config, |loaded| &loaded.config);
        with_programs(&self.hooks, config).map_err(|(hook, error)| ControlError::Hook { hook, error })?;
        security(config).map_err(ControlError::Security)?;
        Ok(loaded)
    }

    /// Takes over what can change while the connector runs: the log level, if the process is its own; the certificates in
    /// the folder that it has used from the start; who may connect and do what. All else stays as it is.
    pub(super) fn reload(&mut self, shell: &mut Shell) -> Result<Reloaded, ControlError> {
        let loaded = self.file.as_deref().map(Config::load).transpose().map_err(ControlError::Config)?;
        shell.set_security(security(&self.config).map_err(ControlError::Security)?);
        let mut reloaded = Reloaded::default();
        if let Some(Loaded { config, .. }) = loaded {
            keep(&mut self.config, shell.access());
            reloaded = Reloaded::of(&self.config, &config, self.owns_process);
            take_over(&mut self.config, &config, self.owns_process);
            shell.set_attributes(self.config.shown_values());
            // The file was checked as it was read, so this is there.
            if let Ok(access) = access(&config) {
                if *shell.access() != access {
                    log::info!(target: logger::AUDIT, "who may connect and do what: as the config file has it now");
                }
                shell.change_access(access, Instant::now());
            }
            if self.owns_process {
                logger::set_level(config.default_logger_log_level);
            }
        }
        log::info!("reloaded: log level, certificates, lists and rules");
        if !reloaded.needs_restart.is_empty() {
            log::warn!(
                "changed in the config file, but in effect only after a restart: {}",
                reloaded.needs_restart.join(", ")
            );
        }
        Ok(reloaded)
    }

    fn set_log_level(&self, level: &str) -> Result<String, String> {
        if !self.owns_process {
            return Err("the log is that of the program which this connector is a part of".to_owned());
        }
        let level: LogLevel = level.parse().map_err(|_| {
            format!("the argument level of set_log_level: found {level:?}, expected {}", LogLevel::EXPECTED)
        })?;
        logger::set_level(level);
        log::info!("log level {level}, as an admin wants it, until a reload or a restart");
        Ok(level.to_string())
    }

    /// The second half of a restart. With the same config the connector goes on as it is, queues in memory and counts
    /// included; with another one it has another life.
    fn begin_anew(&mut self, shell: &mut Shell, next: &mut Next, now: Instant) {
        if !shell.is_resting() {
            return;
        }
        keep(&mut self.config, shell.access());
        match self.prepare() {
            Ok(Some(loaded)) if !self.config.differing(&loaded.config).is_empty() => {
                *next = Next::Again(Some(Box::new(loaded)));
                self.control.set_phase(Phase::Restarting);
                log::info!("restarting with the config file as it is now");
                shell.end_for_another_life(now);
                return;
            }
            Ok(_) => {}
            Err(error) => log::error!("the config stays as it was: {error}"),
        }
        match security(&self.config) {
            Ok(security) => shell.set_security(security),
            Err(error) => log::error!("certificates stay as they were: {error}"),
        }
        if self.owns_process {
            logger::set_level(self.config.default_logger_log_level);
        }
        shell.open_again(now);
    }
}
