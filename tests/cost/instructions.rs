//! Instructions that the processor executes in the core, at both ends together, for a message from an app to an app.
//!
//! Valgrind counts them in a process of its own: this program again, with [`CASE`] in its environment. It passes N
//! messages, in another process 2 N, and what the second took more is the price of N messages: the start, the handshake
//! and the first growth of everything are in both. The count is the same everywhere to a percent or so, whatever the
//! machine does besides; the C library is told to copy memory in the same way on all processors.
//!
//! It counts the code as it was built. `cargo test` does not optimise our own code, only others', and an optimised build of
//! its own would take each `cargo test` a minute or more. Unoptimised code is dearer by a factor, but the factor stays: one
//! more look at each message, one more copy or one more table shows in it as well. What does not show is whether the
//! optimiser sees through a new abstraction. So there are two figures, and `.ci/run` has this run a second time with our code
//! optimised, as it says there; the dependencies are those of `cargo test`.
//!
//! To renew the limits: run this in both builds, and write what it shows as measured into [`MEASURED`].

use std::env;
use std::fmt;
use std::io::{self, Write};
use std::process::Command;

use aioconnectors::core::{Covered, Settings};

use crate::pair::{CLIENT, Pair, SERVER, frames};

/// What was measured of each case: unoptimised, optimised. It is allowed to be [`MARGIN`] more.
const MEASURED: [(Case, [u64; 2]); 6] = [
    (Case { name: "100 B", passes: Passes::Messages { size: 100 }, ends: Ends::Memory }, [10_470, 1_423]),
    (Case { name: "1 KB", passes: Passes::Messages { size: 1_000 }, ends: Ends::Memory }, [16_682, 3_929]),
    (
        Case { name: "100 B, stored at both ends", passes: Passes::Messages { size: 100 }, ends: Ends::Stored },
        [25_400, 4_577],
    ),
    (
        Case { name: "100 B, link of the first kind", passes: Passes::Messages { size: 100 }, ends: Ends::Link1 },
        [10_354, 1_775],
    ),
    (Case { name: "100 B, one a turn", passes: Passes::Single, ends: Ends::Memory }, [178_114, 27_343]),
    (Case { name: "request and answer, one a turn", passes: Passes::Requests, ends: Ends::Memory }, [478_576, 82_333]),
];

/// Percent that a message may cost more than was measured.
const MARGIN: u64 = 25;

/// Percent below what was measured from which on the test says that the table should be renewed.
const CHEAPER: u64 = 10;

/// Which case a process is to pass, and how many times; its place in the table, a colon, a number.
const CASE: &str = "AIOCONNECTORS_COST";

/// The test that passes the case.
const PASSES: &str = "instructions::what_the_environment_asks_for_is_passed";

/// Messages that an app sends at a time, as one read brings them.
const BATCH: u64 = 500;

/// Requests with different ids.
const REQUESTS: u64 = 50;

/// What goes from app to app.
#[derive(Clone, Copy)]
enum Passes {
    /// Messages of so many bytes, a batch at a time.
    Messages { size: usize },
    /// Messages of 100 bytes, one at a time.
    Single,
    /// Requests of 100 bytes, one at a time, and their answers of 100 bytes.
    Requests,
}

/// How the connectors are set.
#[derive(Clone, Copy)]
enum Ends {
    /// Queues in memory, the second kind of link.
    Memory,
    /// The same with queues that outlast the process, at both ends.
    Stored,
    /// Frames as they are to a peer of the Python package.
    Link1,
}

struct Case {
    name: &'static str,
    passes: Passes,
    ends: Ends,
}

impl Case {
    fn is_set(&self, settings: &mut Settings) {
        match self.ends {
            Ends::Memory => {}
            Ends::Stored => (settings.persist_send, settings.persist_recv) = (Covered::All, Covered::All),
            Ends::Link1 => settings.link2 = false,
        }
    }

