//! Messages to apps that are slow, absent or many.

use std::thread;

use crate::common::traffic::{Account, END, messages};
use crate::common::{Frame, RawReceiver, RawSender, wait};
use crate::link::{Link, Witness};

#[test]
fn thousands_of_messages_each_way_at_once_arrive_once_in_order_unaltered() {
    let link = Link::start();
    let up = messages("any", &link.client.id, &link.server.id, 20_000);
    let down = messages("any", &link.server.id, &link.client.id, 20_000);
    let at_server = RawReceiver::listen(link.server.receive_socket("any"));
    let at_client = RawReceiver::listen(link.client.receive_socket("any"));
    thread::scope(|scope| {
        scope.spawn(|| RawSender::connect(&link.client.send_socket()).send_all(&up));
        scope.spawn(|| RawSender::connect(&link.server.send_socket()).send_all(&down));
        at_server.wait_tag(END);
        at_client.wait_tag(END);
    });
    Account::of(&up, &at_server.frames()).assert_exact("client to server");
    Account::of(&down, &at_client.frames()).assert_exact("server to client");
}

#[test]
fn a_slow_app_gets_everything_over_one_connection() {
    let link = Link::start();
    let receiver = RawReceiver::listen_paused(link.server.receive_socket("slow"));
    // More than all buffers on the way are likely to hold: the sender has to wait.
    let mut sent: Vec<_> = (0..30_000).map(|i| link.up("slow", vec![b'x'; 2_000]).with("tag", i.to_string())).collect();
    sent.push(link.up("slow", "").with("tag", END));
    thread::scope(|scope| {
        scope.spawn(|| RawSender::connect(&link.client.send_socket()).send_all(&sent));
        receiver.wait_connections(1);
        // Stop and go.
        for count in [1, 500, 5_000] {
            receiver.resume();
            receiver.wait_count(count);
            receiver.pause();
        }
        receiver.resume();
        receiver.wait_tag(END);
    });
    Account::of(&sent, &receiver.frames()).assert_exact("to a slow app");
    assert_eq!(receiver.connections(), 1);
}

#[test]
fn messages_to_an_absent_app_are_reported_as_dropped_and_others_pass() {
    let link = Link::start();
    let mut witness = Witness::start(&link);
    RawSender::connect(&link.client.send_socket()).send_all(&vec![link.up("any", "to nobody"); 50]);
    let reported = || link.server_process.complaints().iter().filter_map(|line| dropped(line)).sum::<u64>();
    wait::until("a report of 50 dropped messages", || (reported() >= 50).then_some(()));
    witness.speak();
    assert_eq!(reported(), 50);
    let lines = link.server_process.complaints().len();
    assert!(lines <= 5, "{lines} lines about 50 messages");
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    RawSender::connect(&link.client.send_socket()).send_all([&link.up("any", "to somebody")]);
    receiver.wait_count(1);
    witness.assert_unharmed();
}

#[test]
fn an_app_that_leaves_and_comes_back_is_found_again() {
    let link = Link::start();
    let mut app = RawSender::connect(&link.client.send_socket());
    for _ in 0..3 {
        let receiver = RawReceiver::listen(link.server.receive_socket("any"));
        app.send_all([&link.up("any", "hello")]);
        receiver.wait_count(1);
    }
}

#[test]
fn messages_to_a_peer_that_is_not_there_are_reported_as_dropped_and_others_pass() {
    let link = Link::start();
    let receiver = RawReceiver::listen(link.client.receive_socket("any"));
    let mut app = RawSender::connect(&link.server.send_socket());
    app.send_all([&link.down("any", "to nobody").with("destination_id", "nobody"), &link.down("any", "to you")]);
    receiver.wait_count(1);
    assert_eq!(receiver.frames()[0].data, b"to you");
    link.server_process.wait_error(&["nobody"]);
}

#[test]
fn source_and_destination_are_the_connectors_whatever_the_app_wrote() {
    let link = Link::start();
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    let mut app = RawSender::connect(&link.client.send_socket());
    let bare = Frame::new(serde_json::json!({"message_type": "any"}), "");
    app.send_all([&link.up("any", "").with("source_id", "somebody").with("destination_id", "elsewhere"), &bare]);
    receiver.wait_count(2);
    for frame in receiver.frames() {
        assert_eq!(frame.field("source_id"), link.client.id.as_str());
        assert_eq!(frame.field("destination_id"), link.server.id.as_str());
    }
}

