//! `mosquitto`: a bridge at each near end, over TLS to another one; apps connect over Unix sockets. QoS 0; or QoS 1 with
//! persistence, which it writes as a whole once a second: a broker that is killed loses what came since.

use std::fs;
use std::path::Path;

use super::{make_certificates, version};
use crate::Failure;
use crate::broker::{Broker, free_port};
use crate::client::{Place, Sink, Source, Speech};
use crate::system::{Brokers, End, Flow, System};

const PROGRAM: &str = "mosquitto";

/// The topics of the two directions.
const NEAR: &str = "near";
const FAR: &str = "far";

pub fn found() -> Option<String> {
    version(PROGRAM, "-h")
}

/// What it is told, for those who read the table.
pub const SETTINGS: &str = "bridge, TLS with certificates of both, QoS 0, queues without limit; apps over Unix sockets";

/// The same where it stores.
pub const DURABLE_SETTINGS: &str = "bridge, TLS with certificates of both, QoS 1 all the way, max_inflight_messages \
    4000, queues without limit, persistence every second (weaker than ours: a kill loses up to a second); apps over \
    Unix sockets";

/// What all brokers are told; `user` is for root, who else becomes one who may not read the certificates.
fn common(own: &Path, durable: bool) -> String {
    let persistence = if durable {
        format!("persistence true\npersistence_location {}/\nautosave_interval 1\n", own.display())
    } else {
        "persistence false\n".to_owned()
    };
    format!(
        "user root\nallow_anonymous true\nset_tcp_nodelay true\nlog_type error\nmax_queued_messages 0\n\
         max_queued_bytes 0\nmax_inflight_messages 4000\nsys_interval 0\n{persistence}listener 0 {}\n",
        own.join("socket").display()
    )
}

fn start(folder: &Path, name: &str, durable: bool, config: &str) -> Result<Broker, Failure> {
    let own = folder.join(name);
    fs::create_dir(&own)?;
    let file = own.join("mosquitto.conf");
    fs::write(&file, format!("{}{config}", common(&own, durable)))?;
    Broker::start(PROGRAM, ["-c".into(), file], own.join("output.log"))
}

/// So many bridges, and the broker that they connect to.
pub fn bridges(name: &'static str, folder: &Path, clients: usize, durable: bool) -> Result<System, Failure> {
    make_certificates(folder)?;
    let (at, qos) = (free_port()?, u8::from(durable));
    let file = |name: &str| folder.join(name).display().to_string();
    let (ca, server, server_key) = (file("ca.pem"), file("server.pem"), file("server.key"));
    let tls = format!("cafile {ca}\ncertfile {server}\nkeyfile {server_key}\nrequire_certificate true\n");
    let far = start(folder, "hub", durable, &format!("listener {} {}\n{tls}", at.port(), at.ip()))?;
    let (client, client_key) = (file("client.pem"), file("client.key"));
    let socket = |who: &str| Place::Unix(folder.join(who).join("socket"));
    let (mut near, mut sources) = (Vec::new(), Vec::new());
    for number in 0..clients {
        let who = format!("bridge{number}");
        let config = format!(
            "connection {who}\naddress {at}\nbridge_cafile {ca}\nbridge_certfile {client}\nbridge_keyfile \
             {client_key}\nbridge_protocol_version mqttv311\nnotifications false\nbridge_attempt_unsubscribe false\n\
             cleansession {}\nrestart_timeout 1 1\ntopic {NEAR} out {qos}\ntopic {FAR} in {qos}\ntopic ask out 0\n\
             topic answer in 0\n",
            !durable
        );
        near.push(start(folder, &who, durable, &config)?);
        sources.push(Source { place: socket(&who), speech: Speech::mqtt(NEAR, &format!("in{number}"), durable) });
    }
    let sink = |at: &str, topic: &str| {
        Sink::subscribe(socket(at), Speech::mqtt(topic, &format!("out-{topic}"), durable)).map(End::App)
    };
    let mut flows = vec![Flow { sources, sink: sink("hub", NEAR)? }];
    if clients == 1 {
        let back = Source { place: socket("hub"), speech: Speech::mqtt(FAR, "back", durable) };
        flows.push(Flow { sources: vec![back], sink: sink("bridge0", FAR)? });
    }
    Ok(System { name, brokers: Brokers::Others { near, far: Some(far) }, flows })
}
