use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, SerialNumber};

use super::*;
use crate::certs::folder::DEFAULT;
use crate::certs::{create, files, mint};

const MAX_CERTS: usize = 3;

struct Server {
    dir: tempfile::TempDir,
    layout: Layout,
    registry: Registry,
}

impl Server {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path(), false).unwrap();
        let layout = Layout::new(dir.path());
        let registry = Registry::open(dir.path(), MAX_CERTS).unwrap();
        Self { dir, layout, registry }
    }

    fn reopen(&mut self) {
        self.registry = Registry::open(self.dir.path(), MAX_CERTS).unwrap();
    }

    fn issued(&mut self, name: &str) -> Certificate {
        self.registry.issue(name).unwrap();
        self.certificate(name)
    }

    fn certificate(&self, name: &str) -> Certificate {
        load_certificates(&self.layout.client_certificate(name)).unwrap().remove(0)
    }

    fn identify(&mut self, certificate: &Certificate) -> Identity {
        self.registry.identify(certificate.der())
    }

    fn refused(&mut self, certificate: &Certificate) -> Why {
        match self.identify(certificate) {
            Identity::Unknown(stranger) => {
                assert_eq!(stranger.serial, certificate.serial());
                assert_eq!(stranger.fingerprint, certificate.fingerprint());
                stranger.why
            }
            known => panic!("accepted: {known:?}"),
        }
    }

    fn link_of(&self, certificate: &Certificate) -> PathBuf {
        self.layout.links().join(format!("{}.0", certificate.subject_hash()))
    }

    fn everything(&self) -> Vec<String> {
        let list = |dir: &Path| -> Vec<String> {
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
        };
        let mut all = [list(&self.layout.clients()), list(&self.layout.links())].concat();
        all.sort();
        all
    }
}

fn named(name: &str, certificate: &Certificate) -> Identity {
    Identity::Named { name: name.to_owned(), serial: certificate.serial().to_owned() }
}

#[test]
fn the_shared_certificate_is_known_as_such() {
    let mut server = Server::new();
    let default = server.certificate(DEFAULT);
    let expected = Identity::Default { name: DEFAULT.to_owned(), serial: default.serial().to_owned() };
    assert_eq!(server.identify(&default), expected);
    // A copy under the hash serves as well as a link.
    let link = server.link_of(&default);
    fs::remove_file(&link).unwrap();
    fs::copy(server.layout.client_certificate(DEFAULT), &link).unwrap();
    assert_eq!(server.identify(&default), expected);
}

