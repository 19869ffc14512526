//! Commands that look at running connectors and control them.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use nix::pty::{Winsize, openpty};
use serde_json::{Value, json};

use crate::common::setup::wait_link;
use crate::common::{Place, RawReceiver, Setup, free_port, wait};
use crate::rig::{CTL, Link, run};

/// `aioconnectorsctl`, which finds no connector of the machine's own.
fn tool(line: &str) -> Command {
    let mut command = Command::new(CTL);
    command.args(line.split_whitespace());
    command.env("AIOCONNECTORS_CONFIGS", "/no/such/folder").env("AIOCONNECTORS_FILES", "/no/such/folder");
    command
}

/// The same for one connector.
fn of(setup: &Setup, line: &str) -> Command {
    let mut command = tool(line);
    command.arg("--config").arg(setup.write());
    command
}

/// The exit code and what was said.
fn outcome(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (output.status.code().expect("an exit code"), text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn done(command: Command) -> String {
    let (code, out, err) = outcome(&run(command, b""));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    out
}

#[track_caller]
fn json_of(command: Command) -> Value {
    let out = done(command);
    assert_eq!(out.lines().count(), 1, "{out}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// What a terminal of so many columns shows.
fn screen(mut command: Command, columns: u16) -> String {
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(&size, None).expect("a terminal");
    let terminal = || Stdio::from(pty.slave.try_clone().expect("its end"));
    let mut child = command.stdin(Stdio::null()).stdout(terminal()).stderr(terminal()).spawn().expect("the tool");
    drop((command, pty.slave));
    let (mut shown, mut terminal) = (Vec::new(), fs::File::from(pty.master));
    // The end of a terminal is an error.
    _ = terminal.read_to_end(&mut shown);
    child.wait().expect("its end");
    String::from_utf8(shown).expect("UTF-8").replace("\r\n", "\n")
}

#[test]
fn status_peers_queues_and_ledger_show_what_is_there() {
    let link = Link::start();
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    done(of(&link.client, "send any hello --receipt delivered"));
    receiver.wait_count(1);
    assert_eq!(run(of(&link.server, "send any x --to nobody --receipt accepted"), b"").status.code(), Some(3));

    let status = json_of(of(&link.server, "status --json"));
    assert_eq!((&status["role"], &status["state"]), (&json!("server"), &json!("running")));
    let plain = done(of(&link.client, "status"));
    assert!(plain.lines().any(|line| line == "state\trunning") && plain.contains("\nname\tclient1\n"), "{plain}");

    let peers = json_of(of(&link.server, "peers --json"));
    assert_eq!((&peers[0]["name"], &peers[0]["connected"]), (&json!("client1"), &json!(true)));
    let plain = done(of(&link.server, "peers"));
    let rows: Vec<Vec<&str>> = plain.lines().map(|line| line.split('\t').collect()).collect();
    assert!(rows[0][..2] == ["PEER", "STATE"] && rows[1][..2] == ["client1", "up"], "{plain}");
    assert_eq!(rows[0].len(), rows[1].len());

    let queues = json_of(of(&link.server, "queues --json"));
    assert!(queues["inboxes"].as_array().is_some_and(|all| !all.is_empty()), "{queues}");
    assert!(done(of(&link.server, "queues")).starts_with("QUEUE\tPEER\tTYPE\tMESSAGES\tBYTES\tOLDEST\tREADERS\n"));
    let ledger = json_of(of(&link.server, "ledger --json"));
    assert_eq!((&ledger[0]["reason"], &ledger[0]["messages"]), (&json!("unknown_peer"), &json!(1)));
    assert_eq!(json_of(of(&link.server, "files --json")), json!([]));
    assert!(done(of(&link.server, "files")).starts_with("PEER\tDIRECTION\tNAME\t"));
}

#[test]
fn screens_fit_into_terminals_of_80_and_of_40_columns() {
    let link = Link::start();
    for columns in [80, 40] {
        for line in ["status", "peers", "queues", "queues --all", "ledger", "files"] {
            for setup in [&link.server, &link.client] {
                let shown = screen(of(setup, line), columns);
                assert!(!shown.is_empty(), "{line}");
                for row in shown.lines() {
                    let fits = row.chars().count() <= columns.into() && !row.chars().any(char::is_control);
                    assert!(fits, "{line} at {columns}: {row:?}");
                }
            }
        }
    }
    let shown = screen(of(&link.server, "status"), 80);
    assert!(shown.contains("\nstate ") && shown.contains("\npeers          1 of 1 connected\n"), "{shown}");
    assert_eq!(screen(of(&link.server, "ledger"), 80), "The ledger is empty: nothing was refused or dropped.\n");
    assert!(screen(of(&link.server, "queues"), 80).contains("without messages: --all shows them\n"));
}

#[test]
fn a_connector_is_stopped_and_begun_again() {
    let link = Link::start();
    let state = || json_of(of(&link.server, "status --json"))["state"].clone();
    for (stop, start) in [("stop", "start"), ("stop --hard", "restart --hard"), ("stop --timeout 90", "start")] {
        assert_eq!(done(of(&link.server, stop)), "");
        assert_eq!(state(), "stopped");
        assert_eq!(done(of(&link.server, "peers")).lines().count(), 2, "one that is stopped shows what it knows");
        done(of(&link.server, start));
        assert_eq!(state(), "running");
        wait_link(&link.server, &link.client);
    }
    done(of(&link.server, "restart --pause 0.1"));
    wait_link(&link.server, &link.client);
}

#[test]
fn a_shutdown_ends_the_process() {
    let Link { client, server, mut server_process, place: _place, .. } = Link::start();
    done(of(&server, "stop --hard --shutdown"));
    assert_eq!(server_process.exit_code(), 0);
    for line in ["status", "stop", "start", "reload", "blacklist list"] {
        let (code, out, err) = outcome(&run(of(&server, line), b""));
        assert_eq!((code, out.as_str()), (5, ""), "{line}: {err}");
        assert!(err.starts_with("aioconnectorsctl: no connector runs at ") && err.lines().count() == 1, "{err}");
    }
    drop(client);
}

#[test]
fn a_config_is_read_again_and_a_mistake_in_it_changes_nothing() {
    let link = Link::start();
    let reload = |setup: &Setup| outcome(&run(of(setup, "reload"), b""));
    assert_eq!(reload(&link.server).1, "the config has not changed\n");
    let changed = link.server.clone().with("default_logger_log_level", "DEBUG").with("max_certs", 77);
    let (code, out, err) = reload(&changed);
    assert_eq!((code, out.as_str()), (0, "changed: default_logger_log_level\nneeds a restart: max_certs\n"), "{err}");
    assert_eq!(done(of(&changed, "log-level")), "DEBUG\n");
    let (code, _, err) = reload(&changed.clone().with("max_certs", "many"));
    assert!(code == 3 && err.contains("max_certs"), "{err}");
    assert_eq!(done(of(&changed, "log-level")), "DEBUG\n");
}

#[test]
fn the_level_of_the_log_and_values_of_the_config_are_shown_and_changed() {
    let link = Link::start();
    assert_eq!(done(of(&link.server, "log-level warning")), "WARNING\n");
    assert_eq!(done(of(&link.server, "log-level")), "WARNING\n");
    let (code, _, err) = outcome(&run(of(&link.server, "log-level loud"), b""));
    assert!(code == 3 && err.contains("LOUD"), "{err}");
    assert_eq!(done(of(&link.client, "show-attribute is_running")), "True\n");
    let (code, _, err) = outcome(&run(of(&link.client, "show-attribute no_such_key"), b""));
    assert!(code == 3 && err.contains("no_such_key"), "{err}");
    assert_eq!(done(of(&link.client, "delete-remains")), "");
}

#[test]
fn who_may_come_in_is_listed_for_scripts() {
    let link = Link::start();
    done(of(&link.server, "blacklist add nobody"));
    done(of(&link.server, "blacklist add 192.0.2.0/24"));
    done(of(&link.server, "whitelist add --id 10"));
    let expected = json!([{"kind": "id", "entry": "nobody"}, {"kind": "ip", "entry": "192.0.2.0/24"}]);
    assert_eq!(json_of(of(&link.server, "blacklist list --json")), expected);
    assert_eq!(done(of(&link.server, "whitelist list")), "id  10\n");
    done(of(&link.server, "whitelist remove --id 10"));
    assert_eq!(json_of(of(&link.server, "whitelist list --json")), json!([]));
    for (line, words, value) in [
        ("ignore peer client1", "client1\n", json!(["client1"])),
        ("ignore all", "all\n", json!(true)),
        ("ignore none", "none\n", json!(false)),
    ] {
        done(of(&link.server, line));
        assert_eq!(done(of(&link.server, "ignore list")), words);
        assert_eq!(json_of(of(&link.server, "ignore list --json")), value);
    }
    done(of(&link.client, "disconnect"));
    wait_link(&link.server, &link.client);
    let (code, _, err) = outcome(&run(of(&link.server, "disconnect"), b""));
    assert!(code == 2 && err.contains("PEER is missing"), "{err}");
}

#[test]
fn subscriptions_are_set_and_listed() {
    let link = Link::start();
    assert_eq!(done(of(&link.client, "subscribe news sensors.>")), "news\nsensors.>\n");
    assert_eq!(json_of(of(&link.client, "subscriptions --json")), json!(["news", "sensors.>"]));
    assert_eq!(done(of(&link.client, "subscribe --none")), "");
    assert_eq!(done(of(&link.client, "subscriptions")), "");
    let (code, _, err) = outcome(&run(of(&link.server, "end-subscriptions nobody"), b""));
    assert!(code == 3 && err.contains("0 subscriptions of nobody"), "{err}");
}

#[test]
fn what_a_connector_refuses_has_an_exit_code_of_its_own() {
    let link = Link::start();
    for (setup, line, code, said) in [
        (&link.server, "blacklist remove nobody", 3, "refused: blacklisted_clients_id does not have"),
        (&link.client, "blacklist add nobody", 3, "is a client"),
        (&link.server, "disconnect nobody", 1, "nobody is not connected"),
        (&link.client, "disconnect client1", 2, "is a client"),
        (&link.server, "delete-token", 2, "CLIENT is missing"),
        (&link.server, "delete-token nobody", 3, "refused: "),
        (&link.client, "delete-token other", 2, "deletes its own"),
        (&link.server, "reload-tokens", 3, "refused: "),
        (&link.client, "delete-certificate other", 2, "deletes its own"),
        (&link.client, "enroll other", 3, "refused: "),
    ] {
        let (found, out, err) = outcome(&run(of(setup, line), b""));
        assert_eq!((found, out.as_str()), (code, ""), "{line}: {err}");
        assert!(err.contains(said), "{line}: {err}");
    }
}

/// A folder with a connector's config, and a socket that answers every command in the same way.
fn strange_connector(place: &Place, answer: &'static [u8]) -> Setup {
    let setup = Setup::client(place, "client1", 1);
    setup.write();
    let listener = UnixListener::bind(setup.dir.join("uds_path_commander_client1")).expect("its socket");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("an admin");
            let mut length = [0; 4];
            if stream.read_exact(&mut length).is_ok() {
                let mut request = vec![0; u32::from_le_bytes(length) as usize];
                stream.read_exact(&mut request).expect("a request");
                stream.write_all(&(answer.len() as u32).to_le_bytes()).expect("a length");
                stream.write_all(answer).expect("an answer");
            }
        }
    });
    setup
}

#[test]
fn a_daemon_of_another_version_is_told_as_such() {
    let place = Place::new();
    let setup = strange_connector(&place, br#"{"status": false, "msg": "the command \"show_status\" is not known"}"#);
    for line in ["status", "peers", "queues", "ledger"] {
        let (code, out, err) = outcome(&run(of(&setup, line), b""));
        assert_eq!((code, out.as_str()), (6, ""), "{err}");
        assert!(err.contains("does not know show_status: aioconnectorsd 0.1.0 and later ones know it"), "{err}");
    }
}

#[test]
fn answers_that_lack_what_is_known_today_are_shown_and_no_answer_reaches_the_terminal_as_it_is() {
    let place = Place::new();
    let setup =
        strange_connector(&place, br#"{"name": "a\u001b[2Jb", "peers": [{"name": "\u001b]0;x\u0007"}], "new": 1}"#);
    for line in ["status", "peers", "queues", "ledger"] {
        let shown = screen(of(&setup, line), 40);
        assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
        assert!(!done(of(&setup, line)).contains('\u{1b}'));
    }
    let nonsense = Place::new();
    let setup = strange_connector(&nonsense, b"nonsense");
    let (code, _, err) = outcome(&run(of(&setup, "status"), b""));
    assert!(code == 1 && err.contains("the answer to show_status"), "{err}");
}

/// A machine whose connectors have configs where systemd's unit has them.
fn machine(place: &Place) -> (Setup, Setup, impl Fn(&str) -> Command) {
    let port = free_port();
    let (server, client) = (Setup::server(place, port), Setup::client(place, "client1", port));
    let etc = place.file("etc");
    fs::create_dir(&etc).expect("a folder");
    for (name, setup) in [("north", &server), ("south", &client)] {
        fs::copy(setup.write(), etc.join(name).with_extension("json")).expect("its config");
    }
    let command = move |line: &str| {
        let mut command = tool(line);
        command.env("AIOCONNECTORS_CONFIGS", &etc);
        command
    };
    (server, client, command)
}

#[test]
fn a_connector_is_found_by_its_name_or_as_the_only_one_that_runs() {
    let place = Place::new();
    let (server, client, command) = machine(&place);
    let (code, _, err) = outcome(&run(command("status"), b""));
    assert!(code == 5 && err.contains("no connector runs; known are north, south"), "{err}");

    let _server = server.start();
    assert_eq!(json_of(command("status --json"))["role"], "server");
    let _client = client.start();
    wait_link(&server, &client);
    let (code, _, err) = outcome(&run(command("status"), b""));
    assert!(code == 2 && err.contains("several connectors run: north, south: --name NAME"), "{err}");
    assert_eq!(json_of(command("status --name south --json"))["role"], "client");
    let (code, _, err) = outcome(&run(command("status --name suoth"), b""));
    assert!(code == 5 && err.contains("did you mean south?"), "{err}");

    let expected = json!([["north", "server", "running"], ["south", "client", "running"]]);
    let found = json_of(command("connectors --json"));
    let found: Value =
        found.as_array().expect("a list").iter().map(|c| json!([c["name"], c["role"], c["state"]])).collect();
    assert_eq!(found, expected);
    assert!(done(command("connectors")).starts_with("NAME\tROLE\tSTATE\tCONFIG\nnorth\tserver\trunning\t"));
    assert!(done(command("check-config --name north")).contains("no errors: server"));
    assert_eq!(done(command("send any x --name south --receipt accepted")), "{\"id\":1,\"level\":\"accepted\"}\n");
}

#[test]
fn the_list_of_running_connectors_names_those_without_a_known_config() {
    let place = Place::new();
    let port = free_port();
    let server = Setup::server(&place, port);
    let _server = server.start();
    let of_list = |line: &str| {
        let mut command = tool(line);
        command.env("AIOCONNECTORS_FILES", &server.dir);
        command
    };
    wait::until("its entry", || server.dir.join("active_connectors.json").exists().then_some(()));
    let path = server.dir.join("active_connectors.json");
    fs::write(&path, format!(r#"["127.0.0.1 {port}", "stale"]"#)).expect("the list");
    assert_eq!(json_of(of_list("status --json"))["role"], "server");
    let name = format!("127.0.0.1:{port}");
    assert_eq!(json_of(of_list(&format!("status --json --name {name}")))["role"], "server");
    let found = json_of(of_list("connectors --json"));
    assert_eq!((&found[0]["name"], &found[1]["state"]), (&json!(name), &json!("not running")));
}

#[test]
fn output_into_a_closed_pipe_ends_quietly() {
    let link = Link::start();
    for line in ["status", "peers --json", "queues", "ledger", "connectors", "print-man-page aioconnectorsctl", "help"]
    {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = if line == "help" || line.starts_with("print") { tool(line) } else { of(&link.server, line) };
        if line == "connectors" {
            command = tool(line);
        }
        let child = command.stdout(writer).stderr(Stdio::piped()).spawn().expect("the tool");
        drop(command);
        let output = child.wait_with_output().expect("its end");
        assert!(output.status.success() && output.stderr.is_empty(), "{line}: {output:?}");
    }
}

#[test]
fn every_page_and_every_completion_is_printed() {
    for (line, file) in [
        ("print-man-page aioconnectorsctl", "man/aioconnectorsctl.1"),
        ("print-man-page aioconnectorsd.8", "man/aioconnectorsd.8"),
        ("print-man-page aioconnectors.json", "man/aioconnectors.json.5"),
        ("print-man-page aioconnectors", "man/aioconnectors.7"),
        ("print-completions bash", "config/completions/aioconnectorsctl"),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        assert!(done(tool(line)) == fs::read_to_string(path).expect("a file"), "{line}");
    }
}
