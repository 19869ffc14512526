//! Queues in files: what is in them after a crash, and what happens when they cannot be had.

use std::time::{Duration, Instant};

use aioconnectors::core::{Cause, Covered, Event, Id, OnFull, Reading, RingName, Settings, Sync};
use aioconnectors::wire::link::LinkControl;
use aioconnectors::wire::receipts::{FromReceiver, Hello, Level};
use aioconnectors::wire::record::append_record;

use crate::disk::Disks;
use crate::file_system::FileSystem;
use crate::link2::{Said, data, lane, records, up};
use crate::pair::{Pair, told};
use crate::rig::{Rig, SERVER, any_to, frames, message, typed_from};

fn stores_to_send(settings: &mut Settings) {
    settings.persist_send = Covered::All;
}

fn stores_both(settings: &mut Settings) {
    settings.persist_send = Covered::All;
    settings.persist_recv = Covered::All;
}

fn other_to(destination: &str, data: &[u8]) -> Vec<u8> {
    message(&format!(r#"{{"message_type": "other", "destination_id": "{destination}"}}"#), data)
}

fn read(rig: &mut Rig) -> Vec<u8> {
    rig.read_apps().into_iter().flat_map(|(_, data)| data).collect()
}

fn sent(rig: &mut Rig, link: Id) -> Vec<u8> {
    frames(&rig.sent(link)).into_iter().flat_map(|(_, data)| data).collect()
}

fn of_any(peer: &str) -> RingName {
    RingName::Outbox { peer: peer.to_owned(), message_type: "any".to_owned() }
}

#[test]
fn what_is_stored_while_the_peer_is_away_comes_when_it_is_there_also_after_a_crash() {
    for crashes in [false, true] {
        let mut rig = Rig::server_with(stores_to_send);
        let app = rig.app();
        for n in 0..5 {
            rig.input(app, &any_to("c1", &[n]));
        }
        let mut rig = if crashes { rig.crash() } else { rig };
        let link = rig.link("c1");
        assert_eq!((sent(&mut rig, link), rig.ledger()), (vec![0, 1, 2, 3, 4], vec![]));
    }
}

#[test]
fn what_was_stored_and_not_saved_before_a_crash_is_there_after_it() {
    let mut rig = Rig::server_with(stores_to_send);
    let app = rig.app();
    rig.input(app, &any_to("c1", &[0]));
    // The shell has read a second message, and dies before the turn is over.
    rig.core.input(app, &any_to("c1", &[1]), rig.now);
    let mut rig = rig.crash();
    let link = rig.link("c1");
    assert_eq!(sent(&mut rig, link), [0, 1]);
}

#[test]
fn what_was_confirmed_before_a_crash_does_not_come_again() {
    let mut rig = Rig::server_with(stores_to_send);
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &any_to("c1", &[0]));
    rig.sent(link);
    rig.input(app, &any_to("c1", &[1]));
    let mut rig = rig.crash();
    let link = rig.link("c1");
    assert_eq!(sent(&mut rig, link), [1]);
}

#[test]
fn types_that_are_not_to_be_stored_are_refused_while_the_peer_is_away() {
    let mut rig = Rig::server_with(|s| s.persist_send = Covered::Types(["other".to_owned()].into()));
    let app = rig.app();
    rig.input(app, &[any_to("c1", b"1"), other_to("c1", b"2")].concat());
    rig.link("c1");
    assert_eq!(rig.ledger(), ["c1 any unknown_peer 1"]);
}

#[test]
fn nothing_is_stored_for_who_can_be_no_peer() {
    let mut rig = Rig::server_with(stores_to_send);
    let app = rig.app();
    rig.input(app, &[any_to("../c1", b"1"), any_to("", b"2"), any_to("default3", b"3")].concat());
    assert_eq!(rig.core.ledger().total(), 3);
    assert!(rig.disks.names().is_empty());
}

#[test]
fn a_file_without_messages_is_removed_when_its_peer_is_away() {
    let mut rig = Rig::server_with(stores_to_send);
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &any_to("c1", &[0]));
    rig.sent(link);
    assert_eq!(rig.disks.names(), [of_any("c1")]);
    rig.closed(link, Cause::ClosedByPeer);
    assert_eq!(rig.disks.names(), []);
    rig.input(app, &any_to("c1", &[1]));
    let link = rig.link("c1");
    assert_eq!(sent(&mut rig, link), [1]);
}

