//! What a chat does when something happens.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use super::connector::Connector;
use super::declined;
use super::incoming::Incoming;
use super::screen::Screen;
use super::upload::{End, Upload, describe};
use super::words::{TYPE, Word, harmless};
use super::{Event, Failure};
use crate::api::{ConnectorApi, Level, Message};
use crate::cli::exit;

/// Time for the connector to take a line.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Most messages of somebody who is not let in yet.
const HELD_MAX: usize = 1000;

const HELP: &str = "!upload PATH sends a file or a folder, !exit ends it; anything else is said to the other side.";

/// Whether it goes on.
pub enum Next {
    GoOn,
    End(ExitCode),
}

/// What the user is asked.
enum Question {
    /// Whether to let in who came from there.
    Client(SocketAddr),
    /// Whether an upload is wanted.
    Offer(Message),
    /// Whether a file is wanted that came without being offered.
    File(Message),
}

/// One side of a chat.
pub struct Talk<'a> {
    screen: Screen<'a>,
    connector: Connector,
    api: Arc<ConnectorApi>,
    incoming: Incoming,
    events: SyncSender<Event>,
    /// Whether the user says who is let in.
    pub asks_who: bool,
    /// Whether files are taken without asking.
    pub takes_all: bool,
    /// Whether `!COMMAND` runs commands.
    pub exec: bool,
    /// What to send before it ends.
    pub upload: Option<PathBuf>,
    /// Whether it goes on when nobody types any more.
    pub stays: bool,
    /// Nobody types any more.
    pub typed_all: bool,
    /// Where the other side is connected from.
    address: Option<SocketAddr>,
    /// From there it was let in, or not.
    allowed: Option<(SocketAddr, bool)>,
    /// From somebody who is not let in yet.
    held: Vec<Message>,
    /// The first one has been asked.
    questions: VecDeque<Question>,
    uploading: bool,
    uploads: u64,
}

impl<'a> Talk<'a> {
    pub fn new(
        screen: Screen<'a>,
        connector: Connector,
        incoming: Incoming,
        events: SyncSender<Event>,
    ) -> Result<Self, Failure> {
        let api = Arc::clone(&connector.api);
        let came = events.clone();
        // After the end nobody takes it.
        api.start_waiting_for_messages(TYPE, move |message| _ = came.send(Event::Came(message)))
            .map_err(exit::failure)?;
        Ok(Self {
            screen,
            connector,
            api,
            incoming,
            events,
            asks_who: false,
            takes_all: false,
            exec: false,
            upload: None,
            stays: false,
            typed_all: false,
            address: None,
            allowed: None,
            held: Vec::new(),
            questions: VecDeque::new(),
            uploading: false,
            uploads: 0,
        })
    }

    /// Takes no more messages.
    pub fn stop(&self) {
        self.api.stop_waiting_for_messages(TYPE);
    }

    pub fn tell(&mut self, text: &str) -> Result<Next, Failure> {
        self.screen.line(text)?;
        if self.is_open() {
            self.screen.prompt()?;
        }
        Ok(Next::GoOn)
    }

    /// Whether there is somebody to talk to.
    fn is_open(&self) -> bool {
        let is_allowed = !self.asks_who || self.allowed.as_ref().is_some_and(|(_, allowed)| *allowed);
        self.address.is_some() && is_allowed
    }

    /// Whether what is typed can be for somebody.
    pub fn wants_lines(&self) -> bool {
        self.is_open() || !self.questions.is_empty()
    }

    /// Looks whether the connector runs, and who is there.
    pub fn look(&mut self) -> Result<(), Failure> {
        self.connector.check()?;
        let address = self.connector.peer_address();
        if address == self.address {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.address, address);
        let Some(address) = address else {
            self.leave()?;
            return Ok(());
        };
        if before.is_some() {
            // Another connection has taken the place of the one that was there.
            self.leave()?;
        }
        if self.asks_who {
            return self.ask(Question::Client(address));
        }
        self.tell(&format!("Connected: {}, at {address}.", self.connector.label))?;
        match self.upload.take() {
            Some(path) => self.start_upload(&path).map(drop),
            None => Ok(()),
        }
    }

    /// The other side has gone, with all that waited for it.
    fn leave(&mut self) -> Result<(), Failure> {
        self.allowed = None;
        let held = std::mem::take(&mut self.held);
        held.iter().for_each(|message| self.discard(message));
        let was_asked = !self.questions.is_empty();
        for question in std::mem::take(&mut self.questions) {
            if let Question::File(message) = question {
                self.discard(&message);
            }
        }
        let asked = if was_asked { " The question is void." } else { "" };
        self.tell(&format!("{} is not connected any more.{asked}", self.connector.label))?;
        Ok(())
    }

    pub fn typed_all(&mut self) -> Result<Next, Failure> {
        self.typed_all = true;
        // Who asks nothing needs nobody who types; what is under way comes to its end.
        let goes_on = self.stays || self.uploading;
        Ok(if goes_on { Next::GoOn } else { Next::End(ExitCode::SUCCESS) })
    }

