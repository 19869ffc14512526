//! What `build.rs` finds out about the commit, in packages as there are: it is built and run by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const HASH: &str = "0123456789abcdef0123456789abcdef01234567";
const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba98";

/// The build script as a program.
fn program(folder: &Path) -> PathBuf {
    let program = folder.join("build");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/build.rs");
    let rustc = option_env!("RUSTC").unwrap_or("rustc");
    let status = Command::new(rustc).args(["--edition=2024", "-o"]).arg(&program).arg(script).status();
    assert!(status.expect("rustc").success());
    program
}

fn write(path: PathBuf, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The commit that it says for the package in `folder`, and the files that it watches.
fn said(program: &Path, folder: &Path, variables: &[(&str, &str)]) -> (Option<String>, Vec<String>) {
    let mut command = Command::new(program);
    command.current_dir(folder).env_remove("AIOCONNECTORS_COMMIT").env("PROFILE", "release");
    let output = command.envs(variables.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let after = |start: &str| text.lines().filter_map(|line| line.strip_prefix(start)).map(str::to_owned).collect();
    let commits: Vec<String> = after("cargo:rustc-env=AIOCONNECTORS_COMMIT=");
    (commits.into_iter().next(), after("cargo:rerun-if-changed="))
}

#[test]
fn the_commit_is_found_in_repositories_worktrees_and_packages() {
    let place = tempfile::tempdir().unwrap();
    let program = program(place.path());
    let package = place.path().join("package");
    let git = package.join(".git");
    fs::create_dir(&package).unwrap();
    let commit = |variables: &[_]| said(&program, &package, variables);
    let short = |hash: &str| Some(hash[..12].to_owned());

    // Nothing says it: an unpacked archive.
    assert_eq!(commit(&[]), (None, vec!["build.rs".to_owned()]));
    write(package.join(".cargo_vcs_info.json"), &format!("{{\n  \"git\": {{\n    \"sha1\": \"{OTHER}\"\n  }}\n}}"));
    assert_eq!(commit(&[]).0, short(OTHER));

    // A repository: a detached HEAD, a branch among packed ones, a branch by itself.
    write(git.join("HEAD"), &format!("{HASH}\n"));
    assert_eq!(commit(&[]).0, short(HASH));
    write(git.join("HEAD"), "ref: refs/heads/main\n");
    fs::create_dir_all(git.join("refs/heads")).unwrap();
    write(git.join("packed-refs"), &format!("# pack-refs\n{HASH} refs/heads/main-old\n{OTHER} refs/heads/main\n"));
    let (packed, watched) = commit(&[]);
    assert_eq!(packed, short(OTHER));
    assert_eq!(watched, ["build.rs", ".git/HEAD", ".git/refs/heads", ".git/packed-refs"]);
    write(git.join("refs/heads/main"), &format!("{HASH}\n"));
    let (loose, watched) = commit(&[]);
    assert_eq!(
        (loose, watched),
        (short(HASH), ["build.rs", ".git/HEAD", ".git/refs/heads/main"].map(str::to_owned).into())
    );

    // Debug builds do not follow commits. Who builds from an export says it.
    assert_eq!(commit(&[("PROFILE", "debug")]), (None, vec!["build.rs".to_owned()]));
    assert_eq!(commit(&[("AIOCONNECTORS_COMMIT", OTHER)]).0, short(OTHER));
    assert_eq!(commit(&[("AIOCONNECTORS_COMMIT", "main\"; rm")]).0, None);

    // A worktree has its own HEAD, and branches in common.
    let tree = place.path().join("tree");
    let own = git.join("worktrees/tree");
    write(tree.join(".git"), &format!("gitdir: {}\n", own.display()));
    write(own.join("HEAD"), "ref: refs/heads/work\n");
    write(own.join("commondir"), "../..\n");
    write(git.join("refs/heads/work"), &format!("{OTHER}\n"));
    assert_eq!(said(&program, &tree, &[]).0, short(OTHER));
}
