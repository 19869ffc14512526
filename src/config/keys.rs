//! The table of all config keys. The parser, the templates and the man page come from it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::reader::Reader;
use super::setting::Setting;
use super::values::{
    Addresses, Coverage, Enrollment, FileRecv, IgnorePeerTraffic, LogLevel, MetricsListen, OnFull, PersistenceSync,
    Proxy, Rotate, VerifyPeer,
};
use crate::core::rules::{ClientRule, LocalRule};
use crate::wire::topics::Pattern;

use Effect::{Apps, NotYet, Now};
use Limits::{Bytes, ClientNames, Free, Integer, IpOrInterface, MessageTypes, Program, Seconds, Subnets};

/// What holds of a key's value beyond its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limits {
    /// Nothing.
    Free,
    /// A whole number in this range, ends included.
    Integer(u64, u64),
    /// A whole number of bytes in this range, ends included.
    Bytes(u64, u64),
    /// A number of seconds in this range, ends included; fractions are allowed.
    Seconds(f64, f64),
    /// Each text is a message type that apps may use.
    MessageTypes,
    /// The text is an IP address or the name of a network interface.
    IpOrInterface,
    /// The path is that of a program, and absolute.
    Program,
    /// Each text is a regular expression for client names.
    ClientNames,
    /// Each text is an IP address.
    Addresses,
    /// Each text is a subnet.
    Subnets,
}

/// What a key does as of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// What its text says.
    Now,
    /// Nothing: a value other than the default gets a warning.
    NotYet,
    /// Nothing in the daemon. Apps read it, and one file may serve both.
    Apps,
}

/// The template that a key is printed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// That of a connector's config.
    Manager,
    /// That of an app's config.
    Api,
    /// Both.
    Both,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it stands in the file.
    pub name: &'static str,
    /// The default, as JSON.
    pub default: &'static str,
    /// What holds of the value beyond its type.
    pub limits: Limits,
    /// What it does as of now.
    pub effect: Effect,
    /// Where it is printed.
    pub template: Template,
    /// What it does, in a sentence.
    pub help: &'static str,
    expected: fn(Limits) -> String,
}

impl Key {
    /// The default as a JSON value.
    #[must_use]
    pub fn default_value(&self) -> Value {
        // Each default is a literal in the table below, and a test parses them all.
        serde_json::from_str(self.default).unwrap_or_default()
    }

    /// Which values are right, in words, as in `true or false`.
    #[must_use]
    pub fn expected(&self) -> String {
        (self.expected)(self.limits)
    }

    /// The row of `name`.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Key> {
        // A test checks that the table is sorted.
        KEYS.binary_search_by_key(&name, |key| key.name).ok().map(|i| &KEYS[i])
    }
}

/// A name that older releases of the Python package used.
#[derive(Clone, Copy, Debug)]
pub struct OldKey {
    /// The old name.
    pub name: &'static str,
    /// The keys that its value is given to.
    pub stands_for: &'static [&'static str],
}

/// All old names.
pub const OLD_KEYS: [OldKey; 3] = [
    OldKey { name: "disk_persistence", stands_for: &["disk_persistence_recv", "disk_persistence_send"] },
    OldKey { name: "file_type2dirpath", stands_for: &["file_recv_config"] },
    OldKey { name: "max_size_file_upload", stands_for: &["max_size_file_upload_recv", "max_size_file_upload_send"] },
];

const KIB: u64 = 1 << 10;
const TIB: u64 = 1 << 40;

/// A frame says its length in 32 bits.
const FRAME_MAX: u64 = u32::MAX as u64;

/// No time in a config is longer than a year.
const YEAR: f64 = 31_536_000.0;

/// The longest time that a hook may take, in seconds: links wait for it.
const HOUR: f64 = 3600.0;

/// The shortest time that a timeout can have, in seconds.
const TICK: f64 = 0.001;

