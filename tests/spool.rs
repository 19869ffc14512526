//! `aioconnectorsctl spool …` on folders that the store itself has made and that were then damaged.
#![cfg(feature = "daemon")]

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use aioconnectors::ring::Ring;
use aioconnectors::ring::header::{DATA_AT, Identity, Kind};
use aioconnectors::store::Spool;
use aioconnectors::wire::frame;
use tempfile::TempDir;

const LIMIT: usize = 1 << 20;

/// A client's files: its config, and its spool folder with a ring towards the server and one of received messages.
struct Client {
    dir: TempDir,
}

struct Outcome {
    code: i32,
    out: String,
    err: String,
}

impl Client {
    /// 10 messages are on their way to the server, 3 were received.
    fn new() -> Client {
        let client = Client { dir: tempfile::tempdir().unwrap() };
        let folder = client.dir.path().display();
        let config = format!(
            r#"{{"is_server": false, "client_name": "c1", "connector_files_dirpath": "{folder}", "use_ssl": false,
                "send_message_types": ["any"], "disk_persistence_send": true, "disk_persistence_recv": ["any"]}}"#
        );
        fs::write(client.config(), config).unwrap();
        client.push(&outbox(), 0..10);
        client.push(&inbox("any"), 0..3);
        client
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("c.json")
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("spool_client_c1")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Has the connector store messages, and end.
    fn push(&self, identity: &Identity, numbers: std::ops::Range<u32>) {
        let spool = Spool::open(&self.folder(), false).unwrap();
        let opened = spool.open_ring(identity, LIMIT).unwrap();
        let mut ring = Ring::durable(opened.memory, opened.checkpoint, LIMIT, 1);
        numbers.for_each(|number| _ = ring.push(&[&message(number)], 0, None).unwrap());
        ring.checkpoint();
    }

    fn ring_name(&self) -> String {
        aioconnectors::store::name_of(&outbox())
    }

    /// `spool COMMAND ARGS CONFIG`.
    fn spool(&self, line: &str) -> Outcome {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aioconnectorsctl"));
        let output = command.arg("spool").args(line.split(' ')).arg(self.config()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    fn good(&self, line: &str) -> String {
        let Outcome { code, out, err } = self.spool(line);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        out
    }

    /// The data of all messages that wait for the server, in their order.
    fn waiting(&self) -> Vec<String> {
        let out = self.good(&format!("export --json --ring {}", self.ring_name()));
        let lines = out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.map(|line| line["data"].as_str().unwrap().to_owned()).collect()
    }
}

fn outbox() -> Identity {
    let (connector, message_type) = ("c1".to_owned(), "any".to_owned());
    Identity { kind: Kind::Outbox, connector, peer: "('127.0.0.1', 10673)".to_owned(), message_type }
}

fn inbox(message_type: &str) -> Identity {
    Identity { kind: Kind::Inbox, peer: String::new(), message_type: message_type.to_owned(), ..outbox() }
}

fn message(number: u32) -> Vec<u8> {
    let header = br#"{"message_type": "any", "source_id": "c1", "destination_id": "('127.0.0.1', 10673)"}"#;
    let mut bytes = Vec::new();
    frame::encode(header, format!("number {number}").as_bytes(), None, &mut bytes).unwrap();
    bytes
}

/// Bytes of the record of such a message.
fn record() -> u64 {
    16 + message(0).len().next_multiple_of(8) as u64
}

fn texts(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("number {number}")).collect()
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

#[test]
fn list_shows_the_rings_and_who_uses_them() {
    let client = Client::new();
    let out = client.good("list");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], format!("{}: not in use", client.folder().display()));
    assert!(lines[1].starts_with("RING ") && lines.len() == 4, "{out}");
    let words: Vec<&str> = lines[2].split_whitespace().collect();
    assert_eq!(words[..3], ["recv_any.ring", "3", &(3 * record()).to_string()], "{out}");
    assert_eq!(words[4], "1..3");
    assert!(lines[3].ends_with(r#"messages of type "any" from "c1" to "('127.0.0.1', 10673)""#), "{out}");

    let _running = Spool::open(&client.folder(), false).unwrap();
    let by_dir = Command::new(env!("CARGO_BIN_EXE_aioconnectorsctl"))
        .args(["spool", "list", "--dir"])
        .arg(client.folder())
        .output()
        .unwrap();
    let out = String::from_utf8(by_dir.stdout).unwrap();
    assert!(out.starts_with(&format!("{}: in use by process {}\n", client.folder().display(), std::process::id())));
}

#[test]
fn verify_tells_where_the_damage_is() {
    let client = Client::new();
    let out = client.good("verify");
    assert_eq!(out.lines().filter(|line| line.ends_with(", no damage")).count(), 2, "{out}");

    let at = DATA_AT as u64 + 2 * record();
    overwrite(&client.file(&client.ring_name()), at + 20, b"x");
    let Outcome { code, out, err } = client.spool("verify");
    assert_eq!((code, err.as_str()), (1, ""));
    let said = format!("{} bytes from byte {at} on are damaged: one message is lost", record());
    assert!(out.contains(&said) && out.contains("9 messages") && out.contains("recv_any.ring: 3 messages"), "{out}");
    assert!(client.good("verify --ring recv_any").ends_with("no damage\n"));
}

#[test]
fn export_prints_frames_or_json_beside_a_running_connector() {
    let client = Client::new();
    let _running = Spool::open(&client.folder(), false).unwrap();
    let file = client.dir.path().join("out");
    let line = format!("export --ring {} --output {}", client.ring_name(), file.display());
    assert_eq!(client.good(&line), format!("{}: 10 messages\n", file.display()));
    assert_eq!(fs::read(&file).unwrap(), (0..10).flat_map(message).collect::<Vec<u8>>());

    let out = client.good("export --json --ring recv_any.ring");
    let first: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!((&first["ring"], &first["number"]), (&"recv_any.ring".into(), &1.into()));
    assert_eq!((&first["header"]["message_type"], &first["data"]), (&"any".into(), &"number 0".into()));
    assert_eq!(out.lines().count(), 3);

    let Outcome { code, err, .. } = client.spool("export --output /no/such/file");
    assert!(code == 1 && err.contains("/no/such/file"), "{err}");
}

#[test]
fn damaged_messages_are_repaired_away_and_the_others_keep_their_numbers() {
    let client = Client::new();
    assert_eq!(client.good("repair"), "nothing is damaged\n");
    let path = client.file(&client.ring_name());
    overwrite(&path, DATA_AT as u64 + 2 * record() + 20, b"x");
    overwrite(&path, DATA_AT as u64 + 5 * record(), &[0xAA; 16]);
    let before = fs::read(&path).unwrap();
    assert_eq!(client.spool("export --json").code, 1);
    let out = client.good("repair");
    assert!(out.contains("8 messages put into"), "{out}");
    assert_eq!(client.waiting(), texts([0, 1, 3, 4, 6, 7, 8, 9]));
    assert_eq!(fs::read(format!("{}.bad-1.repaired", path.display())).unwrap(), before);
    assert!(client.good("list").contains(" 1..10 "), "numbers stay as they were");
    assert_eq!(client.good("repair"), "nothing is damaged\n", "once is enough");
    client.push(&outbox(), 10..11);
    assert_eq!(client.waiting().len(), 9);
}

#[test]
fn a_ring_whose_header_is_lost_is_found_by_its_messages() {
    let client = Client::new();
    let path = client.file(&client.ring_name());
    overwrite(&path, 0, &[0; DATA_AT]);
    let Outcome { code, out, .. } = client.spool("verify");
    assert!(code == 1 && out.contains("header") && out.contains("10 messages"), "{out}");
    client.good("repair");
    assert_eq!(client.waiting(), texts(0..10));
    let list = client.good("list");
    assert!(list.contains(&format!("{}.bad-1.repaired", client.ring_name())), "{list}");
}

#[test]
fn what_the_connector_put_aside_comes_behind_what_it_stored_since() {
    let client = Client::new();
    overwrite(&client.file(&client.ring_name()), 0, &[0; DATA_AT]);
    client.push(&outbox(), 100..102);
    let bad = format!("{}.bad-1", client.ring_name());
    assert!(client.good("list").contains(&format!("{bad} ")));
    let out = client.good(&format!("repair --ring {bad}"));
    assert!(out.contains("10 messages put into"), "{out}");
    assert_eq!(client.waiting(), texts((100..102).chain(0..10)));
}

#[test]
fn of_a_copy_only_that_is_taken_which_the_connector_could_not_reach() {
    let client = Client::new();
    let path = client.file(&client.ring_name());
    // Message 1 alone is damaged; the way from message to message ends at 4.
    overwrite(&path, DATA_AT as u64 + record() + 20, b"x");
    overwrite(&path, DATA_AT as u64 + 4 * record(), &[0xAA; 16]);
    {
        let spool = Spool::open(&client.folder(), false).unwrap();
        let opened = spool.open_ring(&outbox(), LIMIT).unwrap();
        let mut ring = Ring::durable(opened.memory, opened.checkpoint, LIMIT, 1);
        let mut gone = Vec::new();
        while ring.has_unsent() {
            match ring.check_front(1) {
                Ok(()) => {
                    let length = ring.front().unwrap().len();
                    ring.sent(length);
                    ring.release_sent();
                }
                Err(_) => gone.push(ring.skip_damaged().records),
            }
        }
        assert_eq!(gone, [1, 6]);
        ring.checkpoint();
    }
    assert!(client.good("repair").contains("5 messages put into"));
    assert_eq!(client.waiting(), texts(5..10));
}

#[test]
fn what_changes_files_wants_the_connector_stopped() {
    let client = Client::new();
    let _running = Spool::open(&client.folder(), false).unwrap();
    for line in ["repair", "purge --yes"] {
        let Outcome { code, out, err } = client.spool(line);
        assert_eq!((code, out.as_str()), (1, ""), "{line}");
        let said = format!("in use by process {}", std::process::id());
        assert!(err.contains(&said) && err.contains("stop it first"), "{err}");
    }
    assert_eq!(client.waiting().len(), 10);
}

#[test]
fn purge_says_what_it_would_remove_and_does_it_when_told() {
    let client = Client::new();
    let Outcome { code, out, err } = client.spool("purge");
    assert!(code == 1 && out.lines().count() == 2 && err.contains("--yes"), "{out}{err}");
    assert!(client.good("purge --yes --ring recv_any").contains("recv_any.ring: 3 messages"));
    assert_eq!(client.waiting().len(), 10);
    client.good("purge --yes");
    assert_eq!(client.good("purge"), "there is nothing to remove\n");
    assert_eq!(client.good("list").lines().count(), 1);
}

#[test]
fn remains_are_what_the_config_does_not_need() {
    let client = Client::new();
    client.push(&inbox("old"), 0..5);
    client.push(&Identity { peer: "('10.0.0.1', 1)".to_owned(), ..outbox() }, 0..6);
    fs::write(client.file("recv_any.ring.bad-1"), "x").unwrap();
    let out = client.good("purge --remains --yes");
    assert!(out.contains("recv_old.ring: 5 messages") && out.contains(": 6 messages"), "{out}");
    assert_eq!(out.lines().count(), 3, "{out}");
    assert_eq!(client.good("list").lines().count(), 4);
}

#[test]
fn what_is_not_there_is_named() {
    let client = Client::new();
    let Outcome { code, err, .. } = client.spool("verify --ring nope");
    assert!(code == 1 && err.contains("nope") && err.contains("spool list"), "{err}");
    fs::remove_dir_all(client.folder()).unwrap();
    for line in ["list", "verify", "export", "repair", "purge --yes"] {
        let Outcome { code, err, .. } = client.spool(line);
        assert!(code == 1 && err.contains("has stored nothing yet"), "{line}: {err}");
    }
    assert!(!client.folder().exists());
}
