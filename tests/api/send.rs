use std::io::Read;
use std::thread;
use std::time::Duration;

use aioconnectors::api::{ApiError, ConnectorApi, File};
use serde_json::json;

use crate::fake::*;

#[test]
fn a_message_arrives_with_all_that_was_said_of_it() {
    let (dir, api) = client();
    let connector = start_connector(&dir);
    let message = api.send_message("any").destination("x").request_id(7).response_id("r").tag("t-1");
    message.json(&json!({"a": [1, "ü"]})).binary(b"\0\x01").send().unwrap();
    let frames = read_frames(&mut connector.accept().unwrap().0, 1);
    let header = json!({"message_type": "any", "source_id": "c1", "destination_id": "x", "request_id": 7,
        "response_id": "r", "with_binary": true, "tag": "t-1"});
    assert_eq!(frames[0].header, header);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&frames[0].data).unwrap(), json!({"a": [1, "ü"]}));
    assert_eq!(frames[0].binary.as_deref(), Some(&b"\0\x01"[..]));
}

#[test]
fn a_file_and_further_keys_are_said_in_the_header() {
    let (dir, api) = client();
    let connector = start_connector(&dir);
    let path = dir.path().join("f");
    std::fs::write(&path, "bytes").unwrap();
    let more = json!({"own": [1]});
    let message = api.send_message("any").file(File::new(&path).dst_name("g")).header(more.as_object().unwrap());
    message.wait_for_ack().send().unwrap();
    let frames = read_frames(&mut connector.accept().unwrap().0, 1);
    let with_file = json!({"src_path": path, "dst_type": "any", "dst_name": "g", "delete": false});
    let header = &frames[0].header;
    assert_eq!((&header["with_file"], &header["own"]), (&with_file, &json!([1])));
    assert_eq!((&header["wait_for_ack"], &frames[0].binary), (&true.into(), &None), "the connector adds the file");
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(api.send_message("any").file(File::new(&path)).send(), Err(ApiError::File { .. })));
    let own = json!({"source_id": "other"});
    let error = api.send_message("any").header(own.as_object().unwrap()).send().unwrap_err();
    assert!(matches!(&error, ApiError::HeaderKey(key) if key == "source_id"), "{error}");
}

#[test]
fn a_publication_names_its_type_and_needs_no_destination() {
    let dir = tempfile::tempdir().unwrap();
    let api = ConnectorApi::server("127.0.0.1", 1).files_dir(dir.path()).send_message_types(["other"]).build().unwrap();
    let path = dir.path().join("uds_path_send_to_connector_server_127001_1");
    let connector = std::os::unix::net::UnixListener::bind(path).unwrap();
    api.publish_message("news").text("today").send().unwrap();
    let frames = read_frames(&mut connector.accept().unwrap().0, 1);
    let header = json!({"message_type": "_pubsub", "source_id": "('127.0.0.1', 1)", "message_type_publish": "news"});
    assert_eq!((&frames[0].header, frames[0].data.as_slice()), (&header, &b"today"[..]));
}

#[test]
fn what_a_client_sends_goes_to_its_server_and_an_empty_binary_is_none() {
    let (dir, api) = client();
    let connector = start_connector(&dir);
    api.send_message("any").text("hi").binary(b"").send().unwrap();
    let frames = read_frames(&mut connector.accept().unwrap().0, 1);
    let header = json!({"message_type": "any", "source_id": "c1", "destination_id": "('127.0.0.1', 10673)"});
    assert_eq!((&frames[0].header, &frames[0].binary), (&header, &None));
}

#[test]
fn messages_share_a_connection_and_outlive_a_restart_of_the_connector() {
    let (dir, api) = client();
    let connector = start_connector(&dir);
    api.send_message("any").text("1").send().unwrap();
    api.send_message("any").text("2").send().unwrap();
    assert_eq!(read_frames(&mut connector.accept().unwrap().0, 2).len(), 2);
    drop(connector);
    let connector = start_connector(&dir);
    api.send_message("any").text("3").send().unwrap();
    assert_eq!(read_frames(&mut connector.accept().unwrap().0, 1)[0].data, b"3");
}

#[test]
fn a_message_that_was_cut_off_is_sent_again_whole() {
    let (dir, api) = client();
    let connector = start_connector(&dir);
    api.send_message("any").text("first").send().unwrap();
    let (mut old, _) = connector.accept().unwrap();
    let big = vec![b'x'; 3_000_000];
    thread::scope(|scope| {
        let sending = scope.spawn(|| api.send_message("any").bytes(&big).send());
        old.read_exact(&mut vec![0; 100_000]).unwrap();
        drop(old);
        let frames = read_frames(&mut connector.accept().unwrap().0, 1);
        assert!(frames[0].data == big);
        sending.join().unwrap().unwrap();
    });
}

#[test]
fn a_connector_that_is_not_there_is_said_with_its_path_and_found_when_it_comes() {
    let (dir, api) = client();
    let error = api.send_message("any").send().unwrap_err();
    assert!(matches!(&error, ApiError::NotRunning { path } if *path == paths(&dir).send()), "{error}");
    drop(start_connector(&dir));
    assert!(matches!(api.send_message("any").send(), Err(ApiError::NotRunning { .. })), "a file alone is no connector");
    let connector = start_connector(&dir);
    api.send_message("any").text("now").send().unwrap();
    assert_eq!(read_frames(&mut connector.accept().unwrap().0, 1)[0].data, b"now");
}

