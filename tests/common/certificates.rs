//! Certificate folders for the two ends of a link, as two machines would have them.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Role, Setup};

/// Makes a folder with our tool, `DIR/certificates/…`.
#[track_caller]
pub fn make(dir: &Path) {
    make_with(&[], dir);
}

/// The same with options of the tool.
#[track_caller]
pub fn make_with(options: &[&str], dir: &Path) {
    run(Command::new(env!("CARGO_BIN_EXE_aioconnectorsctl")).arg("create-certificates").args(options).arg(dir));
}

/// Gives a connector its half of the folder that was made in `dir`.
pub fn hand_out(dir: &Path, to: &Setup) {
    let half = match to.role {
        Role::Server => "server",
        Role::Client => "client",
    };
    copy_half(dir, half, &to.dir);
}

/// Copies `half` of the folder that was made in `dir` to below `to`, if it is not there.
#[track_caller]
pub fn copy_half(dir: &Path, half: &str, to: &Path) {
    let target = to.join("certificates");
    fs::create_dir_all(&target).expect("the connector's certificates folder");
    if !target.join(half).exists() {
        // The links in it lead to their neighbours and must stay links.
        run(Command::new("cp").arg("-a").arg(dir.join("certificates").join(half)).arg(target.join(half)));
    }
}

#[track_caller]
pub fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
