//! Two connectors, each of either kind, with a link between them.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::common::setup::wait_link;
use crate::common::{Place, Process, Role, Setup, certificates, free_port, wait};
use crate::python;

/// Whose software.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ours,
    Python,
}

/// How the link is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Plain,
    /// Certificates on both sides. The folder is made by a tool of this kind; the client enrols with the default one.
    Certificates(Kind),
    /// The same, with a Python end that knows TLS 1.2 at most.
    CertificatesTls12(Kind),
    /// Encrypted, and the client is known by a token.
    Tokens(Verify),
    /// Certificates that the server's CA signs.
    Ca(Kind),
    /// Encrypted, nobody verified. The server's certificate is made by a tool of this kind; the client has no folder.
    AllowAll(Kind),
}

/// Who looks at whose certificate where tokens are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    Nobody,
    /// The server the default certificate that the client shows, the client the server's.
    Both,
    /// The same, but the client has a file of CA certificates.
    ByCa,
}

impl Mode {
    /// Whose tool makes the certificates folder, if there is one.
    fn maker(self) -> Option<Kind> {
        match self {
            Mode::Plain => None,
            Mode::Tokens(_) => Some(Kind::Ours),
            Mode::Certificates(maker) | Mode::CertificatesTls12(maker) | Mode::Ca(maker) | Mode::AllowAll(maker) => {
                Some(maker)
            }
        }
    }

    /// Whether clients get certificates.
    fn enrols(self) -> bool {
        matches!(self, Mode::Certificates(_) | Mode::CertificatesTls12(_) | Mode::Ca(_))
    }

    fn has_tokens(self) -> bool {
        matches!(self, Mode::Tokens(_))
    }

    /// Whether clients have a folder of certificates.
    fn has_client_folder(self) -> bool {
        self.enrols() || matches!(self, Mode::Tokens(Verify::Both | Verify::ByCa))
    }
}

pub struct Pair {
    pub place: Place,
    pub server: Setup,
    pub client: Setup,
    // Dropped in this order: a client that loses its server would only talk about it.
    client_process: Process,
    server_process: Process,
    pub server_kind: Kind,
    pub client_kind: Kind,
    mode: Mode,
}

impl Pair {
    /// Starts both and waits for the link.
    #[track_caller]
    pub fn start(server_kind: Kind, client_kind: Kind, mode: Mode) -> Pair {
        Pair::start_with(server_kind, client_kind, mode, |client| client)
    }

    /// The same with configs that `change` has changed.
    #[track_caller]
    pub fn start_with(server_kind: Kind, client_kind: Kind, mode: Mode, change: impl Fn(Setup) -> Setup) -> Pair {
        let (place, port) = (Place::new(), free_port());
        let server = change(secure(Setup::server(&place, port), mode));
        let client = change(secure(Setup::client(&place, "client1", port), mode));
        give_certificates(&place, &server, &client, mode);
        let mut server_process = start(server_kind, &server, mode);
        wait_listening(&mut server_process, server_kind, port);
        let mut client_process = start(client_kind, &client, mode);
        if mode.enrols() || mode.has_tokens() {
            wait_enrolled(&client, mode);
            if client_kind == Kind::Python {
                // After it has enrolled, a Python client does not always find its way back by itself.
                client_process.kill();
                client_process = start(client_kind, &client, mode);
            }
        }
        wait_link(&server, &client);
        if mode.enrols() {
            check_enrolment(&server, &client, mode);
        }
        Pair { place, server, client, client_process, server_process, server_kind, client_kind, mode }
    }

    /// A path in the pair's folder.
    pub fn file(&self, name: &str) -> String {
        self.place.file(name).to_str().expect("a path of UTF-8").to_owned()
    }

    pub fn kill_client(&mut self) {
        self.client_process.kill();
    }

    pub fn kill_server(&mut self) {
        self.server_process.kill();
    }

    #[track_caller]
    pub fn start_client(&mut self) {
        self.client_process = start(self.client_kind, &self.client, self.mode);
    }

    pub fn client_process(&self) -> &Process {
        &self.client_process
    }

    pub fn server_process(&self) -> &Process {
        &self.server_process
    }

    #[track_caller]
    pub fn start_server(&mut self) {
        self.server_process = start(self.server_kind, &self.server, self.mode);
    }
}

