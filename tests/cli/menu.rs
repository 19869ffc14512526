//! `aioconnectorsctl cli`, the menu.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::common::setup::wait_link;
use crate::common::wait;
use crate::rig::{CTL, Link, run};

/// What is shown to somebody who types these lines; the command must end well.
#[track_caller]
fn shown(link_dir: &std::path::Path, typed: &[&str]) -> String {
    let mut command = Command::new(CTL);
    command.arg("cli").arg(link_dir);
    let output = run(command, (typed.join("\n") + "\n").as_bytes());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// What is behind `start`.
#[track_caller]
fn after<'a>(text: &'a str, start: &str) -> &'a str {
    text.split_once(start).unwrap_or_else(|| panic!("{start:?} is not in\n{text}")).1
}

#[test]
fn a_connector_of_the_list_is_looked_at_stopped_and_started() {
    let link = Link::start();
    let dir = &link.server.dir;
    let typed = ["0", "4", "6", "10", "11", "3", "10", "1", "4", "0", "q", "q"];
    let text = shown(dir, &typed);
    let port = link.server.id.trim_matches(['(', ')']).split(' ').nth(1).unwrap();
    let text = after(&text, &format!("0)    127.0.0.1 {port}\n"));
    let text = after(text, " Connector : 127.0.0.1");
    let text = after(text, "Connected peers :\n  client1  127.0.0.1 ");
    let text = after(text, "\"queue_send\": {\n    \"client1\": 0");
    let text = after(text, "\nINFO\n");
    let text = after(text, "0)    ERROR\n1)    WARNING\n2)    INFO\n3)    DEBUG\n");
    let text = after(text, "\nDEBUG\n");
    let text = after(text, "Waiting for what is queued to be sent ...\nDone\n");
    let text = after(text, "Connected peers :\n  none\n");
    after(text, "\nDone\n");
    wait_link(&link.server, &link.client);
}

#[test]
fn lists_and_ignored_peers_are_changed() {
    let link = Link::start();
    let dir = &link.server.dir;
    let text =
        shown(dir, &["0", "14", "10.0.0.0/8", "y", "14", "q", "15", "10.0.0.0/8", "n", "16", "cl.*", "y", "q", "q"]);
    let text = after(&text, "blacklist :\n  empty\n");
    let text = after(text, "\nDone\n");
    let text = after(text, "blacklist :\n  10.0.0.0/8\n");
    after(text, "Are you sure you want to whitelist\ncl.* ? y/n\nDone\n");
    let show = |key: &str| link.server.admin().ask("show_attribute", json!({"attribute": key})).unwrap();
    assert_eq!(show("blacklisted_clients_subnet"), r#"["10.0.0.0/8"]"#, "n leaves it there");
    assert_eq!(show("whitelisted_clients_id"), r#"["cl.*"]"#);
    let text = shown(dir, &["0", "5", "client1", "", "5", "y", "q", "q", "q"]);
    let text = after(&text, "ignore_peer_traffic current status :\nFalse\n");
    let text = after(text, "ignore_peer_traffic current status :\n['client1']\n");
    after(text, "ignore_peer_traffic current status :\nFalse\n");
    let text = shown(dir, &["0", "9", "nobody", "y", "9", "client1", "n", "7", "nobody", "y", "q", "q"]);
    let text = after(&text, "Non existing client nobody\n");
    after(text, "Refused : ");
}

#[test]
fn a_client_has_its_own_commands() {
    let link = Link::start();
    let dir = &link.client.dir;
    let text =
        shown(dir, &["client1", "13", "news sensors.>", "y", "12", "9", "14", "8", "n", "99", "q", "nobody", "q"]);
    let text = after(&text, "Current subscribed message types are :\nnone\n");
    let text = after(text, "\nnews\nsensors.>\n");
    let text = after(text, "A client cannot use this functionality\n");
    let text = after(text, "A client cannot use this functionality\n");
    let text = after(text, "Are you sure you want to delete\nclient1 's token ? y/n\n");
    let text = after(text, "Invalid number : 99\n");
    after(text, "The connector nobody does not exist\n");
}

#[test]
fn a_reload_tells_of_changes_and_mistakes() {
    let link = Link::start();
    link.server.clone().with("keep_alive_timeout", 9).with("ignore_peer_traffic", true).write();
    let text = shown(&link.server.dir, &["0", "18", "q", "q"]);
    after(&text, "Changed :\n  ignore_peer_traffic\nNeeds a restart :\n  keep_alive_timeout\n");
    std::fs::write(link.server.dir.with_extension("json"), "{\"use_ssl\": 1}").unwrap();
    let text = shown(&link.server.dir, &["0", "18", "q", "q"]);
    after(after(&text, "Refused : "), "use_ssl: found 1");
}

#[test]
fn it_ends_with_its_input_at_every_question() {
    let link = Link::start();
    for typed in [&[][..], &["0"], &["0", "5"], &["0", "5", "y"], &["0", "9"], &["0", "9", "x"], &["0", "14"]] {
        shown(&link.server.dir, typed);
    }
}

#[test]
fn it_ends_when_nobody_reads_and_at_ctrl_c() {
    let link = Link::start();
    let script = format!("yes 4 | '{CTL}' cli '{}' | head -n 1", link.server.dir.display());
    let output = run(
        {
            let mut sh = Command::new("sh");
            sh.args(["-c", &script]);
            sh
        },
        b"",
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    // Whoever runs the tests may have had the signal ignored, as shells do for what they run in the background.
    let mut command = Command::new("env");
    command
        .args(["--default-signal=INT", CTL, "cli"])
        .arg(&link.server.dir)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let pid = Pid::from_raw(child.id().cast_signed());
    wait::until("it to be there", || {
        std::fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|l| l.starts_with(CTL.as_bytes()))
    });
    kill(pid, Signal::SIGINT).unwrap();
    assert!(!child.wait().unwrap().success());
}

#[test]
fn a_folder_without_connectors_is_no_error() {
    let link = Link::start();
    let text = shown(link.place.path(), &["10.1.1.1 77", "q"]);
    after(&text, "The connector 10.1.1.1 77 does not exist\n");
}
