//! Sending a file, or all files of a folder: it is offered first, and sent when the other side wants it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::words::{TYPE, UPLOAD, Word};
use crate::api::{ApiError, ConnectorApi, File, Message};
use crate::cli::exit;
use crate::cli::progress::size;

/// Most files of a folder.
const FILES_MAX: usize = 100_000;

/// Deepest folder in a folder.
const DEPTH_MAX: usize = 64;

/// How long a person may think.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3600);

/// How long a file may take.
const FILE_TIMEOUT: Duration = Duration::from_secs(86_400);

/// A file to send.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    path: PathBuf,
    /// Below the folder, or its name.
    name: String,
    bytes: u64,
}

/// What was typed behind `!upload`, as it was found.
#[derive(Debug)]
pub struct Upload {
    id: String,
    name: String,
    folder: bool,
    sources: Vec<Source>,
    /// What is in the folder and is not sent, and why.
    pub left_out: Vec<String>,
}

/// What became of an upload.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// So many files are there.
    Sent(usize),
    /// The other side does not want it.
    Declined,
}

impl Upload {
    /// Looks at what there is to send at `path`. `id` names the offer.
    ///
    /// # Errors
    /// In words: there is nothing to send, or too much.
    pub fn find(path: &Path, id: String) -> Result<Self, String> {
        let told = |e: io::Error| format!("{}: {e}", path.display());
        let path = path.canonicalize().map_err(told)?;
        let metadata = path.metadata().map_err(told)?;
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| format!("{}: it has no name of UTF-8", path.display()))?.to_owned();
        let mut upload = Self { id, name: name.clone(), folder: metadata.is_dir(), sources: vec![], left_out: vec![] };
        if metadata.is_dir() {
            upload.gather(&path, "", 0).map_err(told)?;
            if upload.sources.len() > FILES_MAX {
                return Err(format!("{}: more than {FILES_MAX} files", path.display()));
            }
        } else if metadata.is_file() {
            upload.sources.push(Source { path, name, bytes: metadata.len() });
        } else {
            return Err(format!("{}: it is neither a file nor a folder", path.display()));
        }
        Ok(upload)
    }

    /// Adds what is in a folder; links are not followed.
    fn gather(&mut self, folder: &Path, prefix: &str, depth: usize) -> io::Result<()> {
        let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let mut leave_out = |why: &str| self.left_out.push(format!("{}: {why}", path.display()));
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                leave_out("its name is not UTF-8");
                continue;
            };
            let name = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() && depth < DEPTH_MAX {
                self.gather(&path, &format!("{name}/"), depth + 1)?;
            } else if kind.is_file() && self.sources.len() <= FILES_MAX {
                let bytes = entry.metadata()?.len();
                self.sources.push(Source { path, name, bytes });
            } else {
                leave_out(if kind.is_dir() { "too deep" } else { "it is no file" });
            }
        }
        Ok(())
    }

    /// In words, what it is.
    pub fn describe(&self) -> String {
        let bytes = self.sources.iter().map(|source| source.bytes).sum();
        describe(&self.name, self.folder, self.sources.len() as u64, bytes)
    }

    /// Offers it to `peer`, and sends it if that is wanted. `tell` is told what goes on.
    ///
    /// # Errors
    /// In words.
    pub fn send(&self, api: &ConnectorApi, peer: &str, tell: impl Fn(String)) -> Result<End, String> {
        let (files, bytes) = (self.sources.len() as u64, self.sources.iter().map(|source| source.bytes).sum());
        let offer = Word::Offer { id: self.id.clone(), name: self.name.clone(), folder: self.folder, files, bytes };
        let text = format!("Receiving {}", self.describe());
        let request = |word: &Word, text: &str, file: Option<File<'_>>, timeout| {
            let header = word.header();
            let id = self.id.as_str();
            let mut message = api.send_message(TYPE).destination(peer).request_id(id).text(text).header(&header);
            if let Some(file) = file {
                message = message.file(file);
            }
            message.await_response(timeout).map_err(|e| words(&e))
        };
        let answer = request(&offer, &text, None, ANSWER_TIMEOUT)?;
        let offered = match Word::of(&answer) {
            Some(Word::Accept(true)) => true,
            Some(Word::Accept(false)) => return Ok(End::Declined),
            _ => false,
        };
        for (number, source) in self.sources.iter().enumerate() {
            let (kept_name, flat_name) = (format!("{}-{number}", self.id), source.name.replace('/', "_"));
            let file = File::new(&source.path);
            let file = match offered {
                true => file.dst_type(UPLOAD).dst_name(&kept_name),
                // A chat of the Python package knows of no folders.
                false => file.dst_type(TYPE).dst_name(&flat_name),
            };
            if self.folder {
                tell(format!("{} ({} of {files})", source.name, number + 1));
            }
            let word = Word::File { id: self.id.clone(), path: source.name.clone() };
            let answer = request(&word, "", Some(file), FILE_TIMEOUT)?;
            taken(&answer).map_err(|why| format!("{}: {why}", source.name))?;
        }
        if offered {
            let header = Word::Done { id: self.id.clone() }.header();
            api.send_message(TYPE).destination(peer).header(&header).send().map_err(|e| words(&e))?;
        }
        Ok(End::Sent(self.sources.len()))
    }
}

fn taken(answer: &Message) -> Result<(), String> {
    match Word::of(answer) {
        Some(Word::Taken(Some(why))) => Err(format!("the other side has not got it: {}", super::words::harmless(&why))),
        _ => Ok(()),
    }
}

fn words(error: &ApiError) -> String {
    exit::words(error)
}

/// A file or folder in words.
pub fn describe(name: &str, folder: bool, files: u64, bytes: u64) -> String {
    match folder {
        true => format!("folder {name} ({files} file{}, {})", if files == 1 { "" } else { "s" }, size(bytes)),
        false => format!("{name} ({})", size(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_all_files_in_it_and_no_links() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("top");
        fs::create_dir_all(folder.join("a/b")).unwrap();
        fs::write(folder.join("one"), "1").unwrap();
        fs::write(folder.join("a/b/two"), "22").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.join("link")).unwrap();
        let upload = Upload::find(&folder, "id".to_owned()).unwrap();
        let names: Vec<_> = upload.sources.iter().map(|source| (source.name.as_str(), source.bytes)).collect();
        assert_eq!(names, [("a/b/two", 2), ("one", 1)]);
        assert_eq!(upload.describe(), "folder top (2 files, 3 bytes)");
        assert!(upload.left_out.len() == 1 && upload.left_out[0].ends_with("link: it is no file"));
    }

    #[test]
    fn a_file_has_its_own_name_and_what_is_not_there_is_told() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("f"), "123").unwrap();
        let upload = Upload::find(&dir.path().join("f"), "id".to_owned()).unwrap();
        assert_eq!(upload.describe(), "f (3 bytes)");
        assert!(Upload::find(&dir.path().join("g"), "id".to_owned()).unwrap_err().contains("No such file"));
    }
}
