//! Gates: who is asked about a client before it may do anything.

use std::time::Duration;

use aioconnectors::core::{Cause, Event, Gate, Gates, Id, Mode, Output, Question, Reading, Secured};
use aioconnectors::wire::control::{self, HANDSHAKE_NO_SSL, HELLO, Offer, own_frame};

use crate::rig::{Rig, typed_from};

const ALL: Gates = Gates { whitelist: true, authentication: true, certificate: true, timeout: Duration::from_secs(10) };

fn server(mode: Mode, gates: Gates) -> Rig {
    let mut rig = Rig::server_with(|s| s.mode = mode);
    rig.core.set_gates(gates);
    rig
}

/// A link whose client has said its name, without TLS.
fn greeted(rig: &mut Rig) -> Id {
    let link = rig.accept_link();
    rig.secured(link, Secured::Anonymous);
    assert_eq!(rig.input(link, &own_frame(HANDSHAKE_NO_SSL, "c1", HELLO)), Reading::Paused);
    link
}

/// The question that was asked last, which this takes away.
#[track_caller]
fn asked(rig: &mut Rig, link: Id) -> Question {
    let at = rig.outputs.iter().position(|o| matches!(o, Output::Ask(id, _) if *id == link)).expect("a question");
    let Output::Ask(_, question) = rig.outputs.remove(at) else { unreachable!("it was found to be one") };
    question
}

fn answer(rig: &mut Rig, link: Id, gate: Gate, answer: Result<(), &str>) {
    rig.core.answered(link, gate, answer.map_err(str::to_owned), rig.now);
    rig.drain();
}

fn is_up(rig: &Rig) -> bool {
    rig.events().iter().any(|e| matches!(e, Event::PeerUp { .. }))
}

#[test]
fn a_link_comes_up_when_all_gates_have_let_it_through_one_after_the_other() {
    let mut rig = server(Mode::Plain, ALL);
    let link = greeted(&mut rig);
    let question = asked(&mut rig, link);
    assert_eq!((question.gate, question.client.as_str(), question.certificate), (Gate::Whitelist, "c1", false));
    assert_eq!(question.remote, ([10, 0, 0, 9], 4000).into());
    answer(&mut rig, link, Gate::Authentication, Ok(()));
    assert!(!is_up(&rig), "that one was not asked");
    answer(&mut rig, link, Gate::Whitelist, Ok(()));
    assert_eq!(asked(&mut rig, link).gate, Gate::Authentication);
    assert!(!is_up(&rig));
    answer(&mut rig, link, Gate::Authentication, Ok(()));
    assert!(is_up(&rig));
    assert!(rig.outputs.contains(&Output::Resume(link)), "it is read on");
    answer(&mut rig, link, Gate::Authentication, Err("too late"));
    assert!(!rig.is_closed(link));
}

#[test]
fn what_a_client_sends_while_it_is_asked_about_waits() {
    let mut rig = server(Mode::Plain, Gates { whitelist: true, ..ALL });
    let link = rig.accept_link();
    rig.secured(link, Secured::Anonymous);
    let both = [own_frame(HANDSHAKE_NO_SSL, "c1", HELLO), typed_from("any", "c1", b"one")].concat();
    let (first, rest) = both.split_at(both.len() - 3);
    assert_eq!(rig.input(link, first), Reading::Paused);
    // The shell may still have had this.
    assert_eq!(rig.input(link, rest), Reading::Paused);
    assert_eq!(rig.input(link, &typed_from("any", "c1", b"two")), Reading::Paused);
    answer(&mut rig, link, Gate::Whitelist, Ok(()));
    assert_eq!(rig.dialled_app(), None, "nothing was delivered");
    answer(&mut rig, link, Gate::Authentication, Ok(()));
    let app = rig.open_app();
    let sent = rig.sent(app);
    assert_eq!(crate::rig::frames(&sent).iter().map(|(_, data)| data.as_slice()).collect::<Vec<_>>(), [b"one", b"two"]);
}

