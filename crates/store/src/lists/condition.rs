//! Conditions on the columns of a table.

use super::ListColumn;
use super::range::KeyRanges;

/// Most alternatives into which a condition is taken apart. One with more is evaluated row by row.
const BRANCHES_MAX: usize = 16;

/// A condition on the columns of a row. Columns are never null, so it either holds or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListCondition {
    /// All of these hold; without any, every row.
    All(Vec<ListCondition>),
    /// At least one of these holds; without any, no row.
    Any(Vec<ListCondition>),
    /// The column has one of the values.
    Within(ListColumn, KeyRanges),
    /// The text of the column contains this one.
    Contains(ListColumn, String),
    /// The text of the column does not contain this one.
    ContainsNot(ListColumn, String),
}

impl ListCondition {
    /// The condition of every row.
    pub const TRUE: Self = Self::All(Vec::new());
    /// The condition of no row.
    pub const FALSE: Self = Self::Any(Vec::new());

    /// The condition that all of these hold.
    pub fn all(conditions: impl IntoIterator<Item = Self>) -> Self {
        let mut parts: Vec<Self> = Vec::new();
        for condition in conditions {
            match condition {
                Self::All(inner) => parts.extend(inner),
                other => parts.push(other),
            }
        }
        if parts.contains(&Self::FALSE) {
            return Self::FALSE;
        }
        let parts = merged(parts, KeyRanges::intersection);
        if parts.iter().any(|part| matches!(part, Self::Within(_, ranges) if ranges.is_empty())) {
            return Self::FALSE;
        }
        let mut parts: Vec<_> =
            parts.into_iter().filter(|part| !matches!(part, Self::Within(_, ranges) if ranges.is_all())).collect();
        if parts.len() == 1 { parts.remove(0) } else { Self::All(parts) }
    }

    /// The condition that at least one of these holds.
    pub fn any(conditions: impl IntoIterator<Item = Self>) -> Self {
        let mut parts: Vec<Self> = Vec::new();
        for condition in conditions {
            match condition {
                Self::Any(inner) => parts.extend(inner),
                other => parts.push(other),
            }
        }
        if parts.contains(&Self::TRUE) {
            return Self::TRUE;
        }
        let parts = merged(parts, KeyRanges::union);
        if parts.iter().any(|part| matches!(part, Self::Within(_, ranges) if ranges.is_all())) {
            return Self::TRUE;
        }
        let mut parts: Vec<_> =
            parts.into_iter().filter(|part| !matches!(part, Self::Within(_, ranges) if ranges.is_empty())).collect();
        if parts.len() == 1 { parts.remove(0) } else { Self::Any(parts) }
    }

    /// The condition that this one does not hold.
    #[must_use]
    pub(super) fn negated(&self) -> Self {
        match self {
            Self::All(parts) => Self::any(parts.iter().map(Self::negated)),
            Self::Any(parts) => Self::all(parts.iter().map(Self::negated)),
            Self::Within(column, ranges) => Self::all([Self::Within(*column, ranges.complement())]),
            Self::Contains(column, text) => Self::ContainsNot(*column, text.clone()),
            Self::ContainsNot(column, text) => Self::Contains(*column, text.clone()),
        }
    }

    /// Returns the alternatives of the condition, each a list of parts that all hold; none if there
    /// are too many.
    pub(super) fn branches(&self) -> Option<Vec<Vec<Self>>> {
        let branches = match self {
            Self::Any(parts) => {
                parts.iter().map(Self::branches).collect::<Option<Vec<_>>>()?.into_iter().flatten().collect()
            }
            Self::All(parts) => {
                let mut product: Vec<Vec<Self>> = vec![Vec::new()];
                for part in parts {
                    let each = part.branches()?;
                    if product.len() * each.len() > BRANCHES_MAX {
                        return None;
                    }
                    let joined = |left: &Vec<Self>| {
                        let left = left.clone();
                        each.iter().map(move |right| left.iter().chain(right).cloned().collect()).collect::<Vec<_>>()
                    };
                    product = product.iter().flat_map(joined).collect();
                }
                product
            }
            leaf => vec![vec![leaf.clone()]],
        };
        (branches.len() <= BRANCHES_MAX).then_some(branches)
    }
}

/// Combines what is said of one column.
fn merged(parts: Vec<ListCondition>, combine: fn(&KeyRanges, &KeyRanges) -> KeyRanges) -> Vec<ListCondition> {
    let mut merged: Vec<ListCondition> = Vec::with_capacity(parts.len());
    for part in parts {
        if let ListCondition::Within(column, ranges) = &part
            && let Some(ListCondition::Within(_, earlier)) =
                merged.iter_mut().find(|other| matches!(other, ListCondition::Within(of, _) if of == column))
        {
            *earlier = combine(earlier, ranges);
        } else if !merged.contains(&part) {
            merged.push(part);
        }
    }
    merged
}
