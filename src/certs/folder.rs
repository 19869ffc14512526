//! The folder of certificates: where everything lies in it, and how it is made.
//!
//! Python connectors use the same folder, so it also gets what only they need: links by OpenSSL's subject hash, and the
//! configuration files from which they run the `openssl` command when they issue certificates.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::mint::{self, Minted};
use super::{Error, files};

/// The name of the folder, in `certificates_directory_path`.
pub(super) const FOLDER: &str = "certificates";

/// The name of the certificate that new clients share.
pub const DEFAULT: &str = "default";

/// The paths in a folder of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout below `dir`, which is `certificates_directory_path` of the config; all is in `dir/certificates`.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { root: dir.join(FOLDER) }
    }

    /// `certificates`.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A server's own certificate.
    #[must_use]
    pub fn server_certificate(&self) -> PathBuf {
        self.root.join("server/server-cert/server.pem")
    }

    /// The key of a server's own certificate.
    #[must_use]
    pub fn server_key(&self) -> PathBuf {
        self.root.join("server/server-cert/server.key")
    }

    /// The CA by which a server signs its clients' certificates.
    #[must_use]
    pub fn ca_certificate(&self) -> PathBuf {
        self.root.join("server/server-cert/server_ca.pem")
    }

    /// The key of that CA.
    #[must_use]
    pub fn ca_key(&self) -> PathBuf {
        self.root.join("server/server-cert/server_ca.key")
    }

    /// Copies of what that CA has signed, if they are kept.
    #[must_use]
    pub fn ca_copies(&self) -> PathBuf {
        self.clients().join("ca-generated")
    }

    /// Where a server keeps the certificates of its clients.
    #[must_use]
    pub fn clients(&self) -> PathBuf {
        self.root.join("server/client-certs")
    }

    /// A client's certificate at the server.
    #[must_use]
    pub fn client_certificate(&self, name: &str) -> PathBuf {
        self.clients().join(format!("{name}.pem"))
    }

    /// The key of a client's certificate, at the server that issued it.
    #[must_use]
    pub fn client_key(&self, name: &str) -> PathBuf {
        self.clients().join(format!("{name}.key"))
    }

    /// Which serial number belongs to which client.
    #[must_use]
    pub fn names(&self) -> PathBuf {
        self.clients().join("source_id_2_cert.json")
    }

    /// Links to the certificates that a server accepts, named by OpenSSL's subject hash.
    #[must_use]
    pub fn links(&self) -> PathBuf {
        self.clients().join("symlinks")
    }

    /// A certificate that a client shows: its own, or [`DEFAULT`].
    #[must_use]
    pub fn own_certificate(&self, name: &str) -> PathBuf {
        self.root.join(format!("client/client-certs/{name}.pem"))
    }

    /// The key of a certificate that a client shows.
    #[must_use]
    pub fn own_key(&self, name: &str) -> PathBuf {
        self.root.join(format!("client/client-certs/{name}.key"))
    }

    /// The certificates of servers that a client accepts.
    #[must_use]
    pub fn pinned_server(&self) -> PathBuf {
        self.root.join("client/server-cert/server.pem")
    }

    fn server_folder(&self) -> PathBuf {
        self.root.join("server")
    }
}

/// What `create` made.
#[derive(Clone, Debug)]
pub struct Created {
    /// The folder `certificates`.
    pub root: PathBuf,
    /// The files and links, in the order in which they were made, each with what it is.
    pub files: Vec<(PathBuf, &'static str)>,
}

/// Makes a folder of certificates in `dir`, for a server and all its clients; with `ca`, also a CA that signs the
/// clients' certificates. If it fails, nothing stays behind.
///
/// # Errors
/// There are certificates already (all folders in the way are named), or a file cannot be written.
pub fn create(dir: &Path, ca: bool) -> Result<Created, Error> {
    let absolute = std::path::absolute(dir).map_err(|e| files::io_error("find", dir, e))?;
    let layout = Layout::new(&absolute);
    refuse_to_overwrite(&layout)?;

    // All that could fail without touching the disk comes first.
    let server = mint::self_signed("server")?;
    let authority = if ca { Some(mint::authority("server_ca")?) } else { None };
    let default = match &authority {
        Some((_, authority)) => authority.sign(DEFAULT)?,
        None => mint::self_signed(DEFAULT)?,
    };

    let mut making = Making::default();
    making.server(&layout, &server)?;
    if let Some((minted, _)) = &authority {
        making.authority(&layout, minted)?;
    }
    making.default_client(&layout, &default)?;
    Ok(Created { root: layout.root.clone(), files: making.finish() })
}

/// The three folders must be empty, or not be there.
fn refuse_to_overwrite(layout: &Layout) -> Result<(), Error> {
    let folders = [layout.root.join("server/server-cert"), layout.clients(), layout.root.join("client")];
    let mut paths = Vec::new();
    for folder in folders {
        match fs::read_dir(&folder).map(|mut entries| entries.next().is_some()) {
            Ok(false) => {}
            Ok(true) => paths.push(folder),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(files::io_error("look into", &folder, e)),
        }
    }
    if paths.is_empty() { Ok(()) } else { Err(Error::NotEmpty { paths }) }
}

/// Files, links and folders on their way; what was made is removed again unless [`Making::finish`] is reached.
#[derive(Default)]
struct Making {
    folders: Vec<PathBuf>,
    files: Vec<(PathBuf, &'static str)>,
}

impl Making {
    fn server(&mut self, layout: &Layout, server: &Minted) -> Result<(), Error> {
        self.secret(layout.server_key(), &server.key_pem, "the server's key")?;
        self.public(layout.server_certificate(), &server.certificate_pem, "the server's certificate")?;
        self.public(layout.pinned_server(), &server.certificate_pem, "the server's certificate, for clients to pin")?;
        // A user may have put a template of his own there before.
        let template = layout.server_folder().join("csr_details_template.conf");
        if !files::exists(&template) {
            self.public(template, PYTHON_SUBJECT, "by which Python servers issue certificates")?;
        }
        Ok(())
    }

