//! A client's server: found by its name, reached, and the one that is accepted. Each step has a time limit.
//!
//! No certificate is shown: with it the server would take this for the client, and end the link of the one that runs.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustls::ClientConnection;
use socket2::{Domain, Protocol, Socket, Type};

use super::patient::Patient;
use super::report::Report;
use crate::certs::x509::date;
use crate::certs::{Certificate, ClientFolder};
use crate::manager::tokens::client_way;
use crate::net::listener::local_address;
use crate::net::tls::{self, ClientTls};
use crate::wire::link::ALPN;
use crate::wire::names::Role;

const PART: &str = "server";

/// Longest wait for the addresses of a name.
const NAME_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// Longest wait for a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(6);
/// Most servers that are tried.
const SERVERS_MAX: usize = 4;
/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 4;

pub(super) fn check(patient: &Patient, report: &mut Report) {
    let config = &patient.config;
    if config.role() != Role::Client {
        return;
    }
    let peers = patient.daemon.as_ref().and_then(|daemon| daemon.remote.connected_peers().ok());
    if let Some(peer) = peers.as_ref().and_then(|peers| peers.first()) {
        return report.ok(PART, format!("the connector is connected to {peer}"));
    }
    let bind = config.client_bind_ip.as_deref().map(local_address);
    let bind = match bind.transpose() {
        Ok(bind) => bind,
        Err(error) => {
            return report.error(
                PART,
                format!("client_bind_ip: {error}"),
                "name an address or interface of this machine",
            );
        }
    };
    if let Some(proxy) = config.proxy.address.as_ref().filter(|_| config.proxy.enabled) {
        if let Some(found) = addresses(&proxy.host, proxy.port, report)
            && reach(found, bind, report).is_some()
        {
            report.ok(PART, format!("that is the proxy {proxy}; the server behind it was not tried"));
        }
        return;
    }
    // Of several servers one is enough.
    let tried = config.server_sockaddr.iter().take(SERVERS_MAX).map(|server| {
        let mut of_server = Report::default();
        let found = addresses(&server.host, server.port, &mut of_server);
        if let Some(stream) = found.and_then(|found| reach(found, bind, &mut of_server)).filter(|_| config.use_ssl) {
            handshake(patient, &server.host, stream, &mut of_server);
        }
        of_server
    });
    let tried: Vec<Report> = tried.collect();
    let one_works = tried.iter().any(|of_server| of_server.errors() == 0);
    tried.into_iter().for_each(|of_server| report.append(of_server, one_works));
}

/// A connection with one of these addresses. If one does not answer, that is an error only if all others do not.
fn reach(found: Vec<SocketAddr>, bind: Option<IpAddr>, report: &mut Report) -> Option<TcpStream> {
    let mut failed = Vec::new();
    let mut reached = None;
    for at in found.into_iter().take(ADDRESSES_MAX) {
        match connect(at, bind) {
            Ok(stream) => {
                report.ok(PART, format!("{at} accepts connections"));
                reached.get_or_insert(stream);
            }
            Err(error) => failed.push((at, error)),
        }
    }
    for (at, error) in failed {
        let (what, advice) = unreachable(&error);
        let what = format!("{at} {what}: {error}");
        if reached.is_some() { report.warning(PART, what, advice) } else { report.error(PART, what, advice) }
    }
    reached
}

/// Does this on a thread, which is left alone if it takes too long.
fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, done) = mpsc::channel();
    // Nobody waits any more if it took too long.
    thread::spawn(move || _ = sender.send(work()));
    done.recv_timeout(limit).ok()
}

