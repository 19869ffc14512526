//! Clients' certificates that are renewed over the link, and warnings of those that end.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use aioconnectors::certs::pair::load_certificates;
use aioconnectors::certs::{Certificate, Issuing, Registry};
use aioconnectors::wire::control::Offer;
use rcgen::{CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use crate::certificates::{Secured, own_file};
use crate::common::{Setup, wait};
use crate::enrolment::{at_server, listed};

const DAY: u64 = 86_400;

/// A certificate that began and ends so many days before and after now, signed by itself or by the server's CA; its key.
fn made(secured: &Secured, before: u64, after: u64, by_ca: bool) -> (String, String) {
    let (key, now) = (KeyPair::generate().unwrap(), SystemTime::now());
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = by_ca;
    params.not_before = (now - Duration::from_secs(before * DAY)).into();
    params.not_after = (now + Duration::from_secs(after * DAY)).into();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "ends soon");
    let certificate = if by_ca {
        let text = |name: &str| {
            fs::read_to_string(secured.server.dir.join("certificates/server/server-cert").join(name)).unwrap()
        };
        let ca_key = KeyPair::from_pem(&text("server_ca.key")).unwrap();
        let ca = Issuer::from_ca_cert_pem(&text("server_ca.pem"), ca_key).unwrap();
        params.signed_by(&key, &ca).unwrap()
    } else {
        params.self_signed(&key).unwrap()
    };
    (certificate.pem(), key.serialize_pem())
}

/// Gives a client a certificate of its own, which the server accepts.
fn give(secured: &Secured, client: &Setup, (pem, key): (String, String), by_ca: bool) -> Certificate {
    fs::write(own_file(client, "pem"), &pem).unwrap();
    fs::write(own_file(client, "key"), key).unwrap();
    let certificate = load_certificates(&own_file(client, "pem")).unwrap().remove(0);
    if !by_ca {
        let name = format!("{}.pem", client.id);
        fs::write(at_server(secured, &name), pem).unwrap();
        let link = at_server(secured, "symlinks").join(format!("{}.0", certificate.subject_hash()));
        symlink(format!("../{name}"), link).unwrap();
    }
    let serial = certificate.serial();
    let list = json!({"source_id_2_cert": {&client.id: serial}, "cert_2_source_id": {serial: &client.id}});
    fs::write(at_server(secured, "source_id_2_cert.json"), list.to_string()).unwrap();
    certificate
}

fn own(client: &Setup) -> Option<Certificate> {
    Some(load_certificates(&own_file(client, "pem")).ok()?.remove(0))
}

#[test]
fn a_certificate_most_of_whose_life_is_over_is_renewed_without_a_gap() {
    for by_ca in [false, true] {
        let options: &[&str] = if by_ca { &["--ca"] } else { &[] };
        let secured = Secured::start_with(options, |server| server.with("server_ca", by_ca));
        let client = secured.client("alice");
        let old = give(&secured, &client, made(&secured, 9, 2, by_ca), by_ca);
        let mut process = client.start();
        let new = wait::until("a new certificate", || own(&client).filter(|new| *new != old));
        process.wait_said("this client's certificate was renewed");
        secured.server_process.wait_said("the certificate of client alice was renewed");
        assert!(!process.errors().iter().any(|line| line.contains("disconnected")), "the link went on");
        secured.check(&client);
        // Both are accepted, until the new one is shown.
        assert_eq!(listed(&secured)["cert_2_source_id"].as_object().unwrap().len(), 2);
        assert_eq!(at_server(&secured, "alice.next.pem").exists(), !by_ca);
        process.kill();
        let process = client.start();
        secured.check(&client);
        secured.server_process.wait_said("no other is accepted");
        let list = listed(&secured);
        assert_eq!(list["source_id_2_cert"]["alice"], new.serial());
        assert_eq!(list["cert_2_source_id"], json!({new.serial(): "alice"}));
        assert!(!at_server(&secured, "alice.next.pem").exists());
        if !by_ca {
            assert_eq!(load_certificates(&at_server(&secured, "alice.pem")).unwrap(), [new]);
            assert_eq!(fs::read_dir(at_server(&secured, "symlinks")).unwrap().count(), 2);
        }
        drop(process);
    }
}

#[test]
fn a_certificate_that_has_most_of_its_life_before_it_is_left_alone() {
    let secured = Secured::start();
    let client = secured.client("alice");
    let old = give(&secured, &client, made(&secured, 7, 3, false), false);
    let process = client.start();
    secured.check(&client);
    process.wait_error(&["expires on"]);
    assert_eq!(own(&client).unwrap(), old);
    assert!(!process.errors().iter().any(|line| line.contains("is asked to renew")));
    let warned = |line: &&String| line.contains("expires on") && line.contains(old.serial());
    assert_eq!(process.errors().iter().filter(warned).count(), 1);
    // The server says so as well, when the client comes.
    secured.server_process.wait_error(&["the certificate of client alice"]);
}

#[test]
fn both_certificates_go_when_a_client_is_deleted_amid_its_renewal() {
    let secured = Secured::start();
    let client = secured.client("alice");
    let old = give(&secured, &client, made(&secured, 9, 2, false), false);
    let _process = client.start();
    let new = wait::until("a new certificate", || own(&client).filter(|new| *new != old));
    let answer = secured.server.admin().ask("delete_client_certificate_on_server", json!({"client_id": "alice"}));
    assert!(answer.unwrap().contains("true"));
    secured.server_process.wait_error(&["no link in"]);
    let mut registry = Registry::open(&secured.server.dir, 10).unwrap().with_issuing(Issuing::SelfSigned).unwrap();
    for certificate in [old, new] {
        assert!(format!("{:?}", registry.identify(certificate.der())).contains("NotLinked"));
    }
    assert!(!at_server(&secured, "alice.next.pem").exists() && !at_server(&secured, "alice.pem").exists());
    assert!(registry.renew("alice", &Offer::default()).is_err());
}
