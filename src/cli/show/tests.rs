//! The screens, against answers of connectors of this version and of others.

use serde_json::json;

use super::super::table::{View, write_pairs};
use super::*;

fn fixture() -> Value {
    json!({
        "version": "0.1.0", "commit": "2b0ac4c", "name": "('10.0.0.1', 10673)", "role": "server", "state": "running",
        "pid": 4711, "uptime_s": 187_200.5, "config": "/etc/aioconnectors/server.json", "server": ["10.0.0.1", 10673],
        "peers": [
            {"name": "client1", "connected": true, "address": "10.0.0.7:51234", "since_s": 86_500.0, "link": 2,
             "tls": "TLSv1.3", "reconnects": 3, "round_trip_s": 0.0004, "ignored": false, "queued_messages": 12,
             "queued_bytes": 3456, "oldest_s": 0.8, "unconfirmed_messages": 4, "sent_messages": 1_203_441,
             "sent_bytes": 5_600_000_000_u64, "received_messages": 88, "received_bytes": 91_000},
            {"name": "warehouse-7", "connected": false, "address": null, "since_s": 311.0, "link": null, "tls": null,
             "reconnects": 0, "round_trip_s": null, "ignored": false, "queued_messages": 40_000,
             "queued_bytes": 1_234_567_890, "oldest_s": 310.0, "unconfirmed_messages": 0, "sent_messages": 17,
             "sent_bytes": 1700, "received_messages": 0, "received_bytes": 0}
        ],
        "types": [
            {"peer": "client1", "type": "orders", "sent_messages": 1_203_441, "sent_bytes": 5_600_000_000_u64,
             "received_messages": 88, "received_bytes": 91_000, "queued_messages": 12, "queued_bytes": 3456},
            {"peer": "client1", "type": "idle", "queued_messages": 0, "queued_bytes": 0},
            {"peer": "warehouse-7", "type": "orders", "queued_messages": 40_000, "queued_bytes": 1_234_567_890}
        ],
        "inboxes": [{"type": "answers", "connected": false, "queued_messages": 3, "queued_bytes": 600,
                     "oldest_s": 42.0, "delivered_messages": 85, "delivered_bytes": 88_000}],
        "topics": [{"type": "news", "subscribers": 2, "stored_messages": 5, "stored_bytes": 5000}],
        "ledger": [
            {"peer": "client1", "type": "orders", "reason": "queue_full", "messages": 7, "bytes": 2100},
            {"peer": "client9", "type": "any", "reason": "unknown_peer", "messages": 1, "bytes": 30}
        ],
        "receipts": {"accepted": 5, "stored": 4, "delivered": 3, "refused": 0},
        "requests": {"waiting": 1, "asked": 20, "answered": 18, "failed": 1},
        "store": {"path": "/var/lib/aioconnectors/server", "bytes": 1_234_600_000, "limit_bytes": 4_000_000_000_u64,
                  "disk_free_bytes": 40_000_000_000_u64, "lasts_s": 43_000.0},
        "certificate": {"subject": "CN=server", "not_after": 1_900_000_000, "expires_in_s": 2_600_000.0}
    })
}

