//! Which certificates of clients end soon, by the list of those that a server accepts.

use std::path::Path;

use super::names::Names;
use super::pair::load_certificates;
use super::renew::next_of;
use super::{Error, Layout, files};

/// A client whose certificate ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Its name.
    pub client: String,
    /// The last second of its certificate, in Unix time.
    pub not_after: i64,
}

/// The clients whose certificates end by `until` (Unix seconds), the soonest first. `dir` is
/// `certificates_directory_path`. One that was renewed already, or of which there is no copy because a CA has signed it,
/// is not among them. This reads a file for each client.
///
/// # Errors
/// The list of clients cannot be read.
pub fn ending(dir: &Path, until: i64) -> Result<Vec<Ending>, Error> {
    let layout = Layout::new(dir);
    let names = Names::open(layout.names())?;
    let end = |(client, serial): (&str, &str)| {
        if files::exists(&layout.client_certificate(&next_of(client))) {
            return None;
        }
        let (own, copy) = (layout.client_certificate(client), layout.ca_copies().join(format!("{serial}.pem")));
        let of = |path: &Path| load_certificates(path).ok()?.into_iter().find(|c| c.serial() == serial);
        let not_after = of(&own).or_else(|| of(&copy))?.not_after();
        (not_after <= until).then(|| Ending { client: client.to_owned(), not_after })
    };
    let mut all: Vec<Ending> = names.all().filter_map(end).collect();
    all.sort_by(|a, b| (a.not_after, &a.client).cmp(&(b.not_after, &b.client)));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::certs::{Issuing, Registry, create, mint};

    #[test]
    fn what_ends_is_found_by_the_list_with_and_without_a_ca() {
        for ca in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            create(dir.path(), ca).unwrap();
            let issuing = if ca { Issuing::Signed { copies: true } } else { Issuing::SelfSigned };
            let mut registry = Registry::open(dir.path(), 5).unwrap().with_issuing(issuing).unwrap();
            let ends = ["c1", "c2", "c3"].map(|name| {
                let issued = registry.issue(name).unwrap();
                let path = dir.path().join(format!("{name}.pem"));
                fs::write(&path, issued.certificate_pem).unwrap();
                load_certificates(&path).unwrap()[0].not_after()
            });
            let until = ends.into_iter().max().unwrap();
            registry.delete("c2", false).unwrap();
            let named = |until| ending(dir.path(), until).unwrap().into_iter().map(|e| e.client).collect::<Vec<_>>();
            assert_eq!(named(until), ["c1", "c3"]);
            assert_eq!(named(ends[0] - 1), Vec::<String>::new());
            // Of what has its next one already nothing need be said.
            let next = mint::self_signed("c3").unwrap().certificate_pem;
            fs::write(Layout::new(dir.path()).client_certificate("c3.next"), next).unwrap();
            assert_eq!(named(until), ["c1"]);
            fs::remove_file(Layout::new(dir.path()).names()).unwrap();
            assert_eq!(named(until), Vec::<String>::new(), "nobody is accepted");
        }
    }
}
