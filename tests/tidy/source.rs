//! The files that are checked, and what their tokens mean: which are tests, in which module they stand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::Path;

use crate::token::{Kind, Token, Tokens, tokens};

/// A source file.
#[derive(Debug)]
pub struct Source {
    /// From the package's folder, as in `src/core/link.rs`.
    pub path: String,
    pub text: String,
    pub tokens: Tokens,
    /// The file's module, as in `core`, `link`; empty for `lib.rs`, programs and integration tests.
    pub module: Vec<String>,
    /// All of it is test code.
    pub is_test: bool,
    /// The tokens of test items.
    tests: Vec<Range<usize>>,
    /// The tokens of modules with a body.
    bodies: Vec<Range<usize>>,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let tokens = tokens(text);
        let tests = items_with_attribute(&tokens.all, "test");
        let bodies = bodies(&tokens.all);
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            module: module_of(path),
            is_test: path.starts_with("tests/"),
            tokens,
            tests,
            bodies,
        }
    }

    /// Whether the token at `index` is test code.
    pub fn in_test(&self, index: usize) -> bool {
        self.is_test || self.tests.iter().any(|range| range.contains(&index))
    }

    /// In how many modules below the crate's root the token at `index` stands.
    pub fn depth(&self, index: usize) -> usize {
        self.module.len() + self.bodies.iter().filter(|range| range.contains(&index)).count()
    }

    /// `path:line`, for a message.
    pub fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path)
    }

    /// The token at `index` is the word `text`.
    pub fn is(&self, index: usize, text: &str) -> bool {
        is(&self.tokens.all, index, text)
    }
}

pub fn is(tokens: &[Token], index: usize, text: &str) -> bool {
    tokens.get(index).is_some_and(|t| t.text == text && matches!(t.kind, Kind::Word | Kind::Mark))
}

fn is_word(tokens: &[Token], index: usize) -> bool {
    tokens.get(index).is_some_and(|t| t.kind == Kind::Word)
}

/// All of these files, given by path and text.
pub fn sources(files: &[(String, String)]) -> Vec<Source> {
    let mut sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
    // A module whose file has a name of its own (`#[path]`), or that is for tests only, is told by its declaration.
    let mut modules: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut tests: BTreeSet<String> = BTreeSet::new();
    for source in &sources {
        for declared in declarations(source) {
            if declared.is_test {
                tests.insert(declared.path.clone());
            }
            modules.insert(declared.path, declared.module);
        }
    }
    for source in &mut sources {
        source.is_test |= tests.contains(&source.path);
        if let Some(module) = modules.remove(&source.path) {
            source.module = module;
        }
    }
    sources
}