/// Makes [`KEYS`] and [`Config`] of the same rows: name, type, default, limits, effect, template, text.
macro_rules! keys {
    ($($name:ident: $type:ty = $default:literal, $limits:expr, $effect:expr, $template:ident, $help:literal;)*) => {
        /// Every key, sorted by name.
        pub static KEYS: &[Key] = &[$(Key {
            name: stringify!($name),
            default: $default,
            limits: $limits,
            effect: $effect,
            template: Template::$template,
            help: $help,
            expected: <$type as Setting>::expected,
        }),*];

        /// A connector's config: a field for each key, of the same name.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $(#[doc = $help] pub $name: $type,)*
            /// Keys that the file gives.
            pub(super) given: BTreeMap<&'static str, Value>,
        }

        impl Config {
            pub(super) fn build(reader: &mut Reader) -> Self {
                Self { $($name: reader.get(stringify!($name)),)* given: reader.given_values() }
            }

            /// The keys in which another config differs from this one.
            #[must_use]
            pub fn differing(&self, other: &Self) -> Vec<&'static str> {
                let all = [$((stringify!($name), self.$name != other.$name)),*];
                all.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
            }
        }
    };
}

keys! {
    alternate_client_default_cert: bool = "false", Free, Now, Manager,
        "Client: if its own certificate is refused, it tries the default one at the next attempt, in turn.";
    blacklisted_clients_id: Vec<String> = "null", ClientNames, Now, Manager,
        "Server: regular expressions, matched from the start, of client names that may not connect.";
    blacklisted_clients_ip: Vec<String> = "null", Limits::Addresses, Now, Manager,
        "Server: IP addresses from which no client may connect.";
    blacklisted_clients_subnet: Vec<String> = "null", Subnets, Now, Manager,
        "Server: subnets from which no client may connect.";
    certificates_directory_path: PathBuf = "\"/var/tmp/aioconnectors\"", Free, Now, Manager,
        "The folder that holds the folder `certificates`.";
    client_bind_ip: Option<String> = "null", IpOrInterface, Now, Manager,
        "Client: the IP address or network interface that it connects from.";
    client_cafile_verify_server: Option<PathBuf> = "null", Free, Now, Manager,
        "Client: a file of CA certificates. The server's certificate must be signed by one of them and have its host \
        name, instead of being pinned.";
    client_max_queued_bytes: u64 = "0", Bytes(0, TIB), Now, Manager,
        "Server: how many bytes may wait for a client in all its queues together, those on disk included; 0 for no such \
        limit. What a client has sent and waits for programs of the server does not count: it lies in one queue a type \
        with what others have sent, which has a limit of its own and slows its senders when it is full; `client_rules` \
        bound what each client sends.";
    client_name: Option<String> = "null", Free, Now, Both,
        "Client: its name, which is its id: letters, digits, `-`, `_` and `:`, 128 at most. A client must have one.";
    client_rules: Vec<ClientRule> = "[]", Free, Now, Manager,
        "Server: what clients may do. A list of objects, of which the first whose `id`, a regular expression matched from \
        the start, names a client holds: `send_types` and `recv_types`, lists of message types as clients send and receive \
        them, with the wildcards of subscriptions; `max_msgs_per_s` and `max_bytes_per_s`. What is left out is not \
        restricted, and so are clients that no rule names.";
    connect_timeout: Duration = "10", Seconds(TICK, YEAR), Now, Manager,
        "Client: how many seconds a connection to the server may take.";
    connector_files_dirpath: PathBuf = "\"/var/tmp/aioconnectors\"", Free, Now, Both,
        "The folder of the connector's sockets and queues.";
    debug_msg_counts: bool = "true", Free, NotYet, Manager,
        "Counts of messages are logged every two minutes if they changed.";
    default_logger_bk_count: u64 = "5", Integer(0, 1000), Now, Both,
        "How many compressed log files are kept; with 0 a full log file is emptied.";
    default_logger_dirpath: PathBuf = "\"/var/tmp/aioconnectors\"", Free, Now, Both,
        "The folder of the log file `aioconnectors.log`. A daemon whose config does not give it logs to stderr only.";
    default_logger_log_level: LogLevel = "\"INFO\"", Free, Now, Both,
        "How important a log line must be to be written.";
    default_logger_rotate: Rotate = "true", Bytes(KIB, TIB), Now, Both,
        "Whether, or at how many bytes, the log file is compressed and a new one begun; `true` means 64 MiB.";
    disk_persistence_recv: Coverage = "false", MessageTypes, Now, Manager,
        "Which received messages are kept on disk until an app has taken them: all, none, or a list of types. An app that \
        acknowledges gets each of them at least once, whatever crashes.";
    disk_persistence_send: Coverage = "false", MessageTypes, Now, Manager,
        "Which messages to send are kept on disk until the peer has taken them over, also while it is away: all, none, or \
        a list of types.";
    enable_client_try_reconnect: bool = "true", Free, Now, Manager,
        "Client: whether it connects again when it lost its server.";
    enrollment: Enrollment = "\"open\"", Free, Now, Manager,
        "Server: `open`: each new client gets a certificate, or a token; `token`: only one that shows a token for \
        enrolment, which `aioconnectorsctl enroll` makes for its name.";
    enrollment_token_path: Option<PathBuf> = "null", Free, Now, Manager,
        "Client: the file with its token for enrolment, if the server wants one.";
    everybody_can_send_messages: bool = "true", Free, Now, Manager,
        "Whether apps of every user may send; if not, only those of the connector's user and group.";
    file_recv_config: BTreeMap<String, FileRecv> = "{}", Free, Now, Manager,
        "Where received files go, by destination type: `target_directory`, an absolute path in which header keys in \
        braces are filled in, as in `/data/{source_id}`; `owner`, `USER:GROUP`; `override_existing`.";
    hook_allow_certificate_creation: Option<PathBuf> = "null", Program, Now, Manager,
        "Server: a program that is asked before a new client gets a certificate.";
    hook_load_token: Option<PathBuf> = "null", Program, Now, Manager,
        "Client: a program that makes the token of what `hook_store_token` made of it.";
    hook_proxy_authorization: Option<PathBuf> = "null", Program, Now, Manager,
        "Client: a program that is asked, before each connection, for the name and password that the proxy wants; it \
        gets those of `proxy`.";
    hook_server_auth_client: Option<PathBuf> = "null", Program, Now, Manager,
        "Server: a program that is asked before the link of a client that is identified comes up.";
    hook_store_token: Option<PathBuf> = "null", Program, Now, Manager,
        "Client: a program that makes of the token what is kept in its file.";
    hook_target_directory: Option<PathBuf> = "null", Program, Now, Manager,
        "A program that is asked for the folder of each file that is received.";
    hook_timeout: Duration = "10", Seconds(TICK, HOUR), Now, Manager,
        "How many seconds the answer of a hook may take; then the program is killed, and the answer is no.";
    hook_whitelist_clients: Option<PathBuf> = "null", Program, Now, Manager,
        "Server: a program that is asked whether a client may come in that no whitelist names.";
    ignore_peer_traffic: IgnorePeerTraffic = "false", Free, Now, Manager,
        "Whose messages are dropped, and those for whom: everybody's, nobody's, or those of a list of peers.";
    is_server: bool = "true", Free, Now, Both,
        "Whether this connector is a server, which has many peers, or a client, which has one.";
    keep_alive_period: Option<Duration> = "null", Seconds(TICK, YEAR), Now, Manager,
        "Client: how many seconds lie between pings to the server; `null` or 0 for none.";
    keep_alive_timeout: Duration = "5", Seconds(TICK, YEAR), Now, Manager,
        "Client: how many seconds the answer to a ping may take.";
    local_rules: Vec<LocalRule> = "[]", Free, Now, Manager,
        "What programs on this machine may do. A list of objects, of which the first that names a program's user holds: \
        `uid` or `user`, `gid` or `group` (both must hold if both are given, and none names everybody); `send_types` and \
        `recv_types`, lists of message types. What is left out is not restricted. If there are any rules, programs that \
        none names may do nothing.";
    max_certs: u64 = "1024", Integer(1, 1_000_000), Now, Manager,
        "Server: how many client certificates there may be.";
    max_connections: u64 = "16384", Integer(1, 1_000_000), Now, Manager,
        "Server: how many connections of clients there may be at a time; fewer if the system allows fewer open files.";
    max_connections_per_address: u64 = "12288", Integer(1, 1_000_000), Now, Manager,
        "Server: how many connections there may be at a time from one address, or from one IPv6 network of 64 bits.";
    max_message_size: u64 = "1073741824", Bytes(KIB, FRAME_MAX), Now, Manager,
        "How many bytes a message may have, header and binary included.";
    max_number_of_unanswered_keep_alive: u64 = "2", Integer(1, 1_000_000), Now, Manager,
        "Client: after how many unanswered pings the connection is given up.";
    max_size_chunk_upload: u64 = "209715200", Bytes(1, TIB), Now, Api,
        "How many bytes of a file go into one message to a Python connector; larger files go as pieces.";
    max_size_file_upload_recv: u64 = "8589930194", Bytes(0, u64::MAX), Now, Manager,
        "How many bytes a received file may have.";
    max_size_file_upload_send: u64 = "8589930194", Bytes(0, u64::MAX), Now, Manager,
        "How many bytes a file to send may have.";
    max_size_persistence_path: u64 = "1073741824", Bytes(64 * KIB, u64::MAX), Now, Manager,
        "How many bytes of messages each queue on disk may have; there is one for each peer and type, and for each \
        received type.";
    max_size_published_files: u64 = "17179869184", Bytes(0, u64::MAX), Now, Manager,
        "Broker: how many bytes the files of publications may have together that wait for their subscribers.";
    max_unidentified_connections: u64 = "1024", Integer(1, 1_000_000), Now, Manager,
        "Server: how many connections may not have said yet who they are; one more takes the place of the oldest from the \
        address that has most of them.";
    max_unidentified_message_size: u64 = "65536", Bytes(KIB, 1024 * KIB), Now, Manager,
        "How many bytes the first messages of a peer may have, before it is known who it is.";
    metrics_listen: Option<MetricsListen> = "null", Free, Now, Manager,
        "Where Prometheus reads the metrics, at `/metrics`: the path of a Unix socket, or a loopback address with a port as \
        in `127.0.0.1:9101`. Without it there are none.";
    on_full: BTreeMap<String, OnFull> = "{}", MessageTypes, Now, Manager,
        "What happens to a message that finds the queue to its peer full, by message type: `block` has its app wait, \
        `reject` refuses it, `drop_oldest` gives up the oldest ones. Types that are not listed block while the peer is \
        connected and reject while it is away.";
    persistence_sync: PersistenceSync = "\"os\"", Free, Now, Manager,
        "When queues on disk are written through. `os`: when the system likes, so that they survive the end of the \
        process, not a loss of power; `interval:MILLISECONDS`: so long after a change at most; `always`: before anybody \
        is told that a message is stored.";
    proxy: Proxy = "{}", Free, Now, Manager,
        "Client: the HTTP proxy to go through, by `CONNECT`: `enabled`, whether it is used; `address` and `port`; \
        `authorization`, an object with `username` and `password`; `ssl_server`, whether it is spoken to over TLS, without \
        which the password goes to it in clear. Its certificate must then be for `address`, and of a CA in `cafile`, or \
        without that in the file that the environment variable `SSL_CERT_FILE` names, or else in the system's own. The \
        proxy looks up the server's name. With peers of the Python package, what only the proxy has got is lost with it, \
        unless messages set `wait_for_ack`.";
    pubsub_central_broker: bool = "false", Free, Now, Both,
        "Server: whether it hands published messages to those who subscribed. What `disk_persistence_send` covers waits \
        for subscribers that are away.";
    queue_max_bytes: u64 = "67108864", Bytes(64 * KIB, TIB), Now, Manager,
        "How many bytes the queue to each peer may have in memory.";
    receive_from_any_connector_owner: bool = "true", Free, Apps, Api,
        "Whether an app receives from a connector that runs as another user.";
    recv_message_types: Vec<String> = "[\"any\"]", MessageTypes, Now, Both,
        "The message types that are accepted from peers.";
    reuse_server_sockaddr: bool = "false", Free, Now, Manager,
        "Server: whether it may share its address with other processes.";
    reuse_uds_path_commander_server: bool = "false", Free, Now, Manager,
        "Whether the admin socket of another connector is taken over.";
    reuse_uds_path_send_to_connector: bool = "false", Free, Now, Manager,
        "Whether the socket for sending apps of another connector is taken over.";
    send_message_types: Vec<String> = "[\"any\"]", MessageTypes, Now, Both,
        "The message types that apps may send.";
    send_message_types_priorities: BTreeMap<String, f64> = "{}", MessageTypes, Now, Manager,
        "The priority of message types, as a number, smaller first; 0 for those not listed. Those that wait get a sixteenth.";
    send_timeout: Duration = "50", Seconds(TICK, YEAR), Now, Manager,
        "How many seconds a peer may take none of what it is sent.";
    server_ca: bool = "false", Free, Now, Manager,
        "Server: whether it signs client certificates as a CA.";
    server_ca_certs_not_stored: bool = "true", Free, Now, Manager,
        "Server: with `server_ca`, whether client certificates are forgotten after they were issued.";
    server_return_after: Option<Duration> = "60", Seconds(TICK, YEAR), Now, Manager,
        "Client with several addresses in `server_sockaddr`: after how many seconds on another one it tries to go back to \
        the first, half of them at least; `null` or 0 for never. If links to the first end early, the wait doubles each \
        time, up to an hour.";
    server_secure_tls: bool = "true", Free, Now, Manager,
        "Server: TLS 1.2 is the oldest version that is accepted, whatever is given here.";
    server_sockaddr: Addresses = "[\"127.0.0.1\", 10673]", Free, Now, Both,
        "The address of the server: on a server the one to listen at, on a client the one to connect to. On a client it \
        may be a list of them, as in `[[\"a.example\", 10673], [\"b.example\", 10673]]`, 16 at most: they are tried in \
        their order, and the link goes back to the first when that can be reached again (`server_return_after`). The \
        first names the server, for apps and on disk; a change of it makes another server of it. They should lead to one \
        server: then no message is lost or comes twice when the link moves. If there are two servers behind them, what \
        was on its way then can reach both, and each keeps what it has for this client until the link is to it again.";
    session_ttl: Duration = "86400", Seconds(1.0, YEAR), Now, Manager,
        "After how many seconds the session of a sending app that has not connected again is forgotten.";
    shutdown_timeout: Duration = "10", Seconds(0.0, YEAR), Now, Manager,
        "How many seconds the daemon waits, when it is told to stop, for its queues to drain.";
    silent: bool = "true", Free, Now, Manager,
        "Whether a daemon that logs to a file does not log to stderr as well.";
    ssl_allow_all: bool = "false", Free, Now, Manager,
        "Whether TLS only encrypts, and certificates are not verified.";
    subscribe_message_types: Vec<Pattern> = "[]", Free, Now, Manager,
        "Client: the message types that it subscribes to, which it then also receives. In words between dots, `*` stands \
        for one word and `>`, at the end, for one or more, as in `sensors.*.temp` and `sensors.>`; brokers of the Python \
        package know no such patterns.";
    token_client_send_cert: bool = "true", Free, Now, Manager,
        "Client: with `use_token`, whether it shows its default certificate.";
    token_client_verify_server_hostname: Option<bool> = "null", Free, Now, Manager,
        "Client: with a CA file in `token_verify_peer_cert`, whether the server's host name is verified; `null` means yes.";
    token_server_allow_authorized_non_default_cert: bool = "false", Free, Now, Manager,
        "Server: whether a client that shows a registered certificate of its own needs no token.";
    token_verify_peer_cert: VerifyPeer = "true", Free, Now, Manager,
        "With `use_token`, whether the peer's certificate is verified; on a client also a file of CA certificates.";
    tokens_directory_path: PathBuf = "\"/var/tmp/aioconnectors\"", Free, Now, Manager,
        "The folder of the tokens.";
    uds_path_receive_preserve_socket: bool = "true", Free, Now, Both,
        "Whether the connection to a receiving app is kept between messages.";
    uds_path_send_preserve_socket: bool = "true", Free, Now, Both,
        "Whether a sending app keeps its connection between messages.";
    use_ssl: bool = "true", Free, Now, Manager,
        "Whether the connection between connectors is TLS.";
    use_token: bool = "false", Free, Now, Manager,
        "Whether clients show a token instead of a certificate of their own; needs `ssl_allow_all`.";
    whitelisted_clients_id: Vec<String> = "null", ClientNames, Now, Manager,
        "Server: regular expressions, matched from the start, of the client names that may connect.";
    whitelisted_clients_ip: Vec<String> = "null", Limits::Addresses, Now, Manager,
        "Server: the IP addresses from which clients may connect.";
    whitelisted_clients_subnet: Vec<String> = "null", Subnets, Now, Manager,
        "Server: the subnets from which clients may connect.";
}
