//! Exit codes, and what becomes of output.

use std::fs;
use std::process::{Command, Stdio};

use crate::rig::{CTL, DAEMON};

#[test]
fn the_printed_manager_template_passes_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let printed = Command::new(CTL).arg("print-config-templates").output().unwrap();
    assert!(printed.status.success() && printed.stderr.is_empty());
    let text = String::from_utf8(printed.stdout).unwrap();
    let block = text.split("\n- ").find(|block| block.starts_with("MANAGER TEMPLATE")).unwrap();
    let path = folder.path().join("server.json");
    fs::write(&path, block.split_once('\n').unwrap().1).unwrap();

    let checked = Command::new(CTL).arg("check-config").arg(&path).output().unwrap();
    assert!(checked.status.success());
    let expected = format!("{}: no errors: server ('127.0.0.1', 10673)\n", path.display());
    assert_eq!(String::from_utf8(checked.stdout).unwrap(), expected);
}

#[test]
fn exit_codes_tell_usage_errors_from_failures() {
    for (program, args, code) in [
        (CTL, &["--version"][..], 0),
        (CTL, &[], 2),
        (CTL, &["no-such-command"], 2),
        (CTL, &["check-config", "/no/such/file.json"], 1),
        (DAEMON, &["--version"], 0),
        (DAEMON, &[], 2),
        (DAEMON, &["/no/such/file.json"], 1),
    ] {
        let output = Command::new(program).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{program} {args:?}: {output:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(CTL);
    let child = command.arg("print-config-templates").stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
