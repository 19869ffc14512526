//! What messages must not do: names that lead elsewhere, links in the way, what is too long.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use serde_json::{Value, json};

use super::beneath::{Folder, How, Missing};
use super::testing::{Rig, header_from, incoming, key, names, refusal};
use crate::core::files::{FileError, Files};

fn refused(rig: &mut Rig, with_file: &Value) -> String {
    let error = refusal(rig.receive(None, with_file, b"x"));
    assert_eq!(rig.entries(), 0, "{error}");
    error
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let mut rig = Rig::new();
    for (name, why) in [
        ("../x", "leads elsewhere"),
        ("a/../../x", "leads elsewhere"),
        ("/etc/x", "absolute"),
        ("", "empty"),
        ("a\0b", "NUL"),
        (&"x".repeat(256), "256 bytes, 255 is the most"),
        (&"x/".repeat(1000), "bytes, 1024 is the most"),
    ] {
        let error = refused(&mut rig, &json!({"dst_name": name}));
        assert!(error.contains("dst_name") && error.contains(why) && error.contains("is right"), "{error}");
    }
    assert!(!rig.dir.path().join("in").exists(), "nothing is made for them");
}

#[test]
fn what_is_not_set_up_is_refused_with_the_key_to_set() {
    let mut rig = Rig::new();
    rig.max = 10;
    rig.start();
    let error = refused(&mut rig, &json!({"dst_name": "a", "dst_type": "other"}));
    assert!(error.contains("file_recv_config") && error.contains("\"other\""), "{error}");
    let error = refused(&mut rig, &json!({"dst_name": "a", "dst_type": ""}));
    assert!(error.contains("dst_type"), "{error}");
    let error = refused(&mut rig, &json!({"dst_name": "a", "file_error": "no such file"}));
    assert!(error.contains("no such file"), "{error}");
    let error = refusal(rig.receive(None, &json!({"dst_name": "a"}), &[0; 11]));
    assert!(error.contains("max_size_file_upload_recv allows 10"), "{error}");
    assert!(rig.files.begin(&incoming(None, b"{", 1)).is_err());
}

#[test]
fn a_header_key_that_is_no_name_is_refused() {
    let mut rig = Rig::new();
    for source in ["..", "a/b", "", ".", "/"] {
        let header = header_from(source, &json!({"dst_name": "a"}));
        let error = refusal(rig.files.begin(&incoming(None, &header, 1)));
        assert!(error.contains("source_id") && error.contains("file_recv_config.any"), "{error}");
    }
    assert_eq!(names(rig.dir.path()), [""; 0]);
}

#[test]
fn no_link_is_followed_below_the_operators_folder() {
    for how in [How::Kernel, How::Walk] {
        let mut rig = Rig::new().overriding();
        rig.files.how = how;
        let outside = rig.dir.path().join("outside");
        fs::create_dir_all(rig.target("sub")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("a"), "old").unwrap();
        symlink(&outside, rig.target("link")).unwrap();
        symlink(outside.join("a"), rig.target("a")).unwrap();
        symlink("/nowhere", rig.target("dangling")).unwrap();
        symlink("sub", rig.target("inside")).unwrap();
        symlink(&outside, rig.dir.path().join("in/client2")).unwrap();
        fs::create_dir(rig.target("folder")).unwrap();
        for name in ["link/a", "link/new", "link/x/y", "inside/a", "dangling/a", "a", "dangling", "folder"] {
            let error = refused(&mut rig, &json!({"dst_name": name}));
            assert!(error.contains("link"), "{how:?} {name}: {error}");
        }
        let header = header_from("client2", &json!({"dst_name": "new"}));
        assert!(refusal(rig.files.begin(&incoming(None, &header, 1))).contains("link"));
        assert_eq!(names(&outside), ["a"]);
        assert_eq!(fs::read(outside.join("a")).unwrap(), b"old");
        rig.receive(None, &json!({"dst_name": "sub/a"}), b"x").unwrap();
        assert_eq!(names(&rig.target("sub")), ["a"]);
    }
}

#[test]
fn the_operators_own_links_are_followed() {
    let mut rig = Rig::new();
    let real = rig.dir.path().join("real");
    fs::create_dir(&real).unwrap();
    symlink(&real, rig.dir.path().join("in")).unwrap();
    rig.receive(None, &json!({"dst_name": "a"}), b"x").unwrap();
    assert_eq!(names(&real.join("client1")), ["a"]);
}

