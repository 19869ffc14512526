//! Bytes that were made worse by chance, against all that reads bytes of others.
//!
//! Each target is a function of bytes that panics if something is not as it must be. As a test it gets worsened seeds
//! for about a second; `AIOCONNECTORS_FUZZ_SECONDS=N` gives each target so long. An input that fails is written to a
//! file, whose path is printed; `AIOCONNECTORS_FUZZ_INPUT=FILE` runs its target with that alone.
//!
//! Nothing here knows which code an input has reached: that needs a compiler that is not the stable one.

mod corpus;
#[allow(dead_code, reason = "the bench of the core's tests: some of it is for them alone")]
#[path = "../core/disk.rs"]
mod disk;
mod driver;
#[allow(dead_code, reason = "the bench of the core's tests: some of it is for them alone")]
#[path = "../core/file_system.rs"]
mod file_system;
mod link;
#[allow(dead_code, reason = "the bench of the core's tests: some of it is for them alone")]
#[path = "../core/rig.rs"]
mod rig;
mod targets;

#[test]
fn frames_come_out_of_any_bytes_however_they_are_cut() {
    driver::run("deframer", targets::deframer, &corpus::frames());
}

#[test]
fn frames_that_are_divided_come_whole_in_their_parts() {
    driver::run("divided", targets::divided, &corpus::frames());
}

#[test]
fn headers_are_read_or_refused() {
    driver::run("header", targets::header, &corpus::headers());
}

#[test]
fn records_are_read_or_refused() {
    driver::run("record", targets::record, &corpus::records());
}

#[test]
fn what_is_said_of_files_is_read_or_refused() {
    driver::run("files", targets::files, &corpus::files_said());
}

#[test]
fn a_ring_is_recovered_from_any_file_or_it_is_damaged() {
    driver::run("recovery", targets::recovery, &corpus::files());
}

#[test]
fn a_connector_stays_whole_whatever_a_peer_sends_and_whenever() {
    driver::run("link", link::link, &corpus::talks());
}
