//! See `aioconnectors::cli::daemon`.

use std::path::Path;
use std::process::ExitCode;

use aioconnectors::cli::daemon;
use aioconnectors::config::Config;

fn main() -> ExitCode {
    daemon::main(start)
}

/// The manager is not there yet, so all that can be done is to check the config.
fn start(config: &Path) -> ExitCode {
    match Config::load(config) {
        Ok(_) => eprintln!("{}: {}: this version cannot run a connector yet", daemon::PROGRAM, config.display()),
        Err(errors) => eprintln!("{errors}"),
    }
    ExitCode::FAILURE
}