/// All `.rs` files below these folders of the package.
pub fn read(package: &Path, folders: &[&str]) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders: Vec<_> = folders.iter().map(|folder| package.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(package).unwrap().to_str().unwrap().to_owned();
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

fn module_of(path: &str) -> Vec<String> {
    let Some(path) = path.strip_prefix("src/").and_then(|p| p.strip_suffix(".rs")) else { return Vec::new() };
    let mut module: Vec<String> = path.split('/').map(str::to_owned).collect();
    match module.last().map(String::as_str) {
        Some("mod") => _ = module.pop(),
        Some("lib") => module.clear(),
        _ if module[0] == "bin" => module.truncate(1),
        _ => {}
    }
    module
}

struct Declared {
    path: String,
    module: Vec<String>,
    is_test: bool,
}

/// The `mod name;` of a file.
fn declarations(source: &Source) -> Vec<Declared> {
    let tokens = &source.tokens.all;
    let mut declared = Vec::new();
    for at in 0..tokens.len() {
        if is(tokens, at, "mod") && is_word(tokens, at + 1) && is(tokens, at + 2, ";") {
            let name = &tokens[at + 1].text;
            let own_name = path_attribute(tokens, at);
            let folder = match own_name {
                Some(_) => source.path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned(),
                None => folder_of_children(&source.path),
            };
            let file = own_name.unwrap_or_else(|| format!("{name}.rs"));
            let module = source.module.iter().chain([name]).cloned().collect();
            declared.push(Declared { path: format!("{folder}/{file}"), module, is_test: source.in_test(at) });
        }
    }
    declared
}

fn folder_of_children(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    match file {
        "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
        file => format!("{folder}/{}", file.trim_end_matches(".rs")),
    }
}

/// The value of a `#[path = "…"]` right before the token at `at`.
fn path_attribute(tokens: &[Token], at: usize) -> Option<String> {
    let [.., open, word, equals, value, close] = &tokens[..at] else { return None };
    let matches = open.text == "[" && word.text == "path" && equals.text == "=" && close.text == "]";
    matches.then(|| value.text.trim_matches('"').to_owned())
}

/// The tokens of the items that stand behind an attribute with this word, as in `#[test]` or `#[cfg(test)]`.
fn items_with_attribute(tokens: &[Token], word: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !(is(tokens, at, "#") && is(tokens, at + 1, "[")) {
            at += 1;
            continue;
        }
        let end = close(tokens, at + 1);
        let attribute = &tokens[at + 2..end.min(tokens.len())];
        let names = |text| attribute.iter().any(|t| t.kind == Kind::Word && t.text == text);
        if names(word) && !names("not") {
            found.push(at..item_end(tokens, end + 1));
        }
        at = end + 1;
    }
    found
}

/// The index behind the item, with its attributes, that begins at `at`.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            "(" | "[" => at = close(tokens, at) + 1,
            "{" => return close(tokens, at) + 1,
            ";" => return at + 1,
            _ => at += 1,
        }
    }
    tokens.len()
}

/// The index of the bracket that closes the one at `at`.
pub fn close(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(at).filter(|(_, t)| t.kind == Kind::Mark) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return index;
        }
    }
    tokens.len()
}

fn bodies(tokens: &[Token]) -> Vec<Range<usize>> {
    let modules = (0..tokens.len()).filter(|&at| is(tokens, at, "mod") && is(tokens, at + 2, "{"));
    modules.map(|at| at + 2..close(tokens, at + 2)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(path: &str, text: &str) -> Source {
        sources(&[(path.to_owned(), text.to_owned())]).remove(0)
    }

    fn words_in_tests(source: &Source) -> Vec<&str> {
        let all = source.tokens.all.iter().enumerate();
        all.filter(|(i, t)| source.in_test(*i) && t.text.starts_with('t')).map(|(_, t)| t.text.as_str()).collect()
    }

    #[test]
    fn test_items_end_where_they_end() {
        let text =
            "#[test] #[x] fn t1(a: [u8; 2]) { t2 } fn a() {} #[cfg(test)] use t3; b; #[cfg(not(test))] fn c() {}";
        assert_eq!(words_in_tests(&one("src/x.rs", text)), ["test", "t1", "t2", "test", "t3"]);
    }

    #[test]
    fn a_files_module_is_told_by_its_path_or_its_declaration() {
        let files = [
            ("src/lib.rs", "pub mod net;"),
            ("src/net/mod.rs", "mod tls; #[cfg(test)] mod check;"),
            ("src/net/tls.rs", "#[cfg(test)] #[path = \"tls_tests.rs\"] mod tests;"),
            ("src/net/tls_tests.rs", "mod a { mod b { x } y }"),
            ("src/net/check.rs", ""),
            ("src/bin/tool.rs", ""),
        ];
        let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
        let found = sources(&files);
        let modules: Vec<String> = found.iter().map(|s| s.module.join("::")).collect();
        assert_eq!(modules, ["", "net", "net::tls", "net::tls::tests", "net::check", "bin"]);
        assert_eq!(found.iter().filter(|s| s.is_test).count(), 2);
        let depth = |word| found[3].depth(found[3].tokens.all.iter().position(|t| t.text == word).unwrap());
        assert_eq!((depth("x"), depth("y")), (5, 4));
    }
}
