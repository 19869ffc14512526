//! Bytes that nobody should send: whatever comes, on whatever connection, the core stays whole and others are served.

use aioconnectors::core::{Id, Secured};
use aioconnectors::wire::control::{HANDSHAKE_NO_SSL, HELLO, Offer, get_new_certificate, own_frame};
use aioconnectors::wire::link::{LinkControl, greeting};
use aioconnectors::wire::receipts::FromReceiver;
use fastrand::Rng;

use crate::link2::{control_record, data, hello, lane, place, said, up};
use crate::rig::{Rig, any_to, frames, message, message_with_binary, typed_from};

/// Rounds, each with a connector of its own; more with the environment variable `AIOCONNECTORS_GARBAGE_ROUNDS`.
const ROUNDS: u64 = 400;

/// What is made worse: each is right somewhere.
fn seeds() -> Vec<Vec<u8>> {
    vec![
        own_frame(HANDSHAKE_NO_SSL, "mallory", HELLO),
        get_new_certificate("mallory", &Offer::default()),
        own_frame("_close", "mallory", br#"{"reason": "stopping"}"#),
        own_frame("_ping", "mallory", b""),
        any_to("honest", b"data"),
        typed_from("any", "mallory", b"data"),
        message(r#"{"message_type": "_ping", "source_id": "mallory", "await_response": true, "request_id": 1}"#, b"x"),
        message(r#"{"message_type": "any", "source_id": "mallory", "transport_id": 1, "with_file": {}}"#, b"x"),
        message(r#"{"message_type": "any", "destination_id": "honest", "await_response": true}"#, b"x"),
        message_with_binary(
            r#"{"message_type": "any", "source_id": "mallory", "with_binary": true, "with_file": {"binary_offset": 1}}"#,
            b"x",
            b"yz",
        ),
        FromReceiver::Acknowledges { resume: true }.encode(),
        FromReceiver::Done(0).encode(),
        FromReceiver::Done(1).encode(),
        greeting(HANDSHAKE_NO_SSL, "mallory"),
        hello(1000, &[place("any", 1, 5, 4)]),
        [lane(0, "any", 7), data(5, "any", b"data")].concat(),
        [lane(1, "other", 7), data(6, "other", b"data")].concat(),
        said(&LinkControl::Taken(vec![(0, 1), (1, u64::MAX)])),
        said(&LinkControl::Stop { lane: 0, next: 3 }),
        said(&LinkControl::Go { lane: 0 }),
        control_record(&own_frame("_close", "mallory", br#"{"reason": "stopping"}"#)),
        control_record(&any_to("honest", b"data")),
        [b"\x10\0\0\0".as_slice(), br#"{"cmd": "start"}"#].concat(),
    ]
}

fn worsened(random: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..random.usize(1..4)).flat_map(|_| seeds[random.usize(..seeds.len())].clone()).collect();
    for _ in 0..random.usize(..6) {
        let at = random.usize(..bytes.len());
        match random.u8(..5) {
            0 => bytes[at] = random.u8(..),
            1 => bytes[at] ^= 1 << random.u8(..8),
            2 => bytes.truncate(at.max(1)),
            3 => bytes.insert(at, random.u8(..)),
            _ => drop(bytes.remove(at)),
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
    bytes
}

/// A connection of some kind, somewhere on its way.
fn connection(random: &mut Rng, rig: &mut Rig) -> Id {
    match random.u8(..10) {
        8.. => up(rig, 1000, &[place("any", 1, 5, 4)]),
        6 | 7 => receiving_app(rig),
        0 => rig.app(),
        1 => rig.core.accept_admin(rig.now),
        2 => rig.accept_link(),
        3 => rig.link("mallory"),
        state => {
            let link = rig.accept_link();
            rig.secured(link, if state == 4 { Secured::Shared } else { Secured::Anonymous });
            link
        }
    }
}

/// An app that receives, with messages on the way to it.
fn receiving_app(rig: &mut Rig) -> Id {
    let feeder = rig.link("feeder");
    rig.input(feeder, &typed_from("any", "feeder", b"1"));
    rig.input(feeder, &typed_from("other", "feeder", b"2"));
    let app = rig.open_app();
    rig.sent_up_to(app, 60);
    app
}

fn round(seed: u64, seeds: &[Vec<u8>]) {
    let random = &mut Rng::with_seed(seed);
    let mut rig = Rig::server_with(|s| s.max_message_size = 4096);
    let honest = rig.link("honest");
    for _ in 0..random.usize(1..8) {
        let id = connection(random, &mut rig);
        let bytes = worsened(random, seeds);
        for piece in bytes.chunks(random.usize(1..200)) {
            rig.input(id, piece);
        }
        rig.sent(id);
    }
    rig.sent(honest);
    let app = rig.app();
    rig.input(app, &any_to("honest", b"still here"));
    let served = frames(&rig.sent(honest));
    assert_eq!(served.last().map(|(_, data)| data.as_slice()), Some(&b"still here"[..]), "seed {seed}");
}

#[test]
fn garbage_on_any_connection_harms_nobody_else() {
    let rounds = std::env::var("AIOCONNECTORS_GARBAGE_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    let seeds = seeds();
    for seed in 0..rounds {
        round(seed, &seeds);
    }
}
