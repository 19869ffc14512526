//! More and more message types: one app sends them in turn, and each has an app that receives it. And of one type while
//! the others are only there.

use std::fs;
use std::path::Path;

use aioconnectors::cli::demo::pair::Pair;
use aioconnectors::wire::names::{Role, SocketPaths};
use serde_json::json;

use super::block::{Load, blast};
use super::counter::Counter;
use super::{REPEATS, SIZE, measure, steps};
use crate::kinds::Kinds;
use crate::ours::{CLIENT, CONNECT_TIMEOUT, header_of, plan_of};
use crate::report::Book;
use crate::{Failure, Options};

pub const NAME: &str = "growth: types";

/// Types.
const TYPES: usize = 1000;

/// Messages of a measurement.
const MESSAGES: u64 = 400_000;

/// Whether all messages have arrived, in order.
pub fn run(folder: &Path, options: &Options, _: &Kinds, book: &mut Book) -> Result<bool, Failure> {
    let folder = folder.join("growth-types");
    fs::create_dir(&folder)?;
    // The plan of a pair wants names that are there for good.
    let types: Vec<&'static str> = (0..TYPES).map(|number| &*format!("type{number}").leak()).collect();
    let mut pair = Pair::start(&folder, &plan_of(true, types.clone().leak(), json!({})))?;
    pair.wait_until_connected(CONNECT_TIMEOUT, || false)?;
    let server = pair.server().api()?.id().to_owned();
    let (entries, exits) = (
        SocketPaths::new(&folder.join("client"), Role::Client, CLIENT),
        SocketPaths::new(&folder.join("server"), Role::Server, &server),
    );
    let headers: Vec<String> = types.iter().map(|name| header_of(name, CLIENT, &server)).collect();
    let exits: Vec<_> = types.iter().map(|name| exits.receive(name)).collect();
    let mut counter = Counter::listen(&exits)?;
    let (entry, mut whole, mut lane) = (entries.send(), true, 0);
    // The lanes of a step are there from the step before on.
    let in_turn = steps(TYPES).into_iter().map(|step| ("in turn", step, step));
    for (way, there, sent) in in_turn.chain([("one of them", TYPES, 1)]) {
        for _ in 0..options.repeats.min(REPEATS) {
            lane += 1;
            let load = Load { size: SIZE, messages: MESSAGES, lane, from: 0 };
            let send = || blast(&entry, &headers[..sent], load);
            let measured = measure(&mut pair, &mut counter, (lane, sent), MESSAGES, send)?;
            measured.add_to(book, NAME, &format!("{there} types, {way}"), &pair);
            whole &= measured.is_whole();
        }
    }
    Ok(whole)
}
