//! Filters as conditions on columns of the store.
//!
//! A translated condition may hold for more rows than the filter, never for fewer: then rows are
//! evaluated again. What has no translation holds for all rows.

use cloudpc_graph::filter::{FilterComparison, FilterCondition, FilterLiteral, FilterOperand, FilterTextFunction};
use cloudpc_store::{KeyRanges, ListColumn, ListCondition, ListValue};
use serde_json::{Value, json};
use uuid::Uuid;

/// How the store holds a property.
#[derive(Clone, Debug)]
pub enum ListProperty {
    /// A text.
    Text {
        /// Column with the text.
        column: ListColumn,
        /// Column with the text in lower case.
        folded: Option<ListColumn>,
        /// Whether an empty text stands for null.
        nullable: bool,
    },
    /// A text that compares case-insensitively, in lower case.
    AnyCase {
        /// Column with the text.
        column: ListColumn,
        /// Whether an empty text stands for null.
        nullable: bool,
    },
    /// A GUID.
    Guid(ListColumn),
    /// A time in microseconds.
    Time {
        /// Column with the time.
        column: ListColumn,
        /// Whether the least number stands for null.
        nullable: bool,
    },
    /// A value that follows from a column with few values.
    Choice {
        /// Column.
        column: ListColumn,
        /// Values of the column with those of the property.
        shown: Vec<(ListValue, Value)>,
        /// Value of the property for all other values of the column.
        others: Value,
    },
    /// The same value for all rows.
    Constant(Value),
}

impl ListProperty {
    /// A text that is never null.
    pub fn text(column: ListColumn) -> Self {
        Self::Text { column, folded: None, nullable: false }
    }

    /// Returns the column that sorts rows like the property.
    pub(super) fn sort_column(&self) -> Option<ListColumn> {
        match self {
            Self::Text { column, .. }
            | Self::AnyCase { column, .. }
            | Self::Guid(column)
            | Self::Time { column, .. } => Some(*column),
            Self::Choice { .. } | Self::Constant(_) => None,
        }
    }

    /// The key of null.
    fn null(&self) -> Option<ListValue> {
        match self {
            Self::Text { nullable: true, .. } | Self::AnyCase { nullable: true, .. } => Some(text("")),
            Self::Time { nullable: true, .. } => Some(ListValue::Integer(i64::MIN)),
            _ => None,
        }
    }

    fn not_null(&self) -> KeyRanges {
        KeyRanges::points(self.null()).complement()
    }

    /// Returns the column to be searched for an operand, and whether its texts are folded in ASCII.
    fn column_of(&self, operand: &FilterOperand) -> Option<(ListColumn, bool)> {
        match (self, operand) {
            // Functions leave the case of these texts alone.
            (Self::AnyCase { column, .. } | Self::Guid(column), _) => Some((*column, true)),
            (Self::Text { column, .. } | Self::Time { column, .. }, FilterOperand::Path(_)) => Some((*column, false)),
            (Self::Text { folded, .. }, FilterOperand::Lower(inner)) if matches!(**inner, FilterOperand::Path(_)) => {
                folded.map(|column| (column, false))
            }
            _ => None,
        }
    }

    /// Returns the column that is compared and the keys that equal a value.
    fn equal(&self, operand: &FilterOperand, literal: &FilterLiteral) -> Option<(ListColumn, KeyRanges)> {
        let (column, _) = self.column_of(operand)?;
        if let (Self::Text { folded: Some(folded), .. }, FilterLiteral::Guid(guid)) = (self, literal) {
            return Some((*folded, KeyRanges::points([text(&guid.to_ascii_lowercase())])));
        }
        let keys = match literal {
            FilterLiteral::Null => KeyRanges::points(self.null()),
            FilterLiteral::Text(value) if value.is_empty() && self.null().is_some() => KeyRanges::none(),
            _ => match self.key(operand, literal)? {
                Key::Value(value) | Key::Time { at: value, is_exact: true } => KeyRanges::points([value]),
                Key::Never | Key::Time { .. } => KeyRanges::none(),
            },
        };
        Some((column, keys))
    }

