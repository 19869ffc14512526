//! Our client's links to Python servers through an HTTP proxy.

use std::cell::RefCell;

use serde_json::json;

use crate::checks;
use crate::common::http_proxy::{HttpProxy, Manner};
use crate::common::{Role, Setup};
use crate::pair::Kind::{Ours, Python};
use crate::pair::Mode::{AllowAll, Certificates, Plain};
use crate::pair::{Mode, Pair};
use crate::python;

/// The client goes through a proxy that wants a name and a password, and the link carries messages.
#[track_caller]
fn talk(mode: Mode) {
    if python::interpreter().is_none() {
        return;
    }
    let proxy = RefCell::new(None);
    let through = |setup: Setup| {
        if setup.role == Role::Server {
            return setup;
        }
        let port = setup.key("server_sockaddr").and_then(|address| address[1].as_u64()).expect("a port");
        let manner = Manner::Opens(u16::try_from(port).expect("a port"));
        let proxy = &mut *proxy.borrow_mut();
        let proxy = proxy.insert(HttpProxy::start(manner));
        let known = json!({"username": "Aladdin", "password": "open sesame"});
        let keys = json!({"enabled": true, "address": "127.0.0.1", "port": proxy.port, "authorization": known});
        setup.with("proxy", keys)
    };
    let pair = Pair::start_with(Python, Ours, mode, through);
    checks::messages_between_raw_apps(&pair);
    checks::pings(&pair);
    let heard = proxy.borrow().as_ref().map(HttpProxy::heard).expect("it was started");
    let told =
        |head: &String| head.to_lowercase().contains("\r\nproxy-authorization: basic qwxhzgrpbjpvcgvuihnlc2ftzq==");
    assert!(!heard.is_empty() && heard.iter().all(told), "{heard:?}");
}

#[test]
fn our_client_reaches_a_python_server() {
    talk(Plain);
}

#[test]
fn our_client_reaches_a_python_server_with_certificates() {
    talk(Certificates(Ours));
}

#[test]
fn our_client_reaches_a_python_server_that_only_encrypts() {
    talk(AllowAll(Python));
}
