//! `aioconnectorsctl receive CONFIG TYPE…`: prints messages as they come, for scripts.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::Value;

use super::command::{Args, Command, Failure, Operand, Opt};
use super::interrupt::{Interrupt, OnSignal};
use super::target::{CONFIG_OPTION, CONNECTOR, NAME, Target};
use super::{exit, message_json};
use crate::api::{ConnectorApi, Message};

/// Messages that wait to be printed, without acknowledgements.
const WAITING_MAX: usize = 1000;

/// Between two looks whether anybody still reads, and whether an end is wanted.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

const TYPES: Operand = Operand { name: "TYPE…", required: true, help: "the message types to wait for" };

const COUNT: Opt = Opt { long: "count", value: Some("N"), help: "end after so many messages" };
const TIMEOUT: Opt = Opt { long: "timeout", value: Some("SECONDS"), help: "end when no message has come for so long" };
const ACK: Opt = Opt {
    long: "ack",
    value: None,
    help: "acknowledge each message once it is written: what was not, the connector brings again",
};
const ANSWER: Opt = Opt { long: "answer", value: Some("DATA"), help: "answer those that await an answer with this" };
const RAW: Opt = Opt { long: "raw", value: None, help: "write the data as it is, and nothing else" };
const LINES: Opt = Opt { long: "lines", value: None, help: "write the data as it is, and the end of a line" };

/// See `summary`.
pub const COMMAND: Command = Command {
    name: "receive",
    aliases: &[],
    summary: "Print messages as they come, each as a line of JSON.",
    details: "A line has the keys type, source, id, answers, awaits_answer, tag, file, header, data (data_base64 if it \
        is no\ntext) and binary_base64, as far as the message has them. It ends by SIGINT, SIGTERM, or when nobody \
        reads its output any more. Without --ack, what comes behind the last message that is printed is lost. \
        The exit code is 3 if there is no such type, and 4 if --count was not reached in time.",
    operands: &[CONNECTOR, TYPES],
    options: &[COUNT, TIMEOUT, ACK, ANSWER, RAW, LINES, CONFIG_OPTION, NAME],
    run,
};

/// How a message is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Raw,
    Lines,
}

/// A message, and where to say that it is written.
type Arrival = (Message, Option<SyncSender<()>>);

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let form = match (args.has(RAW.long), args.has(LINES.long)) {
        (true, true) => return Err(Failure::usage("--raw and --lines: leave one out")),
        (true, false) => Form::Raw,
        (false, true) => Form::Lines,
        (false, false) => Form::Json,
    };
    let timeout = args.seconds(TIMEOUT.long)?;
    let count = args.value::<u64>(COUNT.long)?;
    let interrupt = Interrupt::default();
    let set = interrupt.clone();
    let signals = |e| Failure::Failed(format!("signals cannot be caught: {e}"));
    let _on_signal = OnSignal::call(move || set.set()).map_err(signals)?;
    let api = Target::new(args)?.into_api();
    let (sender, arrivals) = mpsc::sync_channel(if args.has(ACK.long) { 0 } else { WAITING_MAX });
    for message_type in args.operands(TYPES.name) {
        wait_for(&api, &message_type.to_string_lossy(), args.has(ACK.long), sender.clone())?;
    }
    drop(sender);
    let answer = args.option(ANSWER.long).map(|data| data.as_encoded_bytes().to_owned());
    let mut printer = Printer { api: &api, out, form, answer };
    let result = printer.print_all(&arrivals, count, timeout, &interrupt);
    // Callbacks that still want to bring something find nobody, and do not acknowledge.
    drop(arrivals);
    api.recv_message_types().iter().for_each(|t| _ = api.stop_waiting_for_messages(t));
    result
}

fn wait_for(api: &ConnectorApi, name: &str, acks: bool, to: SyncSender<Arrival>) -> Result<(), Failure> {
    if !acks {
        return api
            .start_waiting_for_messages(name, move |message| _ = to.send((message, None)))
            .map_err(exit::failure);
    }
    let written = move |message| {
        let (written, is_written) = mpsc::sync_channel(1);
        let brought = to.send((message, Some(written))).is_ok();
        if brought && is_written.recv().is_ok() { Ok(()) } else { Err("it was not written") }
    };
    api.start_waiting_for_messages_with_acks(name, written).map_err(exit::failure)
}

struct Printer<'a> {
    api: &'a ConnectorApi,
    out: &'a mut dyn Write,
    form: Form,
    answer: Option<Vec<u8>>,
}

impl Printer<'_> {
    fn print_all(
        &mut self,
        arrivals: &Receiver<Arrival>,
        count: Option<u64>,
        timeout: Option<Duration>,
        interrupt: &Interrupt,
    ) -> Result<ExitCode, Failure> {
        let (mut printed, mut last) = (0, Instant::now());
        while count.is_none_or(|count| printed < count) && !interrupt.came() {
            let arrival = match arrivals.try_recv() {
                Ok(arrival) => Ok(arrival),
                Err(_) => {
                    self.out.flush()?;
                    arrivals.recv_timeout(LOOK_AGAIN)
                }
            };
            match arrival {
                Ok((message, written)) => {
                    self.print(&message, written)?;
                    (printed, last) = (printed + 1, Instant::now());
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if reader_is_gone() => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(timeout) = timeout
                && last.elapsed() >= timeout
            {
                let Some(count) = count.filter(|count| printed < *count) else { break };
                let text = format!("{printed} of {count} messages have come, and no more for {timeout:?}");
                self.out.flush()?;
                return Err(Failure::Exit { code: exit::TIMED_OUT, text });
            }
        }
        self.out.flush()?;
        Ok(ExitCode::SUCCESS)
    }

    fn print(&mut self, message: &Message, written: Option<SyncSender<()>>) -> Result<(), Failure> {
        match self.form {
            Form::Json => writeln!(self.out, "{}", Value::Object(message_json::object(message)))?,
            Form::Raw => self.out.write_all(message.data())?,
            Form::Lines => {
                self.out.write_all(message.data())?;
                self.out.write_all(b"\n")?;
            }
        }
        if let Some(answer) = self.answer.as_deref().filter(|_| message.awaits_answer()) {
            self.api.answer(message).bytes(answer).send().map_err(exit::failure)?;
        }
        if let Some(written) = written {
            self.out.flush()?;
            // Its thread waits for nothing else.
            _ = written.send(());
        }
        Ok(())
    }
}

/// Whether stdout is a pipe that nobody reads any more: that shows without writing.
fn reader_is_gone() -> bool {
    let stdout = io::stdout();
    let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    let asked = poll(&mut fds, PollTimeout::ZERO).is_ok();
    asked && fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
}
