//! Many messages that are stored while the peer is away: what that costs in memory, how long a restart takes, and how fast
//! they go out in the end.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use aioconnectors::cli::demo::pair::{Connector, Pair};
use serde_json::json;

use crate::client::{Number, Place, Sink, Source, Speech};
use crate::ours::{CONNECT_TIMEOUT, Ends, plan};
use crate::{Failure, process};

/// Bytes of data in a message.
const SIZE: usize = 100;

/// Messages that are stored.
pub const MESSAGES: u64 = 10_000_000;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// Without any progress for so long it is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Stores `messages` while the server is away, kills the client and starts it again, and has the server come back. Whether
/// all messages arrived in order.
pub fn run(folder: &Path, messages: u64) -> Result<bool, Failure> {
    let folder = folder.join("spool");
    fs::create_dir(&folder)?;
    let mut pair = Pair::start(&folder, &plan(true, true))?;
    pair.wait_until_connected(CONNECT_TIMEOUT, || false)?;
    let ends = Ends::of(&pair, &folder)?;
    pair.server_mut().kill();
    println!("\n{messages} messages of {SIZE} bytes while the peer is away");
    let start = Instant::now();
    let source = Source { place: Place::Unix(ends.entry), speech: Speech::frames(&ends.header) };
    source.blast(source.connect()?, Number::FIRST, SIZE, messages)?;
    wait_stored(&pair, messages)?;
    say("stored", messages, start.elapsed());
    memory("client, storing", pair.client());
    println!("{:<28} {:>11.1} MB", "files", size(&folder.join("client"))? as f64 / 1e6);
    pair.client_mut().kill();
    let start = Instant::now();
    pair.client_mut().start_again()?;
    wait_answer(pair.client())?;
    println!("{:<28} {:>11.3} s", "restart after a kill", start.elapsed().as_secs_f64());
    wait_stored(&pair, messages)?;
    memory("client, started again", pair.client());
    let mut counter = Sink::listen(&ends.exit)?;
    pair.server_mut().start_again()?;
    let counted = counter.count(messages)?;
    let lost = messages.saturating_sub(counted.received);
    let begin = counted.begin.unwrap_or(counted.end);
    say("drained", counted.received, counted.end - begin);
    memory("client, draining", pair.client());
    memory("server, draining", pair.server());
    println!("{:<28} {lost:>11} lost, {} out of order", "", counted.out_of_order);
    Ok(lost == 0 && counted.out_of_order == 0)
}

fn say(what: &str, messages: u64, time: Duration) {
    let seconds = time.as_secs_f64();
    println!("{what:<28} {:>11.0} msg/s, {seconds:.1} s", messages as f64 / seconds);
}

/// How many messages wait for peers; `None` while there is no answer.
fn stored(connector: &Connector) -> Option<u64> {
    let arguments = json!({"dump_result": true});
    let remote = connector.api().ok()?.remote().timeout(PATIENCE);
    let queues = remote.command_json("peek_queues__sync", arguments.as_object()?).ok()?;
    Some(queues["queue_send"].as_object()?.values().filter_map(serde_json::Value::as_u64).sum())
}

/// Waits until the client has so many messages for its server.
pub fn wait_stored(pair: &Pair, messages: u64) -> Result<(), Failure> {
    let (mut seen, mut progress) = (0, Instant::now());
    while seen != messages {
        if progress.elapsed() > PATIENCE {
            return Err(format!("{seen} messages of {messages} are stored, and no more come").into());
        }
        thread::sleep(LOOK);
        let now = stored(pair.client()).unwrap_or(seen);
        if now != seen {
            (seen, progress) = (now, Instant::now());
        }
    }
    Ok(())
}

/// Waits until a connector that was started answers an admin.
pub fn wait_answer(connector: &Connector) -> Result<(), Failure> {
    let start = Instant::now();
    while stored(connector).is_none() {
        if start.elapsed() > PATIENCE {
            return Err("the connector does not answer after its restart".into());
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

/// What a process has in memory, now and at most; of that what is its own, and not pages of files.
fn memory(what: &str, connector: &Connector) {
    let [now, most, own] = ["VmRSS", "VmHWM", "RssAnon"].map(|field| process::memory(connector.pid(), field));
    println!("{what:<28} {now:>11} MB resident, {most} MB at most, {own} MB of them its own");
}

/// Bytes of the disk that files in `folder` take.
fn size(folder: &Path) -> Result<u64, Failure> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}