/// Swaps a folder and a link to elsewhere, again and again, while folders are opened and files made beneath.
#[test]
fn a_link_that_is_swapped_in_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (base, outside) = (dir.path().join("in"), dir.path().join("outside"));
    fs::create_dir_all(base.join("a/b")).unwrap();
    fs::create_dir_all(outside.join("b")).unwrap();
    symlink(&outside, base.join("swap")).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = Over(&done);
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                swap(&base.join("a"), &base.join("swap"));
            }
        });
        let parts = ["a".to_owned(), "b".to_owned()];
        for how in [How::Kernel, How::Walk] {
            let (mut came_in, mut refused) = (0, 0);
            // Until both were seen: how often that takes depends on the machine.
            while came_in < 50 || refused < 50 {
                match Folder::open(how, &base, &parts, Missing::Make(None)).and_then(|folder| folder.create("x")) {
                    Ok(_) => came_in += 1,
                    Err(FileError::Refused(_) | FileError::Later(_)) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        drop(over);
    });
    assert_eq!(names(&outside.join("b")), [""; 0]);
    assert_eq!(names(&outside), ["b"]);
}

/// Says that it is over, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn swap(one: &Path, other: &Path) {
    let here = nix::fcntl::AT_FDCWD;
    nix::fcntl::renameat2(here, one, here, other, RenameFlags::RENAME_EXCHANGE).unwrap();
}

#[test]
fn a_disk_without_renaming_that_spares_others_links_instead() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(How::best(), dir.path(), &[], Missing::Fail).unwrap();
    for name in ["new", "taken"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    assert_eq!(folder.link_and_unlink("new", &folder, "taken"), Err(Errno::EEXIST));
    assert_eq!(fs::read(dir.path().join("taken")).unwrap(), b"taken");
    folder.link_and_unlink("new", &folder, "free").unwrap();
    assert_eq!(names(dir.path()), ["free", "taken"]);
}

#[test]
fn nothing_comes_among_the_connectors_own_files() {
    let mut rig = Rig::new();
    let own = rig.dir.path().join("own");
    rig.config.target_directory = own.join("{source_id}").to_str().unwrap().to_owned();
    rig.start();
    for source in ["certificates", "spool_server_1", "files_server_1"] {
        let header = header_from(source, &json!({"dst_name": "sub/a"}));
        let error = refusal(rig.files.begin(&incoming(None, &header, 1)));
        assert!(error.contains("own folder") && error.contains("file_recv_config"), "{error}");
    }
    rig.receive(None, &json!({"dst_name": "a"}), b"x").unwrap();
    assert_eq!(names(&own), ["client1"]);
    // By way of a link of the operator's.
    symlink(&own, rig.dir.path().join("link")).unwrap();
    for template in ["own", "link", "link/certificates", "own/x/../certificates"] {
        rig.config.target_directory = rig.dir.path().join(template).to_str().unwrap().to_owned();
        fs::create_dir_all(own.join("x")).unwrap();
        rig.start();
        let error = refused(&mut rig, &json!({"dst_name": "a"}));
        assert!(error.contains("own folder"), "{template}: {error}");
    }
}

#[test]
fn names_of_partial_files_are_the_connectors_own() {
    let mut rig = Rig::new().overriding();
    let header = header_from("client1", &json!({"dst_name": "a"}));
    rig.files.begin(&incoming(Some(&key(1)), &header, 3)).unwrap();
    let partial = rig.there().remove(0);
    let error = refusal(rig.receive(None, &json!({"dst_name": partial}), b"x"));
    assert!(error.contains("connector's own"), "{error}");
}

#[test]
fn a_partial_file_that_is_a_link_is_not_written_through() {
    let mut rig = Rig::new();
    let header = header_from("client1", &json!({"dst_name": "a"}));
    let key = key(1);
    let coming = incoming(Some(&key), &header, 3);
    rig.files.begin(&coming).unwrap();
    let partial = rig.target(&rig.there()[0]);
    let victim = rig.dir.path().join("victim");
    fs::write(&victim, "v").unwrap();
    fs::remove_file(&partial).unwrap();
    symlink(&victim, &partial).unwrap();
    rig.start();
    let (file, there) = rig.begin(&coming).unwrap();
    assert_eq!(there, 0);
    rig.files.write(file, b"new").unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"v");
}
