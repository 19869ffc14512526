//! Logging: the `log` facade, by `env_logger`, to stderr or to a file that is rotated.
//!
//! Nothing here panics or ends the process: what cannot be written to the file goes to stderr, and what cannot be
//! written to stderr is lost.

mod format;
mod rotate;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use env_logger::{Builder, Target};
use log::LevelFilter;

use crate::config::{Config, LogLevel, Rotate};
pub use format::LogFormat;
use rotate::RotatingFile;

/// The name of the log file in `default_logger_dirpath`.
pub const LOG_FILE_NAME: &str = "aioconnectors.log";

/// The target of what is about who may come in and do what: those lines have the word after their level.
pub const AUDIT: &str = "audit";

/// Where log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// To the log file, if the config gives `default_logger_dirpath`, and to stderr if it does not or if `silent` is
    /// false. For the daemon.
    Daemon,
    /// To stderr. For tools.
    Stderr,
}

/// Why logging could not begin.
#[derive(Debug)]
pub enum LogError {
    /// The log folder does not exist and cannot be made.
    Folder {
        /// `default_logger_dirpath`.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// This process logs already.
    AlreadyStarted,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Folder { path, error } => {
                write!(f, "default_logger_dirpath {}: the folder cannot be made: {error}", path.display())
            }
            LogError::AlreadyStarted => write!(f, "logging was started already"),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LogError::Folder { error, .. } => Some(error),
            LogError::AlreadyStarted => None,
        }
    }
}

/// Starts logging for the whole process, at the level that the config gives. Without a format lines are for people, or
/// for the journal if they go there and nowhere else.
///
/// # Errors
/// If the log folder cannot be made, or on a second call.
pub fn init(config: &Config, target: LogTarget, format: Option<LogFormat>) -> Result<(), LogError> {
    let mut builder = Builder::new();
    match log_folder(config, target) {
        Some(folder) => {
            builder.target(Target::Pipe(Box::new(FileSink::new(folder, config)?)));
            format.unwrap_or(LogFormat::Text).set(&mut builder);
        }
        None => {
            builder.target(Target::Stderr);
            format.unwrap_or_else(LogFormat::of_stderr).set(&mut builder);
        }
    }
    // The level is set below, where it can change; of other crates only warnings are of interest.
    builder.filter_level(LevelFilter::Warn).filter_module(env!("CARGO_PKG_NAME"), LevelFilter::Trace);
    builder.filter_module(AUDIT, LevelFilter::Trace);
    builder.try_init().map_err(|_| LogError::AlreadyStarted)?;
    set_level(config.default_logger_log_level);
    Ok(())
}

/// The path of the log file that [`init`] would write, if it would write one.
#[must_use]
pub fn log_file(config: &Config, target: LogTarget) -> Option<PathBuf> {
    log_folder(config, target).map(|folder| folder.join(LOG_FILE_NAME))
}

fn log_folder(config: &Config, target: LogTarget) -> Option<&Path> {
    let wanted = target == LogTarget::Daemon && config.is_given("default_logger_dirpath");
    wanted.then_some(config.default_logger_dirpath.as_path())
}

/// Changes, at once, how important a line must be to be written.
pub fn set_level(level: LogLevel) {
    log::set_max_level(level.into());
}

/// How important a line must be to be written.
#[must_use]
pub fn level() -> LogLevel {
    log::max_level().into()
}

/// Writes lines to the log file, and to stderr if that is wanted or if the file cannot be written.
struct FileSink<E = io::Stderr> {
    file: RotatingFile,
    stderr: E,
    /// `silent`.
    quiet: bool,
    /// Whether the last line could not be written to the file.
    failing: bool,
}

impl FileSink {
    fn new(folder: &Path, config: &Config) -> Result<Self, LogError> {
        Self::with_stderr(folder, config, io::stderr())
    }
}

impl<E: Write> FileSink<E> {
    fn with_stderr(folder: &Path, config: &Config, stderr: E) -> Result<Self, LogError> {
        std::fs::create_dir_all(folder).map_err(|error| LogError::Folder { path: folder.to_owned(), error })?;
        let limit = match config.default_logger_rotate {
            Rotate::Off => None,
            Rotate::Bytes(bytes) => Some(bytes),
        };
        let file = RotatingFile::new(folder.join(LOG_FILE_NAME), limit, config.default_logger_bk_count);
        Ok(Self { file, stderr, quiet: config.silent, failing: false })
    }

