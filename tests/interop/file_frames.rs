//! Files that messages bring, from connectors of either kind to those of the other.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::common::{Frame, RawReceiver, RawSender, Setup, wait};
use crate::pair::Kind::{self, Ours, Python};
use crate::pair::Mode::{self, Certificates, Plain};
use crate::pair::Pair;
use crate::python;

/// Bytes of a piece, where files go in pieces: so 25 MB are 12 of them.
const PIECE: usize = 2_200_000;

/// Where a connector puts the files that it gets, in its folder; and the same where files that are there give way.
const TARGETS: [(&str, bool); 2] = [("in", false), ("over", true)];

/// A connector that takes files, and sends larger ones in pieces.
fn takes_files(setup: Setup) -> Setup {
    let target = |(name, overrides): (&str, bool)| {
        let folder = setup.dir.join(name).join("{source_id}");
        let owner = format!("{}:{}", user(), user());
        let config = json!({"target_directory": folder, "owner": owner, "override_existing": overrides});
        (name.to_owned(), config)
    };
    let config: serde_json::Map<String, Value> = TARGETS.into_iter().map(target).collect();
    setup.with("file_recv_config", config).with("max_size_chunk_upload", PIECE)
}

/// Who runs the tests.
fn user() -> String {
    let name = std::process::Command::new("id").arg("-un").output().expect("the tool id");
    String::from_utf8_lossy(&name.stdout).trim().to_owned()
}

fn contents(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at / 3 + at / 65_537) as u8).collect()
}

/// Files on their way from one connector to the other.
struct Way<'a> {
    pair: &'a Pair,
    from: &'a Setup,
    to: &'a Setup,
    receiver: RawReceiver,
}

impl<'a> Way<'a> {
    fn new(pair: &'a Pair, from: &'a Setup, to: &'a Setup) -> Self {
        Self { pair, from, to, receiver: RawReceiver::listen(to.receive_socket("any")) }
    }

    /// Puts a file there to be sent.
    fn source(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = PathBuf::from(self.pair.file(&format!("{}.source", name.replace('/', "_"))));
        fs::write(&path, contents).expect("a source");
        path
    }

    fn target(&self, dst_type: &str, name: &str) -> PathBuf {
        self.to.dir.join(dst_type).join(&self.from.id).join(name)
    }

    fn message(&self, with_file: &Value, own: &[u8]) -> Frame {
        let header = json!({"message_type": "any", "source_id": self.from.id, "destination_id": self.to.id, "with_file": with_file});
        let frame = Frame::new(header, "\"data\"");
        if own.is_empty() { frame } else { frame.with_binary(own) }
    }

    /// Sends a message with an app that speaks frames itself; what the app at the other end gets of it.
    #[track_caller]
    fn send(&self, with_file: &Value, own: &[u8]) -> Frame {
        let before = self.receiver.count();
        RawSender::connect(&self.from.send_socket()).send_all(&[self.message(with_file, own)]);
        self.receiver.wait_count(before + 1);
        self.receiver.frames().swap_remove(before)
    }

    /// A file of so many bytes arrives, and its source goes if that is wanted.
    #[track_caller]
    fn file_arrives(&self, name: &str, size: usize, own: &[u8], delete: Option<bool>) {
        let (source, contents) = (self.source(name, &contents(size)), contents(size));
        let mut with_file = json!({"src_path": source, "dst_type": "in", "dst_name": name});
        if let Some(delete) = delete {
            with_file["delete"] = delete.into();
        }
        let came = self.send(&with_file, own);
        assert_eq!(came.data, b"\"data\"");
        assert_eq!(came.binary.unwrap_or_default(), own, "{name}");
        assert_is(&self.target("in", name), &contents);
        wait_gone(&source, delete != Some(false));
    }
}

#[track_caller]
fn assert_is(path: &Path, contents: &[u8]) {
    let found = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(
        found == contents,
        "{} has {} bytes, not those {} that were sent",
        path.display(),
        found.len(),
        contents.len()
    );
}

/// Waits until a source is removed, if it is to be.
#[track_caller]
fn wait_gone(source: &Path, goes: bool) {
    if goes {
        wait::until("a source that is removed", || (!source.exists()).then_some(()));
    } else {
        assert!(source.exists(), "what is not to be removed stays");
    }
}

