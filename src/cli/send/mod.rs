//! `aioconnectorsctl send CONFIG TYPE [DATA]`: messages from a script, with an exit code that tells what became of them.

mod input;
mod report;
mod ways;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{self, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Map, Value};

use super::command::{Args, Command, Failure, Operand, Opt, SECONDS_MAX};
use super::progress::{self, Done, Progress};
use super::target::{CONFIG_OPTION, CONNECTOR, NAME, Target};
use crate::api::{ConnectorApi, File, Level, SendMessage};
use crate::remote::Remote;
use input::Input;
use report::Report;

/// Time for a receipt or an answer, unless `--timeout` says otherwise.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// Time for the connector to say how far a file is.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

const TYPE: Operand = Operand { name: "TYPE", required: true, help: "the message type" };
const DATA: Operand = Operand { name: "DATA", required: false, help: "the data; with - it is read from stdin" };

const TO: Opt = Opt { long: "to", value: Some("PEER"), help: "where it goes; a server needs the name of the client" };
const LINES: Opt = Opt { long: "lines", value: None, help: "with -: each line is a message of its own" };
const COUNT: Opt = Opt { long: "count", value: Some("N"), help: "send it so often" };
const AWAIT: Opt = Opt { long: "await", value: Some("[=SECONDS]"), help: "wait for the answer, for 10 s or as given" };
const RECEIPT: Opt =
    Opt { long: "receipt", value: Some("LEVEL"), help: "wait until it is accepted, stored or delivered" };
const WAIT: Opt = Opt {
    long: "timeout",
    value: Some("SECONDS"),
    help: "longest that nothing goes on, with --receipt; 10 s, with --file without limit",
};
const FILE: Opt = Opt { long: "file", value: Some("PATH"), help: "a file that goes with it" };
const DST_TYPE: Opt = Opt {
    long: "dst-type",
    value: Some("TYPE"),
    help: "the entry of the peer's file_recv_config for the file; by default the message's type",
};
const DST_NAME: Opt = Opt { long: "dst-name", value: Some("NAME"), help: "the file's name there" };
const OWNER: Opt = Opt { long: "owner", value: Some("USER:GROUP"), help: "the file's owner there" };
const DELETE: Opt = Opt { long: "delete", value: None, help: "remove the file here when it is there" };
const BINARY: Opt = Opt { long: "binary", value: Some("PATH"), help: "a file whose bytes are the binary part" };
const PUBLISH: Opt = Opt { long: "publish", value: None, help: "publish it to all who subscribe to the type" };
const TAG: Opt = Opt { long: "tag", value: Some("TAG"), help: "a word to tell messages apart" };
const HEADER: Opt =
    Opt { long: "header", value: Some("KEY=JSON"), help: "a further key of the header; may be given several times" };
const JSON: Opt = Opt { long: "json", value: None, help: "say what became of it in JSON, on a terminal too" };

/// See `summary`.
pub const COMMAND: Command = Command {
    name: "send",
    aliases: &[],
    summary: "Send messages, and say what became of them.",
    details: "What became of them is a line of JSON each, unless stdout is a terminal: {\"id\":1,\"level\":\"delivered\"}, \
        or an \"answer\", an \"error\", or in the end {\"sent\":N} where neither a receipt nor an answer is asked for.",
    operands: &[CONNECTOR, TYPE, DATA],
    options: &[
        TO,
        LINES,
        COUNT,
        AWAIT,
        RECEIPT,
        WAIT,
        FILE,
        DST_TYPE,
        DST_NAME,
        OWNER,
        DELETE,
        BINARY,
        PUBLISH,
        TAG,
        HEADER,
        JSON,
        CONFIG_OPTION,
        NAME,
    ],
    run,
};

/// How much is asked of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Sent,
    Receipt(Level),
    Answer,
}

/// What is to be sent.
struct Plan {
    message_type: String,
    publish: bool,
    to: Option<String>,
    tag: Option<String>,
    header: Map<String, Value>,
    binary: Vec<u8>,
    file: Option<PlannedFile>,
    wanted: Wanted,
    timeout: Duration,
}

struct PlannedFile {
    path: PathBuf,
    dst_type: Option<String>,
    dst_name: Option<String>,
    owner: Option<String>,
    delete: bool,
}

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let plan = Plan::new(args)?;
    let input = Input::new(args.operand(DATA.name), args.has(LINES.long), args.value(COUNT.long)?)?;
    let api = Target::new(args)?.into_api();
    let is_json = args.has(JSON.long) || !io::stdout().is_terminal();
    let mut report = Report::new(out, is_json);
    let progress = plan.progress(api.remote());
    let sent = match plan.wanted {
        Wanted::Sent => ways::send(&plan, &api, input, &mut report),
        Wanted::Receipt(level) => ways::with_receipts(&plan, &api, level, input, &mut report),
        Wanted::Answer => ways::with_answers(&plan, &api, input, &mut report),
    };
    drop(progress);
    sent.and_then(|()| report.finish())
}