fn addresses(host: &str, port: u16, report: &mut Report) -> Option<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some(vec![SocketAddr::new(ip, port)]);
    }
    let name = host.to_owned();
    let advice = "see to server_sockaddr, and to DNS: 'getent ahosts NAME'";
    match within(NAME_TIMEOUT, move || (name.as_str(), port).to_socket_addrs().map(Vec::from_iter)) {
        Some(Ok(mut found)) if !found.is_empty() => {
            found.dedup();
            report.ok(PART, format!("{host} is {}", found[0].ip()));
            return Some(found);
        }
        Some(Ok(_)) => report.error(PART, format!("the name {host} has no address"), advice),
        Some(Err(error)) => report.error(PART, format!("the name {host} is not found: {error}"), advice),
        None => {
            let what = format!("no answer to who {host} is within {} s", NAME_TIMEOUT.as_secs());
            report.error(PART, what, advice);
        }
    }
    None
}

fn connect(at: SocketAddr, bind: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(ip) = bind {
        socket.bind(&SocketAddr::new(ip, 0).into())?;
    }
    socket.connect_timeout(&at.into(), CONNECT_TIMEOUT)?;
    Ok(socket.into())
}

/// What it means that no connection comes about, and what to do.
fn unreachable(error: &io::Error) -> (&'static str, &'static str) {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            ("is there, but nobody listens", "start the server there, or see to the port in server_sockaddr")
        }
        io::ErrorKind::TimedOut => ("does not answer", "see to the server's machine, the way there, and firewalls"),
        _ => ("cannot be reached", "see to this machine's network"),
    }
}

fn handshake(patient: &Patient, host: &str, stream: TcpStream, report: &mut Report) {
    let config = &patient.config;
    let folder = ClientFolder::new(&config.certificates_directory_path);
    let tls = client_way(config)
        .servers(&folder)
        .map_err(|e| e.to_string())
        .and_then(|servers| tls::client_config(None, servers, host, vec![ALPN.to_vec()]).map_err(|e| e.to_string()));
    let tls = match tls {
        Ok(tls) => tls,
        Err(why) => return report.error(PART, format!("its certificate cannot be checked: {why}"), "see certificates"),
    };
    match within(HANDSHAKE_TIMEOUT, move || shake(&tls, stream)) {
        Some(Ok(shown)) => shown_by_server(patient, shown.as_ref(), report),
        Some(Err(why)) => {
            let advice = "if the server has a new certificate, take it over; if not, somebody else answers there";
            report.error(PART, why, advice);
        }
        None => {
            let what =
                format!("it connects, but no TLS handshake comes about within {} s", HANDSHAKE_TIMEOUT.as_secs());
            report.error(PART, what, "see to what listens there: it may be no aioconnectors server with use_ssl");
        }
    }
}

/// The server's certificate, if it is accepted. That the server refuses who shows none itself comes after that.
fn shake(tls: &ClientTls, mut stream: TcpStream) -> Result<Option<Certificate>, String> {
    let mut connection =
        ClientConnection::new(tls.config.clone(), tls.server_name.clone()).map_err(|e| format!("TLS: {e}"))?;
    let result = connection.complete_io(&mut stream);
    if let Some(der) = tls::peer_certificate(&connection) {
        return Ok(Certificate::parse(der).ok());
    }
    let Err(error) = result else { return Ok(None) };
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    Err(inner.map_or_else(|| format!("the TLS handshake fails: {error}"), |e| tls::explain(e, &tls.refusals)))
}

fn shown_by_server(patient: &Patient, shown: Option<&Certificate>, report: &mut Report) {
    let Some(certificate) = shown else { return report.ok(PART, "its TLS handshake works") };
    let (serial, end) = (certificate.serial(), date(certificate.not_after()));
    match certificate.check_time(patient.now) {
        Ok(()) => report.ok(PART, format!("its certificate {serial} is accepted, and good until {end}")),
        Err(_) => {
            let from = date(certificate.not_before());
            let what = format!(
                "its certificate {serial} is good from {from} to {end}, and this machine's clock says otherwise"
            );
            report.error(PART, what, "set the clocks right, or renew the server's certificate");
        }
    }
}
