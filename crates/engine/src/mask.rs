//! Masking of install parameters in installer output.
//!
//! Install parameters may hold secrets, and an installer may print them. Its output is visible to
//! every reader of results and actions and is stored permanently, so everything that comes from a
//! parameter is replaced by [`MASK`] first.

mod spellings;

use aho_corasick::AhoCorasick;
use std::collections::BTreeMap;

/// Replacement for hidden text.
const MASK: &str = "***";

/// Minimum length of a secret that is hidden wherever it occurs, characters. A shorter one is
/// hidden only as a whole word, that is with no letter or digit next to it: for a parameter `1`,
/// hiding every 1 would make the output unreadable.
const ANYWHERE_CHARS_MIN: usize = 4;

/// Maximum length of an output that is certainly complete, bytes. Guests return the last 16 KiB, so
/// a longer output may start within a secret.
const WHOLE_BYTES_MAX: usize = 8 * 1024;

/// Maximum size of all secrets in all spellings, bytes; searching takes about fifty times that in
/// memory. Beyond it, the whole output is hidden. Parameters of 8 KiB stay below it.
const SECRETS_BYTES_MAX: usize = 512 << 10;

/// Separators at which a parameter is split.
const SEPARATORS: &[char] = &[' ', '=', ':', '"', '\''];

/// Further separators at which a value is split, that is, what follows the first `=` or `:`.
const VALUE_SEPARATORS: &[char] = &[',', ';', '/', '|', '@', '&', '<', '>', '[', ']'];

/// Comparison of a secret with the output.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    /// Case-insensitive: programs normalize the case of user names and keys.
    Ignored,
    /// Case-sensitive: a property name `PASSWORD` does not hide `password` in the output.
    Exact,
}

/// Returns `text` with everything that comes from `parameters` masked: each parameter, each of its
/// words, what follows the first `=` or `:` of either, and the pieces between [`SEPARATORS`], and
/// in values between [`VALUE_SEPARATORS`] as well. Values are also found in other cases and
/// encodings, see [`spellings::of`].
pub(crate) fn masked(text: &str, parameters: &[String]) -> String {
    let secrets: Vec<(String, Case)> = secrets(parameters).into_iter().collect();
    if bytes(&secrets) > SECRETS_BYTES_MAX {
        return MASK.to_owned();
    }
    let finder = AhoCorasick::builder().ascii_case_insensitive(true).build(secrets.iter().map(|(secret, _)| secret));
    let Ok(finder) = finder else { return MASK.to_owned() };
    let mut hidden = vec![false; text.len()];
    // Matches may overlap: where two secrets share characters, masking only one would reveal part
    // of the other.
    for found in finder.find_overlapping_iter(text) {
        let (secret, case) = &secrets[found.pattern().as_usize()];
        let is_same = *case == Case::Ignored || text[found.range()] == *secret;
        if is_same && (is_long(secret) || is_whole_word(text, found.start(), found.end())) {
            hidden[found.range()].fill(true);
        }
    }
    if text.len() > WHOLE_BYTES_MAX {
        let cut = secrets.iter().filter_map(|(secret, _)| cut_secret_bytes(text, secret)).max().unwrap_or_default();
        hidden[..cut].fill(true);
    }
    replace(text, &hidden)
}

fn bytes(secrets: &[(String, Case)]) -> usize {
    secrets.iter().map(|(secret, _)| secret.len()).sum()
}

/// Returns every secret once.
fn secrets(parameters: &[String]) -> BTreeMap<String, Case> {
    let mut secrets = BTreeMap::new();
    for parameter in parameters {
        for piece in parameter.split(SEPARATORS).flat_map(trimmed) {
            secrets.entry(piece.to_owned()).or_insert(Case::Exact);
        }
        for part in std::iter::once(parameter.as_str()).chain(parameter.split_whitespace()) {
            for value in values(part).flat_map(trimmed) {
                if secrets.insert(value.to_owned(), Case::Ignored) == Some(Case::Ignored) {
                    continue;
                }
                let encoded = spellings::of(value).into_iter().filter(|spelling| is_long(spelling));
                secrets.extend(encoded.map(|spelling| (spelling, Case::Ignored)));
            }
        }
    }
    secrets
}

/// Returns a part of a parameter and the values in it.
fn values(part: &str) -> impl Iterator<Item = &str> {
    let value = part.split_once(['=', ':']).map(|(_, value)| value);
    let pieces = value.into_iter().flat_map(|value| {
        let is_separator = |letter: char| SEPARATORS.contains(&letter) || VALUE_SEPARATORS.contains(&letter);
        value.split(VALUE_SEPARATORS).chain(value.split(SEPARATORS)).chain(value.split(is_separator))
    });
    // Without a name, the whole part is a value.
    let unnamed = value.is_none().then(|| part.split(SEPARATORS));
    [Some(part), value].into_iter().flatten().chain(pieces).chain(unnamed.into_iter().flatten())
}

/// Returns a text without surrounding whitespace, with and without its quotes; nothing if empty.
fn trimmed(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim();
    let unquoted = text.trim_matches(['"', '\'']).trim();
    [text, unquoted].into_iter().filter(|text| !text.is_empty())
}

