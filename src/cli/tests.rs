//! The command line as its user sees it: what is typed, what is said, which exit code.

use std::path::Path;

use super::*;
use crate::logger::LogFormat;

/// What a command line gave.
struct Outcome {
    code: ExitCode,
    out: String,
    err: String,
}

fn ctl(line: &str) -> Outcome {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(COMMANDS, line.split_whitespace().map(OsString::from), &mut out, &mut err);
    Outcome { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

/// A text without its line breaks, which depend on the terminal.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_help_names_every_command_under_its_heading() {
    for line in ["--help", "-h", "help"] {
        let Outcome { code, out, err } = ctl(line);
        assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""));
        for command in COMMANDS {
            assert!(out.contains(&format!("\n  {}", command.name)), "{out}");
            assert!(joined(&out).contains(&joined(command.summary)), "{out}");
        }
        assert!(out.contains("\nSetting up:\n  demo ") && out.contains("\nExit codes:\n  0 "), "{out}");
    }
    for (first, heading) in HEADINGS {
        assert!(COMMANDS.iter().any(|command| command.name == *first), "{heading} stands before no command");
    }
}

#[test]
fn a_help_fits_into_a_narrow_terminal() {
    for width in [24, 40, 59, 60, 80] {
        let mut out = Vec::new();
        Help::new(&mut out, width).program(PROGRAM, SUMMARY, COMMANDS, HEADINGS).unwrap();
        COMMANDS.iter().for_each(|command| Help::new(&mut out, width).command("aioconnectorsctl ", command).unwrap());
        for line in String::from_utf8(out).unwrap().lines() {
            // A word of the table, or a usage in one piece, cannot be cut.
            let is_word = line.split_whitespace().count() == 1 || line.trim_start().starts_with("--");
            assert!(line.chars().count() <= width.max(36) || is_word, "{width}: {line}");
        }
    }
}

#[test]
fn each_command_has_its_own_help() {
    for command in COMMANDS.iter().map(|command| command.name) {
        for line in [format!("{command} --help"), format!("help {command}")] {
            let Outcome { code, out, .. } = ctl(&line);
            assert_eq!(code, ExitCode::SUCCESS, "{line}");
            assert!(joined(&out).contains(&format!("Usage: aioconnectorsctl {command}")), "{out}");
        }
    }
    let out = ctl("create-certificates --help").out;
    assert!(out.contains("  --ca ") && out.contains("  DIR") && out.contains("create_certificates"), "{out}");
}

#[test]
fn commands_with_the_same_first_word_have_a_help_in_common() {
    for line in ["spool --help", "help spool"] {
        let Outcome { code, out, .. } = ctl(line);
        assert_eq!(code, ExitCode::SUCCESS, "{line}");
        assert!(out.contains("  spool list ") && out.contains("  spool purge ") && !out.contains("  demo "), "{out}");
    }
}

