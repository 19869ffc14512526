//! What says who is who: certificates and requests for them, the files of a server's folder, of tokens and of places,
//! and the handshake that shows a certificate.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aioconnectors::certs::{
    Certificate, ClientFolder, Identity, Issuing, Layout, Pair, Registry, SharedRegistry, create,
};
use aioconnectors::core::{Output, Secured};
use aioconnectors::net::session::{Handler, KEPT_MAX, Session};
use aioconnectors::net::tls::{self, Clients, ServerTls};
use aioconnectors::ring::Memory;
use aioconnectors::tokens::{ClientFile, INVITATIONS_FILE, InvitationsFile, SERVER_FILE, ServerFile};
use aioconnectors::wire::control::Offer;
use aioconnectors::wire::link::{ALPN, LinkHello, PlaceSaid};
use aioconnectors::wire::names::Role;
use aioconnectors::wire::token::Token;
use rustls::CommonState;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::rig::{Rig, any_to, settings};

/// What the first byte of an input says of the rest: a certificate that is offered, in PEM, or what is to be put into
/// it; a request for one; what a client is sent: a certificate, a zero, a key; what is shown in a handshake.
pub const OFFERED_PEM: u8 = 0;
pub const OFFERED: u8 = 1;
pub const REQUEST: u8 = 2;
pub const SENT: u8 = 3;
pub const SHOWN: u8 = 4;
const KINDS: u8 = 5;

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// Two servers' folders, one with a CA, that know the client `c1`, and a client's.
pub struct Papers {
    dir: tempfile::TempDir,
    plain: SharedRegistry,
    signed: SharedRegistry,
    client: ClientFolder,
    tls: ServerTls,
    /// What `c1` shows to the server without CA, and to the one with it.
    own: Offer,
    by_ca: CertificateDer<'static>,
    /// A key with its certificate as a server makes them.
    pub key_pem: String,
    pub certificate_pem: String,
}

