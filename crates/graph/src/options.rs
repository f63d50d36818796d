//! Query options: `$select`, `$filter`, `$top`, `$skip`, `$count`, `$orderby`, `$expand`,
//! `$search`, `$skiptoken`, `$deltatoken`, `$format`.
//!
//! Page sizes and the default set of properties are not known here.

mod search;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::edm::{Property, ResponseShape, TypeRef};
use crate::filter::FILTER_BYTES_MAX;
use crate::resolve::{Method, decode};
use crate::{Edm, Filter, GraphError, Operation, OperationKind, Version};

/// The options of a request, checked against the operation and its type.
#[derive(Clone, Debug, Default)]
pub struct QueryOptions {
    /// Selected properties in the model's spelling; none: the default set. `*` is all.
    pub select: Option<Vec<String>>,
    /// Filter of the rows.
    pub filter: Option<Filter>,
    /// Requested page size, at least 1.
    pub top: Option<usize>,
    /// Number of rows to skip.
    pub skip: Option<usize>,
    /// Whether `@odata.count` is requested.
    pub count: bool,
    /// Properties to sort by; true means descending.
    pub orderby: Vec<(String, bool)>,
    /// Token of the previous page's end.
    pub skiptoken: Option<String>,
    /// Token of the changes since an earlier answer.
    pub deltatoken: Option<String>,
    /// Filter as sent, with the condition of `$search`; next links are bound to it.
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
    /// Whether there can be many related entities.
    pub is_collection: bool,
    /// Options in its parentheses.
    pub options: QueryOptions,
    /// The same as a query for the path of the property.
    pub query: String,
}

/// What options apply to.
#[derive(Clone, Copy)]
struct Applied<'a> {
    edm: &'static Edm,
    /// The operation that returns the entities; none: no path does.
    operation: Option<&'a Operation>,
    item_type: &'a str,
    /// Navigation properties that the operation expands itself.
    expandable: &'a [&'a str],
    /// Levels of `$expand` around it.
    depth: usize,
}

/// Most levels of `$expand` within each other.
pub const EXPAND_DEPTH_MAX: usize = 3;
/// Options that are taken within `$expand`.
const NESTED: [&str; 7] = ["select", "filter", "top", "skip", "orderby", "count", "expand"];
/// Known options, without their `$`.
const KNOWN: [&str; 11] =
    ["select", "filter", "top", "skip", "count", "orderby", "skiptoken", "deltatoken", "expand", "search", "format"];

impl QueryOptions {
    /// Parses the raw query of a request whose answer itself expands the navigation properties
    /// `expandable`; others can be expanded if they have a path. Function arguments and parameter
    /// aliases are not options and are skipped.
    ///
    /// # Errors
    /// 400 naming the option: unknown, given twice, invalid, not supported by the operation, or
    /// naming a property that the type lacks.
    pub fn parse(
        edm: &'static Edm,
        operation: &Operation,
        expandable: &[&str],
        query: &str,
    ) -> Result<Self, GraphError> {
        let mut options = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        let mut search = None;
        let item_type = operation.item_type.as_deref().unwrap_or_default();
        let applied = Applied { edm, operation: Some(operation), item_type, expandable, depth: 0 };
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
                return Err(invalid(known, "it is given twice"));
            }
            seen.push(known);
            check_supported(operation, known)?;
            let spaced = raw_value.replace('+', " ");
            let value = decode(&spaced, "value of a query option")?;
            match known {
                "search" => search = Some(search::condition(edm, item_type, value.trim())?),
                _ => options.set(applied, known, value.trim())?,
            }
        }
        if let Some(search) = search {
            let both = match &options.filter_text {
                Some(filter) => format!("({filter}) and {search}"),
                None => search,
            };
            if both.len() > FILTER_BYTES_MAX {
                let with = if options.filter_text.is_some() { " together with $filter" } else { "" };
                let surplus = both.len() - FILTER_BYTES_MAX;
                return Err(invalid("search", &format!("it has {surplus} bytes too many{with}")));
            }
            options.set(applied, "filter", &both)?;
        }
        Ok(options)
    }

    fn set(&mut self, applied: Applied<'_>, name: &str, value: &str) -> Result<(), GraphError> {
        let Applied { edm, item_type, .. } = applied;
        match name {
            "select" => self.select = Some(select(edm, item_type, value)?),
            "expand" => self.expand = expand(applied, value)?,
            "format" => format(value)?,
            "orderby" => self.orderby = orderby(edm, item_type, value)?,
            "filter" => {
                self.filter = Some(Filter::parse(edm, item_type, value)?);
                self.filter_text = Some(value.to_owned());
            }
            "top" => match number(name, value)? {
                0 => return Err(invalid(name, "it must be at least 1")),
                top => self.top = Some(top),
            },
            "skip" => self.skip = Some(number(name, value)?),
            "skiptoken" | "deltatoken" if value.is_empty() => return Err(invalid(name, "it is empty")),
            "skiptoken" => self.skiptoken = Some(value.to_owned()),
            "deltatoken" => self.deltatoken = Some(value.to_owned()),
            "count" => {
                self.count = match value {
                    _ if value.eq_ignore_ascii_case("true") => true,
                    _ if value.eq_ignore_ascii_case("false") => false,
                    _ => return Err(invalid(name, &format!("'{value}' is neither true nor false"))),
                }
            }
            _ => unreachable!("unsupported options are rejected before parsing"),
        }
        Ok(())
    }
}

