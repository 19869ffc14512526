//! Publications with files, with brokers and clients of both kinds.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::common::{Frame, RawSender, Setup, wait};
use crate::pair::Kind::{self, Ours, Python};
use crate::pubsub::{Forum, Node};
use crate::python;

/// Bytes of a piece, where files go in pieces.
const PIECE: usize = 2_200_000;

/// A connector that takes files, into the folder `in` in its own.
fn takes_files(setup: Setup) -> Setup {
    let config = json!({"in": {"target_directory": setup.dir.join("in"), "override_existing": false}});
    setup.with("file_recv_config", config).with("max_size_chunk_upload", PIECE)
}

fn contents(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at / 3 + at / 65_537) as u8).collect()
}

/// What lies among the files of publications of our broker.
fn kept(broker: &Node) -> Vec<PathBuf> {
    let folders = fs::read_dir(&broker.setup.dir).expect("the broker's folder").flatten();
    let folders = folders.filter(|entry| entry.file_name().to_string_lossy().starts_with("files_"));
    let published = folders.filter_map(|entry| fs::read_dir(entry.path().join("published")).ok());
    published.flatten().flatten().map(|entry| entry.path()).collect()
}

#[track_caller]
fn wait_is(path: &Path, contents: &[u8]) {
    wait::until(&format!("{} of {} bytes", path.display(), contents.len()), || {
        fs::read(path).is_ok_and(|found| found == contents).then_some(())
    });
}

/// Publishes files of all sizes; each subscriber has each.
#[track_caller]
fn files(broker: Kind, clients: [Kind; 3]) {
    if python::interpreter().is_none() {
        return;
    }
    let forum = Forum::start_with(broker, clients, takes_files);
    let apps = [0, 1].map(|i| forum.subscribers[i].listen("any"));
    forum.wait_known("any", &[&apps[0], &apps[1]]);
    let mut sender = RawSender::connect(&forum.publisher.setup.send_socket());
    for (size, own) in [(0, ""), (1, ""), (1_000_000, "own"), (5_000_000, "own")] {
        let name = format!("file_of_{size}");
        let source = forum.publisher.setup.dir.join(format!("{size}.source"));
        fs::write(&source, contents(size)).expect("a source");
        // A Python broker removes what it has kept when the first subscriber has it, unless it is told not to.
        let delete = broker == Ours;
        let with_file = json!({"src_path": source, "dst_type": "in", "dst_name": name, "delete": delete});
        let message =
            Frame::new(json!({"message_type": "any", "with_file": with_file}), "\"data\"").with("tag", name.as_str());
        let message = if own.is_empty() { message } else { message.with_binary(own) };
        sender.send(&forum.publication(&message)).expect("a connector that takes it");
        for (subscriber, app) in forum.subscribers.iter().zip(&apps) {
            wait_is(&subscriber.setup.dir.join("in").join(&name), &contents(size));
            let is_it = |frame: &Frame| frame.tag() == name;
            let came = wait::until("its message", || app.frames().into_iter().find(is_it));
            assert_eq!((came.data.as_slice(), came.binary.unwrap_or_default()), (&b"\"data\""[..], own.into()));
        }
        if delete {
            wait::until("a source that is removed", || (!source.exists()).then_some(()));
        }
    }
    if broker == Ours {
        wait::until("a broker that keeps nothing", || kept(&forum.broker).is_empty().then_some(()));
    }
}

#[test]
fn of_python_publishers_come_to_subscribers_of_both_kinds_of_our_broker() {
    files(Ours, [Ours, Python, Python]);
}

#[test]
fn of_our_publishers_come_to_subscribers_of_both_kinds_of_our_broker() {
    files(Ours, [Python, Ours, Ours]);
}

#[test]
fn of_our_publishers_come_to_subscribers_of_both_kinds_of_a_python_broker() {
    files(Python, [Python, Ours, Ours]);
}
