//! The paths in a source text: what `use` brings in, and what is named by its whole path.

use std::collections::BTreeSet;

use crate::source::{Source, is};
use crate::token::{Kind, Token};

/// A path, as in `crate::wire::frame` or `std::io`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// `*` for all that a module has. Without the `self` of `a::{self}`.
    pub segments: Vec<String>,
    /// The name that it has here, if it stands in a `use`.
    pub name: Option<String>,
    /// The index of its last token.
    pub index: usize,
    pub line: usize,
}

/// All paths with two segments or more, and all of `use`.
pub fn imports(source: &Source) -> Vec<Import> {
    let mut parser = Parser { tokens: &source.tokens.all, found: Vec::new() };
    let mut at = 0;
    while at < parser.tokens.len() {
        at = parser.next(at);
    }
    parser.found
}

/// The crates, std among them, and modules that a file's paths begin with by name, and that it neither declares nor
/// brings in itself; with the paths.
pub fn foreign(source: &Source, imports: &[Import]) -> Vec<Import> {
    let tokens = &source.tokens.all;
    let modules = (1..tokens.len()).filter(|&at| is(tokens, at - 1, "mod")).map(|at| tokens[at].text.as_str());
    let mut own: BTreeSet<&str> = modules.collect();
    own.extend(["crate", "super", "self"]);
    let brought_in: BTreeSet<&str> = imports.iter().filter_map(|import| import.name.as_deref()).collect();
    let foreign = imports.iter().filter(|import| {
        let first = import.segments[0].as_str();
        let is_type = first.starts_with(|c: char| c.is_uppercase()) || PRIMITIVES.contains(&first);
        let is_brought_in = import.name.is_none() && brought_in.contains(first);
        !is_type && !own.contains(first) && !is_brought_in
    });
    foreign.cloned().collect()
}

const PRIMITIVES: [&str; 17] = [
    "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64", "bool",
    "char", "str",
];

struct Parser<'a> {
    tokens: &'a [Token],
    found: Vec<Import>,
}

impl Parser<'_> {
    fn next(&mut self, at: usize) -> usize {
        let tokens = self.tokens;
        let is_use = is(tokens, at, "use") && !is(tokens, at + 1, "<");
        if is_use {
            return self.tree(at + 1, &[]);
        }
        // Behind a `::` it is the rest of a path that was taken or has no name, unless nothing is before that.
        let before = |back: usize| at.checked_sub(back).and_then(|i| tokens.get(i));
        let continues = before(2).is_some_and(|t| t.kind == Kind::Word || t.text == ">");
        let is_rest = before(1).is_some_and(|t| t.text == "::") && continues;
        let begins = tokens[at].kind == Kind::Word && is(tokens, at + 1, "::") && !is_rest;
        if begins { self.path(at) } else { at + 1 }
    }

    /// A path in the code: up to its last name, or to generic arguments.
    fn path(&mut self, mut at: usize) -> usize {
        let mut segments = vec![self.tokens[at].text.clone()];
        while is(self.tokens, at + 1, "::") && self.tokens.get(at + 2).is_some_and(|t| t.kind == Kind::Word) {
            at += 2;
            segments.push(self.tokens[at].text.clone());
        }
        // One name before generic arguments, as in `collect::<T>`, is no path.
        if segments.len() > 1 {
            self.push(at, segments, None);
        }
        at + 1
    }

    /// The part of a `use` that begins at `at`, behind `prefix`; the index behind it.
    fn tree(&mut self, mut at: usize, prefix: &[String]) -> usize {
        let mut segments = prefix.to_vec();
        loop {
            let Some(token) = self.tokens.get(at) else { return at };
            match token.text.as_str() {
                "::" => at += 1,
                "{" => return self.branches(at + 1, &segments),
                _ => {
                    segments.push(token.text.clone());
                    if !is(self.tokens, at + 1, "::") {
                        return self.leaf(at, segments);
                    }
                    at += 1;
                }
            }
        }
    }

    fn branches(&mut self, mut at: usize, prefix: &[String]) -> usize {
        while at < self.tokens.len() && !is(self.tokens, at, "}") {
            at = if is(self.tokens, at, ",") { at + 1 } else { self.tree(at, prefix) };
        }
        at + 1
    }

    fn leaf(&mut self, at: usize, mut segments: Vec<String>) -> usize {
        if segments.len() > 1 && segments.last().is_some_and(|s| s == "self") {
            segments.pop();
        }
        let renamed = is(self.tokens, at + 1, "as").then(|| self.tokens.get(at + 2)).flatten();
        let name = renamed.map(|t| t.text.clone()).or_else(|| segments.last().cloned());
        self.push(at, segments, name);
        if renamed.is_some() { at + 3 } else { at + 1 }
    }

    fn push(&mut self, index: usize, segments: Vec<String>, name: Option<String>) {
        self.found.push(Import { segments, name, index, line: self.tokens[index].line });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::sources;

    fn paths(text: &str) -> Vec<String> {
        let source = sources(&[("src/x.rs".to_owned(), text.to_owned())]).remove(0);
        imports(&source).into_iter().map(|i| i.segments.join("::")).collect()
    }

    #[test]
    fn use_trees_are_expanded() {
        assert_eq!(
            paths("use a::{self, b::{c, d as e}, *}; pub(crate) use f; use ::g::h as i;"),
            ["a", "a::b::c", "a::b::d", "a::*", "f", "g::h"]
        );
    }

    #[test]
    fn paths_in_code_are_found_whole() {
        assert_eq!(
            paths("fn f() -> crate::x::Y { a::b::<T>::c(d); <E as F::G>::h(); let i: j::K<l::M>; n }"),
            ["crate::x::Y", "a::b", "F::G", "j::K", "l::M"]
        );
    }

    #[test]
    fn foreign_paths_begin_with_what_is_not_from_here() {
        let text = "use std::io; use a::b; use c::{C, d}; mod c; use crate::e::F::{G, H}; \
            fn f() { io::read(); b::x(); c::y(); d::z(); g::h(); u8::MAX; Self::i(); super::j(); }";
        let source = sources(&[("src/x.rs".to_owned(), text.to_owned())]).remove(0);
        let found = foreign(&source, &imports(&source));
        let paths: Vec<String> = found.iter().map(|i| i.segments.join("::")).collect();
        assert_eq!(paths, ["std::io", "a::b", "g::h"]);
    }
}
