//! Rust source text cut into tokens: enough to find names, calls and braces, with comments and literals out of the way.

use std::collections::BTreeSet;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name or a keyword; a raw one without its `r#`.
    Word,
    /// A string, character or number.
    Literal,
    /// `'a`, without the quote.
    Lifetime,
    /// `::`, or one other character.
    Mark,
}

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    pub text: String,
    /// Counted from 1.
    pub line: usize,
}

/// The tokens of a text, and what was left out.
#[derive(Debug, Default)]
pub struct Tokens {
    pub all: Vec<Token>,
    /// Lines on which an ordinary comment stands, or a part of one; not documentation.
    pub commented: BTreeSet<usize>,
}

/// Cuts `text` into tokens. Text that is no Rust gives some tokens or other, and no panic.
pub fn tokens(text: &str) -> Tokens {
    let mut lexer = Lexer { rest: text, line: 1, found: Tokens::default() };
    while let Some(c) = lexer.rest.chars().next() {
        lexer.next(c);
    }
    lexer.found
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    found: Tokens,
}

impl<'a> Lexer<'a> {
    fn next(&mut self, c: char) {
        if c.is_whitespace() {
            self.skip(c.len_utf8());
        } else if self.rest.starts_with("//") {
            self.line_comment();
        } else if self.rest.starts_with("/*") {
            self.block_comment();
        } else if let Some((prefix, hashes)) = raw_string(self.rest) {
            let end = format!("\"{}", "#".repeat(hashes));
            let length = self.rest[prefix..].find(&end).map_or(self.rest.len(), |at| prefix + at + end.len());
            self.take(Kind::Literal, length);
        } else if let Some(prefix) = ["\"", "b\"", "c\""].into_iter().find(|p| self.rest.starts_with(p)) {
            self.take(Kind::Literal, closed(self.rest, prefix.len(), '"'));
        } else if self.rest.starts_with("b'") {
            self.take(Kind::Literal, closed(self.rest, 2, '\''));
        } else if c == '\'' {
            self.quote();
        } else if c.is_ascii_digit() {
            self.number();
        } else if is_word(c) {
            self.word();
        } else {
            let length = if self.rest.starts_with("::") { 2 } else { c.len_utf8() };
            self.take(Kind::Mark, length);
        }
    }

    /// Passes over `length` bytes.
    fn skip(&mut self, length: usize) -> &'a str {
        let (text, rest) = self.rest.split_at(length);
        self.line += text.matches('\n').count();
        self.rest = rest;
        text
    }

    fn take(&mut self, kind: Kind, length: usize) {
        let line = self.line;
        let text = self.skip(length).to_owned();
        self.found.all.push(Token { kind, text, line });
    }

    fn line_comment(&mut self) {
        let length = self.rest.find('\n').unwrap_or(self.rest.len());
        let line = self.line;
        let text = self.skip(length);
        let is_doc = text.starts_with("//!") || (text.starts_with("///") && !text.starts_with("////"));
        if !is_doc {
            self.found.commented.insert(line);
        }
    }

    fn block_comment(&mut self) {
        let is_doc = self.rest.starts_with("/**") || self.rest.starts_with("/*!");
        let first = self.line;
        let (mut depth, mut length) = (0, 0);
        loop {
            let rest = &self.rest[length..];
            let (change, step) = match rest.as_bytes() {
                [b'/', b'*', ..] => (1, 2),
                [b'*', b'/', ..] => (-1, 2),
                [] => break,
                _ => (0, rest.chars().next().map_or(1, char::len_utf8)),
            };
            depth += change;
            length += step;
            if depth == 0 {
                break;
            }
        }
        self.skip(length);
        if !is_doc {
            self.found.commented.extend(first..=self.line);
        }
    }

    /// A character or a lifetime.
    fn quote(&mut self) {
        let mut after = self.rest.chars().skip(1);
        let (first, second) = (after.next(), after.next());
        match first {
            Some(c) if c != '\\' && second != Some('\'') && is_word(c) => {
                self.skip(1);
                let length = word_length(self.rest);
                self.take(Kind::Lifetime, length);
            }
            _ => self.take(Kind::Literal, closed(self.rest, 1, '\'')),
        }
    }

    fn number(&mut self) {
        let mut length = word_length(self.rest);
        // The fraction of `1.5`, but neither the range of `1..5` nor the method of `1.max(5)`.
        if self.rest[length..].starts_with('.') && self.rest[length + 1..].starts_with(|c: char| c.is_ascii_digit()) {
            length += 1 + word_length(&self.rest[length + 1..]);
        }
        self.take(Kind::Literal, length);
    }

    fn word(&mut self) {
        if self.rest.strip_prefix("r#").is_some_and(|rest| rest.starts_with(is_word)) {
            self.skip(2);
        }
        let length = word_length(self.rest);
        self.take(Kind::Word, length);
    }
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn word_length(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}

/// The length of a literal with escapes that ends with `quote`, from its beginning; its first `prefix` bytes begin it.
fn closed(text: &str, prefix: usize, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at < prefix) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Whether `text` begins with a raw string: the bytes up to and with its first quote, and its hashes.
fn raw_string(text: &str) -> Option<(usize, usize)> {
    let prefix = ["br", "cr", "r"].into_iter().find(|p| text.starts_with(p))?;
    let after = &text[prefix.len()..];
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some((prefix.len() + hashes + 1, hashes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        tokens(text).all.into_iter().map(|t| t.text).collect()
    }

    #[test]
    fn comments_and_strings_hide_what_is_in_them() {
        let text = "a // unsafe\n/* fn /* nested */ { */ b \"x \\\" { unsafe\" r#\"raw \" unsafe\"# br\"\\\" c\"z\" d";
        assert_eq!(texts(text), ["a", "b", "\"x \\\" { unsafe\"", "r#\"raw \" unsafe\"#", "br\"\\\"", "c\"z\"", "d"]);
    }

    #[test]
    fn characters_and_lifetimes_are_told_apart() {
        let found = tokens("'a' 'b '\\'' '{' b'}' '\\u{7d}' &'static 'ä'").all;
        let lifetimes: Vec<&str> = found.iter().filter(|t| t.kind == Kind::Lifetime).map(|t| t.text.as_str()).collect();
        assert_eq!(lifetimes, ["b", "static"]);
        assert!(!found.iter().any(|t| t.kind == Kind::Mark && t.text != "&"), "{found:?}");
    }

    #[test]
    fn numbers_end_before_ranges_and_methods() {
        assert_eq!(
            texts("1..5 1.5e3 0xff_u8.max(2) x.0.y"),
            ["1", ".", ".", "5", "1.5e3", "0xff_u8", ".", "max", "(", "2", ")", "x", ".", "0", ".", "y"]
        );
        assert_eq!(texts("a::b:c r#type"), ["a", "::", "b", ":", "c", "type"]);
    }

    #[test]
    fn lines_are_counted_through_everything() {
        let found = tokens("a\n\"x\ny\" b // why\n/* p\nq */ c /// doc\n//! doc\nd");
        let lines: Vec<usize> = found.all.iter().map(|t| t.line).collect();
        assert_eq!(lines, [1, 2, 3, 5, 7]);
        assert_eq!(found.commented.into_iter().collect::<Vec<_>>(), [3, 4, 5]);
    }

    #[test]
    fn text_that_is_no_rust_does_no_harm() {
        for text in ["\"", "'", "r#\"", "/*", "'\\", "b'", "r#", "1.", "ä'", "::", ":"] {
            _ = tokens(text);
        }
    }
}