fn der_of(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

impl Papers {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for (name, ca) in [("plain", false), ("signed", true), ("client", false)] {
            fs::create_dir(path(name)).unwrap();
            create(&path(name), ca).unwrap();
        }
        let plain = SharedRegistry::new(Registry::open(&path("plain"), 10).unwrap());
        let signed = Registry::open(&path("signed"), 10).unwrap();
        let signed = SharedRegistry::new(signed.with_issuing(Issuing::Signed { copies: false }).unwrap());
        let client = ClientFolder::new(&path("client"));
        let own = client.offer("c1", now()).unwrap();
        plain.enrol("c1", &own).unwrap();
        let by_ca = der_of(&signed.enrol("c1", &own).unwrap().certificate_pem);
        let made = plain.issue("made").unwrap();
        plain.delete("made", false).unwrap();
        let layout = Layout::new(&path("plain"));
        let pair = Pair::load(&layout.server_certificate(), &layout.server_key(), now()).unwrap();
        let tls = tls::server_config(&pair, Clients::Registered(plain.clone()), vec![ALPN.to_vec()]).unwrap();
        let (key_pem, certificate_pem) = (made.key_pem.unwrap(), made.certificate_pem);
        Self { dir, plain, signed, client, tls, own, by_ca, key_pem, certificate_pem }
    }

    /// They are made once for each thread.
    pub fn with<T>(use_them: impl FnOnce(&Papers) -> T) -> T {
        thread_local! {
            static PAPERS: RefCell<Option<Papers>> = const { RefCell::new(None) };
        }
        PAPERS.with(|papers| use_them(papers.borrow_mut().get_or_insert_with(Papers::new)))
    }

    /// What a client offers that has a key of its own.
    pub fn offer(&self) -> Offer {
        self.client.offer("c5", now()).unwrap()
    }

    /// Those who are known still are.
    fn check(&self) {
        let own = der_of(self.own.certificate_pem.as_ref().unwrap());
        for (registry, der) in [(&self.plain, &own), (&self.signed, &self.by_ca)] {
            let identity = registry.identify(der);
            assert!(matches!(&identity, Identity::Named { name, .. } if name == "c1"), "{identity:?}");
        }
    }

    /// Somebody who has no certificate offers this as its own.
    fn offered(&self, pem: String) {
        let offer = Offer { certificate_pem: Some(pem.clone()), request_pem: None };
        if let Ok(issued) = self.plain.enrol("new", &offer) {
            let der = der_of(&issued.certificate_pem);
            let identity = self.plain.identify(&der);
            assert!(matches!(&identity, Identity::Named { name, .. } if name == "new"), "{identity:?}");
            assert!(!Certificate::parse(&der).unwrap().signs(), "it cannot vouch for others");
            self.check();
            assert_eq!(self.plain.delete("new", false).unwrap(), [issued.serial]);
            assert!(matches!(self.plain.identify(&der), Identity::Unknown(_)), "it is taken back");
        } else {
            assert!(self.plain.delete("new", false).is_err() || pem.is_empty(), "nothing is left of it");
        }
        if self.plain.renew("c1", &offer).is_ok() {
            self.check();
            self.plain.delete("c1", false).unwrap();
            self.plain.enrol("c1", &self.own).unwrap();
        }
        self.check();
    }

    /// Somebody asks the CA to sign this.
    fn request(&self, pem: String) {
        let offer = Offer { certificate_pem: None, request_pem: Some(pem) };
        if let Ok(issued) = self.signed.enrol("new", &offer) {
            let der = der_of(&issued.certificate_pem);
            let identity = self.signed.identify(&der);
            assert!(matches!(&identity, Identity::Named { name, .. } if name == "new"), "{identity:?}");
            assert!(Certificate::parse(&der).unwrap().is_plain(), "nothing is granted that it may have asked for");
            self.signed.delete("new", false).unwrap();
            assert!(matches!(self.signed.identify(&der), Identity::Unknown(_)), "it is taken back");
        }
        self.check();
    }

    /// A client is sent this.
    fn sent(&self, bytes: &[u8]) {
        let mut parts = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let (certificate, key) = (parts.next().unwrap_or_default(), parts.next());
        if self.client.store("new", &certificate, key.as_deref(), now()).is_ok() {
            self.client.own("new", now()).expect("what was kept can be shown");
        }
        assert!(self.client.own("new", now()).is_ok(), "it is left with a certificate that it can show");
        self.client.delete("new").unwrap();
    }

    /// It is shown in a handshake: the names come from the folder, and only for the certificates that it holds.
    fn shown(&self, der: &[u8]) {
        let own = der_of(self.own.certificate_pem.as_ref().unwrap());
        match self.plain.identify(der) {
            Identity::Named { name, .. } => assert!(name == "c1" && der == &own[..], "{name}"),
            Identity::Default { .. } => assert_eq!(der, &self.client_default()[..]),
            Identity::Unknown(stranger) => assert!(!stranger.to_string().contains('\n'), "{stranger}"),
        }
        if let Identity::Named { name, .. } = self.signed.identify(der) {
            assert_eq!(name, "c1");
        }
        if let Ok(certificate) = Certificate::parse(der) {
            assert_eq!(certificate.der().as_ref(), der);
            assert!(certificate.subject().chars().count() <= 200 && !certificate.subject().contains(char::is_control));
            assert!(certificate.serial().bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'));
            let _ = (certificate.has_signed_itself(), certificate.check_time(now()), certificate.fingerprint());
        }
    }

    fn client_default(&self) -> CertificateDer<'static> {
        let layout = Layout::new(&self.dir.path().join("plain"));
        der_of(&fs::read_to_string(layout.client_certificate("default")).unwrap())
    }
}

