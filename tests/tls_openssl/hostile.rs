//! `openssl s_client` at our daemon's door, with what does not let it in.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use aioconnectors::certs::pair::load_certificates;
use rcgen::{CertificateParams, IsCa, KeyPair};
use serde_json::json;

use super::{VERSIONS, has_openssl};
use crate::common::setup::wait_link;
use crate::common::{Frame, Place, Process, RawReceiver, Setup, certificates, free_port, wait};

/// A server in certificate mode with an honest client, and where a stranger's files are.
struct Door {
    place: Place,
    port: u16,
    server: Setup,
    honest: Setup,
    process: Process,
    _honest: Process,
}

impl Door {
    fn start() -> Option<Door> {
        if !has_openssl() {
            return None;
        }
        let (place, port) = (Place::new(), free_port());
        certificates::make(&place.file("made"));
        let secure = |setup: Setup| {
            let setup = setup.with("use_ssl", true);
            certificates::hand_out(&place.file("made"), &setup);
            setup
        };
        let (server, honest) = (secure(Setup::server(&place, port)), secure(Setup::client(&place, "honest", port)));
        let (process, honest_process) = (server.start(), honest.start());
        wait_link(&server, &honest);
        Some(Door { place, port, server, honest, process, _honest: honest_process })
    }

    fn clients(&self) -> PathBuf {
        self.server.dir.join("certificates/server/client-certs")
    }

    /// A certificate that a client of the server has, and its key; valid for so many seconds from now, or until so long
    /// ago.
    fn made(&self, name: &str, seconds: i64) -> (PathBuf, PathBuf) {
        let (key, now) = (KeyPair::generate().unwrap(), SystemTime::now());
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::ExplicitNoCa;
        let span = Duration::from_secs(seconds.unsigned_abs());
        params.not_before = (now - Duration::from_secs(86_400)).into();
        params.not_after = if seconds < 0 { now - span } else { now + span }.into();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, name);
        let (pem_path, key_path) = (self.place.file(&format!("{name}.pem")), self.place.file(&format!("{name}.key")));
        fs::write(&pem_path, params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&key_path, key.serialize_pem()).unwrap();
        (pem_path, key_path)
    }

    /// Has the server accept it.
    fn accept(&self, name: &str, pem: &Path) {
        fs::copy(pem, self.clients().join(format!("{name}.pem"))).unwrap();
        let certificate = load_certificates(pem).unwrap().remove(0);
        let link = self.clients().join(format!("symlinks/{}.0", certificate.subject_hash()));
        symlink(format!("../{name}.pem"), link).unwrap();
        let path = self.clients().join("source_id_2_cert.json");
        let mut list: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        list["source_id_2_cert"][name] = json!(certificate.serial());
        list["cert_2_source_id"][certificate.serial()] = json!(name);
        fs::write(path, list.to_string()).unwrap();
    }

    /// `openssl s_client` that says `words` after the handshake and waits for the server to end the connection; what it
    /// has read.
    fn knock(&self, options: &[&str], words: &[u8]) -> Vec<u8> {
        let mut openssl = Command::new("openssl")
            .args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{}", self.port)])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = openssl.stdin.take().unwrap();
        // It may be gone already.
        let _ = stdin.write_all(words);
        let out = openssl.wait_with_output().unwrap().stdout;
        drop(stdin);
        out
    }

    fn knock_with(&self, (pem, key): &(PathBuf, PathBuf), options: &[&str], words: &[u8]) -> Vec<u8> {
        let own = ["-cert", pem.to_str().unwrap(), "-key", key.to_str().unwrap()];
        self.knock(&[&own[..], options].concat(), words)
    }

    /// The server says why, and who is there notices nothing.
    #[track_caller]
    fn refused(&self, why: &str) {
        self.process.wait_error(&[why]);
        let peers = self.server.admin().connected_peers().unwrap();
        assert_eq!(peers.keys().collect::<Vec<_>>(), [&self.honest.id]);
    }
}

