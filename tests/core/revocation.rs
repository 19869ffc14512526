//! Certificates that an admin takes back.

use std::time::Duration;

use aioconnectors::core::{Cause, Event, Mode, Output, Secured};
use aioconnectors::wire::admin::{encode_answer, encode_request};
use aioconnectors::wire::link::LinkHello;
use serde_json::{Map, Value, json};

use crate::rig::Rig;

fn request(command: &str, arguments: Value) -> Vec<u8> {
    let Value::Object(arguments) = arguments else { panic!("an object") };
    encode_request(command, &arguments)
}

const DONE: &str = r#"{"status":true,"msg":""}"#;

#[test]
fn all_links_of_the_client_end_at_once_and_those_of_others_go_on() {
    let mut rig = Rig::server_with(|s| s.mode = Mode::Certificates);
    let named = |rig: &mut Rig, name: &str| {
        let link = rig.accept_link();
        rig.core.secured(link, Secured::Named(name.into()), true, rig.now);
        link
    };
    let (up, half, other) = (named(&mut rig, "c1"), named(&mut rig, "c1"), named(&mut rig, "c2"));
    rig.input(up, &LinkHello { window: 1000, places: vec![], features: vec![] }.encode("c1"));
    let admin = rig.core.accept_admin(rig.now);
    let arguments = json!({"client_id": "c1", "remove_only_symlink": true});
    rig.input(admin, &request("delete_client_certificate_on_server", arguments));
    assert!(rig.outputs.contains(&Output::DeleteCertificate(admin, "c1".into(), true)));
    rig.core.certificate_deleted(admin, "c1", &Ok(()), rig.now);
    assert_eq!(rig.sent(admin), encode_answer(DONE));
    assert!(rig.is_closed(up) && rig.is_closed(half) && !rig.is_closed(other));
    assert!(rig.events().contains(&&Event::PeerDown { peer: "c1".into(), cause: Cause::Revoked }));
}

#[test]
fn a_client_without_its_certificate_comes_again_at_once_unless_it_is_told_not_to() {
    for restart in [true, false] {
        let mut rig = Rig::client_with(|s| s.mode = Mode::Certificates);
        let link = rig.open_dialled(Secured::Named("c1".into()));
        let admin = rig.core.accept_admin(rig.now);
        rig.input(admin, &request("delete_client_certificate_on_client", json!({"restart_client": restart})));
        assert!(rig.outputs.contains(&Output::DeleteOwnCertificate(admin, restart)));
        rig.core.own_certificate_deleted(admin, restart, &Ok(()), rig.now);
        assert_eq!(rig.sent(admin), encode_answer(DONE));
        rig.pass(Duration::from_millis(1));
        assert_eq!(rig.is_closed(link), restart);
        assert_eq!(rig.dialled() != Some(link), restart);
    }
}

#[test]
fn what_could_not_be_deleted_is_said() {
    let mut rig = Rig::client_with(|s| s.mode = Mode::Certificates);
    let link = rig.open_dialled(Secured::Named("c1".into()));
    let admin = rig.core.accept_admin(rig.now);
    rig.input(admin, &encode_request("delete_client_certificate_on_client", &Map::new()));
    rig.core.own_certificate_deleted(admin, true, &Err("no".into()), rig.now);
    assert_eq!(rig.sent(admin), encode_answer(r#"{"status":false,"msg":"no"}"#));
    assert!(!rig.is_closed(link));
}
