//! The Python package in a virtual environment, and the scripts that use it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use nix::fcntl::{Flock, FlockArg};

use crate::common::{Process, Setup};

/// What the tests are about.
const PACKAGE: &str = "aioconnectors==1.6.3";

/// The interpreter of the environment; `None` where there cannot be one.
///
/// # Panics
/// If there is none and `CI` is set.
pub fn interpreter() -> Option<&'static Path> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOUND.get_or_init(environment) {
        Ok(path) => Some(path),
        Err(why) if std::env::var_os("CI").is_some() => panic!("no Python for the interop tests: {why}"),
        Err(why) => {
            // Not by `eprintln!`: the test harness would keep that to itself.
            let test = thread::current().name().unwrap_or("an interop test").to_owned();
            let _ = writeln!(io::stderr(), "SKIPPED {test}: no Python with {PACKAGE}: {why}");
            None
        }
    }
}

/// Makes the environment if no test process on this machine has made it yet.
fn environment() -> Result<PathBuf, String> {
    // The package makes its certificates with this.
    run(Command::new("openssl").arg("version"))?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop-python");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let lock = fs::File::create(folder.join("lock")).map_err(|error| error.to_string())?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error.to_string())?;
    let (venv, ready) = (folder.join("venv"), folder.join("ready"));
    let python = venv.join("bin/python");
    if fs::read_to_string(&ready).is_ok_and(|made| made == PACKAGE) {
        return Ok(python);
    }
    // What an interrupted run left behind is of no use.
    let _ = fs::remove_dir_all(&venv);
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", PACKAGE];
    run(Command::new(&python).args(pip))?;
    fs::write(ready, PACKAGE).map_err(|error| error.to_string())?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let last = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
    Err(format!("{command:?} ended with {}: {last}", output.status))
}

/// Starts a script of the folder `python` with a connector's config and what else it takes.
pub fn spawn(script: &str, setup: &Setup, arguments: &[&str]) -> Process {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/python").join(script);
    let name = format!("{script} of {} {arguments:?}", setup.id);
    Process::spawn(name, command().arg(path).arg(setup.write()).args(arguments))
}

/// Makes a certificates folder with the package's own tool.
pub fn make_certificates(options: &[&str], dir: &Path) {
    // The folder first: the package takes the first word behind the command for it.
    let command = &mut command();
    crate::common::certificates::run(
        command.args(["-m", "aioconnectors", "create_certificates"]).arg(dir).args(options),
    );
}

/// Runs the package's menu for admins with this typed; what it shows.
#[track_caller]
pub fn menu(typed: &str) -> String {
    let mut command = command();
    command.args(["-m", "aioconnectors", "cli"]).env("TERM", "dumb").stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the menu");
    child.stdin.take().expect("a pipe").write_all(typed.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("its end");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}\n{}", String::from_utf8_lossy(&output.stderr));
    shown
}

fn command() -> Command {
    let mut command = Command::new(interpreter().expect("asked for before"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONWARNINGS", "ignore");
    command
}
