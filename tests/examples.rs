//! The examples in `config/`, each run as it stands there, but for folders, addresses and ports.
#![cfg(feature = "daemon")]

#[path = "common/mod.rs"]
mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use aioconnectors::api::{ConnectorApi, Level};
use aioconnectors::config::Config;
use serde_json::{Value, json};

use common::http_proxy::{HttpProxy, Manner};
use common::{Place, Process, certificates, free_port, wait};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config");

/// All examples, each of which is run below.
const EXAMPLES: [&str; 12] = [
    "broker",
    "ca-client",
    "ca-server",
    "client",
    "enrollment-client",
    "enrollment-server",
    "metrics-server",
    "proxy-client",
    "server",
    "subscriber",
    "token-client",
    "token-server",
];

/// The folders of the package, and what stands for them here.
const FOLDERS: [(&str, &str); 3] =
    [("/var/lib/aioconnectors/", "lib"), ("/etc/aioconnectors/", "etc"), ("/run/aioconnectors/", "run")];

fn path_of(example: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{example}.json"))
}

/// A machine for examples: folders in place of the package's, and a port for the server.
struct Trial {
    place: Place,
    port: u16,
    metrics: u16,
    proxy: HttpProxy,
}

impl Trial {
    /// One whose servers have certificates, made with `options` of the tool.
    #[track_caller]
    fn new(options: &[&str]) -> Trial {
        let port = free_port();
        let proxy = HttpProxy::start(Manner::Opens(port));
        let trial = Trial { place: Place::new(), port, metrics: free_port(), proxy };
        FOLDERS.iter().for_each(|(_, folder)| fs::create_dir(trial.place.file(folder)).expect("a folder"));
        certificates::make_with(options, &trial.place.file("made"));
        trial
    }

    fn folder(&self, example: &str) -> PathBuf {
        self.place.file("lib").join(example)
    }

    /// Puts the example into `etc`, with this machine's folders and port in it, and says where.
    fn config(&self, example: &str) -> PathBuf {
        let text = fs::read_to_string(path_of(example)).expect("the example");
        let mut config: Value = serde_json::from_str(&text).expect("JSON");
        config["server_sockaddr"] = json!(["127.0.0.1", self.port]);
        if let Some(metrics) = config.get_mut("metrics_listen") {
            *metrics = format!("127.0.0.1:{}", self.metrics).into();
        }
        if let Some(proxy) = config.get_mut("proxy") {
            proxy["address"] = "127.0.0.1".into();
            proxy["port"] = self.proxy.port.into();
        }
        let mut text = serde_json::to_string_pretty(&config).expect("JSON");
        for (package, folder) in FOLDERS {
            text = text.replace(package, &format!("{}/", self.place.file(folder).display()));
        }
        let path = self.place.file("etc").join(format!("{example}.json"));
        fs::write(&path, text).expect("the config");
        path
    }

    /// Gives it its half of the certificates, as the README says, and starts it.
    #[track_caller]
    fn start(&self, example: &str) -> Connector {
        let config = self.config(example);
        let loaded = Config::load(&config).unwrap_or_else(|errors| panic!("{errors}"));
        let half = if loaded.config.is_server { "server" } else { "client" };
        certificates::copy_half(&self.place.file("made"), half, &self.folder(example));
        let api = ConnectorApi::from_file(&config).expect("an api");
        let process = Process::spawn(example, Command::new(env!("CARGO_BIN_EXE_aioconnectorsd")).arg(&config));
        wait::until("a connector that answers on its admin socket", || api.remote().connected_peers().ok());
        Connector { config, api, process }
    }
}

/// An example that runs.
struct Connector {
    config: PathBuf,
    api: ConnectorApi,
    process: Process,
}

impl Connector {
    /// What comes of `message_type`.
    #[track_caller]
    fn receive(&self, message_type: &str) -> Receiver<Vec<u8>> {
        let (sender, receiver) = channel();
        let callback = move |message: aioconnectors::api::Message| sender.send(message.data().to_vec());
        self.api.start_waiting_for_messages_with_acks(message_type, callback).expect("a socket");
        receiver
    }

    #[track_caller]
    fn wait_peer(&self, name: &str) {
        wait::until(name, || self.api.remote().connected_peers().ok()?.contains(&name.to_owned()).then_some(()));
    }
}

/// Both ways, with a receipt: what the examples are for.
#[track_caller]
fn messages_pass(server: &Connector, client: &Connector) {
    server.wait_peer(client.api.id());
    let (there, back) = (server.receive("any"), client.receive("any"));
    let to_server = client.api.send_message("any").text("there");
    to_server.await_receipt(Level::Delivered, wait::LIMIT).expect("a receipt of the client");
    assert_eq!(there.recv_timeout(wait::LIMIT).expect("a message at the server"), b"there");
    let to_client = server.api.send_message("any").destination(client.api.id()).text("back");
    to_client.await_receipt(Level::Delivered, wait::LIMIT).expect("a receipt of the server");
    assert_eq!(back.recv_timeout(wait::LIMIT).expect("a message at the client"), b"back");
}

