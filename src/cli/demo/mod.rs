//! `demo`: a server and a client connector that exchange messages over TLS, to be watched.

mod flow;
pub mod pair;
mod screen;

use std::env;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::command::{Command, Failure, Opt};
use super::interrupt::{Interrupt, OnSignal};
use crate::api::{ApiError, ConnectorApi, Message};
use flow::{Flow, percentile};
use pair::{Pair, PairError, Plan};
use screen::{Screen, count};

/// Time to start and connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for an answer, and for messages on their way to arrive.
const ARRIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Time from the moment when a connector closes its sockets until its process has ended.
const ENDING: Duration = Duration::from_secs(1);

/// How long questions are asked.
const QUESTIONS: Duration = Duration::from_secs(3);

/// How long messages are sent as fast as they go.
const RUSH: Duration = Duration::from_secs(5);

const CLIENT: &str = "demo-client";
const TALK: &str = "any";
const RATE: &str = "rate";

/// Longest folder in which all socket names fit, bytes.
const FOLDER_MAX: usize = 30;

const KEEP: Opt = Opt { long: "keep", value: None, help: "leave the connectors running, and say how to talk to them" };

/// See `summary`.
pub const COMMAND: Command = Command {
    name: "demo",
    aliases: &[],
    summary: "Show two connectors that exchange messages over TLS; takes about 10 s.",
    details: "All files are in a temporary folder, which is removed at the end unless --keep is given.",
    operands: &[],
    options: &[KEEP],
    run: |args, out| {
        run(args.has(KEEP.long), out)?;
        Ok(ExitCode::SUCCESS)
    },
};

/// Why the demo failed.
#[derive(Debug)]
pub enum DemoError {
    /// The temporary folder, the own program or signals: what it was about, and what the system says.
    System(&'static str, io::Error),
    /// The connectors do not run.
    Pair(PairError),
    /// A message could not be sent or received.
    Api(ApiError),
    /// Messages did not arrive, or not in order.
    Lost {
        /// From where to where.
        way: &'static str,
        /// Messages that were sent.
        sent: u64,
        /// Messages that arrived.
        received: u64,
        /// Messages that arrived behind a later one.
        out_of_order: u64,
    },
    /// No answer of an app's came.
    Silent(&'static str),
    /// Stdout cannot be written.
    Output(io::Error),
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DemoError::System(what, e) => write!(f, "{what}: {e}"),
            DemoError::Pair(e) => e.fmt(f),
            DemoError::Api(e) => e.fmt(f),
            DemoError::Lost { way, sent, received, out_of_order } => write!(
                f,
                "{way}: {sent} messages were sent, {received} received after {ARRIVE_TIMEOUT:?}, {out_of_order} out of order"
            ),
            DemoError::Silent(way) => write!(f, "{way}: the message did not arrive within {ARRIVE_TIMEOUT:?}"),
            DemoError::Output(e) => write!(f, "stdout cannot be written: {e}"),
        }
    }
}

impl std::error::Error for DemoError {}

impl From<PairError> for DemoError {
    fn from(error: PairError) -> Self {
        DemoError::Pair(error)
    }
}

impl From<ApiError> for DemoError {
    fn from(error: ApiError) -> Self {
        DemoError::Api(error)
    }
}

impl From<io::Error> for DemoError {
    /// For what is written to the screen only.
    fn from(error: io::Error) -> Self {
        DemoError::Output(error)
    }
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        match error {
            DemoError::Output(e) => Failure::Output(e),
            other => Failure::failed(other),
        }
    }
}

