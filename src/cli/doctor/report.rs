//! What was found.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::super::command::Failure;
use super::super::table::{View, wrap};

/// Before what is said of a finding: its level.
const LEVEL: usize = 8;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// It is as it should be.
    Ok,
    /// It works, and should not stay so.
    Warning,
    /// The connector cannot work so, or not safely.
    Error,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

#[derive(Debug)]
struct Finding {
    level: Level,
    part: &'static str,
    what: String,
    advice: Option<String>,
}

/// All findings, in the order of the checks.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    fn add(&mut self, level: Level, part: &'static str, what: &str, advice: Option<String>) {
        // Names and texts of others may hold anything.
        let line = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
        let advice = advice.as_deref().map(line);
        self.0.push(Finding { level, part, what: line(what), advice });
    }

    /// Something is as it should be.
    pub fn ok(&mut self, part: &'static str, what: impl AsRef<str>) {
        self.add(Level::Ok, part, what.as_ref(), None);
    }

    /// Something should not stay so.
    pub fn warning(&mut self, part: &'static str, what: impl AsRef<str>, advice: impl Into<String>) {
        self.add(Level::Warning, part, what.as_ref(), Some(advice.into()));
    }

    /// The connector cannot work so, or not safely.
    pub fn error(&mut self, part: &'static str, what: impl AsRef<str>, advice: impl Into<String>) {
        self.add(Level::Error, part, what.as_ref(), Some(advice.into()));
    }

    fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.count(Level::Error)
    }

    /// How many warnings there are.
    pub fn warnings(&self) -> usize {
        self.count(Level::Warning)
    }

    /// Findings that belong to `part` and are not as they should be.
    pub fn is_sick(&self, part: &str) -> bool {
        self.0.iter().any(|finding| finding.part == part && finding.level != Level::Ok)
    }

    /// Adds the findings of `other`; `mild`: its errors are warnings here.
    pub fn append(&mut self, other: Report, mild: bool) {
        let level = |level| if mild && level == Level::Error { Level::Warning } else { level };
        self.0.extend(other.0.into_iter().map(|finding| Finding { level: level(finding.level), ..finding }));
    }

    /// All of it: for a person a line a finding, what to do below, and how many there are; for scripts a line each:
    /// level, part, what, and what to do.
    pub fn write(&self, path: &Path, view: View, out: &mut dyn Write) -> Result<(), Failure> {
        let width = match view {
            View::Json => return self.write_json(path, out),
            View::Plain => {
                for Finding { level, part, what, advice } in &self.0 {
                    writeln!(out, "{}\t{part}\t{what}\t{}", level.word(), advice.as_deref().unwrap_or_default())?;
                }
                return Ok(());
            }
            View::Screen(width) => width,
        };
        let room = width.saturating_sub(LEVEL);
        for Finding { level, part, what, advice } in &self.0 {
            for (number, line) in wrap(&format!("{part}: {what}"), room).iter().enumerate() {
                writeln!(out, "{:<LEVEL$}{line}", if number == 0 { level.word() } else { "" })?;
            }
            for (number, line) in wrap(advice.as_deref().unwrap_or_default(), room - 2).iter().enumerate() {
                if advice.is_some() {
                    writeln!(out, "{:LEVEL$}{} {line}", "", if number == 0 { "→" } else { " " })?;
                }
            }
        }
        let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
        let (errors, warnings) = (count(self.errors(), "error"), count(self.warnings(), "warning"));
        writeln!(out, "{}: {errors}, {warnings}", path.display())?;
        Ok(())
    }

    /// One object: `config`, `errors`, `warnings`, and `findings`, of which each has `level`, `part`, `what` and, if
    /// there is something to do, `advice`.
    fn write_json(&self, path: &Path, out: &mut dyn Write) -> Result<(), Failure> {
        let finding = |finding: &Finding| {
            let mut said = json!({"level": finding.level.word(), "part": finding.part, "what": finding.what});
            if let Some(advice) = &finding.advice {
                said["advice"] = json!(advice);
            }
            said
        };
        let findings: Vec<_> = self.0.iter().map(finding).collect();
        let (errors, warnings) = (self.errors(), self.warnings());
        let config = path.display().to_string();
        let report = json!({"config": config, "errors": errors, "warnings": warnings, "findings": findings});
        writeln!(out, "{report}")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_has_its_line_and_what_to_do_below() {
        let mut report = Report::default();
        report.ok("config", "no errors");
        report.error("ports", format!("127.0.0.1:1 is held by\n{}", "word ".repeat(20)), "stop it");
        assert_eq!((report.errors(), report.warnings()), (1, 0));
        assert!(report.is_sick("ports") && !report.is_sick("config"));
        let written = |view| {
            let mut out = Vec::new();
            report.write(Path::new("/c.json"), view, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let text = written(View::Screen(40));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["ok      config: no errors", "error   ports: 127.0.0.1:1 is held by"]);
        assert!(lines.iter().all(|line| line.chars().count() <= 40), "{text}");
        assert_eq!(lines[lines.len() - 2..], ["        → stop it", "/c.json: 1 error, 0 warnings"]);
        let plain = written(View::Plain);
        assert!(
            plain.starts_with("ok\tconfig\tno errors\t\nerror\tports\t") && plain.ends_with("\tstop it\n"),
            "{plain}"
        );
        let json: serde_json::Value = serde_json::from_str(&written(View::Json)).unwrap();
        assert_eq!((&json["errors"], &json["findings"][1]["advice"]), (&json!(1), &json!("stop it")));
    }
}