    pub fn typed(&mut self, line: &str) -> Result<Next, Failure> {
        self.screen.typed();
        if line == "!exit" {
            return Ok(Next::End(ExitCode::SUCCESS));
        }
        if !self.questions.is_empty() {
            match line.trim() {
                "y" | "yes" => self.answered(true)?,
                "n" | "no" => self.answered(false)?,
                _ => _ = self.tell("y or n?")?,
            }
            return Ok(Next::GoOn);
        }
        if let Some(command) = line.strip_prefix('!') {
            return self.command(command);
        }
        if line.is_empty() {
            self.screen.prompt()?;
            return Ok(Next::GoOn);
        }
        if !self.is_open() {
            return self.tell("Nobody is there yet: it was not sent.");
        }
        let message = self.api.send_message(TYPE).destination(self.connector.peer()).text(line);
        match message.await_receipt(Level::Accepted, SEND_TIMEOUT) {
            Ok(()) => self.screen.prompt()?,
            Err(error) => _ = self.tell(&format!("It was not sent: {}", exit::words(&error)))?,
        }
        Ok(Next::GoOn)
    }

    fn command(&mut self, command: &str) -> Result<Next, Failure> {
        match command.split_once(' ') {
            Some(("upload", path)) if !self.is_open() => {
                self.tell(&format!("Nobody is there yet: {path} was not sent."))
            }
            Some(("upload", path)) => self.start_upload(Path::new(path.trim())),
            _ if command == "help" => self.tell(HELP),
            _ if self.exec && !command.trim().is_empty() => {
                let (events, command) = (self.events.clone(), command.to_owned());
                thread::spawn(move || events.send(Event::Told(run_shell(&command))));
                Ok(Next::GoOn)
            }
            _ => self.tell(&format!("!{command} is not known. {HELP}")),
        }
    }

    fn start_upload(&mut self, path: &Path) -> Result<Next, Failure> {
        if self.uploading {
            return self.tell("One upload at a time.");
        }
        self.uploads += 1;
        let upload = match Upload::find(path, format!("{:x}-{}", std::process::id(), self.uploads)) {
            Ok(upload) => upload,
            Err(error) => return self.tell(&error),
        };
        for left_out in &upload.left_out {
            self.screen.line(&format!("Left out: {left_out}"))?;
        }
        self.uploading = true;
        let (api, peer, events) = (Arc::clone(&self.api), self.connector.peer().to_owned(), self.events.clone());
        let text = format!("Sending {}.", upload.describe());
        thread::spawn(move || {
            let told = events.clone();
            let result = upload.send(&api, &peer, |text| _ = told.send(Event::Told(text)));
            // After the end nobody takes it.
            _ = events.send(Event::Uploaded(result));
        });
        self.tell(&text)
    }

    pub fn uploaded(&mut self, result: Result<End, String>) -> Result<Next, Failure> {
        self.uploading = false;
        let (text, code) = match result {
            Ok(End::Sent(1)) => ("The file is there.".to_owned(), ExitCode::SUCCESS),
            Ok(End::Sent(count)) => (format!("{count} files are there."), ExitCode::SUCCESS),
            Ok(End::Declined) => ("The other side does not want it.".to_owned(), declined()),
            Err(error) => (format!("The upload has failed: {error}"), ExitCode::FAILURE),
        };
        self.tell(&text)?;
        let goes_on = self.stays || !self.typed_all;
        Ok(if goes_on { Next::GoOn } else { Next::End(code) })
    }

    /// A message has come.
    pub fn came(&mut self, message: Message) -> Result<Next, Failure> {
        if message.source_id() != Some(self.connector.peer()) {
            // Who else may have connected was not let in.
            self.discard(&message);
            return Ok(Next::GoOn);
        }
        if !self.asks_who {
            self.handle(message)?;
            return Ok(Next::GoOn);
        }
        // It may come from a connection that was not looked at yet.
        self.look()?;
        match &self.allowed {
            Some((address, true)) if Some(*address) == self.address => self.handle(message)?,
            None if self.held.len() < HELD_MAX => self.held.push(message),
            _ => self.discard(&message),
        }
        Ok(Next::GoOn)
    }

    fn handle(&mut self, message: Message) -> Result<(), Failure> {
        match Word::of(&message) {
            Some(Word::Offer { .. }) => self.ask(Question::Offer(message)),
            Some(Word::File { id, path }) => self.take_file(&message, Some(&id), &path),
            Some(Word::Done { id }) => {
                self.incoming.done(&id);
                Ok(())
            }
            // Answers come to who asked; late ones say nothing.
            Some(Word::Accept(_) | Word::Taken(_)) => Ok(()),
            None => {
                if !message.data().is_empty() {
                    let text = harmless(&String::from_utf8_lossy(message.data()));
                    self.tell(&format!("{}: {text}", self.connector.label))?;
                }
                if message.file().is_some() {
                    return self.ask(Question::File(message));
                }
                if message.awaits_answer() {
                    // As a chat of the Python package does.
                    self.reply(&message, &Word::Taken(None))?;
                }
                Ok(())
            }
        }
    }