#[test]
fn an_issued_certificate_is_accepted_at_once_and_after_a_restart() {
    let mut server = Server::new();
    let issued = server.registry.issue("client1").unwrap();
    let certificate = server.certificate("client1");
    assert_eq!(issued.serial, certificate.serial());
    assert_eq!(issued.certificate_pem, fs::read_to_string(server.layout.client_certificate("client1")).unwrap());
    assert_eq!(server.identify(&certificate), named("client1", &certificate));
    server.reopen();
    assert_eq!(server.identify(&certificate), named("client1", &certificate));
    let key = fs::metadata(server.layout.client_key("client1")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_stranger_is_refused_with_facts() {
    let mut server = Server::new();
    let stranger = mint::self_signed("evil").unwrap().certificate;
    let Identity::Unknown(facts) = server.identify(&stranger) else { panic!("accepted") };
    let line = facts.to_string();
    assert!(line.contains(stranger.serial()) && line.contains("CN=evil") && line.contains("symlinks"), "{line}");
    let Identity::Unknown(facts) = server.registry.identify(b"garbage") else { panic!("accepted") };
    assert!(matches!(facts.why, Why::Malformed(_)));
}

#[test]
fn a_certificate_with_the_subject_of_an_accepted_one_is_a_stranger() {
    let mut server = Server::new();
    let certificate = server.issued("client1");
    let mut der = certificate.der().to_vec();
    // The last byte belongs to the signature, which pinning must cover too.
    *der.last_mut().unwrap() ^= 1;
    let forged = Certificate::parse(&der).unwrap();
    assert_eq!(forged.subject_hash(), certificate.subject_hash());
    assert!(matches!(server.refused(&forged), Why::NotLinked { .. }));
}

#[test]
fn without_its_link_a_certificate_is_refused_at_once_though_the_file_stays() {
    let mut server = Server::new();
    let certificate = server.issued("client1");
    assert_eq!(server.identify(&certificate), named("client1", &certificate));
    fs::remove_file(server.link_of(&certificate)).unwrap();
    assert!(matches!(server.refused(&certificate), Why::NotLinked { .. }));
}

#[test]
fn a_certificate_that_is_accepted_but_nobodys_is_refused_until_it_is_listed() {
    let mut server = Server::new();
    let minted = mint::self_signed("client7").unwrap();
    let certificate = minted.certificate;
    fs::write(server.layout.client_certificate("client7"), minted.certificate_pem).unwrap();
    assert!(matches!(server.refused(&certificate), Why::NotLinked { .. }));
    symlink("../client7.pem", server.link_of(&certificate)).unwrap();
    assert!(matches!(server.refused(&certificate), Why::NoName { .. }));
    let list = |name: &str| format!(r#"{{"cert_2_source_id":{{"{}":"{name}"}}}}"#, certificate.serial());
    fs::write(server.layout.names(), list("client7")).unwrap();
    assert_eq!(server.identify(&certificate), named("client7", &certificate));
    fs::write(server.layout.names(), list("../x")).unwrap();
    assert!(matches!(server.refused(&certificate), Why::BadName { .. }));
}

#[test]
fn a_file_that_is_overwritten_in_place_counts_at_once() {
    let mut server = Server::new();
    let old = server.issued("client1");
    assert_eq!(server.identify(&old), named("client1", &old));
    fs::write(server.layout.client_certificate("client1"), mint::self_signed("x").unwrap().certificate_pem).unwrap();
    assert!(matches!(server.refused(&old), Why::NotLinked { .. }));
}

#[test]
fn a_broken_file_does_not_disturb_the_others() {
    let mut server = Server::new();
    let good = server.issued("good");
    let broken = server.issued("broken");
    fs::write(server.layout.client_certificate("broken"), "-----BEGIN CERT").unwrap();
    server.reopen();
    assert_eq!(server.identify(&good), named("good", &good));
    assert!(matches!(server.refused(&broken), Why::NotLinked { .. }));
}

#[test]
fn a_name_gets_one_certificate_and_no_more_than_max_certs_get_one() {
    let mut server = Server::new();
    server.issued("client1");
    assert!(matches!(server.registry.issue("client1"), Err(Error::AlreadyIssued { .. })));
    // Banned by the Python tool: no link, no entry, but the file is there.
    fs::remove_file(server.layout.names()).unwrap();
    assert!(matches!(server.registry.issue("client1"), Err(Error::AlreadyIssued { .. })));
    // With a CA the certificate need not be stored: the entry alone counts.
    fs::write(server.layout.names(), r#"{"source_id_2_cert":{"client2":"01"}}"#).unwrap();
    assert!(matches!(server.registry.issue("client2"), Err(Error::AlreadyIssued { .. })));
    server.issued("client3");
    server.issued("client4");
    assert!(matches!(server.registry.issue("client5"), Err(Error::TooMany { max: MAX_CERTS, .. })));
    assert!(matches!(server.registry.issue("default2"), Err(Error::Name { .. })));
    assert!(matches!(server.registry.issue("../../x"), Err(Error::Name { .. })));
}

/// Brings the folder to where a crash before the last step of `issue` leaves it.
fn crash_while_issuing(server: &mut Server, name: &str) -> Certificate {
    let certificate = server.issued(name);
    let path = server.layout.client_certificate(name);
    fs::rename(&path, files::draft_of(&path)).unwrap();
    certificate
}

#[test]
fn a_crash_while_issuing_is_undone_at_the_next_start() {
    let mut server = Server::new();
    let before = server.everything();
    let certificate = crash_while_issuing(&mut server, "client1");
    assert!(matches!(server.refused(&certificate), Why::NotLinked { .. }));
    server.reopen();
    let mut after = server.everything();
    after.retain(|name| name != "source_id_2_cert.json");
    assert_eq!(after, before);
    assert_eq!(server.registry.names.count(), 0);
    let again = server.issued("client1");
    assert_eq!(server.identify(&again), named("client1", &again));
}

#[test]
fn a_crash_while_issuing_is_undone_by_the_next_attempt() {
    let mut server = Server::new();
    let first = crash_while_issuing(&mut server, "client1");
    let second = server.issued("client1");
    assert_eq!(server.identify(&second), named("client1", &second));
    assert!(matches!(server.refused(&first), Why::NotLinked { .. }));
    assert_eq!(server.registry.names.count(), 1);
    assert!(!files::exists(&server.link_of(&first)));
}

#[test]
fn a_failure_while_issuing_leaves_all_as_it_was() {
    let mut server = Server::new();
    let before = server.everything();
    // The list's draft cannot be written.
    let obstacle = files::draft_of(&server.layout.names());
    fs::create_dir(&obstacle).unwrap();
    assert!(matches!(server.registry.issue("client1"), Err(Error::Io { .. })));
    fs::remove_dir(&obstacle).unwrap();
    assert_eq!(server.everything(), before);
    server.issued("client1");
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Registry::open(dir.path(), MAX_CERTS), Err(Error::Missing { .. })));
}

#[test]
fn a_deleted_certificate_is_refused_at_once_and_its_name_is_free_again() {
    let mut server = Server::new();
    let before = server.everything();
    let first = server.issued("client1");
    let other = server.issued("client2");
    assert_eq!(server.registry.delete("client1", false).unwrap(), [first.serial()]);
    assert!(matches!(server.refused(&first), Why::NotLinked { .. }));
    assert_eq!(server.identify(&other), named("client2", &other));
    let second = server.issued("client1");
    assert_eq!(server.identify(&second), named("client1", &second));
    assert!(matches!(server.refused(&first), Why::NotLinked { .. }));
    server.registry.delete("client1", false).unwrap();
    server.registry.delete("client2", false).unwrap();
    let mut after = server.everything();
    after.retain(|name| name != "source_id_2_cert.json");
    assert_eq!(after, before);
    assert!(matches!(server.registry.delete("client1", false), Err(Error::NotIssued { .. })));
    assert!(matches!(server.registry.delete("default", false), Err(Error::Name { .. })));
}

#[test]
fn a_certificate_whose_files_stay_is_refused_and_its_name_is_not_free() {
    let mut server = Server::new();
    let certificate = server.issued("client1");
    server.registry.delete("client1", true).unwrap();
    assert!(matches!(server.refused(&certificate), Why::NotLinked { .. }));
    assert!(matches!(server.registry.issue("client1"), Err(Error::AlreadyIssued { .. })));
    assert_eq!(server.registry.names.count(), 0);
    server.registry.delete("client1", false).unwrap();
    server.issued("client1");
}

fn offer(pem: &str) -> Offer {
    Offer { certificate_pem: Some(pem.to_owned()), request_pem: None }
}

/// A certificate that signs itself, made as `change` says.
fn made(change: impl FnOnce(&mut CertificateParams)) -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::ExplicitNoCa;
    params.not_before = (std::time::SystemTime::now() - std::time::Duration::from_secs(3600)).into();
    params.not_after = (std::time::SystemTime::now() + std::time::Duration::from_secs(3600)).into();
    change(&mut params);
    params.self_signed(&key).unwrap().pem()
}

fn at(seconds_from_now: i64) -> rcgen::CertificateParams {
    let mut params = CertificateParams::default();
    let now = std::time::SystemTime::now();
    let by = std::time::Duration::from_secs(seconds_from_now.unsigned_abs());
    params.not_after = if seconds_from_now < 0 { now - by } else { now + by }.into();
    params
}

#[test]
fn a_certificate_that_a_client_has_made_is_accepted_as_it_is_and_no_key_is_kept() {
    let mut server = Server::new();
    let pem = made(|_| {});
    let issued = server.registry.enrol("client1", &offer(&format!("a word\n{pem}another\n"))).unwrap();
    assert_eq!((issued.key_pem, issued.certificate_pem.replace('\r', "")), (None, pem.replace('\r', "")));
    let certificate = server.certificate("client1");
    assert_eq!(server.identify(&certificate), named("client1", &certificate));
    assert!(!files::exists(&server.layout.client_key("client1")));
    // The same once more is a question whose answer was lost; another one is another's.
    assert_eq!(server.registry.enrol("client1", &offer(&pem)).unwrap().serial, certificate.serial());
    assert!(matches!(server.registry.enrol("client1", &offer(&made(|_| {}))), Err(Error::AlreadyIssued { .. })));
    assert!(matches!(server.registry.enrol("client2", &offer(&pem)), Err(Error::Offer { .. })));
}

#[test]
fn what_is_pinned_is_what_was_checked_though_other_readers_find_another_in_the_text() {
    let mut server = Server::new();
    let (hidden, plain) = (made(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), made(|_| {}));
    let issued = server.registry.enrol("client1", &offer(&format!("a word {hidden}{plain}"))).unwrap();
    assert_eq!(issued.certificate_pem.replace('\r', ""), plain.replace('\r', ""));
    let stored = fs::read_to_string(server.layout.client_certificate("client1")).unwrap();
    assert!(!stored.contains(hidden.lines().nth(5).unwrap()), "{stored}");
}

#[test]
fn what_could_pass_for_another_s_or_sign_others_is_not_accepted() {
    let mut server = Server::new();
    server.issued("client1");
    let (its, shared) = (server.certificate("client1"), server.certificate(DEFAULT));
    let serial = |of: &Certificate| {
        let bytes: Vec<u8> = (0..of.serial().len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&of.serial()[i..i + 2], 16).unwrap())
            .collect();
        Some(SerialNumber::from_slice(&bytes))
    };
    let subject = rcgen::CertificateParams::default().distinguished_name;
    server.registry.enrol("taken", &offer(&made(|p| p.distinguished_name = subject.clone()))).unwrap();
    let cases = [
        ("may sign", made(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
        ("may sign", made(|p| p.is_ca = IsCa::NoCa)),
        ("serial number", made(|p| p.serial_number = serial(&its))),
        ("serial number", made(|p| p.serial_number = serial(&shared))),
        ("subject", made(|_| {})),
        ("not valid", made(|p| p.not_after = at(-60).not_after)),
        ("not valid", made(|p| p.not_before = at(600).not_after)),
        ("too long", made(|p| p.not_after = at(4000 * 86_400).not_after)),
        ("not one", made(|_| {}) + &made(|_| {})),
        ("PEM", "hello".to_owned()),
        ("not signed", mint::authority("x").unwrap().1.sign("y").unwrap().certificate_pem),
    ];
    for (why, pem) in cases {
        let error = server.registry.enrol("client2", &offer(&pem)).expect_err(why).to_string();
        assert!(error.contains(why) && error.contains("client2"), "{error} should say {why}");
    }
    assert_eq!(server.registry.names.count(), 2);
}

#[test]
fn a_ca_signs_for_the_key_of_a_request_and_grants_nothing_else_of_it() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), true).unwrap();
    let issuing = Issuing::Signed { copies: false };
    let mut registry = Registry::open(dir.path(), MAX_CERTS).unwrap().with_issuing(issuing).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    let ask = |pem: &str| Offer { certificate_pem: Some(made(|_| {})), request_pem: Some(pem.to_owned()) };
    let issued = registry.enrol("client1", &ask(&request)).unwrap();
    assert!(issued.key_pem.is_none());
    let path = dir.path().join("issued.pem");
    fs::write(&path, &issued.certificate_pem).unwrap();
    let certificate = load_certificates(&path).unwrap().remove(0);
    assert!(certificate.is_plain() && certificate.subject().contains("client1"), "{certificate:?}");
    assert_eq!(registry.identify(certificate.der()), named("client1", &certificate));
    assert!(matches!(registry.enrol("client2", &ask("nonsense")), Err(Error::Offer { .. })));
    // A client of the Python package asks without a request, and gets a key as well.
    assert!(registry.enrol("client3", &Offer::default()).unwrap().key_pem.is_some());
    registry.delete("client1", false).unwrap();
    assert!(matches!(
        registry.identify(certificate.der()),
        Identity::Unknown(Stranger { why: Why::NoName { .. }, .. })
    ));
    // Without the setting only what is linked is accepted.
    let mut plain = Registry::open(dir.path(), MAX_CERTS).unwrap();
    assert!(matches!(
        plain.identify(certificate.der()),
        Identity::Unknown(Stranger { why: Why::NotLinked { .. }, .. })
    ));
}