/// Returns the `name=value` pairs of a raw query, still encoded, without empty ones.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Returns whether the raw name of a query pair is this option, with `$`, `%24` or nothing before
/// it.
pub(crate) fn is_option(raw_name: &str, option: &str) -> bool {
    let bare = raw_name.strip_prefix('$').or_else(|| raw_name.strip_prefix("%24")).unwrap_or(raw_name);
    bare.eq_ignore_ascii_case(option)
}

/// Returns the options that an operation takes, without their `$`.
pub fn supported(operation: &Operation) -> impl Iterator<Item = &'static str> {
    KNOWN.into_iter().filter(|name| is_supported(operation, name))
}

fn check_supported(operation: &Operation, name: &str) -> Result<(), GraphError> {
    if is_supported(operation, name) {
        return Ok(());
    }
    Err(invalid(name, &format!("{} does not support it", operation.key)))
}

fn is_supported(operation: &Operation, name: &str) -> bool {
    if name == "format" {
        return true;
    }
    let structured = matches!(
        operation.response,
        ResponseShape::Entity(_) | ResponseShape::Complex(_) | ResponseShape::Collection(_)
    );
    let collection = matches!(operation.response, ResponseShape::Collection(_));
    // The contract lists only some options. These others are supported wherever they make sense.
    let implied = operation.method == Method::Get
        && match name {
            "select" | "expand" => structured,
            "skiptoken" => collection,
            _ => false,
        };
    implied || operation.query.iter().any(|offered| is_option(offered, name))
}

fn select(edm: &Edm, item_type: &str, value: &str) -> Result<Vec<String>, GraphError> {
    let mut selected: Vec<String> = Vec::new();
    for path in value.split(',').map(str::trim) {
        let spelled = match path {
            "" => return Err(invalid("select", "it contains an empty property name")),
            "*" => "*".to_owned(),
            path => {
                let own = edm.property_path(item_type, path);
                // Clients select properties of users and groups where either can be.
                let derived = || edm.types.keys().filter(|name| *name != item_type && edm.is_a(name, item_type));
                let found = own.or_else(|error| {
                    let of_derived = derived().find_map(|name| edm.property_path(name, path).ok());
                    of_derived.ok_or(error)
                });
                found.map_err(|error| within("select", error))?.0
            }
        };
        if !selected.contains(&spelled) {
            selected.push(spelled);
        }
    }
    Ok(selected)
}

