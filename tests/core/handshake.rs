//! How links come up, and what keeps them from it.

use std::time::Duration;

use aioconnectors::core::{Cause, Concern, Event, IssuedCertificate, Mode, Output, Reading, Secured};
use aioconnectors::wire::control::{self, HANDSHAKE_NO_SSL, HANDSHAKE_SSL, HELLO, NewCertificate, Offer, own_frame};

use crate::rig::{Rig, SERVER, any_to, frames, message, ping_answer, typed_from};

#[test]
fn a_client_says_its_name_first_unless_its_certificate_does_and_asks_for_an_echo() {
    let said = |mode, secured| {
        let mut rig = Rig::client_with(|s| s.mode = mode);
        let link = rig.open_dialled(secured);
        rig.sent(link)
    };
    let hello = |of_type| message(&format!(r#"{{"message_type": "{of_type}", "source_id": "c1"}}"#), b"hello");
    let echo = control::ping("c1", SERVER, control::LINK_CHECK_ID);
    // Without TLS the greeting is where it can say that it speaks the second kind of link.
    let plain = message(r#"{"message_type": "_handshake_no_ssl", "source_id": "c1", "link": 2}"#, b"hello");
    assert_eq!(said(Mode::Plain, Secured::Anonymous), [plain, echo.clone()].concat());
    assert_eq!(said(Mode::AllowAll, Secured::Anonymous), [hello("_handshake_ssl"), echo.clone()].concat());
    assert_eq!(said(Mode::Certificates, Secured::Named("c1".into())), echo);
    let request = message(r#"{"message_type": "_ssl", "source_id": "c1"}"#, br#"{"cmd":"get_new_certificate"}"#);
    assert_eq!(said(Mode::Certificates, Secured::Shared), request);
}

#[test]
fn a_link_is_up_when_the_server_answers_and_not_before() {
    let mut rig = Rig::client_with(|_| {});
    let (link, app) = (rig.open_dialled(Secured::Anonymous), rig.app());
    rig.input(app, &any_to(SERVER, b"too early"));
    assert_eq!((rig.events().len(), rig.ledger()), (0, vec![format!("{SERVER} any peer_away 1")]));
    rig.sent(link);
    rig.input(link, &ping_answer(control::LINK_CHECK_ID));
    rig.input(app, &any_to(SERVER, b"in time"));
    assert!(matches!(rig.events()[..], [Event::PeerUp { .. }]), "{:?}", rig.events());
    assert_eq!(frames(&rig.sent(link))[0].1, b"in time");
}

#[test]
fn a_message_shows_as_well_that_the_server_is_there_and_is_delivered() {
    let mut rig = Rig::client_with(|_| {});
    let link = rig.open_dialled(Secured::Anonymous);
    rig.input(link, &typed_from("any", SERVER, b"first"));
    let app = rig.open_app();
    assert_eq!(frames(&rig.sent(app))[0].1, b"first");
}

#[test]
fn a_server_that_never_answers_is_left_after_ten_seconds() {
    let mut rig = Rig::client_with(|_| {});
    let link = rig.open_dialled(Secured::Anonymous);
    rig.pass(Duration::from_secs(11));
    assert!(rig.is_closed(link));
    assert!(!rig.events().iter().any(|e| matches!(e, Event::PeerUp { .. })));
}

#[test]
fn a_server_answers_a_greeting_with_nothing() {
    for (mode, of_type) in [(Mode::Plain, HANDSHAKE_NO_SSL), (Mode::AllowAll, HANDSHAKE_SSL)] {
        let mut rig = Rig::server_with(|s| s.mode = mode);
        let link = rig.accept_link();
        rig.secured(link, Secured::Anonymous);
        for byte in own_frame(of_type, "c1", HELLO) {
            assert_eq!(rig.input(link, &[byte]), Reading::Open);
        }
        assert!(matches!(rig.events()[..], [Event::PeerUp { .. }]), "{:?}", rig.events());
        assert_eq!(rig.sent(link), b"");
    }
}

#[test]
fn a_wrong_first_frame_ends_the_connection() {
    let first = [
        own_frame(HANDSHAKE_SSL, "c1", HELLO),
        own_frame(HANDSHAKE_NO_SSL, "c1", b"hallo"),
        own_frame(HANDSHAKE_NO_SSL, "../c1", HELLO),
        own_frame(HANDSHAKE_NO_SSL, "default7", HELLO),
        message(r#"{"message_type": "_handshake_no_ssl"}"#, HELLO),
        own_frame("any", "c1", HELLO),
        own_frame(control::SSL, "c1", br#"{"cmd":"get_new_certificate"}"#),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ];
    for bytes in first {
        let mut rig = Rig::server();
        let link = rig.accept_link();
        rig.secured(link, Secured::Anonymous);
        rig.input(link, &bytes);
        assert!(rig.is_closed(link), "{}", String::from_utf8_lossy(&bytes));
        assert!(matches!(rig.events()[..], [Event::LinkRefused { .. }]));
    }
}

#[test]
fn without_a_certificate_nobody_comes_in_where_certificates_are_asked_for() {
    let mut rig = Rig::server_with(|s| s.mode = Mode::Certificates);
    let link = rig.accept_link();
    rig.secured(link, Secured::Anonymous);
    rig.input(link, &own_frame(HANDSHAKE_NO_SSL, "c1", HELLO));
    assert!(rig.is_closed(link));
    assert!(matches!(rig.events()[..], [Event::LinkRefused { .. }]), "{:?}", rig.events());
}

#[test]
fn a_client_with_a_shared_certificate_gets_its_own_and_comes_again() {
    let mut server = Rig::server_with(|s| s.mode = Mode::Certificates);
    let mut client = Rig::client_with(|s| s.mode = Mode::Certificates);
    let (theirs, ours) = (server.accept_link(), client.open_dialled(Secured::Shared));
    server.secured(theirs, Secured::Shared);
    server.input(theirs, &client.sent(ours));
    assert!(server.outputs.contains(&Output::Issue(theirs, "c1".into())));
    let new = NewCertificate { certificate_pem: "CERT\n".into(), key_pem: Some("KEY\n".into()) };
    let issued = IssuedCertificate { new: new.clone(), serial: "0A".into() };
    server.core.certificate_issued(theirs, "c1", Ok(issued), server.now);
    client.input(ours, &server.sent(theirs));
    let told = "the certificate 0A is accepted for client c1, which enrolled from 10.0.0.9:4000";
    assert!(server.events().iter().any(|event| event.is_audited() && event.to_string() == told));
    assert!(server.is_closed(theirs));
    assert!(client.outputs.contains(&Output::Store(ours, new)));
    client.core.certificate_stored(ours, Ok(()), client.now);
    client.pass(Duration::from_millis(1));
    assert!(client.is_closed(ours));
    assert_ne!(client.dialled(), Some(ours), "it comes again at once");
}

#[test]
fn a_client_that_asks_for_a_certificate_may_do_nothing_else() {
    let mut rig = Rig::server_with(|s| s.mode = Mode::Certificates);
    let link = rig.accept_link();
    rig.secured(link, Secured::Shared);
    rig.input(link, &own_frame("any", "c1", b""));
    assert!(rig.is_closed(link));
    let link = rig.accept_link();
    rig.secured(link, Secured::Shared);
    let request = control::get_new_certificate("c1", &Offer::default());
    rig.input(link, &[request.clone(), request].concat());
    assert!(rig.is_closed(link), "nothing may follow the request");
}

#[test]
fn frames_are_short_until_it_is_known_whose_they_are() {
    let mut rig = Rig::server();
    let link = rig.accept_link();
    rig.secured(link, Secured::Anonymous);
    rig.input(link, &70_000u32.to_le_bytes());
    assert!(rig.is_closed(link));
    let link = rig.link("c1");
    rig.input(link, &70_000u32.to_le_bytes());
    assert!(!rig.is_closed(link));
    rig.input(link, &[0; 66_000]);
    rig.input(link, &[0; 4_000]);
    assert!(rig.is_closed(link), "a frame of zeros has no header");
}

#[test]
fn who_says_nothing_is_sent_away() {
    let mut rig = Rig::server();
    let link = rig.accept_link();
    rig.pass(Duration::from_secs(9));
    assert!(!rig.is_closed(link));
    rig.pass(Duration::from_secs(2));
    assert!(rig.is_closed(link));
}

#[test]
fn a_client_waits_longer_from_failure_to_failure_and_forgets_them_after_a_good_while() {
    let mut rig = Rig::client_with(|_| {});
    let fail = |rig: &mut Rig| {
        let id = rig.dialled().unwrap();
        rig.closed(id, Cause::Failed("no".into()));
        let after = rig.events().iter().rev().find_map(|e| match e {
            Event::DialAgain { after, .. } => Some(*after),
            _ => None,
        });
        rig.pass(after.unwrap());
        assert_ne!(rig.dialled(), Some(id), "it dials again when it said");
        after.unwrap()
    };
    let waits: Vec<Duration> = (0..12).map(|_| fail(&mut rig)).collect();
    assert_eq!(waits[0], Duration::ZERO);
    assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(5)), "{waits:?}");
    assert!(waits[11] >= Duration::from_millis(2500), "{waits:?}");
    rig.up();
    rig.pass(Duration::from_secs(11));
    assert_eq!(fail(&mut rig), Duration::ZERO);
}

#[test]
fn a_server_that_stays_away_is_warned_of_once_until_the_cause_changes_or_a_link_was_up() {
    let mut rig = Rig::client_with(|_| {});
    let fail = |rig: &mut Rig, why: &str| {
        let id = rig.dialled().unwrap();
        rig.closed(id, Cause::Failed(why.into()));
        rig.pass(Duration::from_secs(5));
        let again = |e: &&&Event| matches!(e, Event::DialAgain { .. });
        rig.events().iter().rev().find(again).unwrap().concern()
    };
    let told: Vec<Concern> = ["no", "no", "no", "never", "never"].iter().map(|why| fail(&mut rig, why)).collect();
    assert_eq!(told, [Concern::Look, Concern::Detail, Concern::Detail, Concern::Look, Concern::Detail]);
    rig.up();
    assert_eq!(fail(&mut rig, "never"), Concern::Look);
}

#[test]
fn a_client_that_is_not_to_come_again_does_not() {
    let mut rig = Rig::client_with(|s| s.reconnect = false);
    let id = rig.dialled().unwrap();
    rig.closed(id, Cause::Failed("no".into()));
    rig.pass(Duration::from_secs(100));
    assert_eq!(rig.dialled(), Some(id));
    assert!(rig.events().contains(&&Event::NotDialledAgain));
}

#[test]
fn a_client_that_nobody_answers_gives_up_and_dials_again() {
    let mut rig = Rig::client_with(|_| {});
    let id = rig.dialled().unwrap();
    rig.pass(Duration::from_secs(11));
    assert!(rig.is_closed(id));
    assert_ne!(rig.dialled(), Some(id));
}
