//! What `ARCHITECTURE.md` says of the source: floors, files, names.

use std::collections::BTreeSet;
use std::path::Path;

use crate::rules::Floors;
use crate::source::Source;
use crate::token::Kind;

/// The floors, from the rows of the table that begin with a module's name and a number: ``| `wire` | 0 | …``.
pub fn floors(document: &str) -> Floors {
    let rows = document.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        // Limits have tables too; their names are in capitals.
        let is_module = name.chars().all(|c| c == '_' || c.is_ascii_lowercase());
        is_module.then_some((name.to_owned(), cells.next()?.parse().ok()?))
    });
    rows.collect()
}

/// Files and names that the document speaks of and that are not there.
pub fn stale(document: &str, package: &Path, sources: &[Source]) -> Vec<String> {
    let all = sources.iter().flat_map(|source| &source.tokens.all);
    let names: BTreeSet<&str> = all.filter(|t| t.kind == Kind::Word).map(|t| t.text.as_str()).collect();
    let mut found = Vec::new();
    for (line, word) in quoted(document) {
        if is_file(word) {
            if !package.join(word).exists() {
                found.push(format!("ARCHITECTURE.md:{line}: there is no {word}"));
            }
        } else if let Some(missing) = name_parts(word).into_iter().find(|part| !names.contains(part)) {
            found.push(format!("ARCHITECTURE.md:{line}: {missing} of `{word}` is no name in the source"));
        }
    }
    found
}

/// What stands in backticks, outside of blocks, with its line.
fn quoted(document: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_block = false;
    for (index, line) in document.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            found.extend(line.split('`').skip(1).step_by(2).map(|word| (index + 1, word)));
        }
    }
    found
}

fn is_file(word: &str) -> bool {
    let is_inside = ["src/", "tests/"].iter().any(|folder| word.starts_with(folder));
    let is_at_top = [".md", ".toml"].iter().any(|ending| word.ends_with(ending)) && !word.contains('/');
    is_inside || is_at_top
}

/// The names in a path, a call or a constant; none if it is something else, as a config key or a command is.
fn name_parts(word: &str) -> Vec<&str> {
    let is_name = |s: &str| !s.is_empty() && s.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    let path = word.strip_suffix("()").unwrap_or(word);
    let parts: Vec<&str> = path.split("::").collect();
    let is_code = parts.len() > 1 || path != word || word.starts_with(|c: char| c.is_ascii_uppercase());
    // Words of the world outside, such as `SIGTERM`, are written without backticks.
    if is_code && parts.iter().all(|p| is_name(p)) { parts } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::sources;

    #[test]
    fn floors_are_read_from_the_table() {
        let floors =
            floors("| module | floor |\n| --- | --- |\n| `wire` | 0 | x |\n| `A_LIMIT` | 7 | x |\ntext `b` | 2\n");
        assert_eq!(floors.into_iter().collect::<Vec<_>>(), [("wire".to_owned(), 0)]);
    }

    #[test]
    fn names_and_files_that_are_gone_are_found() {
        let sources = sources(&[("src/x.rs".to_owned(), "struct Ring { MAX: u8 } mod core {}".to_owned())]);
        let document = "`Ring` `core::Ring` `MAX` `make()`\n`Gone` `core::gone` `src/gone.rs` `GONE_MAX` `gone()`\n\
            ```\n`Gone`\n```\n`a key` `use_ssl` `--help`\n`Cargo.toml`";
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let found = stale(document, package, &sources);
        let places: Vec<&str> = found.iter().filter_map(|f| f.split(": ").next()).collect();
        assert_eq!(places, ["ARCHITECTURE.md:1"].iter().chain(&["ARCHITECTURE.md:2"; 5]).copied().collect::<Vec<_>>());
        assert!(found[0].contains("make"), "{found:?}");
    }
}
