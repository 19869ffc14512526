//! `aioconnectorsctl doctor`: a connector that is well, and each sickness with its line.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime};

use rcgen::{CertificateParams, IsCa, KeyPair};
use serde_json::{Value, json};

use crate::common::apps::RawSender;
use crate::common::setup::wait_link;
use crate::common::{Frame, Place, Process, Setup, certificates, free_port, wait};
use crate::rig::{CTL, run};

/// What the doctor says of a config: exit code, and findings as `level part: what → advice`.
struct Visit {
    code: Option<i32>,
    findings: Vec<String>,
}

impl Visit {
    /// Other connectors are looked for in the folder `etc` of the place.
    #[track_caller]
    fn at(place: &Place, config: &Path, options: &[&str]) -> Self {
        Self::from(&run(doctor(place, config, &[options, &["--json"]].concat()), b""))
    }

    #[track_caller]
    fn from(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        let report: Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
        let findings = report["findings"].as_array().unwrap().iter().map(|finding| {
            let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
            assert_eq!(
                finding["level"] == "ok",
                finding.get("advice").is_none(),
                "what is wrong has advice: {finding}"
            );
            format!("{} {}: {} → {}", text("level"), text("part"), text("what"), text("advice"))
        });
        Self { code: output.status.code(), findings: findings.collect() }
    }

    #[track_caller]
    fn of(setup: &Setup, place: &Place) -> Self {
        Self::at(place, &setup.write(), &[])
    }

    /// One finding begins so, and has these words.
    #[track_caller]
    fn says(&self, begin: &str, words: &[&str]) -> &Self {
        let is_it = |line: &&String| line.starts_with(begin) && words.iter().all(|word| line.contains(word));
        assert!(self.findings.iter().any(|line| is_it(&line)), "{begin:?} {words:?}: {:#?}", self.findings);
        self
    }

    #[track_caller]
    fn has_no(&self, level: &str) -> &Self {
        assert!(!self.findings.iter().any(|line| line.starts_with(level)), "{:#?}", self.findings);
        self
    }
}

fn doctor(place: &Place, config: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(CTL);
    command.arg("doctor").arg(config).args(options);
    command.env("AIOCONNECTORS_CONFIGS", place.file("etc")).env("AIOCONNECTORS_FILES", place.file("none"));
    command
}

/// A server and its client with TLS.
struct Pair {
    place: Place,
    port: u16,
    server: Setup,
    client: Setup,
}

impl Pair {
    fn new() -> Self {
        let (place, port) = (Place::new(), free_port());
        certificates::make(&place.file("made"));
        let secure = |setup: Setup| {
            let setup = setup.with("use_ssl", true);
            certificates::hand_out(&place.file("made"), &setup);
            setup
        };
        let server = secure(Setup::server(&place, port));
        let client = secure(Setup::client(&place, "alice", port));
        Self { place, port, server, client }
    }

    #[track_caller]
    fn start(&self) -> (Process, Process) {
        let processes = (self.server.start(), self.client.start());
        wait_link(&self.server, &self.client);
        processes
    }

    #[track_caller]
    fn look(&self, at: &Setup) -> Visit {
        Visit::of(at, &self.place)
    }

    fn server_file(&self, name: &str) -> PathBuf {
        self.server.dir.join("certificates/server/server-cert").join(name)
    }
}

/// All files below a folder: mode, size and time of change of each. Queues change as their connector writes them back.
fn state(folder: &Path) -> BTreeMap<PathBuf, (u32, u64, i64, i64)> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let (path, file) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
            let changed =
                if path.to_string_lossy().contains("/spool_") { (0, 0) } else { (file.mtime(), file.mtime_nsec()) };
            all.insert(path.clone(), (file.mode(), file.len(), changed.0, changed.1));
            if file.is_dir() {
                folders.push(path);
            }
        }
    }
    all
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn who_is_well_is_told_so_and_nothing_is_changed_or_disturbed() {
    let mut pair = Pair::new();
    for setup in [&mut pair.server, &mut pair.client] {
        *setup = setup.clone().with("disk_persistence_send", true);
    }
    let (server, client) = pair.start();
    let (before, lines) = (state(pair.place.path()), (server.errors().len(), client.errors().len()));
    let visit = pair.look(&pair.server);
    visit.has_no("error").says("ok config: ", &["no errors"]).says("ok daemon: the connector runs", &[]);
    visit.says("ok certificates: the server's certificate", &["is good until"]);
    visit.says("ok ports: the connector listens at 127.0.0.1", &[]).says("ok queues: ", &["no damage"]);
    visit.says("ok disks: ", &["free"]).says("ok limits: the connector's process", &[]).says("ok permissions: ", &[]);
    let visit = pair.look(&pair.client);
    visit.has_no("error").says("ok server: the connector is connected to", &[]);
    visit.says("ok certificates: this client's certificate", &[]);
    assert_eq!(visit.code, Some(0));
    assert_eq!(state(pair.place.path()), before, "it only reads");
    assert_eq!((server.errors().len(), client.errors().len()), lines, "and nobody notices");
}

