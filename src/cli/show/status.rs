//! `aioconnectorsctl status`.

use std::io::Write;
use std::process::ExitCode;

use serde_json::Value;

use super::super::command::{Args, Command, Failure};
use super::super::human::{self, counted, printable};
use super::super::table::{View, write_pairs};
use super::{ask, known_sum, list, look, number, sum};

/// The command.
pub const COMMAND: Command = look(
    "status",
    "Show how a connector is: its state, its peers, what waits, what was lost, its store and certificate.",
    "Where stdout is no terminal, each line has a name and a value as show_status gives it, parted by a tab; lists are \
     left out. With --json it is the whole answer. The exit code is 0 if the connector answers, also if it is stopped.",
    run,
);

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let status = ask(args)?;
    match View::new(args) {
        View::Json => writeln!(out, "{status}")?,
        View::Plain => write_plain("", &status, out)?,
        View::Screen(width) => write_pairs(&pairs(&status), width, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Values that are no lists, with their names; what is within an object behind its name and a dot.
pub fn write_plain(prefix: &str, value: &Value, out: &mut dyn Write) -> Result<(), Failure> {
    for (name, value) in value.as_object().into_iter().flatten() {
        let name = format!("{prefix}{name}");
        match value {
            Value::Object(_) => write_plain(&format!("{name}."), value, out)?,
            Value::Array(_) | Value::Null => {}
            Value::String(text) => writeln!(out, "{}\t{}", printable(&name), printable(text))?,
            other => writeln!(out, "{}\t{other}", printable(&name))?,
        }
    }
    Ok(())
}

/// What a terminal shows.
pub fn pairs(status: &Value) -> Vec<(String, String)> {
    let mut pairs = Pairs(Vec::new());
    pairs.identity(status);
    pairs.traffic(status);
    pairs.losses(status);
    pairs.store(&status["store"]);
    pairs.certificate(&status["certificate"]);
    pairs.0
}

struct Pairs(Vec<(String, String)>);

impl Pairs {
    fn add(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    fn identity(&mut self, status: &Value) {
        if let Some(name) = text(&status["name"]) {
            self.add(
                "name",
                format!("{name}{}", text(&status["role"]).map(|r| format!(", a {r}")).unwrap_or_default()),
            );
        }
        let state = text(&status["state"]).unwrap_or_else(|| "?".to_owned());
        let time = status["uptime_s"].as_f64().map(|s| format!(" for {}", human::period(s))).unwrap_or_default();
        self.add("state", format!("{state}{time}"));
        let process = status["pid"].as_u64().map(|pid| format!(", process {pid}")).unwrap_or_default();
        let commit = text(&status["commit"]).map(|commit| format!(" ({commit})")).unwrap_or_default();
        self.add("version", format!("{}{commit}{process}", text(&status["version"]).unwrap_or_else(|| "?".to_owned())));
        if let Some(config) = text(&status["config"]) {
            self.add("config", config);
        }
        if let Some(address) = address(&status["server"]) {
            self.add(if status["role"] == "server" { "listens at" } else { "server" }, address);
        }
    }

    fn traffic(&mut self, status: &Value) {
        let peers = list(status, "peers");
        let connected = peers.iter().filter(|peer| peer["connected"] == true).count();
        match peers {
            [peer] if status["role"] == "client" => self.add("link", link(peer)),
            _ => self.add("peers", format!("{connected} of {} connected", peers.len())),
        }
        for (name, what) in [("sent", "sent"), ("received", "received")] {
            let count = sum(peers, &format!("{what}_messages"));
            self.add(name, amount(count, sum(peers, &format!("{what}_bytes"))));
        }
        let queued = amount(sum(peers, "queued_messages"), sum(peers, "queued_bytes"));
        self.add("queued", format!("{queued}{}", oldest(peers)));
        if let unconfirmed @ 1.. = sum(peers, "unconfirmed_messages") {
            self.add("unconfirmed", counted(unconfirmed, "message"));
        }
        let inboxes = list(status, "inboxes");
        let waiting = amount(sum(inboxes, "queued_messages"), sum(inboxes, "queued_bytes"));
        self.add("for programs", format!("{waiting}{}", oldest(inboxes)));
        let topics = list(status, "topics");
        if !topics.is_empty() {
            let stored = amount(sum(topics, "stored_messages"), sum(topics, "stored_bytes"));
            self.add("topics", format!("{}, {stored}", topics.len()));
        }
        let requests = &status["requests"];
        if number(requests, "asked") > 0 {
            let [asked, answered, failed, waiting] =
                ["asked", "answered", "failed", "waiting"].map(|name| number(requests, name));
            self.add("requests", format!("{asked}: {answered} answered, {failed} failed, {waiting} wait"));
        }
    }

    fn losses(&mut self, status: &Value) {
        let entries = list(status, "ledger");
        let lost = match (sum(entries, "messages"), known_sum(entries, "bytes")) {
            (0, _) => "nothing".to_owned(),
            (messages, None) => counted(messages, "message"),
            (messages, Some(bytes)) => amount(messages, bytes),
        };
        let more = if entries.is_empty() { "" } else { ": 'aioconnectorsctl ledger' says why" };
        self.add("not delivered", format!("{lost}{more}"));
        if let refused @ 1.. = number(status, "refused_links") {
            self.add("refused", counted(refused, "connection"));
        }
    }

    fn store(&mut self, store: &Value) {
        if store.is_null() {
            return;
        }
        let limit = store["limit_bytes"].as_u64().map(|n| format!(" of {}", human::size(n))).unwrap_or_default();
        let path = text(&store["path"]).map(|path| format!(" in {path}")).unwrap_or_default();
        self.add("store", format!("{}{limit}{path}", human::size(number(store, "bytes"))));
        if let Some(free) = store["disk_free_bytes"].as_u64() {
            let lasts = store["lasts_s"].as_f64();
            let lasts = lasts.map(|s| format!("; at this rate it lasts {}", human::period(s))).unwrap_or_default();
            self.add("disk", format!("{} free{lasts}", human::size(free)));
        }
    }

    fn certificate(&mut self, certificate: &Value) {
        let Some(left) = certificate["expires_in_s"].as_f64() else { return };
        let subject = text(&certificate["subject"]).map(|subject| format!("{subject}, ")).unwrap_or_default();
        let when = match left > 0.0 {
            true => format!("expires in {}", human::period(left)),
            false => format!("expired {} ago", human::period(-left)),
        };
        self.add("certificate", format!("{subject}{when}"));
    }
}

/// A client's link.
fn link(peer: &Value) -> String {
    let since = peer["since_s"].as_f64().map(|s| format!(" for {}", human::period(s))).unwrap_or_default();
    if peer["connected"] != true {
        return format!("away{since}");
    }
    let tls = text(&peer["tls"]).unwrap_or_else(|| "no TLS".to_owned());
    let trip = peer["round_trip_s"].as_f64().map(|s| format!(", {} there and back", human::period(s)));
    format!("up{since}, {tls}{}", trip.unwrap_or_default())
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(printable)
}

/// `HOST:PORT` of `[HOST, PORT]`; several of a list of those.
fn address(value: &Value) -> Option<String> {
    match value.as_array()?.as_slice() {
        [Value::String(host), port] => Some(format!("{}:{port}", printable(host))),
        all => Some(all.iter().map(address).collect::<Option<Vec<_>>>()?.join(", ")).filter(|text| !text.is_empty()),
    }
}

fn amount(messages: u64, bytes: u64) -> String {
    match messages {
        0 => "nothing".to_owned(),
        _ => format!("{}, {}", counted(messages, "message"), human::size(bytes)),
    }
}

fn oldest(queues: &[Value]) -> String {
    let oldest = queues.iter().filter_map(|queue| queue["oldest_s"].as_f64()).reduce(f64::max);
    oldest.map(|s| format!("; the oldest waits {}", human::period(s))).unwrap_or_default()
}
