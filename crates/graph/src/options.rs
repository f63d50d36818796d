//! Query options: `$select`, `$filter`, `$top`, `$skip`, `$count`, `$orderby`, `$expand`,
//! `$search`, `$skiptoken`, `$format`.
//!
//! Refuses to know how many rows a page has and what properties are sent when nothing is selected.

use crate::edm::{Property, ResponseShape, TypeRef};
use crate::resolve::{Method, decode};
use crate::{Edm, Filter, GraphError, Operation, Version};

/// The options of a request, checked against the operation and its type.
#[derive(Clone, Debug, Default)]
pub struct QueryOptions {
    /// Properties asked for, in the model's spelling; none: the default set. `*` is all.
    pub select: Option<Vec<String>>,
    /// Condition.
    pub filter: Option<Filter>,
    /// Page size asked for; at least 1.
    pub top: Option<usize>,
    /// Rows to leave out at the start.
    pub skip: Option<usize>,
    /// Whether `@odata.count` is wanted.
    pub count: bool,
    /// Properties to sort by; true is descending.
    pub orderby: Vec<(String, bool)>,
    /// Where the previous page ended.
    pub skiptoken: Option<String>,
    /// The raw filter text, to be bound into links.
    pub filter_text: Option<String>,
    /// Related entities to be sent within the answer.
    pub expand: Vec<Expansion>,
}

/// A navigation property of `$expand`.
#[derive(Clone, Debug)]
pub struct Expansion {
    /// Its name in the model's spelling.
    pub property: String,
    /// Type of the related entities.
    pub item_type: String,
    /// Options in its parentheses.
    pub options: QueryOptions,
}

/// Options that are taken within `$expand`.
const NESTED: [&str; 5] = ["select", "filter", "top", "skip", "orderby"];
/// Options that are known, by their names without `$`.
const KNOWN: [&str; 10] =
    ["select", "filter", "top", "skip", "count", "orderby", "skiptoken", "expand", "search", "format"];

impl QueryOptions {
    /// Reads the raw query of a request, whose answer can expand the navigation properties
    /// `expandable`. Arguments of functions and parameter aliases are not
    /// options and are passed over.
    ///
    /// # Errors
    /// 400 naming the option: unknown, given twice, unreadable, not offered by this operation, or
    /// naming a property that the type lacks.
    pub fn parse(
        edm: &'static Edm,
        operation: &Operation,
        expandable: &[&str],
        query: &str,
    ) -> Result<Self, GraphError> {
        let mut options = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        let item_type = operation.item_type.as_deref().unwrap_or_default();
        for (raw_name, raw_value) in pairs(query) {
            let name = decode(raw_name, "query option")?;
            if name.starts_with('@') || operation.parameters.iter().any(|known| known.name.eq_ignore_ascii_case(&name))
            {
                continue;
            }
            let bare = match name.strip_prefix('$') {
                Some(bare) => bare,
                None if edm.version == Version::Beta => &name,
                None => return Err(unknown(&name)),
            };
            let known =
                KNOWN.into_iter().find(|known| known.eq_ignore_ascii_case(bare)).ok_or_else(|| unknown(&name))?;
            if seen.contains(&known) {
                return Err(wrong(known, "it is given twice"));
            }
            seen.push(known);
            check_offered(operation, known)?;
            let spaced = raw_value.replace('+', " ");
            options.set(edm, item_type, expandable, known, decode(&spaced, "value of a query option")?.trim())?;
        }
        Ok(options)
    }

    fn set(
        &mut self,
        edm: &'static Edm,
        item_type: &str,
        expandable: &[&str],
        name: &str,
        value: &str,
    ) -> Result<(), GraphError> {
        match name {
            "select" => self.select = Some(select(edm, item_type, value)?),
            "expand" => self.expand = expand(edm, item_type, expandable, value)?,
            "format" => format(value)?,
            "orderby" => self.orderby = orderby(edm, item_type, value)?,
            "filter" => {
                self.filter = Some(Filter::parse(edm, item_type, value)?);
                self.filter_text = Some(value.to_owned());
            }
            "top" => match number(name, value)? {
                0 => return Err(wrong(name, "it has to be 1 or more")),
                top => self.top = Some(top),
            },
            "skip" => self.skip = Some(number(name, value)?),
            "skiptoken" if value.is_empty() => return Err(wrong(name, "it is empty")),
            "skiptoken" => self.skiptoken = Some(value.to_owned()),
            "count" => {
                self.count = match value {
                    _ if value.eq_ignore_ascii_case("true") => true,
                    _ if value.eq_ignore_ascii_case("false") => false,
                    _ => return Err(wrong(name, &format!("'{value}' is neither true nor false"))),
                }
            }
            _ => unreachable!("options that are not offered are refused before they are read"),
        }
        Ok(())
    }
}