    fn authority(&mut self, layout: &Layout, minted: &Minted) -> Result<(), Error> {
        self.secret(layout.ca_key(), &minted.key_pem, "the key of the CA for clients")?;
        self.public(layout.ca_certificate(), &minted.certificate_pem, "the CA for clients")?;
        self.link(layout, minted, "../../server-cert/server_ca.pem", "the CA, as OpenSSL looks for it")?;
        let config = layout.server_folder().join("server_ca_details.conf");
        self.public(config, &python_ca_config(layout), "by which Python servers sign certificates")?;
        let index = layout.root.join("server/server-cert/index.txt");
        self.public(index, "", "where Python servers list what they signed")?;
        self.folder(&layout.ca_copies())
    }

    fn default_client(&mut self, layout: &Layout, default: &Minted) -> Result<(), Error> {
        self.secret(layout.own_key(DEFAULT), &default.key_pem, "the key that new clients share")?;
        let own = layout.own_certificate(DEFAULT);
        self.public(own, &default.certificate_pem, "the certificate that new clients share")?;
        let accepted = layout.client_certificate(DEFAULT);
        self.public(accepted, &default.certificate_pem, "the same, for the server to accept")?;
        self.link(layout, default, "../default.pem", "the same, as OpenSSL looks for it")
    }

    fn secret(&mut self, path: PathBuf, text: &str, what: &'static str) -> Result<(), Error> {
        self.file(path, text, files::SECRET, what)
    }

    fn public(&mut self, path: PathBuf, text: &str, what: &'static str) -> Result<(), Error> {
        self.file(path, text, files::PUBLIC, what)
    }

    fn file(&mut self, path: PathBuf, text: &str, mode: u32, what: &'static str) -> Result<(), Error> {
        self.folder_of(&path)?;
        // Listed first: it may be there although syncing it failed.
        self.files.push((path.clone(), what));
        files::write_whole(&path, text.as_bytes(), mode)
    }

    fn link(&mut self, layout: &Layout, to: &Minted, target: &str, what: &'static str) -> Result<(), Error> {
        let path = layout.links().join(format!("{}.0", to.certificate.subject_hash()));
        self.folder_of(&path)?;
        symlink(target, &path).map_err(|e| files::io_error("link", &path, e))?;
        self.files.push((path, what));
        Ok(())
    }

    fn folder_of(&mut self, path: &Path) -> Result<(), Error> {
        path.parent().map_or(Ok(()), |folder| self.folder(folder))
    }

    /// Makes a folder and those above it, and remembers which were not there.
    fn folder(&mut self, path: &Path) -> Result<(), Error> {
        if path.is_dir() {
            return Ok(());
        }
        self.folder_of(path)?;
        fs::create_dir(path).map_err(|e| files::io_error("create", path, e))?;
        self.folders.push(path.to_owned());
        Ok(())
    }

    fn finish(mut self) -> Vec<(PathBuf, &'static str)> {
        self.folders.clear();
        std::mem::take(&mut self.files)
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        for (path, _) in self.files.iter().rev() {
            let _ = fs::remove_file(path);
        }
        for path in self.folders.iter().rev() {
            let _ = fs::remove_dir(path);
        }
    }
}

/// Python servers append `O = RANDOM` to a copy of it, so the section of the subject stands last.
const PYTHON_SUBJECT: &str = "\
[req]
prompt = no
default_bits = 2048
default_md = sha256
distinguished_name = subject

[subject]
C = US
";

/// For `openssl ca`, which Python servers with `server_ca` run with the sections `signing_policy` and `signing_req`.
fn python_ca_config(layout: &Layout) -> String {
    let server = layout.server_folder();
    format!(
        "\
[ca]
default_ca = clients

[clients]
certificate = {server}/server-cert/server_ca.pem
private_key = {server}/server-cert/server_ca.key
database = {server}/server-cert/index.txt
new_certs_dir = {server}/client-certs/ca-generated
rand_serial = yes
unique_subject = no
default_md = sha256
default_days = 3650
policy = signing_policy

[signing_policy]
organizationName = supplied
countryName = optional
commonName = optional

[signing_req]
basicConstraints = critical, CA:FALSE
keyUsage = digitalSignature, keyEncipherment
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
",
        server = server.display()
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::certs::{Pair, pair::load_certificates};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn everything_below(dir: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(everything_below(&path));
            }
            found.push(path);
        }
        found
    }

