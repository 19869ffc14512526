//! How many system calls a message costs: both daemons count their own.

use std::io::Read;
use std::os::unix::net::UnixListener;
use std::thread;

use serde_json::{Value, json};

use crate::certificates::Secured;
use crate::common::setup::wait_link;
use crate::common::{RawSender, Setup, wait};

/// Messages that are sent.
const MESSAGES: usize = 100_000;

/// Bytes of data in a message.
const SIZE: usize = 100;

/// Bytes that the app writes at a time.
const WRITE: usize = 64 * 1024;

/// System calls of both daemons that a thousand messages may cost. There are 13, built either way, on two processors that
/// others use as well. A read brings at least what the system hands over at a time, 32 KiB or so of the 64 KiB that an app
/// writes: 150 messages, for which there are then a read, a write and a wait at each end, and three or four calls for what
/// says that they were taken over. So it is 60 at the worst. A slow or busy machine makes it fewer: more has come when a
/// daemon gets to read.
const CALLS_MAX: u64 = 60;

/// What a daemon counts: turns, reads, writes, others.
fn calls(setup: &Setup) -> [u64; 4] {
    let status: Value = serde_json::from_str(&setup.admin().ask("show_status", json!({})).unwrap()).expect("JSON");
    ["turns", "reads", "writes", "other_calls"].map(|name| status["loop"][name].as_u64().expect("a number"))
}

#[test]
fn a_message_of_many_costs_a_small_part_of_a_system_call() {
    let secured = Secured::start();
    let (server, client) = (&secured.server, &secured.client("alice"));
    let _client = client.start();
    wait_link(server, client);
    let listener = UnixListener::bind(client.receive_socket("any")).expect("a listener");
    let header =
        format!(r#"{{"message_type": "any", "source_id": "{}", "destination_id": "{}"}}"#, server.id, client.id);
    let mut frame = Vec::new();
    aioconnectors::wire::frame::encode(header.as_bytes(), &[b'.'; SIZE], None, &mut frame).expect("a short frame");
    let all = frame.len() * MESSAGES;
    let reader = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the connector connects");
        stream.set_read_timeout(Some(wait::LIMIT)).expect("a time limit");
        let (mut buffer, mut read) = (vec![0; 1 << 20], 0);
        while read < all {
            read += match stream.read(&mut buffer) {
                Ok(0) => panic!("the connector closes after {read} bytes of {all}"),
                Ok(count) => count,
                Err(error) => panic!("{read} bytes of {all} came: {error}"),
            };
        }
        read
    });
    let before = [calls(server), calls(client)];
    let mut sender = RawSender::connect(&server.send_socket());
    let bytes = frame.repeat(MESSAGES);
    for piece in bytes.chunks(WRITE) {
        sender.send_bytes(piece).expect("the connector takes it");
    }
    assert_eq!(reader.join().expect("all is read"), all, "each message once, as it was sent");
    let after = [calls(server), calls(client)];
    let mut sum = 0;
    for (who, (before, after)) in ["server", "client"].iter().zip(before.iter().zip(after)) {
        let more: Vec<u64> = before.iter().zip(after).map(|(before, after)| after - before).collect();
        println!(
            "{who}: {MESSAGES} messages, {} turns, {} reads, {} writes, {} others",
            more[0], more[1], more[2], more[3]
        );
        sum += more.iter().sum::<u64>();
    }
    println!("{:.4} system calls a message", sum as f64 / MESSAGES as f64);
    assert!(sum * 1000 <= CALLS_MAX * MESSAGES as u64, "{sum} system calls for {MESSAGES} messages");
}
