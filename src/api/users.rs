//! The users and groups of this machine, as its own files list them.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// The numbers of `nobody` and its group.
pub(super) fn nobody() -> io::Result<(u32, u32)> {
    let gid = id_of(GROUPS, "nogroup").or_else(|_| id_of(GROUPS, "nobody"))?;
    Ok((id_of(USERS, "nobody")?, gid))
}

/// The home folder of a user; an empty name is the user who runs this process.
pub(super) fn home(name: &str) -> Option<String> {
    let own = || fs::metadata("/proc/self").map(|process| process.uid()).ok();
    home_in(&fs::read_to_string(USERS).ok()?, name, own)
}

fn id_of(file: &str, name: &str) -> io::Result<u32> {
    let text = fs::read_to_string(file)?;
    id_in(&text, name).ok_or_else(|| io::Error::new(ErrorKind::NotFound, format!("{file} has no {name}")))
}

/// The number of `name` in lines of `NAME:PASSWORD:NUMBER:...`.
fn id_in(text: &str, name: &str) -> Option<u32> {
    let mut lines = text.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?)
}

/// The home of `name`, or of the user with the number `own`, in lines of `NAME:PASSWORD:NUMBER:GROUP:ABOUT:HOME:...`.
fn home_in(text: &str, name: &str, own: impl Fn() -> Option<u32>) -> Option<String> {
    let number = if name.is_empty() { Some(own()?.to_string()) } else { None };
    let mut users = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user = users.find(|user| match &number {
        Some(number) => user.get(2) == Some(&number.as_str()),
        None => user.first() == Some(&name),
    })?;
    user.get(5).filter(|home| !home.is_empty()).map(|home| (*home).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "root:x:0:0:root:/root:/bin/sh\nnobody2:x:7:7::/:/\nnobody:x:65534:65534:nobody::/bin/false\n";

    #[test]
    fn ids_are_found_by_whole_names() {
        assert_eq!((id_in(TEXT, "nobody"), id_in(TEXT, "root"), id_in(TEXT, "none")), (Some(65534), Some(0), None));
    }

    #[test]
    fn homes_are_found_by_name_and_by_number() {
        let home = |name, own| home_in(TEXT, name, || own);
        assert_eq!((home("root", None).as_deref(), home("", Some(7)).as_deref()), (Some("/root"), Some("/")));
        assert_eq!([home("nobody", None), home("none", None), home("", None), home("", Some(1))], [const { None }; 4]);
    }
}
