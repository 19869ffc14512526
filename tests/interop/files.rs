//! Messages that bring files, between connectors of both kinds.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Group, Uid, User};
use serde_json::{Value, json};

use crate::common::{Frame, RawReceiver, RawSender, Setup, wait};
use crate::pair::Kind::{self, Python};
use crate::pair::Mode;
use crate::pair::Pair;
use crate::python;

/// Bytes of the largest file that goes as one.
const LARGE: usize = 5_000_000;

/// `max_size_file_upload_recv`, in these tests.
const RECV_MAX: usize = 6_000_000;

/// `max_size_file_upload_send`, in these tests.
const SEND_MAX: usize = 7_000_000;

/// Bytes of a piece that a Python app, or our connector towards a Python peer, cuts a file into.
const PIECE: usize = 100_000;

/// What becomes of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Becomes {
    /// It arrives as it was.
    File,
    /// The message arrives without it, for a reason of the sender's.
    Unsent,
    /// The message arrives without it, for a reason of the receiver's.
    Refused,
}

/// A message with a file.
struct Case {
    tag: String,
    source: PathBuf,
    /// `None` if there is no such file.
    contents: Option<Vec<u8>>,
    binary: Option<Vec<u8>>,
    with_file: Value,
    becomes: Becomes,
}

/// The cases of one direction.
struct Cases<'a> {
    pair: &'a Pair,
    from: &'a Setup,
    to: &'a Setup,
    /// Whose software receives, and whose sends.
    kinds: [Kind; 2],
    all: Vec<Case>,
}

/// Bytes that are different in every place and for every file.
fn contents(length: usize, salt: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(salt as u64);
    (0..length).map(|_| random.u8(..)).collect()
}

/// What the receiver is told of files: where they go, and how large they may be.
fn with_files(setup: Setup) -> Setup {
    let folder = |name: &str| setup.dir.join(name).to_str().expect("a path of UTF-8").to_owned();
    let config = json!({
        "in": {"target_directory": folder("in/{message_type}/{source_id}"), "override_existing": false},
        "over": {"target_directory": folder("over"), "owner": "", "override_existing": true},
    });
    setup
        .clone()
        .with("file_recv_config", config)
        .with("max_size_file_upload_recv", RECV_MAX)
        .with("max_size_file_upload_send", SEND_MAX)
        .with("max_size_chunk_upload", PIECE)
}