/// Bytes as a block of PEM.
fn pem(label: &str, bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in bytes.chunks(48) {
        for three in line.chunks(3) {
            let number = three.iter().fold(0u32, |n, byte| n << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
            for place in 0..4 {
                let digit = char::from(DIGITS[(number >> (18 - 6 * place)) as usize & 63]);
                out.push(if place <= three.len() { digit } else { '=' });
            }
        }
        out.push('\n');
    }
    let _ = writeln!(out, "-----END {label}-----");
    out
}

/// Certificates and requests for them, wherever they come from.
pub fn certificates(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    Papers::with(|papers| match kind % KINDS {
        OFFERED_PEM => papers.offered(String::from_utf8_lossy(bytes).into_owned()),
        OFFERED => papers.offered(pem("CERTIFICATE", bytes)),
        REQUEST => papers.request(pem("CERTIFICATE REQUEST", bytes)),
        SENT => papers.sent(bytes),
        _ => papers.shown(bytes),
    });
}

/// Certificates and requests of all kinds.
pub fn certificate_seeds() -> Vec<Vec<u8>> {
    Papers::with(|papers| {
        let offer = papers.offer();
        let offered = offer.certificate_pem.unwrap();
        let request = offer.request_pem.unwrap();
        let request = rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(request.as_bytes()).unwrap();
        let own = der_of(papers.own.certificate_pem.as_ref().unwrap());
        let ca = Layout::new(&papers.dir.path().join("signed")).ca_certificate();
        let ca = der_of(&fs::read_to_string(ca).unwrap());
        let pair = [papers.certificate_pem.as_bytes(), b"\0", papers.key_pem.as_bytes()].concat();
        let of = |kind: u8, bytes: &[u8]| [&[kind][..], bytes].concat();
        vec![
            of(OFFERED_PEM, offered.as_bytes()),
            of(OFFERED_PEM, [offered.as_bytes(), papers.certificate_pem.as_bytes()].concat().as_slice()),
            of(OFFERED, &der_of(&offered)),
            of(OFFERED, &papers.by_ca),
            of(OFFERED, &ca),
            of(REQUEST, &request),
            of(SENT, &pair),
            of(SENT, papers.certificate_pem.as_bytes()),
            of(SHOWN, &own),
            of(SHOWN, &papers.by_ca),
            of(SHOWN, &papers.client_default()),
            of(SHOWN, &der_of(&offered)),
            of(SHOWN, &ca),
        ]
    })
}

/// The list of clients' certificates, as a server may find it: nobody gets a name that no client can have.
pub fn names(bytes: &[u8]) {
    thread_local! {
        static DIR: tempfile::TempDir = {
            let dir = tempfile::tempdir().unwrap();
            create(dir.path(), false).unwrap();
            dir
        };
    }
    DIR.with(|dir| {
        let layout = Layout::new(dir.path());
        fs::write(layout.names(), bytes).unwrap();
        let Ok(registry) = Registry::open(dir.path(), 10) else { return };
        let registry = SharedRegistry::new(registry);
        let shared = der_of(&fs::read_to_string(layout.client_certificate("default")).unwrap());
        assert!(matches!(registry.identify(&shared), Identity::Default { .. }));
        Papers::with(|papers| {
            if registry.enrol("new", &papers.own).is_ok() {
                let identity = registry.identify(&der_of(papers.own.certificate_pem.as_ref().unwrap()));
                assert!(matches!(&identity, Identity::Named { name, .. } if name == "new"), "{identity:?}");
                registry.delete("new", false).unwrap();
            }
        });
    });
}

/// Lists of clients' certificates.
pub fn name_seeds() -> Vec<Vec<u8>> {
    let all = [
        r#"{"source_id_2_cert": {"c1": "0A1B", "c2": "FF"}, "cert_2_source_id": {"0A1B": "c1", "FF": "c2", "01": "c1"}}"#,
        r#"{"source_id_2_cert": {"new": "01"}, "cert_2_source_id": {"01": "new", "02": "new"}, "more": [1, {"a": null}]}"#,
        r#"{"source_id_2_cert": {"../x": 5}, "cert_2_source_id": {"": ["c1"]}}"#,
        "{}",
    ];
    all.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The files of tokens: what is read is written and read the same. The first byte says which.
pub fn token_files(bytes: &[u8]) {
    thread_local! {
        static DIR: tempfile::TempDir = tempfile::tempdir().unwrap();
    }
    let Some((which, text)) = bytes.split_first() else { return };
    DIR.with(|dir| match which % 3 {
        0 => {
            let file = ServerFile::new(dir.path());
            fs::write(dir.path().join(SERVER_FILE), text).unwrap();
            let Ok(table) = file.load() else { return };
            file.store(&table).unwrap();
            assert_eq!(file.load().unwrap(), table);
        }
        1 => {
            let file = InvitationsFile::new(dir.path());
            fs::write(dir.path().join(INVITATIONS_FILE), text).unwrap();
            let Ok(invitations) = file.load() else { return };
            file.store(&invitations).unwrap();
            let again = file.load().unwrap();
            let good = |all: &aioconnectors::core::Invitations| -> Vec<(String, u64)> {
                all.iter().filter(|(_, i)| i.expires > 0).map(|(name, i)| (name.to_owned(), i.expires)).collect()
            };
            assert_eq!(good(&again), good(&invitations));
        }
        _ => {
            let file = ClientFile::new(dir.path(), "c1");
            fs::write(dir.path().join("c1"), text).unwrap();
            let Ok(Some(kept)) = file.load() else { return };
            assert!(Token::new(&kept).is_some_and(|token| kept.starts_with(token.text())));
        }
    });
}

/// Files of tokens.
pub fn token_seeds() -> Vec<Vec<u8>> {
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let all = [
        (0, format!("{{\n    \"c1\": \"{hash}\",\n    \"a\\u00e9\": \"{hash}\"\n}}")),
        (0, "{}".to_owned()),
        (
            1,
            format!(
                r#"{{"c3": {{"hash": "{hash}", "expires": 1900000000}}, "c4": {{"hash": "{hash}", "expires": 1}}}}"#
            ),
        ),
        (2, hash.to_owned()),
    ];
    all.iter().map(|(which, text)| [&[*which][..], text.as_bytes()].concat()).collect()
}

/// Slots of the table of places are so long, and hold a checksum over so much, there.
const PLACE: (usize, usize) = (64, 52);
/// The same of subscriptions; theirs stands first.
const SUBSCRIPTION: usize = 256;

/// Gives slots that were changed their checksums, so that what they say is looked at.
fn reseal(places: &mut [u8], subscriptions: &mut [u8]) {
    for slot in places.chunks_exact_mut(PLACE.0) {
        let crc = crc32c::crc32c(&slot[..PLACE.1]).to_le_bytes();
        slot[PLACE.1..PLACE.1 + 4].copy_from_slice(&crc);
    }
    for slot in subscriptions.chunks_exact_mut(SUBSCRIPTION) {
        let crc = crc32c::crc32c(&slot[4..]).to_le_bytes();
        slot[..4].copy_from_slice(&crc);
    }
}

/// Tables of places and subscriptions as a broker finds them at its start; then their peer comes, and an app. The first
/// byte: whether they get new checksums; the second: how many slots are of places.
pub fn places(bytes: &[u8]) {
    let [how, count, tables @ ..] = bytes else { return };
    let (places, subscriptions) = tables.split_at((usize::from(*count) * PLACE.0).min(tables.len()));
    let (mut places, mut subscriptions) = (places.to_vec(), subscriptions.to_vec());
    if how & 1 == 1 {
        reseal(&mut places, &mut subscriptions);
    }
    let mut rig = broker();
    rig.core.restore_places(Memory::Heap(places));
    rig.core.restore_subscriptions(Memory::Heap(subscriptions));
    rig.drain();
    link2(&mut rig, "c1");
    let app = rig.app();
    rig.input(app, &any_to("c1", b"for c1"));
    let header = r#"{"message_type": "news", "destination_id": null, "pubsub": true}"#;
    rig.input(app, &crate::rig::message(header, b"published"));
    rig.pass(Duration::from_secs(30));
    rig.stop();
    rig.pass(Duration::from_secs(20));
    assert!(rig.outputs.contains(&Output::Stopped), "it comes to its end");
}

fn broker() -> Rig {
    let mut settings = settings(Role::Server);
    settings.pubsub_broker = true;
    Rig::new(settings)
}

fn link2(rig: &mut Rig, name: &str) -> aioconnectors::core::Id {
    let link = rig.accept_link();
    rig.secured_for_link2(link, Secured::Named(name.to_owned()));
    let place = PlaceSaid { message_type: "any".to_owned(), epoch: 1, received: 5, taken: 4 };
    rig.input(link, &LinkHello { window: 1 << 20, places: vec![place], features: Vec::new() }.encode(name));
    rig.sent(link);
    link
}

/// Tables of places and subscriptions.
pub fn place_seeds() -> Vec<Vec<u8>> {
    let mut slots = Vec::new();
    for (kind, epoch, count) in [(1u8, 7u64, 5u64), (2, 0, 3), (1, u64::MAX, u64::MAX)] {
        let mut slot = [0; PLACE.0];
        slot[..16].fill(kind);
        for (at, number) in [(16, epoch), (24, count), (32, count / 2), (40, 1_800_000_000)] {
            slot[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        slot[48] = kind;
        slots.extend(slot);
    }
    let mut subscriptions = Vec::new();
    for (name, pattern, first) in [("c1", "news", 4u64), ("c1", "a.>", 0), ("c2", "*", u64::MAX)] {
        let mut slot = [0; SUBSCRIPTION];
        (slot[4], slot[5]) = (name.len() as u8, pattern.len() as u8);
        slot[8..16].copy_from_slice(&first.to_le_bytes());
        slot[16..16 + name.len()].copy_from_slice(name.as_bytes());
        slot[16 + name.len()..16 + name.len() + pattern.len()].copy_from_slice(pattern.as_bytes());
        subscriptions.extend(slot);
    }
    reseal(&mut slots, &mut subscriptions);
    (0..2).map(|how| [&[how, 3][..], &slots, &subscriptions].concat()).collect()
}

/// Nobody gets as far as this.
struct Nobody;

impl Handler for Nobody {
    fn secured(&mut self, _: &CommonState) {
        panic!("a handshake that was recorded, or worsened, is not done a second time");
    }

    fn data(&mut self, _: &[u8]) -> bool {
        panic!("data without a handshake");
    }
}

/// What comes to the TLS of a server, in pieces; what it keeps of it has a limit.
pub fn handshake(bytes: &[u8]) {
    let Some((size, bytes)) = bytes.split_first() else { return };
    let size = usize::from(*size) * 8 + 1;
    let config = Papers::with(|papers| Arc::clone(&papers.tls.config));
    let mut session = Session::server(config).unwrap();
    for piece in bytes.chunks(size) {
        let mut incoming = [session.kept(), piece].concat();
        let mut out = Vec::new();
        let result = session.receive(&mut incoming, &mut out, &mut Nobody);
        assert!(session.kept().len() <= KEPT_MAX);
        if result.is_err() {
            return;
        }
    }
}

/// A client that takes every server, and notes what it says.
mod recorder {
    use std::io::{Read, Write};
    use std::sync::Arc;

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::aws_lc_rs::default_provider;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
    use rustls::{
        ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, ServerConnection, SignatureScheme,
        SupportedProtocolVersion,
    };

    #[derive(Debug)]
    struct Anyone;

    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            default_provider().signature_verification_algorithms.supported_schemes()
        }
    }

    /// All that a client says to this server in a handshake, and a word behind it.
    pub fn record(
        version: &'static SupportedProtocolVersion,
        server: Arc<ServerConfig>,
        own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) -> Vec<u8> {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone));
        let config = match own {
            Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        let name = ServerName::try_from("server.example").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut server = ServerConnection::new(server).unwrap();
        let _ = client.writer().write_all(b"hello");
        let mut said = Vec::new();
        for _ in 0..6 {
            let (mut up, mut down) = (Vec::new(), Vec::new());
            while client.wants_write() {
                client.write_tls(&mut up).unwrap();
            }
            said.extend_from_slice(&up);
            let mut up = &up[..];
            while !up.is_empty() && server.read_tls(&mut up).is_ok_and(|count| count > 0) {
                let _ = server.process_new_packets();
                let _ = server.reader().read(&mut [0; 64]);
            }
            while server.wants_write() {
                server.write_tls(&mut down).unwrap();
            }
            let mut down = &down[..];
            while !down.is_empty() && client.read_tls(&mut down).is_ok_and(|count| count > 0) {
                let _ = client.process_new_packets();
            }
        }
        said
    }
}

/// What clients say in handshakes: the known one's, one with the certificate that is shared, none. In TLS 1.2 a
/// certificate is not sealed, so that a worsened one is looked at.
pub fn handshake_seeds() -> Vec<Vec<u8>> {
    Papers::with(|papers| {
        let mut out = Vec::new();
        let key = |path: &Path| rustls::pki_types::PrivateKeyDer::from_pem_file(path).unwrap();
        let client = Layout::new(&papers.dir.path().join("plain"));
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            for certificate in [None, Some("default")] {
                let own = certificate.map(|name| (papers.client_default(), key(&client.own_key(name))));
                let said = recorder::record(version, Arc::clone(&papers.tls.config), own);
                out.push([&[255][..], &said].concat());
                out.push([&[2][..], &said].concat());
            }
        }
        out
    })
}