    fn ask(&mut self, question: Question) -> Result<(), Failure> {
        self.questions.push_back(question);
        if self.takes_all {
            return self.answered(true);
        }
        if self.questions.len() == 1 { self.ask_first() } else { Ok(()) }
    }

    fn ask_first(&mut self) -> Result<(), Failure> {
        let peer = &self.connector.label;
        let text = match self.questions.front() {
            None => return Ok(()),
            Some(Question::Client(address)) => format!("Let in {peer} from {address}? y/n"),
            Some(Question::Offer(message) | Question::File(message)) => {
                format!("Take {} from {peer}? y/n", harmless(&what(message)))
            }
        };
        self.screen.line(&text)?;
        self.screen.prompt()?;
        Ok(())
    }

    /// The first question is answered.
    fn answered(&mut self, yes: bool) -> Result<(), Failure> {
        match self.questions.pop_front() {
            None => {}
            Some(Question::Client(address)) => self.let_in(address, yes)?,
            Some(Question::Offer(message)) => self.answer_offer(&message, yes)?,
            Some(Question::File(message)) if yes => {
                let name = message.file().and_then(|file| file.dst_name()).unwrap_or_default().to_owned();
                self.take_file(&message, None, &name)?;
            }
            Some(Question::File(message)) => {
                self.discard(&message);
                self.reply(&message, &Word::Taken(Some("it is not wanted".to_owned())))?;
            }
        }
        if self.questions.is_empty() { Ok(self.screen.prompt()?) } else { self.ask_first() }
    }

    fn let_in(&mut self, address: SocketAddr, yes: bool) -> Result<(), Failure> {
        self.allowed = Some((address, yes));
        let held = std::mem::take(&mut self.held);
        if yes {
            return held.into_iter().try_for_each(|message| self.handle(message));
        }
        held.iter().for_each(|message| self.discard(message));
        let text = format!("{} is not let in, and nobody else from there.", self.connector.label);
        self.tell(&text)?;
        self.connector.refuse(address);
        Ok(())
    }

    fn answer_offer(&mut self, message: &Message, yes: bool) -> Result<(), Failure> {
        let Some(Word::Offer { id, name, folder, .. }) = Word::of(message) else { return Ok(()) };
        let accepted = if yes { self.incoming.accept(id, &name, folder) } else { Err(String::new()) };
        if let Err(error) = &accepted
            && yes
        {
            self.tell(&format!("It cannot be taken: {error}"))?;
        }
        self.reply(message, &Word::Accept(accepted.is_ok()))
    }

    /// Moves a file to where it belongs, and says so to its sender.
    fn take_file(&mut self, message: &Message, id: Option<&str>, path: &str) -> Result<(), Failure> {
        let result = match (message.file(), id) {
            (None, _) => Err("there is no file with it".to_owned()),
            (Some(file), _) if file.error().is_some() => Err(file.error().unwrap_or_default().to_owned()),
            (Some(file), Some(id)) if !self.incoming.is_accepted(id) => {
                self.incoming.discard(file.dst_name().unwrap_or_default());
                Err("it was not offered".to_owned())
            }
            (Some(file), id) => self.incoming.take(file.dst_name().unwrap_or_default(), id, path),
        };
        let text = match &result {
            Ok(path) => format!("Got {}", path.display()),
            Err(error) => format!("{path} has not come: {error}"),
        };
        self.tell(&harmless(&text))?;
        self.reply(message, &Word::Taken(result.err()))
    }

    fn discard(&self, message: &Message) {
        if let Some(name) = message.file().and_then(|file| file.dst_name()) {
            self.incoming.discard(name);
        }
    }

    /// Answers, if an answer is awaited.
    fn reply(&mut self, message: &Message, word: &Word) -> Result<(), Failure> {
        if !message.awaits_answer() {
            return Ok(());
        }
        let sent = self.api.answer(message).bytes(message.data()).header(&word.header()).send();
        match sent {
            Ok(()) => Ok(()),
            Err(error) => self.tell(&format!("The answer was not sent: {}", exit::words(&error))).map(drop),
        }
    }
}

/// What a message brings or offers.
fn what(message: &Message) -> String {
    match Word::of(message) {
        Some(Word::Offer { name, folder, files, bytes, .. }) => describe(&name, folder, files, bytes),
        _ => message.file().and_then(|file| file.dst_name()).unwrap_or("a file").to_owned(),
    }
}

/// What a command of this machine's user says.
fn run_shell(command: &str) -> String {
    let output = Command::new("sh").arg("-c").arg(command).stdin(Stdio::null()).output();
    match output {
        Err(e) => format!("sh cannot be run: {e}"),
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text).trim_end().to_owned();
            if output.status.success() { text } else { format!("{text}\n({})", output.status) }
        }
    }
}