impl<'a> Cases<'a> {
    fn new(pair: &'a Pair, up: bool) -> Cases<'a> {
        let (from, to) = if up { (&pair.client, &pair.server) } else { (&pair.server, &pair.client) };
        let kinds = if up { [pair.server_kind, pair.client_kind] } else { [pair.client_kind, pair.server_kind] };
        Cases { pair, from, to, kinds, all: Vec::new() }
    }

    /// One more, whose file is written.
    fn add(&mut self, length: usize, dst_type: &str, dst_name: &str) -> &mut Case {
        let number = self.all.len();
        let source = PathBuf::from(self.pair.file(&format!("{}-{number}.src", self.from.role.word())));
        let contents = contents(length, number);
        fs::write(&source, &contents).expect("a source");
        let with_file = json!({"src_path": source, "dst_type": dst_type, "dst_name": dst_name});
        let tag = format!("{dst_type}-{number}");
        let case = Case { tag, source, contents: Some(contents), binary: None, with_file, becomes: Becomes::File };
        self.all.push(case);
        self.all.last_mut().expect("it was pushed")
    }

    fn fill(&mut self) {
        let ours_only = !self.kinds.contains(&Python);
        self.add(0, "in", "empty");
        self.add(1, "in", "one byte");
        self.add(1_000, "in", "with own binary").binary = Some(contents(300, 7));
        self.add(LARGE, "in", "large").binary = Some(vec![0, 1, 2]);
        self.add(10, "in", "folders/that are/not there/\u{e9}\u{2603}.txt");
        self.add(10, "in", "kept").with_file["delete"] = false.into();
        self.add(10, "in", "nobody's").with_file["owner"] = "".into();
        self.add(10, "in", "removed").with_file["delete"] = true.into();
        self.add(20, "in", "kept").becomes = Becomes::Refused;
        self.add(20, "over", "replaced");
        self.add(30, "over", "replaced");
        if let Some(owner) = somebody() {
            self.add(10, "in", "owned").with_file["owner"] = owner.into();
        }
        self.add(RECV_MAX + 1, "in", "too large to be taken").becomes = Becomes::Refused;
        self.add(SEND_MAX + 1, "in", "too large to be sent").becomes = Becomes::Unsent;
        self.add(10, "in", "../../../outside").becomes = Becomes::Refused;
        let missing = self.add(10, "in", "missing");
        fs::remove_file(&missing.source).expect("the source");
        (missing.contents, missing.becomes) = (None, Becomes::Unsent);
        if ours_only {
            // With a Python connector at either end these cost more than the file.
            self.add(0, "in", "empty with own binary").binary = Some(vec![9; 9]);
            self.add(RECV_MAX + 1, "in", "refused with own binary").becomes = Becomes::Refused;
            self.all.last_mut().expect("it was pushed").binary = Some(vec![8; 8]);
            self.add(10, "nowhere", "of no type").becomes = Becomes::Refused;
        }
    }

    fn frame(&self, case: &Case) -> Frame {
        let header = json!({"message_type": "any", "source_id": self.from.id, "destination_id": self.to.id});
        let frame = Frame::new(header, format!("data of {}", case.tag)).with("tag", case.tag.as_str());
        let frame = frame.with("with_file", case.with_file.clone());
        match &case.binary {
            Some(binary) => frame.with_binary(binary.clone()),
            None => frame,
        }
    }

    /// Where the file of a case goes.
    fn target(&self, case: &Case) -> PathBuf {
        let name = case.with_file["dst_name"].as_str().expect("a name");
        match case.with_file["dst_type"].as_str() {
            Some("in") => self.to.dir.join("in/any").join(&self.from.id).join(name),
            _ => self.to.dir.join("over").join(name),
        }
    }

    /// Sends them all, and looks at what came.
    #[track_caller]
    fn send(&self) {
        let receiver = RawReceiver::listen(self.to.receive_socket("any"));
        let frames: Vec<_> = self.all.iter().map(|case| self.frame(case)).collect();
        RawSender::connect(&self.from.send_socket()).send_all(&frames);
        receiver.wait_count(frames.len());
        let came = receiver.frames();
        for (case, sent) in self.all.iter().zip(&frames) {
            let mut of_case = came.iter().filter(|frame| frame.tag() == case.tag);
            let frame = of_case.next().unwrap_or_else(|| panic!("{case:?} did not come"));
            assert_eq!(of_case.next(), None, "{case:?} came twice");
            self.check_message(case, sent, frame);
            self.check_source(case);
        }
        self.check_folders();
    }

    #[track_caller]
    fn check_message(&self, case: &Case, sent: &Frame, came: &Frame) {
        let (mut sent_fields, mut came_fields) = (sent.fields(), came.fields());
        let mut with_file = came_fields.remove("with_file").unwrap_or_else(|| panic!("no with_file: {came:?}"));
        let with_file = with_file.as_object_mut().expect("an object");
        let error = with_file.remove("file_error");
        with_file.remove("binary_offset");
        assert_eq!(sent_fields.remove("with_file").as_ref().and_then(Value::as_object), Some(&*with_file), "{case:?}");
        assert_eq!((&sent_fields, &sent.data, &sent.binary), (&came_fields, &came.data, &came.binary), "{case:?}");
        // A Python connector that refuses a file does not say so.
        let told = case.becomes == Becomes::Unsent || case.becomes == Becomes::Refused && self.kinds[0] == Kind::Ours;
        let error = error.as_ref().and_then(Value::as_str);
        assert_eq!(error.is_some_and(|error| !error.is_empty()), told, "{case:?}: {error:?}");
    }

    /// Who sent it has removed what the peer has, if it was to be removed, and nothing else.
    #[track_caller]
    fn check_source(&self, case: &Case) {
        let goes = case.becomes == Becomes::File && case.with_file["delete"] != false;
        if goes {
            wait::until("a source that is removed", || (!case.source.exists()).then_some(()));
        } else if case.contents.is_some() && (self.kinds[1] == Kind::Ours || case.with_file["delete"] == false) {
            assert!(case.source.exists(), "the source of {case:?} was removed");
        }
    }

    /// The folders hold what they must, and nothing else.
    #[track_caller]
    fn check_folders(&self) {
        let arrived = || self.all.iter().filter(|case| case.becomes == Becomes::File);
        let expected: BTreeSet<_> = arrived().map(|case| self.target(case)).collect();
        let mut there = files_in(&self.to.dir.join("in"));
        there.extend(files_in(&self.to.dir.join("over")));
        assert_eq!(there, expected);
        for target in &expected {
            // Of those with one name the last.
            let case = arrived().rfind(|case| self.target(case) == *target).expect("a case");
            let came = fs::read(target).unwrap_or_else(|error| panic!("{}: {error}", target.display()));
            assert!(Some(&came) == case.contents.as_ref(), "{case:?}: {} bytes that are others", came.len());
            if case.with_file["owner"].as_str().is_some_and(|owner| !owner.is_empty()) {
                assert_ne!(fs::metadata(target).expect("a file").uid(), Uid::current().as_raw(), "{case:?}");
            }
        }
    }
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.tag, self.with_file)
    }
}