#[test]
fn a_type_that_the_receiving_config_does_not_take_is_not_delivered() {
    let link = Link::start_with(|setup| match setup.role {
        crate::common::Role::Server => setup.with("recv_message_types", vec!["any", "quick"]),
        crate::common::Role::Client => setup,
    });
    let unwanted = RawReceiver::listen(link.server.receive_socket("slow"));
    let wanted = RawReceiver::listen(link.server.receive_socket("any"));
    RawSender::connect(&link.client.send_socket()).send_all([&link.up("slow", "no"), &link.up("any", "yes")]);
    wanted.wait_count(1);
    assert_eq!((unwanted.count(), unwanted.connections()), (0, 0));
}

#[test]
fn an_empty_binary_part_stays_one() {
    let link = Link::start();
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    let sent = vec![link.up("any", "").with("tag", "empty").with_binary([])];
    RawSender::connect(&link.client.send_socket()).send_all(&sent);
    receiver.wait_count(1);
    Account::of(&sent, &receiver.frames()).assert_exact("an empty binary part");
}

#[test]
fn a_message_of_many_megabytes_passes() {
    let link = Link::start_with(|setup| setup.with("max_message_size", 100_000_000));
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    let body: Vec<u8> = (0..=u8::MAX).cycle().take(20_000_000).collect();
    let sent: Vec<_> =
        (0..3).map(|i| link.up("any", body.clone()).with("tag", i.to_string()).with_binary("end")).collect();
    RawSender::connect(&link.client.send_socket()).send_all(&sent);
    receiver.wait_count(3);
    Account::of(&sent, &receiver.frames()).assert_exact("three messages of 20 MB");
}

#[test]
fn apps_that_open_a_connection_for_each_message_are_served() {
    let link = Link::start_with(|setup| setup.with("uds_path_send_preserve_socket", false));
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    for i in 0..200 {
        let mut app = RawSender::connect(&link.client.send_socket());
        app.send_all([&link.up("any", "").with("tag", i.to_string())]);
    }
    receiver.wait_count(200);
    let mut tags: Vec<u32> = receiver.frames().iter().map(|frame| frame.tag().parse().expect("a number")).collect();
    tags.sort_unstable();
    assert_eq!(tags, (0..200).collect::<Vec<_>>());
}

#[test]
fn an_app_that_wants_a_connection_for_each_message_gets_them_in_order() {
    let link = Link::start_with(|setup| setup.with("uds_path_receive_preserve_socket", false));
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    let sent = messages("any", &link.client.id, &link.server.id, 100);
    RawSender::connect(&link.client.send_socket()).send_all(&sent);
    receiver.wait_count(sent.len());
    Account::of(&sent, &receiver.frames()).assert_exact("a connection each");
    assert_eq!(receiver.connections(), sent.len());
}

#[test]
fn many_apps_at_once_each_keep_their_order() {
    let link = Link::start();
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    let (apps, each) = (20, 200);
    thread::scope(|scope| {
        for app in 0..apps {
            let link = &link;
            scope.spawn(move || {
                let mut sender = RawSender::connect(&link.client.send_socket());
                (0..each).for_each(|i| sender.send_all([&link.up("any", "").with("tag", format!("{app}-{i}"))]));
            });
        }
        receiver.wait_count(apps * each);
    });
    let frames = receiver.frames();
    for app in 0..apps {
        let of_app = |tag: &String| tag.starts_with(&format!("{app}-"));
        let came: Vec<_> = frames.iter().map(Frame::tag).filter(of_app).collect();
        assert_eq!(came, (0..each).map(|i| format!("{app}-{i}")).collect::<Vec<_>>());
    }
}

/// The count in a line such as "… 3 messages dropped: …".
fn dropped(line: &str) -> Option<u64> {
    line.split_once(" message")?.0.rsplit(' ').next()?.parse().ok()
}
