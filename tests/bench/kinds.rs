//! All that is compared, where it is installed.

use std::path::{Path, PathBuf};

use crate::ours::{connectors, plan, pump, python_plan};
use crate::pump::Cipher;
use crate::report::{Book, JETSTREAM, LEAF, PUMP, PUMP_AS_OURS};
use crate::rivals::{mosquitto, nats, python};
use crate::system::System;
use crate::{Failure, Options};

/// How it is started.
enum Start {
    Pump(Cipher),
    Ours { tls: bool },
    Nats,
    JetStream,
    Mosquitto,
    Python(PathBuf),
}

/// One of what is compared.
pub struct Kind {
    pub name: &'static str,
    pub is_ours: bool,
    /// Whether messages are stored on their way.
    pub durable: bool,
    /// With no more clients than that it is measured.
    pub clients_max: usize,
    start: Start,
}

impl Kind {
    pub fn start(&self, folder: &Path, clients: usize) -> Result<System, Failure> {
        match &self.start {
            Start::Pump(cipher) => pump(self.name, folder, *cipher),
            Start::Ours { tls } => connectors(self.name, folder, &plan(*tls, self.durable), clients),
            Start::Nats => nats::leaves(self.name, folder, clients),
            Start::JetStream => nats::jetstream(self.name, folder),
            Start::Mosquitto => mosquitto::bridges(self.name, folder, clients, self.durable),
            Start::Python(interpreter) => {
                connectors(self.name, folder, &python_plan(interpreter, self.durable), clients)
            }
        }
    }

    /// Whether an end of it, killed and started again, goes on with what it had; the pump has no processes.
    pub fn has_processes(&self) -> bool {
        !matches!(self.start, Start::Pump(_))
    }

    /// Whether it brings what it stores to another machine.
    pub fn brings(&self) -> bool {
        !matches!(self.start, Start::JetStream)
    }

    pub fn is_python(&self) -> bool {
        matches!(self.start, Start::Python(_))
    }

    pub fn has_tls(&self) -> bool {
        !matches!(self.start, Start::Ours { tls: false })
    }
}

/// All of them.
pub struct Kinds {
    pub all: Vec<Kind>,
}

/// Most clients of the Python package: more of its processes say nothing new.
const ONE: usize = 1;

const MANY: usize = 100;

impl Kinds {
    /// Looks for them, and writes down what they are and what is not there.
    pub fn find(options: &Options, book: &mut Book) -> Self {
        let kind = |name, is_ours, durable, clients_max, start| Kind { name, is_ours, durable, clients_max, start };
        let mut all = vec![
            kind(PUMP, false, false, ONE, Start::Pump(Cipher::Plain)),
            kind(PUMP_AS_OURS, false, false, ONE, Start::Pump(Cipher::Ours)),
            kind("ours, TLS", true, false, MANY, Start::Ours { tls: true }),
            kind("ours, plain", true, false, ONE, Start::Ours { tls: false }),
            kind("ours, disk", true, true, ONE, Start::Ours { tls: true }),
        ];
        let version = format!("aioconnectorsd {}", env!("CARGO_PKG_VERSION"));
        let mut about = |name: &str, version: &str, settings: &str| {
            book.about.push([name, version, settings].map(str::to_owned));
        };
        about(
            PUMP,
            "rustls",
            "Unix socket, TLS, TCP, TLS, Unix socket: the same bytes, no messages in mind; the limit",
        );
        about(PUMP_AS_OURS, "rustls", "the same, with the cipher that connectors take on this processor");
        about("ours, TLS", &version, "TLS with a certificate for each client; apps over Unix sockets");
        about("ours, plain", &version, "the same without TLS");
        about("ours, disk", &version, "TLS, stored at both ends, persistence_sync \"os\": a kill loses nothing");
        let mut absent = Vec::new();
        match nats::found() {
            Some(version) => {
                about(LEAF, &version, nats::SETTINGS);
                about(JETSTREAM, &version, nats::STREAM_SETTINGS);
                all.push(kind(LEAF, false, false, MANY, Start::Nats));
                all.push(kind(JETSTREAM, false, true, ONE, Start::JetStream));
            }
            None => absent.push([LEAF, "nats-server is not installed (apt install nats-server)"]),
        }
        match mosquitto::found() {
            Some(version) => {
                about("Mosquitto bridge", &version, mosquitto::SETTINGS);
                about("Mosquitto, QoS 1", &version, mosquitto::DURABLE_SETTINGS);
                all.push(kind("Mosquitto bridge", false, false, MANY, Start::Mosquitto));
                all.push(kind("Mosquitto, QoS 1", false, true, ONE, Start::Mosquitto));
            }
            None => absent.push(["Mosquitto bridge", "mosquitto is not installed (apt install mosquitto)"]),
        }
        match python::found(options.python.as_deref()) {
            Some((interpreter, version)) => {
                about("Python package", &version, python::SETTINGS);
                about("Python, disk", &version, "the same, with disk_persistence_send and disk_persistence_recv");
                absent.push([
                    "Python package",
                    "not in \"both ways\": traffic in both directions can stop its client until send_timeout is over",
                ]);
                all.push(kind("Python package", false, false, ONE, Start::Python(interpreter.clone())));
                all.push(kind("Python, disk", false, true, ONE, Start::Python(interpreter)));
            }
            None => absent.push(["Python package", "no interpreter with it (--python FILE)"]),
        }
        book.absent.extend(absent.into_iter().map(|line| line.map(str::to_owned)));
        all.retain(|kind| kind.name.contains(&options.system));
        Self { all }
    }
}
