//! `aioconnectorsctl chat`: two people, or two scripts, on two machines.

mod connector;
mod incoming;

mod screen;
mod talk;
mod upload;
mod warnings;
mod words;

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::command::{Args, Command, Failure, Opt};
use super::exit;
use super::interrupt::{Interrupt, OnSignal};
use crate::api::Message;
use crate::config::Config;
use connector::{Connector, Meeting};
use incoming::Incoming;
use screen::Screen;
use talk::{Next, Talk};

/// Things that have happened and wait to be looked at.
const EVENTS_MAX: usize = 1000;

/// Between two looks at the connector.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Longest line that is typed, bytes.
const LINE_MAX: u64 = 1 << 20;

const TARGET: Opt =
    Opt { long: "target", value: Some("HOST"), help: "where the other side listens; without it, this one does" };
const PORT: Opt = Opt { long: "port", value: Some("PORT"), help: "the port to listen at or to go to; 10673" };
const BIND: Opt =
    Opt { long: "bind", value: Some("ADDRESS"), help: "the address or network interface to listen at; all of them" };
const ACCEPT: Opt = Opt { long: "accept", value: None, help: "let in who comes, and take files, without asking" };
const DIR: Opt = Opt { long: "dir", value: Some("DIR"), help: "where files go that come; the current folder" };
const UPLOAD: Opt =
    Opt { long: "upload", value: Some("PATH"), help: "with --target: send this file or folder, and end" };
const EXEC: Opt = Opt { long: "exec", value: None, help: "let !COMMAND run COMMAND here, in a shell" };

/// See `summary`.
pub const COMMAND: Command = Command {
    name: "chat",
    aliases: &[],
    summary: "Talk to somebody on another machine, and send files.",
    details: "One side listens, the other one names it with --target. What is typed goes to the other side, line by \
        line, but:\n  !upload PATH  sends a file, or a folder with all that is in it\n  !exit         ends it\n  \
        !help         says this\nThe connection is encrypted, but nobody's certificate is checked: look who comes. It \
        understands the chat of the\nPython package. Exit codes: 0 ended, 1 failed, 2 wrong arguments, 3 the upload \
        is not wanted.",
    operands: &[],
    options: &[TARGET, PORT, BIND, ACCEPT, DIR, UPLOAD, EXEC],
    run,
};

/// What happens.
enum Event {
    /// A line was typed.
    Typed(String),
    /// No more will be typed.
    TypedAll,
    /// The connector has brought a message.
    Came(Message),
    /// Something else has something to say.
    Told(String),
    /// What became of an upload.
    Uploaded(Result<upload::End, String>),
}

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let text = |long: &str| args.option(long).map(|value| value.to_string_lossy().into_owned());
    let meeting = Meeting {
        target: text(TARGET.long),
        bind: text(BIND.long).unwrap_or_else(|| "0.0.0.0".to_owned()),
        port: args.value(PORT.long)?.unwrap_or_else(|| Config::default().server_sockaddr.first.port),
    };
    let upload = args.option(UPLOAD.long).map(PathBuf::from);
    match meeting.target {
        None if upload.is_some() => return Err(Failure::usage("--upload needs a --target")),
        Some(_) if args.has(BIND.long) => return Err(Failure::usage("--bind and --target: leave one out")),
        _ => {}
    }
    if let Some(path) = &upload {
        // Before anything is connected.
        upload::Upload::find(path, String::new()).map_err(Failure::Failed)?;
    }
    let interrupt = Interrupt::default();
    let set = interrupt.clone();
    let signals = |e| Failure::Failed(format!("signals cannot be caught: {e}"));
    let _on_signal = OnSignal::call(move || set.set()).map_err(signals)?;
    let dir = args.option(DIR.long).map_or(Path::new("."), Path::new);
    let incoming = Incoming::new(dir);
    let incoming = incoming.map_err(|e| Failure::Failed(format!("{}: no files can come here: {e}", dir.display())))?;
    let (events, happened) = mpsc::sync_channel(EVENTS_MAX);
    warnings::tell(events.clone());
    let connector = Connector::start(&meeting, incoming.aside())?;
    let mut screen = Screen::new(out);
    greet(&mut screen, &meeting)?;
    let gate = Gate::default();
    if upload.is_none() {
        read_stdin(events.clone(), gate.clone());
    }
    let is_listener = meeting.target.is_none();
    let mut talk = Talk::new(screen, connector, incoming, events)?;
    talk.takes_all = args.has(ACCEPT.long);
    talk.asks_who = is_listener && !talk.takes_all;
    talk.stays = is_listener && talk.takes_all;
    talk.exec = args.has(EXEC.long);
    talk.typed_all = upload.is_some();
    talk.upload = upload;
    let ended = go_on(&mut talk, &happened, &gate, &interrupt);
    // Callbacks that still want to bring something find nobody.
    drop(happened);
    talk.stop();
    ended
}

/// Until the end.
fn go_on(
    talk: &mut Talk<'_>,
    happened: &mpsc::Receiver<Event>,
    gate: &Gate,
    interrupt: &Interrupt,
) -> Result<ExitCode, Failure> {
    let is_terminal = io::stdin().is_terminal();
    let mut looked: Option<Instant> = None;
    while !interrupt.came() {
        let next = match happened.recv_timeout(LOOK_AGAIN) {
            Ok(Event::Typed(line)) => talk.typed(&line)?,
            Ok(Event::TypedAll) => talk.typed_all()?,
            Ok(Event::Came(message)) => talk.came(message)?,
            Ok(Event::Told(text)) => talk.tell(&text)?,
            Ok(Event::Uploaded(result)) => talk.uploaded(result)?,
            Err(RecvTimeoutError::Timeout) => Next::GoOn,
            Err(RecvTimeoutError::Disconnected) => Next::End(ExitCode::SUCCESS),
        };
        if let Next::End(code) = next {
            return Ok(code);
        }
        if looked.is_none_or(|looked| looked.elapsed() >= LOOK_AGAIN) {
            talk.look()?;
            looked = Some(Instant::now());
        }
        if is_terminal || talk.wants_lines() {
            gate.open();
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn greet(screen: &mut Screen<'_>, meeting: &Meeting) -> io::Result<()> {
    let Meeting { target, bind, port } = meeting;
    if let Some(target) = target {
        return screen.line(&format!("Connecting to {target} port {port} (Ctrl-C ends it)"));
    }
    let addresses = if bind == "0.0.0.0" { connector::own_addresses().unwrap_or_default() } else { vec![bind.clone()] };
    let host = addresses.first().map_or("THIS_MACHINE", String::as_str);
    screen.line(&format!("Listening at {bind} port {port}. On the other machine:"))?;
    screen.line(&format!("  aioconnectorsctl chat --target {host} --port {port}"))
}

/// Keeps lines back that come from a file or a pipe, until somebody is there whom they can be said to.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let open = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.1.wait_while(open, |open| !*open));
    }
}

/// Reads what is typed, on a thread that nobody waits for: a read of a terminal has no end.
fn read_stdin(events: SyncSender<Event>, gate: Gate) {
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = io::Read::take(&mut stdin, LINE_MAX).read_until(b'\n', &mut line);
            let event = match read {
                Ok(0) | Err(_) => Event::TypedAll,
                Ok(_) => Event::Typed(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()),
            };
            let is_last = matches!(event, Event::TypedAll);
            gate.wait();
            if events.send(event).is_err() || is_last {
                return;
            }
        }
    });
}

/// The exit code of an upload that is not wanted.
fn declined() -> ExitCode {
    ExitCode::from(exit::REFUSED)
}
