//! The laws of the house. Each checks sources and says, for each breach, where it is and what the law is.

use std::collections::{BTreeMap, BTreeSet};

use crate::import::{Import, foreign, imports};
use crate::source::{Source, close, is};
use crate::token::{Kind, Token};

/// The modules of the library that must be as `ARCHITECTURE.md` says, each with its floor.
pub type Floors = BTreeMap<String, u32>;

/// Lines that a function may have, from `fn` to its last brace.
pub const FUNCTION_MAX: usize = 70;

/// Lines that a file may have.
pub const FILE_MAX: usize = 600;

/// No sockets, files, clock, randomness, threads or locks here: bytes and times come in as arguments.
const PURE: [&str; 3] = ["wire", "ring", "core"];

/// What an app needs, which is built without the rest (`default-features = false`).
const FOR_APPS: [&str; 3] = ["wire", "api", "remote"];

/// Where `unsafe` may be.
const UNSAFE: &str = "sys";

/// What pure code may use of the library for cryptography.
const PURE_CRYPTO: [&str; 2] = ["constant_time", "digest"];

/// The crates that pure code may use.
const PURE_CRATES: [&str; 5] = ["crc32c", "md5", "regex", "serde", "serde_json"];

/// The modules of `std` that pure code may use.
const PURE_STD: [&str; 20] = [
    "any",
    "array",
    "borrow",
    "cmp",
    "collections",
    "convert",
    "default",
    "error",
    "fmt",
    "hash",
    "iter",
    "marker",
    "mem",
    "num",
    "ops",
    "path",
    "slice",
    "str",
    "string",
    "vec",
];

/// What pure code may use of modules of `std` that hold other things as well.
const PURE_STD_ITEMS: [(&str, &[&str]); 2] = [
    ("net", &["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV4", "SocketAddrV6", "AddrParseError"]),
    ("time", &["Duration", "Instant"]),
];

/// Methods that look at the clock or at files, on types that pure code may use.
const IMPURE_METHODS: [&str; 11] = [
    "elapsed",
    "exists",
    "try_exists",
    "is_file",
    "is_dir",
    "is_symlink",
    "canonicalize",
    "metadata",
    "symlink_metadata",
    "read_dir",
    "read_link",
];

const PRINTING: [&str; 4] = ["print", "println", "eprint", "eprintln"];

/// All laws.
pub fn check(sources: &[Source], floors: &Floors) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        let imports = imports(source);
        found.extend(lengths(source));
        found.extend(unfinished(source));
        if source.path.starts_with("src/") {
            found.extend(unsafe_code(source));
            found.extend(unproved(source));
            found.extend(downwards(source, &imports, floors));
            found.extend(purity(source, &imports));
        }
    }
    found.extend(circles(sources, floors));
    found.dedup();
    found
}

/// The modules that stand in `src`, which must be those of `floors`.
pub fn modules(sources: &[Source], floors: &Floors) -> Vec<String> {
    let there: BTreeSet<&str> = sources.iter().filter_map(top).collect();
    let written: BTreeSet<&str> = floors.keys().map(String::as_str).collect();
    let new = there.difference(&written).map(|m| format!("src/{m}: ARCHITECTURE.md gives it no floor"));
    let gone = written.difference(&there).map(|m| format!("ARCHITECTURE.md: there is no module {m}"));
    new.chain(gone).collect()
}

/// The floor's module that a file belongs to.
fn top(source: &Source) -> Option<&str> {
    if source.path.starts_with("src/") { source.module.first().map(String::as_str) } else { None }
}

fn words(source: &Source) -> impl Iterator<Item = (usize, &Token)> {
    source.tokens.all.iter().enumerate().filter(|(_, t)| t.kind == Kind::Word)
}

fn lengths(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_MAX {
        found.push(format!("{}: {lines} lines, {FILE_MAX} is the most", source.path));
    }
    let tokens = &source.tokens.all;
    for (at, word) in words(source).filter(|(_, t)| t.text == "fn") {
        let Some(name) = tokens.get(at + 1).filter(|t| t.kind == Kind::Word) else { continue };
        let Some(last) = body_end(tokens, at).and_then(|end| tokens.get(end)) else { continue };
        let lines = last.line - word.line + 1;
        if lines > FUNCTION_MAX {
            let place = source.at(word.line);
            found.push(format!("{place}: the function {} has {lines} lines, {FUNCTION_MAX} is the most", name.text));
        }
    }
    found
}

/// The index of the brace that ends the function whose `fn` is at `at`, if it has a body.
fn body_end(tokens: &[Token], mut at: usize) -> Option<usize> {
    loop {
        match tokens.get(at)?.text.as_str() {
            "(" | "[" => at = close(tokens, at) + 1,
            "{" => return Some(close(tokens, at)),
            ";" => return None,
            _ => at += 1,
        }
    }
}

fn unfinished(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (at, word) in words(source) {
        let place = source.at(word.line);
        if ["todo", "unimplemented", "dbg"].contains(&word.text.as_str()) && source.is(at + 1, "!") {
            found.push(format!("{place}: {}! is for work under way", word.text));
        }
        if word.text == "ignore" && in_attribute(&source.tokens.all, at) {
            found.push(format!("{place}: a test that is ignored tests nothing"));
        }
    }
    found
}

/// Whether the token at `at` stands in an attribute.
fn in_attribute(tokens: &[Token], at: usize) -> bool {
    let opens = (1..=at).rev().find(|&i| is(tokens, i, "[") && is(tokens, i - 1, "#"));
    opens.is_some_and(|open| close(tokens, open) > at)
}

fn unsafe_code(source: &Source) -> Vec<String> {
    if top(source) == Some(UNSAFE) {
        return Vec::new();
    }
    let found = words(source).filter(|(_, t)| t.text == "unsafe");
    found.map(|(_, t)| format!("{}: unsafe is for {UNSAFE} alone", source.at(t.line))).collect()
}