    /// Says once that the file fails, and once that it works again.
    fn note(&mut self, outcome: &io::Result<()>) {
        if self.failing == outcome.is_err() {
            return;
        }
        self.failing = outcome.is_err();
        let path = self.file.path().display();
        // If stderr fails too there is nobody left to tell.
        _ = match outcome {
            Ok(()) => writeln!(self.stderr, "{path}: can be written again"),
            Err(error) => writeln!(self.stderr, "{path}: cannot be written, so the log goes to stderr: {error}"),
        };
    }
}

impl<E: Write> Write for FileSink<E> {
    /// `line` is a whole line: `env_logger` formats first and writes once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let outcome = self.file.write_line(line);
        self.note(&outcome);
        if self.failing || !self.quiet {
            _ = self.stderr.write_all(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn config(json: &str) -> Config {
        Config::parse(json, Path::new("c.json")).unwrap().config
    }

    fn sink(folder: &Path, json: &str) -> FileSink<Vec<u8>> {
        FileSink::with_stderr(folder, &config(json), Vec::new()).unwrap()
    }

    fn stderr(sink: &FileSink<Vec<u8>>) -> String {
        String::from_utf8(sink.stderr.clone()).unwrap()
    }

    #[test]
    fn only_a_daemon_whose_config_names_a_log_folder_logs_to_a_file() {
        let given = config(r#"{"default_logger_dirpath": "/l"}"#);
        assert_eq!(log_file(&given, LogTarget::Daemon), Some(PathBuf::from("/l/aioconnectors.log")));
        assert_eq!(log_file(&given, LogTarget::Stderr), None);
        assert_eq!(log_file(&config("{}"), LogTarget::Daemon), None);
    }

    #[test]
    fn a_missing_folder_is_made_and_silent_keeps_stderr_empty() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("a/b");
        let mut silent = sink(&folder, "{}");
        silent.write_all(b"one\n").unwrap();
        assert_eq!(fs::read(folder.join(LOG_FILE_NAME)).unwrap(), b"one\n");
        assert_eq!(stderr(&silent), "");

        let mut loud = sink(&folder, r#"{"silent": false}"#);
        loud.write_all(b"two\n").unwrap();
        assert_eq!(fs::read(folder.join(LOG_FILE_NAME)).unwrap(), b"one\ntwo\n");
        assert_eq!(stderr(&loud), "two\n");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        let error = FileSink::new(&file.join("logs"), &config("{}")).err().unwrap().to_string();
        assert!(error.starts_with("default_logger_dirpath ") && error.contains("file/logs"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_written_gives_way_to_stderr_until_it_can() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(LOG_FILE_NAME);
        fs::create_dir(&path).unwrap();
        let mut sink = sink(temp.path(), "{}");
        sink.write_all(b"one\n").unwrap();
        sink.write_all(b"two\n").unwrap();
        let text = stderr(&sink);
        assert_eq!(text.matches("cannot be written").count(), 1, "{text}");
        assert!(text.ends_with("one\ntwo\n"), "{text}");

        fs::remove_dir(&path).unwrap();
        sink.write_all(b"three\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three\n");
        assert!(stderr(&sink).ends_with("can be written again\n"));
    }

    #[test]
    fn a_full_disk_gives_way_to_stderr() {
        let temp = tempfile::tempdir().unwrap();
        if !Path::new("/dev/full").exists() {
            return;
        }
        std::os::unix::fs::symlink("/dev/full", temp.path().join(LOG_FILE_NAME)).unwrap();
        let mut sink = sink(temp.path(), "{}");
        sink.write_all(b"one\n").unwrap();
        let text = stderr(&sink);
        assert!(text.contains("cannot be written") && text.ends_with("one\n"), "{text}");
    }

    #[test]
    fn the_level_can_change_while_running() {
        for wanted in [LogLevel::Debug, LogLevel::Critical, LogLevel::Warning] {
            set_level(wanted);
            assert_eq!(level(), wanted);
        }
    }
}