#[test]
fn no_name_stands_for_two_commands() {
    let mut names: Vec<&str> = COMMANDS.iter().flat_map(|c| c.aliases.iter().copied().chain([c.name])).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn usage_errors_exit_with_2_and_point_to_the_help() {
    for (line, said) in [
        ("", "a command is missing"),
        ("chekc-config x", r#"unknown command "chekc-config"; did you mean check-config?"#),
        ("frobnicate", "unknown command \"frobnicate\"\n"),
        ("help frobnicate", "unknown command"),
        ("--frobnicate", "--frobnicate"),
        ("check-config", "CONFIG is missing: the connector's config file"),
        ("check-config a b", "unexpected argument \"b\""),
        ("print-config-templates --all", "--all"),
        ("spool", "spool is not all of a command: it is one of 'spool list', "),
        ("spool lits", r#"unknown command "spool lits"; did you mean spool list?"#),
        ("spool --dir x", "--dir"),
        ("spool list", "CONFIG is missing"),
        ("spool list --dir x c.json", "leave one out"),
        ("status --jsno", r#"unknown option "--jsno"; did you mean --json?"#),
        ("statsu", r#"unknown command "statsu"; did you mean status?"#),
        ("disconnect a b c", "unexpected argument \"c\""),
        ("blacklist add", "ENTRY is missing"),
        ("blacklist add c.json", "ENTRY is missing"),
        ("status --config a --name b", "--config and --name both name a connector"),
        ("subscribe", "TYPE is missing"),
        ("subscribe --none a", "leave one out"),
        ("print-completions tcsh", "it is one of bash, zsh, fish"),
        ("print-man-page aioconnectorsdd", "did you mean aioconnectorsd?"),
        ("stop --timeout 0 --config /no/such.json", "--timeout: 0 is no time"),
    ] {
        let Outcome { code, out, err } = ctl(line);
        assert_eq!((code, out.as_str()), (ExitCode::from(EXIT_USAGE), ""), "{line}");
        assert!(err.starts_with("aioconnectorsctl: ") && err.contains(said), "{line}: {err}");
        let command = COMMANDS.iter().find(|command| line.starts_with(command.name));
        let command = command.map(|command| format!(" {}", command.name)).unwrap_or_default();
        assert!(err.ends_with(&format!("Try 'aioconnectorsctl{command} --help'.\n")), "{err}");
    }
}

#[test]
fn the_spellings_of_the_python_package_work() {
    let old = ctl("print_config_templates");
    assert_eq!(old.code, ExitCode::SUCCESS);
    assert_eq!(old.out, ctl("print-config-templates").out);
    assert!(old.out.contains("MANAGER TEMPLATE"));
}

#[test]
fn check_config_prints_every_error_and_warning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.json");
    std::fs::write(&path, r#"{"use_ssl": 1, "max_certs": "x", "use_sll": true, "debug_msg_counts": false}"#).unwrap();
    let Outcome { code, out, .. } = ctl(&format!("check-config {}", path.display()));
    assert_eq!(code, ExitCode::FAILURE);
    let count = |start: &str| out.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!((count("error: "), count("warning: ")), (2, 2), "{out}");
    assert!(out.ends_with("c.json: 2 errors, 2 warnings\n"), "{out}");
}

#[test]
fn check_config_says_who_a_right_config_makes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.json");
    std::fs::write(&path, r#"{"is_server": false, "client_name": "c1", "debug_msg_counts": false}"#).unwrap();
    let Outcome { code, out, .. } = ctl(&format!("check-config {}", path.display()));
    assert_eq!(code, ExitCode::SUCCESS, "{out}");
    assert!(out.starts_with("warning: ") && out.ends_with("c.json: no errors: client c1, 1 warning\n"), "{out}");
}

#[test]
fn certificates_are_made_where_they_are_wanted_and_never_twice() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("create_certificates {}", folder.path().display());
    let root = folder.path().join("certificates");
    let Outcome { code, out, err } = ctl(&line);
    assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""));
    assert!(out.contains(&format!("{}/server/server-cert/server.pem: ", root.display())), "{out}");
    let end = format!("A server needs {0}/server, its clients need {0}/client.\n", root.display());
    assert!(out.ends_with(&end) && !root.join("server/server-cert/server_ca.pem").exists(), "{out}");

    let Outcome { code, out, err } = ctl(&format!("{line} --ca"));
    assert_eq!((code, out.as_str()), (ExitCode::FAILURE, ""));
    assert!(err.starts_with("aioconnectorsctl: ") && err.contains(&*root.to_string_lossy()), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[test]
fn a_connector_without_a_config_file_ends_with_exit_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("create_connector {}", folder.path().join("c.json").display());
    assert_eq!(ctl(&line).code, ExitCode::FAILURE);
}

/// A stdout that fails.
struct Broken(ErrorKind);

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error_but_a_full_disk_is() {
    for (kind, expected) in [(ErrorKind::BrokenPipe, ExitCode::SUCCESS), (ErrorKind::StorageFull, ExitCode::FAILURE)] {
        let mut err = Vec::new();
        let code = run(COMMANDS, ["--help".into()], &mut Broken(kind), &mut err);
        assert_eq!(code, expected);
        assert_eq!(err.is_empty(), expected == ExitCode::SUCCESS);
    }
}

fn daemon(args: &[&str]) -> Outcome {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let start = |config: &Path, format: Option<LogFormat>| {
        assert_eq!(config, Path::new("c.json"));
        ExitCode::from(if format == Some(LogFormat::Json) { 8 } else { 7 })
    };
    let code = daemon::run(args.iter().map(OsString::from), start, &mut out, &mut err);
    Outcome { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

#[test]
fn the_daemon_takes_one_config_file() {
    assert_eq!(daemon(&["c.json"]).code, ExitCode::from(7));
    assert!(daemon(&["--help"]).out.contains("Usage: aioconnectorsd [--log-format FORMAT] CONFIG\n"));
    assert_eq!(daemon(&["-V"]).out, format!("aioconnectorsd {}\n", crate::version::Version));
    assert_eq!(daemon(&["--log-format", "json", "c.json"]).code, ExitCode::from(8));
    for args in [&[][..], &["a", "b"], &["--daemonize"], &["--log-format=xml", "c.json"]] {
        let Outcome { code, err, .. } = daemon(args);
        assert_eq!(code, ExitCode::from(EXIT_USAGE), "{args:?}");
        assert!(err.starts_with("aioconnectorsd: "), "{err}");
    }
}
