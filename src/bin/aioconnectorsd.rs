//! See `aioconnectors::cli::daemon`.

use std::process::ExitCode;

fn main() -> ExitCode {
    aioconnectors::cli::daemon::main(aioconnectors::manager::run)
}
