//! Links of the second kind: how they come up, what goes over them, and how they go on after a cut.

use std::time::Duration;

use aioconnectors::core::{Cause, Event, Id, Mode, Output, Reading, Secured};
use aioconnectors::wire::control::{self, CloseReason, HANDSHAKE_NO_SSL, HANDSHAKE_SSL, HELLO, own_frame};
use aioconnectors::wire::frame::Frame;
use aioconnectors::wire::header::Header;
use aioconnectors::wire::link::{LinkControl, LinkHello, PlaceSaid, greeting};
use aioconnectors::wire::record::{CONTROL, Head, SWITCH, append_record, read_record};

use crate::pair::{Pair, told};
use crate::rig::{Rig, SERVER, any_to, frames, message, ping_answer, typed_from};

/// What goes over a link of the second kind.
#[derive(Debug, PartialEq)]
pub enum Said {
    Link(LinkControl),
    Own(String),
    Switch(u32),
    /// A message: its number, its data.
    Data(u64, Vec<u8>),
}

/// The records in `bytes`.
pub fn records(mut bytes: &[u8]) -> Vec<Said> {
    let mut out = Vec::new();
    while let Some(head) = Head::at(bytes, 0) {
        let (one, rest) = bytes.split_at(head.size());
        let (view, body) = read_record(one).unwrap();
        out.push(match view.flags {
            SWITCH => Said::Switch(u32::from_le_bytes(body.try_into().unwrap())),
            flags => {
                let frame = Frame::parse(body).unwrap();
                let header = Header::parse(frame.header()).unwrap();
                match LinkControl::parse(&header, frame.data()).unwrap() {
                    _ if flags & CONTROL == 0 => Said::Data(view.sequence, frame.data().to_vec()),
                    Some(said) => Said::Link(said),
                    None => Said::Own(header.message_type.into_owned()),
                }
            }
        });
        bytes = rest;
    }
    out
}

/// One control record.
pub fn control_record(frame: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    append_record(&mut out, 0, CONTROL, &[frame]);
    out
}

pub fn said(said: &LinkControl) -> Vec<u8> {
    control_record(&said.encode("c1"))
}

/// A lane that is opened and switched to.
pub fn lane(lane: u32, message_type: &str, epoch: u64) -> Vec<u8> {
    let mut out = said(&LinkControl::Lane { lane, message_type: message_type.into(), epoch, released: 0 });
    append_record(&mut out, 0, SWITCH, &[&lane.to_le_bytes()]);
    out
}

/// A message of the client, with this number.
pub fn data(sequence: u64, message_type: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    append_record(&mut out, sequence, 0, &[&typed_from(message_type, "c1", data)]);
    out
}

/// The first frame of the peer.
pub fn hello(window: u64, places: &[PlaceSaid]) -> Vec<u8> {
    LinkHello { window, places: places.to_vec(), features: vec![] }.encode("c1")
}

/// A link of the second kind with a client that the test plays; what the server said first is read.
pub fn up(rig: &mut Rig, window: u64, places: &[PlaceSaid]) -> Id {
    let link = rig.accept_link();
    rig.secured(link, Secured::Anonymous);
    rig.input(link, &greeting(HANDSHAKE_NO_SSL, "c1"));
    rig.sent(link);
    rig.input(link, &hello(window, places));
    link
}

pub fn place(message_type: &str, epoch: u64, received: u64, taken: u64) -> PlaceSaid {
    PlaceSaid { message_type: message_type.into(), epoch, received, taken }
}

/// The first number of the first life in tests.
pub const FIRST: u64 = 1_800_000_000_000_000;

fn is_up(rig: &Rig) -> bool {
    told(rig, |e| matches!(e, Event::PeerUp { .. }))
}

