//! A file that is published, while its broker is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::json;

use crate::common::setup::wait_link;
use crate::common::{Place, Setup, free_port, wait};
use crate::cutter::Cutter;
use crate::message::Route;
use crate::pair::{Daemon, Security, durable};
use crate::receiver::{Manner, Receiver};
use crate::seed::{Seed, file_size, gaps, kills};
use crate::session::Session;
use crate::transfers::{hash_of, write_file};

/// Megabytes of the file on every day.
const MEGABYTES: u64 = 60;

/// How often the broker is killed.
const KILLS: u64 = 5;

/// What lies among the files of publications of a broker: paths and lengths.
fn kept(broker: &Setup) -> Vec<(PathBuf, u64)> {
    let folders = fs::read_dir(&broker.dir).into_iter().flatten().flatten();
    let folders = folders.filter(|entry| entry.file_name().to_string_lossy().starts_with("files_"));
    let published = folders.filter_map(|entry| fs::read_dir(entry.path().join("published")).ok());
    let found = published.flatten().flatten();
    found.map(|entry| (entry.path(), entry.metadata().map_or(0, |found| found.len()))).collect()
}

#[test]
fn a_published_file_reaches_all_subscribers_whole_and_once_though_its_broker_is_killed() {
    let seed = Seed::new("a_published_file_reaches_all_subscribers_whole_and_once_though_its_broker_is_killed");
    let mut random = seed.random();
    let (place, port) = (Place::new(), free_port());
    let broker = durable(Setup::server(&place, port), Security::Plain).with("pubsub_central_broker", true);
    // The publisher comes through it, so what it carries is the progress there.
    let cutter = Cutter::start(port, || true);
    let client = |name: &str, port: u16| durable(Setup::client_in(&place, name, name, port), Security::Plain);
    let subscriber = |name: &str| {
        let config = json!({"big": {"target_directory": place.file("in").join(name), "override_existing": false}});
        client(name, port).with("subscribe_message_types", vec!["any"]).with("file_recv_config", config)
    };
    let mut broker = Daemon::start(broker);
    let mut clients = [client("pub1", cutter.port), subscriber("sub1"), subscriber("sub2")].map(Daemon::start);
    for client in &clients {
        wait::until("the client at the broker", || {
            broker.setup.admin().connected_peers().filter(|peers| peers.contains_key(&client.setup.id))
        });
    }
    let source = place.file("source");
    let size = (file_size(MEGABYTES) << 20) - 13;
    let hash = write_file(&source, size, random.u64(..));
    let targets = ["sub1", "sub2"].map(|name| place.file("in").join(name).join("a file"));
    let apps = [1, 2].map(|at| Receiver::listen(clients[at].setup.receive_socket("any"), Manner::Resumes));
    let with_file = json!({"src_path": source, "dst_type": "big", "dst_name": "a file"});
    let route = Route::new("_pubsub", &clients[0].setup, &broker.setup);
    let route = route.with("with_file", &with_file).with("message_type_publish", &"any".into());
    let sends = Session::new("publisher", "stored", clients[0].setup.send_socket(), route);
    sends.send_to(1);
    let come = || cutter.carried.get() + there(&place.file("in"));
    // It passes three links.
    let gaps = gaps(&mut random, usize::try_from(kills(KILLS)).expect("a few"), 3 * size * 9 / 10);
    eprintln!("the broker is killed after {gaps:?} bytes of {size}");
    let setup = broker.setup.clone();
    thread::scope(|scope| {
        let watch = scope.spawn(|| watch(&setup, &source, &targets, size));
        for gap in &gaps {
            let goal = come() + gap;
            wait::until("bytes that come", || (come() >= goal).then_some(()));
            broker.kill();
            broker.start_again();
        }
        apps.iter().for_each(|app| app.wait_number(0));
        watch.join().expect("a source that is removed");
    });
    for (app, target) in apps.iter().zip(&targets) {
        app.tally().assert_exact(1);
        app.assert_no_complaints();
        assert_eq!(hash_of(target), hash, "the file came as another");
    }
    wait::until("a broker that keeps nothing", || kept(&broker.setup).is_empty().then_some(()));
    broker.assert_sound();
    clients.iter_mut().for_each(Daemon::assert_sound);
}

/// Bytes of files that are in the folders of a folder.
fn there(folder: &Path) -> u64 {
    let folders = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = folders.filter_map(|folder| fs::read_dir(folder.path()).ok()).flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|found| found.len()).sum()
}

/// The source goes when the broker has all of it, and not before.
fn watch(broker: &Setup, source: &Path, targets: &[PathBuf], size: u64) {
    wait::until("a source that is removed", || (!source.exists()).then_some(()));
    let kept = kept(broker);
    let is_whole = |path: &PathBuf| fs::metadata(path).is_ok_and(|found| found.len() == size);
    let is_kept = kept.iter().any(|(path, length)| *length == size && !path.to_string_lossy().ends_with(".part"));
    assert!(is_kept || targets.iter().all(is_whole), "the source is gone, and the broker has {kept:?}");
}

#[test]
fn what_is_left_of_files_that_were_published_is_removed_at_the_start() {
    let (place, port) = (Place::new(), free_port());
    let mut broker = Daemon::start(Setup::server(&place, port).with("pubsub_central_broker", true));
    let config = json!({"big": {"target_directory": place.file("in"), "override_existing": false}});
    let slow = Setup::client_in(&place, "c", "sub1", port).with("subscribe_message_types", vec!["any"]);
    let slow = slow.with("file_recv_config", config);
    let subscriber = slow.start();
    wait_link(&broker.setup, &slow);
    nix::sys::signal::kill(subscriber.pid(), nix::sys::signal::Signal::SIGSTOP).expect("one that stands still");
    let source = place.file("source");
    write_file(&source, 40 << 20, 7);
    let with_file = json!({"src_path": source, "dst_type": "big", "dst_name": "f", "delete": false});
    let route = Route::new("_pubsub", &broker.setup, &broker.setup);
    let route = route.with("with_file", &with_file).with("message_type_publish", &"any".into());
    Session::new("own", "accepted", broker.setup.send_socket(), route).send_to(1);
    assert_eq!(kept(&broker.setup).len(), 1, "it lies there for the one that stands still");
    broker.kill();
    broker.start_again();
    assert_eq!(kept(&broker.setup), [], "its message lay in memory");
    broker.assert_sound();
}
