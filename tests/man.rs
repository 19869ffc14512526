//! The manual pages: those that are made are as the tables have them, and all are as `mandoc` and `man` want them.
#![cfg(feature = "daemon")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use aioconnectors::cli::man::config_page;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/man");

fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> =
        fs::read_dir(FOLDER).expect("man/").map(|entry| entry.expect("a page").path()).collect();
    pages.sort();
    pages
}

/// What a checker says of a page; `None`, with a word on stderr, if it is not installed.
fn said(command: &mut Command) -> Option<String> {
    match command.output() {
        Ok(output) => {
            Some(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
        }
        Err(error) => {
            eprintln!("{}: {error}: the pages were not looked at", command.get_program().display());
            None
        }
    }
}

#[test]
fn the_page_of_the_config_is_what_the_table_of_keys_makes() {
    let path = Path::new(FOLDER).join("aioconnectors.json.5");
    let page = config_page::page();
    if std::env::var_os("AIOCONNECTORS_WRITE_PAGES").is_some() {
        fs::write(&path, &page).expect("the page is written");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page, "man/aioconnectors.json.5 is old: AIOCONNECTORS_WRITE_PAGES=1 cargo test --test man");
}

#[test]
fn mandoc_has_nothing_to_say_of_any_page() {
    for page in pages() {
        let Some(said) = said(Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(&page)) else { return };
        // Pages name one another, and are not installed here.
        let lines: Vec<&str> = said.lines().filter(|line| !line.contains("referenced manual not found")).collect();
        assert_eq!(lines, Vec::<&str>::new(), "{}", page.display());
    }
}

#[test]
fn man_has_nothing_to_warn_of_in_any_page() {
    for page in pages() {
        let mut man = Command::new("man");
        man.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"])
            .arg(&page)
            .env("LC_ALL", "C.UTF-8")
            .env("MANWIDTH", "80");
        // What man says is on stderr; the page itself is not for us.
        let Ok(output) = man.output() else {
            eprintln!("man is not installed: the pages were not looked at");
            return;
        };
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", page.display());
    }
}

#[test]
fn pages_name_only_pages_that_there_are() {
    for page in pages() {
        let text =
            fs::read_to_string(&page).expect("a page").replace("\\-", "-").replace("\\fB", "").replace("\\fR", "");
        let text = text.replace(" (", "(");
        for word in text.split([' ', ',', '\n']).filter(|word| word.starts_with("aioconnectors")) {
            let Some((name, rest)) = word.split_once('(') else { continue };
            let file = format!("{name}.{}", rest.split(')').next().unwrap_or_default());
            assert!(Path::new(FOLDER).join(file).exists(), "{} names {word}", page.display());
        }
    }
}
