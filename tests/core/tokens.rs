//! Tokens: who is let in with one, who is given one, and what becomes of links whose token is gone.

use std::time::Duration;

use aioconnectors::core::tokens::TokenHash;
use aioconnectors::core::{
    Cause, Event, Gate, Gates, Id, Mode, Output, Question, Secured, TokenTable, TokenWork, Tokens,
};
use aioconnectors::wire::admin;
use aioconnectors::wire::control::{self, HANDSHAKE_SSL, HELLO, own_frame};
use aioconnectors::wire::token::{Token, TokenMessage};
use serde_json::{Map, Value, json};

use crate::rig::{Rig, SERVER, ping_answer, typed_from};

fn token(text: &str) -> Token {
    Token::new(text).unwrap()
}

/// What is known of clients and their tokens.
fn table(of: &[(&str, &str)]) -> TokenTable {
    let mut table = TokenTable::default();
    of.iter().for_each(|(client, text)| table.set(client, TokenHash::of(&token(text))));
    table
}

fn server_with(tokens: Tokens) -> Rig {
    let mut rig = Rig::server_with(|s| s.mode = Mode::AllowAll);
    rig.core.set_tokens(tokens);
    rig
}

fn server(of: &[(&str, &str)]) -> Rig {
    server_with(Tokens::server(table(of), false))
}

fn client(alternates: bool) -> Rig {
    let mut rig = Rig::client_with(|s| s.mode = Mode::AllowAll);
    rig.core.set_tokens(Tokens::client(alternates));
    rig
}

/// A link on which a client says this first.
fn said(rig: &mut Rig, name: &str, message: &TokenMessage) -> Id {
    let link = rig.accept_link();
    rig.secured(link, Secured::Anonymous);
    rig.input(link, &message.encode(name));
    link
}

fn shown(rig: &mut Rig, name: &str, text: &str) -> Id {
    said(rig, name, &TokenMessage::Authenticate(token(text)))
}

/// The client's link, for which it was found out what token it has.
fn opened(rig: &mut Rig, kept: Option<&str>) -> (Id, Vec<u8>) {
    let link = rig.open_dialled(Secured::Anonymous);
    assert!(rig.outputs.contains(&Output::Token(link, TokenWork::Load)));
    rig.core.token_loaded(link, Ok(kept.map(token)), rig.now);
    rig.drain();
    (link, rig.sent(link))
}

/// Lets time pass until the client dials again, after this link.
#[track_caller]
fn wait_dialled(rig: &mut Rig, link: Id) {
    rig.drain();
    assert!(rig.is_closed(link));
    while rig.dialled() == Some(link) {
        rig.pass(Duration::from_millis(10));
    }
}

fn up(rig: &Rig) -> usize {
    rig.events().iter().filter(|e| matches!(e, Event::PeerUp { .. })).count()
}

fn admin(rig: &mut Rig, command: &str, arguments: Value) -> Id {
    let id = rig.core.accept_admin(rig.now);
    let arguments: Map<String, Value> = arguments.as_object().cloned().unwrap();
    rig.input(id, &admin::encode_request(command, &arguments));
    id
}

fn answer(rig: &mut Rig, admin: Id) -> Value {
    serde_json::from_slice(&rig.sent(admin)[4..]).unwrap()
}

fn refused_for(rig: &Rig, cause: &Cause) -> bool {
    rig.events().iter().any(|e| matches!(e, Event::LinkRefused { cause: c, .. } if c == cause) && e.is_audited())
}

#[test]
fn a_client_with_its_token_is_told_so_and_comes_in() {
    let mut rig = server(&[("c1", "one")]);
    let link = shown(&mut rig, "c1", "one");
    assert_eq!(rig.sent(link), TokenMessage::Success.encode(SERVER));
    assert_eq!(up(&rig), 1);
    rig.input(link, &typed_from("any", "c1", b"hello"));
    assert_eq!(rig.read_apps(), [("any".to_owned(), b"hello".to_vec())]);
}