/// Runs the demo; with `keep`, its connectors run on.
///
/// # Errors
/// [`DemoError`]. The connectors are ended then too, and their folder removed.
pub fn run(keep: bool, out: &mut dyn Write) -> Result<(), DemoError> {
    let interrupt = Interrupt::default();
    let set = interrupt.clone();
    let _on_signal = OnSignal::call(move || set.set()).map_err(|e| DemoError::System("signals cannot be caught", e))?;
    let program = env::current_exe().map_err(|e| DemoError::System("the own program is not found", e))?;
    let mut folder = make_folder().map_err(|e| DemoError::System("no temporary folder", e))?;
    let mut screen = Screen::on_stdout(out);
    screen.line("Two connectors on this machine, a server and a client, exchange messages over TLS.")?;
    let mut pair = start(&mut screen, folder.path(), &program, &interrupt)?;
    let mut show = Show { screen: &mut screen, interrupt: &interrupt };
    let shown = show.all(&pair);
    if !interrupt.came() {
        // When a connector has ended, that is what is wrong, whatever else follows from it.
        pair.check_for(if shown.is_err() { ENDING } else { Duration::ZERO })?;
        shown?;
    }
    if keep {
        pair.keep();
        folder.disable_cleanup(true);
        return Ok(explain(&mut screen, folder.path(), &program, &pair)?);
    }
    pair.stop();
    folder.close().map_err(|e| DemoError::System("the temporary folder cannot be removed", e))?;
    let the = if interrupt.came() { "Interrupted: the" } else { "The" };
    screen.line(&format!("\n{the} connectors are stopped, their folder is removed."))?;
    if interrupt.came() {
        return Ok(());
    }
    Ok(screen.line("With --keep they run on, and you can talk to them.")?)
}

/// A folder whose sockets have paths that fit: in `/tmp` if the usual place is too deep.
pub(super) fn make_folder() -> io::Result<TempDir> {
    let usual = env::temp_dir();
    let place = if usual.as_os_str().len() > FOLDER_MAX { PathBuf::from("/tmp") } else { usual };
    tempfile::Builder::new().prefix("aioconnectors-").tempdir_in(place)
}

fn start(screen: &mut Screen<'_>, folder: &Path, program: &Path, interrupt: &Interrupt) -> Result<Pair, DemoError> {
    let begin = Instant::now();
    let plan = Plan {
        program: program.into(),
        arguments: &["create-connector"],
        tls: true,
        client_name: CLIENT,
        message_types: &[TALK, RATE],
        settings: serde_json::Map::new(),
    };
    let mut pair = Pair::start(folder, &plan)?;
    screen.line(&format!("Certificates, configs, sockets and logs are in {}", folder.display()))?;
    for (name, connector) in [("server", pair.server()), ("client", pair.client())] {
        let id = connector.api()?.id().to_owned();
        screen.line(&format!("  {name}  {id:<22}  process {}", connector.pid()))?;
    }
    pair.wait_until_connected(CONNECT_TIMEOUT, || interrupt.came())?;
    if !interrupt.came() {
        let took = begin.elapsed();
        screen.line(&format!("Connected after {took:.0?}; the client has got a certificate of its own."))?;
    }
    Ok(pair)
}

fn explain(screen: &mut Screen<'_>, folder: &Path, program: &Path, pair: &Pair) -> io::Result<()> {
    let (program, folder) = (program.display(), folder.display());
    let (server, client) = (pair.server(), pair.client());
    screen.heading("The connectors run on. Try, in several terminals:")?;
    for (command, connector, more) in [
        ("test-receive-messages", server, ""),
        ("test-send-messages", client, ""),
        ("ping", client, ""),
        ("ping", server, CLIENT),
    ] {
        let line = format!("  {program} {command} {} {more}", connector.config().display());
        screen.line(line.trim_end())?;
    }
    screen.line("To stop them and to remove their folder:")?;
    screen.line(&format!("  kill {} {} && sleep 1 && rm -r {folder}", client.pid(), server.pid()))
}

/// The part that is watched.
struct Show<'s, 'o> {
    screen: &'s mut Screen<'o>,
    interrupt: &'s Interrupt,
}

