//! Links that are up: who is on them, whether they are alive, how they end.

use std::time::Duration;

use aioconnectors::core::{Cause, Concern, Event, KeepAlive, Secured};
use aioconnectors::wire::control::{CloseReason, close};

use crate::rig::{Rig, SERVER, any_to, frames, message, ping_answer, typed_from};

#[test]
fn the_newer_of_two_connections_of_a_name_wins_and_the_older_is_told() {
    let mut rig = Rig::server();
    let (older, app) = (rig.link("c1"), rig.app());
    let newer = rig.link("c1");
    assert_eq!(rig.sent(older), close(SERVER, CloseReason::Replaced));
    assert!(rig.is_closed(older) && !rig.is_closed(newer));
    rig.input(app, &any_to("c1", b"x"));
    assert_eq!(frames(&rig.sent(newer)).len(), 1);
    assert!(matches!(rig.events().last(), Some(Event::PeerUp { .. })), "{:?}", rig.events());
}

#[test]
fn a_link_that_is_replaced_in_the_middle_of_a_frame_gives_no_other_frame() {
    let mut rig = Rig::server();
    let (older, app) = (rig.link("c1"), rig.app());
    rig.input(app, &any_to("c1", &[1; 1000]));
    rig.sent_up_to(older, 100);
    let newer = rig.link("c1");
    assert_eq!(rig.sent(older), b"");
    assert!(rig.is_closed(older));
    assert_eq!(frames(&rig.sent(newer))[0].1, [1; 1000], "the newer one gets it whole");
}

#[test]
fn a_client_that_was_replaced_stays_away_for_a_minute_then_for_longer() {
    let mut rig = Rig::client_with(|_| {});
    let mut waits = Vec::new();
    for _ in 0..5 {
        let link = rig.up();
        // Long enough to count as well: another machine of the same name comes in turn.
        rig.pass(Duration::from_secs(40));
        rig.input(link, &close(SERVER, CloseReason::Replaced));
        rig.closed(link, Cause::ClosedByPeer);
        let after = rig.events().iter().rev().find_map(|e| match e {
            Event::DialAgain { after, .. } => Some(*after),
            _ => None,
        });
        waits.push(after.unwrap());
        rig.pass(after.unwrap());
    }
    assert!(waits[0] >= Duration::from_secs(30), "{waits:?}");
    assert!(waits[4] >= Duration::from_secs(480), "{waits:?}");
}

#[test]
fn an_announced_end_is_told_once_with_its_reason() {
    for (reason, concern) in [(CloseReason::Stopping, Concern::Routine), (CloseReason::Replaced, Concern::Look)] {
        let mut rig = Rig::server();
        let link = rig.link("c1");
        rig.input(link, &close("c1", reason));
        rig.closed(link, Cause::ClosedByPeer);
        let told: Vec<&Event> = rig.events().into_iter().filter(|e| !matches!(e, Event::PeerUp { .. })).collect();
        assert_eq!(told, [&Event::PeerDown { peer: "c1".to_owned(), cause: Cause::Announced(reason) }]);
        assert_eq!(told[0].concern(), concern);
    }
}

#[test]
fn who_says_that_he_is_another_is_not_believed() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    rig.input(link, &typed_from("any", "c2", b""));
    assert_eq!(rig.ledger(), ["c1 any wrong_source 1"]);
    assert!(!rig.is_closed(link));
    rig.input(link, &message(r#"{"message_type": "any"}"#, b""));
    assert!(rig.is_closed(link));
}

#[test]
fn a_server_that_leaves_two_keep_alives_in_a_row_unanswered_is_gone() {
    let mut rig = Rig::client_with(|s| {
        let (period, timeout) = (Duration::from_secs(10), Duration::from_secs(5));
        s.keep_alive = Some(KeepAlive { period, timeout, unanswered_max: 2 });
    });
    let link = rig.up();
    for round in 0..5 {
        rig.pass(Duration::from_secs(10));
        let asked = frames(&rig.sent(link));
        assert_eq!(asked[0].0["request_id"], "keep_alive_client_check");
        if round % 2 == 1 {
            rig.input(link, &ping_answer("keep_alive_client_check"));
        }
    }
    assert!(!rig.is_closed(link), "one unanswered at a time is forgiven");
    for _ in 0..2 {
        rig.pass(Duration::from_secs(10));
        rig.sent(link);
    }
    assert!(rig.is_closed(link));
    assert!(rig.events().iter().any(|e| matches!(e, Event::PeerDown { cause: Cause::KeepAlive(2), .. })));
}

#[test]
fn a_peer_that_takes_nothing_for_send_timeout_is_gone_and_its_messages_wait() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &any_to("c1", &[5; 5000]));
    rig.sent_up_to(link, 10);
    rig.pass(Duration::from_secs(49));
    rig.sent_up_to(link, 10);
    rig.pass(Duration::from_secs(50));
    assert!(!rig.is_closed(link), "it took something meanwhile");
    rig.pass(Duration::from_secs(51));
    assert!(rig.is_closed(link));
    let again = rig.link("c1");
    assert_eq!(frames(&rig.sent(again))[0].1, [5; 5000]);
}

#[test]
fn an_answer_waits_behind_the_frame_that_was_begun_and_goes_before_all_others() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &[any_to("c1", b"1"), any_to("c1", b"2")].concat());
    let mut out = rig.sent_up_to(link, 10);
    rig.input(
        link,
        &message(r#"{"message_type": "_ping", "source_id": "c1", "request_id": 1, "await_response": true}"#, b"p"),
    );
    out.extend(rig.sent(link));
    let data: Vec<Vec<u8>> = frames(&out).into_iter().map(|(_, data)| data).collect();
    assert_eq!(data, [b"1", b"p", b"2"]);
}

#[test]
fn what_a_server_sends_first_may_be_as_long_as_any_message() {
    let mut rig = Rig::client_with(|_| {});
    let link = rig.open_dialled(Secured::Anonymous);
    rig.input(link, &typed_from("any", SERVER, &vec![0; 100_000]));
    assert!(!rig.is_closed(link));
    assert!(rig.events().iter().any(|e| matches!(e, Event::PeerUp { .. })));
}
