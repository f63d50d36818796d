//! Checks of text that is displayed to people.

/// Returns whether a character is a control character or overrides the text direction. A name that
/// contains one can imitate another name, or control a terminal.
pub fn is_control_or_bidi(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
