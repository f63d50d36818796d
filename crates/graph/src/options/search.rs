//! `$search`: a text that a name contains, in any case.
//!
//! Graph's collections of Cloud PCs declare `$search`, and no page says what it looks at. Here it
//! is a condition on one property: `"text"` on the name of the entities, `"property:text"` on that
//! property. It is written as a filter, so that it is evaluated, indexed and paged like one.

use super::invalid;
use crate::{Edm, GraphError};

/// Properties that are searched unless the request names one; the first that the type has.
const NAMES: [&str; 4] = ["displayName", "deviceName", "userPrincipalName", "cloudPcDisplayName"];

/// Returns the filter that a value of `$search` stands for.
pub(super) fn condition(edm: &Edm, item_type: &str, value: &str) -> Result<String, GraphError> {
    let term = term(value)?;
    let declared = edm.type_named(item_type);
    let is_text = |name: &str| {
        let property = declared.and_then(|declared| declared.property(name));
        property.filter(|own| own.type_ref.name == "Edm.String" && !own.type_ref.collection).map(|own| own.name.clone())
    };
    let (property, text) = match term.split_once(':').and_then(|(name, text)| Some((is_text(name.trim())?, text))) {
        Some((property, text)) => (property, text),
        None => match NAMES.iter().find_map(|name| is_text(name)) {
            Some(property) => (property, &*term),
            None => return Err(invalid("search", "this type has no name to search; use $filter")),
        },
    };
    if text.trim().is_empty() {
        return Err(invalid("search", "it is empty"));
    }
    let text = text.trim().to_lowercase().replace('\'', "''");
    Ok(format!("contains(tolower({property}),'{text}')"))
}

/// Returns the one term of a search, without its quotes.
fn term(value: &str) -> Result<String, GraphError> {
    let Some(quoted) = value.strip_prefix('"') else { return Ok(value.to_owned()) };
    let mut term = String::new();
    let mut letters = quoted.chars();
    loop {
        match letters.next() {
            None => return Err(invalid("search", "its quotes are not closed")),
            Some('"') => break,
            Some('\\') => term.extend(letters.next()),
            Some(letter) => term.push(letter),
        }
    }
    if letters.as_str().trim().is_empty() {
        return Ok(term);
    }
    Err(invalid("search", "it takes one term; use $filter to combine conditions"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Version;

    fn of(item_type: &str, value: &str) -> Result<String, String> {
        condition(Edm::of(Version::Beta), item_type, value).map_err(|error| error.message)
    }

    #[test]
    fn a_term_is_searched_in_the_name_or_in_the_property_that_it_names() {
        let found = |value| of("cloudPC", value).unwrap();
        assert_eq!(found("\"Desk\""), "contains(tolower(displayName),'desk')");
        assert_eq!(found("desk-1"), "contains(tolower(displayName),'desk-1')");
        assert_eq!(found("\"UserPrincipalName:Ada\""), "contains(tolower(userPrincipalName),'ada')");
        assert_eq!(found("\"10:30\""), "contains(tolower(displayName),'10:30')", "no property has this name");
        assert_eq!(found("\"o'Neill \\\"x\\\"\""), "contains(tolower(displayName),'o''neill \"x\"')");
        assert_eq!(of("managedDevice", "a").unwrap(), "contains(tolower(deviceName),'a')");
    }

    #[test]
    fn what_is_not_one_term_is_refused() {
        assert!(of("cloudPC", "\"a").unwrap_err().contains("not closed"));
        assert!(of("cloudPC", "\"a\" AND \"b\"").unwrap_err().contains("one term"));
        assert!(of("cloudPC", "\" \"").unwrap_err().contains("empty"));
        assert!(of("cloudPcSnapshot", "a").unwrap_err().contains("no name"));
    }
}
