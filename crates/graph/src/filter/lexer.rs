//! Lexer: splits a filter into tokens with their positions.

use super::parser::Error;

/// A token of a filter.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum FilterToken<'a> {
    /// A run of letters, digits and `_ . - + @ $`: a name, keyword, number, date or GUID.
    Word(&'a str),
    /// A quoted string, with doubled quotes unescaped.
    Text(String),
    /// One of `( ) , / :`.
    Sign(char),
}

/// Splits the text into tokens.
///
/// # Errors
/// At an unexpected character, and at an unclosed quote.
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
                let qualifies = rest[length..].starts_with('\'') && is_type(&rest[..length]);
                if qualifies {
                    at += length;
                    continue;
                }
                (FilterToken::Word(&rest[..length]), length)
            }
            _ => return Err(Error { at, why: format!("unexpected character {first:?}") }),
        };
        tokens.push((at, token));
        at += length;
    }
    Ok(tokens)
}

/// Returns whether a word before a quote names the type of the string, which its property tells
/// already: an enum as in `microsoft.graph.cloudPcStatus'provisioned'`, or a type of OData 3 as in
/// `datetime'2026-11-29'`, which clients of reports still write.
fn is_type(word: &str) -> bool {
    word.contains('.') || ["datetime", "datetimeoffset", "guid"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || "_.-+@$".contains(letter)
}

/// Returns the length of a word, bytes. A time of day contains colons, which otherwise separate a
/// variable from its condition: only words that start like a date may contain them.
fn word_length(text: &str) -> usize {
    let starts_as_date = text.starts_with(|first: char| first.is_ascii_digit());
    text.find(|letter: char| !(is_word(letter) || letter == ':' && starts_as_date)).unwrap_or(text.len())
}

/// Returns the quoted string at the start, and its length with quotes, bytes.
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
