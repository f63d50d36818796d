//! Values of columns, and sets of them as ranges.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::connection::{FromValue, ToValue, Value};

/// A value of a column. Values of one column are of one kind and compare as the database compares
/// them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ListValue {
    /// A number, or a time in microseconds since 1970.
    Integer(i64),
    /// A text, compared by its bytes.
    Text(String),
    /// A GUID, compared by its bytes.
    Guid(Uuid),
}

impl ToValue for ListValue {
    fn to_value(&self) -> Value<'_> {
        match self {
            Self::Integer(number) => Value::Integer(*number),
            Self::Text(text) => Value::Text(text),
            Self::Guid(id) => Value::Bytes(id.as_bytes()),
        }
    }
}

impl FromValue for ListValue {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Integer(number) => Some(Self::Integer(number)),
            Value::Text(text) => Some(Self::Text(text.to_owned())),
            Value::Bytes(bytes) => Uuid::from_slice(bytes).ok().map(Self::Guid),
            Value::Null => None,
        }
    }
}

/// A place between values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Before all values.
    Start,
    /// Just before a value.
    Before(ListValue),
    /// Just after a value.
    After(ListValue),
    /// After all values.
    End,
}

impl Cut {
    fn key(&self) -> (u8, Option<&ListValue>, u8) {
        match self {
            Self::Start => (0, None, 0),
            Self::Before(value) => (1, Some(value), 0),
            Self::After(value) => (1, Some(value), 1),
            Self::End => (2, None, 0),
        }
    }
}

impl PartialOrd for Cut {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cut {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// The values between two places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyRange {
    pub(super) low: Cut,
    pub(super) high: Cut,
}

impl KeyRange {
    /// Returns the value, if the range has just one.
    pub(super) fn point(&self) -> Option<&ListValue> {
        match (&self.low, &self.high) {
            (Cut::Before(low), Cut::After(high)) if low == high => Some(low),
            _ => None,
        }
    }

    /// Whether all values of the range are less than this one.
    pub(super) fn is_below(&self, value: &ListValue) -> bool {
        self.high <= Cut::Before(value.clone())
    }

    /// Whether all values of the range are greater than this one.
    pub(super) fn is_above(&self, value: &ListValue) -> bool {
        self.low >= Cut::After(value.clone())
    }
}

/// A set of values: ranges in ascending order that do not touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRanges(Vec<KeyRange>);

impl KeyRanges {
    /// The set of all values.
    pub fn all() -> Self {
        Self(vec![KeyRange { low: Cut::Start, high: Cut::End }])
    }

    /// The empty set.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// The set of these values.
    pub fn points(values: impl IntoIterator<Item = ListValue>) -> Self {
        Self::of(values.into_iter().map(|value| KeyRange { low: Cut::Before(value.clone()), high: Cut::After(value) }))
    }

    /// The values that are greater than this one.
    pub fn above(value: ListValue) -> Self {
        Self::of([KeyRange { low: Cut::After(value), high: Cut::End }])
    }

    /// The values that are less than this one.
    pub fn below(value: ListValue) -> Self {
        Self::of([KeyRange { low: Cut::Start, high: Cut::Before(value) }])
    }

    /// The texts that begin with this one.
    pub fn prefix(text: &str) -> Self {
        let high = after_prefix(text).map_or(Cut::End, |text| Cut::Before(ListValue::Text(text)));
        Self::of([KeyRange { low: Cut::Before(ListValue::Text(text.to_owned())), high }])
    }

    /// The values that are not in the set.
    #[must_use]
    pub fn complement(&self) -> Self {
        let lows = std::iter::once(&Cut::Start).chain(self.0.iter().map(|range| &range.high));
        let highs = self.0.iter().map(|range| &range.low).chain([&Cut::End]);
        Self::of(lows.zip(highs).map(|(low, high)| KeyRange { low: low.clone(), high: high.clone() }))
    }

    /// The values that are in one of the sets.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::of(self.0.iter().chain(&other.0).cloned())
    }

    /// The values that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.complement().union(&other.complement()).complement()
    }

    /// Returns whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_all(&self) -> bool {
        *self == Self::all()
    }

    pub(super) fn ranges(&self) -> &[KeyRange] {
        &self.0
    }

    fn of(ranges: impl IntoIterator<Item = KeyRange>) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().filter(|range| range.low < range.high).collect();
        ranges.sort_by(|a, b| a.low.cmp(&b.low));
        let mut merged: Vec<KeyRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.low <= last.high => {
                    if range.high > last.high {
                        last.high = range.high;
                    }
                }
                _ => merged.push(range),
            }
        }
        Self(merged)
    }
}

/// Returns the first text after all that begin with `prefix`; none if nothing follows them.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut letters: Vec<char> = prefix.chars().collect();
    while let Some(last) = letters.pop() {
        // The surrogates are no characters.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            letters.push(next);
            return Some(letters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(value: i64) -> ListValue {
        ListValue::Integer(value)
    }

    fn contains(set: &KeyRanges, value: i64) -> bool {
        let (before, after) = (Cut::Before(number(value)), Cut::After(number(value)));
        set.ranges().iter().any(|range| range.low <= before && after <= range.high)
    }

    fn sets() -> impl Strategy<Value = KeyRanges> {
        let leaf = prop_oneof![
            prop::collection::vec(0..8_i64, 0..4).prop_map(|values| KeyRanges::points(values.into_iter().map(number))),
            (0..8_i64).prop_map(|value| KeyRanges::above(number(value))),
            (0..8_i64).prop_map(|value| KeyRanges::below(number(value))),
            Just(KeyRanges::all()),
        ];
        leaf.prop_recursive(3, 8, 2, |inner| {
            prop_oneof![
                inner.clone().prop_map(|set| set.complement()),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| a.union(&b)),
                (inner.clone(), inner).prop_map(|(a, b)| a.intersection(&b)),
            ]
        })
    }

    proptest! {
        #[test]
        fn sets_are_combined_value_by_value(a in sets(), b in sets()) {
            for value in -1..9 {
                let (in_a, in_b) = (contains(&a, value), contains(&b, value));
                prop_assert_eq!(contains(&a.union(&b), value), in_a || in_b);
                prop_assert_eq!(contains(&a.intersection(&b), value), in_a && in_b);
                prop_assert_eq!(contains(&a.complement(), value), !in_a);
            }
        }

        #[test]
        fn a_prefix_is_a_range(prefix in "[a\u{d7ff}\u{10ffff}]{0,3}", text in "[ab\u{d7ff}\u{e000}\u{10ffff}]{0,4}") {
            let set = KeyRanges::prefix(&prefix);
            let value = ListValue::Text(text.clone());
            let inside = set.ranges().iter().any(|range| range.low <= Cut::Before(value.clone()) && Cut::After(value.clone()) <= range.high);
            prop_assert_eq!(inside, text.starts_with(&prefix));
        }
    }
}