fn table(table: &super::super::table::Table, view: View) -> String {
    let mut out = Vec::new();
    table.write(view, &Value::Null, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn status_screen(status: &Value, width: usize) -> String {
    let mut out = Vec::new();
    write_pairs(&status::pairs(status), width, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn assert_fits(text: &str, width: usize) {
    for line in text.lines() {
        assert!(line.chars().count() <= width && !line.chars().any(char::is_control), "{line:?} in {text}");
    }
}

#[test]
fn a_status_says_what_matters() {
    let expected = "\
name           ('10.0.0.1', 10673), a server
state          running for 2d 04h
version        0.1.0 (2b0ac4c), process 4711
config         /etc/aioconnectors/server.json
listens at     10.0.0.1:10673
peers          1 of 2 connected
sent           1203458 messages, 5.6 GB
received       88 messages, 91.0 kB
queued         40012 messages, 1.2 GB; the oldest waits 5m 10s
unconfirmed    4 messages
for programs   3 messages, 600 B; the oldest waits 42 s
topics         1, 5 messages, 5.0 kB
requests       20: 18 answered, 1 failed, 1 wait
not delivered  8 messages, 2.1 kB: 'aioconnectorsctl ledger' says why
store          1.2 GB of 4.0 GB in /var/lib/aioconnectors/server
disk           40.0 GB free; at this rate it lasts 11h 56m
certificate    CN=server, expires in 30d 02h
";
    assert_eq!(status_screen(&fixture(), 80), expected);
    assert_fits(&status_screen(&fixture(), 40), 40);
}

#[test]
fn a_client_shows_its_link() {
    let mut status = fixture();
    status["role"] = "client".into();
    status["peers"].as_array_mut().unwrap().truncate(1);
    let screen = status_screen(&status, 80);
    assert!(screen.contains("link           up for 1d 00h, TLSv1.3, 1 ms there and back\n"), "{screen}");
    assert!(screen.contains("server         10.0.0.1:10673\n"), "{screen}");
    status["peers"][0]["connected"] = false.into();
    status["server"] = json!([["a", 1], ["b", 2]]);
    let screen = status_screen(&status, 80);
    assert!(screen.contains("link           away for 1d 00h\n") && screen.contains("  a:1, b:2\n"), "{screen}");
}

#[test]
fn members_that_are_missing_or_of_another_kind_are_borne() {
    let empty = json!({});
    assert!(status_screen(&empty, 80).starts_with("state          ?\nversion        ?\npeers          0 of 0"));
    for member in ["peers", "types", "inboxes", "topics", "ledger", "store", "certificate", "server", "requests"] {
        for wrong in [json!(null), json!(5), json!("x"), json!([1]), json!({"a": 1}), json!([{}])] {
            let mut status = fixture();
            status[member] = wrong;
            assert_fits(&status_screen(&status, 40), 40);
            for view in [View::Screen(40), View::Plain] {
                table(&peers::table(&status), view);
                table(&ledger::table(&status), view);
                table(&queues::table(&queues::rows(&status).iter().collect::<Vec<_>>()), view);
            }
        }
    }
    table(&files::table(&json!([{}, 1, {"done": 5, "size": 0}])), View::Screen(40));
}

#[test]
fn peers_fit_into_80_columns_and_into_40() {
    let peers = peers::table(&fixture());
    let expected = "\
PEER         STATE      FOR  TRIP  QUEUED   OLDEST     SENT  RECEIVED
client1      up     1d 00h  1 ms      12  800 ms  1203441        88
";
    let screen = table(&peers, View::Screen(80));
    assert_fits(&screen, 80);
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(squeezed(&screen).starts_with(&squeezed(expected)), "{screen}");
    let narrow = table(&peers, View::Screen(40));
    assert_fits(&narrow, 40);
    assert!(
        narrow.starts_with("peer            client1\nstate           up\naddress         10.0.0.7:51234\n"),
        "{narrow}"
    );
    let plain = table(&peers, View::Plain);
    assert!(
        plain.starts_with("PEER\tSTATE\tADDRESS\tFOR\tTRIP\tQUEUED\tBYTES\tOLDEST\tUNCONFIRMED\tSENT\t"),
        "{plain}"
    );
    assert!(
        plain.contains("\nwarehouse-7\taway\t-\t311\t-\t40000\t1234567890\t310\t0\t17\t1700\t0\t0\t0\t-\t-\n"),
        "{plain}"
    );
}

#[test]
fn queues_and_the_ledger_are_aligned() {
    let rows = queues::rows(&fixture());
    let screen = table(&queues::table(&rows.iter().collect::<Vec<_>>()), View::Screen(80));
    let expected = "\
QUEUE  PEER         TYPE     MESSAGES   BYTES  OLDEST  READERS
out    client1      orders         12  3.5 kB       -        -
out    client1      idle            0     0 B       -        -
out    warehouse-7  orders      40000  1.2 GB       -        -
in     -            answers         3   600 B    42 s        0
topic  -            news            5  5.0 kB       -        2
";
    assert_eq!(screen, expected);
    let expected = "\
PEER     TYPE    REASON        MESSAGES   BYTES
client1  orders  queue_full           7  2.1 kB
client9  any     unknown_peer         1    30 B
";
    assert_eq!(table(&ledger::table(&fixture()), View::Screen(80)), expected);
    for width in [40, 30, 20] {
        assert_fits(&table(&ledger::table(&fixture()), View::Screen(width)), width);
    }
}

#[test]
fn a_script_gets_the_values_of_a_status_line_by_line() {
    let mut out = Vec::new();
    status::write_plain("", &fixture(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    for line in ["state\trunning", "uptime_s\t187200.5", "store.bytes\t1234600000", "certificate.subject\tCN=server"] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
    assert!(!text.contains("peers"), "{text}");
}