/// `*` asks for all that there is, which is nothing on a type without navigation properties. A
/// complex property in `expandable` is always sent: clients may expand it, and nothing changes.
fn expand(applied: Applied<'_>, value: &str) -> Result<Vec<Expansion>, GraphError> {
    let Applied { edm, item_type, expandable, depth, .. } = applied;
    if depth >= EXPAND_DEPTH_MAX {
        return Err(invalid("expand", &format!("at most {EXPAND_DEPTH_MAX} levels are expanded within each other")));
    }
    let navigations = edm.type_named(item_type).into_iter().flat_map(|declared| &declared.properties);
    let navigations: Vec<&Property> = navigations.filter(|own| own.type_ref.navigation).collect();
    let is_served = |property: &&&Property| applied.can_expand(property);
    let plain = |property: &&Property| Expansion {
        property: property.name.clone(),
        item_type: property.type_ref.name.clone(),
        is_collection: property.type_ref.collection,
        options: QueryOptions::default(),
        query: String::new(),
    };
    if value == "*" {
        let served: Vec<_> = navigations.iter().filter(is_served).map(plain).collect();
        if served.is_empty() && !navigations.is_empty() {
            let names: Vec<_> = navigations.iter().map(|own| own.name.as_str()).collect();
            let names = names.join(", ");
            return Err(invalid("expand", &format!("expansion is not supported, and '*' stands for {names}; omit it")));
        }
        return Ok(served);
    }
    let mut expansions: Vec<Expansion> = Vec::new();
    for part in split_outside(value, ',') {
        let (name, nested) = match part.trim().split_once('(') {
            Some((name, rest)) => (name.trim(), rest.strip_suffix(')').ok_or_else(|| unclosed(part))?),
            None => (part.trim(), ""),
        };
        let is_sent = |own: &Property| !own.type_ref.navigation && expandable.contains(&own.name.as_str());
        let mut properties = edm.type_named(item_type).into_iter().flat_map(|declared| &declared.properties);
        if properties.any(|own| is_sent(own) && own.name.eq_ignore_ascii_case(name)) {
            continue;
        }
        let found = navigations.iter().filter(is_served).find(|own| own.name.eq_ignore_ascii_case(name));
        let Some(property) = found else {
            let served: Vec<_> = navigations.iter().filter(is_served).map(|own| own.name.as_str()).collect();
            return Err(if served.is_empty() {
                invalid("expand", "expansion is not supported; request the related resource by its own path")
            } else {
                invalid("expand", &format!("'{name:.64}' cannot be expanded here, only {}", served.join(", ")))
            });
        };
        if expansions.iter().any(|earlier| earlier.property == property.name) {
            return Err(invalid("expand", &format!("'{}' is named twice", property.name)));
        }
        let mut expansion = plain(property);
        let operation = applied.read_of(&property.name);
        let inner = Applied { edm, operation, item_type: &property.type_ref.name, expandable: &[], depth: depth + 1 };
        (expansion.options, expansion.query) = nested_options(inner, nested)?;
        expansions.push(expansion);
    }
    Ok(expansions)
}

/// Returns the navigation properties that can be expanded in the answer of an operation: those that
/// it expands itself, and those that have a path.
pub fn expandable(edm: &'static Edm, operation: &Operation, itself: &[&str]) -> Vec<&'static Property> {
    let item_type = operation.item_type.as_deref().unwrap_or_default();
    let applied = Applied { edm, operation: Some(operation), item_type, expandable: itself, depth: 0 };
    let properties = edm.type_named(item_type).into_iter().flat_map(|declared| &declared.properties);
    properties.filter(|own| own.type_ref.navigation && applied.can_expand(own)).collect()
}

impl Applied<'_> {
    fn can_expand(&self, property: &Property) -> bool {
        self.expandable.contains(&property.name.as_str()) || self.read_of(&property.name).is_some()
    }

    /// Returns the operation that reads a navigation property of the entities, by its path.
    fn read_of(&self, property: &str) -> Option<&'static Operation> {
        /// Stands for every key: paths are resolved whether or not the entity exists.
        const KEY: &str = "0";
        let operation = self.operation?;
        let mut path = String::new();
        for (place, part) in operation.path.split(['{', '}']).enumerate() {
            path.push_str(if place % 2 == 0 { part } else { KEY });
        }
        let entity = match operation.kind {
            OperationKind::List => format!("{path}/{KEY}"),
            OperationKind::Get => path,
            _ => return None,
        };
        let target = self.edm.resolve(Method::Get, &format!("{entity}/{property}"), "").ok()?;
        Some(target.operation)
    }
}

