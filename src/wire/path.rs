//! Paths as config files write them: `~`, `$VAR`, relative.

use std::fmt;
use std::path::{Component, Path, PathBuf};

/// What a path can refer to, passed in by those who may look.
pub struct Places<'a> {
    /// The value of an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The home folder of a user; an empty name is the user who runs this process.
    pub home: &'a dyn Fn(&str) -> Option<String>,
    /// The current folder, if it can be found.
    pub current: Option<PathBuf>,
}

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathError {
    /// It has no characters.
    Empty,
    /// It has a NUL character.
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

impl std::error::Error for PathError {}

/// `text` with `~`, `~NAME`, `$VAR` and `${VAR}` replaced, made absolute, without `.` and `..`.
///
/// `..` takes the name before it away, whether that is a symbolic link or not, as `os.path.abspath` of Python does.
///
/// # Errors
/// What it refers to is not there: an unset variable too, where Python would make a folder that is named `$VAR`.
pub fn full_path(text: &str, places: &Places<'_>) -> Result<PathBuf, PathError> {
    if text.is_empty() {
        return Err(PathError::Empty);
    }
    if text.contains('\0') {
        return Err(PathError::Nul);
    }
    let expanded = PathBuf::from(expand_variables(&expand_tilde(text, places)?, places)?);
    if expanded.is_absolute() {
        return Ok(without_dots(&expanded));
    }
    let current = places.current.as_ref().ok_or(PathError::NoCurrentFolder)?;
    Ok(without_dots(&current.join(expanded)))
}

fn expand_tilde(text: &str, places: &Places<'_>) -> Result<String, PathError> {
    let Some(rest) = text.strip_prefix('~') else { return Ok(text.to_owned()) };
    let (name, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let own = if name.is_empty() { (places.variable)("HOME").filter(|home| !home.is_empty()) } else { None };
    match own.or_else(|| (places.home)(name)) {
        Some(home) => Ok(format!("{}{rest}", home.trim_end_matches('/'))),
        None => Err(PathError::NoHome(format!("~{name}"))),
    }
}

fn expand_variables(text: &str, places: &Places<'_>) -> Result<String, PathError> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        rest = after;
        let Some((name, after)) = variable(rest) else {
            expanded.push('$');
            continue;
        };
        expanded.push_str(&(places.variable)(name).ok_or_else(|| PathError::UnsetVariable(name.to_owned()))?);
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

    fn full(text: &str) -> Result<PathBuf, PathError> {
        let variable = |name: &str| match name {
            "HOME" => Some("/home/joe/".to_owned()),
            "DATA" => Some("/data".to_owned()),
            _ => None,
        };
        let home = |name: &str| (name == "ann").then(|| "/home/ann".to_owned());
        full_path(text, &Places { variable: &variable, home: &home, current: Some("/now".into()) })
    }

    #[test]
    fn tilde_variables_and_dots_are_resolved() {
        for (text, path) in [
            ("/a//b/./c/../d/", "/a/b/d"),
            ("/../a", "/a"),
            ("~", "/home/joe"),
            ("~/x", "/home/joe/x"),
            ("~ann/x", "/home/ann/x"),
            ("$DATA/x", "/data/x"),
            ("${DATA}x/$DATA", "/datax/data"),
            ("/cost$", "/cost$"),
            ("/a${", "/a${"),
            ("/x/~", "/x/~"),
            ("a/b", "/now/a/b"),
            ("../b", "/b"),
        ] {
            assert_eq!(full(text), Ok(PathBuf::from(path)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_resolved_is_named() {
        for (text, error) in [
            ("", PathError::Empty),
            ("a\0b", PathError::Nul),
            ("/$NOPE/x", PathError::UnsetVariable("NOPE".to_owned())),
            ("~bob/x", PathError::NoHome("~bob".to_owned())),
        ] {
            assert_eq!(full(text), Err(error), "{text}");
        }
    }

    #[test]
    fn without_home_and_current_folder_others_are_asked_or_it_is_said() {
        let (none, home) = (|_: &str| None, |name: &str| name.is_empty().then(|| "/home/me".to_owned()));
        let places = Places { variable: &none, home: &home, current: None };
        assert_eq!(full_path("~/x", &places), Ok(PathBuf::from("/home/me/x")));
        assert_eq!(full_path("x", &places), Err(PathError::NoCurrentFolder));
    }
}
