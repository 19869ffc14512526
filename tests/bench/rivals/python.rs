//! The Python package, in an environment that somebody has made: nothing is installed for the bench. Looked for in
//! `--python FILE`, the environment variable, the environment that the tests of `tests/interop` have made, and the path.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Names an interpreter that has the package.
const VARIABLE: &str = "AIOCONNECTORS_BENCH_PYTHON";

/// What it is told, for those who read the table.
pub const SETTINGS: &str = "two connectors of it with the config of ours, TLS; apps are ours";

/// The first interpreter that has the package, and the package's version.
pub fn found(wanted: Option<&Path>) -> Option<(PathBuf, String)> {
    let of_tests = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop-python/venv/bin/python");
    let named = wanted.map(Path::to_owned).or_else(|| std::env::var_os(VARIABLE).map(PathBuf::from));
    let places = match named {
        Some(place) => vec![place],
        None => vec![of_tests, "python3".into()],
    };
    places.into_iter().find_map(|place| version(&place).map(|version| (place, version)))
}

fn version(interpreter: &Path) -> Option<String> {
    let script = "import aioconnectors, importlib.metadata as m; print('aioconnectors', m.version('aioconnectors'))";
    let output = Command::new(interpreter).args(["-W", "ignore", "-c", script]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
