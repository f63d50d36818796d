//! The text of a condition as tokens with their places.

use super::parser::Error;

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum FilterToken<'a> {
    /// A run of letters, digits and `_ . - + @ $`: a name, a keyword, a number, a date, a GUID.
    Word(&'a str),
    /// A text in quotes, with doubled quotes made one.
    Text(String),
    /// One of `( ) , / :`.
    Sign(char),
}

/// Cuts the text.
///
/// # Errors
/// At a character that begins nothing, and at a quote that is not closed.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, FilterToken<'_>)>, Error> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (token, length) = match first {
            ' ' => {
                at += 1;
                continue;
            }
            '(' | ')' | ',' | '/' | ':' => (FilterToken::Sign(first), 1),
            '\'' => quoted(rest).ok_or_else(|| Error { at, why: "the quote that opens here is not closed".into() })?,
            _ if is_word(first) => {
                let length = word_length(rest);
                // The type in front of `microsoft.graph.cloudPcStatus'provisioned'` says nothing
                // that the property does not.
                let qualifies = rest[length..].starts_with('\'') && rest[..length].contains('.');
                if qualifies {
                    at += length;
                    continue;
                }
                (FilterToken::Word(&rest[..length]), length)
            }
            _ => return Err(Error { at, why: format!("{first:?} means nothing here") }),
        };
        tokens.push((at, token));
        at += length;
    }
    Ok(tokens)
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || "_.-+@$".contains(letter)
}

/// A time of day has colons, which elsewhere set a variable apart from its condition: only a word
/// that begins as a date has them.
fn word_length(text: &str) -> usize {
    let starts_as_date = text.starts_with(|first: char| first.is_ascii_digit());
    text.find(|letter: char| !(is_word(letter) || letter == ':' && starts_as_date)).unwrap_or(text.len())
}

/// The text in the quotes at the start, and how many bytes it takes with them.
fn quoted<'a>(text: &str) -> Option<(FilterToken<'a>, usize)> {
    let mut value = String::new();
    let mut at = 1;
    loop {
        let end = at + text[at..].find('\'')?;
        value.push_str(&text[at..end]);
        at = end + 1;
        if !text[at..].starts_with('\'') {
            return Some((FilterToken::Text(value), at));
        }
        value.push('\'');
        at += 1;
    }
}
