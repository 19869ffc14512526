//! `aioconnectorsctl peers`.

use serde_json::Value;

use super::super::command::Command;
use super::super::table::{Cell, Column, Table, View, main, more};
use super::{ask, list, list_json, look};
use std::process::ExitCode;

/// The command.
pub const COMMAND: Command = look(
    "peers",
    "Show a connector's peers: which are connected, since when, and what waits for them.",
    "STATE is up, away or ignored; FOR is how long it is so. TRIP is the time that the last keep-alive took there and \
     back. QUEUED messages were not sent yet, UNCONFIRMED ones were, and the peer has not taken them over. OLDEST is \
     how long the oldest of them waits. Messages are counted since the connector's start.",
    |args, out| {
        let status = ask(args)?;
        table(&status).write(View::new(args), &list_json(&status, "peers"), out)?;
        Ok(ExitCode::SUCCESS)
    },
);

const COLUMNS: &[Column] = &[
    main("PEER"),
    main("STATE"),
    more("ADDRESS"),
    main("FOR"),
    main("TRIP"),
    main("QUEUED"),
    more("BYTES"),
    main("OLDEST"),
    more("UNCONFIRMED"),
    main("SENT"),
    more("SENT BYTES"),
    main("RECEIVED"),
    more("RECEIVED BYTES"),
    more("RECONNECTS"),
    more("LINK"),
    more("TLS"),
];

/// The table of `show_status`.
pub fn table(status: &Value) -> Table {
    let mut table = Table::new(COLUMNS);
    for peer in list(status, "peers") {
        table.row([
            Cell::of(&peer["name"]),
            Cell::text(state(peer)),
            Cell::of(&peer["address"]),
            Cell::seconds(&peer["since_s"]),
            Cell::seconds(&peer["round_trip_s"]),
            Cell::count(&peer["queued_messages"]),
            Cell::bytes(&peer["queued_bytes"]),
            Cell::seconds(&peer["oldest_s"]),
            Cell::count(&peer["unconfirmed_messages"]),
            Cell::count(&peer["sent_messages"]),
            Cell::bytes(&peer["sent_bytes"]),
            Cell::count(&peer["received_messages"]),
            Cell::bytes(&peer["received_bytes"]),
            Cell::count(&peer["reconnects"]),
            Cell::count(&peer["link"]),
            Cell::of(&peer["tls"]),
        ]);
    }
    table
}

fn state(peer: &Value) -> &'static str {
    match (peer["ignored"] == true, peer["connected"] == true) {
        (true, _) => "ignored",
        (false, true) => "up",
        (false, false) => "away",
    }
}