#[test]
fn a_wrong_token_a_stolen_name_and_no_token_end_the_connection() {
    let greeting = own_frame(HANDSHAKE_SSL, "c1", HELLO);
    let first = [
        (TokenMessage::Authenticate(token("two")).encode("c1"), Some("c1")),
        (TokenMessage::Authenticate(token("one")).encode("c2"), Some("c2")),
        (TokenMessage::Authenticate(token("one")).encode("c3"), Some("c3")),
        (greeting, None),
        (TokenMessage::Success.encode("c1"), None),
        (TokenMessage::SetNew(token("x")).encode("c1"), None),
        (TokenMessage::Authenticate(token("one")).encode("../c1"), None),
        (own_frame("_token", "c1", b"["), None),
    ];
    for (bytes, wrong) in first {
        let mut rig = server(&[("c1", "one"), ("c2", "two")]);
        let link = rig.accept_link();
        rig.secured(link, Secured::Anonymous);
        rig.input(link, &bytes);
        assert!(rig.is_closed(link) && up(&rig) == 0, "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(rig.sent(link), b"");
        assert!(wrong.is_none_or(|name| refused_for(&rig, &Cause::WrongToken(name.into()))), "{:?}", rig.events());
    }
}

#[test]
fn what_a_client_sends_before_its_token_was_looked_at_is_bounded() {
    let mut rig = server(&[]);
    let link = rig.accept_link();
    rig.secured(link, Secured::Anonymous);
    rig.input(link, &(128 * 1024_u32).to_le_bytes());
    assert!(rig.is_closed(link));
}

#[test]
fn a_new_client_gets_a_token_and_its_name_is_taken_from_then_on() {
    let mut rig = server(&[]);
    let first = said(&mut rig, "c1", &TokenMessage::GetNew(None));
    assert!(rig.outputs.contains(&Output::Token(first, TokenWork::Issue("c1".into()))));
    rig.core.token_issued(first, "c1", Ok(token("new")), rig.now);
    rig.drain();
    assert_eq!(rig.sent(first), TokenMessage::SetNew(token("new")).encode(SERVER));
    assert!(rig.is_closed(first));
    let second = said(&mut rig, "c1", &TokenMessage::GetNew(None));
    assert!(rig.is_closed(second), "a name has one token");
    let link = shown(&mut rig, "c1", "new");
    assert!(!rig.is_closed(link) && up(&rig) == 1);
    let events = rig.events();
    let issued = events.iter().filter(|e| matches!(e, Event::TokenIssued { client, .. } if client == "c1"));
    assert_eq!(issued.count(), 1, "{events:?}");
}

#[test]
fn a_token_whose_hash_cannot_be_kept_is_not_given() {
    let mut rig = server(&[]);
    let link = said(&mut rig, "c1", &TokenMessage::GetNew(None));
    rig.core.token_issued(link, "c1", Err("disk full".into()), rig.now);
    rig.drain();
    assert!(rig.is_closed(link));
    assert!(refused_for(&rig, &Cause::NoToken { client: "c1".into(), why: "disk full".into() }));
    let again = said(&mut rig, "c1", &TokenMessage::GetNew(None));
    assert!(rig.outputs.contains(&Output::Token(again, TokenWork::Issue("c1".into()))));
}

#[test]
fn gates_are_asked_before_a_token_is_given_and_before_one_is_taken() {
    let mut rig = server(&[("c1", "one")]);
    rig.core.set_gates(Gates { whitelist: true, timeout: Duration::from_secs(1), ..Gates::default() });
    let question = |rig: &Rig, link: Id| {
        let asked = |o: &Output| matches!(o, Output::Ask(id, Question { gate: Gate::Whitelist, .. }) if *id == link);
        rig.outputs.iter().any(asked)
    };
    let (new, known) = (said(&mut rig, "c2", &TokenMessage::GetNew(None)), shown(&mut rig, "c1", "one"));
    assert!(question(&rig, new) && question(&rig, known));
    assert_eq!((rig.sent(known), up(&rig)), (Vec::new(), 0), "nothing is said before");
    rig.core.answered(new, Gate::Whitelist, Err("no".into()), rig.now);
    rig.core.answered(known, Gate::Whitelist, Ok(()), rig.now);
    rig.drain();
    assert!(rig.is_closed(new) && !rig.outputs.contains(&Output::Token(new, TokenWork::Issue("c2".into()))));
    assert_eq!((rig.sent(known), up(&rig)), (TokenMessage::Success.encode(SERVER), 1));
}

#[test]
fn a_certificate_of_its_own_is_enough_only_where_the_config_says_so() {
    for suffices in [false, true] {
        let mut rig = server_with(Tokens::server(TokenTable::default(), suffices));
        let link = rig.accept_link();
        rig.secured(link, Secured::Named("c1".into()));
        assert_eq!((up(&rig) == 1, rig.sent(link)), (suffices, Vec::new()));
        let shared = rig.accept_link();
        rig.secured(shared, Secured::Shared);
        rig.input(shared, &control::get_new_certificate("c2", &control::Offer::default()));
        assert!(rig.is_closed(shared), "a token is all that there is to get");
    }
}

#[test]
fn a_client_shows_its_token_and_is_up_when_it_is_taken() {
    let mut rig = client(false);
    let (link, sent) = opened(&mut rig, Some("one"));
    assert_eq!(sent, TokenMessage::Authenticate(token("one")).encode("c1"));
    let answer = [TokenMessage::Success.encode(SERVER), typed_from("any", SERVER, &[7; 100_000])].concat();
    rig.input(link, &answer);
    assert_eq!(up(&rig), 1);
    assert_eq!(rig.read_apps().len(), 1, "what came with the answer counts");
}

#[test]
fn a_client_without_a_token_gets_one_keeps_it_and_comes_again() {
    let mut rig = client(false);
    let (link, sent) = opened(&mut rig, None);
    assert_eq!(sent, TokenMessage::GetNew(None).encode("c1"));
    rig.input(link, &TokenMessage::SetNew(token("new")).encode(SERVER));
    assert!(rig.outputs.contains(&Output::Token(link, TokenWork::Store(token("new")))));
    rig.core.token_stored(link, Ok(()), rig.now);
    rig.pass(Duration::from_millis(1));
    assert!(rig.is_closed(link) && rig.dialled().is_some_and(|id| id != link));
}

#[test]
fn a_client_waits_for_its_token_to_be_stored_though_the_server_has_closed() {
    for stored in [Ok(()), Err("no key".to_owned())] {
        let mut rig = client(false);
        let (link, _) = opened(&mut rig, None);
        rig.input(link, &TokenMessage::SetNew(token("new")).encode(SERVER));
        rig.closed(link, Cause::ClosedByPeer);
        rig.pass(Duration::from_secs(60));
        assert!(rig.dialled() == Some(link), "it would only ask for another");
        rig.core.token_stored(link, stored, rig.now);
        wait_dialled(&mut rig, link);
    }
}

#[test]
fn both_ends_agree_on_the_second_kind_of_link_once_the_token_is_taken() {
    let mut server = server(&[("c1", "one")]);
    let mut client = client(false);
    let (theirs, ours) = (server.accept_link(), client.dialled().unwrap());
    client.core.opened(ours, Some(([10, 0, 0, 1], 10673).into()), client.now);
    client.secured_for_link2(ours, Secured::Anonymous);
    server.secured_for_link2(theirs, Secured::Anonymous);
    client.core.token_loaded(ours, Ok(Some(token("one"))), client.now);
    client.drain();
    for _ in 0..3 {
        server.input(theirs, &client.sent(ours));
        client.input(ours, &server.sent(theirs));
    }
    let is_link2 = |rig: &Rig| rig.events().iter().any(|e| matches!(e, Event::PeerUp { link2: true, .. }));
    assert!(is_link2(&server) && is_link2(&client), "{:?} {:?}", server.events(), client.events());
}

#[test]
fn a_client_that_is_refused_says_why_and_asks_for_another_token_only_where_the_config_says_so() {
    for alternates in [false, true] {
        let mut rig = client(alternates);
        let (link, _) = opened(&mut rig, Some("old"));
        rig.closed(link, Cause::ClosedByPeer);
        let is_told = |e: &&Event| matches!(e, Event::DialAgain { cause: Cause::TokenNotTaken, .. });
        assert!(rig.events().iter().any(is_told), "{:?}", rig.events());
        wait_dialled(&mut rig, link);
        let (link, sent) = opened(&mut rig, Some("old"));
        assert_eq!(sent == TokenMessage::GetNew(None).encode("c1"), alternates);
        rig.closed(link, Cause::ClosedByPeer);
        wait_dialled(&mut rig, link);
        let (_, sent) = opened(&mut rig, Some("old"));
        assert_eq!(sent, TokenMessage::Authenticate(token("old")).encode("c1"), "in turn");
    }
}

#[test]
fn a_token_that_cannot_be_read_or_kept_ends_the_attempt_and_the_next_one_comes() {
    let mut rig = client(false);
    let link = rig.open_dialled(Secured::Anonymous);
    rig.core.token_loaded(link, Err("it is not UTF-8".into()), rig.now);
    wait_dialled(&mut rig, link);
    let (link, _) = opened(&mut rig, None);
    rig.input(link, &TokenMessage::SetNew(token("new")).encode(SERVER));
    rig.core.token_stored(link, Err("disk full".into()), rig.now);
    wait_dialled(&mut rig, link);
    let (link, _) = opened(&mut rig, Some("x"));
    rig.input(link, &ping_answer("link_check"));
    assert!(rig.is_closed(link), "only an answer about the token counts");
}

#[test]
fn a_deleted_token_ends_the_live_link_and_the_old_one_is_not_taken_again() {
    let mut rig = server(&[("c1", "one"), ("c2", "two")]);
    let (link, other) = (shown(&mut rig, "c1", "one"), shown(&mut rig, "c2", "two"));
    let id = admin(&mut rig, "delete_client_token_on_server", json!({"client_id": "c1"}));
    assert!(rig.outputs.contains(&Output::Token(id, TokenWork::Forget("c1".into()))));
    rig.core.token_forgotten(id, "c1", Ok(()), rig.now);
    rig.drain();
    assert!(rig.is_closed(link) && !rig.is_closed(other));
    assert_eq!(answer(&mut rig, id), json!({"status": true, "msg": ""}));
    let stale = shown(&mut rig, "c1", "one");
    assert!(rig.is_closed(stale));
    let new = said(&mut rig, "c1", &TokenMessage::GetNew(None));
    assert!(rig.outputs.contains(&Output::Token(new, TokenWork::Issue("c1".into()))), "the name is free");
}

#[test]
fn a_client_whose_token_is_deleted_while_a_gate_thinks_about_it_does_not_come_in() {
    let mut rig = server(&[("c1", "one")]);
    rig.core.set_gates(Gates { authentication: true, timeout: Duration::from_secs(1), ..Gates::default() });
    let link = shown(&mut rig, "c1", "one");
    let id = admin(&mut rig, "delete_client_token_on_server", json!({"client_id": "c1"}));
    rig.core.token_forgotten(id, "c1", Ok(()), rig.now);
    rig.drain();
    assert!(rig.is_closed(link));
    rig.core.answered(link, Gate::Authentication, Ok(()), rig.now);
    rig.drain();
    assert_eq!(up(&rig), 0);
}

#[test]
fn tokens_that_are_read_again_end_the_links_of_those_that_changed() {
    let mut rig = server(&[("c1", "one"), ("c2", "two"), ("c3", "three")]);
    let links = [("c1", "one"), ("c2", "two"), ("c3", "three")].map(|(name, text)| shown(&mut rig, name, text));
    let id = admin(&mut rig, "load_server_tokens__sync", json!({}));
    rig.core.tokens_loaded(id, Err("damaged".into()), rig.now);
    rig.drain();
    assert_eq!(answer(&mut rig, id), json!({"status": false, "msg": "damaged"}));
    assert!(links.iter().all(|link| !rig.is_closed(*link)), "all stays as it was");
    let id = admin(&mut rig, "load_server_tokens", json!({}));
    rig.core.tokens_loaded(id, Ok(table(&[("c1", "one"), ("c2", "other")])), rig.now);
    rig.drain();
    assert_eq!(answer(&mut rig, id), json!({"status": true, "msg": ""}));
    assert_eq!(links.map(|link| rig.is_closed(link)), [false, true, true]);
}

#[test]
fn a_client_forgets_its_token_and_comes_again_unless_it_is_told_to_stay() {
    for stays in [false, true] {
        let mut rig = client(false);
        let (link, _) = opened(&mut rig, Some("one"));
        rig.input(link, &TokenMessage::Success.encode(SERVER));
        let id = admin(&mut rig, "delete_client_token_on_client", json!({"restart_client": !stays}));
        assert!(rig.outputs.contains(&Output::Token(id, TokenWork::Remove { reconnect: !stays })));
        rig.core.token_removed(id, !stays, Ok(()), rig.now);
        rig.drain();
        assert_eq!((rig.is_closed(link), answer(&mut rig, id)["status"] == true), (!stays, true));
        let id = admin(&mut rig, "load_client_token", json!({}));
        rig.core.token_loaded(id, Err("unreadable".into()), rig.now);
        rig.drain();
        assert_eq!(answer(&mut rig, id), json!({"status": false, "msg": "unreadable"}));
    }
}

#[test]
fn commands_that_make_no_sense_here_say_why() {
    let mut rig = server(&[]);
    for (command, arguments) in [
        ("delete_client_token_on_server", json!({})),
        ("delete_client_token_on_client", json!({})),
        ("load_client_token", json!({})),
    ] {
        let id = admin(&mut rig, command, arguments);
        assert_eq!(answer(&mut rig, id)["status"], false, "{command}");
    }
    let mut rig = Rig::server();
    let id = admin(&mut rig, "load_server_tokens", json!({}));
    assert!(answer(&mut rig, id)["msg"].as_str().unwrap().contains("use_token"));
}