/// The options in the parentheses of an expanded property, set apart by semicolons, and the same as
/// a query.
fn nested_options(applied: Applied<'_>, text: &str) -> Result<(QueryOptions, String), GraphError> {
    let mut options = QueryOptions::default();
    let mut query = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for part in split_outside(text, ';').filter(|part| !part.trim().is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let name = name.trim();
        let bare = name.strip_prefix('$').unwrap_or(name);
        let known = NESTED.into_iter().find(|known| known.eq_ignore_ascii_case(bare)).ok_or_else(|| {
            invalid("expand", &format!("'{:.64}' is not taken within it, only ${}", name.trim(), NESTED.join(", $")))
        })?;
        if seen.contains(&known) {
            return Err(invalid("expand", &format!("'${known}' is given twice within it")));
        }
        seen.push(known);
        options.set(applied, known, value.trim())?;
        query.push(format!("${known}={}", utf8_percent_encode(value.trim(), NON_ALPHANUMERIC)));
    }
    Ok((options, query.join("&")))
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
    invalid("expand", &format!("the parentheses of '{:.64}' are not closed", part.trim()))
}

/// Accepts JSON by either name. [`crate::MetadataLevel`] reads its parameters.
fn format(value: &str) -> Result<(), GraphError> {
    let media = value.split(';').next().unwrap_or_default().trim();
    if ["json", "application/json"].iter().any(|known| media.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    Err(invalid("format", &format!("'{value:.64}' is not supported; use json or application/json")))
}

fn orderby(edm: &Edm, item_type: &str, value: &str) -> Result<Vec<(String, bool)>, GraphError> {
    let mut order: Vec<(String, bool)> = Vec::new();
    for part in value.split(',') {
        let mut words = part.split_ascii_whitespace();
        let path = words.next().ok_or_else(|| invalid("orderby", "it contains an empty property name"))?;
        let descending = match words.next() {
            None => false,
            Some(word) if word.eq_ignore_ascii_case("asc") => false,
            Some(word) if word.eq_ignore_ascii_case("desc") => true,
            Some(word) => return Err(invalid("orderby", &format!("'{word}' is neither asc nor desc"))),
        };
        if let Some(word) = words.next() {
            return Err(invalid("orderby", &format!("unexpected '{word}'; separate properties with commas")));
        }
        let (spelled, type_ref) = edm.property_path(item_type, path).map_err(|error| within("orderby", error))?;
        if !sortable(edm, type_ref) {
            return Err(invalid("orderby", &format!("sorting by '{spelled}' is not supported")));
        }
        if order.iter().any(|(earlier, _)| *earlier == spelled) {
            return Err(invalid("orderby", &format!("'{spelled}' is named twice")));
        }
        order.push((spelled, descending));
    }
    Ok(order)
}

/// Whether `$orderby` can name a property of this type.
pub fn sortable(edm: &Edm, type_ref: &TypeRef) -> bool {
    let single_value = type_ref.name.starts_with("Edm.") || edm.enum_named(&type_ref.name).is_some();
    single_value && !type_ref.collection && type_ref.name != "Edm.Untyped"
}

fn number(name: &str, value: &str) -> Result<usize, GraphError> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    match value.parse() {
        Ok(number) if digits => Ok(number),
        _ => Err(invalid(name, &format!("'{value}' is not an integer from 0 to {}", usize::MAX))),
    }
}

fn unknown(name: &str) -> GraphError {
    GraphError::bad_request(format!("Unknown query option '{name}'.")).about(name)
}

fn invalid(name: &str, why: &str) -> GraphError {
    GraphError::bad_request(format!("The query option '${name}' is invalid: {why}.")).about(format!("${name}"))
}

/// Returns the error as one of this option.
fn within(name: &str, error: GraphError) -> GraphError {
    GraphError { message: format!("The query option '${name}' is invalid: {}", error.message), ..error }
        .about(format!("${name}"))
}