    #[test]
    fn server_and_client_find_their_pairs_and_each_other_in_a_created_folder() {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path(), false).unwrap();
        let layout = Layout::new(dir.path());
        let server = load_certificates(&layout.server_certificate()).unwrap();
        let now = server[0].not_before() + 1;
        Pair::load(&layout.server_certificate(), &layout.server_key(), now).unwrap();
        Pair::load(&layout.own_certificate(DEFAULT), &layout.own_key(DEFAULT), now).unwrap();
        assert_eq!(load_certificates(&layout.pinned_server()).unwrap(), server);
        let default = load_certificates(&layout.client_certificate(DEFAULT)).unwrap();
        assert_eq!(load_certificates(&layout.own_certificate(DEFAULT)).unwrap(), default);
        let link = layout.links().join(format!("{}.0", default[0].subject_hash()));
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("../default.pem"));
        assert_eq!(load_certificates(&link).unwrap(), default);
    }

    #[test]
    fn with_a_ca_its_link_leads_to_it() {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path(), true).unwrap();
        let layout = Layout::new(dir.path());
        let ca = load_certificates(&layout.ca_certificate()).unwrap();
        let link = layout.links().join(format!("{}.0", ca[0].subject_hash()));
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("../../server-cert/server_ca.pem"));
        assert_eq!(load_certificates(&link).unwrap(), ca);
        Pair::load(&layout.ca_certificate(), &layout.ca_key(), ca[0].not_before() + 1).unwrap();
    }

    #[test]
    fn keys_are_for_the_owner_only_and_no_draft_is_left() {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path(), true).unwrap();
        let all = everything_below(dir.path());
        let keys: Vec<_> = all.iter().filter(|p| p.extension().is_some_and(|e| e == "key")).collect();
        assert_eq!(keys.len(), 3);
        assert!(keys.iter().all(|key| mode(key) == 0o600));
        assert!(all.iter().all(|p| p.extension().is_none_or(|e| e != "tmp")));
    }

    #[test]
    fn what_is_reported_is_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let created = create(dir.path(), true).unwrap();
        let mut there: Vec<_> = everything_below(&created.root).into_iter().filter(|p| !p.is_dir()).collect();
        let mut reported: Vec<_> = created.files.into_iter().map(|(path, _)| path).collect();
        there.sort();
        reported.sort();
        assert_eq!(reported, there);
    }

    #[test]
    fn a_folder_with_certificates_is_left_alone_and_every_reason_is_named() {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path(), false).unwrap();
        let before = fs::read(Layout::new(dir.path()).server_certificate()).unwrap();
        let Err(Error::NotEmpty { paths }) = create(dir.path(), false) else { panic!("overwritten") };
        assert_eq!(paths.len(), 3);
        assert_eq!(fs::read(Layout::new(dir.path()).server_certificate()).unwrap(), before);
        fs::remove_dir_all(dir.path().join("certificates/client")).unwrap();
        let Err(Error::NotEmpty { paths }) = create(dir.path(), false) else { panic!("overwritten") };
        assert_eq!(paths.len(), 2);
    }

    #[test]
    fn empty_folders_and_a_users_own_template_are_no_hindrance() {
        let dir = tempfile::tempdir().unwrap();
        let server = dir.path().join("certificates/server");
        fs::create_dir_all(server.join("client-certs")).unwrap();
        fs::write(server.join("csr_details_template.conf"), "mine").unwrap();
        create(dir.path(), false).unwrap();
        assert_eq!(fs::read_to_string(server.join("csr_details_template.conf")).unwrap(), "mine");
    }

    #[test]
    fn a_failure_half_way_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        // A draft's name is taken by a folder, so the shared key, one of the last files, cannot be written. It lies in
        // a folder that must be empty, hence a step below the public function.
        let layout = Layout::new(dir.path());
        let minted = mint::self_signed("x").unwrap();
        let mut making = Making::default();
        making.server(&layout, &minted).unwrap();
        making.folder(&layout.own_key(DEFAULT).with_file_name(".default.key.tmp")).unwrap();
        assert!(matches!(making.default_client(&layout, &minted), Err(Error::Io { .. })));
        drop(making);
        assert_eq!(everything_below(dir.path()), Vec::<PathBuf>::new());
    }
}