/// The `name=value` pairs of a raw query, still encoded; empty ones are passed over.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Whether the raw name of a query pair is that of this option, with `$`, `%24` or nothing before
/// it.
pub(crate) fn is_option(raw_name: &str, option: &str) -> bool {
    let bare = raw_name.strip_prefix('$').or_else(|| raw_name.strip_prefix("%24")).unwrap_or(raw_name);
    bare.eq_ignore_ascii_case(option)
}

fn check_offered(operation: &Operation, name: &str) -> Result<(), GraphError> {
    match name {
        "format" => return Ok(()),
        "search" => return Err(wrong(name, "this service does not search; use $filter")),
        _ => {}
    }
    let structured = matches!(
        operation.response,
        ResponseShape::Entity(_) | ResponseShape::Complex(_) | ResponseShape::Collection(_)
    );
    let collection = matches!(operation.response, ResponseShape::Collection(_));
    // The contract lists what its clients offer. Of what is described elsewhere, these can be had
    // wherever they mean something.
    let implied = operation.method == Method::Get
        && match name {
            "select" | "expand" => structured,
            "skiptoken" => collection,
            _ => false,
        };
    let listed = operation.query.iter().any(|offered| is_option(offered, name));
    if implied || listed { Ok(()) } else { Err(wrong(name, &format!("{} does not take it", operation.key))) }
}

fn select(edm: &Edm, item_type: &str, value: &str) -> Result<Vec<String>, GraphError> {
    let mut selected: Vec<String> = Vec::new();
    for path in value.split(',').map(str::trim) {
        let spelled = match path {
            "" => return Err(wrong("select", "it names an empty property")),
            "*" => "*".to_owned(),
            path => edm.property_path(item_type, path).map_err(|error| within("select", error))?.0,
        };
        if !selected.contains(&spelled) {
            selected.push(spelled);
        }
    }
    Ok(selected)
}

/// `*` asks for all that there is, which is nothing on a type without navigation properties.
fn expand(edm: &'static Edm, item_type: &str, expandable: &[&str], value: &str) -> Result<Vec<Expansion>, GraphError> {
    let navigations = edm.type_named(item_type).into_iter().flat_map(|declared| &declared.properties);
    let navigations: Vec<&Property> = navigations.filter(|own| own.type_ref.navigation).collect();
    let is_served = |property: &&&Property| expandable.contains(&property.name.as_str());
    let plain = |property: &&Property| Expansion {
        property: property.name.clone(),
        item_type: property.type_ref.name.clone(),
        options: QueryOptions::default(),
    };
    if value == "*" {
        let served: Vec<_> = navigations.iter().filter(is_served).map(plain).collect();
        if served.is_empty() && !navigations.is_empty() {
            let names: Vec<_> = navigations.iter().map(|own| own.name.as_str()).collect();
            let names = names.join(", ");
            return Err(wrong(
                "expand",
                &format!("this service expands nothing, and '*' stands for {names}; leave it out"),
            ));
        }
        return Ok(served);
    }
    let mut expansions: Vec<Expansion> = Vec::new();
    for part in split_outside(value, ',') {
        let (name, nested) = match part.trim().split_once('(') {
            Some((name, rest)) => (name.trim(), rest.strip_suffix(')').ok_or_else(|| unclosed(part))?),
            None => (part.trim(), ""),
        };
        let found = navigations.iter().filter(is_served).find(|own| own.name.eq_ignore_ascii_case(name));
        let Some(property) = found else {
            let served: Vec<_> = navigations.iter().filter(is_served).map(|own| own.name.as_str()).collect();
            return Err(if served.is_empty() {
                wrong("expand", "this service expands nothing; ask for the related resource by its own path")
            } else {
                wrong("expand", &format!("'{name:.64}' cannot be expanded here, only {}", served.join(", ")))
            });
        };
        if expansions.iter().any(|earlier| earlier.property == property.name) {
            return Err(wrong("expand", &format!("'{}' is named twice", property.name)));
        }
        let mut expansion = plain(property);
        expansion.options = nested_options(edm, &expansion.item_type, nested)?;
        expansions.push(expansion);
    }
    Ok(expansions)
}

