//! What was found.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::super::command::Failure;

/// Columns of a line of text; where words allow it no line is longer.
const WIDTH: usize = 78;

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

    /// A line a finding, and below it what to do; then how many there are.
    pub fn write_text(&self, path: &Path, out: &mut dyn Write) -> Result<(), Failure> {
        for Finding { level, part, what, advice } in &self.0 {
            write_wrapped(out, &format!("{:<7} {part}: {what}", level.word()), "        ")?;
            if let Some(advice) = advice {
                write_wrapped(out, &format!("        → {advice}"), "          ")?;
            }
        }
        let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
        let (errors, warnings) = (count(self.errors(), "error"), count(self.warnings(), "warning"));
        writeln!(out, "{}: {errors}, {warnings}", path.display())?;
        Ok(())
    }

    /// One object: `config`, `errors`, `warnings`, and `findings`, of which each has `level`, `part`, `what` and, if
    /// there is something to do, `advice`.
    pub fn write_json(&self, path: &Path, out: &mut dyn Write) -> Result<(), Failure> {
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
        writeln!(out, "{report:#}")?;
        Ok(())
    }
}

/// Writes a text in lines, each but the first behind `indent`. A word that is too long has a line of its own.
fn write_wrapped(out: &mut dyn Write, text: &str, indent: &str) -> Result<(), Failure> {
    let lead = text.len() - text.trim_start().len();
    let (mut line, mut is_begun) = (text[..lead].to_owned(), false);
    for word in text[lead..].split(' ') {
        if is_begun && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(out, "{line}")?;
            (line, is_begun) = (indent.to_owned(), false);
        }
        if is_begun {
            line.push(' ');
        }
        line.push_str(word);
        is_begun = true;
    }
    writeln!(out, "{line}")?;
    Ok(())
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
        let mut out = Vec::new();
        report.write_text(Path::new("/c.json"), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "ok      config: no errors");
        assert!(lines[1].starts_with("error   ports: 127.0.0.1:1 is held by word word"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert_eq!(lines[3..], ["        → stop it", "/c.json: 1 error, 0 warnings"]);
        let mut out = Vec::new();
        report.write_json(Path::new("/c.json"), &mut out).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&json["errors"], &json["findings"][1]["advice"]), (&json!(1), &json!("stop it")));
    }
}