    /// What the app sends at a time: it takes turns.
    fn sent(&self) -> Vec<Vec<u8>> {
        let header = format!(r#"{{"message_type": "any", "source_id": "{SERVER}", "destination_id": "{CLIENT}"}}"#);
        match self.passes {
            Passes::Messages { size } => vec![frames(&header, size, BATCH as usize)],
            Passes::Single => vec![frames(&header, 100, 1)],
            Passes::Requests => {
                let to = header.trim_end_matches('}');
                let request = |id| frames(&format!(r#"{to}, "await_response": true, "request_id": {id}}}"#), 100, 1);
                (0..REQUESTS).map(request).collect()
            }
        }
    }

    /// What the app at the other end says to each.
    fn answers(&self) -> Vec<Vec<u8>> {
        let to = format!(r#"{{"message_type": "any", "source_id": "{CLIENT}", "destination_id": "{SERVER}""#);
        let answer = |id| frames(&format!(r#"{to}, "response_id": {id}}}"#), 100, 1);
        if matches!(self.passes, Passes::Requests) { (0..REQUESTS).map(answer).collect() } else { Vec::new() }
    }

    /// Messages in one piece of what is sent.
    fn batch(&self) -> u64 {
        if matches!(self.passes, Passes::Messages { .. }) { BATCH } else { 1 }
    }

    /// How many pieces are passed, and as many again: enough for a percent, and few enough for some seconds in all.
    fn pieces(&self) -> u64 {
        if self.batch() == 1 { 100 } else { 2 }
    }

    /// Passes so many pieces, after some that have everything grow.
    fn pass(&self, pieces: u64) {
        let mut pair = Pair::new(|settings| self.is_set(settings));
        let (sent, answers) = (self.sent(), self.answers());
        let turn = |pair: &mut Pair, number: u64| {
            pair.send(&sent[number as usize % sent.len()]);
            if !answers.is_empty() {
                pair.answer(&answers[number as usize % answers.len()]);
            }
        };
        (0..4).for_each(|number| turn(&mut pair, number));
        pair.pass_hello();
        (4..4 + pieces).for_each(|number| turn(&mut pair, number));
        // What is sent is not rewritten: it arrives as it was.
        let bytes = |what: &[Vec<u8>]| (0..4 + pieces).map(|at| what[at as usize % what.len()].len()).sum::<usize>();
        assert_eq!(pair.read[1], bytes(&sent), "all has arrived");
        if !answers.is_empty() {
            assert_eq!(pair.read[0], bytes(&answers), "all is answered");
        }
    }
}

/// What came of a case.
struct Count<'a> {
    case: &'a Case,
    each: u64,
    measured: u64,
}

impl Count<'_> {
    fn limit(&self) -> u64 {
        self.measured * (100 + MARGIN) / 100
    }
}

impl fmt::Display for Count<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, each, measured } = self;
        write!(f, "{:<32} {each:>7} measured, {measured:>7} in the table, {:>7} allowed", case.name, self.limit())?;
        if each * 100 < measured * (100 - CHEAPER) { write!(f, "; the table should be renewed") } else { Ok(()) }
    }
}

/// Instructions that a process executes which passes so many pieces of a case.
fn instructions(case: usize, pieces: u64) -> u64 {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(env::current_exe().unwrap()).args(["--exact", PASSES, "--test-threads=1"]);
    // With what some processors offer for copying, an instruction would count once a byte.
    valgrind.env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-ERMS,-FSRM");
    let output = valgrind.env(CASE, format!("{case}:{pieces}")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
    let count = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    count.unwrap_or_else(|| panic!("valgrind has counted nothing: {said}"))
}

#[test]
fn what_the_environment_asks_for_is_passed() {
    // Otherwise nothing is: this is half of the test below.
    let Ok(asked) = env::var(CASE) else { return };
    let (case, pieces) = asked.split_once(':').unwrap();
    MEASURED[case.parse::<usize>().unwrap()].0.pass(pieces.parse().unwrap());
}

#[test]
fn no_message_costs_many_more_instructions_than_it_did() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        // Where all must hold, it must not be left out for want of a package.
        assert!(env::var_os("CI").is_none(), "valgrind is needed (apt install valgrind)");
        let why = "INSTRUCTIONS ARE NOT COUNTED: valgrind is not installed (apt install valgrind)";
        writeln!(io::stderr(), "{why}").unwrap();
        return;
    }
    let build = usize::from(!cfg!(debug_assertions));
    // Past what keeps the output of tests that pass.
    let mut out = io::stderr();
    writeln!(out, "instructions a message, at both ends together, {}:", ["unoptimised", "optimised"][build]).unwrap();
    let counts = MEASURED.iter().enumerate().map(|(at, (case, measured))| {
        let pieces = case.pieces();
        let more = instructions(at, 2 * pieces).saturating_sub(instructions(at, pieces));
        let count = Count { case, each: more / (pieces * case.batch()), measured: measured[build] };
        writeln!(out, "{count}").unwrap();
        count
    });
    let dear: Vec<String> = counts.filter(|count| count.each > count.limit()).map(|count| count.to_string()).collect();
    assert!(dear.is_empty(), "dearer than is allowed:\n{}", dear.join("\n"));
}
