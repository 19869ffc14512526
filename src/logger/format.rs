//! How a log line looks.

use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsFd;

use env_logger::Builder;
use env_logger::fmt::Formatter;
use log::{Level, Record};

use super::AUDIT;

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Time, level and text, for people.
    Text,
    /// Priority and text, for the journal of systemd, which knows the time (`sd-daemon(3)`).
    Journal,
    /// An object of JSON with `time`, `level`, `target` and `message`.
    Json,
}

impl LogFormat {
    /// All of them.
    pub const ALL: [LogFormat; 3] = [LogFormat::Text, LogFormat::Journal, LogFormat::Json];

    /// That for stderr, if nothing else is said: the journal's if it leads there (`JOURNAL_STREAM`, `systemd.exec(5)`).
    #[must_use]
    pub fn of_stderr() -> Self {
        let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
        let stderr = nix::sys::stat::fstat(io::stderr().as_fd());
        let is_it = stderr.is_ok_and(|stderr| stream == format!("{}:{}", stderr.st_dev, stderr.st_ino));
        if is_it { LogFormat::Journal } else { LogFormat::Text }
    }

    /// Has lines written so.
    pub(super) fn set(self, builder: &mut Builder) {
        match self {
            LogFormat::Text => _ = builder.format(text),
            LogFormat::Journal => {
                _ = builder.format(|out, record| out.write_all(journal(record).as_bytes()));
            }
            LogFormat::Json => {
                _ = builder.format(|out, record| {
                    let time = out.timestamp_millis().to_string();
                    out.write_all(json(&time, record).as_bytes())
                });
            }
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogFormat::Text => "text",
            LogFormat::Journal => "journal",
            LogFormat::Json => "json",
        })
    }
}

/// A line as `env_logger` would write it without targets; but what matters for security is marked.
fn text(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let (time, level) = (out.timestamp_millis(), record.level());
    let style = out.default_level_style(level);
    writeln!(out, "[{time} {style}{level:<5}{style:#}]{} {}", mark(record), record.args())
}

fn mark(record: &Record<'_>) -> &'static str {
    if record.target() == AUDIT { " audit:" } else { "" }
}

/// The priorities are those of `syslog(3)`. Each line of a text has its own, or the others would get the default.
fn journal(record: &Record<'_>) -> String {
    let priority = match record.level() {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    let text = record.args().to_string();
    let text = format!("{}{text}", mark(record).trim_start().replace(':', ": "));
    text.split('\n').map(|line| format!("<{priority}>{line}\n")).collect()
}

fn json(time: &str, record: &Record<'_>) -> String {
    let (level, target, message) = (record.level().as_str(), record.target(), record.args().to_string());
    format!("{}\n", serde_json::json!({"time": time, "level": level, "target": target, "message": message}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<T>(text: &str, look: impl FnOnce(&Record<'_>) -> T) -> T {
        look(&Record::builder().level(Level::Warn).target("audit").args(format_args!("{text}")).build())
    }

    #[test]
    fn each_line_in_the_journal_has_its_priority() {
        assert_eq!(record("one\ntwo", journal), "<4>audit: one\n<4>two\n");
    }

    #[test]
    fn a_line_of_json_is_one_line() {
        let line = record("a \"b\"\nc", |record| json("2026-01-01T00:00:00.000Z", record));
        let expected = r#"{"time":"2026-01-01T00:00:00.000Z","level":"WARN","target":"audit","message":"a \"b\"\nc"}"#;
        assert_eq!(line, format!("{expected}\n"));
    }
}
