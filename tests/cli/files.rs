//! Files from the shell.

use std::fs;

use serde_json::json;

use crate::common::{RawReceiver, Setup, wait};
use crate::rig::{Link, outcome, run};

/// A link whose connectors take files of the type `any`.
pub fn link() -> Link {
    Link::start_with(|setup: Setup| {
        let target = setup.dir.join("in/{source_id}");
        setup.with("file_recv_config", json!({"any": {"target_directory": target}}))
    })
}

#[test]
fn a_file_arrives_under_its_name_and_what_came_is_told() {
    let link = link();
    let source = link.place.file("report.txt");
    let text = "0123456789".repeat(100_000);
    fs::write(&source, &text).unwrap();
    let path = source.to_str().unwrap();
    let receive = link.server_ctl("receive", &["any", "--count", "2", "--ack"]);
    let receiving = std::thread::spawn(|| run(receive, b""));
    wait::until("a socket", || link.server.receive_socket("any").exists().then_some(()));
    let send = |arguments: &[&str]| outcome(&run(link.client_ctl("send", arguments), b""));
    let (code, lines, error) = send(&["any", "here", "--file", path, "--receipt", "delivered"]);
    assert_eq!((code, lines), (Some(0), vec![json!({"id": 1, "level": "delivered"})]), "{error}");
    let target = link.server.dir.join("in/client1");
    assert!(source.exists() && fs::read_to_string(target.join("report.txt")).unwrap() == text);

    let named = ["any", "-", "--file", path, "--dst-name", "other", "--delete", "--receipt", "delivered"];
    assert_eq!(send(&named).0, Some(0));
    assert!(fs::read_to_string(target.join("other")).unwrap() == text);
    wait::until("the source to be removed", || (!source.exists()).then_some(()));
    let (_, lines, _) = outcome(&receiving.join().unwrap());
    assert_eq!(lines[0]["file"], json!({"type": "any", "name": "report.txt", "error": null}));
    assert_eq!((&lines[0]["data"], &lines[1]["file"]["name"]), (&json!("here"), &json!("other")));
}

#[test]
fn a_file_that_is_not_taken_is_told_at_the_other_end() {
    let link = link();
    let receiver = RawReceiver::listen(link.server.receive_socket("ask"));
    let source = link.place.file("report.txt");
    fs::write(&source, "text").unwrap();
    let arguments = ["ask", "x", "--file", source.to_str().unwrap(), "--receipt", "delivered"];
    let (code, _, error) = outcome(&run(link.client_ctl("send", &arguments), b""));
    assert_eq!(code, Some(0), "the message is delivered: {error}");
    receiver.wait_count(1);
    let with_file = receiver.frames()[0].field("with_file");
    assert!(with_file["file_error"].as_str().is_some_and(|error| !error.is_empty()), "{with_file}");
    assert!(source.exists());
}
