use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, SystemTime};

use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, CertificateError, CipherSuite, ClientConnection, Connection, Error, ServerConnection};

use super::*;
use crate::certs::testing::{now, register, v1_rsa};
use crate::certs::x509::OutOfTime;
use crate::certs::{ClientFolder, Identity, Layout, Registry, Why, create, mint};

const DAY: Duration = Duration::from_secs(86_400);

/// A server and the folder of its clients.
struct World {
    dir: tempfile::TempDir,
    layout: Layout,
    registry: SharedRegistry,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path(), false).unwrap();
        let registry = SharedRegistry::new(Registry::open(dir.path(), 10).unwrap());
        Self { layout: Layout::new(dir.path()), dir, registry }
    }

    fn server_pair(&self) -> Pair {
        Pair::load(&self.layout.server_certificate(), &self.layout.server_key(), now()).unwrap()
    }

    fn default_pair(&self) -> Pair {
        ClientFolder::new(self.dir.path()).shared(now()).unwrap()
    }

    fn registered(&self) -> Clients {
        Clients::Registered(self.registry.clone())
    }

    /// Issues a certificate as the server does, and takes it as the client does.
    fn enrol(&self, name: &str) -> Pair {
        let issued = self.registry.issue(name).unwrap();
        let folder = ClientFolder::new(self.dir.path());
        folder.store(name, &issued.certificate_pem, issued.key_pem.as_deref(), now()).unwrap();
        folder.own(name, now()).unwrap()
    }

    fn server(&self) -> ServerTls {
        server_config(&self.server_pair(), self.registered(), Vec::new()).unwrap()
    }

    fn pins(&self) -> Servers {
        pinned(&self.server_pair())
    }

    fn client(&self, pair: &Pair) -> ClientTls {
        client_config(Some(pair), self.pins(), "localhost", Vec::new()).unwrap()
    }

    fn identify(&self, shaken: &Shaken) -> Identity {
        self.registry.identify(peer_certificate(shaken.server.as_ref().unwrap()).unwrap())
    }
}

fn pinned(server: &Pair) -> Servers {
    Servers::Pinned(vec![server.certificate().clone()])
}

/// Both ends after a handshake, or what each says of its end.
struct Shaken {
    server: Result<ServerConnection, Error>,
    client: Result<ClientConnection, Error>,
}

/// Carries bytes to and fro until both are done or one has failed and the other has heard of it.
fn shake(server: &ServerTls, client: &ClientTls) -> Shaken {
    let mut server: Connection = ServerConnection::new(server.config.clone()).unwrap().into();
    let mut client: Connection =
        ClientConnection::new(client.config.clone(), client.server_name.clone()).unwrap().into();
    let (mut server_result, mut client_result) = (Ok(()), Ok(()));
    for _ in 0..20 {
        carry(&mut client, &mut server, &mut server_result);
        carry(&mut server, &mut client, &mut client_result);
    }
    let unfinished = Error::General("unfinished".to_owned());
    let (Connection::Server(server), Connection::Client(client)) = (server, client) else { unreachable!() };
    let server_result = server_result.and(if server.is_handshaking() { Err(unfinished.clone()) } else { Ok(server) });
    let client_result = client_result.and(if client.is_handshaking() { Err(unfinished) } else { Ok(client) });
    Shaken { server: server_result, client: client_result }
}

fn carry(from: &mut Connection, to: &mut Connection, result: &mut Result<(), Error>) {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).unwrap();
    }
    let mut wire = &wire[..];
    while !wire.is_empty() && result.is_ok() {
        to.read_tls(&mut wire).unwrap();
        *result = to.process_new_packets().map(|_| ());
    }
}

fn assert_joined(shaken: &Shaken) {
    assert!(shaken.server.is_ok(), "server: {:?}", shaken.server.as_ref().err());
    assert!(shaken.client.is_ok(), "client: {:?}", shaken.client.as_ref().err());
}

