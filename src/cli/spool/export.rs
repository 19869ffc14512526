//! `aioconnectorsctl spool export [--dir DIR] [--ring NAME] [--output FILE] [--json] [CONFIG]`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Map, Value};

use super::{Args, CONFIG_OPTION, CONFIG_OR_DIR, Command, DIR, Failure, NAME, Opt, RING, Target, chosen, messages};
use crate::store::inspect::{Found, ReadError, State};
use crate::wire::frame::Frame;

const JSON: Opt = Opt { long: "json", value: None, help: "one JSON object a line instead of frames" };

const OUTPUT: Opt = Opt { long: "output", value: Some("FILE"), help: "write to this file instead of stdout" };

/// The command.
pub const COMMAND: Command = Command {
    name: "spool export",
    aliases: &[],
    summary: "Print the messages in a connector's queues on disk.",
    details: "Frames are as apps write them to the connector's socket. In JSON, data and binary that are no text are in\n\
        hexadecimal: data_hex, binary_hex. Nothing leaves the queues. The exit code is 1 if something was damaged and\n\
        left out.",
    operands: &[CONFIG_OR_DIR],
    options: &[DIR, RING, OUTPUT, JSON, CONFIG_OPTION, NAME],
    run,
};

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let listing = Target::new(args)?.listing()?;
    let live = listing.holder.is_some();
    let files = chosen(listing, args, &[State::InPlace])?;
    let is_json = args.has(JSON.long);
    let Some(path) = args.option(OUTPUT.long).map(Path::new) else {
        export(&files, live, is_json, &mut BufWriter::new(out))?;
        return Ok(ExitCode::SUCCESS);
    };
    let to_file = |error: io::Error| Failure::Failed(format!("cannot write {}: {error}", path.display()));
    let mut file = BufWriter::new(File::create(path).map_err(to_file)?);
    let count = export(&files, live, is_json, &mut file).map_err(|failure| match failure {
        Failure::Output(error) => to_file(error),
        other => other,
    })?;
    writeln!(out, "{}: {}", path.display(), messages(count))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the messages of all files; how many.
fn export(files: &[Found], live: bool, is_json: bool, to: &mut dyn Write) -> Result<u64, Failure> {
    let (mut count, mut damaged) = (0, Vec::new());
    for found in files {
        let report = found.read(live, &mut |_, view, frame| {
            if is_json {
                let line = json_line(&found.name, view.sequence, frame);
                return writeln!(to, "{line}");
            }
            to.write_all(frame)
        });
        let report = report.map_err(failure)?;
        count += report.messages;
        if !report.damage.is_empty() || found.header.is_err() {
            damaged.push(found.name.as_str());
        }
    }
    to.flush()?;
    if damaged.is_empty() {
        return Ok(count);
    }
    let (count, names) = (messages(count), damaged.join(", "));
    Err(Failure::Failed(format!("{count} were written, damaged ones were left out: 'spool verify' says more: {names}")))
}

/// Of a file that cannot be read, or an output that cannot be written.
pub fn failure(error: ReadError) -> Failure {
    match error {
        ReadError::File(error) => Failure::failed(error),
        ReadError::Told(error) => Failure::Output(error),
    }
}

fn json_line(ring: &str, number: u64, bytes: &[u8]) -> Value {
    let mut line = Map::new();
    line.insert("ring".to_owned(), ring.into());
    line.insert("number".to_owned(), number.into());
    let parsed = Frame::parse(bytes).ok().and_then(|frame| {
        let header: Value = serde_json::from_slice(frame.header()).ok()?;
        Some((header, frame))
    });
    match parsed {
        Some((header, frame)) => {
            line.insert("header".to_owned(), header);
            insert(&mut line, "data", frame.data());
            if let Some(binary) = frame.binary() {
                insert(&mut line, "binary", binary);
            }
        }
        None => insert(&mut line, "frame", bytes),
    }
    Value::Object(line)
}

/// Bytes as text if they are that, else in hexadecimal.
fn insert(line: &mut Map<String, Value>, key: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => line.insert(key.to_owned(), text.into()),
        Err(_) => line.insert(format!("{key}_hex"), hex(bytes).into()),
    };
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| DIGITS[usize::from(digit)]).collect()
}