    /// Returns the key with which a value is compared.
    fn key(&self, operand: &FilterOperand, literal: &FilterLiteral) -> Option<Key> {
        let is_lower = matches!(operand, FilterOperand::Lower(_));
        Some(match (self, literal) {
            (Self::Text { .. }, FilterLiteral::Text(value)) => Key::Value(text(value)),
            (Self::Text { .. }, FilterLiteral::Guid(value)) if is_lower => {
                Key::Value(text(&value.to_ascii_lowercase()))
            }
            (Self::AnyCase { .. }, FilterLiteral::Text(value) | FilterLiteral::Guid(value)) => {
                Key::Value(text(&value.to_ascii_lowercase()))
            }
            (Self::Guid(_), FilterLiteral::Guid(value)) => Key::Value(ListValue::Guid(Uuid::try_parse(value).ok()?)),
            (Self::Guid(_), FilterLiteral::Text(_)) => Key::Never,
            (Self::Time { .. }, FilterLiteral::Instant(at)) => {
                const NANOS: i128 = 1_000;
                let (micros, rest) = (at.as_nanosecond().div_euclid(NANOS), at.as_nanosecond().rem_euclid(NANOS));
                Key::Time { at: ListValue::Integer(i64::try_from(micros).ok()?), is_exact: rest == 0 }
            }
            _ => return None,
        })
    }

    fn compare(
        &self,
        operand: &FilterOperand,
        comparison: FilterComparison,
        literal: &FilterLiteral,
    ) -> Option<(ListColumn, KeyRanges)> {
        let (column, equal) = self.equal(operand, literal)?;
        match comparison {
            FilterComparison::Eq => return Some((column, equal)),
            FilterComparison::Ne => return Some((column, equal.complement())),
            _ if matches!(literal, FilterLiteral::Null) => return Some((column, KeyRanges::none())),
            _ => {}
        }
        // The order of a GUID among texts in any case is not that of the column.
        if matches!((self, operand, literal), (Self::Text { .. }, FilterOperand::Path(_), FilterLiteral::Guid(_))) {
            return None;
        }
        let (greater, less) = match self.key(operand, literal)? {
            Key::Value(value) | Key::Time { at: value, is_exact: true } => {
                (KeyRanges::above(value.clone()), KeyRanges::below(value))
            }
            // Between this microsecond and the next.
            Key::Time { at, is_exact: false } => (KeyRanges::above(at.clone()), KeyRanges::above(at).complement()),
            Key::Never => return None,
        };
        let keys = match comparison {
            FilterComparison::Gt => greater,
            FilterComparison::Lt => less,
            FilterComparison::Ge => greater.union(&equal),
            FilterComparison::Le => less.union(&equal),
            FilterComparison::Eq | FilterComparison::Ne => equal,
        };
        Some((column, keys.intersection(&self.not_null())))
    }

    /// Returns the condition that a function of texts is true, or false: it is neither for null.
    fn text_function(
        &self,
        function: FilterTextFunction,
        whole: &FilterOperand,
        part: &str,
        wanted: bool,
    ) -> Option<ListSelection> {
        if matches!(self, Self::Guid(_) | Self::Time { .. }) {
            return None;
        }
        let (column, is_any_case) = self.column_of(whole)?;
        let part = if is_any_case { part.to_ascii_lowercase() } else { part.to_owned() };
        let known = ListCondition::Within(column, self.not_null());
        let (found, is_exact) = match function {
            _ if part.is_empty() => (if wanted { ListCondition::TRUE } else { ListCondition::FALSE }, true),
            FilterTextFunction::StartsWith => {
                let keys = KeyRanges::prefix(&part);
                (ListCondition::Within(column, if wanted { keys } else { keys.complement() }), true)
            }
            FilterTextFunction::Contains if wanted => (ListCondition::Contains(column, part), true),
            FilterTextFunction::Contains => (ListCondition::ContainsNot(column, part), true),
            FilterTextFunction::EndsWith if wanted => (ListCondition::Contains(column, part), false),
            FilterTextFunction::EndsWith => return None,
        };
        Some(ListSelection { condition: ListCondition::all([known, found]), is_exact })
    }
}

/// What a value is compared as.
enum Key {
    Value(ListValue),
    /// The microsecond at or before a time.
    Time {
        at: ListValue,
        is_exact: bool,
    },
    /// Equal to no value.
    Never,
}

/// A filter as a condition on columns.
#[derive(Clone, Debug)]
pub(super) struct ListSelection {
    /// Holds for every row that matches the filter.
    pub(super) condition: ListCondition,
    /// Whether it holds for no other row.
    pub(super) is_exact: bool,
}

impl ListSelection {
    /// The selection of all rows, exactly.
    pub(super) const ALL: Self = Self { condition: ListCondition::TRUE, is_exact: true };
    const UNKNOWN: Self = Self { condition: ListCondition::TRUE, is_exact: false };

    fn exact(condition: ListCondition) -> Self {
        Self { condition, is_exact: true }
    }

    /// Translates a filter.
    pub(super) fn of(filter: &FilterCondition, property: &dyn Fn(&str) -> Option<ListProperty>) -> Self {
        Self::translate(filter, true, property)
    }