#[test]
fn a_renewed_certificate_is_accepted_beside_the_old_one_until_it_is_seen() {
    let mut server = Server::new();
    let old = server.issued("client1");
    let before = server.everything();
    let renew = |server: &mut Server| {
        let issued = server.registry.renew(
            "client1",
            &offer(&made(|p| {
                p.distinguished_name.push(rcgen::DnType::OrganizationName, "x");
            })),
        );
        issued.map(|_| server.certificate("client1.next"))
    };
    let lost = renew(&mut server).unwrap();
    // One whose answer was lost is given up for the next.
    fs::remove_file(server.layout.client_certificate("client1.next")).unwrap();
    let new = renew(&mut server).unwrap();
    assert!(matches!(server.refused(&lost), Why::NotLinked { .. }));
    for certificate in [&old, &new, &old] {
        assert_eq!(server.identify(certificate), named("client1", certificate));
        assert!(!server.registry.seen("client1", &old).unwrap());
    }
    assert!(!server.registry.seen("client2", &new).unwrap(), "it is another's");
    assert!(server.registry.seen("client1", &new).unwrap());
    assert!(!server.registry.seen("client1", &new).unwrap());
    assert!(matches!(server.refused(&old), Why::NotLinked { .. }));
    server.reopen();
    assert_eq!(server.identify(&new), named("client1", &new));
    assert_eq!(server.everything().len() + 1, before.len(), "only the old key is gone");
    assert!(matches!(server.registry.renew("client2", &Offer::default()), Err(Error::NotIssued { .. })));
    assert!(matches!(server.registry.renew("client1", &Offer::default()), Err(Error::Offer { .. })));
}

