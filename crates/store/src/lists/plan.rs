//! How the rows of a list are found: which index is read, from where to where, and what is checked
//! of each row on the way.

use super::condition::ListCondition;
use super::parts::{PART_LETTERS, count};
use super::range::{KeyRange, KeyRanges};
use super::{ListColumn, ListIndex, ListOrder, ListPosition, ListValue};

/// How to find the rows that match a condition, in an order. Made by
/// [`Reader::list_plan`](crate::Reader::list_plan).
#[derive(Clone, Debug)]
pub struct ListPlan {
    /// Read one after the other; no row is found twice.
    pub(super) accesses: Vec<IndexAccess>,
    pub(super) descending: bool,
    /// By what the rows that the accesses find are sorted; empty if they come in the order of the
    /// accesses.
    pub(super) sort: Vec<ListOrder>,
}

#[cfg(test)]
impl ListPlan {
    /// Whether the table is read by its key, unsorted.
    pub(crate) fn reads_by_key(&self) -> bool {
        !self.is_sorted() && self.accesses.iter().all(|access| access.column.index == ListIndex::Key)
    }
}

impl ListPlan {
    /// Whether rows are sorted: then [`Reader::list_top`](crate::Reader::list_top) reads them, and
    /// otherwise [`Reader::list`](crate::Reader::list).
    pub fn is_sorted(&self) -> bool {
        !self.sort.is_empty()
    }

    /// Whether the list can continue at a position. Those of an earlier version can be of another
    /// index.
    pub fn continues_at(&self, position: &ListPosition) -> bool {
        let access = self.accesses.get(position.access);
        self.is_sorted()
            || access.is_some_and(|access| access.via.is_none() || matches!(position.key, ListValue::Text(_)))
    }

    /// Whether all rows are read in the order of this column.
    pub(super) fn reads_by(&self, column: ListColumn) -> bool {
        matches!(&self.accesses[..], [access] if access.via.is_none() && access.column == column)
    }

    /// The same plan without the rows whose value of the first column is before that of a position.
    pub(super) fn starting_at(&self, at: &ListPosition) -> Self {
        let value = at.key.clone();
        let before = if self.descending { KeyRanges::above(value) } else { KeyRanges::below(value) };
        let left = |access: &IndexAccess| IndexAccess {
            ranges: access.ranges.intersection(&before.complement()),
            ..access.clone()
        };
        Self { accesses: self.accesses.iter().map(left).collect(), ..self.clone() }
    }
}

/// Part of an index.
#[derive(Clone, Debug)]
pub(super) struct IndexAccess {
    pub(super) column: ListColumn,
    pub(super) ranges: KeyRanges,
    /// What is checked of each row.
    pub(super) rest: ListCondition,
    /// Finds the rows by a part of their text.
    pub(super) via: Option<PartAccess>,
    /// Number among the accesses that could find the same rows.
    pub(super) candidate: usize,
}

/// Rows of which a part begins with the letters of a text, each once.
#[derive(Clone, Debug)]
pub(super) struct PartAccess {
    pub(super) table: &'static str,
    /// Number of letters.
    pub(super) letters: i64,
}

/// The text in a table of parts.
const PART: ListColumn = ListColumn::key("part", 0);
/// The id in a table of parts.
const PART_ID: ListColumn = ListColumn::plain("cloud_pc_id");

impl IndexAccess {
    /// Returns the accesses that can find the rows of each alternative of a condition, in the order
    /// of their columns: the most selective by its columns first. If an index serves no
    /// alternative, the whole table is read in the order of its key.
    pub(super) fn candidates(id: ListColumn, condition: &ListCondition) -> Vec<Vec<Self>> {
        let branches = condition.branches().unwrap_or_else(|| vec![vec![condition.clone()]]);
        let mut alternatives = Vec::with_capacity(branches.len());
        let mut earlier: Vec<ListCondition> = Vec::new();
        for branch in branches {
            let whole = ListCondition::all(branch);
            let not_yet: Vec<_> = earlier.iter().map(ListCondition::negated).collect();
            if ListCondition::all([whole.clone()].into_iter().chain(not_yet.clone())) == ListCondition::FALSE {
                continue;
            }
            let candidates = Self::of_branch(&whole, &not_yet);
            if candidates.is_empty() {
                let all_rows =
                    Self { column: id, ranges: KeyRanges::all(), rest: condition.clone(), via: None, candidate: 0 };
                return vec![vec![all_rows]];
            }
            alternatives.push(candidates);
            earlier.push(whole);
        }
        alternatives
    }

