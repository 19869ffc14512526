//! The tokens that a server knows: of each client the SHA-256 of its token, as in the Python package.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use crate::wire::token::Token;

/// Most tokens that a server gives out.
pub const TOKENS_MAX: usize = 10_000;

/// The SHA-256 of a token. That it is equal to another is found out in constant time.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; SHA256_OUTPUT_LEN]);

impl TokenHash {
    /// That of this token.
    #[must_use]
    pub fn of(token: &Token) -> Self {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        hash.copy_from_slice(digest(&SHA256, token.text().as_bytes()).as_ref());
        Self(hash)
    }

    /// Reads 64 hexadecimal digits, in lower case as Python writes them; `None` if the text is something else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut hash = [0; SHA256_OUTPUT_LEN];
        if text.len() != 2 * hash.len() {
            return None;
        }
        for (into, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *into = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(hash))
    }

    /// As 64 hexadecimal digits in lower case.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for TokenHash {}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenHash").finish_non_exhaustive()
    }
}

/// Of each client the hash of its token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenTable {
    of: BTreeMap<String, TokenHash>,
}

impl TokenTable {
    /// Whether this is the token of the client. It takes as long for a client that has none.
    #[must_use]
    pub fn accepts(&self, client: &str, token: &Token) -> bool {
        let hash = self.of.get(client);
        let is_equal = TokenHash::of(token) == *hash.unwrap_or(&TokenHash([0; SHA256_OUTPUT_LEN]));
        is_equal & hash.is_some()
    }

    /// Whether the client has a token.
    #[must_use]
    pub fn has(&self, client: &str) -> bool {
        self.of.contains_key(client)
    }

    /// Gives the client this token, in place of the one that it has.
    pub fn set(&mut self, client: &str, hash: TokenHash) {
        self.of.insert(client.to_owned(), hash);
    }

    /// Whether the client had a token; it has none any more.
    pub fn remove(&mut self, client: &str) -> bool {
        self.of.remove(client).is_some()
    }

    /// The clients and their hashes, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TokenHash)> {
        self.of.iter().map(|(client, hash)| (client.as_str(), hash))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Whether another table holds the same of this client.
    pub(super) fn agrees(&self, other: &Self, client: &str) -> bool {
        self.of.get(client) == other.of.get(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_that_of_python_and_is_read_back() {
        // python3 -c 'import hashlib; print(hashlib.sha256(b"abc").hexdigest())'
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let hash = TokenHash::of(&Token::new("abc").unwrap());
        assert_eq!(hash.to_hex(), known);
        assert_eq!(TokenHash::from_hex(known), Some(hash));
        for wrong in [&known[1..], "", &known.to_uppercase(), &format!("{}ä", &known[2..]), &format!("{known}0")] {
            assert_eq!(TokenHash::from_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_is_its_clients_alone() {
        let token = |text: &str| Token::new(text).unwrap();
        let mut table = TokenTable::default();
        table.set("c1", TokenHash::of(&token("one")));
        table.set("c2", TokenHash::of(&token("two")));
        assert!(table.accepts("c1", &token("one")));
        assert!(!table.accepts("c2", &token("one")) && !table.accepts("c3", &token("one")));
        assert!(table.remove("c1") && !table.remove("c1"));
        assert!(!table.accepts("c1", &token("one")));
    }
}