#[test]
fn a_client_is_known_by_its_certificate_shared_or_its_own() {
    let world = World::new();
    let shaken = shake(&world.server(), &world.client(&world.default_pair()));
    assert_joined(&shaken);
    assert!(matches!(world.identify(&shaken), Identity::Default { name, .. } if name == "default"));
    // Issued while the server runs.
    let own = world.enrol("client1");
    let shaken = shake(&world.server(), &world.client(&own));
    assert!(matches!(world.identify(&shaken), Identity::Named { name, .. } if name == "client1"));
}

#[test]
fn every_kind_of_certificate_works_in_both_roles_and_both_versions() {
    let world = World::new();
    let Some((pem, key)) = v1_rsa(world.dir.path(), "old", false) else { return };
    let ec = world.enrol("new");
    let old = Pair::load(&pem, &key, now()).unwrap();
    register(&world.layout, "old", &fs::read_to_string(&pem).unwrap());
    // `register` wrote the list anew; both must be in it.
    let list = format!(
        r#"{{"cert_2_source_id":{{"{}":"old","{}":"new"}}}}"#,
        old.certificate().serial(),
        ec.certificate().serial()
    );
    fs::write(world.layout.names(), list).unwrap();
    for version in [&TLS12, &TLS13] {
        for server_pair in [&old, &ec] {
            for (client_pair, client_name) in [(&old, "old"), (&ec, "new")] {
                let server =
                    server_config_for((&[version], provider()), server_pair, world.registered(), Vec::new()).unwrap();
                let client = client_config_for(
                    (&[version], provider()),
                    Some(client_pair),
                    pinned(server_pair),
                    "10.0.0.1",
                    Vec::new(),
                );
                let shaken = shake(&server, &client.unwrap());
                assert_joined(&shaken);
                assert_eq!(shaken.server.as_ref().unwrap().protocol_version(), Some(version.version));
                assert!(matches!(world.identify(&shaken), Identity::Named { name, .. } if name == client_name));
            }
        }
    }
}

