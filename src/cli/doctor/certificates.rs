//! Certificates: that each is there with its key, in its time, and is the right one.

use std::fs;
use std::path::Path;

use super::patient::Patient;
use super::report::Report;
use crate::certs::folder::DEFAULT;
use crate::certs::pair::load_certificates;
use crate::certs::x509::date;
use crate::certs::{self, Certificate, ClientFolder, Ending, Error, Layout, Pair};
use crate::net::expiry::WARN_DAYS;
use crate::wire::names::{Role, is_default_certificate};

const PART: &str = "certificates";
const DAY: i64 = 86_400;

/// Clients whose certificates end that are named.
const NAMED_MAX: usize = 5;

pub(super) fn check(patient: &Patient, report: &mut Report) {
    let config = &patient.config;
    if !config.use_ssl {
        if !config.server_sockaddr.iter().all(|address| is_local(&address.host)) {
            let what = "links are not encrypted, and everybody can take any name (use_ssl is false)";
            report.warning(PART, what, "use_ssl: true, on both sides");
        }
        return;
    }
    match config.role() {
        Role::Server => server(patient, report),
        Role::Client => client(patient, report),
    }
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A certificate with its key. `renew` is what to do when it ends.
fn pair(patient: &Patient, what: &str, certificate: &Path, key: &Path, renew: &str, report: &mut Report) {
    match Pair::load(certificate, key, patient.now) {
        Ok(pair) => time(patient, what, pair.certificate(), renew, report),
        Err(error) => {
            let advice = match &error {
                Error::Expired { .. } => renew,
                Error::NotYetValid { .. } => "see to the clock of this machine, and of the one that made it",
                Error::KeyMismatch { .. } => "put the certificate and the key of one pair in place",
                Error::Missing { .. } => "put it in place from where it was made",
                _ => "put a good one in place",
            };
            report.error(PART, format!("{what}: {error}"), advice);
        }
    }
}

/// A certificate that can be used: whether it ends soon.
fn time(patient: &Patient, what: &str, certificate: &Certificate, renew: &str, report: &mut Report) {
    let (serial, end) = (certificate.serial(), date(certificate.not_after()));
    let left = certificate.not_after().saturating_sub(patient.now);
    if left < 0 {
        report.error(PART, format!("{what}, {serial}, has expired on {end}"), renew);
    } else if certificate.not_before() > patient.now {
        let from = date(certificate.not_before());
        let advice = "see to the clock of this machine, and of the one that made it";
        report.error(PART, format!("{what}, {serial}, is valid only from {from} on"), advice);
    } else if left <= WARN_DAYS[0] * DAY {
        report.warning(PART, format!("{what}, {serial}, expires on {end}, in {} days", left / DAY), renew);
    } else {
        report.ok(PART, format!("{what}, {serial}, is good until {end}"));
    }
}

fn server(patient: &Patient, report: &mut Report) {
    let config = &patient.config;
    let layout = Layout::new(&config.certificates_directory_path);
    let renew = "'aioconnectorsctl replace-server-certificate'; clients pin it, so give it to them first";
    pair(patient, "the server's certificate", &layout.server_certificate(), &layout.server_key(), renew, report);
    if config.ssl_allow_all {
        return;
    }
    if config.server_ca {
        let renew = "a new CA, and new certificates for all clients";
        pair(patient, "the CA for clients", &layout.ca_certificate(), &layout.ca_key(), renew, report);
        let ca = load_certificates(&layout.ca_certificate());
        if ca.is_ok_and(|all| !all[0].signs()) {
            let what = format!("{} is no CA's certificate", layout.ca_certificate().display());
            report.error(PART, what, "'aioconnectorsctl create-certificates --ca' makes one");
        }
    }
    shared(patient, &layout, report);
    clients(patient, report);
}

/// What new clients share: known as a file, and accepted by a link.
fn shared(patient: &Patient, layout: &Layout, report: &mut Report) {
    let path = layout.client_certificate(DEFAULT);
    match load_certificates(&path) {
        Ok(all) => {
            let what = "the certificate that new clients share";
            time(patient, what, &all[0], "make a new one, and give it to new clients", report);
            let hash = all[0].subject_hash();
            let is_linked = (0..10).any(|n| {
                let link = layout.links().join(format!("{hash}.{n}"));
                load_certificates(&link).is_ok_and(|linked| linked.contains(&all[0]))
            });
            if !is_linked {
                let what = format!("no link in {} leads to {}", layout.links().display(), path.display());
                report.warning(PART, what, "new clients are refused; 'openssl rehash' of that folder makes it");
            }
        }
        Err(error) => report.warning(PART, format!("no new client can enrol: {error}"), "put it in place again"),
    }
}

fn clients(patient: &Patient, report: &mut Report) {
    let until = patient.now.saturating_add(WARN_DAYS[0] * DAY);
    match certs::ending(&patient.config.certificates_directory_path, until) {
        Ok(all) if all.is_empty() => {}
        Ok(all) => {
            let named = all.iter().take(NAMED_MAX);
            let named: Vec<String> =
                named.map(|Ending { client, not_after }| format!("{client} ({})", date(*not_after))).collect();
            let more = if all.len() > NAMED_MAX { ", …" } else { "" };
            let what =
                format!("certificates of {} clients end soon or have ended: {}{more}", all.len(), named.join(", "));
            let advice = "connected clients renew theirs; one that has ended: 'aioconnectorsctl delete-certificate' on \
                both sides";
            report.warning(PART, what, advice);
        }
        Err(error) => report.error(PART, error.to_string(), "no client can be told from another: restore the file"),
    }
}

fn client(patient: &Patient, report: &mut Report) {
    let config = &patient.config;
    let (layout, name) = (Layout::new(&config.certificates_directory_path), config.id());
    let folder = ClientFolder::new(&config.certificates_directory_path);
    if !config.ssl_allow_all {
        if folder.has_own(&name) {
            let renew = "'aioconnectorsctl delete-certificate' on both sides: it asks for a new one then";
            let (certificate, key) = (layout.own_certificate(&name), layout.own_key(&name));
            pair(patient, "this client's certificate", &certificate, &key, renew, report);
        } else {
            let renew = "take the server's new shared certificate over";
            let (certificate, key) = (layout.own_certificate(DEFAULT), layout.own_key(DEFAULT));
            pair(patient, "the certificate to enrol with", &certificate, &key, renew, report);
            others_own(&layout, &name, report);
        }
    }
    let ca = config.client_cafile_verify_server.as_ref();
    if let Some(path) = ca.filter(|_| !config.ssl_allow_all) {
        if let Err(error) = load_certificates(path) {
            report.error(PART, format!("client_cafile_verify_server: {error}"), "name a file of CA certificates");
        }
        return;
    }
    if config.ssl_allow_all && !config.uses_tokens() {
        let what = "every server is accepted, whoever it is (ssl_allow_all)";
        return report.warning(PART, what, "certificates, or tokens with token_verify_peer_cert, tell who it is");
    }
    match folder.pinned_servers() {
        Ok(all) => {
            let renew = "take the server's new certificate over";
            all.iter().for_each(|one| time(patient, "the server's certificate, as it is pinned", one, renew, report));
        }
        Err(_) if config.ssl_allow_all => {}
        Err(error) => report.error(PART, error.to_string(), "copy the server's server.pem there"),
    }
}

/// A client that was given another name has no certificate any more.
fn others_own(layout: &Layout, name: &str, report: &mut Report) {
    let own = layout.own_certificate(name);
    let entries = own.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten();
    let names = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?.strip_suffix(".pem")?.to_owned();
        (!name.starts_with('.') && !is_default_certificate(&name)).then_some(name)
    });
    let names: Vec<String> = names.take(NAMED_MAX).collect();
    if !names.is_empty() {
        let what = format!("there is no certificate for {name}, but for {}", names.join(", "));
        report.warning(PART, what, "if client_name is right, it asks for one; else set it right");
    }
}
