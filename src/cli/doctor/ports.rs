//! A server's port: free, or held by whom. Nothing is bound for this: that could be in a starting connector's way.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use super::patient::Patient;
use super::report::Report;
use crate::net::listener::local_address;
use crate::wire::names::Role;

const PART: &str = "ports";

/// Most processes that are asked whether a socket is theirs.
const PROCESSES_MAX: usize = 100_000;

pub(super) fn check(patient: &Patient, report: &mut Report) {
    if patient.config.role() != Role::Server {
        return;
    }
    let address = &patient.config.server_sockaddr.first;
    let ip = match local_address(&address.host) {
        Ok(ip) => ip,
        Err(error) => {
            let what = format!("server_sockaddr: {:?} is no address, interface or name here: {error}", address.host);
            return report.error(PART, what, "name an address or interface of this machine");
        }
    };
    // A port of UDP that nobody else wants, for a moment: only whether the address is there is found out.
    if UdpSocket::bind((ip, 0)).is_err() {
        let advice = "name an address of this machine, or see to its network";
        return report.error(PART, format!("server_sockaddr: {ip} is no address of this machine"), advice);
    }
    let listeners: Vec<u64> = listeners(address.port).filter(|(at, _)| meet(*at, ip)).map(|(_, inode)| inode).collect();
    let own = patient.daemon.as_ref().map(|daemon| daemon.pid);
    if listeners.is_empty() && own.is_some() {
        let advice = "its log says why; the config may have changed since it was started";
        return report.error(PART, format!("the connector runs, but nobody listens at {address}"), advice);
    }
    if listeners.is_empty() {
        privileged(patient, report);
        return report.ok(PART, format!("{address} is free"));
    }
    match holder(&listeners) {
        Some((pid, _)) if Some(pid) == own => report.ok(PART, format!("the connector listens at {address}")),
        Some((pid, name)) => {
            let advice = format!("stop it, or name another port; 'ps -p {pid} -f' shows it");
            report.error(PART, format!("{address} is held by {name}, process {pid}"), advice);
        }
        None if own.is_some() => report.ok(PART, format!("somebody, probably the connector, listens at {address}")),
        None => report.error(PART, format!("{address} is held by another program"), "'ss -tlnp' as root says by which"),
    }
}

/// Whether who listens at one of the addresses keeps the other from being listened at.
fn meet(a: IpAddr, b: IpAddr) -> bool {
    a.to_canonical() == b.to_canonical() || a.is_unspecified() || b.is_unspecified()
}

/// A low port needs a right.
fn privileged(patient: &Patient, report: &mut Report) {
    let port = patient.config.server_sockaddr.first.port;
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first: u16 = first.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024);
    if port < first && !patient.user.uid().is_root() {
        let what = format!("port {port} needs a right that {} may lack", patient.user);
        report.warning(PART, what, "AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit, or a port from 1024 on");
    }
}

/// The sockets that listen at a port: address and inode.
fn listeners(port: u16) -> impl Iterator<Item = (IpAddr, u64)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let text = read("/proc/net/tcp") + &read("/proc/net/tcp6");
    let all: Vec<(IpAddr, u64)> = text.lines().filter_map(|line| listener(line, port)).collect();
    all.into_iter()
}

/// A line of `/proc/net/tcp`, if it is of a socket that listens at this port.
fn listener(line: &str, port: u16) -> Option<(IpAddr, u64)> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace().skip(1);
    let (ip, found) = fields.next()?.split_once(':')?;
    if u16::from_str_radix(found, 16).ok()? != port || fields.nth(1)? != LISTEN {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    // Words of four bytes, each as this machine writes a number.
    let words = ip.as_bytes().chunks(8).map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok());
    let bytes: Vec<u8> = words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip = match <[u8; 4]>::try_from(&bytes[..]) {
        Ok(four) => IpAddr::V4(Ipv4Addr::from(four)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[..]).ok()?)),
    };
    Some((ip, inode))
}

/// The process that has one of these sockets, and its program's name, as far as this user may see.
fn holder(inodes: &[u64]) -> Option<(i32, String)> {
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok).take(PROCESSES_MAX);
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        let is_its = files.filter_map(Result::ok).any(|file| {
            let target = fs::read_link(file.path()).unwrap_or_default();
            wanted.iter().any(|wanted| target.as_os_str() == wanted.as_str())
        });
        if is_its {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some((pid, name.trim().to_owned()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn who_listens_is_found() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listening) = TcpListener::bind(at) else { continue };
            let address = listening.local_addr().unwrap();
            let found: Vec<(IpAddr, u64)> = listeners(address.port()).collect();
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].0, address.ip());
            assert_eq!(holder(&[found[0].1]).unwrap().0, std::process::id() as i32);
        }
        assert!(meet("0.0.0.0".parse().unwrap(), "10.0.0.1".parse().unwrap()));
        assert!(!meet("127.0.0.1".parse().unwrap(), "10.0.0.1".parse().unwrap()));
    }
}
