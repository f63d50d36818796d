//! Encodings in which programs print a value: URLs, JSON, XML, headers.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters that RFC 3986 encodes in any component.
const COMPONENT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Characters encoded in a path.
const PATH: AsciiSet = COMPONENT.remove(b'/').remove(b':').remove(b'@').remove(b'!').remove(b',');

/// Returns the spellings of a value: in lower and upper case, since letters outside ASCII are
/// compared exactly; URL-encoded; escaped for JSON and XML; in base64 and in hex; and with U+FFFD,
/// which replaces invalid UTF-8, for each letter outside ASCII.
pub(super) fn of(value: &str) -> Vec<String> {
    let component = utf8_percent_encode(value, &COMPONENT).to_string();
    let json = json(value);
    vec![
        value.to_lowercase(),
        value.to_uppercase(),
        utf8_percent_encode(value, NON_ALPHANUMERIC).to_string(),
        utf8_percent_encode(value, &PATH).to_string(),
        component.replace("%20", "+"),
        component,
        json.replace('/', "\\/"),
        ascii(&json, |unit| format!("\\u{unit:04x}")),
        json,
        xml(value),
        STANDARD_NO_PAD.encode(value),
        URL_SAFE_NO_PAD.encode(value),
        hex::encode(value),
        value.replace(|letter: char| !letter.is_ascii(), "\u{FFFD}"),
    ]
}

fn json(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Escapes each UTF-16 unit of non-ASCII letters.
fn ascii(text: &str, escape: impl Fn(u16) -> String) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.is_ascii() {
            true => escaped.push(letter),
            false => letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escaped.push_str(&escape(*unit))),
        }
    }
    escaped
}

fn xml(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for letter in value.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}