fn is_long(secret: &str) -> bool {
    secret.chars().nth(ANYWHERE_CHARS_MIN - 1).is_some()
}

fn is_whole_word(text: &str, start: usize, end: usize) -> bool {
    let beside = [text[..start].chars().next_back(), text[end..].chars().next()];
    !beside.into_iter().flatten().any(char::is_alphanumeric)
}

/// Returns how many bytes at the start of `text` are the end of `secret`; none if too few to rule
/// out coincidence.
fn cut_secret_bytes(text: &str, secret: &str) -> Option<usize> {
    let ends = secret.char_indices().skip(1).map(|(at, _)| &secret[at..]);
    let begins_with = |end: &&str| text.get(..end.len()).is_some_and(|start| start.eq_ignore_ascii_case(end));
    ends.take_while(|end| is_long(end)).find(begins_with).map(str::len)
}

/// Replaces each run of hidden bytes with one mask. Runs begin and end at character boundaries.
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
    fn values_of_any_length_are_hidden_completely() {
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
    fn short_values_are_hidden_only_as_whole_words() {
        assert_eq!(shown("STEP=1", "step 1 of 10 (1%): error 1603"), "step *** of 10 (***%): error 1603");
        assert_eq!(shown("/q", "quit: /q, /quiet"), "quit: ***, /quiet");
        assert_eq!(shown("KEY=abcd", "xabcdx"), "x***x", "a longer one anywhere");
    }

    #[test]
    fn values_are_hidden_in_any_case_and_names_are_not() {
        for printed in ["HUNTER-22", "hunter-22", "Hunter-22"] {
            assert_eq!(shown("KEY=hUnter-22", &format!("got {printed}")), "got ***");
        }
        assert_eq!(shown("KEY=Pässwort", "PÄSSWORT pässwort"), "*** ***");
        assert_eq!(shown("PASSWORD=hunter-22", "the password hunter-22 is wrong"), "the password *** is wrong");
    }

    #[test]
    fn encoded_values_are_hidden() {
        let value = "Pä ss\"w0rd&1/x";
        for printed in [
            "P%C3%A4%20ss%22w0rd%261%2Fx",
            "P%c3%a4+ss%22w0rd%261%2fx",
            "P%C3%A4%20ss%22w0rd%261/x",
            "Pä ss\\\"w0rd&1/x",
            "Pä ss\\\"w0rd&1\\/x",
            "P\\u00e4 ss\\\"w0rd&1/x",
            "Pä ss&quot;w0rd&amp;1/x",
            "UMOkIHNzIncwcmQmMS94",
            "50c3a42073732277307264263 12f78".replace(' ', "").as_str(),
            "50C3A420737322773072642631 2F78".replace(' ', "").as_str(),
            "P\u{FFFD} ss\"w0rd&1/x",
        ] {
            let shown = shown(&format!("KEY={value}"), &format!("got <{printed}>"));
            assert_eq!(shown, "got <***>", "{printed}");
        }
        assert_eq!(shown("KEY=ab?>ab?>", "YWI/PmFiPz4 YWI_PmFiPz4"), "*** ***", "both alphabets of base64");
        assert_eq!(
            shown("PIN=1", "31 files, MQ==, %31"),
            "31 files, MQ==, %31",
            "short values are not searched for encoded"
        );
    }

    #[test]
    fn pieces_of_values_are_hidden() {
        for separator in VALUE_SEPARATORS {
            for parameter in [format!("/p:host1{separator}Hunter2"), format!("/p=Hunter2{separator}host1")] {
                assert_eq!(shown(&parameter, "got Hunter2, host1"), "got ***, ***", "{parameter}");
            }
        }
        assert_eq!(shown("A=1;B=Hunter2", "Hunter2"), "***");
        assert_eq!(shown("a/install", "install"), "install", "a parameter without a name is one value");
    }

    #[test]
    fn output_is_hidden_completely_if_the_secrets_exceed_the_limit() {
        let parameters: Vec<_> = (0..64).map(|number| format!("KEY={number}{}", "a1b2".repeat(250))).collect();
        let bytes = |count: usize| bytes(&secrets(&parameters[..count]).into_iter().collect::<Vec<_>>());
        let within = (1..64).find(|count| bytes(count + 1) > SECRETS_BYTES_MAX).unwrap();
        assert!(within >= 8, "{within} parameters of 1 KiB can be looked for");
        assert_eq!(masked("failed", &parameters[..within]), "failed");
        assert_eq!(masked("failed", &parameters[..within + 1]), "***");
    }

    #[test]
    fn overlapping_secrets_are_hidden_together() {
        let parameters = ["abcdef".to_owned(), "defghi".to_owned(), "xyxyx".to_owned()];
        assert_eq!(masked("-abcdefghi-xyxyxyx-", &parameters), "-***-***-");
    }

    #[test]
    fn secret_truncated_at_the_start_of_the_output_is_hidden() {
        let rest = "x".repeat(WHOLE_BYTES_MAX);
        assert_eq!(shown("KEY=hunter-22", &format!("nter-22 is wrong{rest}")), format!("*** is wrong{rest}"));
        assert_eq!(shown("/norestart", "start failed"), "start failed", "a short output is whole");
    }

    #[test]
    fn text_without_secrets_is_unchanged() {
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
