//! What somebody who mistyped a name probably meant.

/// Names that differ in more than this share of their characters are not taken for each other.
const SIMILARITY_MIN: f64 = 0.7;

/// The candidate that is most like `word`, if one is near enough. Case, `-` and `_` make no difference.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = plain(word);
    candidates
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(&word, &plain(candidate)), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

fn plain(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["use_ssl", "use_token", "client_name"];

    #[test]
    fn a_slip_of_the_finger_finds_its_name() {
        for (typed, meant) in [("use_sll", "use_ssl"), ("client-name", "client_name"), ("USE_TOKENS", "use_token")] {
            assert_eq!(nearest(typed, NAMES), Some(meant), "{typed}");
        }
    }

    #[test]
    fn a_different_word_finds_none() {
        assert_eq!(nearest("colour", NAMES), None);
        assert_eq!(nearest("", NAMES), None);
    }
}