#[test]
fn a_connector_that_takes_nothing_is_a_timeout_and_the_next_message_has_a_new_connection() {
    let dir = tempfile::tempdir().unwrap();
    let builder = ConnectorApi::client("c1").files_dir(dir.path());
    let api = builder.write_timeout(Duration::from_millis(30)).build().unwrap();
    let connector = start_connector(&dir);
    let big = vec![b'x'; 3_000_000];
    let error = api.send_message("any").bytes(&big).send().unwrap_err();
    assert!(matches!(error, ApiError::TimedOut { .. }), "{error}");
    assert!(read_frames(&mut connector.accept().unwrap().0, 1).is_empty(), "half a message is none");
    api.send_message("any").text("after").send().unwrap();
    assert_eq!(read_frames(&mut connector.accept().unwrap().0, 1)[0].data, b"after");
}

#[test]
fn without_a_kept_connection_each_message_has_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let api = ConnectorApi::client("c1").files_dir(dir.path()).keep_connection(false).build().unwrap();
    let connector = start_connector(&dir);
    for text in ["1", "2"] {
        api.send_message("any").text(text).send().unwrap();
        let frames = read_frames(&mut connector.accept().unwrap().0, 2);
        assert_eq!(frames.len(), 1, "the connection ends after one");
        assert_eq!(frames[0].data, text.as_bytes());
    }
}

#[test]
fn a_sender_without_a_kept_connection_brings_one_message_on_each() {
    let dir = tempfile::tempdir().unwrap();
    let api = ConnectorApi::client("c1").files_dir(dir.path()).keep_connection(false).build().unwrap();
    let connector = start_connector(&dir);
    let mut sender = api.sender();
    for text in ["1", "2", "3"] {
        api.send_message("any").text(text).send_with(&mut sender).unwrap();
    }
    sender.flush().unwrap();
    for text in ["1", "2", "3"] {
        let frames = read_frames(&mut connector.accept().unwrap().0, 2);
        assert!(frames.len() == 1 && frames[0].data == text.as_bytes());
    }
}

#[test]
fn messages_of_several_threads_stay_whole_and_in_the_order_of_each() {
    let (dir, api) = client();
    let connector = start_connector(&dir);
    thread::scope(|scope| {
        for thread in 0..4i64 {
            let api = &api;
            scope.spawn(move || {
                for number in 0..500i64 {
                    api.send_message("any").request_id(number).json(&thread).send().unwrap();
                }
            });
        }
        let mut next = [0; 4];
        for frame in read_frames(&mut connector.accept().unwrap().0, 2000) {
            let thread: usize = serde_json::from_slice(&frame.data).unwrap();
            assert_eq!(frame.header["request_id"], next[thread]);
            next[thread] += 1;
        }
        assert_eq!(next, [500; 4]);
    });
}

#[test]
fn a_sender_brings_all_its_messages_in_order() {
    let (dir, api) = client();
    let connector = start_connector(&dir);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut sender = api.sender();
            for number in 0..5000i64 {
                api.send_message("any").request_id(number).bytes(&[b'.'; 100]).send_with(&mut sender).unwrap();
            }
            assert!(sender.buffered() > 0, "the last ones wait for the flush");
            sender.flush().unwrap();
            assert_eq!(sender.buffered(), 0);
        });
        let frames = read_frames(&mut connector.accept().unwrap().0, 5000);
        assert!(frames.iter().map(|f| f.header["request_id"].as_i64().unwrap()).eq(0..5000));
    });
}

#[test]
fn a_sender_keeps_what_it_cannot_write() {
    let (dir, api) = client();
    let mut sender = api.sender();
    api.send_message("any").text("kept").send_with(&mut sender).unwrap();
    assert!(matches!(sender.flush(), Err(ApiError::NotRunning { .. })));
    let connector = start_connector(&dir);
    drop(sender);
    assert_eq!(read_frames(&mut connector.accept().unwrap().0, 1)[0].data, b"kept");
}

#[test]
fn what_a_connector_would_refuse_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = ConnectorApi::server("127.0.0.1", 1).files_dir(dir.path()).send_message_types(["a", "b"]);
    let server = server.build().unwrap();
    let error = server.send_message("c").destination("c1").send().unwrap_err().to_string();
    assert_eq!(error, "\"c\" is not among the send_message_types: a, b");
    assert!(matches!(server.send_message("a").send(), Err(ApiError::NoDestination { .. })));
    assert!(matches!(server.send_message("a").destination("c").tag("a b").send(), Err(ApiError::Tag(_))));
    assert!(matches!(ConnectorApi::client("a/b").build(), Err(ApiError::ClientName { .. })));
    let long = ConnectorApi::client("c1").files_dir("/".to_owned() + &"x".repeat(100)).build();
    assert!(matches!(long, Err(ApiError::PathTooLong { .. })));
}