/// Starts the server and the client of a pair of examples and passes messages.
#[track_caller]
fn pair_works(kind: &str, options: &[&str]) -> (Trial, Connector, Connector) {
    let trial = Trial::new(options);
    let (server, client) = (trial.start(&format!("{kind}server")), trial.start(&format!("{kind}client")));
    messages_pass(&server, &client);
    (trial, server, client)
}

#[test]
fn server_and_client() {
    let (trial, server, _client) = pair_works("", &[]);
    assert_eq!(server.process.complaints(), Vec::<String>::new());
    assert!(trial.folder("client").join("certificates/client/client-certs/client1.pem").exists());
}

#[test]
fn token_server_and_token_client() {
    let (trial, ..) = pair_works("token-", &[]);
    assert!(trial.folder("token-server").join("server_tokens.json").exists());
}

#[test]
fn ca_server_and_ca_client() {
    let (trial, ..) = pair_works("ca-", &["--ca"]);
    let copy = trial.folder("ca-server").join("certificates/server/client-certs/client1.pem");
    assert!(!copy.exists(), "the CA signs, nothing is pinned");
}

#[test]
fn metrics_server_and_client() {
    let trial = Trial::new(&[]);
    let (server, client) = (trial.start("metrics-server"), trial.start("client"));
    messages_pass(&server, &client);
    let mut scrape = TcpStream::connect(("127.0.0.1", trial.metrics)).expect("metrics");
    scrape.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("it is taken");
    let mut answer = String::new();
    scrape.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("peer=\"client1\""), "{answer}");
}

#[test]
fn server_and_proxy_client() {
    let trial = Trial::new(&[]);
    let (server, client) = (trial.start("server"), trial.start("proxy-client"));
    messages_pass(&server, &client);
    assert!(!trial.proxy.heard().is_empty(), "the proxy was not asked");
}

#[test]
fn enrollment_server_and_enrollment_client() {
    let trial = Trial::new(&[]);
    let server = trial.start("enrollment-server");
    let mut enroll = Command::new(env!("CARGO_BIN_EXE_aioconnectorsctl"));
    let output = enroll.arg("enroll").arg(&server.config).arg("client1").output().expect("the tool");
    assert!(output.status.success(), "{output:?}");
    fs::write(trial.place.file("etc").join("enrollment-client.token"), output.stdout).expect("the token's file");
    messages_pass(&server, &trial.start("enrollment-client"));
}

#[test]
fn broker_and_subscriber() {
    let trial = Trial::new(&[]);
    let (broker, subscriber) = (trial.start("broker"), trial.start("subscriber"));
    let (alarms, kitchen) = (subscriber.receive("alarms"), subscriber.receive("sensors.kitchen.temp"));
    subscriber.wait_peer(subscriber.api.server_id());
    // A subscription comes behind the link, and what is published before it is not for it.
    let publish = |message_type: &str, coming: &Receiver<Vec<u8>>| {
        wait::until(message_type, || {
            broker.api.publish_message(message_type).text("21.5").send().expect("it is taken");
            coming.recv_timeout(std::time::Duration::from_millis(100)).ok()
        })
    };
    assert_eq!(publish("alarms", &alarms), b"21.5");
    assert_eq!(publish("sensors.kitchen.temp", &kitchen), b"21.5");
    // One that is away misses no alarm.
    drop(subscriber);
    broker.api.publish_message("alarms").text("fire").send().expect("it is taken");
    let subscriber = trial.start("subscriber");
    let alarms = subscriber.receive("alarms");
    wait::until("what was published meanwhile", || (alarms.recv_timeout(wait::LIMIT).ok()? == b"fire").then_some(()));
}

#[test]
fn every_example_is_run_here_and_is_in_the_table_of_the_readme() {
    let names = fs::read_dir(FOLDER).expect("the folder").map(|entry| entry.expect("an entry").path());
    let configs: BTreeSet<String> = names
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        // What Grafana reads.
        .filter(|name| name != "grafana-dashboard")
        .collect();
    assert_eq!(configs.iter().map(String::as_str).collect::<Vec<_>>(), EXAMPLES);
    let readme = fs::read_to_string(Path::new(FOLDER).join("README.md")).expect("the README");
    for name in configs {
        assert!(readme.contains(&format!("| `{name}.json` |")), "{name} is not in config/README.md");
    }
}

#[test]
fn every_example_is_right_as_it_stands_and_its_paths_are_those_of_the_package_for_its_name() {
    for example in EXAMPLES {
        let text = fs::read_to_string(path_of(example)).expect("the example");
        // The paths of its sockets may be too long, too.
        let loaded = Config::load(&path_of(example)).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(loaded.warnings.is_empty(), "{example}: {:?}", loaded.warnings);
        for path in text.split('"').filter(|text| text.starts_with('/')) {
            let own = FOLDERS.iter().any(|(package, _)| {
                let rest = path.strip_prefix(package).and_then(|rest| rest.strip_prefix(example));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/']))
            });
            assert!(own, "{example}: {path}");
        }
    }
}
