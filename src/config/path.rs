//! Where the paths of a config file lead.

use std::path::PathBuf;

use nix::unistd::{Uid, User};

use crate::wire::path::{self, PathError, Places};

/// Looks an environment variable up. Passed in, so that tests need not change the process's own.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The absolute path that `text` means.
pub(super) fn full_path(text: &str, env: Environment) -> Result<PathBuf, PathError> {
    path::full_path(text, &Places { variable: env, home: &home, current: std::env::current_dir().ok() })
}

fn home(name: &str) -> Option<String> {
    let user = if name.is_empty() { User::from_uid(Uid::current()) } else { User::from_name(name) };
    user.ok().flatten()?.dir.into_os_string().into_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_of_a_user_is_looked_up() {
        let root = User::from_name("root").unwrap().unwrap();
        assert_eq!(full_path("~root/x", &|_| None), Ok(root.dir.join("x")));
        let own = User::from_uid(Uid::current()).unwrap().unwrap();
        assert_eq!(full_path("~", &|_| None), Ok(own.dir));
    }

    #[test]
    fn a_relative_path_starts_at_the_current_folder() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(full_path("a/b", &|_| None), Ok(here.join("a/b")));
    }
}
