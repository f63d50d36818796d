//! Contents of the parentheses of a segment: function arguments in all their spellings, or a key.
//!
//! Unquoted `null`, an empty string and an alias without a value all count as an omitted argument.

use std::collections::BTreeMap;

use super::decode;
use crate::GraphError;
use crate::body::is_guid;
use crate::edm::{Property, TextKind};
use crate::options::pairs;

/// Syntax of one argument.
enum Written<'a> {
    /// `null`
    Nothing,
    /// A value.
    Value(String),
    /// `@name` or `'@name'`: the value is in the query, if present.
    Alias(&'a str),
}

/// Parses `a='x',b='y'`, where commas may be missing, for a function with these parameters.
pub(super) fn arguments(
    parameters: &[Property],
    function: &str,
    inner: &str,
    query: &str,
) -> Result<BTreeMap<String, String>, GraphError> {
    let mut arguments = BTreeMap::new();
    let mut seen: Vec<&str> = Vec::new();
    let mut rest = inner.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest
            .split_once('=')
            .ok_or_else(|| invalid(function, &format!("'{rest}' is not an argument of the form name=value")))?;
        let declared =
            parameter_named(parameters, name.trim()).ok_or_else(|| unknown(function, name.trim(), parameters))?;
        let parameter = declared.name.as_str();
        if seen.contains(&parameter) {
            return Err(given_twice(parameter));
        }
        seen.push(parameter);
        let (written, after) = value(parameters, function, declared, after.trim_start())?;
        let given = match written {
            Written::Nothing => None,
            Written::Value(value) => Some(value),
            Written::Alias(alias) => from_query(alias, query)?,
        };
        if let Some(given) = given.filter(|given| !given.is_empty()) {
            arguments.insert(parameter.to_owned(), given);
        }
        rest = after.trim_start();
        if let Some(after_comma) = rest.strip_prefix(',') {
            rest = after_comma.trim_start();
            if rest.is_empty() {
                return Err(invalid(function, "a comma must be followed by an argument"));
            }
        }
    }
    Ok(arguments)
}

/// Adds the arguments that were given only as query options (`?a=x&b=y`).
pub(super) fn add_from_query(
    parameters: &[Property],
    query: &str,
    arguments: &mut BTreeMap<String, String>,
) -> Result<(), GraphError> {
    for Property { name: parameter, .. } in parameters {
        if arguments.contains_key(parameter) {
            continue;
        }
        if let Some(given) = from_query(parameter, query)?.filter(|given| !given.is_empty()) {
            arguments.insert(parameter.clone(), given);
        }
    }
    Ok(())
}

/// Parses the key in `('id')`, `(id)` or `(id='id')`.
pub(super) fn key(inner: &str) -> Option<String> {
    let inner = inner.trim();
    let inner = match inner.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("id") => value.trim(),
        _ => inner,
    };
    if inner.starts_with('\'') {
        let (value, rest) = quoted(inner)?;
        return (rest.is_empty() && !value.is_empty()).then_some(value);
    }
    (!inner.is_empty() && !inner.contains('\'')).then(|| inner.to_owned())
}

/// Parses one value; returns it with the rest of the text.
fn value<'a>(
    parameters: &[Property],
    function: &str,
    declared: &Property,
    text: &'a str,
) -> Result<(Written<'a>, &'a str), GraphError> {
    let parameter = declared.name.as_str();
    if text.starts_with('\'') {
        let (value, rest) =
            quoted(text).ok_or_else(|| invalid(function, &format!("the quote of '{parameter}' is not closed")))?;
        let raw = &text[1..text.len() - rest.len() - 1];
        return Ok(match raw.strip_prefix('@') {
            Some(alias) if is_name(alias) => (Written::Alias(alias), rest),
            _ => (Written::Value(value), rest),
        });
    }
    let end = text.find(',').unwrap_or(text.len());
    let end = match text[..end].find('=') {
        // The comma is missing: the text before the sign ends with the name of the next parameter.
        Some(sign) => {
            let before = &text[..sign];
            let next = parameters
                .iter()
                .map(|parameter| parameter.name.as_str())
                .filter(|name| {
                    let start = before.len().checked_sub(name.len());
                    start.and_then(|start| before.get(start..)).is_some_and(|tail| tail.eq_ignore_ascii_case(name))
                })
                .map(str::len)
                .max()
                .ok_or_else(|| invalid(function, &format!("the value of '{parameter}' has a stray '='")))?;
            sign - next
        }
        None => end,
    };
    let (bare, rest) = (text[..end].trim_end(), &text[end..]);
    if bare.contains('\'') {
        return Err(invalid(function, &format!("the value of '{parameter}' has a stray quote")));
    }
    match bare.strip_prefix('@') {
        Some(alias) if is_name(alias) => Ok((Written::Alias(alias), rest)),
        _ if bare.is_empty() => Err(invalid(function, &format!("'{parameter}' has no value"))),
        _ if is_null(bare) => Ok((Written::Nothing, rest)),
        // An unquoted word is an unset variable of a script, such as `undefined`.
        _ if declared.type_ref.name == "Edm.String" && !is_guid(bare) => {
            let why = format!("'{bare}' is not quoted; write {parameter}='{bare}', or {parameter}=null to omit it");
            Err(invalid(function, &why))
        }
        _ => Ok((Written::Value(bare.to_owned()), rest)),
    }
}

