//! How the rows of a list are found: which index is read, from where to where, and what is checked
//! of each row on the way.

use super::condition::ListCondition;
use super::range::{KeyRange, KeyRanges, ListValue};
use super::{ListColumn, ListPosition};

/// How to find the rows that match a condition, in an order. Made by
/// [`Reader::list_plan`](crate::Reader::list_plan).
#[derive(Clone, Debug)]
pub struct ListPlan {
    /// Read one after the other; no row is found twice.
    pub(super) accesses: Vec<Access>,
    pub(super) descending: bool,
    /// Sorts what the accesses find, which is little. Otherwise rows come in the order of the
    /// accesses.
    pub(super) sort: Option<ListColumn>,
}

/// Part of an index.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) column: ListColumn,
    pub(super) ranges: KeyRanges,
    /// What is checked of each row.
    pub(super) rest: ListCondition,
}

impl Access {
    /// The accesses that find the rows of a condition, each in the order of its column. If an index
    /// serves no alternative, the whole table is read in the order of its key.
    pub(super) fn of_condition(id: ListColumn, condition: &ListCondition) -> Vec<Self> {
        let all_rows = || vec![Self { column: id, ranges: KeyRanges::all(), rest: condition.clone() }];
        let Some(branches) = condition.branches() else { return all_rows() };
        let mut accesses: Vec<Self> = Vec::with_capacity(branches.len());
        let mut earlier: Vec<ListCondition> = Vec::new();
        for branch in branches {
            let whole = ListCondition::all(branch.clone());
            if whole == ListCondition::FALSE {
                continue;
            }
            let parts = match &whole {
                ListCondition::All(parts) => parts.clone(),
                part => vec![part.clone()],
            };
            let best = parts.iter().enumerate().filter_map(|(place, part)| Some((cost(part)?, place))).min();
            let Some((_, best)) = best else { return all_rows() };
            let ListCondition::Within(column, ranges) = &parts[best] else { return all_rows() };
            let others = parts.iter().enumerate().filter(|(place, _)| *place != best).map(|(_, part)| part.clone());
            let not_yet = earlier.iter().map(ListCondition::negated);
            let rest = ListCondition::all(others.chain(not_yet));
            if rest != ListCondition::FALSE {
                accesses.push(Self { column: *column, ranges: ranges.clone(), rest });
            }
            earlier.push(whole);
        }
        accesses
    }

    /// The access that finds the rows of a condition in the order of an indexed column.
    pub(super) fn in_order(column: ListColumn, condition: &ListCondition) -> Self {
        let parts = match condition {
            ListCondition::All(parts) => parts.clone(),
            part => vec![part.clone()],
        };
        let (of_column, others): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| matches!(part, ListCondition::Within(of, _) if *of == column));
        let ranges = of_column.into_iter().fold(KeyRanges::all(), |ranges, part| match part {
            ListCondition::Within(_, more) => ranges.intersection(&more),
            _ => ranges,
        });
        Self { column, ranges, rest: ListCondition::all(others) }
    }

    /// Whether a row has to be read to know whether it matches.
    pub(super) fn checks_rows(&self) -> bool {
        self.rest != ListCondition::TRUE
    }

    /// The ranges that are left after a position, each with the place where it continues.
    pub(super) fn ranges_after<'a>(
        &'a self,
        position: Option<&'a ListPosition>,
        descending: bool,
    ) -> Vec<(&'a KeyRange, Option<&'a ListPosition>)> {
        let mut ranges: Vec<_> = self.ranges.ranges().iter().collect();
        if descending {
            ranges.reverse();
        }
        let Some(position) = position else { return ranges.into_iter().map(|range| (range, None)).collect() };
        let (is_past, is_ahead): (fn(&KeyRange, &ListValue) -> bool, fn(&KeyRange, &ListValue) -> bool) =
            match descending {
                false => (KeyRange::is_below, KeyRange::is_above),
                true => (KeyRange::is_above, KeyRange::is_below),
            };
        let left = ranges.into_iter().filter(|range| !is_past(range, &position.key));
        left.map(|range| (range, (!is_ahead(range, &position.key)).then_some(position))).collect()
    }
}

/// How many rows a part of a condition is thought to leave: the less the better; none if no index
/// serves it. A fixed order, because the pages of a list have to be read by the same index.
fn cost(part: &ListCondition) -> Option<u8> {
    /// More than any column's.
    const RANGE: u8 = 16;
    match part {
        ListCondition::Within(column, ranges) if column.is_indexed() => {
            let is_narrow = ranges.ranges().iter().all(|range| range.point().is_some());
            Some(column.spread + if is_narrow { 0 } else { RANGE })
        }
        _ => None,
    }
}
