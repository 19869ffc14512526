//! The renewal of a client's certificate on a link.

use aioconnectors::core::{Event, Id, Mode, Output, Secured};
use aioconnectors::wire::control::{self, NewCertificate, Offer};
use aioconnectors::wire::link::{FEATURES, LinkHello};
use aioconnectors::wire::record::{CONTROL, append_record};

use crate::rig::{Rig, SERVER};

fn record(frame: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    append_record(&mut out, 0, CONTROL, &[frame]);
    out
}

fn hello(from: &str, features: &[&str]) -> Vec<u8> {
    LinkHello { window: 1000, places: vec![], features: features.iter().map(|f| (*f).to_owned()).collect() }
        .encode(from)
}

fn offer() -> Offer {
    Offer { certificate_pem: Some("CERT".into()), request_pem: None }
}

fn new() -> NewCertificate {
    NewCertificate { certificate_pem: "CERT".into(), key_pem: None }
}

/// A client in certificate mode, its link up with a server that says these features.
fn client(features: &[&str]) -> (Rig, Id) {
    let mut rig = Rig::client_with(|s| s.mode = Mode::Certificates);
    let link = rig.dialled().unwrap();
    rig.core.opened(link, Some("10.0.0.1:10673".parse().unwrap()), rig.now);
    rig.core.secured(link, Secured::Named("c1".into()), true, rig.now);
    rig.input(link, &hello(SERVER, features));
    rig.sent(link);
    (rig, link)
}

fn server() -> (Rig, Id) {
    let mut rig = Rig::server_with(|s| s.mode = Mode::Certificates);
    let link = rig.accept_link();
    rig.core.secured(link, Secured::Named("c1".into()), true, rig.now);
    rig.input(link, &hello("c1", &FEATURES));
    rig.sent(link);
    (rig, link)
}

fn stores(rig: &Rig) -> usize {
    rig.outputs.iter().filter(|output| matches!(output, Output::StoreNext(_))).count()
}

#[test]
fn a_client_asks_where_the_server_knows_of_it_and_keeps_what_it_has_asked_for() {
    let (mut rig, link) = client(&["something else", "renewal"]);
    rig.input(link, &record(&control::set_new_certificate(SERVER, &new())));
    assert_eq!(stores(&rig), 0, "nobody has asked for it");
    assert!(rig.core.can_renew());
    rig.core.renew(&offer());
    assert_eq!(rig.sent(link), record(&control::renew_certificate("c1", &offer())));
    assert!(!rig.core.can_renew(), "the answer is awaited");
    for _ in 0..2 {
        rig.input(link, &record(&control::set_new_certificate(SERVER, &new())));
    }
    assert_eq!(stores(&rig), 1);
    assert!(rig.core.can_renew() && !rig.is_closed(link));
}

#[test]
fn a_client_does_not_ask_a_server_that_does_not_know_of_it_nor_one_that_has_refused() {
    let (mut rig, link) = client(&["something else"]);
    assert!(!rig.core.can_renew());
    rig.core.renew(&offer());
    assert_eq!(rig.sent(link), b"");
    let (mut rig, link) = client(&FEATURES);
    rig.core.renew(&offer());
    rig.input(link, &record(&control::certificate_not_renewed(SERVER, "no")));
    assert!(!rig.core.can_renew() && !rig.is_closed(link));
    assert!(rig.events().contains(&&Event::NotRenewed { why: "no".into() }));
}

#[test]
fn a_server_renews_for_the_name_that_the_certificate_says_and_not_without_end() {
    let (mut rig, link) = server();
    for _ in 0..20 {
        rig.input(link, &record(&control::renew_certificate("somebody else", &offer())));
    }
    let asked = rig.outputs.iter().filter(|output| **output == Output::Renew(link, "c1".into())).count();
    assert_eq!(asked, 8);
    assert_eq!(rig.core.take_offer(link), offer());
    rig.sent(link);
    rig.core.certificate_renewed(link, &Ok(new()));
    assert_eq!(rig.sent(link), record(&control::set_new_certificate(SERVER, &new())));
    rig.input(link, &record(&control::set_new_certificate("c1", &new())));
    assert_eq!((stores(&rig), rig.is_closed(link)), (0, false), "a server takes none");
}

#[test]
fn without_certificates_there_is_nothing_to_renew() {
    let mut rig = Rig::server_with(|s| s.mode = Mode::AllowAll);
    let link = rig.accept_link();
    rig.core.secured(link, Secured::Named("c1".into()), true, rig.now);
    rig.input(link, &hello("c1", &FEATURES));
    rig.input(link, &record(&control::renew_certificate("c1", &offer())));
    assert!(!rig.outputs.iter().any(|output| matches!(output, Output::Renew(..))));
}
