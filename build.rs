//! Notes the commit that a release is built from, for `--version`: see `src/version.rs`.
//!
//! It is, of these, the first that there is:
//! - the environment variable `AIOCONNECTORS_COMMIT`, for those who build from an export of the source;
//! - in the package's own repository, what HEAD is. Its files are read here, so git need not be installed, and a
//!   repository that only lies around the package is not taken for its own;
//! - in a package of cargo's, what cargo has noted of its repository.
//!
//! Debug builds look at the variable only: else each commit would have all tests compiled again.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

const VARIABLE: &str = "AIOCONNECTORS_COMMIT";

/// So many digits of a commit are shown.
const DIGITS: usize = 12;

fn main() {
    println!("cargo:rerun-if-env-changed={VARIABLE}");
    println!("cargo:rerun-if-changed=build.rs");
    let given = env::var(VARIABLE).ok();
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let found = given.or_else(|| if is_release { of_repository().or_else(of_package) } else { None });
    let is_commit = |text: &String| text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(mut commit) = found.map(|text| text.trim().to_owned()).filter(is_commit) {
        commit.truncate(DIGITS);
        println!("cargo:rustc-env={VARIABLE}={commit}");
    }
}

/// Reads a file that decides; a change of it has this program run again. A file that is not there would have it run
/// always, so that is said of the folder instead.
fn read(path: &Path) -> Option<String> {
    let existing = path.ancestors().find(|path| path.exists())?;
    println!("cargo:rerun-if-changed={}", existing.display());
    fs::read_to_string(path).ok()
}

fn of_repository() -> Option<String> {
    let git = Path::new(".git");
    // In a worktree of git's, it is a file that names the folder.
    let own = match fs::read_to_string(git).ok() {
        Some(text) => PathBuf::from(text.strip_prefix("gitdir:")?.trim()),
        None if git.is_dir() => git.to_owned(),
        None => return None,
    };
    let common = fs::read_to_string(own.join("commondir")).map_or(own.clone(), |text| own.join(text.trim()));
    let head = read(&own.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref:").map(str::trim) else { return Some(head) };
    read(&common.join(name)).or_else(|| {
        let packed = read(&common.join("packed-refs"))?;
        let line = packed.lines().find(|line| line.ends_with(&format!(" {name}")))?;
        line.split(' ').next().map(str::to_owned)
    })
}

fn of_package() -> Option<String> {
    let info = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = info.split_once("\"sha1\"")?;
    rest.split('"').nth(1).map(str::to_owned)
}
