//! Substring index: for each character of a text, the (up to 16) characters that begin there. A
//! text contains another one if one of these parts begins with it.
//!
//! So the rows that contain a text are one range of a table of parts.

/// Most letters of a part.
pub(super) const PART_LETTERS: usize = 16;

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamePart {
    /// The letters, [`PART_LETTERS`] at most.
    pub(crate) text: String,
    /// How many of its first letters an earlier part of the same text also begins with. A search
    /// for that many letters, or fewer, finds the text by the earlier part.
    pub(crate) repeats: i64,
}

/// Returns the parts of a text by which a search can find it.
pub(crate) fn name_parts(text: &str) -> Vec<NamePart> {
    let letters: Vec<char> = text.chars().collect();
    let part = |place: usize| &letters[place..letters.len().min(place + PART_LETTERS)];
    let common = |a: &[char], b: &[char]| a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let parts = (0..letters.len()).map(|place| {
        let repeats = (0..place).map(|earlier| common(part(earlier), part(place))).max().unwrap_or_default();
        // What an earlier part begins with as a whole is never needed.
        let is_new = repeats < part(place).len();
        is_new.then(|| NamePart { text: part(place).iter().collect(), repeats: count(repeats) })
    });
    parts.flatten().collect()
}

/// Returns a number of letters as the table has it.
pub(super) fn count(letters: usize) -> i64 {
    i64::try_from(letters).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_search_finds_a_text_by_one_part(text in "[ab\u{e4}]{0,40}", search in "[ab\u{e4}]{1,16}") {
            let letters = count(search.chars().count());
            let found = name_parts(&text)
                .into_iter()
                .filter(|part| part.text.starts_with(&search) && part.repeats < letters)
                .count();
            prop_assert_eq!(found, usize::from(text.contains(&search)));
        }
    }

    #[test]
    fn a_part_is_stored_once() {
        let mut parts: Vec<_> = name_parts(&"a".repeat(40)).into_iter().map(|part| part.text).collect();
        parts.sort_unstable();
        parts.dedup();
        assert_eq!(parts, ["a".repeat(PART_LETTERS)]);
    }
}
