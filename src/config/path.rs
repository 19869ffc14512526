//! Paths as people write them: `~`, `$VAR`, relative.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use nix::unistd::{Uid, User};

/// Looks an environment variable up. Passed in, so that tests need not change the process's own.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PathError {
    Empty,
    Nul,
    /// It names a variable that is not set.
    UnsetVariable(String),
    /// `~` or `~NAME` of a user who has no home.
    NoHome(String),
    /// It is relative to a current folder that is gone.
    NoCurrentFolder,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathError::Empty => write!(f, "this is empty"),
            PathError::Nul => write!(f, "this has a NUL character"),
            PathError::UnsetVariable(name) => write!(f, "the environment variable {name} is not set"),
            PathError::NoHome(tilde) => write!(f, "{tilde} has no home folder"),
            PathError::NoCurrentFolder => write!(f, "this is relative, and the current folder cannot be found"),
        }
    }
}

/// `text` with `~`, `~NAME`, `$VAR` and `${VAR}` replaced, made absolute, without `.` and `..`.
///
/// `..` takes the name before it away, whether that is a symbolic link or not, as `os.path.abspath` of Python does.
/// An unset variable is an error, where Python would make a folder that is named `$VAR`.
pub(super) fn full_path(text: &str, env: Environment) -> Result<PathBuf, PathError> {
    if text.is_empty() {
        return Err(PathError::Empty);
    }
    if text.contains('\0') {
        return Err(PathError::Nul);
    }
    let expanded = expand_variables(&expand_tilde(text, env)?, env)?;
    let absolute = std::path::absolute(&expanded).map_err(|_| PathError::NoCurrentFolder)?;
    Ok(without_dots(&absolute))
}

fn expand_tilde(text: &str, env: Environment) -> Result<String, PathError> {
    let Some(rest) = text.strip_prefix('~') else { return Ok(text.to_owned()) };
    let (name, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let home = if name.is_empty() { own_home(env) } else { home_of(User::from_name(name)) };
    match home {
        Some(home) => Ok(format!("{}{rest}", home.trim_end_matches('/'))),
        None => Err(PathError::NoHome(format!("~{name}"))),
    }
}

fn own_home(env: Environment) -> Option<String> {
    env("HOME").filter(|home| !home.is_empty()).or_else(|| home_of(User::from_uid(Uid::current())))
}

fn home_of(user: nix::Result<Option<User>>) -> Option<String> {
    user.ok().flatten()?.dir.into_os_string().into_string().ok()
}

fn expand_variables(text: &str, env: Environment) -> Result<String, PathError> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        expanded.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        let Some((name, after)) = variable(rest) else {
            expanded.push('$');
            continue;
        };
        expanded.push_str(&env(name).ok_or_else(|| PathError::UnsetVariable(name.to_owned()))?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The name of the variable at the start of `text`, which follows a `$`, and what comes after it.
fn variable(text: &str) -> Option<(&str, &str)> {
    if let Some(braced) = text.strip_prefix('{') {
        return braced.split_once('}').filter(|(name, _)| !name.is_empty());
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn without_dots(absolute: &Path) -> PathBuf {
    let mut path = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::ParentDir => _ = path.pop(),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOME" => Some("/home/joe/".to_owned()),
            "DATA" => Some("/data".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn tilde_variables_and_dots_are_resolved() {
        for (text, path) in [
            ("/a//b/./c/../d/", "/a/b/d"),
            ("/../a", "/a"),
            ("~", "/home/joe"),
            ("~/x", "/home/joe/x"),
            ("$DATA/x", "/data/x"),
            ("${DATA}x/$DATA", "/datax/data"),
            ("/cost$", "/cost$"),
            ("/a${", "/a${"),
            ("/x/~", "/x/~"),
        ] {
            assert_eq!(full_path(text, &env), Ok(PathBuf::from(path)), "{text}");
        }
    }

    #[test]
    fn a_relative_path_starts_at_the_current_folder() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(full_path("a/b", &env), Ok(here.join("a/b")));
    }

    #[test]
    fn the_home_of_a_named_user_is_looked_up() {
        let root = User::from_name("root").unwrap().unwrap();
        assert_eq!(full_path("~root/x", &env), Ok(root.dir.join("x")));
    }

    #[test]
    fn what_cannot_be_resolved_is_named() {
        for (text, error) in [
            ("", PathError::Empty),
            ("a\0b", PathError::Nul),
            ("/$NOPE/x", PathError::UnsetVariable("NOPE".to_owned())),
            ("~no such user/x", PathError::NoHome("~no such user".to_owned())),
        ] {
            assert_eq!(full_path(text, &env), Err(error), "{text}");
        }
    }
}