fn unproved(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (at, word) in words(source) {
        let name = word.text.as_str();
        let is_method = at > 0 && source.is(at - 1, ".") && source.is(at + 1, "(");
        let is_macro = source.is(at + 1, "!");
        let can_panic = (["unwrap", "expect"].contains(&name) && is_method)
            || (["panic", "unreachable"].contains(&name) && is_macro);
        let commented = |line| source.tokens.commented.contains(&line);
        if can_panic && !source.in_test(at) && !commented(word.line) && !commented(word.line - 1) {
            let place = source.at(word.line);
            found.push(format!("{place}: {name} outside tests needs a comment that proves it, here or a line before"));
        }
    }
    found
}

/// The module of the library that a path leads to, if it leads to one from elsewhere than its own.
fn target<'a>(source: &Source, import: &'a Import) -> Option<&'a str> {
    let segments = &import.segments;
    let up = segments.iter().take_while(|s| *s == "super").count();
    let rest = match segments[0].as_str() {
        "crate" | "aioconnectors" => &segments[1..],
        "super" if up >= source.depth(import.index) => &segments[up..],
        _ => return None,
    };
    Some(rest.first().map_or("the whole crate", String::as_str))
}

/// Whom a file imports from.
fn targets<'a>(source: &Source, imports: &'a [Import]) -> Vec<(&'a str, usize)> {
    imports.iter().filter_map(|import| Some((target(source, import)?, import.line))).collect()
}

/// Imports go down only, and what apps need imports only from its like.
fn downwards(source: &Source, imports: &[Import], floors: &Floors) -> Vec<String> {
    let Some(own) = top(source) else { return Vec::new() };
    // A module without a floor is reported by `modules`.
    let Some(floor) = floors.get(own) else { return Vec::new() };
    let mut found = Vec::new();
    for (target, line) in targets(source, imports) {
        let place = source.at(line);
        match floors.get(target) {
            None => found.push(format!("{place}: {target} is no module with a floor")),
            Some(other) if other > floor => {
                found.push(format!("{place}: {own} (floor {floor}) imports from {target} (floor {other})"));
            }
            Some(_) if FOR_APPS.contains(&own) && !FOR_APPS.contains(&target) => {
                found.push(format!("{place}: {own} is for apps and must do without {target}"));
            }
            Some(_) => {}
        }
    }
    found
}

/// On one floor a module may import from another, but not both from each other, not even by way of a third.
fn circles(sources: &[Source], floors: &Floors) -> Vec<String> {
    let mut beside: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for source in sources {
        let Some(own) = top(source) else { continue };
        for (target, _) in targets(source, &imports(source)) {
            if target != own && floors.contains_key(own) && floors.get(target) == floors.get(own) {
                beside.entry(own).or_default().insert(target.to_owned());
            }
        }
    }
    let reaches_itself = |start: &&str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![*start]);
        while let Some(next) = open.pop() {
            for target in beside.get(next).into_iter().flatten() {
                if target == start {
                    return true;
                }
                if seen.insert(target.as_str()) {
                    open.push(target);
                }
            }
        }
        false
    };
    let found = beside.keys().filter(|start| reaches_itself(start));
    found.map(|m| format!("src/{m}: it imports from its floor in a circle")).collect()
}

/// The core decides without I/O, clock, randomness and threads; its tests may do as they like.
fn purity(source: &Source, imports: &[Import]) -> Vec<String> {
    if !top(source).is_some_and(|top| PURE.contains(&top)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for import in foreign(source, imports).into_iter().filter(|i| !source.in_test(i.index)) {
        // In an attribute a path names a lint, or what serde is to do.
        if !is_pure(&import.segments) && !in_attribute(&source.tokens.all, import.index) {
            let path = import.segments.join("::");
            found.push(format!("{}: {path} is not for pure code", source.at(import.line)));
        }
    }
    for (at, word) in words(source).filter(|(at, _)| !source.in_test(*at)) {
        let name = word.text.as_str();
        let is_call = at > 0 && source.is(at - 1, ".") && source.is(at + 1, "(");
        let is_now = name == "now" && at > 0 && source.is(at - 1, "::");
        if is_now || (is_call && IMPURE_METHODS.contains(&name)) {
            found.push(format!("{}: {name} is not for pure code", source.at(word.line)));
        }
        if PRINTING.contains(&name) && source.is(at + 1, "!") {
            found.push(format!("{}: {name}! is not for pure code", source.at(word.line)));
        }
        if ["static", "thread_local"].contains(&name) && !source.is(at + 1, "[") && is_variable(source, at) {
            found.push(format!("{}: no variables of the whole process in pure code", source.at(word.line)));
        }
    }
    found
}

/// Whether the `static` at `at` is one that can change, as a plain table cannot.
fn is_variable(source: &Source, at: usize) -> bool {
    source.is(at, "thread_local") || source.is(at + 1, "mut")
}

fn is_pure(segments: &[String]) -> bool {
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments[..] {
        ["std" | "core" | "alloc", module, ref rest @ ..] => {
            // `std::collections::hash_map::RandomState` is the one random thing in them.
            let random = rest.contains(&"RandomState");
            let items = PURE_STD_ITEMS.iter().find(|(m, _)| *m == module).map(|(_, items)| items);
            let item = items.is_some_and(|items| rest.first().is_some_and(|item| items.contains(item)));
            (PURE_STD.contains(&module) && !random) || item
        }
        ["aws_lc_rs", module, ..] => PURE_CRYPTO.contains(&module),
        [name, ..] => PURE_CRATES.contains(&name),
        [] => true,
    }
}
