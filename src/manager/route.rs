//! What a config says of the way to the server.

use crate::config::{Config, Proxy as ProxyKeys};
use crate::hooks::{Credentials, Hooks, Runner};
use crate::net::dial::Target;
use crate::net::route::{Proxy, ProxyError, ProxyTls, Route};
use crate::wire::names;

/// A client's way to its server.
///
/// # Errors
/// TLS to the proxy cannot be set up.
pub(super) fn route(config: &Config, hooks: &Hooks, runner: &Runner) -> Result<Route, ProxyError> {
    let to_server = |host: &str, port| Target { key: "server_sockaddr", host: host.to_owned(), port };
    let servers = config.server_sockaddr.iter().map(|address| to_server(&address.host, address.port)).collect();
    Ok(Route { servers, bind: config.client_bind_ip.clone(), proxy: proxy(config, hooks, runner)? })
}

fn proxy(config: &Config, hooks: &Hooks, runner: &Runner) -> Result<Option<Proxy>, ProxyError> {
    let ProxyKeys { address, authorization, ssl_server, cafile, .. } = &config.proxy;
    let Some(address) = address.as_ref().filter(|_| config.proxy.enabled) else { return Ok(None) };
    let at = Target { key: "proxy.address", host: address.host.clone(), port: address.port };
    let tls = match (ssl_server, cafile) {
        (false, _) => ProxyTls::No,
        (true, None) => ProxyTls::System,
        (true, Some(file)) => ProxyTls::File(file.clone()),
    };
    let credentials = authorization.as_ref().map(|known| {
        let (username, password) = (known.username.clone(), known.password.clone());
        Credentials { username, password }
    });
    Proxy::new(at, tls, credentials, hooks, runner, config.hook_timeout).map(Some)
}

/// How the way to the server is told at the start, if it is not just its address.
pub(super) fn in_words(config: &Config) -> String {
    let several = match config.server_sockaddr.others.len() {
        0 => String::new(),
        others => format!(", by {} addresses", others + 1),
    };
    let proxy = config.proxy.address.as_ref().filter(|_| config.proxy.enabled);
    let proxy =
        proxy.map(|at| format!(", through the proxy {at}{}", if config.proxy.ssl_server { " with TLS" } else { "" }));
    several + &proxy.unwrap_or_default()
}

/// What the server's addresses are called in logs: where there are several, by the server's id and the address.
pub(super) fn server_names(config: &Config) -> Vec<String> {
    let addresses = &config.server_sockaddr;
    let id = names::server_id(&addresses.first.host, addresses.first.port);
    if addresses.others.is_empty() {
        return vec![id];
    }
    addresses.iter().map(|address| format!("{id} at {address}")).collect()
}
