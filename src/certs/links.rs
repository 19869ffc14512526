//! The folder `symlinks`: what a server accepts, as OpenSSL looks for it.
//!
//! A certificate is accepted if a link named `HASH.N`, with the hash of its subject, leads to a file that holds it. The
//! file is read at each look-up (it is one small file, found by the hash), so any change takes effect at once; only the
//! list of links is kept, and read again when the folder changed.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use log::warn;

use super::files::{self, Stamp};
use super::pair::load_certificates;
use super::{Certificate, Error};

/// The folder, and the links in it when it was last listed.
#[derive(Debug)]
pub(super) struct Links {
    dir: PathBuf,
    stamp: Option<Stamp>,
    by_hash: HashMap<String, Vec<OsString>>,
    /// Links that were looked at: what is wrong with one is said once.
    checked: HashSet<OsString>,
}

impl Links {
    /// Lists the folder, and warns of each link that leads to no usable certificate.
    pub(super) fn open(dir: PathBuf) -> Result<Self, Error> {
        let mut links = Self { dir, stamp: None, by_hash: HashMap::new(), checked: HashSet::new() };
        links.refresh()?;
        Ok(links)
    }

    /// The link that leads to this very certificate.
    pub(super) fn find(&mut self, certificate: &Certificate) -> Result<Option<PathBuf>, Error> {
        self.refresh()?;
        let Some(names) = self.by_hash.get(certificate.subject_hash()) else { return Ok(None) };
        let holds = |path: &PathBuf| load_certificates(path).is_ok_and(|all| all.contains(certificate));
        Ok(names.iter().map(|name| self.dir.join(name)).find(holds))
    }

    /// The links with this hash.
    pub(super) fn all(&mut self, hash: &str) -> Result<Vec<PathBuf>, Error> {
        self.refresh()?;
        let names = self.by_hash.get(hash).map_or(&[][..], Vec::as_slice);
        Ok(names.iter().map(|name| self.dir.join(name)).collect())
    }

    fn refresh(&mut self) -> Result<(), Error> {
        let now = Stamp::of(&self.dir).map_err(|e| files::io_error("look at", &self.dir, e))?;
        let Some(now) = now else {
            return Err(Error::Missing { what: "the folder of accepted certificates", path: self.dir.clone() });
        };
        if self.stamp.as_ref().is_some_and(|then| then.holds(&now)) {
            return Ok(());
        }
        self.list().map_err(|e| files::io_error("list", &self.dir, e))?;
        self.stamp = Some(now);
        Ok(())
    }

    fn list(&mut self) -> io::Result<()> {
        let mut by_hash: HashMap<String, Vec<OsString>> = HashMap::new();
        let mut there = HashSet::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let Some(hash) = hash_of(&name) else { continue };
            let new = !self.checked.contains(&name);
            if let Some(fault) = new.then(|| fault(&self.dir.join(&name), &hash)).flatten() {
                warn!("{fault}");
            }
            there.insert(name.clone());
            by_hash.entry(hash).or_default().push(name);
        }
        self.by_hash = by_hash;
        self.checked = there;
        Ok(())
    }

    /// Adds a link to `target`, under the first free number.
    pub(super) fn add(&self, hash: &str, target: &Path) -> Result<PathBuf, Error> {
        for n in 0_u32.. {
            let path = self.dir.join(format!("{hash}.{n}"));
            match symlink(target, &path) {
                Ok(()) => return Ok(path),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(files::io_error("link", &path, e)),
            }
        }
        Err(files::io_error("link", &self.dir, io::ErrorKind::AlreadyExists.into()))
    }

    /// Removes every link to `target`; whether there was one. Those of the same hash behind it move up: OpenSSL stops
    /// at the first number that is missing.
    pub(super) fn remove(&self, target: &Path) -> Result<bool, Error> {
        self.remove_others(target, "")
    }

    /// The same, but those with the hash `keep` stay.
    pub(super) fn remove_others(&self, target: &Path, keep: &str) -> Result<bool, Error> {
        let mut gaps = HashSet::new();
        for entry in fs::read_dir(&self.dir).map_err(|e| files::io_error("list", &self.dir, e))? {
            let entry = entry.map_err(|e| files::io_error("list", &self.dir, e))?;
            let path = entry.path();
            let hash = hash_of(&entry.file_name());
            let stays = hash.as_deref() == Some(keep);
            if !stays && fs::read_link(&path).is_ok_and(|leads_to| leads_to == target) {
                files::remove_if_there(&path)?;
                gaps.insert(hash);
            }
        }
        gaps.iter().flatten().try_for_each(|hash| self.close_up(hash))?;
        Ok(!gaps.is_empty())
    }

    /// Numbers the links of a hash from 0 on, in the order that they have.
    fn close_up(&self, hash: &str) -> Result<(), Error> {
        let entries = fs::read_dir(&self.dir).map_err(|e| files::io_error("list", &self.dir, e))?;
        let number = |name: OsString| name.to_str()?.strip_prefix(hash)?.strip_prefix('.')?.parse::<u32>().ok();
        let mut numbers: Vec<u32> = entries.filter_map(|entry| number(entry.ok()?.file_name())).collect();
        numbers.sort_unstable();
        for (to, from) in (0..).zip(numbers).filter(|(to, from)| to != from) {
            let at = |number: u32| self.dir.join(format!("{hash}.{number}"));
            fs::rename(at(from), at(to)).map_err(|e| files::io_error("rename", &at(from), e))?;
        }
        Ok(())
    }
}