#[test]
fn an_unknown_client_gets_an_alert_and_the_server_keeps_the_facts() {
    let world = World::new();
    let other = World::new().default_pair();
    for version in [&TLS12, &TLS13] {
        let server =
            server_config_for((&[version], provider()), &world.server_pair(), world.registered(), Vec::new()).unwrap();
        let client = world.client(&other);
        let shaken = shake(&server, &client);
        let error = shaken.server.unwrap_err();
        assert_eq!(error, Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert_eq!(shaken.client.unwrap_err(), Error::AlertReceived(AlertDescription::UnknownCA));
        let line = explain(&error, &server.refusals);
        assert!(line.contains(other.certificate().serial()) && line.contains("symlinks"), "{line}");
        assert_eq!(server.refusals.take(), None);
    }
}

#[test]
fn a_client_without_certificate_is_refused() {
    let world = World::new();
    let server = world.server();
    let client = client_config(None, world.pins(), "localhost", Vec::new()).unwrap();
    let error = shake(&server, &client).server.unwrap_err();
    assert_eq!(explain(&error, &server.refusals), "TLS: the peer showed no certificate");
}

#[test]
fn another_server_is_refused_by_the_client() {
    let world = World::new();
    let client = client_config(Some(&world.default_pair()), World::new().pins(), "localhost", Vec::new()).unwrap();
    let shaken = shake(&world.server(), &client);
    let error = shaken.client.unwrap_err();
    assert_eq!(error, Error::InvalidCertificate(CertificateError::UnknownIssuer));
    assert_eq!(shaken.server.unwrap_err(), Error::AlertReceived(AlertDescription::UnknownCA));
    let refused = client.refusals.take().unwrap();
    assert_eq!(refused.serial, world.server_pair().certificate().serial());
    assert_eq!(refused.reason, Reason::NotPinned(1));
}

/// A pair whose time begins or ended elsewhere; loaded with a clock that finds it valid.
fn pair_made_at(world: &World, name: &str, made: SystemTime) -> Pair {
    let minted = mint::self_signed_at(name, made).unwrap();
    register(&world.layout, name, &minted.certificate_pem);
    fs::write(world.layout.client_key(name), &minted.key_pem).unwrap();
    let valid = minted.certificate.not_before();
    Pair::load(&world.layout.client_certificate(name), &world.layout.client_key(name), valid).unwrap()
}

#[test]
fn a_known_client_out_of_its_time_is_refused_with_the_right_alert() {
    let world = World::new();
    let old = pair_made_at(&world, "old", SystemTime::now() - 4000 * DAY);
    let server = world.server();
    let shaken = shake(&server, &world.client(&old));
    assert_eq!(shaken.client.unwrap_err(), Error::AlertReceived(AlertDescription::CertificateExpired));
    let side = OutOfTime::Expired { not_after: old.certificate().not_after() };
    let refused = server.refusals.take().unwrap();
    assert!(matches!(refused.reason, Reason::OutOfTime { side: s, .. } if s == side), "{refused}");

    let early = pair_made_at(&world, "early", SystemTime::now() + 4000 * DAY);
    let error = shake(&server, &world.client(&early)).server.unwrap_err();
    assert!(matches!(error, Error::InvalidCertificate(CertificateError::NotValidYetContext { .. })));
    assert!(explain(&error, &server.refusals).contains("valid only from"));
}

#[test]
fn a_pinned_server_out_of_its_time_is_refused() {
    let world = World::new();
    let old = pair_made_at(&world, "old", SystemTime::now() - 4000 * DAY);
    let server = server_config(&old, world.registered(), Vec::new()).unwrap();
    let client = client_config(Some(&world.default_pair()), pinned(&old), "localhost", Vec::new()).unwrap();
    let shaken = shake(&server, &client);
    assert!(matches!(shaken.client.unwrap_err(), Error::InvalidCertificate(CertificateError::ExpiredContext { .. })));
    assert!(client.refusals.take().unwrap().to_string().contains("expired on"));
}

/// A pair whose certificate is one's and whose key another's: what an impostor has who only copied a certificate.
fn impostor(certificate: &Pair, key: &Pair) -> Shown {
    let (certificate, key) = (certificate.certified_key(), key.certified_key());
    Shown(Arc::new(CertifiedKey::new(certificate.cert.clone(), key.key.clone())))
}

#[test]
fn a_copied_certificate_without_its_key_does_not_help_a_client() {
    let world = World::new();
    let (victim, attacker) = (world.enrol("victim"), world.enrol("attacker"));
    for version in [&TLS12, &TLS13] {
        let server =
            server_config_for((&[version], provider()), &world.server_pair(), world.registered(), Vec::new()).unwrap();
        let mut client = world.client(&victim);
        let mut config = (*client.config).clone();
        config.client_auth_cert_resolver = Arc::new(impostor(&victim, &attacker));
        client.config = Arc::new(config);
        let error = shake(&server, &client).server.unwrap_err();
        assert_eq!(error, Error::InvalidCertificate(CertificateError::BadSignature));
        let line = explain(&error, &server.refusals);
        assert!(line.contains(victim.certificate().serial()) && line.contains("holds the key"), "{line}");
    }
}

#[test]
fn a_copied_certificate_without_its_key_does_not_help_a_server() {
    let world = World::new();
    let other = world.enrol("other");
    for version in [&TLS12, &TLS13] {
        let mut server =
            server_config_for((&[version], provider()), &world.server_pair(), world.registered(), Vec::new()).unwrap();
        let mut config = (*server.config).clone();
        config.cert_resolver = Arc::new(impostor(&world.server_pair(), &other));
        server.config = Arc::new(config);
        for servers in [world.pins(), Servers::Anyone] {
            let client = client_config(Some(&world.default_pair()), servers, "localhost", Vec::new()).unwrap();
            let error = shake(&server, &client).client.unwrap_err();
            assert_eq!(error, Error::InvalidCertificate(CertificateError::BadSignature));
        }
    }
}

#[test]
fn what_changes_in_the_folder_counts_for_the_next_handshake_of_a_running_server() {
    let world = World::new();
    let server = world.server();
    let minted = mint::self_signed("client1").unwrap();
    let folder = ClientFolder::new(world.dir.path());
    folder.store("client1", &minted.certificate_pem, Some(&minted.key_pem), now()).unwrap();
    let client = world.client(&folder.own("client1", now()).unwrap());
    assert!(shake(&server, &client).server.is_err());
    register(&world.layout, "client1", &minted.certificate_pem);
    assert_joined(&shake(&server, &client));
    let link = world.layout.links().join(format!("{}.0", minted.certificate.subject_hash()));
    fs::remove_file(link).unwrap();
    assert!(shake(&server, &client).server.is_err());
    assert!(matches!(server.refusals.take().unwrap().reason, Reason::Stranger(Why::NotLinked { .. })));
}

#[test]
fn no_handshake_is_cut_short_by_an_earlier_one() {
    let world = World::new();
    let (server, client) = (world.server(), world.client(&world.default_pair()));
    for _ in 0..2 {
        let shaken = shake(&server, &client);
        assert_joined(&shaken);
        assert_eq!(shaken.server.unwrap().handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

#[test]
fn with_allow_all_nobody_is_asked_who_he_is() {
    let world = World::new();
    let Some((pem, key)) = v1_rsa(world.dir.path(), "old", true) else { return };
    let old = Pair::load(&pem, &key, now()).unwrap();
    for version in [&TLS12, &TLS13] {
        for own in [&old, &world.server_pair()] {
            let server = server_config_for((&[version], provider()), own, Clients::Anyone, Vec::new()).unwrap();
            let client = client_config(None, Servers::Anyone, "host", Vec::new()).unwrap();
            let shaken = shake(&server, &client);
            assert_joined(&shaken);
            assert_eq!(peer_certificate(&shaken.server.unwrap()), None);
            assert_eq!(peer_certificate(&shaken.client.unwrap()), Some(own.certificate().der()));
        }
    }
}

#[test]
fn the_protocol_is_agreed_on_and_a_peer_that_offers_none_is_served() {
    let world = World::new();
    let link2 = || vec![b"aioconnectors/2".to_vec()];
    let server = server_config(&world.server_pair(), world.registered(), link2()).unwrap();
    let client = client_config(Some(&world.default_pair()), world.pins(), "localhost", link2()).unwrap();
    let shaken = shake(&server, &client);
    assert_eq!(shaken.server.unwrap().alpn_protocol(), Some(&b"aioconnectors/2"[..]));
    let shaken = shake(&server, &world.client(&world.default_pair()));
    assert_joined(&shaken);
    assert_eq!(shaken.server.unwrap().alpn_protocol(), None);
}

#[test]
fn a_name_is_sent_to_the_server_and_an_address_is_not() {
    let world = World::new();
    let sent = |host: &str| {
        let client = client_config(Some(&world.default_pair()), world.pins(), host, Vec::new()).unwrap();
        let shaken = shake(&world.server(), &client);
        assert_joined(&shaken);
        shaken.server.unwrap().server_name().map(str::to_owned)
    };
    assert_eq!(sent("broker.example"), Some("broker.example".to_owned()));
    assert_eq!(sent("127.0.0.1"), None);
    assert_eq!(sent("::1"), None);
    assert_eq!(sent("fe80::1%eth0"), None);
}

/// A CA, and a pair that it signed for `host`; the CA is written to a file.
fn authority(world: &World, host: &str) -> (PathBuf, Pair) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
    let pem = params.signed_by(&key, &rcgen::Issuer::new(ca, ca_key)).unwrap().pem();
    let path = |name: &str| world.dir.path().join(name);
    fs::write(path("ca.pem"), ca_pem).unwrap();
    fs::write(path("host.pem"), pem).unwrap();
    fs::write(path("host.key"), key.serialize_pem()).unwrap();
    (path("ca.pem"), Pair::load(&path("host.pem"), &path("host.key"), now()).unwrap())
}

#[test]
fn with_a_file_of_cas_the_host_name_counts() {
    let world = World::new();
    let (ca, pair) = authority(&world, "broker.example");
    let server = server_config(&pair, world.registered(), Vec::new()).unwrap();
    let client = |host: &str, file: &Path| {
        client_config(Some(&world.default_pair()), Servers::SignedBy(file.to_owned()), host, Vec::new()).unwrap()
    };
    assert_joined(&shake(&server, &client("broker.example", &ca)));
    let wrong = client("other.example", &ca);
    let error = shake(&server, &wrong).client.unwrap_err();
    assert!(matches!(error, Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. })));
    assert!(wrong.refusals.take().unwrap().to_string().contains("broker.example"));
    // The certificate itself in the file is as good, for its name.
    let itself = world.dir.path().join("host.pem");
    assert_joined(&shake(&server, &client("broker.example", &itself)));
    assert!(shake(&server, &client("other.example", &itself)).client.is_err());
    // A server that is pinned elsewhere has no name and no CA.
    assert!(shake(&world.server(), &client("broker.example", &ca)).client.is_err());
}

#[test]
fn a_file_of_cas_that_is_of_no_use_is_an_error_before_connecting() {
    let world = World::new();
    let (ca, _) = authority(&world, "broker.example");
    let client = |host: &str, file: &Path| client_config(None, Servers::SignedBy(file.to_owned()), host, Vec::new());
    assert!(matches!(client("bad name", &ca), Err(TlsError::HostName { .. })));
    assert!(matches!(client("host", Path::new("/none.pem")), Err(TlsError::CaFile(certs::Error::Missing { .. }))));
    let key = world.layout.server_key();
    assert!(matches!(client("host", &key), Err(TlsError::CaFile(certs::Error::NotPem { .. }))));
}

/// One that has this suite alone, with its cipher by the one library or the other.
fn provider_of(suite: CipherSuite, exchanged: bool) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|known| known.suite() == suite);
    if exchanged {
        aes_gcm::exchange(&mut provider);
    }
    provider
}

