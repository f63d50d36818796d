//! Masking of install parameters in what an installer prints.
//!
//! Install parameters may hold secrets, and an installer may print them. Its output is shown to
//! every reader of results and actions and is kept for good, so whatever comes from a parameter is
//! replaced by [`MASK`] first.

use aho_corasick::AhoCorasick;
use std::collections::BTreeSet;

/// Stands for what is hidden.
const MASK: &str = "***";

/// Shortest text that is hidden wherever it occurs, characters. A shorter one is hidden where it
/// stands alone, that is with no letter or digit beside it: with a parameter `1`, hiding every 1
/// would make the output unreadable.
const ANYWHERE_CHARS_MIN: usize = 4;

/// An output up to this length is whole, bytes. Guests hand over the last 16 KiB, so a longer one
/// may begin within a secret.
const WHOLE_BYTES_MAX: usize = 8 * 1024;

/// Returns `text` with everything that comes from `parameters` hidden: each parameter, each of its
/// words, what follows the first `=` or `:` of either, and the pieces between spaces, `=`, `:` and
/// quotes.
pub(crate) fn masked(text: &str, parameters: &[String]) -> String {
    let secrets = secrets(parameters);
    // Only patterns of gigabytes are refused.
    let Ok(finder) = AhoCorasick::new(&secrets) else { return MASK.to_owned() };
    let mut hidden = vec![false; text.len()];
    // Overlapping matches: where two secrets share characters, hiding one of them would leave the
    // rest of the other.
    for found in finder.find_overlapping_iter(text) {
        let secret = secrets[found.pattern().as_usize()];
        if is_long(secret) || stands_alone(text, found.start(), found.end()) {
            hidden[found.range()].fill(true);
        }
    }
    if text.len() > WHOLE_BYTES_MAX {
        let cut = secrets.iter().filter_map(|secret| cut_secret_bytes(text, secret)).max().unwrap_or_default();
        hidden[..cut].fill(true);
    }
    replace(text, &hidden)
}

/// Everything that is hidden, each text once.
fn secrets(parameters: &[String]) -> Vec<&str> {
    let mut secrets = BTreeSet::new();
    for parameter in parameters {
        for part in std::iter::once(parameter.as_str()).chain(parameter.split_whitespace()) {
            secrets.insert(part);
            secrets.extend(part.split_once(['=', ':']).map(|(_, value)| value));
        }
        secrets.extend(parameter.split([' ', '=', ':', '"', '\'']));
    }
    let unquoted = secrets.iter().map(|secret| secret.trim().trim_matches(['"', '\'']).trim());
    secrets
        .iter()
        .map(|secret| secret.trim())
        .chain(unquoted)
        .filter(|secret| !secret.is_empty())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

fn is_long(secret: &str) -> bool {
    secret.chars().nth(ANYWHERE_CHARS_MIN - 1).is_some()
}

fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let beside = [text[..start].chars().next_back(), text[end..].chars().next()];
    !beside.into_iter().flatten().any(char::is_alphanumeric)
}

/// How much of the beginning of `text` is the end of `secret`, bytes; none if it is too short to be
/// told from chance.
fn cut_secret_bytes(text: &str, secret: &str) -> Option<usize> {
    let ends = secret.char_indices().skip(1).map(|(at, _)| &secret[at..]);
    ends.take_while(|end| is_long(end)).find(|end| text.starts_with(end)).map(str::len)
}

/// Puts one mask in place of each run of hidden bytes. Runs begin and end between characters, as
/// texts do that were found.
fn replace(text: &str, hidden: &[bool]) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut was_hidden = false;
    for (at, letter) in text.char_indices() {
        match (hidden[at], was_hidden) {
            (false, _) => shown.push(letter),
            (true, false) => shown.push_str(MASK),
            (true, true) => {}
        }
        was_hidden = hidden[at];
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(parameter: &str, text: &str) -> String {
        masked(text, &[parameter.to_owned()])
    }

    #[test]
    fn a_value_is_hidden_whole_whatever_its_length() {
        for (parameter, printed) in [
            ("LICENSE=A1:B2:C3:D4", "A1:B2:C3:D4"),
            ("PASS=p w:1=2", "p w:1=2"),
            ("PIN=123", "123"),
            ("CODE=abc", "abc"),
            ("PAIR=user:pw1", "user:pw1"),
            ("PAIR=user:pw1", "pw1"),
            ("TOKEN=tok:en-9:xyz", "tok:en-9:xyz"),
            ("TOKEN:x", "x"),
            ("/pin:7", "7"),
            ("123", "123"),
            ("KEY=\"a b\"", "a b"),
            ("/v \"PIN=42\"", "42"),
        ] {
            assert_eq!(shown(parameter, &format!("got {printed}, bye")), "got ***, bye", "{parameter}");
            assert_eq!(shown(parameter, printed), "***", "{parameter}");
        }
    }

    #[test]
    fn a_short_value_is_hidden_only_where_it_stands_alone() {
        assert_eq!(shown("STEP=1", "step 1 of 10 (1%): error 1603"), "step *** of 10 (***%): error 1603");
        assert_eq!(shown("/q", "quit: /q, /quiet"), "quit: ***, /quiet");
        assert_eq!(shown("KEY=abcd", "xabcdx"), "x***x", "a longer one anywhere");
    }

    #[test]
    fn what_two_secrets_share_is_hidden_with_both() {
        let parameters = ["abcdef".to_owned(), "defghi".to_owned(), "xyxyx".to_owned()];
        assert_eq!(masked("-abcdefghi-xyxyxyx-", &parameters), "-***-***-");
    }

    #[test]
    fn a_secret_that_the_output_begins_within_is_hidden() {
        let rest = "x".repeat(WHOLE_BYTES_MAX);
        assert_eq!(shown("KEY=hunter-22", &format!("nter-22 is wrong{rest}")), format!("*** is wrong{rest}"));
        assert_eq!(shown("/norestart", "start failed"), "start failed", "a short output is whole");
    }

    #[test]
    fn text_without_secrets_stays_as_it_is() {
        assert_eq!(masked("a *** b\n", &[]), "a *** b\n");
        assert_eq!(shown(" =:\"' ", "a = b: \"c\""), "a = b: \"c\"");
    }

    proptest! {
        #[test]
        fn no_value_is_shown(
            name in "[A-Za-z]{1,6}[=:]",
            value in "[a-zA-Z0-9=:é/_-]{1,8}( [a-zA-Z0-9=:-]{1,4})?",
            before in "[A-Z ]{0,8}",
            after in "[ .,;]?\n?",
        ) {
            let printed = format!("{before}<{value}>{after}");
            let shown = shown(&format!("{name}{value}"), &printed);
            prop_assert!(!shown.contains(&format!("<{value}>")), "{shown}");
            if is_long(&value) {
                prop_assert!(!shown.contains(&value), "{shown}");
            }
        }
    }
}
