//! The two formats: the text format of Prometheus (0.0.4) and OpenMetrics (1.0.0).
//!
//! They differ in little: OpenMetrics names a counter's family without `_total`, and ends with a mark.

use std::fmt::Write;

/// How the numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format of Prometheus.
    Prometheus,
    /// OpenMetrics.
    OpenMetrics,
}

impl Format {
    /// Both.
    pub const ALL: [Format; 2] = [Format::Prometheus, Format::OpenMetrics];

    /// Its name in HTTP.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a family of numbers is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until the connector starts anew.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How many were how large.
    Histogram,
    /// How many there were, and their sum.
    Summary,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        }
    }
}

/// A number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole one.
    Whole(u64),
    /// Another one.
    Real(f64),
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Number::Whole(number)
    }
}

impl From<usize> for Number {
    fn from(number: usize) -> Self {
        Number::Whole(number as u64)
    }
}

impl From<bool> for Number {
    fn from(is: bool) -> Self {
        Number::Whole(is.into())
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Number::Real(number)
    }
}

/// A label: its name and value.
pub type Label<'a> = (&'a str, &'a str);

/// A text that is being written.
#[derive(Debug)]
pub struct Text {
    out: String,
    format: Format,
    /// The family under way, as its samples are named.
    name: String,
}

impl Text {
    /// An empty one.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { out: String::new(), format, name: String::new() }
    }

    /// Begins a family. That of a counter is named without `_total`.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        name.clone_into(&mut self.name);
        let is_total = kind == Kind::Counter;
        if is_total {
            self.name.push_str("_total");
        }
        let family = if is_total && self.format == Format::Prometheus { self.name.as_str() } else { name };
        // Our own texts: nothing in them is to be escaped. Writing into memory does not fail.
        _ = write!(self.out, "# HELP {family} {help}\n# TYPE {family} {}\n", kind.word());
    }

    /// A number of the family.
    pub fn sample(&mut self, labels: &[Label<'_>], number: impl Into<Number>) {
        self.line("", labels, number.into());
    }

    /// A number of the family with something behind its name, as in `_sum`.
    pub fn part(&mut self, suffix: &str, labels: &[Label<'_>], number: impl Into<Number>) {
        self.line(suffix, labels, number.into());
    }

    fn line(&mut self, suffix: &str, labels: &[Label<'_>], number: Number) {
        self.out.push_str(&self.name);
        self.out.push_str(suffix);
        for (at, (name, value)) in labels.iter().enumerate() {
            self.out.push(if at == 0 { '{' } else { ',' });
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape(value, &mut self.out);
            self.out.push('"');
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        _ = match number {
            Number::Whole(number) => writeln!(self.out, " {number}"),
            Number::Real(number) => writeln!(self.out, " {number:?}"),
        };
    }

    /// The whole text.
    #[must_use]
    pub fn end(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}

/// A label's value between its quotes.
fn escape(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format) -> String {
        let mut text = Text::new(format);
        text.family("a_messages", Kind::Counter, "Messages.");
        text.sample(&[("peer", "p\"\\\n"), ("type", "é")], 3u64);
        text.family("a_age_seconds", Kind::Gauge, "Age.");
        text.sample(&[], 1.0);
        text.end()
    }

    #[test]
    fn the_formats_differ_in_the_names_of_counters_and_at_the_end() {
        let samples = "a_messages_total{peer=\"p\\\"\\\\\\n\",type=\"é\"} 3\n\
                       # HELP a_age_seconds Age.\n# TYPE a_age_seconds gauge\na_age_seconds 1.0\n";
        assert_eq!(
            written(Format::Prometheus),
            format!("# HELP a_messages_total Messages.\n# TYPE a_messages_total counter\n{samples}")
        );
        assert_eq!(
            written(Format::OpenMetrics),
            format!("# HELP a_messages Messages.\n# TYPE a_messages counter\n{samples}# EOF\n")
        );
    }
}
