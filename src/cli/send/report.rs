//! What is said of the messages that were sent.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use serde_json::{Map, Value};

use super::Failure;
use crate::api::Message;
use crate::cli::message_json;

/// Says what became of messages: a line of JSON each, or words for a person.
pub struct Report<'a> {
    /// `None` when nobody reads any more: the messages are sent nevertheless.
    out: Option<&'a mut dyn Write>,
    is_json: bool,
    told: u64,
    failed: u64,
    /// The first failure: its exit code and its words.
    first: Option<(u8, String)>,
}

impl<'a> Report<'a> {
    pub fn new(out: &'a mut dyn Write, is_json: bool) -> Self {
        Self { out: Some(out), is_json, told: 0, failed: 0, first: None }
    }

    /// So many were handed over.
    pub fn sent(&mut self, count: u64) -> Result<(), Failure> {
        match self.is_json {
            true => self.object([("sent", count.into())]),
            false => self.line(&format!("{count} sent")),
        }
    }

    /// Message `id` has come to a level.
    pub fn reached(&mut self, id: u64, level: &str) -> Result<(), Failure> {
        self.told += 1;
        match self.is_json {
            true => self.object([("id", id.into()), ("level", level.into())]),
            // A person wants to know the number only.
            false => Ok(()),
        }
    }

    /// Message `id` is answered.
    pub fn answered(&mut self, id: u64, answer: &Message) -> Result<(), Failure> {
        self.told += 1;
        if self.is_json {
            return self.object([("id", id.into()), ("answer", message_json::object(answer).into())]);
        }
        let end: &[u8] = if answer.data().ends_with(b"\n") { b"" } else { b"\n" };
        self.bytes(&[answer.data(), end].concat())
    }

    /// Message `id` has failed: the word for why, the exit code for that, and what else there is to say.
    pub fn failed(&mut self, id: u64, word: &str, code: u8, text: String) -> Result<(), Failure> {
        self.failed += 1;
        if self.is_json {
            self.object([("id", id.into()), ("error", word.into())])?;
        }
        self.first.get_or_insert((code, format!("message {id}: {text}")));
        Ok(())
    }

    /// In words, what became of all.
    pub fn sum(&mut self, word: &str) -> Result<(), Failure> {
        if self.is_json { Ok(()) } else { self.line(&format!("{} {word}", self.told)) }
    }

    /// The end: the exit code.
    pub fn finish(mut self) -> Result<ExitCode, Failure> {
        self.flush()?;
        let Some((code, text)) = self.first else { return Ok(ExitCode::SUCCESS) };
        let others = match self.failed {
            0 | 1 => String::new(),
            failed => format!(" (and {} others)", failed - 1),
        };
        Err(Failure::Exit { code, text: text + &others })
    }

    /// Lets what was said be read.
    pub fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.out.as_mut().map_or(Ok(()), |out| out.flush());
        self.check(flushed)
    }

    fn object<const N: usize>(&mut self, fields: [(&str, Value); N]) -> Result<(), Failure> {
        let object: Map<_, _> = fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        self.line(&Value::Object(object).to_string())
    }

    fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.bytes(format!("{line}\n").as_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.out.as_mut().map_or(Ok(()), |out| out.write_all(bytes));
        self.check(written)
    }

    fn check(&mut self, result: io::Result<()>) -> Result<(), Failure> {
        match result {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {
                self.out = None;
                Ok(())
            }
            other => other.map_err(Failure::Output),
        }
    }
}
