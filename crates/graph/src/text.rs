//! Text that people are shown.

/// Whether a character is a control character or overrides the direction of text. A name that holds
/// one can look like another name, or steer the terminal that prints it.
pub fn is_control_or_bidi(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
