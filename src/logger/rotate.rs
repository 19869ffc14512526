//! A log file that begins anew when it is full; the full ones become `NAME.1.gz`, `NAME.2.gz` and so on.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use flate2::Compression;
use flate2::write::GzEncoder;

/// The ending of a compressed file.
const COMPRESSED: &str = ".gz";

/// A log file and its backups.
pub(super) struct RotatingFile {
    path: PathBuf,
    /// Bytes over which the file must not grow.
    limit: Option<u64>,
    /// How many backups are kept.
    backups: u64,
    file: Option<File>,
    /// Compression takes a second for the usual size, which the loop that logs cannot wait for.
    compressing: Option<JoinHandle<()>>,
}

impl RotatingFile {
    /// Nothing is opened before the first line.
    pub fn new(path: PathBuf, limit: Option<u64>, backups: u64) -> Self {
        Self { path, limit, backups, file: None, compressing: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends `line`, after a rotation if the file would grow over its limit.
    ///
    /// A file that somebody moved or removed is made again.
    pub fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        let size = self.open()?;
        if let Some(limit) = self.limit
            && size > 0
            && size.saturating_add(line.len() as u64) > limit
        {
            self.rotate()?;
            self.open()?;
        }
        match &mut self.file {
            Some(file) => file.write_all(line),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Opens the file unless it is open and still in its place. Returns its size in bytes.
    fn open(&mut self) -> io::Result<u64> {
        if let Some(file) = &self.file
            && let Ok(in_place) = fs::metadata(&self.path)
            && is_same(&file.metadata()?, &in_place)
        {
            return Ok(in_place.len());
        }
        self.file = None;
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        let size = file.metadata()?.len();
        self.file = Some(file);
        Ok(size)
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        if self.backups == 0 {
            return OpenOptions::new().write(true).open(&self.path)?.set_len(0);
        }
        self.finish_compression();
        for number in (1..=self.backups).rev() {
            for ending in ["", COMPRESSED] {
                self.move_backup(number, ending)?;
            }
        }
        let newest = self.backup(1, "");
        fs::rename(&self.path, &newest)?;
        // No thread to be had: the backup stays as it is, which loses nothing.
        self.compressing =
            std::thread::Builder::new().name("log-gzip".to_owned()).spawn(move || compress(&newest)).ok();
        Ok(())
    }

    /// Waits for the backup of the last rotation, so that there is never more than one thread.
    fn finish_compression(&mut self) {
        if let Some(thread) = self.compressing.take() {
            // It returns nothing, and a backup that it left uncompressed is moved like any other.
            _ = thread.join();
        }
    }

    /// Makes room at `number`: moves that backup up by one, or removes it if it is the oldest that is kept.
    fn move_backup(&self, number: u64, ending: &str) -> io::Result<()> {
        let from = self.backup(number, ending);
        let done = if number == self.backups {
            fs::remove_file(from)
        } else {
            fs::rename(from, self.backup(number + 1, ending))
        };
        match done {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn backup(&self, number: u64, ending: &str) -> PathBuf {
        with_ending(&self.path, &format!(".{number}{ending}"))
    }
}

impl Drop for RotatingFile {
    fn drop(&mut self) {
        self.finish_compression();
    }
}

fn is_same(open: &Metadata, in_place: &Metadata) -> bool {
    (open.dev(), open.ino()) == (in_place.dev(), in_place.ino())
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Replaces `path` by `path.gz`. If that fails, `path` stays.
fn compress(path: &Path) {
    let unfinished = with_ending(path, ".gz.tmp");
    if let Err(error) = compress_to(path, &unfinished) {
        _ = fs::remove_file(&unfinished);
        _ = writeln!(io::stderr(), "{}: cannot be compressed: {error}", path.display());
    }
}

fn compress_to(path: &Path, unfinished: &Path) -> io::Result<()> {
    let mut encoder = GzEncoder::new(File::create(unfinished)?, Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?;
    fs::rename(unfinished, with_ending(path, COMPRESSED))?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    struct Logs {
        folder: tempfile::TempDir,
    }

    impl Logs {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap() }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("x.log")
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.folder.path()).unwrap();
            let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }

        fn unzip(&self, name: &str) -> String {
            let mut text = String::new();
            GzDecoder::new(File::open(self.folder.path().join(name)).unwrap()).read_to_string(&mut text).unwrap();
            text
        }
    }

    #[test]
    fn full_files_become_numbered_gzip_backups_and_the_oldest_goes() {
        let logs = Logs::new();
        let mut file = RotatingFile::new(logs.path(), Some(10), 2);
        for line in ["line 1\n", "line 2\n", "line 3\n", "line 4\n"] {
            file.write_line(line.as_bytes()).unwrap();
        }
        drop(file);
        assert_eq!(logs.names(), ["x.log", "x.log.1.gz", "x.log.2.gz"]);
        assert_eq!(fs::read_to_string(logs.path()).unwrap(), "line 4\n");
        assert_eq!(logs.unzip("x.log.1.gz"), "line 3\n");
        assert_eq!(logs.unzip("x.log.2.gz"), "line 2\n");
    }

    #[test]
    fn a_file_is_filled_up_to_its_limit_across_restarts() {
        let logs = Logs::new();
        for _ in 0..2 {
            RotatingFile::new(logs.path(), Some(10), 2).write_line(b"1234\n").unwrap();
        }
        assert_eq!(logs.names(), ["x.log"]);
        RotatingFile::new(logs.path(), Some(10), 2).write_line(b"\n").unwrap();
        assert_eq!(logs.unzip("x.log.1.gz"), "1234\n1234\n");
        assert_eq!(fs::read_to_string(logs.path()).unwrap(), "\n");
    }

    #[test]
    fn a_line_longer_than_the_limit_is_written_whole() {
        let logs = Logs::new();
        RotatingFile::new(logs.path(), Some(3), 2).write_line(b"long line\n").unwrap();
        assert_eq!(fs::read_to_string(logs.path()).unwrap(), "long line\n");
    }

    #[test]
    fn a_backup_that_was_not_compressed_is_moved_too() {
        let logs = Logs::new();
        fs::write(logs.folder.path().join("x.log.1"), "left over\n").unwrap();
        fs::write(logs.path(), "full file\n").unwrap();
        RotatingFile::new(logs.path(), Some(10), 5).write_line(b"new\n").unwrap();
        assert_eq!(logs.names(), ["x.log", "x.log.1.gz", "x.log.2"]);
        assert_eq!(logs.unzip("x.log.1.gz"), "full file\n");
    }

    #[test]
    fn without_backups_a_full_file_is_emptied() {
        let logs = Logs::new();
        let mut file = RotatingFile::new(logs.path(), Some(10), 0);
        file.write_line(b"line 1\n").unwrap();
        file.write_line(b"line 2\n").unwrap();
        assert_eq!(logs.names(), ["x.log"]);
        assert_eq!(fs::read_to_string(logs.path()).unwrap(), "line 2\n");
    }

    #[test]
    fn without_a_limit_the_file_grows() {
        let logs = Logs::new();
        let mut file = RotatingFile::new(logs.path(), None, 2);
        for _ in 0..100 {
            file.write_line(b"line\n").unwrap();
        }
        assert_eq!(logs.names(), ["x.log"]);
    }

    #[test]
    fn a_file_or_folder_that_went_away_is_made_again() {
        let logs = Logs::new();
        let path = logs.folder.path().join("logs/x.log");
        let mut file = RotatingFile::new(path.clone(), Some(100), 2);
        file.write_line(b"one\n").unwrap();
        fs::rename(&path, logs.path()).unwrap();
        file.write_line(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        file.write_line(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }
}