#[test]
fn a_crash_while_a_renewed_certificate_takes_over_is_mended_when_it_is_shown_again() {
    let mut server = Server::new();
    let old = server.issued("client1");
    let pem = made(|p| p.distinguished_name.push(rcgen::DnType::OrganizationName, "x"));
    server.registry.renew("client1", &offer(&pem)).unwrap();
    let new = server.certificate("client1.next");
    // As far as the new name, and no further.
    server.registry.links.add(new.subject_hash(), Path::new("../client1.pem")).unwrap();
    let next = server.layout.client_certificate("client1.next");
    fs::rename(next, server.layout.client_certificate("client1")).unwrap();
    server.reopen();
    assert_eq!(server.identify(&new), named("client1", &new));
    assert!(server.registry.seen("client1", &new).unwrap());
    assert_eq!(server.identify(&new), named("client1", &new));
    assert!(matches!(server.refused(&old), Why::NotLinked { .. }));
    assert_eq!(fs::read_dir(server.layout.links()).unwrap().count(), 2);
}

#[test]
fn who_asks_again_for_the_key_that_the_ca_has_signed_gets_its_answer_again() {
    for copies in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path(), true).unwrap();
        let open = || {
            let registry = Registry::open(dir.path(), MAX_CERTS).unwrap();
            registry.with_issuing(Issuing::Signed { copies }).unwrap()
        };
        let asks = |key: &KeyPair| Offer {
            certificate_pem: None,
            request_pem: Some(mint::request("client1", &key.serialize_pem()).unwrap()),
        };
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut registry = open();
        let issued = registry.enrol("client1", &asks(&key)).unwrap();
        let again = registry.enrol("client1", &asks(&key)).unwrap();
        assert_eq!((again.serial, &again.certificate_pem), (issued.serial.clone(), &issued.certificate_pem));
        let refused = registry.enrol("client1", &asks(&other)).unwrap_err();
        assert!(refused.to_string().contains("delete-certificate"), "{refused}");
        assert!(matches!(registry.enrol("client1", &Offer::default()), Err(Error::AlreadyIssued { .. })));
        // After a restart it is the copy that tells, if there is one.
        let again = open().enrol("client1", &asks(&key)).map(|issued| issued.serial).ok();
        assert_eq!(again, copies.then(|| issued.serial.clone()));
        // What was shown need not be told again, and what was deleted is not.
        let path = dir.path().join("shown.pem");
        fs::write(&path, &issued.certificate_pem).unwrap();
        registry.seen("client1", &load_certificates(&path).unwrap()[0]).unwrap();
        assert_eq!(registry.enrol("client1", &asks(&key)).is_ok(), copies);
        registry.delete("client1", false).unwrap();
        assert_ne!(registry.enrol("client1", &asks(&key)).unwrap().serial, issued.serial);
    }
}