fn secure(setup: Setup, mode: Mode) -> Setup {
    let dir = setup.dir.to_str().expect("a path of UTF-8").to_owned();
    if let Mode::Tokens(verify) = mode {
        let ca_file = format!("{dir}/certificates/client/server-cert/server.pem");
        let verified = match (verify, setup.role) {
            (Verify::Nobody, _) => json!(false),
            (Verify::ByCa, Role::Client) => json!(ca_file),
            _ => json!(true),
        };
        return setup
            .with("use_ssl", true)
            .with("ssl_allow_all", true)
            .with("use_token", true)
            .with("tokens_directory_path", dir)
            .with("token_verify_peer_cert", verified)
            .with("token_client_send_cert", verify != Verify::Nobody)
            // Without that a Python client that verifies does not get as far as a connection.
            .with("token_client_verify_server_hostname", verify != Verify::Nobody);
    }
    let setup = setup.with("use_ssl", mode != Mode::Plain);
    match mode {
        Mode::AllowAll(_) => setup.with("ssl_allow_all", true),
        Mode::Ca(_) => setup.with("server_ca", true),
        _ => setup,
    }
}

fn give_certificates(place: &Place, server: &Setup, client: &Setup, mode: Mode) {
    let Some(maker) = mode.maker() else { return };
    let made = place.file("made");
    let options: &[&str] = if matches!(mode, Mode::Ca(_)) { &["--ca"] } else { &[] };
    match maker {
        Kind::Ours => certificates::make_with(options, &made),
        Kind::Python => python::make_certificates(options, &made),
    }
    if mode.has_tokens() {
        name_server(&made);
    }
    certificates::hand_out(&made, server);
    if mode.has_client_folder() {
        certificates::hand_out(&made, client);
    }
}

/// Gives the server in the folder `made` a certificate that has its address, which Python clients look for.
fn name_server(made: &Path) {
    let own = made.join("certificates/server/server-cert");
    let (pem, key) = (own.join("server.pem"), own.join("server.key"));
    let made_of = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=server"];
    let mut command = Command::new("openssl");
    command
        .args(made_of)
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&pem);
    certificates::run(&mut command);
    fs::copy(pem, made.join("certificates/client/server-cert/server.pem")).expect("the client's copy");
}

#[track_caller]
fn start(kind: Kind, setup: &Setup, mode: Mode) -> Process {
    match kind {
        Kind::Ours => setup.start(),
        Kind::Python => {
            // A Python connector that was killed leaves its sockets and its address behind, and asks to be told that it may
            // replace them.
            let setup = setup
                .clone()
                .with("reuse_uds_path_commander_server", true)
                .with("reuse_server_sockaddr", true)
                .with("reuse_uds_path_send_to_connector", true);
            let tls: &[&str] = if matches!(mode, Mode::CertificatesTls12(_)) { &["tls1.2"] } else { &[] };
            let mut process = python::spawn("peer.py", &setup, tls);
            setup.wait_ready(&mut process);
            process
        }
    }
}

/// A Python client whose first attempt fails tries again after 5 s only, so it is started when the server listens.
#[track_caller]
fn wait_listening(process: &mut Process, kind: Kind, port: u16) {
    if kind == Kind::Python {
        wait::until("a server that listens", || {
            assert!(process.is_running(), "the server ended at its start");
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
    }
}

/// Waits until the client holds a certificate or a token of its own.
#[track_caller]
fn wait_enrolled(client: &Setup, mode: Mode) {
    wait::until("a client that has enrolled", || {
        let filled = |file: PathBuf| fs::metadata(file).is_ok_and(|file| file.len() > 0);
        if mode.has_tokens() {
            return filled(client.dir.join(&client.id)).then_some(());
        }
        (filled(own_file(client, "pem")) && is_closed(&own_file(client, "key"))).then_some(())
    });
}

/// Whether nobody but its owner may read `file`. A Python client closes its key to others a moment after it has written
/// it, and that is the last thing it does of its enrolment.
fn is_closed(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|file| file.len() > 0 && file.permissions().mode() & 0o777 == 0o600)
}

fn own_file(client: &Setup, ending: &str) -> PathBuf {
    client.dir.join(format!("certificates/client/client-certs/{}.{ending}", client.id))
}

/// What either kind of server and client must have on disk after an enrolment.
#[track_caller]
fn check_enrolment(server: &Setup, client: &Setup, mode: Mode) {
    let accepted = server.dir.join("certificates/server/client-certs");
    let text = |path: PathBuf| fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let at_server = accepted.join(format!("{}.pem", client.id));
    if matches!(mode, Mode::Ca(_)) {
        assert!(!at_server.exists(), "what the CA has signed is not kept");
    } else {
        let own = text(own_file(client, "pem"));
        assert_eq!(text(at_server).trim(), own.trim(), "server and client hold the same certificate");
    }
    let names: serde_json::Value = serde_json::from_str(&text(accepted.join("source_id_2_cert.json"))).expect("JSON");
    let serial = names["source_id_2_cert"][&client.id].as_str().expect("the client's serial number");
    assert_eq!(names["cert_2_source_id"][serial], client.id.as_str(), "the way back from {serial}");
    assert!(serial.chars().all(|c| c.is_ascii_digit() || ('A'..='F').contains(&c)), "upper-case hex: {serial}");
    assert!(is_closed(&own_file(client, "key")), "nobody else may read the client's key");
}
