//! `$filter`: parsed against a type, evaluated on the JSON to be sent.
//!
//! Supported are comparisons, `in`, `has`, `and or not`, `contains startswith endswith tolower
//! toupper`, `any` over collections, and property paths (`a/b`). Strings compare exactly; enum
//! members, GUIDs and user names (see [`TextKind`]) case-insensitively; dates as instants. A
//! missing property is null: equal only to null, unordered, and a function of it is unknown, so
//! that such an element matches neither a condition nor its negation.
//!
//! The source of the objects is not known here. `docs/decisions/0001-filter-parser.md` says why the
//! parser is our own.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use crate::body::instant;
use crate::edm::TextKind;
use crate::{Edm, GraphError};

mod lexer;
mod parser;

/// Maximum length of a filter, bytes.
pub const FILTER_BYTES_MAX: usize = 4096;
/// Maximum nesting of parentheses, `not`, functions and `any`.
pub const DEPTH_MAX: usize = 16;

/// A parsed filter.
#[derive(Clone, Debug)]
pub struct Filter {
    condition: FilterCondition,
}

impl Filter {
    /// Parses a filter on objects of a type.
    ///
    /// # Errors
    /// 400 `BadRequest` with the target `$filter` and the position of the error.
    pub fn parse(edm: &Edm, type_name: &str, text: &str) -> Result<Self, GraphError> {
        Self::parse_option("$filter", edm, type_name, text)
    }

    /// Parses a filter that the client sent as this option.
    ///
    /// # Errors
    /// As [`Self::parse`], with the option as target.
    pub fn parse_option(option: &str, edm: &Edm, type_name: &str, text: &str) -> Result<Self, GraphError> {
        if text.len() > FILTER_BYTES_MAX {
            let message = format!("{option} has {} bytes; at most {FILTER_BYTES_MAX} are allowed.", text.len());
            return Err(GraphError::bad_request(message).about(option));
        }
        let condition = parser::parse(edm, type_name, text).map_err(|error| {
            let place = text[..error.at].chars().count() + 1;
            let message = format!("{option} is invalid at character {place}: {}.", error.why);
            GraphError::bad_request(message).about(option)
        })?;
        Ok(Self { condition })
    }

    /// Returns whether a JSON object matches the filter.
    pub fn matches(&self, object: &Value) -> bool {
        self.condition.evaluate(object) == Some(true)
    }

    /// Returns whether the filter reads this property of the object.
    pub fn reads(&self, property: &str) -> bool {
        self.condition.reads(property)
    }

    /// Returns the condition, so that another evaluator can be told of it.
    pub fn condition(&self) -> &FilterCondition {
        &self.condition
    }
}

