//! Bad code that the checker must find, and good code that looks like it.

use crate::rules::{FILE_MAX, FUNCTION_MAX, Floors, check, modules};
use crate::source::sources;

fn floors() -> Floors {
    let floors = [("wire", 0), ("ring", 1), ("core", 2), ("sys", 3), ("config", 4), ("logger", 4), ("net", 5)];
    let above = [("api", 6), ("remote", 6), ("manager", 6), ("cli", 7), ("bin", 8)];
    floors.into_iter().chain(above).map(|(name, floor)| (name.to_owned(), floor)).collect()
}

fn found_in(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<(String, String)> = files.iter().map(|(p, t)| ((*p).to_owned(), (*t).to_owned())).collect();
    check(&sources(&files), &floors())
}

/// `text` at `path` breaks one law, on the line that begins with `>`, and the message says `said`.
#[track_caller]
fn bad(path: &str, text: &str, said: &str) {
    let line = text.lines().position(|l| l.starts_with('>')).unwrap_or(0) + 1;
    let found = found_in(&[(path, &text.replace('>', ""))]);
    assert!(
        matches!(&found[..], [one] if one.starts_with(&format!("{path}:{line}: ")) && one.contains(said)),
        "{text}\n{found:#?}"
    );
}

#[track_caller]
fn good(path: &str, text: &str) {
    assert_eq!(found_in(&[(path, text)]), Vec::<String>::new(), "{text}");
}

#[test]
fn an_import_that_goes_up_is_found_however_it_is_written() {
    let said = "core (floor 2) imports from net (floor 5)";
    for text in [
        "use crate::net::shell::Shell;",
        "use crate::{\n    wire::frame,\n>    net::{self, shell},\n};",
        "fn f() {\n>    crate::net::listener::tcp();\n}",
        "use super::super::net;",
        "mod inner {\n>    use super::super::super::net::shell;\n}",
        "#[cfg(test)]\nmod tests {\n>    use crate::net::shell;\n}",
        "pub(crate) use crate::net as other;",
    ] {
        bad("src/core/link.rs", text, said);
    }
    bad("src/core/mod.rs", "use super::net::shell;", said);
    bad("src/net/shell.rs", "use crate::cli::main;", "net (floor 5) imports from cli (floor 7)");
}

#[test]
fn an_import_of_everything_or_of_nothing_known_is_found() {
    bad("src/core/link.rs", "use crate as all;", "the whole crate is no module");
    bad("src/core/link.rs", "use crate::*;", "* is no module");
    bad("src/core/link.rs", "use crate::helpers::f;", "helpers is no module");
}

#[test]
fn imports_that_go_down_or_stay_are_good() {
    good("src/core/link.rs", "use super::conn::Link; use crate::core::Id; use crate::{ring::Ring, wire::frame};");
    good("src/core/link.rs", "// use crate::net;\n/* crate::net::f() */ const A: &str = \"use crate::net;\";");
    good("src/core/link.rs", "mod inner { use super::super::conn; } pub(crate) fn f() { pub_in::<u8>() }");
    good("src/bin/tool.rs", "use aioconnectors::cli; fn main() { aioconnectors::manager::run() }");
    good("src/lib.rs", "pub mod net; pub mod core;");
    good("tests/x.rs", "use aioconnectors::net::tls; mod net;");
}

#[test]
fn a_circle_on_one_floor_is_found_and_a_one_way_import_is_good() {
    let down = ("src/logger.rs", "use crate::config::Config;");
    assert_eq!(found_in(&[down, ("src/config.rs", "use crate::wire::names;")]), Vec::<String>::new());
    let found = found_in(&[down, ("src/config/mod.rs", "use crate::logger;")]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|f| f.contains("in a circle")), "{found:?}");
}

#[test]
fn what_apps_need_must_do_without_the_rest() {
    bad("src/api/mod.rs", "use crate::net::stream;", "must do without net");
    bad("src/remote.rs", "\n>use crate::config::Config;", "must do without config");
    good("src/api/mod.rs", "use crate::remote::Remote; use crate::wire::frame;");
}

#[test]
fn io_clock_randomness_threads_and_locks_in_pure_code_are_found() {
    for text in [
        "use std::io;",
        "use std::{fmt, fs};",
        "fn f() { std::fs::read(p) }",
        "use std::net::TcpStream;",
        "use std::net::{IpAddr, ToSocketAddrs};",
        "use std::net::*;",
        "use std::time::SystemTime;",
        "fn f() { let t = Instant::now(); }",
        "fn f(t: Instant) { t.elapsed() }",
        "fn f(p: &Path) { p.exists() }",
        "use std::thread;",
        "use std::sync::Mutex;",
        "use std::cell::RefCell;",
        "use std::collections::hash_map::RandomState;",
        "use std as s;",
        "static mut X: u8 = 0;",
        "use mio::Poll;",
        "fn f() { fastrand::u8(..) }",
        "fn f() { ::rustls::x() }",
        "use nix::libc;",
        "fn f() { log::info!(\"x\") }",
        "fn f() { println!(\"x\") }",
    ] {
        for path in ["src/wire/frame.rs", "src/ring/ring.rs", "src/core/link.rs"] {
            bad(path, text, "pure code");
        }
        assert!(found_in(&[("src/net/shell.rs", text)]).is_empty(), "{text}");
    }
}

