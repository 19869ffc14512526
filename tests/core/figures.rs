//! The numbers: what passes is counted once on each side, and what waits is as old as it is.

use std::time::Duration;

use aioconnectors::core::figures::{Figures, PeerFigures};
use aioconnectors::core::traffic::{Count, TYPES_MAX};
use aioconnectors::core::{Covered, Id, KeepAlive, Output};
use aioconnectors::wire::admin::encode_request;
use aioconnectors::wire::control::KEEP_ALIVE_ID;
use aioconnectors::wire::receipts::{Hello, Level};
use aioconnectors::wire::topics::Pattern;
use serde_json::{Map, Value};

use crate::pair::Pair;
use crate::rig::{Rig, SERVER, any_to, message, ping_answer, typed_from};

fn figures(rig: &Rig) -> Figures {
    rig.core.figures(rig.now)
}

fn peer(rig: &Rig, name: &str) -> PeerFigures {
    figures(rig).peers.into_iter().find(|peer| peer.name == name).expect("the peer is known")
}

/// Messages of a type from and to a peer: sent, received, queued.
fn of_type(rig: &Rig, name: &str, message_type: &str) -> (u64, u64, u64) {
    let types = figures(rig).types;
    let row = types.iter().find(|row| row.peer == name && row.message_type == message_type).expect("the row is there");
    (row.sent.messages, row.received.messages, row.queued.messages)
}

fn to_client(rig: &mut Rig, app: Id, count: usize, data: &[u8]) {
    (0..count).for_each(|_| _ = rig.input(app, &any_to("c1", data)));
}

#[test]
fn what_one_side_has_sent_the_other_has_received() {
    let mut pair = Pair::new();
    let app = pair.server.app();
    to_client(&mut pair.server, app, 5, &[7; 100]);
    assert_eq!(of_type(&pair.server, "c1", "any"), (0, 0, 5));
    pair.run();
    pair.pass(Duration::from_secs(2));
    assert_eq!(of_type(&pair.server, "c1", "any"), (5, 0, 0));
    assert_eq!(of_type(&pair.client, SERVER, "any"), (0, 5, 0));
    let (sent, received) = (peer(&pair.server, "c1").sent, peer(&pair.client, SERVER).received);
    assert_eq!((sent.messages, received.messages), (5, 5));
    assert!(received.bytes > 500 && (received.bytes..=received.bytes + 5 * 7).contains(&sent.bytes), "{sent:?}");
    let inbox = figures(&pair.client).inboxes.into_iter().find(|inbox| inbox.message_type == "any").unwrap();
    assert_eq!((inbox.delivered.messages, inbox.queued), (5, Count::default()));
    assert!((received.bytes..=received.bytes + 5 * 7).contains(&inbox.delivered.bytes));
}

#[test]
fn the_same_holds_on_a_link_of_the_first_kind() {
    let mut pair = Pair::with(|settings| settings.link2 = false);
    let app = pair.server.app();
    to_client(&mut pair.server, app, 5, b"x");
    pair.run();
    pair.pass(Duration::from_secs(2));
    assert_eq!((peer(&pair.server, "c1").link_kind, of_type(&pair.server, "c1", "any")), (Some(1), (5, 0, 0)));
    assert_eq!(of_type(&pair.client, SERVER, "any"), (0, 5, 0));
}

#[test]
fn what_goes_twice_because_the_link_was_cut_counts_once() {
    let mut pair = Pair::new();
    let app = pair.server.app();
    // Too long for runs, which arrive as a whole.
    to_client(&mut pair.server, app, 20, &[7; 1000]);
    // Some of it arrives, but nobody says so.
    let part = pair.server.sent_up_to(pair.ends.1, 7500);
    pair.client.input(pair.ends.0, &part);
    let there = of_type(&pair.client, SERVER, "any").1;
    assert!((1..20).contains(&there), "{there}");
    pair.reconnect();
    pair.run();
    pair.pass(Duration::from_secs(2));
    assert_eq!(of_type(&pair.server, "c1", "any"), (20, 0, 0));
    assert_eq!(of_type(&pair.client, SERVER, "any"), (0, 20, 0));
    assert_eq!((peer(&pair.server, "c1").reconnects, peer(&pair.client, SERVER).reconnects), (1, 1));
}

#[test]
fn what_comes_and_is_dropped_is_in_the_ledger_and_not_received() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    for message_type in ["any", "unknown", "any", "unknown", "other"] {
        rig.input(link, &typed_from(message_type, "c1", b"x"));
    }
    let figures = figures(&rig);
    assert_eq!((of_type(&rig, "c1", "any").1, of_type(&rig, "c1", "other").1), (2, 1));
    assert_eq!(figures.ledger.iter().map(|(_, count)| count).sum::<u64>(), 2);
    assert!(figures.types.iter().all(|row| row.message_type != "unknown"));
}

#[test]
fn messages_that_nobody_took_are_not_delivered() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    rig.input(link, &typed_from("any", "c1", b"x"));
    rig.closed(rig.dialled_app().unwrap(), aioconnectors::core::Cause::NoListener);
    let figures = figures(&rig);
    assert_eq!((figures.inboxes[0].delivered.messages, figures.ledger.len()), (0, 1));
}