/// The hash in a link's name, if it is one: eight hexadecimal digits, a dot, a number.
fn hash_of(name: &OsString) -> Option<String> {
    let (hash, number) = name.to_str()?.split_once('.')?;
    let is_hash = hash.len() == 8 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    (is_hash && is_number).then(|| hash.to_owned())
}

/// What is wrong with a link, for whoever put it there and wonders why a client is refused.
fn fault(path: &Path, hash: &str) -> Option<String> {
    match load_certificates(path) {
        Err(e) => Some(format!("a link to a certificate is of no use: {e}")),
        Ok(all) if all.iter().all(|certificate| certificate.subject_hash() != hash) => {
            let right = all.first().map_or("", Certificate::subject_hash);
            Some(format!("{} is of no use: its certificate is looked for as {right}.N", path.display()))
        }
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::mint;

    #[test]
    fn only_names_of_hashes_count() {
        assert_eq!(hash_of(&"0a1b2c3d.12".into()), Some("0a1b2c3d".to_owned()));
        for name in ["0a1b2c3d", "0a1b2c3d.", "0a1b2c3.0", "0A1B2C3D.0", "0a1b2c3d.r0", "README"] {
            assert_eq!(hash_of(&name.into()), None, "{name}");
        }
    }

    #[test]
    fn a_certificate_is_found_behind_any_number_even_after_a_gap() {
        let dir = tempfile::tempdir().unwrap();
        let minted = mint::self_signed("a").unwrap();
        let hash = minted.certificate.subject_hash();
        fs::write(dir.path().join("a.pem"), &minted.certificate_pem).unwrap();
        fs::create_dir(dir.path().join("symlinks")).unwrap();
        let mut links = Links::open(dir.path().join("symlinks")).unwrap();
        links.add(hash, Path::new("../b.pem")).unwrap();
        let second = links.add(hash, Path::new("../a.pem")).unwrap();
        assert!(second.ends_with(format!("{hash}.1")));
        fs::remove_file(dir.path().join(format!("symlinks/{hash}.0"))).unwrap();
        assert_eq!(links.find(&minted.certificate).unwrap(), Some(second));
        assert_eq!(links.find(&mint::self_signed("a").unwrap().certificate).unwrap(), None);
    }

    #[test]
    fn links_behind_one_that_is_removed_move_up() {
        let dir = tempfile::tempdir().unwrap();
        let links = Links::open(dir.path().to_owned()).unwrap();
        let of = |n: u32| fs::read_link(dir.path().join(format!("0a1b2c3d.{n}"))).ok();
        for name in ["../a.pem", "../b.pem", "../c.pem"] {
            links.add("0a1b2c3d", Path::new(name)).unwrap();
        }
        links.add("0a1b2c3e", Path::new("../d.pem")).unwrap();
        assert!(links.remove(Path::new("../a.pem")).unwrap());
        assert_eq!((of(0), of(1), of(2)), (Some("../b.pem".into()), Some("../c.pem".into()), None));
        assert!(!links.remove(Path::new("../a.pem")).unwrap());
    }

    #[test]
    fn a_link_that_is_of_no_use_is_named_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let minted = mint::self_signed("a").unwrap();
        let hash = minted.certificate.subject_hash();
        let path = dir.path().join("a.pem");
        fs::write(&path, &minted.certificate_pem).unwrap();
        assert_eq!(fault(&path, hash), None);
        let wrong = fault(&path, "00000000").unwrap();
        assert!(wrong.contains("a.pem") && wrong.contains(hash), "{wrong}");
        fs::write(&path, "broken").unwrap();
        assert!(fault(&path, hash).unwrap().contains("a.pem"));
    }
}