#[test]
fn values_and_tests_in_pure_code_are_good() {
    good("src/core/link.rs", "use std::net::{IpAddr, SocketAddr}; use std::time::{Duration, Instant};");
    good(
        "src/core/link.rs",
        "use crate::wire::frame::{self, Frame}; fn f() { frame::encode(); Frame::parse(); u8::MAX }",
    );
    good("src/core/mod.rs", "mod link; pub use link::Link; fn f(now: Instant) { link::up(now) }");
    good("src/wire/header.rs", "use serde::de::Visitor; fn f() -> &'static str { serde_json::from_str(\"\") }");
    good(
        "src/core/link.rs",
        "#[cfg(test)]\nmod tests { use std::thread; fn f() { Instant::now(); fastrand::u8(..); } }",
    );
}

#[test]
fn unsafe_is_found_everywhere_but_in_sys() {
    bad("src/ring/ring.rs", "fn f() {\n>    unsafe { g() }\n}", "unsafe is for sys");
    bad("src/net/shell.rs", "unsafe impl Send for X {}", "unsafe is for sys");
    good("src/sys/map.rs", "fn f() { unsafe { g() } }");
    good("src/net/shell.rs", "// unsafe\n#![deny(unsafe_code)] const A: &str = \"unsafe\";");
}

#[test]
fn long_functions_and_files_are_found() {
    let function =
        |lines: usize| format!("fn f<T>(a: [u8; 2]) -> T\nwhere\n    T: U,\n{{\n{}}}\n", "    a;\n".repeat(lines - 5));
    good("src/net/x.rs", &function(FUNCTION_MAX));
    for path in ["src/net/x.rs", "tests/x.rs"] {
        bad(path, &format!("\n>{}", function(FUNCTION_MAX + 1)), "the function f has 71 lines");
    }
    good("src/net/x.rs", &"\n".repeat(FILE_MAX));
    let found = found_in(&[("tests/x.rs", &"\n".repeat(FILE_MAX + 1))]);
    assert!(matches!(&found[..], [one] if one.contains("601 lines")), "{found:?}");
    good("src/net/x.rs", &format!("trait T {{ fn f(&self); fn g(h: fn(u8) -> u8); }}\n{}", "\n".repeat(100)));
}

#[test]
fn what_can_panic_without_a_proof_is_found() {
    for text in [
        "fn f() {\n>    g().unwrap();\n}",
        "fn f() {\n    g()\n>        .expect(\"x\");\n}",
        "fn f() {\n>    panic!()\n}",
    ] {
        bad("src/net/x.rs", text, "needs a comment");
    }
    bad("src/net/x.rs", "fn f() {\n    /// Documentation is no proof.\n>    g().unwrap();\n}", "needs a comment");
    bad("src/net/x.rs", "// Too far away.\n\nfn f() { match x { _ => \n>unreachable!() } }", "needs a comment");
}

#[test]
fn what_can_panic_with_a_proof_or_in_a_test_is_good() {
    good(
        "src/net/x.rs",
        "fn f() {\n    // It was checked above.\n    g().unwrap();\n    g().expect(\"x\"); // Here, too.\n}",
    );
    good("src/net/x.rs", "fn f() { g().unwrap_or(0); h.unwrap; r.expecting(); const UNWRAP: u8 = 0; }");
    good("src/net/x.rs", "#[cfg(test)]\nmod tests { fn f() { g().unwrap() } }\n#[test]\nfn h() { panic!() }");
    good("tests/x.rs", "fn f() { g().unwrap() }");
}

#[test]
fn work_under_way_and_ignored_tests_are_found() {
    bad("src/net/x.rs", "fn f() {\n>    todo!()\n}", "todo!");
    bad("tests/x.rs", "fn f() {\n>    dbg!(1);\n}", "dbg!");
    bad("tests/x.rs", "#[test]\n>#[ignore = \"slow\"]\nfn f() {}", "ignored");
    bad("tests/x.rs", "#[test]\n>#[cfg_attr(x, ignore)]\nfn f() {}", "ignored");
    good("tests/x.rs", "fn f() { todo(); ignore(); let x = [ignore]; } // todo!()");
}

#[test]
fn modules_without_a_floor_and_floors_without_a_module_are_found() {
    let files = [("src/lib.rs", ""), ("src/store.rs", ""), ("src/wire/mod.rs", ""), ("tests/x.rs", "")];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
    let floors: Floors = [("wire".to_owned(), 0), ("ring".to_owned(), 1)].into();
    let found = modules(&sources(&files), &floors);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("store") && found[1].contains("ring"), "{found:?}");
}