/// Parses a quoted string at the start, with doubled quotes unescaped; returns it with the rest of
/// the text.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text.strip_prefix('\'')?;
    loop {
        let end = rest.find('\'')?;
        value.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('\'') {
            Some(after) => {
                value.push('\'');
                rest = after;
            }
            None => return Some((value, rest)),
        }
    }
}

/// Returns the value of a query option `name` or `@name`, without quotes.
fn from_query(name: &str, query: &str) -> Result<Option<String>, GraphError> {
    let mut found = None;
    for (raw_name, raw_value) in pairs(query) {
        let decoded = decode(raw_name, "query option")?;
        if !decoded.strip_prefix('@').unwrap_or(&decoded).eq_ignore_ascii_case(name) {
            continue;
        }
        if found.is_some() {
            return Err(given_twice(name));
        }
        let spaced = raw_value.replace('+', " ");
        let decoded = decode(&spaced, "query option")?;
        found = Some(match decoded.starts_with('\'') {
            true => match quoted(&decoded) {
                Some((value, "")) => value,
                _ => {
                    return Err(GraphError::bad_request(format!("The quotes of the argument '{name}' do not match."))
                        .about(name));
                }
            },
            false => decoded.into_owned(),
        });
        if is_null(raw_value) {
            found = Some(String::new());
        }
    }
    Ok(found)
}

/// Returns whether a text is the null literal.
fn is_null(text: &str) -> bool {
    text.eq_ignore_ascii_case("null")
}

/// Checks each argument against its parameter's type, and that GUID parameters hold GUIDs.
pub(super) fn check(parameters: &[Property], arguments: &BTreeMap<String, String>) -> Result<(), GraphError> {
    for (name, value) in arguments {
        let declared = parameter_named(parameters, name);
        let expected = match declared.map(|declared| declared.type_ref.name.as_str()) {
            Some("Edm.Boolean") if !matches!(value.as_str(), "true" | "false") => "true or false",
            Some("Edm.String") if TextKind::of(name) == TextKind::Guid && !is_guid(value) => {
                "a GUID such as 8f3c1b52-6d0e-4a57-9d5b-0f2a6c7e4b19"
            }
            _ => continue,
        };
        let message = format!("The argument '{name}' must be {expected}, but is '{value:.64}'.");
        return Err(GraphError::bad_request(message).about(name));
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
}

fn parameter_named<'a>(parameters: &'a [Property], name: &str) -> Option<&'a Property> {
    parameters.iter().find(|parameter| parameter.name.eq_ignore_ascii_case(name))
}

fn unknown(function: &str, name: &str, parameters: &[Property]) -> GraphError {
    let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    let known = if names.is_empty() { "it takes none".to_owned() } else { format!("it takes {}", names.join(", ")) };
    GraphError::bad_request(format!("The function '{function}' has no parameter '{name}'; {known}.")).about(name)
}

fn given_twice(name: &str) -> GraphError {
    GraphError::bad_request(format!("The argument '{name}' is given twice.")).about(name)
}

fn invalid(function: &str, why: &str) -> GraphError {
    GraphError::bad_request(format!("The arguments of '{function}' are invalid: {why}.")).about(function)
}
