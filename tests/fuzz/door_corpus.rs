//! What strangers, servers and admins really say, to be made worse.

use aioconnectors::wire::admin::encode_request;
use aioconnectors::wire::control::{
    self, CloseReason, HANDSHAKE_NO_SSL, HANDSHAKE_SSL, HELLO, NewCertificate, Offer, own_frame,
};
use aioconnectors::wire::link::{LinkControl, LinkHello, PlaceSaid, greeting};
use aioconnectors::wire::token::{Token, TokenMessage};
use serde_json::{Value, json};

use crate::door::{
    CLIENT_ENROLS, CLIENT_TOKENS, FAILS, INVITATIONS, INVITED, KNOWN, LINK2, SERVER_ALLOW_ALL, SERVER_CERTIFICATES,
    SERVER_PLAIN, SERVER_TOKENS, SHELL_ANSWERS, SUFFICES,
};
use crate::papers::Papers;
use crate::rig::{message, ping_answer, typed_from};

/// All commands of the admin's socket, with arguments that are right.
const COMMANDS: [(&str, &str); 29] = [
    ("show_connected_peers", "{}"),
    ("show_attribute", r#"{"attribute": "client_rules"}"#),
    ("show_log_level", "{}"),
    ("peek_queues", "{}"),
    ("show_files", "{}"),
    ("show_status", "{}"),
    ("show_subscribe_message_types", "{}"),
    ("set_subscribe_message_types", r#"{"message_types": ["any", "other"]}"#),
    ("end_subscriptions", r#"{"peer": "c1"}"#),
    ("start", "{}"),
    ("stop", r#"{"client_wait_for_reconnect": false, "hard": true}"#),
    ("restart", r#"{"sleep_between": 0}"#),
    ("set_log_level", r#"{"level": "DEBUG"}"#),
    ("disconnect_client", r#"{"client_id": "c1"}"#),
    ("manage_ignore_peer_traffic", r#"{"show": true}"#),
    ("manage_ignore_peer_traffic", r#"{"unique_peer": "c1"}"#),
    ("delete_previous_persistence_remains", "{}"),
    ("delete_client_certificate", r#"{"client_id": "c1", "remove_only_symlink": false}"#),
    ("delete_client_token_on_server", r#"{"client_id": "c1"}"#),
    ("delete_client_token_on_client", r#"{"restart_client": true}"#),
    ("load_server_tokens", "{}"),
    ("load_client_token", "{}"),
    ("enroll", r#"{"client_id": "c4", "ttl": 60.5}"#),
    ("show_enrollments", "{}"),
    ("withdraw_enrollment", r#"{"client_id": "c3"}"#),
    ("add_blacklist_client", r#"{"client_ip": "10.0.0.0/8", "client_id": "c.*"}"#),
    ("remove_blacklist_client", r#"{"client_ip": "10.0.0.0/8"}"#),
    ("add_whitelist_client__sync", r#"{"client_id": "a|b"}"#),
    ("remove_whitelist_client", r#"{"client_id": null}"#),
];

fn token((_, text): (&str, &str)) -> Token {
    Token::new(text).unwrap()
}

fn tokens() -> Vec<Vec<u8>> {
    vec![
        TokenMessage::Authenticate(token(KNOWN)).encode(KNOWN.0),
        TokenMessage::Authenticate(token(INVITED)).encode("c2"),
        TokenMessage::GetNew.encode(INVITED.0),
        invited("_token", "get_new_token"),
        TokenMessage::SetNew(token(KNOWN)).encode("s"),
        TokenMessage::Success.encode("s"),
    ]
}

/// A request to enrol with a token for it.
fn invited(message_type: &str, command: &str) -> Vec<u8> {
    let data = json!({"cmd": command, "enrollment_token": INVITED.1});
    own_frame(message_type, INVITED.0, data.to_string().as_bytes())
}

fn enrolments(papers: &Papers) -> Vec<Vec<u8>> {
    let offer = papers.offer();
    let without_key = NewCertificate { certificate_pem: offer.certificate_pem.clone().unwrap(), key_pem: None };
    let with_key = NewCertificate { key_pem: Some(papers.key_pem.clone()), ..without_key.clone() };
    vec![
        control::get_new_certificate("c2", &Offer::default()),
        control::get_new_certificate("c2", &offer),
        control::get_new_certificate(
            "../../c2",
            &Offer { request_pem: Some("none".to_owned()), certificate_pem: None },
        ),
        invited("_ssl", "get_new_certificate"),
        control::renew_certificate("c1", &offer),
        control::set_new_certificate("s", &with_key),
        control::set_new_certificate("s", &without_key),
        control::certificate_not_renewed("s", "no \"room\""),
    ]
}

fn first_words() -> Vec<Vec<u8>> {
    let place = PlaceSaid { message_type: "any".to_owned(), epoch: 1, received: 5, taken: 4 };
    let hello = LinkHello { window: 1 << 20, places: vec![place], features: vec!["renewal".into(), "new".into()] };
    vec![
        own_frame(HANDSHAKE_NO_SSL, "c1", HELLO),
        own_frame(HANDSHAKE_SSL, "c1", HELLO),
        greeting(HANDSHAKE_NO_SSL, "c2"),
        greeting(HANDSHAKE_SSL, "c2"),
        hello.encode("c1"),
        LinkHello::default().encode("c1"),
        LinkControl::Lane { lane: 1, message_type: "any".to_owned(), epoch: 3, released: 9 }.encode("c1"),
        LinkControl::Taken(vec![(0, 5), (1, u64::MAX)]).encode("c1"),
        LinkControl::Stop { lane: 1, next: 7 }.encode("c1"),
        LinkControl::Go { lane: 1 }.encode("c1"),
        control::close("s", CloseReason::Stopping),
        control::ping("c1", "s", "link_check"),
        ping_answer("link_check"),
        typed_from("any", "c1", b"data"),
        message(r#"{"message_type": "_handshake_no_ssl", "source_id": "a\u0000b/../c", "link": 2}"#, b"hello"),
        message(&format!(r#"{{"message_type": "_ssl", "source_id": {}1{}}}"#, "[".repeat(300), "]".repeat(300)), b"{}"),
    ]
}

/// Frames that are said before it is known by whom.
pub fn said() -> Vec<Vec<u8>> {
    Papers::with(|papers| [tokens(), enrolments(papers), first_words()].concat())
}

/// A step for each of these frames, and the shell's answer behind each.
fn steps(how: u8, frames: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![how];
    for frame in frames {
        out.extend((frame.len() as u16).to_le_bytes());
        out.extend(*frame);
        out.extend(SHELL_ANSWERS.to_le_bytes());
    }
    out
}

/// Who comes to the doors of servers and clients. A client hears nothing before its shell has answered.
pub fn doors() -> Vec<Vec<u8>> {
    let (all, mut out) = (said(), Vec::new());
    let server = [SERVER_PLAIN, SERVER_ALLOW_ALL, SERVER_CERTIFICATES, SERVER_TOKENS];
    for listener in server.into_iter().chain([CLIENT_TOKENS, CLIENT_ENROLS]) {
        for more in [0, LINK2, INVITATIONS, INVITATIONS | LINK2 | SUFFICES, INVITATIONS | FAILS] {
            for frame in &all {
                let how = listener | more;
                // First what is said, then what could come behind it.
                let begin: &[u8] = if listener == CLIENT_TOKENS { b"" } else { frame };
                out.push(steps(how, &[begin, frame, &all[all.len() - 3]]));
            }
        }
    }
    out
}

/// What admins ask.
pub fn admins() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for (command, arguments) in COMMANDS {
        let arguments: Value = serde_json::from_str(arguments).unwrap();
        let request = encode_request(command, arguments.as_object().unwrap());
        for how in [SERVER_PLAIN, SERVER_TOKENS | INVITATIONS, CLIENT_TOKENS] {
            out.push([&[how, 9][..], &request].concat());
        }
    }
    out.push([&[0, 0][..], &9u32.to_le_bytes(), br#"{"cmd":5}"#].concat());
    out.push([&[0, 0][..], &(1u32 << 20).to_le_bytes(), b"{"].concat());
    out
}
