//! The ways to send: without asking further, with receipts, with answers.

use std::collections::{BTreeMap, VecDeque};

use super::input::{Input, Next};
use super::report::Report;
use super::{Failure, Plan};
use crate::api::{ApiError, ConnectorApi, Level, Message, Pending, ReceiptSender, RefusedReason};
use crate::cli::exit;

/// Most requests whose answers are awaited at a time.
const ASKED_MAX: usize = 100;

/// Hands the messages to the connector.
pub fn send(plan: &Plan, api: &ConnectorApi, input: Input, report: &mut Report<'_>) -> Result<(), Failure> {
    let mut sender = api.sender();
    let mut count = 0;
    input.for_each(|next| match next {
        Next::Pause => sender.flush().map_err(exit::failure),
        Next::Data(data) => {
            count += 1;
            plan.message(api, data).send_with(&mut sender).map_err(exit::failure)
        }
    })?;
    sender.flush().map_err(exit::failure)?;
    report.sent(count)
}

/// Has the connector say of each message that it has come to `level`.
pub fn with_receipts(
    plan: &Plan,
    api: &ConnectorApi,
    level: Level,
    input: Input,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    let sender = api.receipts(level).patience(plan.timeout).open().map_err(exit::failure)?;
    let mut receipts = Receipts { sender, told: 0, refused: BTreeMap::new(), report };
    let sent = input.for_each(|next| {
        match next {
            Next::Pause => receipts.sender.flush(),
            Next::Data(data) => receipts.sender.send(plan.message(api, data)).map(drop),
        }
        .map_err(exit::failure)?;
        receipts.tell()
    });
    let all = sent.and_then(|()| receipts.sender.wait_for(receipts.sender.last()).map_err(exit::failure));
    // What has its receipt is told of, though others will get none; but not what may have been refused.
    let known = receipts.sender.hear();
    receipts.tell_taken(known)?;
    receipts.report.flush()?;
    all?;
    receipts.report.sum(&level.to_string())
}

struct Receipts<'a, 'o> {
    sender: ReceiptSender,
    /// Messages up to this one have been told of.
    told: u64,
    refused: BTreeMap<u64, RefusedReason>,
    report: &'a mut Report<'o>,
}

impl Receipts<'_, '_> {
    /// Tells of what is new.
    fn tell(&mut self) -> Result<(), Failure> {
        let confirmed = self.sender.confirmed();
        if confirmed == self.told {
            return Ok(());
        }
        // Only what the sender has taken in says which of them were refused.
        self.sender.flush().map_err(exit::failure)?;
        self.tell_taken(confirmed)
    }

    fn tell_taken(&mut self, confirmed: u64) -> Result<(), Failure> {
        self.refused.extend(self.sender.take_refused().into_iter().map(|refused| (refused.index, refused.reason)));
        let level = self.sender.level().to_string();
        for id in self.told + 1..=confirmed {
            match self.refused.remove(&id) {
                Some(reason) => self.report.failed(id, reason.word(), exit::REFUSED, format!("refused: {reason}"))?,
                None => self.report.reached(id, &level)?,
            }
        }
        self.told = self.told.max(confirmed);
        Ok(())
    }
}

/// Waits for the answer to each message.
pub fn with_answers(plan: &Plan, api: &ConnectorApi, input: Input, report: &mut Report<'_>) -> Result<(), Failure> {
    if input.count() == Some(1) {
        // As every connector knows it, that of the Python package too.
        return input.for_each(|next| match next {
            Next::Pause => Ok(()),
            Next::Data(data) => answer(1, plan.message(api, data).await_response(plan.timeout), report),
        });
    }
    let requester = api.requester();
    let mut asked: VecDeque<(u64, Pending)> = VecDeque::new();
    let mut id = 0;
    input.for_each(|next| {
        let most = match next {
            Next::Pause => 0,
            Next::Data(_) => ASKED_MAX - 1,
        };
        await_all_but(most, &mut asked, report)?;
        let Next::Data(data) = next else { return report.flush() };
        id += 1;
        asked.push_back((id, requester.start(plan.message(api, data), plan.timeout).map_err(exit::failure)?));
        Ok(())
    })?;
    await_all_but(0, &mut asked, report)
}

fn await_all_but(most: usize, asked: &mut VecDeque<(u64, Pending)>, report: &mut Report<'_>) -> Result<(), Failure> {
    while asked.len() > most
        && let Some((id, pending)) = asked.pop_front()
    {
        answer(id, pending.wait(), report)?;
    }
    Ok(())
}

fn answer(id: u64, outcome: Result<Message, ApiError>, report: &mut Report<'_>) -> Result<(), Failure> {
    let error = match outcome {
        Ok(message) => return report.answered(id, &message),
        Err(error) => error,
    };
    match error.no_answer() {
        Some(why) => report.failed(id, why.word(), exit::code(&error), exit::words(&error)),
        // Nothing was asked: others would fare the same.
        None => Err(exit::failure(error)),
    }
}
