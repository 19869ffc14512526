//! The connector that is a process.

use std::path::Path;
use std::process::ExitCode;

use super::ConnectorManager;
use super::error::StartError;
use crate::logger::{self, LogFormat, LogTarget};

/// Runs the connector of a config file until it is told to stop, with a log of this format ([`logger::init`]). The exit
/// code: 0 stopped, 1 failed.
#[must_use]
pub fn run(config_path: &Path, format: Option<LogFormat>) -> ExitCode {
    let manager = match ConnectorManager::from_file(config_path) {
        Ok(manager) => manager,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::FAILURE;
        }
    };
    // Where the log goes to a file only, whoever started the connector must see the error as well.
    let quiet = manager.config().silent && logger::log_file(manager.config(), LogTarget::Daemon).is_some();
    match log_and_run(manager, format) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(StartError::Log(error)) => eprintln!("{}: {error}", config_path.display()),
        Err(error) => {
            log::error!("{}: {error}", config_path.display());
            if quiet {
                eprintln!("{}: {error}", config_path.display());
            }
        }
    }
    ExitCode::FAILURE
}

fn log_and_run(manager: ConnectorManager, format: Option<LogFormat>) -> Result<(), StartError> {
    logger::init(manager.config(), LogTarget::Daemon, format).map_err(StartError::Log)?;
    manager.own_process(true).run()
}
