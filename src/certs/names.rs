//! `source_id_2_cert.json`: which certificate, by its serial number, belongs to which client.

use std::io;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::Error;
use super::files::{self, Stamp};

/// The key of the map from client names to serial numbers.
const SERIALS: &str = "source_id_2_cert";
/// The key of the map from serial numbers to client names.
const NAMES: &str = "cert_2_source_id";

/// The file, and what it held when it was last read.
#[derive(Debug)]
pub(super) struct Names {
    path: PathBuf,
    stamp: Option<Stamp>,
    content: Map<String, Value>,
}

impl Names {
    /// Reads the file; none is as good as an empty one.
    pub(super) fn open(path: PathBuf) -> Result<Self, Error> {
        let mut names = Self { path, stamp: None, content: Map::new() };
        names.reload()?;
        Ok(names)
    }

    /// Reads the file again if it changed. If it cannot be used, what was known stays, and the error comes once a change.
    pub(super) fn refresh(&mut self) -> Result<(), Error> {
        let now = self.look()?;
        let unchanged = match (&self.stamp, &now) {
            (None, None) => true,
            (Some(then), Some(now)) => then.holds(now),
            _ => false,
        };
        if unchanged { Ok(()) } else { self.reload() }
    }

    fn look(&self) -> Result<Option<Stamp>, Error> {
        Stamp::of(&self.path).map_err(|e| files::io_error("look at", &self.path, e))
    }

    fn reload(&mut self) -> Result<(), Error> {
        // The stamp is taken first: a change while reading then shows at the next look.
        self.stamp = self.look()?;
        self.content = match files::read(&self.path, "the list of clients' certificates") {
            Ok(text) => self.parse(&text)?,
            Err(Error::Missing { .. }) => Map::new(),
            Err(e) => return Err(e),
        };
        Ok(())
    }

    fn parse(&self, text: &[u8]) -> Result<Map<String, Value>, Error> {
        let wrong = |why: String| Error::NamesFile { path: self.path.clone(), why };
        let content = match serde_json::from_slice(text) {
            Ok(Value::Object(content)) => content,
            Ok(_) => return Err(wrong("it should hold a JSON object".to_owned())),
            Err(e) => return Err(wrong(format!("it is no JSON: {e}"))),
        };
        for key in [SERIALS, NAMES] {
            if content.get(key).is_some_and(|map| !map.is_object()) {
                return Err(wrong(format!("{key:?} should be an object")));
            }
        }
        Ok(content)
    }

    /// The client whose certificate has this serial number.
    pub(super) fn name_of(&self, serial: &str) -> Option<&str> {
        self.content.get(NAMES)?.get(serial)?.as_str()
    }

    /// The serial number of a client's certificate.
    pub(super) fn serial_of(&self, name: &str) -> Option<&str> {
        self.content.get(SERIALS)?.get(name)?.as_str()
    }