/// All plain files beneath a folder.
fn files_in(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().expect("a type").is_dir() {
            true => found.extend(files_in(&entry.path())),
            false => _ = found.insert(entry.path()),
        }
    }
    found
}

/// An owner that a file can be given: `None` for who is not root.
fn somebody() -> Option<String> {
    let nobody = User::from_name("nobody").ok()??;
    let group = Group::from_gid(nobody.gid).ok()??;
    Uid::current().is_root().then(|| format!("{}:{}", nobody.name, group.name))
}

#[track_caller]
fn files_of_all_kinds(server: Kind, client: Kind, mode: Mode) {
    if python::interpreter().is_some() {
        let pair = Pair::start_with(server, client, mode, with_files);
        for up in [true, false] {
            let mut cases = Cases::new(&pair, up);
            cases.fill();
            cases.send();
        }
    }
}

/// An app of the Python package sends a file in pieces.
#[track_caller]
fn pieces_of_a_python_app(server: Kind, client: Kind, mode: Mode) {
    if python::interpreter().is_none() {
        return;
    }
    let pair = Pair::start_with(server, client, mode, with_files);
    for up in [true, false] {
        let mut cases = Cases::new(&pair, up);
        // A Python connector joins ten and more in the wrong order.
        let pieces = if cases.kinds[0] == Python { 9 } else { 12 };
        let length = pieces * PIECE - 1;
        cases.add(length, "in", "in pieces").binary = Some(vec![1, 2, 3]);
        let frame = cases.frame(&cases.all[0]);
        let receiver = RawReceiver::listen(cases.to.receive_socket("any"));
        let path = pair.file("pieces");
        fs::write(&path, frame.encode()).expect("a file of frames");
        let mut sending = python::spawn("app_send.py", cases.from, &[&path, &PIECE.to_string()]);
        assert_eq!(sending.exit_code(), 0, "the sending app failed");
        receiver.wait_count(pieces);
        for came in receiver.frames() {
            assert_eq!((&came.data, &came.binary), (&frame.data, &frame.binary));
        }
        // A Python connector hands the last message on before it has joined them.
        wait::until("the whole file", || cases.target(&cases.all[0]).exists().then_some(()));
        wait::until("a folder without pieces", || (files_in(&cases.to.dir.join("in")).len() == 1).then_some(()));
        cases.check_folders();
    }
}

mod python_connectors {
    use super::*;

    #[test]
    fn bring_each_other_files_of_all_kinds() {
        files_of_all_kinds(Python, Python, Mode::Plain);
    }

    #[test]
    fn bring_each_other_pieces_of_a_python_app() {
        pieces_of_a_python_app(Python, Python, Mode::Plain);
    }
}

mod our_connectors {
    use super::*;
    use crate::pair::Kind::Ours;

    #[test]
    fn bring_each_other_files_of_all_kinds() {
        files_of_all_kinds(Ours, Ours, Mode::Plain);
    }

    #[test]
    fn bring_each_other_files_of_all_kinds_with_certificates() {
        files_of_all_kinds(Ours, Ours, Mode::Certificates(Ours));
    }

    #[test]
    fn bring_each_other_pieces_of_a_python_app() {
        pieces_of_a_python_app(Ours, Ours, Mode::Certificates(Ours));
    }
}
