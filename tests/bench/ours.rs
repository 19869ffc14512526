//! Connectors of ours as they are measured, and the bare pump beside them; connectors of the Python package as well: they
//! take the same config, and their apps speak the same frames.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use aioconnectors::cli::demo::pair::{Pair, Plan};
use aioconnectors::wire::names::{Role, SocketPaths};
use serde_json::{Value, json};

use crate::Failure;
use crate::broker::Broker;
use crate::client::{Place, Sink, Source, Speech};
use crate::pump::{Cipher, Pump};
use crate::system::{Brokers, End, Flow, System};

pub const CLIENT: &str = "bench";
pub const MESSAGE_TYPE: &str = "any";

/// The type of requests.
pub const ASK: &str = "ask";

/// Bytes that a queue on disk may have: more than is ever measured.
const PERSISTENCE_MAX: u64 = 64 << 30;

/// Time for two connectors to start and connect.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// The program of ours.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_aioconnectorsd");

/// Two connectors of ours.
pub fn plan(tls: bool, durable: bool) -> Plan {
    plan_of(tls, &[MESSAGE_TYPE, ASK], settings(durable))
}

/// The same with these message types and settings.
pub fn plan_of(tls: bool, message_types: &'static [&'static str], settings: Value) -> Plan {
    Plan {
        program: PROGRAM.into(),
        arguments: &[],
        tls,
        client_name: CLIENT,
        message_types,
        settings: settings.as_object().cloned().unwrap_or_default(),
    }
}

fn settings(durable: bool) -> Value {
    json!({"disk_persistence_send": durable, "disk_persistence_recv": durable,
        "max_size_persistence_path": PERSISTENCE_MAX})
}

/// Two connectors of the Python package over TLS.
pub fn python_plan(interpreter: &Path, durable: bool) -> Plan {
    let arguments = &["-W", "ignore", "-m", "aioconnectors", "create_connector"];
    Plan { program: OsString::from(interpreter), arguments, ..plan(true, durable) }
}

/// Where apps go in and out of two connectors in `folder`.
pub struct Ends {
    pub entry: PathBuf,
    pub exit: PathBuf,
    pub header: String,
}

impl Ends {
    pub fn of(pair: &Pair, folder: &Path) -> Result<Self, Failure> {
        let server = pair.server().api()?.id().to_owned();
        let exit = SocketPaths::new(&folder.join("server"), Role::Server, &server).receive(MESSAGE_TYPE);
        let entry = SocketPaths::new(&folder.join("client"), Role::Client, CLIENT).send();
        Ok(Self { entry, exit, header: header(CLIENT, &server) })
    }

    /// From the server's apps to the client's.
    pub fn back(pair: &Pair, folder: &Path) -> Result<Self, Failure> {
        let server = pair.server().api()?.id().to_owned();
        let entry = SocketPaths::new(&folder.join("server"), Role::Server, &server).send();
        let exit = SocketPaths::new(&folder.join("client"), Role::Client, CLIENT).receive(MESSAGE_TYPE);
        Ok(Self { entry, exit, header: header(&server, CLIENT) })
    }

    fn flow(self) -> Result<Flow, Failure> {
        let source = Source { place: Place::Unix(self.entry), speech: Speech::frames(&self.header) };
        Ok(Flow { sources: vec![source], sink: End::App(Sink::listen(&self.exit)?) })
    }
}

/// The header that an app writes; the same for each message.
pub fn header(source: &str, destination: &str) -> String {
    header_of(MESSAGE_TYPE, source, destination)
}

/// The same of another type.
pub fn header_of(message_type: &str, source: &str, destination: &str) -> String {
    format!(r#"{{"message_type": "{message_type}", "source_id": "{source}", "destination_id": "{destination}"}}"#)
}

pub fn pump(name: &'static str, folder: &Path, cipher: Cipher) -> Result<System, Failure> {
    let (mut pumps, mut flows) = (Vec::new(), Vec::new());
    for way in ["there", "back"] {
        let (entry, exit) = (folder.join(format!("{way}-in")), folder.join(format!("{way}-out")));
        let header = header(CLIENT, "('127.0.0.1', 10673)");
        pumps.push(Pump::new(&entry, &exit, cipher)?);
        flows.push(Ends { entry, exit, header }.flow()?);
    }
    let pumps: [Pump; 2] = pumps.try_into().map_err(|_| "two pumps are two")?;
    Ok(System { name, brokers: Brokers::Pump(Box::new(pumps)), flows })
}

/// Connectors by this plan, the client that it names and more up to so many.
pub fn connectors(name: &'static str, folder: &Path, plan: &Plan, clients: usize) -> Result<System, Failure> {
    let mut pair = Pair::start(folder, plan)?;
    pair.wait_until_connected(CONNECT_TIMEOUT, || false)?;
    wait_named(&pair)?;
    let mut there = Ends::of(&pair, folder)?.flow()?;
    let back = Ends::back(&pair, folder)?.flow()?;
    let config: Value = serde_json::from_slice(&fs::read(pair.client().config())?)?;
    let server = pair.server().api()?.id().to_owned();
    let mut more = Vec::new();
    for number in 1..clients {
        let (broker, source) = another(folder, &config, &server, number)?;
        more.push(broker);
        there.sources.push(source);
    }
    // In the Python package, traffic in both directions can stop the client's TLS writer until `send_timeout` is over.
    let has_way_back = clients == 1 && plan.program == PROGRAM;
    let flows = if has_way_back { vec![there, back] } else { vec![there] };
    Ok(System { name, brokers: Brokers::Pair(Box::new(pair), more), flows })
}

/// Waits until the server knows the client by its name. Before that it may be connected to get its certificate, and the
/// Python package would lose what is sent meanwhile.
fn wait_named(pair: &Pair) -> Result<(), Failure> {
    let remote = pair.server().api()?.remote().timeout(CONNECT_TIMEOUT);
    let start = Instant::now();
    while !remote.connected_peers()?.iter().any(|name| name == CLIENT) {
        if start.elapsed() > CONNECT_TIMEOUT {
            return Err(format!("the client is not known to the server after {CONNECT_TIMEOUT:?}").into());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// One more client, and the app that blasts into it. It gets its own certificate from the server.
fn another(folder: &Path, config: &Value, server: &str, number: usize) -> Result<(Broker, Source), Failure> {
    let name = format!("{CLIENT}{number}");
    let own = folder.join(&name);
    fs::create_dir(&own)?;
    let mut config = config.clone();
    config["client_name"] = json!(name);
    config["connector_files_dirpath"] = json!(own);
    config["default_logger_dirpath"] = json!(own);
    let file = folder.join(format!("{name}.json"));
    fs::write(&file, config.to_string())?;
    let broker = Broker::start(PROGRAM, [file], own.join("output.log"))?;
    let place = Place::Unix(SocketPaths::new(&own, Role::Client, &name).send());
    Ok((broker, Source { place, speech: Speech::frames(&header(&name, server)) }))
}
