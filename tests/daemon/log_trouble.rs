//! Logs that cannot be written: the connector goes on, or its service manager learns that it does not.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc::O_NONBLOCK;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

use crate::common::{Setup, wait};
use crate::link::{Link, Witness};
use crate::service::Service;

/// Its log goes to a folder of its own, where `make` makes the file first.
fn logging(setup: Setup, make: impl Fn(&Path)) -> (Setup, PathBuf) {
    let folder = setup.dir.with_extension("logs");
    let file = folder.join("aioconnectors.log");
    if !folder.exists() {
        fs::create_dir(&folder).expect("a folder for logs");
        make(&file);
    }
    (setup.with("default_logger_dirpath", folder.to_str().expect("a path of UTF-8")), file)
}

#[test]
fn a_full_disk_for_logs_costs_no_message_and_is_used_again_when_it_has_room() {
    let full = |file: &Path| symlink("/dev/full", file).expect("a link to a file that is full");
    let link = Link::start_with(|setup| logging(setup, full).0);
    let mut witness = Witness::start(&link);
    let line = link.server_process.wait_error(&["cannot be written, so the log goes to stderr"]);
    assert!(line.contains("aioconnectors.log") && line.contains("No space left"), "{line}");
    link.server_process.wait_said("runs: version");
    witness.speak();
    let (_, file) = logging(link.server.clone(), |_| ());
    fs::remove_file(&file).expect("the link goes");
    link.server_process.signal(Signal::SIGHUP);
    link.server_process.wait_error(&["can be written again"]);
    wait::until("a line in the log", || fs::read_to_string(&file).ok().filter(|text| !text.is_empty()));
    witness.speak();
}

/// A pipe that nobody reads stands for a disk that hangs: who writes to it waits.
#[test]
fn a_log_whose_disk_hangs_stops_the_loop_and_the_watchdog_hears_nothing_until_it_goes_on() {
    let fifo = |file: &Path| nix::unistd::mkfifo(file, Mode::from_bits_truncate(0o600)).expect("a pipe");
    let mut reader = None;
    let mut service = Service::start_with("200000", |setup| {
        let (setup, file) = logging(setup, fifo);
        let open = |options: &mut OpenOptions| options.custom_flags(O_NONBLOCK).open(&file).expect("the pipe");
        // Without a reader it could not be opened to be written.
        let read = open(OpenOptions::new().read(true));
        reader = Some((read, open(OpenOptions::new().write(true))));
        setup
    });
    let (mut read, mut write) = reader.expect("it was opened above");
    service.wait("WATCHDOG=1");
    while fill(&mut write) {}
    service.process().signal(Signal::SIGHUP);
    wait::until("a loop that does not turn", || service.is_silent_for(Duration::from_secs(1)).then_some(()));
    wait::until("a sign of life", || {
        empty(&mut read);
        service.has_said("WATCHDOG=1").then_some(())
    });
}

/// Whether some went in.
fn fill(write: &mut File) -> bool {
    match write.write(&[b'\n'; 4096]) {
        Ok(n) => n > 0,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("the pipe cannot be filled: {error}"),
    }
}

fn empty(read: &mut File) {
    let mut bytes = [0; 65_536];
    while read.read(&mut bytes).is_ok_and(|n| n > 0) {}
}