/// A condition of a filter. Holds for an object, does not hold, or is unknown.
#[derive(Clone, Debug)]
pub enum FilterCondition {
    /// All of these hold.
    All(Vec<FilterCondition>),
    /// At least one of these holds.
    Either(Vec<FilterCondition>),
    /// The opposite; unknown if the condition is unknown.
    Not(Box<FilterCondition>),
    /// Two operands compared; never unknown.
    Compare {
        /// Left operand.
        left: FilterOperand,
        /// Comparison.
        comparison: FilterComparison,
        /// Right operand.
        right: FilterOperand,
    },
    /// The operand equals one of the values; never unknown.
    In {
        /// Operand.
        left: FilterOperand,
        /// Values.
        literals: Vec<FilterLiteral>,
    },
    /// An enum value has all of these members; unknown for null.
    Has {
        /// Operand.
        left: FilterOperand,
        /// Members.
        members: Vec<String>,
    },
    /// A function of two strings; unknown if one of them is null.
    Text {
        /// Function.
        function: FilterTextFunction,
        /// String that is searched.
        whole: FilterOperand,
        /// String that is searched for.
        part: FilterOperand,
    },
    /// The condition holds for an element of a collection; without one, there is an element.
    Any {
        /// Collection.
        path: FilterPath,
        /// Condition on an element.
        condition: Option<Box<FilterCondition>>,
    },
    /// A boolean is true; unknown for null.
    IsTrue(FilterOperand),
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are OData's")]
pub enum FilterComparison {
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
}

/// A function of two strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are OData's")]
pub enum FilterTextFunction {
    Contains,
    StartsWith,
    EndsWith,
}

/// A side of a comparison, or an argument of a function.
#[derive(Clone, Debug)]
pub enum FilterOperand {
    /// A property.
    Path(FilterPath),
    /// A value.
    Literal(FilterLiteral),
    /// `tolower`
    Lower(Box<FilterOperand>),
    /// `toupper`
    Upper(Box<FilterOperand>),
}

/// Property of the object, or of an element inside `any`.
#[derive(Clone, Debug)]
pub struct FilterPath {
    /// Index of the variable among the enclosing `any`s, from the outermost; none: the object.
    variable: Option<usize>,
    segments: Vec<String>,
    is_instant: bool,
    /// Whether the string compares case-insensitively.
    any_case: bool,
}

/// A value in a filter.
#[derive(Clone, Debug)]
pub enum FilterLiteral {
    /// `null`
    Null,
    /// A boolean.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A number with a fraction.
    Decimal(f64),
    /// A string, enum member or date.
    Text(String),
    /// A GUID; compared case-insensitively.
    Guid(String),
    /// A date and time.
    Instant(jiff::Timestamp),
}

impl FilterOperand {
    fn reads(&self, property: &str) -> bool {
        match self {
            Self::Path(path) => path.reads(property),
            Self::Literal(_) => false,
            Self::Lower(inner) | Self::Upper(inner) => inner.reads(property),
        }
    }
}

impl FilterPath {
    fn reads(&self, property: &str) -> bool {
        self.variable.is_none() && self.segments.first().is_some_and(|first| first == property)
    }
}

/// Value of an operand.
enum Scalar<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Decimal(f64),
    Text(Cow<'a, str>),
    /// A case-insensitive string: a GUID or a user name.
    AnyCase(&'a str),
    Instant(jiff::Timestamp),
}

impl FilterCondition {
    /// Recurses into the parts, as deep as [`DEPTH_MAX`].
    fn reads(&self, property: &str) -> bool {
        match self {
            Self::All(parts) | Self::Either(parts) => parts.iter().any(|part| part.reads(property)),
            Self::Not(part) => part.reads(property),
            Self::Compare { left, right, .. } => left.reads(property) || right.reads(property),
            Self::In { left, .. } | Self::Has { left, .. } => left.reads(property),
            Self::Text { whole, part, .. } => whole.reads(property) || part.reads(property),
            Self::Any { path, condition } => {
                path.reads(property) || condition.as_ref().is_some_and(|condition| condition.reads(property))
            }
            Self::IsTrue(operand) => operand.reads(property),
        }
    }

    /// Evaluates the condition on an object; none if unknown. Conditions inside `any` cannot be
    /// evaluated alone.
    pub fn evaluate(&self, object: &Value) -> Option<bool> {
        self.holds(object, &mut Vec::new())
    }

    /// Returns the properties of the object in a condition without parts; none if it has parts or
    /// is an `any`.
    pub fn paths(&self) -> Option<Vec<&FilterPath>> {
        let operands = match self {
            Self::All(_) | Self::Either(_) | Self::Not(_) | Self::Any { .. } => return None,
            Self::Compare { left, right, .. } | Self::Text { whole: left, part: right, .. } => vec![left, right],
            Self::In { left, .. } | Self::Has { left, .. } | Self::IsTrue(left) => vec![left],
        };
        Some(operands.into_iter().filter_map(FilterOperand::path).collect())
    }

    /// Evaluates the condition; none if unknown, such as a function of null.
    fn holds<'a>(&'a self, object: &'a Value, variables: &mut Vec<&'a Value>) -> Option<bool> {
        match self {
            Self::All(parts) => decide(parts, false, object, variables),
            Self::Either(parts) => decide(parts, true, object, variables),
            Self::Not(inner) => inner.holds(object, variables).map(|holds| !holds),
            Self::Compare { left, comparison, right } => {
                let (left, right) = (left.value(object, variables), right.value(object, variables));
                Some(comparison.accepts(&left, &right))
            }
            Self::In { left, literals } => {
                let left = left.value(object, variables);
                Some(literals.iter().any(|literal| FilterComparison::Eq.accepts(&left, &literal.value())))
            }
            Self::Has { left, members } => match left.value(object, variables) {
                Scalar::Text(text) => {
                    let present =
                        |member: &String| text.split(',').any(|part| part.trim().eq_ignore_ascii_case(member));
                    Some(members.iter().all(present))
                }
                _ => None,
            },
            Self::Text { function, whole, part } => {
                let (whole, part) = (whole.value(object, variables), part.value(object, variables));
                let any_case = matches!(whole, Scalar::AnyCase(_)) || matches!(part, Scalar::AnyCase(_));
                match (whole.text()?, part.text()?) {
                    (whole, part) if any_case => {
                        Some(function.finds(&whole.to_ascii_lowercase(), &part.to_ascii_lowercase()))
                    }
                    (whole, part) => Some(function.finds(whole, part)),
                }
            }
            Self::Any { path, condition } => {
                let Some(elements) = path.find(object, variables).and_then(Value::as_array) else {
                    return Some(false);
                };
                let Some(condition) = condition else { return Some(!elements.is_empty()) };
                let found = elements.iter().any(|element| {
                    variables.push(element);
                    let holds = condition.holds(object, variables);
                    variables.pop();
                    holds == Some(true)
                });
                Some(found)
            }
            Self::IsTrue(operand) => match operand.value(object, variables) {
                Scalar::Boolean(value) => Some(value),
                _ => None,
            },
        }
    }
}

/// Three-valued `and` and `or`. `decisive` is the value that decides alone: false for `and`, true
/// for `or`.
fn decide<'a>(
    parts: &'a [FilterCondition],
    decisive: bool,
    object: &'a Value,
    variables: &mut Vec<&'a Value>,
) -> Option<bool> {
    let mut known = true;
    for part in parts {
        match part.holds(object, variables) {
            Some(value) if value == decisive => return Some(decisive),
            Some(_) => {}
            None => known = false,
        }
    }
    known.then_some(!decisive)
}