#[test]
fn text_is_in_lines_and_warnings_are_errors_to_the_strict() {
    let pair = Pair::new();
    let config = pair.server.write();
    let output = run(doctor(&pair.place, &config, &[]), b"");
    let text = String::from_utf8(output.stdout).unwrap();
    // Its connector does not run.
    assert!(text.contains("\nwarning\tdaemon\tthe connector does not run") && text.contains("\tstart it"), "{text}");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(Visit::at(&pair.place, &config, &["--strict"]).code, Some(1));
    fs::write(&config, r#"{"is_server": 5, "use_sll": true}"#).unwrap();
    let visit = Visit::at(&pair.place, &config, &[]);
    visit.says("error config: ", &["is_server"]).says("", &["use_sll"]);
    assert_eq!(visit.code, Some(1));
}

#[test]
fn what_is_open_to_others_is_named_with_what_closes_it() {
    let pair = Pair::new();
    let (key, config) = (pair.server_file("server.key"), pair.server.write());
    set_mode(&key, 0o644);
    set_mode(&config, 0o666);
    set_mode(&pair.server.dir, 0o777);
    let tokens = pair.server.dir.join("server_tokens.json");
    fs::write(&tokens, "{}").unwrap();
    let server = pair.server.clone().with("tokens_directory_path", pair.server.dir.to_str().unwrap());
    let visit = pair.look(&server);
    visit.says("error permissions: ", &["server.key is open to others, mode 644", "chmod 600"]);
    visit.says("error permissions: everybody can write to", &[".json, mode 666"]);
    visit.says("error permissions: ", &["server_tokens.json is open to others"]);
    visit.says("error folders: connector_files_dirpath: everybody can write", &["chmod o-w"]);
    assert_eq!(visit.code, Some(1));
    assert_eq!(fs::metadata(tokens).unwrap().mode() & 0o777, 0o644, "it only reads");
}

/// A certificate that ends so many seconds from now, and its key.
fn made(seconds: i64) -> (String, String) {
    let (key, now, span) =
        (KeyPair::generate().unwrap(), SystemTime::now(), Duration::from_secs(seconds.unsigned_abs()));
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::ExplicitNoCa;
    params.not_before = (now - Duration::from_secs(30 * 86_400)).into();
    params.not_after = if seconds < 0 { now - span } else { now + span }.into();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn certificates_that_end_that_have_ended_and_that_have_another_s_key() {
    let pair = Pair::new();
    let put = |(certificate, key): (String, String)| {
        fs::write(pair.server_file("server.pem"), certificate).unwrap();
        fs::write(pair.server_file("server.key"), key).unwrap();
    };
    put(made(5 * 86_400 + 3600));
    pair.look(&pair.server).says("warning certificates: the server's certificate", &["in 5 days", "replace-server"]);
    put(made(-86_400));
    pair.look(&pair.server).says("error certificates: the server's certificate", &["expired on", "replace-server"]);
    put((made(1000).0, made(1000).1));
    pair.look(&pair.server).says("error certificates: ", &["server.key is not the key of the certificate"]);
    fs::remove_file(pair.server_file("server.pem")).unwrap();
    pair.look(&pair.server).says("error certificates: ", &["server.pem is missing"]);
    let pinned = pair.client.dir.join("certificates/client/server-cert/server.pem");
    fs::write(&pinned, "nothing").unwrap();
    pair.look(&pair.client).says("error certificates: ", &["server.pem should hold a certificate"]);
}

#[test]
fn a_port_that_another_program_has_is_named_with_who_has_it() {
    let pair = Pair::new();
    let listening = TcpListener::bind(("127.0.0.1", pair.port)).unwrap();
    let process = format!("process {}", std::process::id());
    pair.look(&pair.server).says("error ports: ", &["is held by", &process]);
    drop(listening);
    pair.look(&pair.server).says("ok ports: ", &["is free"]);
    let server = Setup::server(&pair.place, pair.port).with("server_sockaddr", json!(["198.51.100.1", 10673]));
    pair.look(&server).says("error ports: ", &["198.51.100.1 is no address of this machine"]);
}

#[test]
fn a_server_that_is_away_is_another_or_says_nothing() {
    let pair = Pair::new();
    pair.look(&pair.client).says("error server: ", &["is there, but nobody listens", "start the server"]);
    let client = pair.client.clone().with("server_sockaddr", json!(["no-such-host.invalid", 10673]));
    pair.look(&client).says("error server: the name no-such-host.invalid", &["DNS"]);
    let listening = TcpListener::bind(("127.0.0.1", pair.port)).unwrap();
    let start = Instant::now();
    pair.look(&pair.client).says("error server: ", &["no TLS handshake comes about"]);
    assert!(start.elapsed() < Duration::from_secs(30), "each wait has a limit: {:?}", start.elapsed());
    drop(listening);
    // The server that is pinned, and one that is not.
    let mut server = pair.server.start();
    let visit = pair.look(&pair.client);
    visit.says("ok server: its certificate", &["is accepted, and good until"]).has_no("error");
    server.wait_error(&["showed no certificate"]);
    server.kill();
    let (certificate, key) = made(1000);
    fs::write(pair.server_file("server.pem"), certificate).unwrap();
    fs::write(pair.server_file("server.key"), key).unwrap();
    let _server = pair.server.start();
    pair.look(&pair.client).says("error server: TLS: ", &["it is not among the 1 pinned", "take it over"]);
}

#[test]
fn a_disk_that_is_full_is_told() {
    let pair = Pair::new();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&pair.client.dir).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        return eprintln!("SKIPPED: no file system can be mounted here");
    }
    let client = pair.client.clone().with("certificates_directory_path", pair.place.file("made").to_str().unwrap());
    let visit = pair.look(&client);
    certificates::run(Command::new("umount").arg(&pair.client.dir));
    visit.says("error disks: the disk of", &["is full", "make room"]);
}