impl Show<'_, '_> {
    fn all(&mut self, pair: &Pair) -> Result<(), DemoError> {
        let apis = Apis { server: pair.server().api()?, client: pair.client().api()? };
        if !self.interrupt.came() {
            self.talk(&apis)?;
        }
        if !self.interrupt.came() {
            self.ask(&apis, pair.server().api()?)?;
        }
        if !self.interrupt.came() {
            self.rush(Arc::new(apis))?;
        }
        Ok(())
    }

    /// A few messages each way.
    fn talk(&mut self, apis: &Apis) -> Result<(), DemoError> {
        self.screen.heading("A few messages")?;
        let (at_server, at_client) = (arrivals(&apis.server)?, arrivals(&apis.client)?);
        for number in 1..=2 {
            let text = format!("hello number {number} from the client");
            apis.client.send_message(TALK).text(&text).send()?;
            self.arrived("client -> server", &at_server)?;
            let value = serde_json::json!({"number": number, "answering": "the client"});
            apis.server.send_message(TALK).destination(CLIENT).json(&value).binary(&[1, 2, 3]).send()?;
            self.arrived("server -> client", &at_client)?;
        }
        apis.server.stop_waiting_for_messages(TALK);
        apis.client.stop_waiting_for_messages(TALK);
        Ok(())
    }

    fn arrived(&mut self, way: &'static str, arrivals: &mpsc::Receiver<Message>) -> Result<(), DemoError> {
        let message = arrivals.recv_timeout(ARRIVE_TIMEOUT).map_err(|_| DemoError::Silent(way))?;
        let text = String::from_utf8_lossy(message.data());
        let binary = message.binary().map(|b| format!(" and {} bytes of binary", b.len())).unwrap_or_default();
        Ok(self.screen.line(&format!("  {way}  {text}{binary}"))?)
    }

    /// Questions of an app at the client, that an app at the server answers, one at a time.
    fn ask(&mut self, apis: &Apis, answering: ConnectorApi) -> Result<(), DemoError> {
        self.screen.heading("Questions and answers, one at a time, from app to app and back")?;
        apis.server.start_waiting_for_messages(TALK, move |question| {
            if let Err(e) = answering.answer(&question).bytes(question.data()).send() {
                log::warn!("a question has no answer: {e}");
            }
        })?;
        let (start, mut shown, mut times) = (Instant::now(), Instant::now(), Vec::new());
        while start.elapsed() < QUESTIONS && !self.interrupt.came() {
            let asked = Instant::now();
            let number = i64::try_from(times.len()).unwrap_or_default();
            let question = apis.client.send_message(TALK).request_id(number).text("what do you say?");
            question.await_response(ARRIVE_TIMEOUT)?;
            times.push(asked.elapsed());
            if shown.elapsed() >= self.screen.period() {
                shown = Instant::now();
                self.screen.update(&answers(&times, start.elapsed()))?;
            }
        }
        apis.server.stop_waiting_for_messages(TALK);
        Ok(self.screen.update(&answers(&times, start.elapsed()))?)
    }

    /// Both ways at once, as fast as they go.
    fn rush(&mut self, apis: Arc<Apis>) -> Result<(), DemoError> {
        let title = format!(
            "As fast as they go, both ways at once, {} bytes each: a second, and how long one is on its way",
            flow::DATA
        );
        self.screen.heading(&title)?;
        let ways = [Way::start("to server", &apis, false)?, Way::start("to client", &apis, true)?];
        let watched = self.watch(&ways);
        ways.iter().for_each(|way| way.flow.stop());
        let totals: Vec<_> = ways.into_iter().map(|way| way.finish(self.interrupt)).collect();
        apis.client.stop_waiting_for_messages(RATE);
        apis.server.stop_waiting_for_messages(RATE);
        watched?;
        if self.interrupt.came() {
            return Ok(());
        }
        let total = totals.into_iter().sum::<Result<u64, DemoError>>()?;
        let line = format!("{} messages sent, all have arrived, in order.", count(total));
        Ok(self.screen.line(&line)?)
    }