/// Files of all sizes and their messages, one way.
#[track_caller]
fn files_one_way(way: &Way<'_>, from: Kind) {
    way.file_arrives("empty", 0, b"", None);
    way.file_arrives("one", 1, b"", Some(false));
    way.file_arrives("some", 1_000_000, b"own", None);
    way.file_arrives("sub/folder/some", 1_000_000, b"", Some(true));
    if from == Ours {
        // A Python connector says nothing of where an empty file would begin.
        way.file_arrives("empty_behind", 0, b"own", None);
    }
    // One that is there is not written over, unless that is allowed.
    let other = way.source("second", b"other");
    way.send(&json!({"src_path": other, "dst_type": "in", "dst_name": "some", "delete": false}), b"own");
    assert_is(&way.target("in", "some"), &contents(1_000_000));
    for contents in [b"other", b"newer"] {
        // A Python connector may still be about to remove the first one.
        let source = way.source(&String::from_utf8_lossy(contents), contents);
        way.send(&json!({"src_path": source, "dst_type": "over", "dst_name": "some"}), b"");
        assert_is(&way.target("over", "some"), contents);
    }
    // A file that is not there has its message say so, which keeps its own binary.
    let gone = way.pair.file("gone");
    let came = way.send(&json!({"src_path": gone, "dst_type": "in", "dst_name": "gone"}), b"own");
    assert!(came.field("with_file")["file_error"].as_str().is_some_and(|error| error.contains("gone")), "{came:?}");
    assert!(!way.target("in", "gone").exists());
    if from == Ours {
        assert_eq!(came.binary.as_deref(), Some(&b"own"[..]));
    }
    assert!(!way.target("in", "../escaped").exists());
}

/// 25 MB from our connector in 12 pieces, which a Python connector joins in the order of their names.
#[track_caller]
fn pieces_of_ours(way: &Way<'_>) {
    let (source, contents) = (way.source("large", &contents(25_000_000)), contents(25_000_000));
    let before = way.receiver.count();
    let with_file = json!({"src_path": source, "dst_type": "in", "dst_name": "large"});
    RawSender::connect(&way.from.send_socket()).send_all(&[way.message(&with_file, b"own")]);
    way.receiver.wait_count(before + 12);
    assert_is(&way.target("in", "large"), &contents);
    wait_gone(&source, true);
    assert_no_pieces(&way.target("in", ""));
}

/// The same from a Python app, which cuts the file itself.
#[track_caller]
fn pieces_of_a_python_app(way: &Way<'_>) {
    let (source, contents) = (way.source("large", &contents(25_000_000)), contents(25_000_000));
    let before = way.receiver.count();
    let with_file = json!({"src_path": source, "dst_type": "in", "dst_name": "large"});
    let path = way.pair.file("frames");
    fs::write(&path, way.message(&with_file, b"own").encode()).expect("a file of frames");
    assert_eq!(
        python::spawn("app_send.py", way.from, &[&path, &PIECE.to_string()]).exit_code(),
        0,
        "the sending app failed"
    );
    way.receiver.wait_count(before + 12);
    assert_is(&way.target("in", "large"), &contents);
    assert_no_pieces(&way.target("in", ""));
}

#[track_caller]
fn assert_no_pieces(folder: &Path) {
    let names = fs::read_dir(folder).expect("a folder of files").map(|entry| entry.expect("an entry").file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().contains("chunk")).collect();
    assert!(left.is_empty(), "pieces are left: {left:?}");
}

/// Both directions between our connector and a Python one.
#[track_caller]
fn files_both_ways(server: Kind, client: Kind, mode: Mode) {
    if python::interpreter().is_none() {
        return;
    }
    let pair = Pair::start_with(server, client, mode, takes_files);
    let (at_server, at_client) = (&pair.server, &pair.client);
    for (from, to, kind) in [(at_server, at_client, server), (at_client, at_server, client)] {
        let way = Way::new(&pair, from, to);
        files_one_way(&way, kind);
        if kind == Ours { pieces_of_ours(&way) } else { pieces_of_a_python_app(&way) }
    }
}

#[test]
fn arrive_both_ways_between_our_server_and_a_python_client() {
    files_both_ways(Ours, Python, Plain);
}

#[test]
fn arrive_both_ways_between_our_server_and_a_python_client_with_certificates() {
    files_both_ways(Ours, Python, Certificates(Ours));
}

#[test]
fn arrive_both_ways_between_a_python_server_and_our_client() {
    files_both_ways(Python, Ours, Plain);
}

#[test]
fn arrive_both_ways_between_a_python_server_and_our_client_with_certificates() {
    files_both_ways(Python, Ours, Certificates(Python));
}