#[test]
fn without_tls_a_server_answers_the_greeting_with_its_own_and_the_link_is_up_when_both_were_said() {
    let mut rig = Rig::server();
    let link = rig.accept_link();
    rig.secured(link, Secured::Anonymous);
    rig.input(link, &greeting(HANDSHAKE_NO_SSL, "c1"));
    assert!(!is_up(&rig));
    let answer = frames(&rig.sent(link));
    assert_eq!((answer.len(), &answer[0].0["message_type"], &answer[0].0["link"]), (1, &"_link".into(), &2.into()));
    // The client asks for a sign of life before it knows that there is a link 2: that is no message.
    rig.input(link, &control::ping("c1", SERVER, control::LINK_CHECK_ID));
    assert!(!is_up(&rig));
    rig.input(link, &hello(1000, &[]));
    assert!(is_up(&rig));
    assert_eq!(rig.sent(link), b"");
}

#[test]
fn a_client_without_tls_takes_up_link_2_when_the_server_says_so() {
    let mut rig = Rig::client_with(|_| {});
    let link = rig.open_dialled(Secured::Anonymous);
    rig.sent(link);
    rig.input(link, &LinkHello { window: 1000, places: vec![], features: vec![] }.encode(SERVER));
    assert!(is_up(&rig));
    assert_eq!(frames(&rig.sent(link))[0].0["message_type"], "_link");
    let app = rig.app();
    rig.input(app, &any_to(SERVER, b"x"));
    assert!(matches!(
        &records(&rig.sent(link))[..],
        [Said::Link(LinkControl::Lane { .. }), Said::Switch(0), Said::Data(..)]
    ));
}

#[test]
fn a_server_that_only_answers_the_question_is_on_a_link_of_the_first_kind() {
    let mut rig = Rig::client_with(|_| {});
    let link = rig.open_dialled(Secured::Anonymous);
    rig.sent(link);
    rig.input(link, &ping_answer(control::LINK_CHECK_ID));
    let app = rig.app();
    rig.input(app, &any_to(SERVER, b"x"));
    assert_eq!(frames(&rig.sent(link))[0].1, b"x");
}

#[test]
fn a_client_that_does_not_offer_it_or_a_server_that_does_not_want_it_is_on_a_link_of_the_first_kind() {
    for (wanted, first) in [(true, own_frame(HANDSHAKE_NO_SSL, "c1", HELLO)), (false, greeting(HANDSHAKE_NO_SSL, "c1"))]
    {
        let mut rig = Rig::server_with(|s| s.link2 = wanted);
        let link = rig.accept_link();
        rig.secured(link, Secured::Anonymous);
        rig.input(link, &first);
        assert!(is_up(&rig));
        let app = rig.app();
        rig.input(app, &any_to("c1", b"x"));
        assert_eq!(frames(&rig.sent(link))[0].1, b"x");
    }
}

#[test]
fn a_client_that_does_not_want_it_does_not_offer_it() {
    let mut rig = Rig::client_with(|s| s.link2 = false);
    let link = rig.open_dialled(Secured::Anonymous);
    assert_eq!(frames(&rig.sent(link))[0].0.get("link"), None);
}

#[test]
fn with_tls_both_say_at_once_where_they_stand() {
    for (mode, secured) in [(Mode::Certificates, Secured::Named("c1".into())), (Mode::AllowAll, Secured::Anonymous)] {
        let mut client = Rig::client_with(|s| s.mode = mode);
        let mut server = Rig::server_with(|s| s.mode = mode);
        let ours = client.dialled().unwrap();
        client.core.opened(ours, Some(([10, 0, 0, 1], 1).into()), client.now);
        client.secured_for_link2(ours, secured.clone());
        let theirs = server.accept_link();
        server.secured_for_link2(theirs, secured);
        let said = client.sent(ours);
        let types: Vec<_> = frames(&said).iter().map(|f| f.0["message_type"].clone()).collect();
        let greeted = if mode == Mode::AllowAll { vec![HANDSHAKE_SSL, "_link"] } else { vec!["_link"] };
        assert_eq!(types, greeted);
        for byte in said {
            server.input(theirs, &[byte]);
        }
        client.input(ours, &server.sent(theirs));
        assert!(is_up(&client) && is_up(&server));
        assert_eq!((client.sent(ours), server.sent(theirs)), (vec![], vec![]));
    }
}