/// A message of `source` to the server's app.
fn message(door: &Door, source: &str, data: &str) -> Vec<u8> {
    let header = json!({"message_type": "any", "source_id": source, "destination_id": door.server.id});
    Frame::new(header, data).encode()
}

#[test]
fn without_a_certificate_nothing_is_to_be_had() {
    let Some(door) = Door::start() else { return };
    for version in VERSIONS {
        assert_eq!(door.knock(&[version], &message(&door, "honest", "x")), b"");
    }
    door.refused("showed no certificate");
}

#[test]
fn with_a_certificate_that_nobody_knows_nothing_is_to_be_had() {
    let Some(door) = Door::start() else { return };
    let stranger = door.made("stranger", 1000);
    for version in VERSIONS {
        assert_eq!(door.knock_with(&stranger, &[version], &message(&door, "honest", "x")), b"");
    }
    door.refused("O=stranger");
}

#[test]
fn a_certificate_whose_time_is_over_opens_nothing_though_it_is_accepted() {
    let Some(door) = Door::start() else { return };
    let expired = door.made("expired", -60);
    door.accept("expired", &expired.0);
    for version in VERSIONS {
        assert_eq!(door.knock_with(&expired, &[version], &message(&door, "expired", "x")), b"");
    }
    door.refused("it expired on");
}

#[test]
fn a_certificate_without_its_key_opens_nothing() {
    let Some(door) = Door::start() else { return };
    let (honest, other) = (door.clients().join("honest.pem"), door.made("other", 1000));
    // OpenSSL itself will not show a certificate with another's key: this is all that can be tried with it.
    assert_eq!(door.knock_with(&(honest, other.1), &[], &message(&door, "honest", "x")), b"");
    let peers = door.server.admin().connected_peers().unwrap();
    assert_eq!(peers.len(), 1);
}

#[test]
fn tls_1_1_is_not_spoken() {
    let Some(door) = Door::start() else { return };
    let known = door.made("known", 1000);
    door.accept("known", &known.0);
    let old = ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"];
    assert_eq!(door.knock_with(&known, &old, &message(&door, "known", "x")), b"");
    door.refused("incompatible");
}

#[test]
fn a_name_that_is_stolen_in_the_header_gets_nothing_through() {
    let Some(door) = Door::start() else { return };
    let receiver = RawReceiver::listen(door.server.receive_socket("any"));
    let thief = door.made("thief", 1000);
    door.accept("thief", &thief.0);
    let close =
        Frame::new(json!({"message_type": "any", "destination_id": door.server.id}), "no source ends it").encode();
    let words = [message(&door, "honest", "stolen"), message(&door, "thief", "own"), close].concat();
    door.knock_with(&thief, &[], &words);
    receiver.wait_count(1);
    assert_eq!(receiver.frames().iter().map(|frame| frame.data.clone()).collect::<Vec<_>>(), [b"own"]);
    door.process.wait_error(&["another source_id"]);
    // With the certificate that new clients share, a name opens nothing at all.
    let own = door.honest.dir.join("certificates/client/client-certs");
    let shared = (own.join("default.pem"), own.join("default.key"));
    let hello = Frame::new(json!({"message_type": "_handshake_ssl", "source_id": "honest"}), "hello").encode();
    assert_eq!(door.knock_with(&shared, &[], &[hello, message(&door, "honest", "stolen")].concat()), b"");
    door.refused("may only ask for one of its own");
    assert_eq!(receiver.frames().len(), 1);
}

