//! `nats-server`: a leaf node at each near end, over TLS to a hub; and its JetStream, which stores.
//!
//! Apps connect to it over TCP on loopback: it knows no Unix sockets. `max_pending` and `write_deadline` are so large
//! that nobody is cut off for being slow, so nothing is dropped while memory lasts.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use super::{make_certificates, version};
use crate::Failure;
use crate::broker::{Broker, free_port};
use crate::client::{Place, Sink, Source, Speech};
use crate::jetstream::Stream;
use crate::system::{Brokers, End, Flow, System};

const PROGRAM: &str = "nats-server";

/// The subjects of the two directions.
const NEAR: &str = "near";
const FAR: &str = "far";

pub fn found() -> Option<String> {
    version(PROGRAM, "--version")
}

/// What it is told, for those who read the table.
pub const SETTINGS: &str =
    "leaf node, TLS with certificates of both, max_pending 4 GB, write_deadline 10 min; apps over TCP";

/// The same for JetStream.
pub const STREAM_SETTINGS: &str = "one server, no TLS: what it takes into a stream of files, without acknowledgements; \
    not brought to anybody";

/// What all servers are told.
fn common(listen: SocketAddr) -> String {
    format!(
        "listen: \"{listen}\"\nmax_pending: 4GB\nmax_payload: 8MB\nwrite_deadline: \"10m\"\nping_interval: \"30m\"\n\
         max_connections: 100000\nlogtime: false\n"
    )
}

fn start(folder: &Path, name: &str, config: &str) -> Result<Broker, Failure> {
    let file = folder.join(format!("{name}.conf"));
    fs::write(&file, format!("server_name: {name}\n{config}"))?;
    Broker::start(PROGRAM, ["-c".into(), file], folder.join(format!("{name}.log")))
}

/// So many leaf nodes and a hub.
pub fn leaves(name: &'static str, folder: &Path, clients: usize) -> Result<System, Failure> {
    make_certificates(folder)?;
    let (hub, link) = (free_port()?, free_port()?);
    let tls = |who: &str| {
        let file = |name: String| folder.join(name).display().to_string();
        format!(
            "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true, timeout: 30 }}",
            file(format!("{who}.pem")),
            file(format!("{who}.key")),
            file("ca.pem".to_owned()),
        )
    };
    let config = format!("{}leafnodes {{ listen: \"{link}\", {} }}\n", common(hub), tls("server"));
    let far = start(folder, "hub", &config)?;
    let (mut near, mut sources, mut first) = (Vec::new(), Vec::new(), hub);
    for number in 0..clients {
        let leaf = free_port()?;
        let remote = format!("leafnodes {{ remotes: [ {{ url: \"tls://{link}\", {} }} ] }}\n", tls("client"));
        near.push(start(folder, &format!("leaf{number}"), &format!("{}{remote}", common(leaf)))?);
        sources.push(Source { place: Place::Tcp(leaf), speech: Speech::nats(NEAR) });
        if number == 0 {
            first = leaf;
        }
    }
    let sink = |at: SocketAddr, subject: &str| Sink::subscribe(Place::Tcp(at), Speech::nats(subject)).map(End::App);
    let mut flows = vec![Flow { sources, sink: sink(hub, NEAR)? }];
    if clients == 1 {
        let back = Source { place: Place::Tcp(hub), speech: Speech::nats(FAR) };
        flows.push(Flow { sources: vec![back], sink: sink(first, FAR)? });
    }
    Ok(System { name, brokers: Brokers::Others { near, far: Some(far) }, flows })
}

/// One server with a stream of files.
pub fn jetstream(name: &'static str, folder: &Path) -> Result<System, Failure> {
    let at = free_port()?;
    let store = folder.join("store");
    let settings = format!("jetstream {{ store_dir: \"{}\", max_file: 60GB, max_mem: 1GB }}\n", store.display());
    let near = vec![start(folder, "jetstream", &format!("{}{settings}", common(at)))?];
    let stream = Stream::create(at, NEAR)?;
    let sources = vec![Source { place: Place::Tcp(at), speech: Speech::nats(NEAR) }];
    let flows = vec![Flow { sources, sink: End::Stream(stream) }];
    Ok(System { name, brokers: Brokers::Others { near, far: None }, flows })
}
