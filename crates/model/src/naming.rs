//! Templates of device names.

use crate::Rng;

/// Letters and digits of the random part, without those that look alike.
const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Template of Cloud PCs whose policy has none.
pub const NAMING_TEMPLATE_DEFAULT: &str = "CPC-%USERNAME:5%-%RAND:5%";

/// Template of shared Cloud PCs, which have no user, whose policy has none.
pub const NAMING_TEMPLATE_SHARED: &str = "CPC-%RAND:5%";

/// A template of names of Cloud PCs.
#[derive(Debug, PartialEq, Eq)]
pub struct NamingTemplate<'a>(Vec<NamePart<'a>>);

/// A part of a template.
#[derive(Debug, PartialEq, Eq)]
enum NamePart<'a> {
    Literal(&'a str),
    /// This many characters of the user's name.
    UserName(usize),
    /// This many random characters.
    Random(usize),
}

impl<'a> NamingTemplate<'a> {
    const CHARS: std::ops::RangeInclusive<usize> = 5..=15;
    const RANDOM_CHARS_MIN: usize = 5;

    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, as a part of a sentence.
    pub fn parse(template: &'a str) -> Result<Self, String> {
        let mut parts = Vec::new();
        // Literals and macros take turns.
        for (place, piece) in template.split('%').enumerate() {
            if place % 2 == 0 {
                if let Some(letter) = piece.chars().find(|letter| !letter.is_ascii_alphanumeric() && *letter != '-') {
                    return Err(format!("'{letter}' cannot be in a name"));
                }
                parts.push(NamePart::Literal(piece));
                continue;
            }
            let (name, count) = piece.split_once(':').unwrap_or((piece, ""));
            let count: usize = count.parse().map_err(|_| format!("'%{piece}%' has no number of characters"))?;
            parts.push(match name {
                "USERNAME" => NamePart::UserName(count),
                "RAND" => NamePart::Random(count),
                _ => return Err(format!("'%{piece}%' is neither %USERNAME:x% nor %RAND:y%")),
            });
        }
        if template.matches('%').count() % 2 == 1 {
            return Err("a % is not closed".into());
        }
        let random = parts.iter().map(|part| if let NamePart::Random(count) = part { *count } else { 0 }).max();
        if random.unwrap_or_default() < Self::RANDOM_CHARS_MIN {
            return Err(format!("%RAND:y% with y of at least {} is missing", Self::RANDOM_CHARS_MIN));
        }
        let length = parts.iter().map(NamePart::chars).fold(0, usize::saturating_add);
        if !Self::CHARS.contains(&length) {
            return Err(format!(
                "names would have {length} characters, not {} to {}",
                Self::CHARS.start(),
                Self::CHARS.end()
            ));
        }
        Ok(Self(parts))
    }

    /// Returns a name for a user. Characters of the user's name that device names cannot have are
    /// left out.
    pub fn name(&self, user_principal_name: &str, rng: &dyn Rng) -> String {
        let alias = user_principal_name.split('@').next().unwrap_or_default();
        let mut name = String::new();
        for part in &self.0 {
            match part {
                NamePart::Literal(text) => name.push_str(text),
                NamePart::UserName(count) => {
                    name.extend(alias.chars().filter(char::is_ascii_alphanumeric).take(*count));
                }
                NamePart::Random(count) => name.extend((0..*count).map(|_| {
                    let place = usize::try_from(rng.below(LETTERS.len() as u64)).unwrap_or_default();
                    char::from(LETTERS[place])
                })),
            }
        }
        name
    }
}

impl NamePart<'_> {
    fn chars(&self) -> usize {
        match self {
            Self::Literal(text) => text.len(),
            Self::UserName(count) | Self::Random(count) => *count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededRng;

    #[test]
    fn naming_templates_make_names_of_5_to_15_characters() {
        for good in ["CPC-%USERNAME:4%-%RAND:5%", "%RAND:5%", "A%RAND:14%", "%USERNAME:10%%RAND:5%"] {
            assert!(NamingTemplate::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "CPC-%USERNAME:4%",
            "%RAND:4%",
            "%RAND:16%",
            "%RAND:5",
            "CPC %RAND:5%",
            "%RAND%",
            "%NAME:3%%RAND:5%",
            "%RAND:99999999999999999999%",
        ] {
            assert!(NamingTemplate::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_follow_their_template() {
        let template = NamingTemplate::parse("PC-%USERNAME:4%-%RAND:5%").unwrap();
        let name = template.name("a.da@contoso.test", &SeededRng::new(1));
        assert_eq!(&name[..7], "PC-ada-");
        assert_eq!(name.len(), 12);
        assert_ne!(name, template.name("a.da@contoso.test", &SeededRng::new(2)));
        assert!(NamingTemplate::parse(NAMING_TEMPLATE_DEFAULT).is_ok());
        assert!(NamingTemplate::parse(NAMING_TEMPLATE_SHARED).is_ok());
    }
}
