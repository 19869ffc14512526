//! Names of ring files: readable as far as peers' names and types let them be, and one for each.

use md5::{Digest, Md5};

/// What the name of a ring file ends with.
pub(super) const RING: &str = ".ring";

/// Characters of a peer's name or a type that stand in a file name at most; a file name may have 255 bytes.
const SHOWN_MAX: usize = 48;

/// The name of the ring file towards a peer, of a type: `send_PEER_TYPE.ring`.
#[must_use]
pub(super) fn outbox(peer: &str, message_type: &str) -> String {
    name("send", &[peer, message_type])
}

/// The name of the ring file of a received type: `recv_TYPE.ring`.
#[must_use]
pub(super) fn inbox(message_type: &str) -> String {
    name("recv", &[message_type])
}

/// The name of the ring file of a published type: `topic_TYPE.ring`.
#[must_use]
pub(super) fn topic(message_type: &str) -> String {
    name("topic", &[message_type])
}

/// A part that has only letters, digits and `-` stands as it is. In others these stay, so that a reader knows whose the
/// file is, and a hash of all parts makes the name one of its own: what begins with `~` is in no part.
fn name(kind: &str, parts: &[&str]) -> String {
    let shown: Vec<String> = parts.iter().map(|part| part.chars().filter(is_plain).take(SHOWN_MAX).collect()).collect();
    let hash = if shown.iter().map(String::as_str).eq(parts.iter().copied()) { String::new() } else { hash(parts) };
    format!("{kind}_{}{hash}{RING}", shown.join("_"))
}

fn is_plain(c: &char) -> bool {
    c.is_ascii_alphanumeric() || *c == '-'
}

/// `~` and half of the MD5 of the parts, each behind its length, so that no two lists of parts are the same text.
fn hash(parts: &[&str]) -> String {
    let text: String = parts.iter().map(|part| format!("{}:{part}", part.len())).collect();
    let digest = Md5::digest(text.as_bytes());
    digest.iter().take(8).fold("~".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn plain_names_are_readable() {
        assert_eq!(outbox("client-1", "any"), "send_client-1_any.ring");
        assert_eq!(inbox("any"), "recv_any.ring");
    }

    #[test]
    fn other_names_keep_what_is_plain_and_get_a_hash() {
        let name = outbox("('127.0.0.1', 10673)", "any");
        assert!(name.starts_with("send_12700110673_any~") && name.ends_with(".ring"), "{name}");
        assert_eq!(name, outbox("('127.0.0.1', 10673)", "any"));
    }

    #[test]
    fn each_peer_and_type_has_a_file_of_its_own_within_the_folder() {
        let names = ["a", "b", "a_b", "ab", "a:b", "A", "", "_", "..", "../x", "/", "a/b", "é", "\0", "~", "a.ring"];
        let long = ["x".repeat(128), "x".repeat(129), format!("{}y", "x".repeat(128)), "é".repeat(300)];
        let all: Vec<&str> = names.into_iter().chain(long.iter().map(String::as_str)).collect();
        let mut made = BTreeSet::new();
        for one in &all {
            assert!(made.insert(inbox(one)), "{one:?}");
            for other in &all {
                assert!(made.insert(outbox(one, other)), "{one:?} {other:?}");
            }
        }
        for name in made {
            assert!(name.len() <= 255 && !name.contains(['/', '\0']) && !name.starts_with('.'), "{name:?}");
        }
    }
}