    /// Translates that a condition evaluates to `wanted`. An unknown condition evaluates to neither
    /// true nor false. As deep as the filter, whose depth is limited.
    fn translate(condition: &FilterCondition, wanted: bool, property: &dyn Fn(&str) -> Option<ListProperty>) -> Self {
        let each = |parts: &[FilterCondition]| -> Vec<Self> {
            parts.iter().map(|part| Self::translate(part, wanted, property)).collect()
        };
        let combine = |parts: Vec<Self>, all: bool| {
            let is_exact = parts.iter().all(|part| part.is_exact);
            let conditions = parts.into_iter().map(|part| part.condition);
            let condition = if all { ListCondition::all(conditions) } else { ListCondition::any(conditions) };
            Self { condition, is_exact }
        };
        match condition {
            FilterCondition::Not(inner) => Self::translate(inner, !wanted, property),
            FilterCondition::All(parts) => combine(each(parts), wanted),
            FilterCondition::Either(parts) => combine(each(parts), !wanted),
            test => Self::test(test, wanted, property).unwrap_or(Self::UNKNOWN),
        }
    }

    fn test(test: &FilterCondition, wanted: bool, property: &dyn Fn(&str) -> Option<ListProperty>) -> Option<Self> {
        let paths = test.paths()?;
        let decided = |object: &Value| test.evaluate(object) == Some(wanted);
        let path = match paths[..] {
            [] => return Some(if decided(&Value::Null) { Self::ALL } else { Self::exact(ListCondition::FALSE) }),
            [path] => path.segments(),
            _ => return None,
        };
        let property = property(&path.join("/"))?;
        let object = |value: &Value| path.iter().rev().fold(value.clone(), |value, name| json!({ name: value }));
        let (column, keys) = match (&property, test) {
            (ListProperty::Constant(value), _) => {
                return Some(if decided(&object(value)) { Self::ALL } else { Self::exact(ListCondition::FALSE) });
            }
            (ListProperty::Choice { column, shown, others }, _) => {
                // The keys on the smaller side, so that all others are on the other.
                let others = decided(&object(others));
                let differing = shown.iter().filter(|(_, value)| decided(&object(value)) != others);
                let keys = KeyRanges::points(differing.map(|(key, _)| key.clone()));
                let keys = if others { keys.complement() } else { keys };
                return Some(Self::exact(ListCondition::all([ListCondition::Within(*column, keys)])));
            }
            (_, FilterCondition::Compare { left, comparison, right }) => match (literal(left), literal(right)) {
                (None, Some(value)) => property.compare(left, *comparison, &value)?,
                (Some(value), None) => property.compare(right, mirrored(*comparison), &value)?,
                _ => return None,
            },
            (_, FilterCondition::In { left, literals }) => {
                let (column, _) = property.column_of(left)?;
                let mut keys = KeyRanges::none();
                for literal in literals {
                    let (of, equal) = property.equal(left, literal)?;
                    if of != column {
                        return None;
                    }
                    keys = keys.union(&equal);
                }
                (column, keys)
            }
            (_, FilterCondition::Text { function, whole, part }) => {
                let Some(FilterLiteral::Text(part)) = literal(part) else { return None };
                return property.text_function(*function, whole, &part, wanted);
            }
            _ => return None,
        };
        let keys = if wanted { keys } else { keys.complement() };
        Some(Self::exact(ListCondition::all([ListCondition::Within(column, keys)])))
    }
}

fn text(value: &str) -> ListValue {
    ListValue::Text(value.to_owned())
}

/// Returns the value of an operand without a property.
fn literal(operand: &FilterOperand) -> Option<FilterLiteral> {
    let change = |inner: &FilterOperand, change: fn(&str) -> String| {
        Some(match literal(inner)? {
            FilterLiteral::Text(value) => FilterLiteral::Text(change(&value)),
            other => other,
        })
    };
    match operand {
        FilterOperand::Literal(literal) => Some(literal.clone()),
        FilterOperand::Lower(inner) => change(inner, str::to_lowercase),
        FilterOperand::Upper(inner) => change(inner, str::to_uppercase),
        FilterOperand::Path(_) => None,
    }
}

/// Returns the comparison with its sides exchanged.
fn mirrored(comparison: FilterComparison) -> FilterComparison {
    match comparison {
        FilterComparison::Gt => FilterComparison::Lt,
        FilterComparison::Lt => FilterComparison::Gt,
        FilterComparison::Ge => FilterComparison::Le,
        FilterComparison::Le => FilterComparison::Ge,
        same => same,
    }
}