    /// The clients, and the serial numbers of their certificates.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.content.get(SERIALS).and_then(Value::as_object).into_iter().flatten();
        all.filter_map(|(name, serial)| Some((name.as_str(), serial.as_str()?)))
    }

    /// How many clients have a certificate.
    pub(super) fn count(&self) -> usize {
        self.content.get(SERIALS).and_then(Value::as_object).map_or(0, Map::len)
    }

    /// The file.
    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Adds a client and writes the file. What others wrote in the meantime, and keys that mean nothing here, stay.
    pub(super) fn add(&mut self, name: &str, serial: &str) -> Result<(), Error> {
        self.change(|serials, names| {
            serials.insert(name.to_owned(), serial.into());
            names.insert(serial.to_owned(), name.into());
        })
    }

    /// Takes a client out, if it is there with this serial number, and writes the file.
    pub(super) fn remove(&mut self, name: &str, serial: &str) -> Result<(), Error> {
        self.reload()?;
        if self.serial_of(name) != Some(serial) {
            return Ok(());
        }
        self.change(|serials, names| {
            serials.shift_remove(name);
            names.shift_remove(serial);
        })
    }

    /// Adds one more serial number by which a client is known, and writes the file.
    pub(super) fn add_serial(&mut self, name: &str, serial: &str) -> Result<(), Error> {
        self.change(|_, of_serials| {
            of_serials.insert(serial.to_owned(), name.into());
        })
    }

    /// Has a client known by this serial number alone, and writes the file if that is new.
    pub(super) fn keep_only(&mut self, name: &str, serial: &str) -> Result<(), Error> {
        self.reload()?;
        if self.serials_of(name) == [serial] {
            return Ok(());
        }
        self.change(|of_names, of_serials| {
            of_names.insert(name.to_owned(), serial.into());
            of_serials.retain(|number, owner| number == serial || owner != name);
            of_serials.insert(serial.to_owned(), name.into());
        })
    }

    /// Takes a client out, with all its serial numbers, and writes the file if it was there; the numbers.
    pub(super) fn forget(&mut self, name: &str) -> Result<Vec<String>, Error> {
        self.reload()?;
        let serials = self.serials_of(name);
        if !serials.is_empty() {
            self.change(|of_names, of_serials| {
                of_names.shift_remove(name);
                of_serials.retain(|_, owner| owner != name);
            })?;
        }
        Ok(serials)
    }

    /// All serial numbers by which a client is known, the one that it has first.
    fn serials_of(&self, name: &str) -> Vec<String> {
        let mut serials: Vec<String> = self.serial_of(name).map(str::to_owned).into_iter().collect();
        let all = self.content.get(NAMES).and_then(Value::as_object).into_iter().flatten();
        let others = all.filter(|(serial, owner)| *owner == name && !serials.contains(serial));
        let others: Vec<String> = others.map(|(serial, _)| serial.clone()).collect();
        serials.extend(others);
        serials
    }

    fn change(&mut self, edit: impl FnOnce(&mut Map<String, Value>, &mut Map<String, Value>)) -> Result<(), Error> {
        self.reload()?;
        let mut serials = self.take(SERIALS);
        let mut names = self.take(NAMES);
        edit(&mut serials, &mut names);
        let mut content = self.content.clone();
        content.insert(SERIALS.to_owned(), Value::Object(serials));
        content.insert(NAMES.to_owned(), Value::Object(names));
        let text =
            serde_json::to_vec(&content).map_err(|e| files::io_error("write", &self.path, io::Error::from(e)))?;
        files::write_whole(&self.path, &text, files::PUBLIC)?;
        self.content = content;
        self.stamp = None;
        Ok(())
    }

    fn take(&self, key: &str) -> Map<String, Value> {
        self.content.get(key).and_then(Value::as_object).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(text: &str) -> (tempfile::TempDir, Result<Names, Error>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("source_id_2_cert.json");
        fs::write(&path, text).unwrap();
        (dir, Names::open(path))
    }

    #[test]
    fn keys_that_mean_nothing_here_stay_and_so_does_what_others_added() {
        let (_dir, names) = names(r#"{"note":[1],"source_id_2_cert":{"a":"01"},"cert_2_source_id":{"01":"a"}}"#);
        let mut names = names.unwrap();
        fs::write(names.path(), r#"{"note":[2],"source_id_2_cert":{"b":"02"},"cert_2_source_id":{"02":"b"}}"#).unwrap();
        names.add("c", "03").unwrap();
        assert_eq!(
            fs::read_to_string(names.path()).unwrap(),
            r#"{"note":[2],"source_id_2_cert":{"b":"02","c":"03"},"cert_2_source_id":{"02":"b","03":"c"}}"#
        );
        names.remove("b", "99").unwrap();
        assert_eq!(names.name_of("02"), Some("b"));
        names.remove("b", "02").unwrap();
        assert_eq!((names.name_of("02"), names.count()), (None, 1));
    }

    #[test]
    fn a_file_that_is_broken_later_leaves_what_was_known() {
        let (_dir, names) = names(r#"{"cert_2_source_id":{"01":"a"}}"#);
        let mut names = names.unwrap();
        fs::write(names.path(), "{\"cert_2").unwrap();
        assert!(matches!(names.refresh(), Err(Error::NamesFile { .. })));
        assert_eq!(names.name_of("01"), Some("a"));
        fs::remove_file(names.path()).unwrap();
        names.refresh().unwrap();
        assert_eq!(names.name_of("01"), None);
    }

    #[test]
    fn a_file_of_another_shape_is_an_error_from_the_start() {
        for text in ["[]", "{", r#"{"cert_2_source_id":[]}"#, ""] {
            assert!(matches!(names(text).1, Err(Error::NamesFile { .. })), "{text}");
        }
    }
}