#[test]
fn a_request_that_is_stored_while_the_peer_is_away_is_answered_when_it_is_there() {
    let mut rig = Rig::server_with(stores_to_send);
    let asker = rig.app();
    let ask = r#"{"message_type": "any", "destination_id": "c1", "await_response": true, "request_id": 3}"#;
    rig.input(asker, &message(ask, b"?"));
    let link = rig.link("c1");
    assert_eq!(sent(&mut rig, link), b"?");
    rig.input(link, &message(r#"{"message_type": "any", "source_id": "c1", "response_id": 3}"#, b"!"));
    assert_eq!(sent(&mut rig, asker), b"!");
}

#[test]
fn order_holds_over_types_stored_or_not_and_over_a_crash() {
    let mut rig = Rig::server_with(|s| s.persist_send = Covered::Types(["other".to_owned()].into()));
    let (link, app) = (rig.link("c1"), rig.app());
    for n in 0..6 {
        rig.input(app, &if n % 2 == 0 { any_to("c1", &[n]) } else { other_to("c1", &[n]) });
    }
    assert_eq!(sent(&mut rig, link), [0, 1, 2, 3, 4, 5]);
    let mut rig = Rig::server_with(stores_to_send);
    let app = rig.app();
    for n in 0..6 {
        rig.input(app, &if n % 2 == 0 { any_to("c1", &[n]) } else { other_to("c1", &[n]) });
    }
    let mut rig = rig.crash();
    let app = rig.app();
    for n in 6..9 {
        rig.input(app, &if n % 2 == 0 { any_to("c1", &[n]) } else { other_to("c1", &[n]) });
    }
    let link = rig.link("c1");
    assert_eq!(sent(&mut rig, link), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn a_file_that_cannot_be_opened_is_told_once_and_tried_again_after_a_second() {
    let mut rig = Rig::server_with(stores_to_send);
    rig.disks.cannot_open(Some("no space left"));
    let app = rig.app();
    for _ in 0..3 {
        rig.input(app, &any_to("c1", b"1"));
    }
    assert!(rig.is_resumed(app));
    assert_eq!(rig.ledger(), ["c1 any store_failed 3"]);
    assert_eq!(rig.disks.asked.borrow().len(), 1);
    assert_eq!(rig.events().iter().filter(|e| matches!(e, Event::StoreFailed { .. })).count(), 1);
    rig.disks.cannot_open(None);
    rig.pass(Duration::from_millis(1100));
    rig.input(app, &any_to("c1", b"2"));
    let link = rig.link("c1");
    assert_eq!(sent(&mut rig, link), b"2");
}

#[test]
fn a_file_that_cannot_grow_refuses_and_keeps_what_it_has() {
    let mut rig = Rig::server_with(stores_to_send);
    let app = rig.app();
    rig.input(app, &any_to("c1", b"1"));
    rig.disks.cannot_grow(Some("no space left"));
    rig.input(app, &any_to("c1", &[7; 100_000]));
    assert_eq!(rig.ledger(), ["c1 any store_failed 1"]);
    rig.disks.cannot_grow(None);
    rig.pass(Duration::from_millis(1100));
    rig.input(app, &any_to("c1", b"2"));
    let link = rig.link("c1");
    assert_eq!(sent(&mut rig, link), b"12");
}

#[test]
fn who_is_to_wait_waits_for_a_disk_as_well() {
    let mut rig = Rig::server_with(|s| {
        stores_to_send(s);
        s.on_full.insert("any".into(), OnFull::Block);
    });
    let app = rig.app();
    rig.input(app, &any_to("c1", b"1"));
    rig.outputs.clear();
    rig.disks.cannot_grow(Some("no space left"));
    assert_eq!(rig.input(app, &any_to("c1", &[7; 100_000])), Reading::Paused);
    rig.pass(Duration::from_secs(5));
    assert!(!rig.is_resumed(app));
    rig.disks.cannot_grow(None);
    rig.pass(Duration::from_millis(1100));
    assert!(rig.is_resumed(app) && rig.ledger().is_empty(), "{:?}", rig.ledger());
}

/// A server whose queue of the type `any` holds two messages of 1000 bytes, and what is done when it is full.
fn small(on_full: Option<OnFull>) -> Rig {
    Rig::server_with(|s| {
        stores_to_send(s);
        s.max_ring_bytes = 3000;
        s.on_full.extend(on_full.map(|on_full| ("any".to_owned(), on_full)));
    })
}

fn kept(rig: &mut Rig) -> Vec<u8> {
    let link = rig.link("c1");
    let all = [rig.sent(link), rig.sent(link)].concat();
    frames(&all).iter().map(|(_, data)| data[0]).collect()
}

#[test]
fn a_full_file_of_a_peer_that_is_away_refuses_what_comes() {
    for on_full in [None, Some(OnFull::Reject)] {
        let mut rig = small(on_full);
        let app = rig.app();
        for n in 0..4 {
            rig.input(app, &any_to("c1", &[n; 1000]));
        }
        assert_eq!(rig.ledger(), ["c1 any queue_full 2"]);
        assert_eq!(kept(&mut rig), [0, 1]);
    }
}

#[test]
fn a_full_file_holds_its_app_up_where_it_shall() {
    let mut rig = small(Some(OnFull::Block));
    let app = rig.app();
    rig.input(app, &[any_to("c1", &[0; 1000]), any_to("c1", &[1; 1000])].concat());
    rig.outputs.clear();
    assert_eq!(rig.input(app, &any_to("c1", &[2; 1000])), Reading::Paused);
    assert_eq!(kept(&mut rig), [0, 1, 2], "it goes on when there is room");
    assert!(rig.is_resumed(app) && rig.ledger().is_empty());
}

#[test]
fn a_full_file_gives_up_its_oldest_where_it_shall() {
    let mut rig = small(Some(OnFull::DropOldest));
    let app = rig.app();
    for n in 0..4 {
        rig.input(app, &any_to("c1", &[n; 1000]));
    }
    assert_eq!(rig.ledger(), ["c1 any queue_full 2"]);
    let mut rig = rig.crash();
    assert_eq!(kept(&mut rig), [2, 3]);
}

#[test]
fn damage_is_told_and_counted_and_the_rest_goes_on() {
    let mut rig = Rig::server_with(stores_to_send);
    let app = rig.app();
    for text in ["first", "second", "third"] {
        rig.input(app, &any_to("c1", text.as_bytes()));
    }
    let Rig { core, disks, .. } = rig;
    drop(core);
    disks.damage(&of_any("c1"), b"second");
    let mut rig = Rig::server_with(stores_to_send).restart_on(disks);
    let link = rig.link("c1");
    assert_eq!(sent(&mut rig, link), b"firstthird");
    assert!(told(&rig, |e| matches!(e, Event::RingDamaged { records: 1, kept: Ok(_), .. })));
    assert_eq!(rig.ledger(), ["c1 any damaged 1"]);
}

#[test]
fn what_is_stored_for_an_app_is_there_after_a_crash_and_was_taken_over() {
    let mut rig = Rig::server_with(stores_both);
    let link = up(&mut rig, 1 << 20, &[]);
    rig.input(link, &[lane(0, "any", 7), data(5, "any", b"1"), data(6, "any", b"2")].concat());
    // No app has read it, but it is stored.
    assert_eq!(records(&rig.sent(link)), [Said::Link(LinkControl::Taken(vec![(0, 7)]))]);
    let mut rig = rig.crash();
    let link = up(&mut rig, 1 << 20, &[]);
    rig.input(link, &[lane(0, "any", 7), data(6, "any", b"2"), data(7, "any", b"3")].concat());
    assert_eq!(read(&mut rig), b"123");
}

#[test]
fn a_crash_between_storing_and_saving_neither_loses_nor_repeats() {
    for saved in [false, true] {
        let mut rig = Rig::server_with(stores_both);
        let link = up(&mut rig, 1 << 20, &[]);
        if saved {
            rig.input(link, &lane(0, "any", 7));
        } else {
            rig.core.input(link, &lane(0, "any", 7), rig.now);
        }
        rig.core.input(link, &[data(5, "any", b"1"), data(6, "any", b"2")].concat(), rig.now);
        let mut rig = rig.crash();
        let link = up(&mut rig, 1 << 20, &[]);
        // The sender heard of nothing, and sends all again.
        rig.input(
            link,
            &[lane(0, "any", 7), data(5, "any", b"1"), data(6, "any", b"2"), data(7, "any", b"3")].concat(),
        );
        assert_eq!(read(&mut rig), b"123", "the lane was saved: {saved}");
    }
}

#[test]
fn an_inbox_whose_file_cannot_be_opened_takes_nothing_until_it_can() {
    let disks = Disks::default();
    disks.cannot_open(Some("no space left"));
    let mut settings = crate::rig::settings(aioconnectors::wire::names::Role::Server);
    stores_both(&mut settings);
    let mut rig = Rig::on(settings, disks, FileSystem::default(), Instant::now());
    let link = up(&mut rig, 1 << 20, &[]);
    rig.input(link, &[lane(0, "any", 7), data(5, "any", b"1")].concat());
    assert_eq!(records(&rig.sent(link)), [Said::Link(LinkControl::Stop { lane: 0, next: 0 })]);
    let older = rig.link("c2");
    rig.input(older, &typed_from("any", "c2", b"x"));
    assert_eq!(rig.ledger(), ["c2 any store_failed 1"]);
    rig.disks.cannot_open(None);
    rig.pass(Duration::from_millis(1100));
    assert_eq!(records(&rig.sent(link)), [Said::Link(LinkControl::Go { lane: 0 })]);
    rig.input(link, &[lane(0, "any", 7), data(5, "any", b"1")].concat());
    assert_eq!(read(&mut rig), b"1");
}

#[test]
fn with_sync_always_nothing_is_taken_over_before_it_lies_on_the_disk() {
    let mut rig = Rig::server_with(|s| {
        stores_both(s);
        s.sync = Sync::Always;
    });
    let (link, app) = (up(&mut rig, 1 << 20, &[]), rig.app());
    rig.input(app, &Hello { receipts: Level::Stored, session: None }.encode());
    rig.input(app, &any_to("c1", b"1"));
    rig.sent(app);
    rig.disks.cannot_sync(Some("input/output error"));
    rig.input(link, &[lane(0, "any", 7), data(5, "any", b"1")].concat());
    rig.input(app, &any_to("c1", b"2"));
    let early = records(&rig.sent(link));
    assert!(!early.iter().any(|s| matches!(s, Said::Link(LinkControl::Taken(_)))), "{early:?}");
    assert_eq!(rig.sent(app), b"");
    rig.disks.cannot_sync(None);
    rig.drain();
    assert!(records(&rig.sent(link)).contains(&Said::Link(LinkControl::Taken(vec![(0, 6)]))));
    assert_eq!(frames(&rig.sent(app))[0].0["count"], 2);
}

#[test]
fn word_that_has_waited_says_no_more_than_was_kept() {
    let mut rig = Rig::server_with(|s| {
        stores_both(s);
        s.sync = Sync::Always;
    });
    let link = up(&mut rig, 1 << 20, &[]);
    let mut stream = lane(0, "any", 7);
    let request = r#"{"message_type": "any", "source_id": "c1", "await_response": true, "request_id": 1}"#;
    append_record(&mut stream, 1, 0, &[&message(request, b"?")]);
    rig.input(link, &stream);
    rig.disks.cannot_sync(Some("input/output error"));
    // The last one goes nowhere, so it is done with at once.
    rig.input(link, &[data(2, "any", b"2"), data(3, "nobody's", b"3")].concat());
    rig.pass(Duration::from_millis(10));
    let told = |rig: &mut Rig| -> Vec<Said> {
        let said = records(&rig.sent(link));
        said.into_iter().filter(|s| matches!(s, Said::Link(LinkControl::Taken(_)))).collect()
    };
    assert_eq!(told(&mut rig), [Said::Link(LinkControl::Taken(vec![(0, 2)]))]);
    rig.disks.cannot_sync(None);
    rig.pass(Duration::from_secs(3));
    assert_eq!(told(&mut rig), [Said::Link(LinkControl::Taken(vec![(0, 4)]))]);
}

#[test]
fn two_that_store_all_lose_nothing_and_repeat_nothing_whoever_crashes_and_wherever_the_line_is_cut() {
    for cut in (0..1500).step_by(13) {
        let mut pair = Pair::with(stores_both);
        let (ours, theirs) = (pair.client.app(), pair.server.app());
        for n in 0..3 {
            pair.client.input(ours, &any_to(SERVER, &[n]));
            pair.server.input(theirs, &any_to("c1", &[n]));
        }
        pair.left = cut;
        pair.pump();
        let mut pair = if cut % 2 == 0 { pair.crash_server() } else { pair.crash_client() };
        pair.left = 600 + cut;
        pair.pump();
        let mut pair = pair.crash_server();
        pair.run();
        pair.pass(Duration::from_secs(2));
        assert_eq!((pair.client_read(), pair.server_read()), (vec![0, 1, 2], vec![0, 1, 2]), "cut at {cut}");
    }
}

#[test]
fn an_app_that_acknowledges_gets_what_it_had_not_acknowledged_after_a_crash_and_knows_where_it_is() {
    let mut rig = Rig::server_with(stores_both);
    let link = up(&mut rig, 1 << 20, &[]);
    rig.input(link, &lane(0, "any", 7));
    for n in 0..4 {
        rig.input(link, &data(u64::from(n), "any", &[n]));
    }
    let app = rig.open_app();
    rig.input(app, &FromReceiver::Acknowledges { resume: true }.encode());
    let first = frames(&rig.sent(app));
    assert_eq!((&first[0].0["message_type"], &first[0].0["count"]), (&"_welcome".into(), &0.into()));
    rig.input(app, &FromReceiver::Done(2).encode());
    let mut rig = rig.crash();
    let app = rig.open_app();
    rig.input(app, &FromReceiver::Acknowledges { resume: true }.encode());
    let again = frames(&rig.sent(app));
    assert_eq!((&again[0].0["inbox"], &again[0].0["count"]), (&first[0].0["inbox"], &2.into()));
    assert_eq!(again[1..].iter().map(|(_, data)| data[0]).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn a_sender_that_was_restored_from_a_backup_loses_nothing_and_repeats_nothing() {
    let mut pair = Pair::with(stores_both);
    let app = pair.client.app();
    pair.client.input(app, &any_to(SERVER, &[0]));
    // A file is as it was when it was last let go of.
    let mut pair = pair.crash_client();
    let backup = pair.client.disks.backup();
    let app = pair.client.app();
    pair.run();
    for n in 1..4 {
        pair.client.input(app, &any_to(SERVER, &[n]));
        pair.run();
    }
    pair.cut();
    let Pair { client, server, read, .. } = pair;
    let mut pair = Pair::of(client.restart_on(backup), server);
    pair.read = read;
    let app = pair.client.app();
    pair.client.input(app, &any_to(SERVER, &[9]));
    pair.run();
    assert_eq!(pair.server_read(), [0, 1, 2, 3, 9]);
}

#[test]
fn the_queues_of_a_peer_in_memory_share_one_limit() {
    for (on_full, dropped) in [(OnFull::Reject, "c1 other queue_full 1"), (OnFull::DropOldest, "c1 other queue_full 2")]
    {
        let mut rig = Rig::server_with(|s| {
            s.queue_max_bytes = 64 * 1024;
            s.on_full = ["any", "other"].map(|t| (t.to_owned(), on_full)).into();
        });
        let (link, app) = (rig.link("c1"), rig.app());
        rig.input(app, &any_to("c1", &[1; 30_000]));
        rig.input(app, &other_to("c1", &[2; 10_000]));
        rig.input(app, &other_to("c1", &[3; 10_000]));
        assert_eq!(rig.ledger(), Vec::<String>::new());
        rig.input(app, &other_to("c1", &[4; 30_000]));
        assert_eq!(rig.ledger(), [dropped], "{on_full:?}");
        let came: Vec<u8> = frames(&rig.sent(link)).iter().map(|(_, data)| data[0]).collect();
        let expected: &[u8] = if on_full == OnFull::Reject { &[1, 2, 3] } else { &[1, 4] };
        assert_eq!(came, expected);
    }
}

#[test]
fn an_app_that_waits_for_the_room_that_another_type_has_goes_on_when_that_is_taken_over() {
    for on_full in [Some(OnFull::Block), None] {
        let mut rig = Rig::server_with(|s| {
            s.queue_max_bytes = 64 * 1024;
            s.on_full = on_full.into_iter().flat_map(|f| ["any", "other"].map(|t| (t.to_owned(), f))).collect();
        });
        let (link, apps) = (rig.link("c1"), [rig.app(), rig.app()]);
        rig.input(apps[0], &any_to("c1", &[1; 60_000]));
        // Nothing of its own type waits.
        assert_eq!(rig.input(apps[1], &other_to("c1", &[2; 30_000])), Reading::Paused);
        rig.sent(link);
        assert!(rig.is_resumed(apps[1]));
        assert_eq!(sent(&mut rig, link).len(), 30_000);
        assert_eq!(rig.ledger(), [""; 0]);
    }
}

#[test]
fn what_is_in_a_file_that_could_not_be_opened_at_the_start_goes_out_when_it_can() {
    let mut rig = Rig::server_with(stores_to_send);
    let app = rig.app();
    rig.input(app, &any_to("c1", b"1"));
    rig.disks.cannot_open(Some("input/output error"));
    let mut rig = rig.crash();
    let link = rig.link("c1");
    assert_eq!(sent(&mut rig, link), b"");
    rig.disks.cannot_open(None);
    rig.pass(Duration::from_millis(1100));
    assert_eq!(sent(&mut rig, link), b"1");
}

#[test]
fn with_an_interval_a_clean_end_keeps_what_was_confirmed_last() {
    let mut rig = Rig::server_with(|s| {
        stores_to_send(s);
        s.sync = Sync::Interval(Duration::from_secs(60));
    });
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &any_to("c1", b"1"));
    assert_eq!(sent(&mut rig, link), b"1");
    rig.stop();
    rig.pass(Duration::from_secs(10));
    let mut rig = rig.crash();
    let link = rig.link("c1");
    assert_eq!(sent(&mut rig, link), b"");
}