impl FilterComparison {
    fn accepts(self, left: &Scalar<'_>, right: &Scalar<'_>) -> bool {
        let order = left.order(right);
        match self {
            Self::Eq => order == Some(Ordering::Equal),
            Self::Ne => order != Some(Ordering::Equal),
            // Null equals null, but is neither greater nor less.
            _ if matches!(left, Scalar::Null) => false,
            Self::Gt => order == Some(Ordering::Greater),
            Self::Lt => order == Some(Ordering::Less),
            Self::Ge => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            Self::Le => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        }
    }
}

impl FilterTextFunction {
    fn finds(self, whole: &str, part: &str) -> bool {
        match self {
            Self::Contains => whole.contains(part),
            Self::StartsWith => whole.starts_with(part),
            Self::EndsWith => whole.ends_with(part),
        }
    }
}

impl FilterOperand {
    /// Returns the property that the operand is made of; none for a value.
    pub fn path(&self) -> Option<&FilterPath> {
        match self {
            Self::Path(path) => Some(path),
            Self::Lower(inner) | Self::Upper(inner) => inner.path(),
            Self::Literal(_) => None,
        }
    }

    fn value<'a>(&'a self, object: &'a Value, variables: &[&'a Value]) -> Scalar<'a> {
        let text = |inner: &'a Self, change: fn(&str) -> String| match inner.value(object, variables) {
            Scalar::Text(text) => Scalar::Text(Cow::Owned(change(&text))),
            other => other,
        };
        match self {
            Self::Literal(literal) => literal.value(),
            Self::Lower(inner) => text(inner, str::to_lowercase),
            Self::Upper(inner) => text(inner, str::to_uppercase),
            Self::Path(path) => match path.find(object, variables) {
                Some(Value::Bool(value)) => Scalar::Boolean(*value),
                Some(Value::Number(number)) => match number.as_i64() {
                    Some(integer) => Scalar::Integer(integer),
                    None => number.as_f64().map_or(Scalar::Null, Scalar::Decimal),
                },
                Some(Value::String(text)) if path.is_instant => instant(text).map_or(Scalar::Null, Scalar::Instant),
                Some(Value::String(text)) if path.any_case => Scalar::AnyCase(text),
                Some(Value::String(text)) => Scalar::Text(Cow::Borrowed(text)),
                _ => Scalar::Null,
            },
        }
    }
}

impl FilterPath {
    /// Returns the names from the object to the property, in the model's spelling.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// Returns a path to a value that is neither an instant nor a string.
    fn new(variable: Option<usize>, segments: Vec<String>) -> Self {
        Self { variable, segments, is_instant: false, any_case: false }
    }

    /// Returns a path to a string.
    fn to_text(variable: Option<usize>, segments: Vec<String>) -> Self {
        let any_case = segments.last().is_some_and(|name| TextKind::of(name) != TextKind::Plain);
        Self { any_case, ..Self::new(variable, segments) }
    }

    fn find<'a>(&self, object: &'a Value, variables: &[&'a Value]) -> Option<&'a Value> {
        let start = self.variable.map_or(object, |place| variables[place]);
        self.segments.iter().try_fold(start, |value, segment| value.get(segment))
    }
}

impl FilterLiteral {
    fn value(&self) -> Scalar<'_> {
        match self {
            Self::Null => Scalar::Null,
            Self::Boolean(value) => Scalar::Boolean(*value),
            Self::Integer(number) => Scalar::Integer(*number),
            Self::Decimal(number) => Scalar::Decimal(*number),
            Self::Text(text) => Scalar::Text(Cow::Borrowed(text)),
            Self::Guid(text) => Scalar::AnyCase(text),
            Self::Instant(instant) => Scalar::Instant(*instant),
        }
    }
}

impl Scalar<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::AnyCase(text) => Some(text),
            _ => None,
        }
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Null, Self::Null) => Some(Ordering::Equal),
            (Self::Boolean(left), Self::Boolean(right)) => Some(left.cmp(right)),
            (Self::Instant(left), Self::Instant(right)) => Some(left.cmp(right)),
            (Self::Text(left), Self::Text(right)) => Some(left.cmp(right)),
            (Self::AnyCase(left), Self::AnyCase(right)) => Some(any_case(left, right)),
            (Self::AnyCase(left), Self::Text(right)) => Some(any_case(left, right)),
            (Self::Text(left), Self::AnyCase(right)) => Some(any_case(left, right)),
            (Self::Integer(left), Self::Integer(right)) => Some(left.cmp(right)),
            _ => self.number()?.partial_cmp(&other.number()?),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "an integer is compared with a fraction, which has no more precision"
    )]
    fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Decimal(number) => Some(*number),
            _ => None,
        }
    }
}

fn any_case(left: &str, right: &str) -> Ordering {
    left.bytes().map(|byte| byte.to_ascii_lowercase()).cmp(right.bytes().map(|byte| byte.to_ascii_lowercase()))
}