#[test]
fn with_tls_that_has_not_found_it_there_is_no_talk_of_it() {
    let mut rig = Rig::server_with(|s| s.mode = Mode::Certificates);
    let link = rig.accept_link();
    rig.secured(link, Secured::Named("c1".into()));
    assert!(is_up(&rig));
    assert_eq!(rig.sent(link), b"");
}

#[test]
fn a_client_that_never_says_where_it_stands_is_left_after_ten_seconds() {
    let mut rig = Rig::server();
    let link = rig.accept_link();
    rig.secured(link, Secured::Anonymous);
    rig.input(link, &greeting(HANDSHAKE_NO_SSL, "c1"));
    rig.pass(Duration::from_secs(11));
    assert!(rig.is_closed(link) && !is_up(&rig));
}

#[test]
fn a_lane_is_opened_once_and_named_when_another_sent_before() {
    let mut rig = Rig::server();
    let link = up(&mut rig, 1 << 20, &[]);
    let app = rig.app();
    let other = message(r#"{"message_type": "other", "destination_id": "c1"}"#, b"3");
    rig.input(app, &[any_to("c1", b"1"), any_to("c1", b"2"), other].concat());
    let opened = |lane, of_type: &str| {
        Said::Link(LinkControl::Lane { lane, message_type: of_type.into(), epoch: 1, released: 0 })
    };
    let data = |number, data: &[u8]| Said::Data(FIRST + number, data.to_vec());
    let first = [opened(0, "any"), Said::Switch(0), data(0, b"1"), data(1, b"2")];
    let second = [opened(1, "other"), Said::Switch(1), data(2, b"3")];
    assert_eq!(records(&rig.sent(link)), first.into_iter().chain(second).collect::<Vec<_>>());
    rig.input(app, &any_to("c1", b"4"));
    assert_eq!(records(&rig.sent(link)), [Said::Switch(0), data(3, b"4")]);
    rig.input(app, &any_to("c1", b"5"));
    assert_eq!(records(&rig.sent(link)), [data(4, b"5")]);
}

#[test]
fn what_the_app_has_is_taken_over_and_what_it_has_not_is_not() {
    let mut rig = Rig::server();
    let link = up(&mut rig, 1 << 20, &[]);
    rig.input(link, &[lane(0, "any", 7), data(5, "any", b"a"), data(9, "any", b"b")].concat());
    assert_eq!(rig.sent(link), b"", "it lies in memory here");
    assert_eq!(rig.read_apps().len(), 2, "numbers need not follow each other");
    rig.pass(Duration::from_secs(2));
    assert_eq!(records(&rig.sent(link)), [Said::Link(LinkControl::Taken(vec![(0, 10)]))]);
}

#[test]
fn what_was_here_already_is_dropped() {
    let mut rig = Rig::server();
    let link = up(&mut rig, 1 << 20, &[]);
    rig.input(link, &[lane(0, "any", 7), data(5, "any", b"a"), data(5, "any", b"a"), data(4, "any", b"x")].concat());
    rig.input(link, &[lane(0, "any", 7), data(5, "any", b"a"), data(6, "any", b"b")].concat());
    let read: Vec<_> = rig.read_apps().into_iter().map(|(_, data)| data).collect();
    assert_eq!(read, [b"a", b"b"]);
}

#[test]
fn a_place_is_remembered_when_the_client_comes_again() {
    let mut rig = Rig::server();
    let link = up(&mut rig, 1 << 20, &[]);
    rig.input(link, &[lane(0, "any", 7), data(5, "any", b"a")].concat());
    rig.closed(link, Cause::ClosedByPeer);
    let link = rig.accept_link();
    rig.secured(link, Secured::Anonymous);
    rig.input(link, &greeting(HANDSHAKE_NO_SSL, "c1"));
    let out = rig.sent(link);
    let frame = Frame::parse(&out).unwrap();
    let header = Header::parse(frame.header()).unwrap();
    assert_eq!(LinkHello::parse(&header, frame.data()).unwrap().places, [place("any", 7, 6, 0)]);
}

#[test]
fn another_epoch_begins_anew() {
    let mut rig = Rig::server();
    let link = up(&mut rig, 1 << 20, &[]);
    rig.input(link, &[lane(0, "any", 7), data(5, "any", b"a"), lane(0, "any", 8), data(5, "any", b"b")].concat());
    assert_eq!(rig.read_apps().len(), 2);
    rig.pass(Duration::from_secs(2));
    assert_eq!(records(&rig.sent(link)), [Said::Link(LinkControl::Taken(vec![(0, 6)]))]);
    assert!(!told(&rig, |e| matches!(e, Event::SetBack { .. } | Event::PeerSetBack { .. })));
}

/// A server with messages for a client that wants so many bytes on their way, and the numbers of those that went out.
fn numbers(out: &[u8]) -> Vec<u64> {
    records(out).into_iter().filter_map(|s| if let Said::Data(n, _) = s { Some(n - FIRST) } else { None }).collect()
}

#[test]
fn no_more_than_the_window_is_on_its_way() {
    let mut rig = Rig::server();
    let link = up(&mut rig, 2500, &[]);
    let app = rig.app();
    for _ in 0..10 {
        rig.input(app, &any_to("c1", &[1; 900]));
    }
    // The window is for whole records: the one that passes its edge goes out.
    assert_eq!(numbers(&rig.sent(link)), [0, 1, 2]);
    assert_eq!(rig.sent(link), b"");
    rig.input(link, &said(&LinkControl::Taken(vec![(0, FIRST + 1)])));
    assert_eq!(numbers(&rig.sent(link)), [3]);
    rig.input(link, &said(&LinkControl::Taken(vec![(0, FIRST + 4)])));
    assert_eq!(numbers(&rig.sent(link)), [4, 5, 6]);
}

#[test]
fn a_message_larger_than_the_window_goes_alone() {
    let mut rig = Rig::server();
    let link = up(&mut rig, 100, &[]);
    let app = rig.app();
    rig.input(app, &[any_to("c1", &[1; 5000]), any_to("c1", &[2; 5000])].concat());
    assert_eq!(numbers(&rig.sent(link)), [0]);
    rig.input(link, &said(&LinkControl::Taken(vec![(0, FIRST + 1)])));
    assert_eq!(numbers(&rig.sent(link)), [1]);
}

#[test]
fn large_messages_come_whole_whatever_the_pieces() {
    for piece in [1, 7, 1000, 70_000] {
        let mut pair = Pair::new();
        let app = pair.client.app();
        pair.client.input(app, &[any_to(SERVER, &[1; 200_000]), any_to(SERVER, &[2; 10])].concat());
        while pair.read.1.len() < 2 {
            let bytes = pair.client.sent_up_to(pair.ends.0, piece * 100);
            for part in bytes.chunks(piece) {
                pair.server.input(pair.ends.1, part);
            }
            pair.read();
        }
        assert_eq!((pair.read.1[0].1.len(), &pair.read.1[1].1[..]), (200_000, &[2; 10][..]));
    }
}

#[test]
fn an_app_that_is_slow_does_not_hold_up_another_type() {
    let mut rig = Rig::server_with(|s| s.queue_max_bytes = 10_000);
    let link = up(&mut rig, 1 << 20, &[]);
    rig.input(link, &lane(0, "any", 7));
    for n in 0..30 {
        assert_eq!(rig.input(link, &data(n, "any", &[1; 1000])), Reading::Open);
    }
    rig.input(link, &[lane(1, "other", 8), data(1, "other", b"x")].concat());
    let said = records(&rig.sent(link));
    assert!(matches!(said[..], [Said::Link(LinkControl::Stop { lane: 0, next: 8..=12 })]), "{said:?}");
    let app = rig.open_app();
    assert_eq!(frames(&rig.sent(app))[0].1, b"x");
}

#[test]
fn a_lane_without_room_is_stopped_and_goes_on_when_there_is() {
    let mut rig = Rig::server_with(|s| s.queue_max_bytes = 5000);
    let link = up(&mut rig, 1 << 20, &[]);
    rig.input(link, &lane(0, "any", 7));
    for n in 0..10 {
        rig.input(link, &data(n, "any", &[n as u8; 1000]));
    }
    let [Said::Link(LinkControl::Stop { lane: 0, next })] = records(&rig.sent(link))[..] else { panic!() };
    rig.read_apps();
    rig.pass(Duration::from_secs(2));
    let said = records(&rig.sent(link));
    assert!(said.contains(&Said::Link(LinkControl::Go { lane: 0 })), "{said:?}");
    // What comes before the lane is opened again was on its way meanwhile: it will come once more.
    rig.input(link, &data(10, "any", b"too early"));
    rig.input(link, &lane(0, "any", 7));
    for n in next..next + 3 {
        rig.input(link, &data(n, "any", b"again"));
    }
    let read = rig.read_apps();
    assert_eq!(read.iter().map(|(_, data)| &data[..]).collect::<Vec<_>>(), [b"again"; 3]);
}

#[test]
fn who_is_stopped_goes_back_and_says_the_lane_again() {
    let mut rig = Rig::server();
    let link = up(&mut rig, 1 << 20, &[]);
    let app = rig.app();
    for _ in 0..5 {
        rig.input(app, &any_to("c1", b"x"));
    }
    assert_eq!(numbers(&rig.sent(link)), [0, 1, 2, 3, 4]);
    rig.input(link, &said(&LinkControl::Stop { lane: 0, next: FIRST + 2 }));
    assert_eq!(rig.sent(link), b"");
    rig.input(link, &said(&LinkControl::Go { lane: 0 }));
    let out = rig.sent(link);
    assert!(matches!(records(&out)[..2], [Said::Link(LinkControl::Lane { lane: 0, .. }), Said::Switch(0)]));
    assert_eq!(numbers(&out), [2, 3, 4]);
}

#[test]
fn who_is_stopped_in_the_middle_of_a_record_ends_it_first() {
    let mut rig = Rig::server();
    let link = up(&mut rig, 1 << 20, &[]);
    let app = rig.app();
    for _ in 0..3 {
        rig.input(app, &any_to("c1", &[1; 1000]));
    }
    let mut out = rig.sent_up_to(link, 1800);
    rig.input(link, &said(&LinkControl::Stop { lane: 0, next: FIRST }));
    out.extend(rig.sent(link));
    assert_eq!(numbers(&out), [0, 1]);
    rig.input(link, &said(&LinkControl::Go { lane: 0 }));
    assert_eq!(numbers(&rig.sent(link)), [0, 1, 2]);
}

#[test]
fn a_stopped_lane_does_not_hold_up_another() {
    let mut rig = Rig::server();
    let link = up(&mut rig, 1 << 20, &[]);
    let app = rig.app();
    rig.input(app, &any_to("c1", b"1"));
    rig.sent(link);
    rig.input(link, &said(&LinkControl::Stop { lane: 0, next: FIRST }));
    rig.input(app, &message(r#"{"message_type": "other", "destination_id": "c1"}"#, b"2"));
    assert_eq!(numbers(&rig.sent(link)), [1]);
}

#[test]
fn control_goes_ahead_of_data_behind_the_record_that_was_begun() {
    let mut rig = Rig::server();
    let link = up(&mut rig, 1 << 20, &[]);
    let app = rig.app();
    for _ in 0..3 {
        rig.input(app, &any_to("c1", &[1; 1000]));
    }
    let mut out = rig.sent_up_to(link, 500);
    let ask = r#"{"message_type": "_ping", "source_id": "c1", "request_id": 1, "await_response": true}"#;
    rig.input(link, &control_record(&message(ask, b"p")));
    out.extend(rig.sent(link));
    let kinds = records(&out);
    assert!(matches!(kinds[2..4], [Said::Data(FIRST, _), Said::Own(_)]), "{kinds:?}");
    assert_eq!(kinds.len(), 6);
}

#[test]
fn a_message_that_asks_for_an_acknowledgement_gets_none_of_its_own_and_arrives_without_its_number() {
    let mut pair = Pair::new();
    let app = pair.client.app();
    pair.client.input(app, &message(r#"{"message_type": "any", "wait_for_ack": true}"#, b"x"));
    pair.pump();
    let receiver = pair.server.open_app();
    let got = frames(&pair.server.sent(receiver));
    assert_eq!((got[0].0.get("transport_id"), &got[0].1[..]), (None, &b"x"[..]));
    pair.pass(Duration::from_secs(2));
    pair.client.stop();
    pair.run();
    assert!(pair.client.is_closed(pair.ends.0), "it was taken over");
}

#[test]
fn requests_are_answered_over_it() {
    let mut pair = Pair::new();
    let (asker, server_app) = (pair.client.app(), pair.server.app());
    pair.client.input(asker, &message(r#"{"message_type": "any", "await_response": true, "request_id": 5}"#, b"?"));
    pair.pump();
    let answer = r#"{"message_type": "any", "destination_id": "c1", "response_id": 5}"#;
    pair.server.input(server_app, &message(answer, b"!"));
    pair.pump();
    assert_eq!(frames(&pair.client.sent(asker))[0].1, b"!");
}

#[test]
fn it_stops_when_the_other_side_has_taken_over_what_was_sent() {
    let mut pair = Pair::new();
    let app = pair.client.app();
    pair.client.input(app, &any_to(SERVER, b"x"));
    pair.pump();
    pair.client.stop();
    pair.pump();
    assert!(!pair.client.outputs.contains(&Output::Stopped));
    pair.read();
    pair.pass(Duration::from_secs(2));
    assert!(pair.client.outputs.contains(&Output::Stopped));
    assert_eq!((pair.client.ledger(), pair.server_read()), (vec![], b"x".to_vec()));
    assert!(told(&pair.client, |e| matches!(e, Event::PeerDown { cause: Cause::Stopping, .. })));
    pair.server.closed(pair.ends.1, Cause::ClosedByPeer);
    let announced = Cause::Announced(CloseReason::Stopping);
    assert!(told(&pair.server, |e| matches!(e, Event::PeerDown { cause, .. } if *cause == announced)));
}

#[test]
fn a_window_that_is_full_of_what_the_peer_had_before_a_cut_opens_again() {
    let mut rig = Rig::server();
    let link = up(&mut rig, 100, &[]);
    let app = rig.app();
    rig.input(app, &[any_to("c1", &[1; 200]), any_to("c1", &[2; 200])].concat());
    let sent = records(&rig.sent(link));
    let Said::Link(LinkControl::Lane { epoch, .. }) = &sent[0] else { panic!("the lane is opened first: {sent:?}") };
    assert!(matches!(&sent[2..], [Said::Data(FIRST, _)]), "one is all that the window lets through: {sent:?}");
    rig.closed(link, Cause::ClosedByPeer);
    let link = up(&mut rig, 100, &[place("any", *epoch, FIRST + 1, 0)]);
    let sent = records(&rig.sent(link));
    assert!(matches!(&sent[..], [Said::Link(LinkControl::Lane { lane: 0, .. })]), "{sent:?}");
    rig.input(link, &said(&LinkControl::Taken(vec![(0, FIRST + 1)])));
    let sent = records(&rig.sent(link));
    assert!(matches!(sent.last(), Some(Said::Data(number, _)) if *number == FIRST + 1), "{sent:?}");
}

#[test]
fn an_answer_does_not_take_over_what_came_before_it_and_still_waits() {
    let mut rig = Rig::server();
    let link = up(&mut rig, 1000, &[]);
    let app = rig.app();
    let question = r#"{"message_type": "any", "destination_id": "c1", "await_response": true, "request_id": "r"}"#;
    rig.input(app, &message(question, b""));
    rig.sent(link);
    let answer = message(r#"{"message_type": "any", "source_id": "c1", "response_id": "r"}"#, b"yes");
    let mut stream = [lane(0, "any", 7), data(1, "any", b"x")].concat();
    append_record(&mut stream, 2, 0, &[&answer]);
    rig.input(link, &stream);
    assert_eq!(frames(&rig.sent(app))[0].1, b"yes");
    assert_eq!(records(&rig.sent(link)), []);
    let receiver = rig.open_app();
    assert_eq!(frames(&rig.sent(receiver))[0].1, b"x");
    rig.pass(Duration::from_millis(1100));
    assert_eq!(records(&rig.sent(link)), [Said::Link(LinkControl::Taken(vec![(0, 3)]))]);
}