#[test]
fn what_is_published_is_received_by_the_broker_and_sent_to_its_subscribers() {
    let mut server = Rig::server_with(|settings| settings.pubsub_broker = true);
    server.now += Duration::from_secs(1);
    let client = Rig::client_with(|settings| {
        settings.send_types.insert("_pubsub".to_owned());
        settings.subscribe = vec![Pattern::parse("news").unwrap()];
    });
    let mut pair = Pair::of(client, server);
    pair.run();
    let app = pair.client.app();
    for _ in 0..3 {
        pair.client.input(
            app,
            &message(r#"{"message_type": "_pubsub", "destination_id": "s", "message_type_publish": "news"}"#, b"x"),
        );
        pair.run();
    }
    pair.pass(Duration::from_secs(2));
    assert_eq!(of_type(&pair.client, SERVER, "_pubsub"), (3, 0, 0));
    assert_eq!(of_type(&pair.server, "c1", "_pubsub"), (0, 3, 0));
    assert_eq!(of_type(&pair.server, "c1", "news"), (3, 0, 0));
    assert_eq!(of_type(&pair.client, SERVER, "news"), (0, 3, 0));
    let topics = figures(&pair.server).topics;
    assert_eq!((topics[0].message_type.as_str(), topics[0].subscribers), ("news", 1));
}

#[test]
fn the_oldest_message_is_as_old_as_it_is() {
    let mut pair = Pair::with(|settings| settings.persist_send = Covered::All);
    pair.cut();
    let app = pair.server.app();
    to_client(&mut pair.server, app, 1, b"x");
    pair.server.pass(Duration::from_secs(60));
    to_client(&mut pair.server, app, 1, b"y");
    let waits = peer(&pair.server, "c1");
    assert_eq!((waits.link, waits.queued.messages, waits.oldest), (None, 2, Some(Duration::from_secs(60))));
    assert_eq!(waits.since, Some(Duration::from_secs(60)));
    // After a restart it is not known: as old as this life of the connector.
    let mut pair = pair.crash_server();
    pair.server.pass(Duration::from_secs(5));
    assert_eq!(peer(&pair.server, "c1").queued.messages, 2);
    let oldest = peer(&pair.server, "c1").oldest.unwrap();
    assert!((Duration::from_secs(5)..Duration::from_secs(60)).contains(&oldest), "{oldest:?}");
    assert_eq!(
        figures(&pair.server).stored.bytes,
        figures(&pair.server).stored.limit - figures(&pair.server).stored.room
    );
}

#[test]
fn the_round_trip_is_that_of_the_last_keep_alive() {
    let keep_alive = KeepAlive { period: Duration::from_secs(4), timeout: Duration::from_secs(10), unanswered_max: 3 };
    let mut rig = Rig::client_with(|settings| (settings.link2, settings.keep_alive) = (false, Some(keep_alive)));
    let link = rig.up();
    assert_eq!(peer(&rig, SERVER).round_trip, None);
    rig.pass(Duration::from_secs(4));
    rig.now += Duration::from_millis(30);
    rig.input(link, &ping_answer(KEEP_ALIVE_ID));
    assert_eq!(peer(&rig, SERVER).round_trip, Some(Duration::from_millis(30)));
}

#[test]
fn requests_are_counted_by_their_end() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let app = rig.app();
    for id in 0..3 {
        let header = format!(
            r#"{{"message_type": "any", "destination_id": "c1", "await_response": true, "request_id": {id},
                "await_response_timeout": {}}}"#,
            if id == 1 { 1 } else { 1000 }
        );
        rig.input(app, &message(&header, b"?"));
    }
    rig.input(link, &message(r#"{"message_type": "any", "source_id": "c1", "response_id": 0}"#, b"!"));
    rig.pass(Duration::from_secs(2));
    let figures = figures(&rig);
    let requests = figures.requests;
    assert_eq!((requests.asked, requests.answered, requests.failed, figures.requests_waiting), (3, 1, 1, 1));
    assert_eq!(of_type(&rig, "c1", "any").1, 1, "an answer is a message");
}

#[test]
fn receipts_are_counted_by_what_they_say() {
    let mut rig = Rig::server();
    rig.link("c1");
    let app = rig.app();
    rig.input(app, &Hello { receipts: Level::Accepted, session: None }.encode());
    to_client(&mut rig, app, 3, b"x");
    rig.input(app, &any_to("nobody", b"x"));
    let receipts = figures(&rig).receipts;
    assert_eq!((receipts.accepted, receipts.refused, receipts.delivered), (4, 1, 0));
}

#[test]
fn an_admin_is_shown_all_of_it() {
    let mut rig = Rig::server();
    rig.link("c1");
    let admin = rig.core.accept_admin(rig.now);
    rig.input(admin, &encode_request("show_status", &Map::new()));
    assert!(rig.outputs.contains(&Output::ShowStatus(admin)));
    assert!(rig.events().iter().all(|event| !event.to_string().contains("show_status")), "a look is not told");
    let status = figures(&rig).to_json("1.2.3", None);
    rig.core.status_shown(admin, &status, rig.now);
    let answer = rig.sent(admin);
    let answer: Value = serde_json::from_slice(&answer[4..]).unwrap();
    assert_eq!(
        (&answer["version"], &answer["role"], &answer["state"]),
        (&"1.2.3".into(), &"server".into(), &"running".into())
    );
    assert_eq!((&answer["peers"][0]["name"], &answer["peers"][0]["connected"]), (&"c1".into(), &true.into()));
    assert_eq!(answer["certificate"], Value::Null);
}

#[test]
fn a_client_that_makes_up_types_fills_no_table() {
    let mut rig = Rig::server_with(|settings| settings.recv_types = (0..200).map(|n| n.to_string()).collect());
    let link = rig.link("c1");
    for n in 0..200 {
        rig.input(link, &typed_from(&n.to_string(), "c1", b"x"));
    }
    assert_eq!(figures(&rig).types.len(), TYPES_MAX);
    assert_eq!(peer(&rig, "c1").received.messages, 200);
}