#[test]
fn ciphers_of_both_libraries_understand_each_other_and_find_a_changed_byte() {
    let world = World::new();
    let own = world.default_pair();
    for suite in [CipherSuite::TLS13_AES_256_GCM_SHA384, CipherSuite::TLS13_AES_128_GCM_SHA256] {
        for (at_server, at_client) in [(true, false), (false, true), (true, true)] {
            let spoken = (&[&TLS13][..], provider_of(suite, at_server));
            let server = server_config_for(spoken, &world.server_pair(), world.registered(), Vec::new()).unwrap();
            let spoken = (&[&TLS13][..], provider_of(suite, at_client));
            let client = client_config_for(spoken, Some(&own), world.pins(), "localhost", Vec::new()).unwrap();
            let shaken = shake(&server, &client);
            assert_joined(&shaken);
            let (mut server, mut client) = (shaken.server.unwrap().into(), shaken.client.unwrap().into());
            for length in [0, 1, 15, 16, 17, 255, 16_384, 60_000] {
                assert_brings(&mut client, &mut server, length);
                assert_brings(&mut server, &mut client, length);
            }
            let mut wire = sealed(&mut client, b"one more");
            let last = wire.len() - 1;
            wire[last] ^= 1;
            server.read_tls(&mut &wire[..]).unwrap();
            assert_eq!(server.process_new_packets().unwrap_err(), Error::DecryptError);
        }
    }
}

fn sealed(from: &mut Connection, plaintext: &[u8]) -> Vec<u8> {
    from.writer().write_all(plaintext).unwrap();
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).unwrap();
    }
    wire
}

/// So many bytes come as they are sent.
fn assert_brings(from: &mut Connection, to: &mut Connection, length: usize) {
    let plaintext: Vec<u8> = (0..length).map(|at| at as u8).collect();
    let wire = sealed(from, &plaintext);
    let (mut wire, mut came) = (&wire[..], Vec::new());
    while !wire.is_empty() {
        to.read_tls(&mut wire).unwrap();
        let waits = to.process_new_packets().unwrap().plaintext_bytes_to_read();
        let start = came.len();
        came.resize(start + waits, 0);
        to.reader().read_exact(&mut came[start..]).unwrap();
    }
    assert_eq!(came, plaintext);
}