/// The options in the parentheses of an expanded property, set apart by semicolons. What is expanded
/// is not expanded further.
fn nested_options(edm: &'static Edm, item_type: &str, text: &str) -> Result<QueryOptions, GraphError> {
    let mut options = QueryOptions::default();
    let mut seen: Vec<&str> = Vec::new();
    for part in split_outside(text, ';').filter(|part| !part.trim().is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let bare = name.trim().strip_prefix('$').unwrap_or(name.trim());
        let known = NESTED.into_iter().find(|known| known.eq_ignore_ascii_case(bare)).ok_or_else(|| {
            wrong("expand", &format!("'{:.64}' is not taken within it, only ${}", name.trim(), NESTED.join(", $")))
        })?;
        if seen.contains(&known) {
            return Err(wrong("expand", &format!("'${known}' is given twice within it")));
        }
        seen.push(known);
        options.set(edm, item_type, &[], known, value.trim())?;
    }
    Ok(options)
}

/// The parts of a text between separators that stand outside parentheses and quotes.
fn split_outside(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut depth, mut quoted) = (0_usize, false);
    text.split(move |letter: char| {
        match letter {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == separator && depth == 0 && !quoted
    })
}

fn unclosed(part: &str) -> GraphError {
    wrong("expand", &format!("the parentheses of '{:.64}' are not closed", part.trim()))
}

/// Answers are JSON, by whichever name. Parameters such as `odata.metadata=full` are not followed.
fn format(value: &str) -> Result<(), GraphError> {
    let media = value.split(';').next().unwrap_or_default().trim();
    if ["json", "application/json"].iter().any(|known| media.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    Err(wrong("format", &format!("'{value:.64}' is not served; it has to be json or application/json")))
}

fn orderby(edm: &Edm, item_type: &str, value: &str) -> Result<Vec<(String, bool)>, GraphError> {
    let mut order: Vec<(String, bool)> = Vec::new();
    for part in value.split(',') {
        let mut words = part.split_ascii_whitespace();
        let path = words.next().ok_or_else(|| wrong("orderby", "it names an empty property"))?;
        let descending = match words.next() {
            None => false,
            Some(word) if word.eq_ignore_ascii_case("asc") => false,
            Some(word) if word.eq_ignore_ascii_case("desc") => true,
            Some(word) => return Err(wrong("orderby", &format!("'{word}' is neither asc nor desc"))),
        };
        if let Some(word) = words.next() {
            return Err(wrong(
                "orderby",
                &format!("'{word}' is one word too many; properties are set apart by commas"),
            ));
        }
        let (spelled, type_ref) = edm.property_path(item_type, path).map_err(|error| within("orderby", error))?;
        if !sortable(edm, type_ref) {
            return Err(wrong("orderby", &format!("'{spelled}' has no order")));
        }
        if order.iter().any(|(earlier, _)| *earlier == spelled) {
            return Err(wrong("orderby", &format!("'{spelled}' is named twice")));
        }
        order.push((spelled, descending));
    }
    Ok(order)
}

fn sortable(edm: &Edm, type_ref: &TypeRef) -> bool {
    let single_value = type_ref.name.starts_with("Edm.") || edm.enum_named(&type_ref.name).is_some();
    single_value && !type_ref.collection && type_ref.name != "Edm.Untyped"
}

fn number(name: &str, value: &str) -> Result<usize, GraphError> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    match value.parse() {
        Ok(number) if digits => Ok(number),
        _ => Err(wrong(name, &format!("'{value}' is no whole number from 0 to {}", usize::MAX))),
    }
}

fn unknown(name: &str) -> GraphError {
    GraphError::bad_request(format!("The query option '{name}' is not known.")).about(name)
}

fn wrong(name: &str, why: &str) -> GraphError {
    GraphError::bad_request(format!("The query option '${name}' is wrong: {why}.")).about(format!("${name}"))
}

/// The same error, told as one of this option.
fn within(name: &str, error: GraphError) -> GraphError {
    GraphError { message: format!("The query option '${name}' is wrong: {}", error.message), ..error }
        .about(format!("${name}"))
}