#[test]
fn a_queue_on_disk_that_is_damaged_is_told() {
    let pair = Pair::new();
    let client = pair.client.clone().with("disk_persistence_send", true).with("use_ssl", false);
    let mut process = client.start();
    let mut app = RawSender::connect(&client.send_socket());
    let frame = Frame::new(json!({"message_type": "any"}), "what must not be lost");
    app.send_all([&frame, &frame]);
    let spool = client.dir.join("spool_client_alice");
    let ring = wait::until("both messages on disk", || {
        let files = fs::read_dir(&spool).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        let holds = |path: &PathBuf| {
            let bytes = fs::read(path).unwrap_or_default();
            bytes.windows(12).filter(|bytes| bytes == b"what must no").count() == 2
        };
        files.into_iter().find(holds)
    });
    process.kill();
    pair.look(&client).says("ok queues: 2 messages", &[]);
    let mut bytes = fs::read(&ring).unwrap();
    let at = bytes.windows(12).position(|bytes| bytes == b"what must no").unwrap();
    bytes[at] ^= 1;
    fs::write(&ring, bytes).unwrap();
    let name = ring.file_name().unwrap().to_str().unwrap();
    pair.look(&client).says("error queues: ", &[name, "bytes are damaged", "spool verify"]);
}

#[test]
fn others_of_the_same_name_are_told_and_a_clock_that_went_back() {
    let pair = Pair::new();
    fs::create_dir(pair.place.file("etc")).unwrap();
    fs::copy(pair.client.write(), pair.place.file("etc/twin.json")).unwrap();
    pair.look(&pair.client).says("error others: twin has the same name", &[]);
    let other = Setup::client_in(&pair.place, "d", "alice", pair.port).write();
    fs::copy(other, pair.place.file("etc/twin.json")).unwrap();
    pair.look(&pair.client).says("error others: twin has the same client_name", &["end each other's links"]);
    let file = fs::File::create(pair.client.dir.join("young")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(86_400)).unwrap();
    pair.look(&pair.client).says("warning clock: ", &["it went back"]);
}

#[test]
fn a_unit_that_has_failed_and_a_clock_that_nobody_sets_are_told() {
    let pair = Pair::new();
    let (etc, programs) = (pair.place.file("etc"), pair.place.file("programs"));
    fs::create_dir(&etc).unwrap();
    fs::create_dir(&programs).unwrap();
    let config = etc.join("plant.json");
    fs::copy(pair.server.write(), &config).unwrap();
    let program = |name: &str, says: &str| {
        let path = programs.join(name);
        fs::write(&path, format!("#!/bin/sh\necho \"$@\" > $0.asked\nprintf '{says}'\n")).unwrap();
        set_mode(&path, 0o755);
    };
    let state = "LoadState=loaded\\nResult=exit-code\\nNRestarts=9\\nUser=nobody\\nLimitNOFILE=100\\nActiveState=";
    program("timedatectl", "NTP=no\\nNTPSynchronized=no\\n");
    let visit = |active: &str| {
        program("systemctl", &format!("{state}{active}\\n"));
        let mut command = doctor(&pair.place, &config, &["--json"]);
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        command.env("PATH", path);
        Visit::from(&run(command, b""))
    };
    let failed = visit("failed");
    failed.says(
        "error unit: aioconnectorsd@plant.service has failed: exit-code",
        &["journalctl -u aioconnectorsd@plant"],
    );
    failed.says("warning unit: ", &["was restarted 9 times"]).says("warning limits: the unit allows 100 open", &[]);
    failed.says("warning clock: ", &["not synchronized"]);
    // Files are judged for the unit's user.
    failed.says("error permissions: nobody cannot read", &["server.key", "chown nobody"]);
    let asked = fs::read_to_string(programs.join("systemctl.asked")).unwrap();
    assert!(asked.starts_with("show ") && asked.trim().ends_with("-- aioconnectorsd@plant.service"), "{asked}");
    visit("inactive").says("warning unit: aioconnectorsd@plant.service is inactive", &["enable --now"]);
}
