//! Hooks: the operator's own code, asked where a connector would decide by its config alone.
//!
//! A hook is a closure of the Rust program that embeds the connector ([`Hooks`]), or a program that is named in the
//! config ([`Program`]). Closures run on the connector's loop, which stands still meanwhile: they must answer at once.
//! Programs run beside it, [`AT_ONCE`] at a time.
//!
//! # What a program gets, and how it answers
//!
//! It is started anew for each question, without a shell and without arguments, in `/`, with `PATH` alone in its
//! environment. On standard input it gets one JSON object, then the end of the file. All have `hook`, the config key, and
//! `connector`, the connector's id; besides:
//!
//! | hook | asked | gets | returns on standard output |
//! | --- | --- | --- | --- |
//! | `hook_whitelist_clients` | a server, of a client whose name is known | `client`, `address`, `port`, `certificate` | nothing |
//! | `hook_server_auth_client` | a server, next, before the client's link is up | the same | nothing |
//! | `hook_allow_certificate_creation` | a server, before a new client gets a certificate | the same | nothing |
//! | `hook_target_directory` | before a file is received | `header`, that of its message | a folder, or nothing |
//! | `hook_proxy_authorization` | a client, before it goes through a proxy | `username`, `password` | both, as an object |
//! | `hook_store_token` | a client, before it keeps its token | `token` | what is kept in the file |
//! | `hook_load_token` | a client that has read its token's file | `stored` | the token |
//!
//! `certificate` is true if the client's certificate is its own, and false if nothing but its word says its name.
//!
//! The exit code is the answer: 0 yes, 1 no. Any other, a signal, no end within `hook_timeout` seconds (waiting in line
//! counts), output that is not as it should be or longer than [`OUTPUT_MAX`]: the hook has failed, which is logged and
//! means no. With the answer, or when the time is over, what is left of the program's process group is killed; what is to
//! go on must leave the group (`setsid`). The first line on standard error goes into the log.
//!
//! `hook_proxy_authorization` is asked before each connection, and gets what `proxy.authorization` has, or empty texts.

mod child;
mod desk;
mod program;
mod question;
mod runner;
mod set;

pub use child::{ERRORS_MAX, OUTPUT_MAX};
pub use desk::{Asked, Clients, Desk, TargetDirectory, Ticket};
pub use program::{Program, ProgramError};
pub use question::{Answer, Client, Credentials, Folder, Hook, Question, Stored, Token, Verdict};
pub use runner::{AT_ONCE, LINE_MAX, Runner};
pub use set::Hooks;
