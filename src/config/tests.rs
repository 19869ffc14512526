//! A config file as its author sees it: what is accepted, and what is said of the rest.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

use super::keys::{KEYS, Key, OLD_KEYS};
use super::*;

fn env(name: &str) -> Option<String> {
    (name == "HOME").then(|| "/home/joe".to_owned())
}

fn parse(text: &str) -> Result<Loaded, ConfigErrors> {
    Config::parse_with(text, Path::new("c.json"), &env)
}

/// The config in `text`, which must be right and give no warnings.
fn config(text: &str) -> Config {
    let loaded = parse(text).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(loaded.warnings, [], "{text}");
    loaded.config
}

fn error_lines(text: &str) -> Vec<String> {
    let errors = parse(text).expect_err(text);
    errors.to_string().lines().map(str::to_owned).collect()
}

fn warning_lines(text: &str) -> Vec<String> {
    let loaded = parse(text).unwrap_or_else(|errors| panic!("{errors}"));
    loaded.warnings.iter().map(ToString::to_string).collect()
}

/// A member of the config, and the line that it gives, without the file's name.
const MISTAKES: &[(&str, &str)] = &[
    (r#""use_ssl": 1"#, "use_ssl: found 1, expected true or false"),
    (r#""use_ssl": null"#, "use_ssl: found null, expected true or false"),
    (r#""max_certs": 0"#, "max_certs: found 0, expected a whole number from 1 to 1000000"),
    (r#""max_certs": 1.5"#, "max_certs: found 1.5, expected a whole number from 1 to 1000000"),
    (
        r#""max_message_size": 4294967296"#,
        "max_message_size: found 4294967296, expected a whole number of bytes from 1024 to 4294967295",
    ),
    (
        r#""max_message_size": 1023"#,
        "max_message_size: found 1023, expected a whole number of bytes from 1024 to 4294967295",
    ),
    (
        r#""queue_max_bytes": 65535"#,
        "queue_max_bytes: found 65535, expected a whole number of bytes from 65536 to 1099511627776",
    ),
    (
        r#""max_size_file_upload_send": -1"#,
        "max_size_file_upload_send: found -1, expected a whole number of bytes, at least 0",
    ),
    (r#""connect_timeout": 0"#, "connect_timeout: found 0, expected a number of seconds from 0.001 to 31536000"),
    (r#""send_timeout": "50""#, r#"send_timeout: found "50", expected a number of seconds from 0.001 to 31536000"#),
    (
        r#""keep_alive_period": -1"#,
        "keep_alive_period: found -1, expected a number of seconds from 0.001 to 31536000, or null for none",
    ),
    (
        r#""certificates_directory_path": """#,
        r#"certificates_directory_path: found "", expected a path: this is empty"#,
    ),
    (
        r#""certificates_directory_path": "$NOPE/x""#,
        r#"certificates_directory_path: found "$NOPE/x", expected a path: the environment variable NOPE is not set"#,
    ),
    (r#""connector_files_dirpath": 5"#, "connector_files_dirpath: found 5, expected a path"),
    (r#""client_cafile_verify_server": true"#, "client_cafile_verify_server: found true, expected a path or null"),
    (
        r#""client_bind_ip": "eth 0""#,
        r#"client_bind_ip: found "eth 0", expected an IP address, the name of a network interface, or null"#,
    ),
    (
        r#""default_logger_log_level": "LOUD""#,
        r#"default_logger_log_level: found "LOUD", expected "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL" or "TRACE""#,
    ),
    (
        r#""default_logger_rotate": 5"#,
        "default_logger_rotate: found 5, expected true, false or a whole number of bytes from 1024 to 1099511627776",
    ),
    (
        r#""server_sockaddr": "127.0.0.1:10673""#,
        r#"server_sockaddr: found "127.0.0.1:10673", expected [HOST, PORT], as in ["127.0.0.1", 10673], or on a client a list of those"#,
    ),
    (
        r#""server_sockaddr": ["127.0.0.1", "10673"]"#,
        r#"server_sockaddr[1]: found "10673", expected a port, a whole number from 1 to 65535"#,
    ),
    (r#""server_sockaddr": ["a", 0]"#, "server_sockaddr[1]: found 0, expected a port, a whole number from 1 to 65535"),
    (
        r#""server_sockaddr": ["a'b", 1]"#,
        r#"server_sockaddr[0]: found "a'b", expected an IP address, a host name or the name of a network interface"#,
    ),
    (r#""send_message_types": "any""#, r#"send_message_types: found "any", expected a list of message types"#),
    (r#""send_message_types": ["any", 7]"#, "send_message_types[1]: found 7, expected a text"),
    (
        r#""recv_message_types": ["a/b"]"#,
        r#"recv_message_types[0]: found "a/b", expected a message type without '/' and NUL"#,
    ),
    (r#""recv_message_types": [""]"#, r#"recv_message_types[0]: found "", expected a message type that is not empty"#),
    (
        r#""recv_message_types": ["_ssl"]"#,
        r#"recv_message_types[0]: found "_ssl", expected a message type that does not begin with '_' (only _pubsub may)"#,
    ),
    (
        r#""disk_persistence_send": "any""#,
        r#"disk_persistence_send: found "any", expected true, false or a list of message types"#,
    ),
    (r#""disk_persistence": 1"#, "disk_persistence: found 1, expected true, false or a list of message types"),
    (
        r#""file_recv_config": {"any": {"owner": "joe"}}"#,
        "file_recv_config.any.target_directory: found null, expected an absolute path of a folder",
    ),
    (
        r#""file_recv_config": {"any": {"target_directory": "in/{source_id}"}}"#,
        r#"file_recv_config.any.target_directory: found "in/{source_id}", expected an absolute path of a folder"#,
    ),
    (
        r#""file_recv_config": {"any": {"target_directory": "/x", "owner": "joe"}}"#,
        r#"file_recv_config.any.owner: found "joe", expected USER:GROUP"#,
    ),
    (
        r#""send_message_types_priorities": {"any": "high"}"#,
        r#"send_message_types_priorities.any: found "high", expected a number"#,
    ),
    (
        r#""on_full": {"any": "explode"}"#,
        r#"on_full.any: found "explode", expected "block", "reject" or "drop_oldest""#,
    ),
    (
        r#""persistence_sync": "interval:0""#,
        r#"persistence_sync: found "interval:0", expected "os", "always" or "interval:MILLISECONDS""#,
    ),
    (r#""is_server": false"#, "client_name: found none, expected a name for this client, as is_server is false"),
    (
        r#""is_server": false, "client_name": "a b""#,
        r#"client_name: found "a b", expected a valid name: a client's name has letters, digits, '-', '_' and ':' only, this has ' '"#,
    ),
    (r#""is_server": false, "client_name": 7"#, "client_name: found 7, expected a text or null"),
];

#[test]
fn each_mistake_is_a_line_that_names_file_key_found_and_right() {
    for (member, line) in MISTAKES {
        let lines = error_lines(&format!("{{{member}}}"));
        let expected = format!("c.json: {line}");
        assert!(lines.contains(&expected), "{member} gave\n{}\nnot\n{expected}", lines.join("\n"));
    }
}

#[test]
fn a_proxy_is_read_and_its_password_never_shown() {
    let known = r#"{"username": "u", "password": "hush"}"#;
    let read = config(&format!(
        r#"{{"proxy": {{"enabled": true, "address": "p", "port": "80", "ssl_server": true, "cafile": "/ca.pem",
        "authorization": {known}}}}}"#
    ));
    let proxy = read.proxy;
    assert_eq!((proxy.enabled, proxy.ssl_server, proxy.cafile.as_deref()), (true, true, Some(Path::new("/ca.pem"))));
    assert_eq!(proxy.address, Some(Address { host: "p".to_owned(), port: 80 }));
    assert!(!format!("{proxy:?}").contains("hush"));
    // Who means the proxy to be verified must not send the password in clear.
    let lines = error_lines(&format!(
        r#"{{"proxy": {{"enabled": true, "address": "p", "port": 80, "cafile": "/ca.pem", "authorization": {known}}}}}"#
    ));
    let expected = "found \"/ca.pem\", expected nothing, or ssl_server true as well";
    assert_eq!(lines, [format!("c.json: proxy.cafile: {expected}")]);
    let lines = error_lines(r#"{"proxy": {"enabled": true, "port": 80, "authorization": {"password": "hush"}}}"#);
    assert!(lines.len() == 2 && !lines.concat().contains("hush"), "{lines:?}");
}

#[test]
fn a_client_may_have_several_addresses_and_a_server_one() {
    let client =
        |addresses: &str| format!(r#"{{"is_server": false, "client_name": "c1", "server_sockaddr": {addresses}}}"#);
    let hosts = |addresses: &str| {
        let read = config(&client(addresses)).server_sockaddr;
        read.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(hosts(r#"["a", 1]"#), ["a:1"]);
    assert_eq!(hosts(r#"[["a", 1]]"#), ["a:1"]);
    assert_eq!(hosts(r#"[["a", 1], ["::1", 2], ["a", 3]]"#), ["a:1", "[::1]:2", "a:3"]);
    let read = config(&client(r#"[["a", 1], ["b", 2]]"#));
    assert_eq!(
        (read.server_sockaddr.first.host.as_str(), read.server_sockaddr.first.port),
        ("a", 1),
        "the first names the server"
    );

    let many = format!("[{}]", (1..=17).map(|port| format!(r#"["a", {port}]"#)).collect::<Vec<_>>().join(", "));
    for (addresses, wrong) in [
        (r#"[["a", 1], ["b"]]"#, r#"[1]: found ["b"], expected [HOST, PORT], as in ["127.0.0.1", 10673]"#),
        (r#"[["a", 1], ["b", 0]]"#, "[1][1]: found 0, expected a port, a whole number from 1 to 65535"),
        (r#"[["a", 1], ["a", 1]]"#, r#"[1]: found ["a",1], expected an address that is not in the list before"#),
        (r#"[]"#, r#": found [], expected [HOST, PORT], as in ["127.0.0.1", 10673], or on a client a list of those"#),
        (many.as_str(), "expected at most 16 addresses"),
    ] {
        let lines = error_lines(&client(addresses));
        assert!(lines.len() == 1 && lines[0].contains(wrong), "{addresses}: {lines:?}");
    }
    let lines = error_lines(r#"{"server_sockaddr": [["a", 1], ["b", 2]]}"#);
    let expected = "expected one [HOST, PORT], as is_server is true: only a client can try several";
    assert_eq!(lines, [format!("c.json: server_sockaddr: found a list of 2 addresses, {expected}")]);
}

#[test]
fn a_bad_entry_of_a_list_or_a_rule_is_an_error_that_names_it() {
    for (member, line) in [
        (
            r#""whitelisted_clients_ip": ["::1", "10.0.0.0/8"]"#,
            r#"whitelisted_clients_ip[1]: found "10.0.0.0/8", expected an IP address"#,
        ),
        (
            r#""blacklisted_clients_id": ["(a"]"#,
            r#"blacklisted_clients_id[0]: found "(a", expected a regular expression: unclosed group"#,
        ),
        (
            r#""blacklisted_clients_subnet": ["10.0.0.1/8"]"#,
            r#"blacklisted_clients_subnet[0]: found "10.0.0.1/8", expected a subnet whose address has no bits beyond the first 8"#,
        ),
        (
            r#""client_rules": [{"id": "a"}, {"id": "("}]"#,
            r#"client_rules[1].id: found "(", expected a regular expression: unclosed group"#,
        ),
        (
            r#""client_rules": [{"send_types": []}]"#,
            "client_rules[0].id: found null, expected a regular expression, matched from the start of a client's name",
        ),
        (
            r#""client_rules": [{"id": "a", "max_msgs_per_s": 0}]"#,
            "client_rules[0].max_msgs_per_s: found 0, expected a number greater than 0",
        ),
        (
            r#""client_rules": [{"id": "a", "recv_types": ["a>"]}]"#,
            r#"client_rules[0].recv_types[0]: found "a>", expected a message type or a pattern of them: '*' and '>' stand for whole words, between dots"#,
        ),
        (
            r#""local_rules": [{"user": "no such user"}]"#,
            r#"local_rules[0].user: found "no such user", expected the name of a user of this machine"#,
        ),
        (
            r#""local_rules": [{"user": "root", "uid": 0}]"#,
            r#"local_rules[0].user: found "root", expected either uid or user"#,
        ),
    ] {
        assert_eq!(error_lines(&format!("{{{member}}}")), [format!("c.json: {line}")]);
    }
    let too_many: Vec<String> = (0..5000).map(|i| format!("\"c{i}\"")).collect();
    let lines = error_lines(&format!(r#"{{"blacklisted_clients_id": [{}]}}"#, too_many.join(",")));
    assert!(lines[0].ends_with("at most 4096 entries"), "{lines:?}");
}

#[test]
fn rules_are_read_with_users_and_groups_by_name() {
    let read = config(
        r#"{"client_rules": [{"id": "s.*", "send_types": ["a.>"], "max_bytes_per_s": 0.5}, {"id": ".*"}],
        "local_rules": [{"user": "root", "group": "root", "recv_types": []}, {}]}"#,
    );
    let [first, second] = &read.client_rules[..] else { panic!("{:?}", read.client_rules) };
    assert!(first.id.matches("s1") && first.send.has("a.b") && !first.send.has("b") && first.recv.has("b"));
    assert_eq!((first.bytes_per_second, second.messages_per_second), (Some(0.5), None));
    let [root, all] = &read.local_rules[..] else { panic!("{:?}", read.local_rules) };
    assert_eq!((root.uid, root.gid, root.recv.has("a"), root.send.has("a")), (Some(0), Some(0), false, true));
    assert_eq!((all.uid, all.gid), (None, None));
}

#[test]
fn rules_that_say_nothing_are_fine() {
    config(
        r#"{"use_token": false, "whitelisted_clients_ip": [], "blacklisted_clients_id": null, "ignore_peer_traffic": [],
        "proxy": {"enabled": false, "address": "p", "port": "22", "authorization": ""}}"#,
    );
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let lines = error_lines(
        r#"{"use_ssl": "yes", "server_sockaddr": ["", 99999], "recv_message_types": ["", "ok", "a/b"], "proxy": 5,
        "is_server": false}"#,
    );
    let keys: Vec<&str> = lines.iter().map(|line| line.split(": ").nth(1).unwrap()).collect();
    assert_eq!(
        keys,
        [
            "proxy",
            "recv_message_types[0]",
            "recv_message_types[2]",
            "server_sockaddr[0]",
            "server_sockaddr[1]",
            "use_ssl",
            "client_name"
        ]
    );
}

#[test]
fn broken_json_is_located() {
    assert_eq!(
        error_lines("{\n  \"use_ssl\": true,\n}"),
        ["c.json: line 3 column 1: found no valid JSON: trailing comma"]
    );
    assert_eq!(error_lines(""), ["c.json: line 1 column 0: found no valid JSON: EOF while parsing a value"]);
    assert_eq!(error_lines("[1, 2]"), ["c.json: found [1,2], expected a JSON object"]);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.json");
    let error = Config::load(&missing).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: cannot be read: ", missing.display())), "{error}");

    let latin = folder.path().join("latin.json");
    std::fs::write(&latin, b"{\"client_name\": \"\xe9\"}").unwrap();
    let error = Config::load(&latin).unwrap_err().to_string();
    assert!(error.ends_with("found a byte that is not UTF-8 at offset 17"), "{error}");
}

#[test]
fn an_unknown_key_is_a_warning_with_the_nearest_name() {
    assert_eq!(
        warning_lines(r#"{"use_sll": false, "colour": "red"}"#),
        ["c.json: use_sll: unknown key, ignored; did you mean use_ssl?", "c.json: colour: unknown key, ignored"]
    );
}

#[test]
fn an_unknown_member_inside_a_value_is_a_warning_too() {
    let text =
        r#"{"file_recv_config": {"any": {"target_directory": "/x", "override_existng": true}}, "proxy": {"on": 1}}"#;
    let lines = warning_lines(text);
    let nearest = "unknown key, ignored; did you mean override_existing?";
    assert_eq!(lines[0], format!("c.json: file_recv_config.any.override_existng: {nearest}"));
    assert_eq!(lines.last().unwrap(), "c.json: proxy.on: unknown key, ignored");
}

#[test]
fn warnings_stand_beside_errors() {
    let errors = parse(r#"{"use_sll": false, "use_ssl": 1}"#).unwrap_err();
    assert_eq!((errors.errors.len(), errors.warnings.len()), (1, 1));
}

#[test]
fn a_bad_pattern_is_an_error_with_its_place_and_the_rule() {
    let errors = parse(r#"{"subscribe_message_types": ["a.*", "a.>.b"]}"#).unwrap_err().to_string();
    assert!(errors.contains("subscribe_message_types[1]") && errors.contains("it must be the last one"), "{errors}");
}

#[test]
fn a_key_without_effect_warns_only_if_it_differs_from_its_default() {
    let pending = "c.json: debug_msg_counts: accepted, but has no effect yet";
    assert_eq!(warning_lines(r#"{"debug_msg_counts": false}"#), [pending]);
    for member in [
        r#""debug_msg_counts": true"#,
        r#""subscribe_message_types": ["any", "sensors.>"]"#,
        r#""file_recv_config": null"#,
        r#""tokens_directory_path": "/var/tmp/../tmp/aioconnectors/""#,
        r#""max_size_chunk_upload": 1000"#,
        r#""receive_from_any_connector_owner": false"#,
    ] {
        config(&format!("{{{member}}}"));
    }
}

#[test]
fn folders_and_owners_that_will_not_do_for_received_files_are_warned_of() {
    let lines = warning_lines(
        r#"{"connector_files_dirpath": "/var/x", "file_recv_config": {
            "own": {"target_directory": "/var/x/{source_id}"}, "any": {"target_directory": "/var/y", "owner": "root:root"},
            "nobody": {"target_directory": "/var/y", "owner": "no-such-user:root"}}}"#,
    );
    let nobody = "this machine has no user \"no-such-user\": received files stay the connector's";
    let own = "/var/x is the connector's own folder: files that would come among its own are refused";
    assert_eq!(
        lines,
        [
            format!("c.json: file_recv_config.nobody.owner: {nobody}"),
            format!("c.json: file_recv_config.own.target_directory: {own}"),
        ]
    );
}

#[test]
fn tls_before_1_2_is_not_to_be_had() {
    let lines = warning_lines(r#"{"server_secure_tls": false}"#);
    assert_eq!(lines, ["c.json: server_secure_tls: false has no effect: TLS versions before 1.2 are never accepted"]);
}

#[test]
fn of_a_repeated_key_the_last_one_counts() {
    let loaded = parse(r#"{"use_ssl": false, "use_ssl": true}"#).unwrap();
    assert!(loaded.config.use_ssl);
    assert_eq!(loaded.warnings[0].to_string(), "c.json: use_ssl: given more than once, the last one counts");
}

#[test]
fn the_oldest_spellings_are_understood() {
    let read = |text| parse(text).unwrap().config;
    let both = read(r#"{"disk_persistence": ["a", "b"]}"#);
    let types = Coverage::Types(vec!["a".to_owned(), "b".to_owned()]);
    assert_eq!((both.disk_persistence_send, both.disk_persistence_recv), (types.clone(), types));

    let sizes = read(r#"{"max_size_file_upload": 5}"#);
    assert_eq!((sizes.max_size_file_upload_send, sizes.max_size_file_upload_recv), (5, 5));

    let files = read(r#"{"file_type2dirpath": {"any": "/in"}}"#);
    assert_eq!(files.file_recv_config["any"].target_directory, "/in");
}

#[test]
fn a_new_spelling_goes_before_an_old_one() {
    let loaded = parse(r#"{"max_size_file_upload": 5, "max_size_file_upload_send": 6}"#).unwrap();
    assert_eq!((loaded.config.max_size_file_upload_send, loaded.config.max_size_file_upload_recv), (6, 5));
    let lines: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let superseded = "c.json: max_size_file_upload: old spelling, ignored, as max_size_file_upload_send is given too";
    assert!(lines.iter().any(|line| line == superseded), "{lines:?}");
}

#[test]
fn values_are_typed() {
    let config = config(
        r#"{"is_server": false, "client_name": "c1", "connect_timeout": 0.25, "keep_alive_period": 3,
        "server_sockaddr": ["example.org", 443], "client_bind_ip": "eth0", "default_logger_rotate": 2048,
        "default_logger_log_level": "WARN", "connector_files_dirpath": "~/a/../b", "client_cafile_verify_server": "/ca.pem",
        "send_message_types": ["a", "b", "a", "_pubsub"], "recv_message_types": null, "shutdown_timeout": 0}"#,
    );
    assert_eq!(config.connect_timeout, Duration::from_millis(250));
    assert_eq!(config.keep_alive_period, Some(Duration::from_secs(3)));
    assert_eq!(config.server_sockaddr, Address { host: "example.org".to_owned(), port: 443 }.into());
    assert_eq!(config.client_bind_ip.as_deref(), Some("eth0"));
    assert_eq!(config.default_logger_rotate, Rotate::Bytes(2048));
    assert_eq!(config.default_logger_log_level, LogLevel::Warning);
    assert_eq!(config.connector_files_dirpath, Path::new("/home/joe/b"));
    assert_eq!(config.client_cafile_verify_server, Some(PathBuf::from("/ca.pem")));
    assert_eq!(config.send_message_types, ["a", "b", "_pubsub"]);
    assert_eq!(config.recv_message_types, ["any"]);
    assert_eq!(config.shutdown_timeout, Duration::ZERO);
    assert!(config.is_given("shutdown_timeout") && !config.is_given("send_timeout"));
}

#[test]
fn zero_and_false_turn_off_what_can_be_off() {
    assert_eq!(config(r#"{"keep_alive_period": 0}"#).keep_alive_period, None);
    assert_eq!(config(r#"{"default_logger_rotate": 0}"#).default_logger_rotate, Rotate::Off);
    assert_eq!(config(r#"{"default_logger_rotate": false}"#).default_logger_rotate, Rotate::Off);
    assert_eq!(config(r#"{"default_logger_rotate": true}"#).default_logger_rotate, Rotate::Bytes(1 << 26));
}

#[test]
fn the_identity_follows_from_the_role() {
    let server = config("{}");
    assert_eq!((server.id().as_str(), server.role()), ("('127.0.0.1', 10673)", Role::Server));
    let commander = server.socket_paths().commander();
    assert_eq!(commander, Path::new("/var/tmp/aioconnectors/uds_path_commander_127001_10673"));

    let client = config(r#"{"is_server": false, "client_name": "c1"}"#);
    assert_eq!((client.id().as_str(), client.role()), ("c1", Role::Client));
    let send = client.socket_paths().send();
    assert_eq!(send, Path::new("/var/tmp/aioconnectors/uds_path_send_to_connector_client_c1"));
}

#[test]
fn a_socket_path_that_does_not_fit_is_named_with_its_length() {
    // "/ddd…" and "/uds_path_commander_127001_10673" make exactly 104 bytes; the other names are longer.
    let folder = format!("/{}", "d".repeat(71));
    let lines = error_lines(&format!(r#"{{"connector_files_dirpath": "{folder}", "recv_message_types": ["a", "b"]}}"#));
    let keys: Vec<&str> = lines.iter().map(|line| line.split(": ").nth(1).unwrap()).collect();
    assert_eq!(keys, ["connector_files_dirpath", "recv_message_types[0]", "recv_message_types[1]"]);
    let socket = format!("{folder}/uds_path_send_to_connector_server_127001_10673");
    let found = format!("found the socket path {socket} of {} bytes, expected at most 104 bytes", socket.len());
    assert_eq!(lines[0], format!("c.json: connector_files_dirpath: {found}"));
}

#[test]
fn the_table_is_sorted_and_every_default_reads_as_itself() {
    assert!(KEYS.is_sorted_by(|a, b| a.name < b.name));
    for key in KEYS {
        assert!(serde_json::from_str::<Value>(key.default).is_ok(), "{}", key.name);
        assert!(Key::find(key.name).is_some() && !key.help.is_empty() && !key.expected().is_empty());
    }
    for old in OLD_KEYS {
        assert!(old.stands_for.iter().all(|name| Key::find(name).is_some()) && Key::find(old.name).is_none());
    }
    let given: Map<String, Value> = KEYS.iter().map(|key| (key.name.to_owned(), key.default_value())).collect();
    let mut read = config(&Value::Object(given).to_string());
    assert_eq!(read.given.len(), KEYS.len());
    read.given.clear();
    assert_eq!(read, Config::default());
}

#[test]
fn the_templates_have_the_keys_of_the_python_package_and_parse_back_silently() {
    let templates = Config::templates();
    for key in PYTHON_MANAGER_KEYS.split_whitespace() {
        assert!(templates.manager.get(key).is_some(), "{key}");
    }
    for key in PYTHON_API_KEYS.split_whitespace() {
        assert!(templates.api.get(key).is_some(), "{key}");
    }
    config(&templates.manager.to_string());
    config(&templates.api.to_string());
    let example = format!(r#"{{"file_recv_config": {}}}"#, templates.file_recv_config);
    // Its owner is a stand-in, and may be nobody here.
    let warnings = warning_lines(&example);
    assert!(warnings.iter().all(|line| line.starts_with("c.json: file_recv_config.any.owner: ")), "{warnings:?}");
}

#[test]
fn the_printed_templates_are_three_json_blocks() {
    let text = Config::templates().to_string();
    let blocks: Vec<&str> = text.split("\n- ").skip(1).collect();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        let (title, json) = block.split_once('\n').unwrap();
        assert!(serde_json::from_str::<Map<String, Value>>(json).is_ok(), "{title}");
    }
    assert!(text.contains("\n    \"server_sockaddr\": [\n        \"127.0.0.1\",\n        10673\n    ],\n"), "{text}");
}

#[test]
fn a_hook_is_a_program_with_an_absolute_path() {
    let read = config(r#"{"hook_server_auth_client": "/usr/lib/auth", "hook_timeout": 0.5}"#);
    assert_eq!(read.hook_server_auth_client, Some(PathBuf::from("/usr/lib/auth")));
    assert_eq!(read.hook_timeout, Duration::from_millis(500));
    let expected = "expected the absolute path of a program, or null";
    for path in ["auth", "./auth", "~/auth", "$HOME/auth", ""] {
        let lines = error_lines(&format!(r#"{{"hook_whitelist_clients": "{path}"}}"#));
        assert_eq!(lines, [format!("c.json: hook_whitelist_clients: found \"{path}\", {expected}")]);
    }
}

#[test]
fn tokens_want_links_that_only_encrypt() {
    assert!(config(r#"{"use_token": true, "ssl_allow_all": true}"#).uses_tokens());
    let warned = Config::parse(r#"{"use_token": true}"#, Path::new("c.json")).unwrap();
    assert!(!warned.config.uses_tokens());
    assert_eq!(warned.warnings.iter().map(|w| &w.notice).collect::<Vec<_>>(), [&Notice::TokensUnused]);
    let lines = error_lines(r#"{"use_token": true, "use_ssl": false, "ssl_allow_all": true}"#);
    let expected = "expected false, or use_ssl and ssl_allow_all true as well";
    assert_eq!(lines, [format!("c.json: use_token: found true, {expected}")]);
}

/// The keys that `python3 -m aioconnectors print_config_templates` of version 1.6.3 prints for a connector.
const PYTHON_MANAGER_KEYS: &str = "
    alternate_client_default_cert blacklisted_clients_id blacklisted_clients_ip blacklisted_clients_subnet
    certificates_directory_path client_bind_ip client_cafile_verify_server client_name connect_timeout
    connector_files_dirpath debug_msg_counts default_logger_bk_count default_logger_dirpath
    default_logger_log_level default_logger_rotate disk_persistence_recv disk_persistence_send
    enable_client_try_reconnect everybody_can_send_messages file_recv_config ignore_peer_traffic is_server
    keep_alive_period keep_alive_timeout max_certs max_number_of_unanswered_keep_alive max_size_file_upload_recv
    max_size_file_upload_send max_size_persistence_path proxy pubsub_central_broker recv_message_types
    reuse_server_sockaddr reuse_uds_path_commander_server reuse_uds_path_send_to_connector send_message_types
    send_message_types_priorities send_timeout server_ca server_ca_certs_not_stored server_secure_tls
    server_sockaddr silent ssl_allow_all subscribe_message_types token_client_send_cert
    token_client_verify_server_hostname token_server_allow_authorized_non_default_cert token_verify_peer_cert
    tokens_directory_path uds_path_receive_preserve_socket uds_path_send_preserve_socket use_ssl use_token
    whitelisted_clients_id whitelisted_clients_ip whitelisted_clients_subnet";

/// The same for an app.
const PYTHON_API_KEYS: &str = "
    client_name connector_files_dirpath default_logger_bk_count default_logger_dirpath default_logger_log_level
    default_logger_rotate is_server max_size_chunk_upload pubsub_central_broker receive_from_any_connector_owner
    recv_message_types send_message_types server_sockaddr uds_path_receive_preserve_socket
    uds_path_send_preserve_socket";