    fn of_branch(whole: &ListCondition, not_yet: &[ListCondition]) -> Vec<Self> {
        let parts = match whole {
            ListCondition::All(parts) => parts.clone(),
            part => vec![part.clone()],
        };
        let mut served: Vec<_> =
            parts.iter().enumerate().filter_map(|(place, part)| Some((cost(part)?, place))).collect();
        served.sort_unstable();
        let access = |(candidate, (_, chosen)): (usize, (u8, usize))| {
            let (column, ranges, via) = match &parts[chosen] {
                ListCondition::Within(column, ranges) => (*column, ranges.clone(), None),
                ListCondition::Contains(column, text) => {
                    let (ranges, via) = PartAccess::of(*column, text)?;
                    (PART, ranges, Some(via))
                }
                _ => return None,
            };
            // Of a longer text, only the first letters are found.
            let is_exact = match &parts[chosen] {
                ListCondition::Contains(_, text) => text.chars().count() <= PART_LETTERS,
                _ => true,
            };
            let others = parts.iter().enumerate().filter(|(place, _)| *place != chosen || !is_exact);
            let rest = ListCondition::all(others.map(|(_, part)| part).chain(not_yet).cloned());
            Some(Self { column, ranges, rest, via, candidate })
        };
        served.into_iter().enumerate().filter_map(access).collect()
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
        Self { column, ranges, rest: ListCondition::all(others), via: None, candidate: 0 }
    }

    /// The id as the index has it.
    pub(super) fn id(&self, id: ListColumn) -> ListColumn {
        if self.via.is_some() { PART_ID } else { id }
    }

    /// Whether the index is not the table itself.
    pub(super) fn is_apart(&self) -> bool {
        self.via.is_some() || matches!(self.column.index, ListIndex::Named(_))
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
        let is_below = |range: &KeyRange| range.is_below(&position.key);
        let is_above = |range: &KeyRange| range.is_above(&position.key);
        let is_past = |range: &KeyRange| if descending { is_above(range) } else { is_below(range) };
        let is_ahead = |range: &KeyRange| if descending { is_below(range) } else { is_above(range) };
        let left = ranges.into_iter().filter(|range| !is_past(range));
        left.map(|range| (range, (!is_ahead(range)).then_some(position))).collect()
    }
}

impl PartAccess {
    /// Finds a text; none if the column has no table of parts, or the text is empty.
    fn of(column: ListColumn, text: &str) -> Option<(KeyRanges, Self)> {
        let first: String = text.chars().take(PART_LETTERS).collect();
        let letters = count(first.chars().count());
        (letters > 0).then_some((KeyRanges::prefix(&first), Self { table: column.parts?, letters }))
    }
}

/// How many rows a part of a condition is thought to leave: the less the better; none if no index
/// serves it. It decides where counting does not: [`Reader::list_plan`](crate::Reader::list_plan).
fn cost(part: &ListCondition) -> Option<u8> {
    /// More than any column's.
    const RANGE: u8 = 16;
    /// Between names and what groups Cloud PCs.
    const PART: u8 = 4;
    match part {
        ListCondition::Within(column, ranges) if column.is_indexed() => {
            let is_narrow = ranges.ranges().iter().all(|range| range.point().is_some());
            Some(column.spread + if is_narrow { 0 } else { RANGE })
        }
        ListCondition::Contains(column, text) => PartAccess::of(*column, text).map(|_| PART),
        _ => None,
    }
}