    fn watch(&mut self, ways: &[Way]) -> io::Result<()> {
        let (start, mut last) = (Instant::now(), Instant::now());
        let mut counts: Vec<u64> = ways.iter().map(|way| way.flow.received()).collect();
        while start.elapsed() < RUSH && !self.interrupt.wait(self.screen.period()) {
            let seconds = last.elapsed().as_secs_f64();
            last = Instant::now();
            let (mut line, mut total) = (String::new(), 0.0);
            for (way, count) in ways.iter().zip(&mut counts) {
                let received = way.flow.received();
                let rate = (received - std::mem::replace(count, received)) as f64 / seconds;
                line += &way.describe(rate);
                total += rate;
            }
            let megabytes = total * flow::DATA as f64 / 1e6;
            self.screen.update(&format!("  {line}{megabytes:>4.0} MB/s"))?;
            if ways.iter().any(|way| way.sending.is_finished()) {
                break;
            }
        }
        Ok(())
    }
}

/// An app at each end.
struct Apis {
    server: ConnectorApi,
    client: ConnectorApi,
}

/// What arrives at one end.
fn arrivals(api: &ConnectorApi) -> Result<mpsc::Receiver<Message>, ApiError> {
    let (sender, arrivals) = mpsc::channel();
    // Nobody looks any more when it cannot be sent.
    api.start_waiting_for_messages(TALK, move |message| _ = sender.send(message))?;
    Ok(arrivals)
}

fn answers(times: &[Duration], elapsed: Duration) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |share| percentile(&sorted, share).unwrap_or_default();
    let rate = count((times.len() as f64 / elapsed.as_secs_f64()) as u64);
    format!("  {rate} answers/s   half within {:.0?}, 99 of 100 within {:.0?}", at(0.5), at(0.99))
}

/// One direction of the rush.
struct Way {
    name: &'static str,
    flow: Arc<Flow>,
    sending: JoinHandle<Result<(), ApiError>>,
}

impl Way {
    fn start(name: &'static str, apis: &Arc<Apis>, to_client: bool) -> Result<Self, DemoError> {
        let flow = Flow::new();
        let receiver = if to_client { &apis.client } else { &apis.server };
        let counted = Arc::clone(&flow);
        receiver.start_waiting_for_messages(RATE, move |message| counted.receive(&message))?;
        let (apis, sent) = (Arc::clone(apis), Arc::clone(&flow));
        let sending = thread::spawn(move || {
            let (api, destination) =
                if to_client { (&apis.server, CLIENT) } else { (&apis.client, apis.client.server_id()) };
            sent.send(api, RATE, destination)
        });
        Ok(Self { name, flow, sending })
    }

    /// A rate in messages a second, and how long messages were on their way since the last time. It is short: two of
    /// them stand in a line of 80.
    fn describe(&self, rate: f64) -> String {
        let mut delays = self.flow.take_delays();
        delays.sort_unstable();
        let delay = percentile(&delays, 0.5).unwrap_or_default().as_secs_f64() * 1000.0;
        format!("{} {:>9}/s {delay:>5.1} ms   ", self.name, count(rate as u64))
    }

    /// Waits for what is on its way; how many messages that were.
    fn finish(self, interrupt: &Interrupt) -> Result<u64, DemoError> {
        let sent = self.sending.join().unwrap_or(Ok(()));
        if !interrupt.came() {
            sent?;
        }
        let flow = &self.flow;
        let (mut last, mut since) = (flow.received(), Instant::now());
        while flow.received() < flow.sent()
            && since.elapsed() < ARRIVE_TIMEOUT
            && !interrupt.wait(Duration::from_millis(5))
        {
            if flow.received() != std::mem::replace(&mut last, flow.received()) {
                since = Instant::now();
            }
        }
        let (sent, received, out_of_order) = (flow.sent(), flow.received(), flow.out_of_order());
        if (received, out_of_order) != (sent, 0) {
            return Err(DemoError::Lost { way: self.name, sent, received, out_of_order });
        }
        Ok(sent)
    }
}
