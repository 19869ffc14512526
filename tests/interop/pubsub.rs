//! Publish and subscribe, with a broker and a subscriber of either kind.

use std::time::Duration;

use serde_json::json;

use crate::common::apps::{RawReceiver, RawSender};
use crate::common::{Frame, Setup, wait};
use crate::pair::Kind::{self, Ours, Python};
use crate::pair::Mode::{self, AllowAll, Plain};
use crate::pair::Pair;
use crate::python;

const COUNT: usize = 300;

fn publication(message_type: &str, from: &Setup, tag: String) -> Frame {
    let header = json!({"message_type": "_pubsub", "source_id": from.id, "message_type_publish": message_type});
    Frame::new(header, format!("data {tag} \u{e9}")).with("tag", tag).with("request_id", 7).with_binary([0, 1, 255])
}

/// A client subscribes, and publishes by itself: it gets what it has published, once and in order.
fn published_comes_back(server_kind: Kind, client_kind: Kind, mode: Mode) {
    if python::interpreter().is_none() {
        return;
    }
    let broker = |server: Setup| server.with("pubsub_central_broker", true);
    let subscriber = |client: Setup| {
        client.with("subscribe_message_types", json!(["news"])).with("recv_message_types", json!(["any", "news"]))
    };
    let pair = Pair::start_both(server_kind, client_kind, mode, broker, subscriber);
    let news = RawReceiver::listen(pair.client.receive_socket("news"));
    let mut app = RawSender::connect(&pair.client.send_socket());
    // A broker of the package is ready some time after its link is up.
    wait::until("a first publication", || {
        app.send(&publication("news", &pair.client, "probe".to_owned())).expect("the connector takes it");
        std::thread::sleep(Duration::from_millis(100));
        (news.count() > 0).then_some(())
    });
    for n in 0..COUNT {
        app.send(&publication("unwanted", &pair.client, n.to_string())).expect("the connector takes it");
        app.send(&publication("news", &pair.client, n.to_string())).expect("the connector takes it");
    }
    assert!(news.wait_tag(&(COUNT - 1).to_string()), "the last one comes");
    let got: Vec<Frame> = news.take().into_iter().filter(|frame| frame.tag() != "probe").collect();
    let tags: Vec<String> = got.iter().map(Frame::tag).collect();
    assert_eq!(tags, (0..COUNT).map(|n| n.to_string()).collect::<Vec<_>>(), "each once, in order");
    for frame in &got {
        assert_eq!(frame.field("message_type"), "news", "{frame:?}");
        assert_eq!(frame.field("source_id"), pair.server.id.as_str(), "{frame:?}");
        assert_eq!(frame.field("request_id"), 7, "{frame:?}");
        assert_eq!(frame.field("message_type_publish"), json!(null), "{frame:?}");
        assert_eq!(frame.data, format!("data {} \u{e9}", frame.tag()).into_bytes(), "{frame:?}");
        assert_eq!(frame.binary.as_deref(), Some(&[0, 1, 255][..]), "{frame:?}");
    }
}

#[test]
fn our_broker_with_a_python_client() {
    published_comes_back(Ours, Python, Plain);
}

#[test]
fn our_broker_with_a_python_client_over_tls() {
    published_comes_back(Ours, Python, AllowAll(Ours));
}

#[test]
fn a_python_broker_with_our_client() {
    published_comes_back(Python, Ours, Plain);
}

#[test]
fn our_broker_with_our_client() {
    published_comes_back(Ours, Ours, Plain);
}