#[test]
fn a_client_that_a_gate_refuses_is_cut_off_and_the_operator_learns_why() {
    for (gate, why) in [(Gate::Whitelist, "not on it"), (Gate::Authentication, "")] {
        let mut rig = server(Mode::Plain, ALL);
        let link = greeted(&mut rig);
        rig.input(link, &typed_from("any", "c1", b"in vain"));
        if gate == Gate::Authentication {
            answer(&mut rig, link, Gate::Whitelist, Ok(()));
        }
        answer(&mut rig, link, gate, Err(why));
        assert!(rig.is_closed(link) && !is_up(&rig));
        assert!(rig.ledger().is_empty(), "what a stranger sends is no message");
        let [Event::LinkRefused { cause, .. }] = &rig.events()[..] else { panic!("{:?}", rig.events()) };
        assert_eq!(*cause, Cause::NotAdmitted { gate, client: "c1".into(), why: why.into() });
        assert!(cause.to_string().contains(gate.key()) && cause.to_string().contains("c1"), "{cause}");
    }
}

#[test]
fn a_certificate_says_more_of_a_client_than_its_word() {
    let mut rig = server(Mode::Certificates, Gates { whitelist: false, ..ALL });
    let link = rig.accept_link();
    rig.secured(link, Secured::Named("c1".into()));
    let question = asked(&mut rig, link);
    assert_eq!((question.gate, question.certificate), (Gate::Authentication, true));
    answer(&mut rig, link, Gate::Authentication, Ok(()));
    assert!(is_up(&rig));
}

#[test]
fn a_new_client_gets_a_certificate_when_whitelist_and_hook_allow_it() {
    let enrol = |last: Result<(), &str>| {
        let mut rig = server(Mode::Certificates, ALL);
        let link = rig.accept_link();
        rig.secured(link, Secured::Shared);
        rig.input(link, &control::get_new_certificate("c1", &Offer::default()));
        assert_eq!(asked(&mut rig, link).gate, Gate::Whitelist);
        answer(&mut rig, link, Gate::Whitelist, Ok(()));
        let question = asked(&mut rig, link);
        assert_eq!((question.gate, question.certificate), (Gate::Certificate, false));
        answer(&mut rig, link, Gate::Certificate, last);
        (rig.outputs.contains(&Output::Issue(link, "c1".into())), rig.is_closed(link))
    };
    assert_eq!(enrol(Ok(())), (true, false));
    assert_eq!(enrol(Err("no")), (false, true));
}

#[test]
fn a_gate_that_never_answers_refuses_and_other_links_go_on_meanwhile() {
    let mut rig = server(Mode::Plain, ALL);
    let link = greeted(&mut rig);
    rig.core.set_gates(Gates::default());
    rig.link("c2");
    assert!(is_up(&rig), "another one");
    rig.pass(ALL.timeout + Duration::from_secs(5));
    assert!(!rig.is_closed(link), "the answer may be a little late");
    rig.pass(Duration::from_secs(6));
    assert!(rig.is_closed(link));
}

#[test]
fn a_link_that_was_asked_about_has_the_usual_time_for_what_comes_then() {
    let mut rig = server(Mode::Plain, Gates { whitelist: false, ..ALL });
    let link = rig.accept_link();
    rig.core.secured(link, Secured::Anonymous, true, rig.now);
    rig.input(link, &own_frame(HANDSHAKE_NO_SSL, "c1", HELLO));
    rig.pass(Duration::from_secs(9));
    answer(&mut rig, link, Gate::Authentication, Ok(()));
    rig.pass(Duration::from_secs(9));
    assert!(!rig.is_closed(link), "it has not said yet where it stands");
    rig.pass(Duration::from_secs(2));
    assert!(rig.is_closed(link));
}

#[test]
fn a_stop_does_not_wait_for_gates() {
    let mut rig = server(Mode::Plain, ALL);
    let link = greeted(&mut rig);
    rig.stop();
    assert!(rig.is_closed(link));
    answer(&mut rig, link, Gate::Whitelist, Ok(()));
    assert!(rig.outputs.contains(&Output::Stopped));
}
