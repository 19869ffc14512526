//! Which version this is.

use std::fmt;

/// The version, as in `0.1.0`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The first digits of the commit that it was built from. `None` in debug builds, and where nothing says it; `build.rs`
/// says where it is looked for.
pub const COMMIT: Option<&str> = option_env!("AIOCONNECTORS_COMMIT");

/// Version and commit, as in `0.1.0 (0123456789ab)`.
#[derive(Clone, Copy, Debug)]
pub struct Version;

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(VERSION)?;
        COMMIT.map_or(Ok(()), |commit| write!(f, " ({commit})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_said_with_the_commit_if_that_is_known() {
        let said = Version.to_string();
        assert!(said.starts_with(VERSION), "{said}");
        assert_eq!(said.contains('('), COMMIT.is_some(), "{said}");
        assert!(COMMIT.is_none_or(|commit| said.ends_with(&format!(" ({commit})"))), "{said}");
    }
}
