//! What the manual page says of the keys beyond the table in `keys.rs`: in which order, with which examples.
//!
//! A test sees to it that every key has its place here.

/// Where a key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The Python package has it too.
    Python,
    /// It is of this project.
    Own,
}

/// What is said of a key.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name in the table of keys.
    pub name: &'static str,
    /// Where it comes from.
    pub origin: Origin,
    /// The first version of this project that knew it.
    pub since: &'static str,
    /// Whether a daemon that is told to reload takes a change over.
    pub reloaded: bool,
    /// A value that makes sense and is not the default, as JSON.
    pub example: &'static str,
}

impl Entry {
    const fn reloaded(self) -> Self {
        Self { reloaded: true, ..self }
    }
}

/// Keys that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Topic {
    /// The heading.
    pub title: &'static str,
    /// What is said of them all, in paragraphs; may be empty. Backticks stand around what is typed.
    pub text: &'static str,
    /// In the order of the page.
    pub entries: &'static [Entry],
}

const fn python(name: &'static str, example: &'static str) -> Entry {
    Entry { name, origin: Origin::Python, since: "0.1.0", reloaded: false, example }
}

const fn own(name: &'static str, example: &'static str) -> Entry {
    Entry { origin: Origin::Own, ..python(name, example) }
}

/// All keys, by topic.
pub static TOPICS: &[Topic] = &[
    Topic {
        title: "The connector and its link",
        text: "A server listens, a client connects. The paths of a connector's sockets follow from `is_server`, \
            `server_sockaddr` or `client_name`, and `connector_files_dirpath`; its programs and tools find them by reading \
            the same file. A socket's path has 104 bytes at most.",
        entries: &[
            python("is_server", "false"),
            python("client_name", "\"client1\""),
            python("server_sockaddr", "[\"server.example.org\", 10673]"),
            own("server_return_after", "300"),
            python("connector_files_dirpath", "\"/var/lib/aioconnectors/client\""),
            python("client_bind_ip", "\"192.0.2.7\""),
            python("reuse_server_sockaddr", "true"),
            python("connect_timeout", "5"),
            python("send_timeout", "30"),
            python("enable_client_try_reconnect", "false"),
            python("keep_alive_period", "30"),
            python("keep_alive_timeout", "10"),
            python("max_number_of_unanswered_keep_alive", "3"),
            python("proxy", "{\"enabled\": true, \"address\": \"proxy.example.org\", \"port\": 3128}"),
            own("hook_proxy_authorization", "\"/usr/local/lib/proxy-password\""),
            own("shutdown_timeout", "30"),
        ],
    },
    Topic {
        title: "TLS and certificates",
        text: "With `use_ssl` and without `ssl_allow_all`, the default, both sides show certificates, and each accepts only \
            those that lie in its folder, compared byte for byte. With both, TLS only encrypts: nobody's certificate is \
            checked, and a client is who it says. Without `use_ssl` nothing is protected.\n\nThe folder is made by \
            `aioconnectorsctl create-certificates`; aioconnectors(7) says what lies in it.",
        entries: &[
            python("use_ssl", "false"),
            python("ssl_allow_all", "true"),
            python("certificates_directory_path", "\"/var/lib/aioconnectors/server\""),
            python("max_certs", "100"),
            python("alternate_client_default_cert", "true"),
            python("client_cafile_verify_server", "\"/etc/ssl/certs/ca-certificates.crt\""),
            python("server_ca", "true"),
            python("server_ca_certs_not_stored", "false"),
            python("server_secure_tls", "false"),
        ],
    },
    Topic {
        title: "Enrolment and tokens",
        text: "A new client shows the certificate that all new clients share, and is given one of its own; with `use_token`, \
            a token. With `enrollment` as `token`, only if it shows a token for enrolment, which is good once, for one name, \
            and for a time.",
        entries: &[
            own("enrollment", "\"token\""),
            own("enrollment_token_path", "\"/etc/aioconnectors/client.token\""),
            python("use_token", "true"),
            python("tokens_directory_path", "\"/var/lib/aioconnectors/server\""),
            python("token_verify_peer_cert", "false"),
            python("token_client_send_cert", "false"),
            python("token_client_verify_server_hostname", "false"),
            python("token_server_allow_authorized_non_default_cert", "true"),
        ],
    },
    Topic {
        title: "Who may connect",
        text: "Whom a blacklist names stays out. If a whitelist has entries, it lets in only whom it names; of its three keys \
            each that has entries must name a client. Names are matched from their start: `client1` stands for client10 as \
            well, `client1$` does not. Expressions have no look-around and no back-references: they take linear time. \
            Admins can change the lists while the server runs.",
        entries: &[
            python("blacklisted_clients_id", "[\"test-.*\", \"client7$\"]").reloaded(),
            python("blacklisted_clients_ip", "[\"192.0.2.66\"]").reloaded(),
            python("blacklisted_clients_subnet", "[\"198.51.100.0/24\", \"2001:db8::/32\"]").reloaded(),
            python("whitelisted_clients_id", "[\"plant-[0-9]+$\"]").reloaded(),
            python("whitelisted_clients_ip", "[\"192.0.2.7\", \"2001:db8::7\"]").reloaded(),
            python("whitelisted_clients_subnet", "[\"10.0.0.0/8\"]").reloaded(),
            python("ignore_peer_traffic", "[\"client7\"]").reloaded(),
            own("max_connections", "1000"),
            own("max_connections_per_address", "100"),
            own("max_unidentified_connections", "256"),
            own("max_unidentified_message_size", "16384"),
        ],
    },
    Topic {
        title: "Who may send and receive what",
        text: "Types in rules may have the wildcards of subscriptions. What clients publish counts by the type that it is \
            published under. A message that is not allowed is dropped and counted (`not_permitted`), and a program that asked \
            for receipts is told. A client that sends more than it may is read more slowly; nothing of that is lost.",
        entries: &[
            python("send_message_types", "[\"any\", \"orders\"]"),
            python("recv_message_types", "[\"any\", \"orders\"]"),
            own(
                "client_rules",
                "[{\"id\": \"sensor-.*\", \"send_types\": [\"temp\", \"alarms.>\"], \"max_msgs_per_s\": 100}, \
                 {\"id\": \".*\", \"send_types\": [], \"recv_types\": []}]",
            )
            .reloaded(),
            own(
                "local_rules",
                "[{\"user\": \"root\", \"send_types\": [\"orders.>\"], \"recv_types\": []}, {\"gid\": 0}]",
            )
            .reloaded(),
            python("everybody_can_send_messages", "false"),
            python("receive_from_any_connector_owner", "false"),
        ],
    },
    Topic {
        title: "Messages and queues",
        text: "A message for a peer that is not connected, or for a program that does not listen, is dropped, counted and \
            logged, unless its type is kept on disk. aioconnectors(7) says what is promised then.",
        entries: &[
            own("max_message_size", "16777216"),
            own("queue_max_bytes", "16777216"),
            own("client_max_queued_bytes", "1073741824").reloaded(),
            own("on_full", "{\"orders\": \"block\", \"temp\": \"drop_oldest\"}"),
            python("send_message_types_priorities", "{\"alarms\": -1, \"logs\": 5}"),
            python("disk_persistence_send", "[\"orders\", \"alarms\"]"),
            python("disk_persistence_recv", "true"),
            python("max_size_persistence_path", "10737418240"),
            own("persistence_sync", "\"interval:100\""),
            own("session_ttl", "604800"),
        ],
    },
    Topic {
        title: "Files",
        text: "A message may bring a file. Its `dst_type` names an entry of `file_recv_config` at the receiving connector.",
        entries: &[
            python(
                "file_recv_config",
                "{\"any\": {\"target_directory\": \"/srv/incoming/{source_id}\", \"override_existing\": false}}",
            ),
            python("max_size_file_upload_send", "1073741824"),
            python("max_size_file_upload_recv", "1073741824"),
            own("max_size_published_files", "1073741824"),
            python("max_size_chunk_upload", "67108864"),
        ],
    },
    Topic {
        title: "Publish and subscribe",
        text: "",
        entries: &[
            python("pubsub_central_broker", "true"),
            python("subscribe_message_types", "[\"alarms\", \"sensors.*.temp\"]"),
        ],
    },
    Topic {
        title: "Hooks",
        text: "A hook is a program of the operator's that decides where the config cannot. It gets one JSON object on standard \
            input, with `hook` and `connector` in it. Its exit code is the answer, 0 yes and 1 no; the first line that it \
            writes to standard error goes into the log. If it crashes, hangs or says what it must not, the answer is no. \
            Meanwhile the connector goes on with everything else.\n\nThose about clients also get `client`, `address`, `port` \
            and `certificate`, which is false if nothing but the client's word says its name. `hook_target_directory` gets the \
            message's `header`, and writes a path to standard output: a folder beneath the one of `file_recv_config`, an \
            absolute path in its place, or nothing. `hook_store_token` gets `token` and writes what is kept of it; \
            `hook_load_token` gets `stored` and writes the token. `hook_proxy_authorization` gets `username` \
            and `password`, those of `proxy`, and writes an object of the two.\n\nThe path is absolute. The file is root's or the \
            connector's own, executable, and neither it nor a folder on its way is for everybody to write. There is no shell \
            in between, and nothing but `PATH` in its environment.",
        entries: &[
            own("hook_whitelist_clients", "\"/usr/local/lib/may-come-in\""),
            own("hook_server_auth_client", "\"/usr/local/lib/may-link\""),
            own("hook_allow_certificate_creation", "\"/usr/local/lib/may-enrol\""),
            own("hook_target_directory", "\"/usr/local/lib/which-folder\""),
            own("hook_store_token", "\"/usr/local/lib/seal\""),
            own("hook_load_token", "\"/usr/local/lib/unseal\""),
            own("hook_timeout", "3"),
        ],
    },
    Topic {
        title: "Log",
        text: "The daemon logs to standard error, and so to the journal under systemd. If the config gives \
            `default_logger_dirpath`, it logs to a file there instead.",
        entries: &[
            python("default_logger_log_level", "\"DEBUG\"").reloaded(),
            python("default_logger_dirpath", "\"/var/log/aioconnectors\""),
            python("default_logger_rotate", "1048576"),
            python("default_logger_bk_count", "10"),
            python("silent", "false"),
            python("debug_msg_counts", "false"),
        ],
    },
    Topic {
        title: "Metrics",
        text: "Prometheus, or whoever else may connect there, reads them with GET at `/metrics`: as OpenMetrics if it accepts \
            that, else in the text format. There is no TLS, and metrics name the peers: an address of other machines is \
            refused. A Unix socket has the mode 0660.",
        entries: &[own("metrics_listen", "\"127.0.0.1:9101\"")],
    },
    Topic {
        title: "Sockets of programs and admins",
        text: "",
        entries: &[
            python("uds_path_send_preserve_socket", "false"),
            python("uds_path_receive_preserve_socket", "false"),
            python("reuse_uds_path_send_to_connector", "true"),
            python("reuse_uds_path_commander_server", "true"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use serde_json::Value;

    use super::super::keys::{KEYS, Key};
    use super::super::{Config, Notice};
    use super::*;

    fn entries() -> impl Iterator<Item = &'static Entry> {
        TOPICS.iter().flat_map(|topic| topic.entries)
    }

    #[test]
    fn every_key_has_its_place_once() {
        let names: Vec<&str> = entries().map(|entry| entry.name).collect();
        let places: BTreeSet<&str> = names.iter().copied().collect();
        let keys: BTreeSet<&str> = KEYS.iter().map(|key| key.name).collect();
        assert_eq!(places, keys, "the keys in reference.rs, and those in keys.rs");
        assert_eq!(names.len(), keys.len(), "a key has two places");
    }

    #[test]
    fn every_example_is_right_and_not_the_default() {
        for entry in entries() {
            let key = Key::find(entry.name).unwrap();
            let value: Value = serde_json::from_str(entry.example).unwrap_or_else(|e| panic!("{}: {e}", entry.name));
            assert_ne!(value, key.default_value(), "{}", entry.name);
            let text =
                format!(r#"{{"client_name": "c", "use_ssl": true, "ssl_allow_all": true, "{}": {value}}}"#, key.name);
            let loaded = Config::parse(&text, Path::new("example.json")).unwrap_or_else(|errors| panic!("{errors}"));
            let mut notices = loaded.warnings.iter().filter(|warning| warning.key == entry.name);
            assert!(notices.all(|warning| !matches!(warning.notice, Notice::Unknown { .. })), "{}", entry.name);
        }
    }
}
