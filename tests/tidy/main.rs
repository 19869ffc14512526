//! The laws of the house, checked on the source text; `ARCHITECTURE.md` says why they are.
//!
//! - Imports go down only. The floors are those of the table in `ARCHITECTURE.md`, which has every module and no other.
//!   On one floor a module may import from another, as `logger` does from `config`, but never in a circle.
//! - What apps need (`wire`, `api`, `remote`) imports from nothing else, so that it builds without the rest.
//! - `wire`, `ring` and `core` do no I/O, read no clock, draw nothing at random, start no threads; their tests may.
//! - `unsafe` is for `sys` alone.
//! - A function has at most 70 lines, a file at most 600, also in tests.
//! - What can panic (`unwrap`, `expect`, `panic!`, `unreachable!`) needs, outside tests, a comment on its line or the
//!   one before that proves that it does not.
//! - No `todo!`, `unimplemented!`, `dbg!`, and no test that is ignored.
//! - Files and names that `ARCHITECTURE.md` speaks of are there.

mod document;
mod import;
mod rules;
mod samples;
mod source;
mod token;

use std::fs;
use std::path::Path;

use source::{Source, read, sources};

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn repository() -> (Vec<Source>, String) {
    let document = fs::read_to_string(package().join("ARCHITECTURE.md")).unwrap();
    (sources(&read(package(), &["src", "tests"])), document)
}

#[track_caller]
fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn the_source_keeps_the_laws_of_the_house() {
    let (sources, document) = repository();
    assert_none(&rules::check(&sources, &document::floors(&document)));
}

#[test]
fn every_module_has_its_floor_in_the_document_and_every_floor_its_module() {
    let (sources, document) = repository();
    assert_none(&rules::modules(&sources, &document::floors(&document)));
}

#[test]
fn the_document_speaks_of_what_is_there() {
    let (sources, document) = repository();
    assert_none(&document::stale(&document, package(), &sources));
}