impl Plan {
    fn new(args: &Args) -> Result<Self, Failure> {
        let text = |long: &str| args.option(long).map(|value| value.to_string_lossy().into_owned());
        let wanted = match (args.has(AWAIT.long), text(RECEIPT.long)) {
            (true, Some(_)) => return Err(Failure::usage("--await and --receipt: leave one out")),
            (true, None) => Wanted::Answer,
            (false, Some(level)) => Wanted::Receipt(level_of(&level)?),
            (false, None) => Wanted::Sent,
        };
        let timeout = match args.option(AWAIT.long).is_none_or(|value| value.is_empty()) {
            true => args.seconds(WAIT.long)?,
            false => args.seconds(AWAIT.long)?,
        };
        let file = args.option(FILE.long).map(|path| PlannedFile {
            path: path.into(),
            dst_type: text(DST_TYPE.long),
            dst_name: text(DST_NAME.long),
            owner: text(OWNER.long),
            delete: args.has(DELETE.long),
        });
        let of_file = [DST_TYPE, DST_NAME, OWNER, DELETE].into_iter().find(|option| args.has(option.long));
        if let (None, Some(option)) = (&file, of_file) {
            return Err(Failure::usage(format!("--{} is for a --file", option.long)));
        }
        let binary = match args.option(BINARY.long) {
            None => Vec::new(),
            Some(path) => {
                let fail = |e| Failure::Failed(format!("{}: {e}", path.to_string_lossy()));
                fs::read(path).map_err(fail)?
            }
        };
        let default = if file.is_some() { SECONDS_MAX } else { TIMEOUT_DEFAULT };
        Ok(Self {
            message_type: args.operand(TYPE.name).unwrap_or_default().to_string_lossy().into_owned(),
            publish: args.has(PUBLISH.long),
            to: text(TO.long),
            tag: text(TAG.long),
            header: args
                .options(HEADER.long)
                .map(|key| header_key(&key.to_string_lossy()))
                .collect::<Result<_, _>>()?,
            binary,
            file,
            wanted,
            timeout: timeout.unwrap_or(default),
        })
    }

    fn message<'a>(&'a self, api: &'a ConnectorApi, data: &'a [u8]) -> SendMessage<'a> {
        let message =
            if self.publish { api.publish_message(&self.message_type) } else { api.send_message(&self.message_type) };
        let mut message = message.bytes(data).binary(&self.binary).header(&self.header);
        if let Some(to) = &self.to {
            message = message.destination(to);
        }
        if let Some(tag) = &self.tag {
            message = message.tag(tag);
        }
        match &self.file {
            Some(file) => message.file(file.of_api()),
            None => message,
        }
    }

    /// For a file that somebody waits for. How far it is, only those learn who may ask the connector.
    fn progress(&self, remote: Remote) -> Option<Progress> {
        let file = self.file.as_ref().filter(|_| self.wanted != Wanted::Sent)?;
        let size = progress::size(fs::metadata(&file.path).ok()?.len());
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        let path = path::absolute(&file.path).ok()?.to_string_lossy().into_owned();
        let remote = remote.timeout(LOOK_TIMEOUT);
        let look = move || {
            let files = remote.files().ok()?;
            let it = files.iter().find(|file| !file.comes && file.name == path)?;
            Some(Done { done: it.done, size: it.size })
        };
        Some(Progress::start(format!("{name}, {size}"), look))
    }
}

impl PlannedFile {
    fn of_api(&self) -> File<'_> {
        let mut file = File::new(&self.path).delete(self.delete);
        if let Some(dst_type) = &self.dst_type {
            file = file.dst_type(dst_type);
        }
        if let Some(dst_name) = &self.dst_name {
            file = file.dst_name(dst_name);
        }
        match &self.owner {
            Some(owner) => file.owner(owner),
            None => file,
        }
    }
}

fn level_of(word: &str) -> Result<Level, Failure> {
    let level = [Level::Accepted, Level::Stored, Level::Delivered].into_iter().find(|level| level.to_string() == word);
    level.ok_or_else(|| Failure::usage(format!("--receipt: {word:?} is none of accepted, stored, delivered")))
}

/// `KEY=JSON`; what is no JSON is a text.
fn header_key(text: &str) -> Result<(String, Value), Failure> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => {
            Ok((key.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
        }
        _ => Err(Failure::usage(format!("--header: {text:?} is not KEY=JSON"))),
    }
}
