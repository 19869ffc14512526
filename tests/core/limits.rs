//! How many connections of peers there may be, and who gives way.

use std::net::SocketAddr;

use aioconnectors::core::{Cause, Event, Id, Limits, Secured};
use aioconnectors::wire::control::{HANDSHAKE_NO_SSL, HELLO, own_frame};

use crate::rig::Rig;

fn server(connections: usize, per_address: usize, unidentified: usize) -> Rig {
    let mut rig = Rig::server();
    rig.core.set_limits(Limits { connections, per_address, unidentified, first_message: 2000 });
    rig
}

/// A connection from this address, if there is room for it.
fn come(rig: &mut Rig, from: &str) -> Option<Id> {
    let remote = SocketAddr::new(from.parse().unwrap(), 4000);
    let link = rig.core.has_room(remote, rig.now).then(|| rig.core.accept_link(remote, rig.now));
    rig.drain();
    if let Some(link) = link {
        rig.secured(link, Secured::Anonymous);
    }
    link
}

fn say_hello(rig: &mut Rig, link: Id, name: &str) {
    rig.input(link, &own_frame(HANDSHAKE_NO_SSL, name, HELLO));
}

fn refusals(rig: &Rig, cause: &Cause) -> usize {
    rig.events().iter().filter(|e| matches!(e, Event::LinkRefused { cause: c, .. } if c == cause)).count()
}

#[test]
fn beyond_the_limit_of_all_connections_newcomers_are_refused_until_one_goes() {
    let mut rig = server(2, 9, 9);
    let (one, two) = (come(&mut rig, "10.0.0.1").unwrap(), come(&mut rig, "10.0.0.2").unwrap());
    say_hello(&mut rig, one, "c1");
    assert_eq!(come(&mut rig, "10.0.0.3"), None);
    assert_eq!(refusals(&rig, &Cause::NoRoom("max_connections")), 1);
    rig.closed(two, Cause::ClosedByPeer);
    assert!(come(&mut rig, "10.0.0.3").is_some());
    assert!(!rig.is_closed(one));
}

#[test]
fn one_address_cannot_take_all_the_room() {
    let mut rig = server(9, 2, 9);
    let all =
        ["10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2", "::ffff:10.0.0.1"].map(|ip| come(&mut rig, ip).is_some());
    assert_eq!(all, [true, true, false, true, false]);
    let network = ["2001:db8::1", "2001:db8::2:0:0:2", "2001:db8::3", "2001:db8:0:1::1"];
    assert_eq!(network.map(|ip| come(&mut rig, ip).is_some()), [true, true, false, true]);
    assert_eq!(refusals(&rig, &Cause::NoRoom("max_connections_per_address")), 3);
}

#[test]
fn who_holds_a_place_in_silence_gives_way_and_not_who_is_known_or_alone() {
    let mut rig = server(99, 99, 3);
    let known = come(&mut rig, "10.0.0.1").unwrap();
    say_hello(&mut rig, known, "c1");
    let alone = come(&mut rig, "10.0.0.2").unwrap();
    let silent: Vec<Id> = (0..2).map(|_| come(&mut rig, "10.0.0.1").unwrap()).collect();
    let newcomer = come(&mut rig, "10.0.0.3").unwrap();
    let closed = [known, alone, silent[0], silent[1], newcomer].map(|link| rig.is_closed(link));
    assert_eq!(closed, [false, false, true, false, false], "the oldest of the address with most of them");
    assert_eq!(refusals(&rig, &Cause::GaveWay), 1);
    say_hello(&mut rig, alone, "c2");
    say_hello(&mut rig, newcomer, "c3");
    assert_eq!(rig.events().iter().filter(|e| matches!(e, Event::PeerUp { .. })).count(), 3);
}

#[test]
fn of_a_flood_of_refusals_a_few_are_told_and_the_rest_is_counted() {
    let mut rig = server(1, 9, 9);
    come(&mut rig, "10.0.0.1").unwrap();
    for _ in 0..1000 {
        assert_eq!(come(&mut rig, "10.0.0.2"), None);
    }
    assert_eq!(refusals(&rig, &Cause::NoRoom("max_connections")), 20);
    rig.pass(std::time::Duration::from_secs(2));
    assert!(rig.events().iter().any(|e| matches!(e, Event::MoreRefused { count: 980 })), "{:?}", rig.events());
    assert_eq!(rig.core.status().refused, 1000);
    come(&mut rig, "10.0.0.2");
    assert_eq!(refusals(&rig, &Cause::NoRoom("max_connections")), 21, "then they are told again");
}

#[test]
fn what_a_stranger_may_send_is_what_the_config_says() {
    let mut rig = server(9, 9, 9);
    let link = come(&mut rig, "10.0.0.1").unwrap();
    rig.input(link, &2001_u32.to_le_bytes());
    assert!(rig.is_closed(link));
}
