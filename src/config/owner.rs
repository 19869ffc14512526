//! Whose received files are: `USER:GROUP`.

use std::fmt;

use nix::unistd::{Gid, Group, Uid, User};

/// A user and a group of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: Uid,
    /// The group.
    pub group: Gid,
}

/// Why a text names no owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerError {
    /// It is not `USER:GROUP`.
    Form,
    /// There is no such user.
    User(
        /// Its name.
        String,
    ),
    /// There is no such group.
    Group(
        /// Its name.
        String,
    ),
}

impl fmt::Display for OwnerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OwnerError::Form => f.write_str("USER:GROUP is right"),
            OwnerError::User(name) => write!(f, "this machine has no user {name:?}"),
            OwnerError::Group(name) => write!(f, "this machine has no group {name:?}"),
        }
    }
}

impl std::error::Error for OwnerError {}

/// Looks `USER:GROUP` up.
///
/// # Errors
/// There is none of that name.
pub fn find_owner(text: &str) -> Result<Owner, OwnerError> {
    let (user, group) = text.split_once(':').ok_or(OwnerError::Form)?;
    let found = User::from_name(user).ok().flatten().ok_or_else(|| OwnerError::User(user.to_owned()))?;
    let found_group = Group::from_name(group).ok().flatten().ok_or_else(|| OwnerError::Group(group.to_owned()))?;
    Ok(Owner { user: found.uid, group: found_group.gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_a_user_and_a_group_of_this_machine() {
        let root = find_owner("root:root").unwrap();
        assert_eq!((root.user.as_raw(), root.group.as_raw()), (0, 0));
        assert_eq!(find_owner("root"), Err(OwnerError::Form));
        assert_eq!(find_owner("no-such-user:root"), Err(OwnerError::User("no-such-user".to_owned())));
        assert_eq!(find_owner("root:no-such-group"), Err(OwnerError::Group("no-such-group".to_owned())));
    }
}
