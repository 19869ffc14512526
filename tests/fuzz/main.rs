//! Bytes that were made worse by chance, against all that reads bytes of others.
//!
//! Each target is a function of bytes that panics if something is not as it must be. As a test it gets worsened seeds
//! for about a second; `AIOCONNECTORS_FUZZ_SECONDS=N` gives each target so long. An input that fails is written to a
//! file, whose path is printed; `AIOCONNECTORS_FUZZ_INPUT=FILE` runs its target with that alone.
//!
//! What is parsed before it is known who has sent it, and by which target:
//!
//! | target | what reads |
//! | --- | --- |
//! | `deframer`, `divided` | `wire::frame::Deframer`: frames of links, apps and receivers |
//! | `header` | `wire::header::Header`, and how a header is rewritten |
//! | `said` | data of `_token`, `_ssl`, `_close` and `_link` frames: `wire::token`, `wire::control`, `wire::link` |
//! | `door` | the core before a link is up: first frames of clients with and without TLS, requests for certificates and tokens, with and without tokens for enrolment; what a client takes from its server before it is let in |
//! | `admin` | `wire::admin::parse_request`, and the core's answers to what was asked |
//! | `certificates` | certificates and requests in PEM and DER, as clients offer them, as a client is sent them with a key, and as they are shown: `certs`, with who somebody is found to be |
//! | `handshake` | TLS records of clients: `net::session` and the verifier of certificates. The records themselves are read by rustls, which has fuzzers of its own |
//! | `names`, `token_files`, `places` | files that are read at the start: `source_id_2_cert.json`, tokens and those for enrolment, the tables of places and subscriptions |
//!
//! Behind that, `record`, `files`, `recovery` and `link` are for what known peers and the disk bring.
//!
//! Nothing here knows which code an input has reached: that needs a compiler that is not the stable one.

mod corpus;
#[allow(dead_code, reason = "the bench of the core's tests: some of it is for them alone")]
#[path = "../core/disk.rs"]
mod disk;
mod door;
mod door_corpus;
mod driver;
#[allow(dead_code, reason = "the bench of the core's tests: some of it is for them alone")]
#[path = "../core/file_system.rs"]
mod file_system;
mod link;
mod papers;
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

#[test]
fn what_is_said_before_its_sender_is_known_is_read_or_refused() {
    driver::run("said", door::said, &door_corpus::said());
}

#[test]
fn nobody_comes_in_without_what_it_takes_and_others_are_served() {
    driver::run("door", door::door, &door_corpus::doors());
}

#[test]
fn admins_are_answered_or_refused() {
    driver::run("admin", door::admin, &door_corpus::admins());
}

#[test]
fn a_certificate_is_its_owners_alone() {
    driver::run("certificates", papers::certificates, &papers::certificate_seeds());
}

#[test]
fn a_list_of_certificates_gives_nobody_a_name_that_no_client_can_have() {
    driver::run("names", papers::names, &papers::name_seeds());
}

#[test]
fn files_of_tokens_are_read_or_damaged() {
    driver::run("token_files", papers::token_files, &papers::token_seeds());
}

#[test]
fn a_server_starts_with_any_table_of_places_and_subscriptions() {
    driver::run("places", papers::places, &papers::place_seeds());
}

#[test]
fn no_worsened_handshake_is_done() {
    driver::run("handshake", papers::handshake, &papers::handshake_seeds());
}
