//! See `aioconnectors::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    aioconnectors::cli::main()
}
