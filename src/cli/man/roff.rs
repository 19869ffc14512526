//! Manual pages in the `man` macros of roff.
//!
//! In texts, what stands between backticks is shown bold, as what is typed as it stands; what stands between `‹` and `›`
//! is shown in italics, as what stands for something else. All else is shown as it is.

use std::fmt::Write;

/// A page that is being written.
#[derive(Debug)]
pub struct Page(String);

impl Page {
    /// A page `name(section)`. `date` is when its text was changed last, as `2026-11-23`.
    #[must_use]
    pub fn new(name: &str, section: u8, date: &str, about: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let title = name.to_uppercase();
        let mut text = ".\\\" Made by \"aioconnectorsctl print-man-page\" from the tables of the source.\n".to_owned();
        text += &format!(".TH {title} {section} {date} \"aioconnectors {version}\" \"aioconnectors\"\n");
        let mut page = Self(text);
        page.section("NAME");
        page.line(&format!("{} \\- {}", plain(name), plain(about)));
        page
    }

    /// A heading.
    pub fn section(&mut self, title: &str) {
        self.line(&format!(".SH {}", quoted(title)));
    }

    /// A heading below a section.
    pub fn subsection(&mut self, title: &str) {
        self.line(&format!(".SS {}", quoted(title)));
    }

    /// A paragraph. The first one behind a heading needs no macro, and should have none.
    pub fn paragraph(&mut self, text: &str) {
        if !self.0.trim_end().rsplit('\n').next().is_some_and(|line| line.starts_with(".S")) {
            self.line(".PP");
        }
        self.sentences(text, ".PP");
    }

    /// A paragraph with `tag` before it, as in lists of options.
    pub fn item(&mut self, tag: &str, text: &str) {
        self.line(".TP");
        self.line(&guarded(marked(tag)));
        self.sentences(text, ".IP");
    }

    /// A further paragraph of the last item.
    pub fn more(&mut self, text: &str) {
        self.line(".IP");
        self.sentences(text, ".IP");
    }

    /// What comes next belongs to the last item, up to [`end_inner`](Self::end_inner).
    pub fn begin_inner(&mut self) {
        self.line(".RS");
    }

    /// The end of what belongs to an item.
    pub fn end_inner(&mut self) {
        self.line(".RE");
    }

    /// Lines that are shown as they are.
    pub fn example(&mut self, text: &str) {
        self.line(".PP\n.RS 4\n.EX");
        for line in text.lines() {
            self.line(&guarded(plain(line)));
        }
        self.line(".EE\n.RE");
    }

    /// Lines about how a program is called, each filled for itself and indented where it goes on.
    pub fn synopsis(&mut self, name: &str, rest: &str) {
        self.line(&format!(".SY {}", quoted(name)));
        if !rest.is_empty() {
            self.line(&guarded(marked(rest)));
        }
        self.line(".YS");
    }

    /// The page.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }

    fn line(&mut self, line: &str) {
        // A String takes all that is written.
        _ = writeln!(self.0, "{line}");
    }

    /// Each sentence on a line of its own, as roff wants it; empty lines part paragraphs, which begin with `macro_line`.
    fn sentences(&mut self, text: &str, macro_line: &str) {
        for (index, paragraph) in text.split("\n\n").enumerate() {
            if index > 0 {
                self.line(macro_line);
            }
            for sentence in split_sentences(&paragraph.split_whitespace().collect::<Vec<_>>().join(" ")) {
                self.line(&guarded(marked(sentence)));
            }
        }
    }
}

/// Text without markup, escaped.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out += "\\e",
            '-' => out += "\\-",
            '\'' => out += "\\(aq",
            '`' => out += "\\(ga",
            '^' => out += "\\(ha",
            '~' => out += "\\(ti",
            '…' => out += "...",
            c if c.is_ascii() => out.push(c),
            // A String takes all that is written.
            c => _ = write!(out, "\\[u{:04X}]", u32::from(c)),
        }
    }
    out
}

/// Text with markup, escaped.
#[must_use]
pub fn marked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '‹']) {
        let (open, close, font) = if rest[at..].starts_with('`') { ('`', '`', 'B') } else { ('‹', '›', 'I') };
        let inside = &rest[at + open.len_utf8()..];
        let Some(end) = inside.find(close) else { break };
        out += &plain(&rest[..at]);
        out += &format!("\\f{font}{}\\fR", plain(&inside[..end]));
        rest = &inside[end + close.len_utf8()..];
    }
    out + &plain(rest)
}

/// A line that begins with what roff takes for a macro is shown all the same.
fn guarded(line: String) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

/// An argument of a macro.
fn quoted(text: &str) -> String {
    format!("\"{}\"", plain(text).replace('"', "\\(dq"))
}

/// Cuts behind a full stop, where the next word begins with a capital or a quote.
fn split_sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(". ") {
        let next = text[at + 2..].chars().next();
        if next.is_some_and(|c| c.is_uppercase() || matches!(c, '`' | '‹' | '"')) {
            sentences.push(&text[start..=at]);
            start = at + 2;
        }
    }
    sentences.push(&text[start..]);
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_roff_would_take_for_its_own_is_escaped() {
        assert_eq!(plain(r"a\b -x 'y' ^~ TYPE… ü"), r"a\eb \-x \(aqy\(aq \(ha\(ti TYPE... \[u00FC]");
        assert_eq!(marked("`--json` and ‹FILE›, a ` alone"), r"\fB\-\-json\fR and \fIFILE\fR, a \(ga alone");
        let mut page = Page::new("p", 1, "2026-01-02", "does it");
        page.section("a \"b\"");
        page.paragraph(".dot begins it. Next one. `c` d e.g. f.\n\nMore.");
        page.example(".x\n'y");
        let text = page.into_text();
        assert!(text.contains(".TH P 1 2026-01-02 \"aioconnectors "), "{text}");
        assert!(
            text.contains(".SH \"a \\(dqb\\(dq\"\n\\&.dot begins it.\nNext one.\n\\fBc\\fR d e.g. f.\n.PP\nMore.\n"),
            "{text}"
        );
        assert!(text.ends_with(".EX\n\\&.x\n\\(aqy\n.EE\n.RE\n"), "{text}");
    }
}