#[test]
fn a_session_of_a_certificate_that_was_taken_back_is_not_resumed() {
    let Some(door) = Door::start() else { return };
    for version in VERSIONS {
        let name = if version == "-tls1_2" { "two" } else { "three" };
        let pair = door.made(name, 1000);
        door.accept(name, &pair.0);
        let session = door.place.file(&format!("session{version}"));
        // No frame is that long, so the server ends the connection.
        let end = [0xff; 8];
        door.knock_with(&pair, &[version, "-sess_out", session.to_str().unwrap()], &end);
        wait::until("the server to have let it in once", || {
            let was_there = |line: &String| line.contains(&format!("peer {name} disconnected"));
            door.process.errors().iter().any(was_there).then_some(())
        });
        let tool = env!("CARGO_BIN_EXE_aioconnectorsctl");
        certificates::run(Command::new(tool).arg("delete-certificate").arg(door.server.write()).arg(name));
        let before = door.process.errors().len();
        let options = [version, "-sess_in", session.to_str().unwrap()];
        let options = if session.exists() { &options[..] } else { &options[..1] };
        assert_eq!(door.knock_with(&pair, options, &message(&door, name, "x")), b"");
        wait::until("a refusal", || {
            let refused = |line: &String| line.contains("no link in") && line.contains(&format!("O={name}"));
            door.process.errors()[before..].iter().any(refused).then_some(())
        });
    }
}

#[test]
fn a_second_handshake_on_a_connection_is_not_had() {
    let Some(door) = Door::start() else { return };
    let known = door.made("known", 1000);
    door.accept("known", &known.0);
    let own = ["-cert", known.0.to_str().unwrap(), "-key", known.1.to_str().unwrap()];
    let mut openssl = Command::new("openssl")
        .args(["s_client", "-tls1_2", "-connect", &format!("127.0.0.1:{}", door.port)])
        .args(own)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = openssl.stdin.take().unwrap();
    door.process.wait_said("peer known connected");
    // Without -quiet a line that is "R" has it ask for a renegotiation.
    let _ = stdin.write_all(b"R\n");
    let _ = stdin.flush();
    door.process.wait_said("peer known disconnected");
    drop(stdin);
    let said = openssl.wait_with_output().unwrap().stderr;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("no renegotiation") || said.contains("alert"), "{said}");
    let lines = door.process.errors();
    assert_eq!(lines.iter().filter(|line| line.contains("peer known connected")).count(), 1, "{lines:?}");
    door.refused("known");
}

#[test]
fn what_nobody_may_send_ends_the_connection_of_its_sender_alone() {
    let Some(door) = Door::start() else { return };
    let receiver = RawReceiver::listen(door.server.receive_socket("any"));
    let known = door.made("known", 1000);
    door.accept("known", &known.0);
    let raw = |header: &[u8]| {
        let mut out = ((header.len() + 10) as u32).to_le_bytes().to_vec();
        out.extend((header.len() as u16).to_le_bytes());
        out.extend(header);
        [&out[..], &4u32.to_le_bytes(), b"data"].concat()
    };
    let deep = format!("{{\"message_type\": \"any\", \"source_id\": {}", "[".repeat(60_000));
    let end = [0xff; 8];
    let cases = [
        [0xff; 64].to_vec(),
        raw(deep.as_bytes()),
        raw(b"{\"message_type\": \"any\", \"source_id\": \"known\xff\"}"),
        raw(b"{\"message_type\": \"../../any\", \"source_id\": \"known\"}"),
        raw(b"{\"message_type\": \"any\", \"source_id\": \"known\\u0000\"}"),
        raw(b"{\"message_type\": \"any\", \"source_id\": \"../known\"}"),
        raw(b"{\"message_type\": \"any\\u0000\", \"source_id\": \"known\"}"),
    ];
    for words in cases {
        let before = door.process.errors().len();
        door.knock_with(&known, &[], &[&words[..], &end].concat());
        wait::until("its end", || {
            let ended = |line: &String| line.contains("peer known disconnected");
            door.process.errors()[before..].iter().any(ended).then_some(())
        });
    }
    door.refused("known");
    assert_eq!(receiver.frames().len(), 0, "nothing of it came through");
}
