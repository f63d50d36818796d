//! Lists of rows that match a condition, in an order, read page by page from an index.
//!
//! A condition on columns is turned into parts of indexes that are read one after the other
//! ([`plan`]). A page continues at the position of the last row: its key in that index, and its id.
//! What no index serves is checked of each row, a limited number at a time.

mod condition;
mod parts;
mod plan;
mod range;
mod sort;
mod sql;

use cloudpc_model::TenantId;
use serde::{Deserialize, Serialize};

pub use condition::ListCondition;
pub use plan::ListPlan;
pub use range::{KeyRanges, ListValue};
pub use sort::ListTop;

use crate::connection::Row;
use crate::{Reader, StoreError};
use plan::IndexAccess;
use sql::{Part, Statement};

pub(crate) use parts::{NamePart, name_parts};

/// Rows checked per call.
const WINDOW_ROWS: usize = 2_000;
/// Rows checked in the first window of a page: finding the end of a window costs more than reading
/// a page of matches.
const FIRST_WINDOW_ROWS: usize = 500;
/// Rows that a range with any rows counts as, at least.
const RANGE_ROWS_MIN: usize = 125;
/// Most rows sorted in memory instead of read in index order.
const SORTED_ROWS_MAX: usize = 2_000;
/// An access with fewer rows is used without comparing it with others.
const FEW_ROWS: usize = 125;
/// Most rows counted to compare accesses.
const COUNTED_ROWS_MAX: usize = 2_000;

/// A column of a table by which rows can be selected. It is never null.
#[derive(Clone, Copy, Debug)]
pub struct ListColumn {
    pub(crate) sql: &'static str,
    pub(crate) index: ListIndex,
    /// How few distinct values there are: from 0 for a value in each row to 9. Of several columns
    /// the one with the lowest is read by its index.
    pub(crate) spread: u8,
    /// The table of the parts of its texts: see [`name_parts`].
    pub(crate) parts: Option<&'static str>,
}

/// What reads the rows of a tenant in the order of a column, and of the id for equal values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListIndex {
    /// Nothing does.
    None,
    /// The table's own key.
    Key,
    /// The index of this name.
    Named(&'static str),
}

impl ListColumn {
    /// A column without an index.
    pub(crate) const fn plain(sql: &'static str) -> Self {
        Self { sql, index: ListIndex::None, spread: 9, parts: None }
    }

    /// A column with an index of (tenant, column, id).
    pub(crate) const fn indexed(sql: &'static str, index: &'static str, spread: u8) -> Self {
        Self { sql, index: ListIndex::Named(index), spread, parts: None }
    }

    /// The first column of the table's key after the tenant; only the id may follow it.
    pub(crate) const fn key(sql: &'static str, spread: u8) -> Self {
        Self { sql, index: ListIndex::Key, spread, parts: None }
    }

    /// The same column, with a table of (tenant, part, id, repeats).
    #[must_use]
    pub(crate) const fn with_parts(self, table: &'static str) -> Self {
        Self { parts: Some(table), ..self }
    }

    fn is_indexed(self) -> bool {
        self.index != ListIndex::None
    }
}

impl PartialEq for ListColumn {
    fn eq(&self, other: &Self) -> bool {
        self.sql == other.sql
    }
}

impl Eq for ListColumn {}

/// A table whose rows can be selected and sorted.
#[derive(Debug)]
pub struct ListTable<T> {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static str,
    /// Number of `columns`.
    pub(crate) width: usize,
    pub(crate) id: ListColumn,
    /// Whether rows come by descending keys unless another order is asked for.
    pub(crate) descending: bool,
    pub(crate) map: fn(Row<'_>) -> Result<T, StoreError>,
}

/// An order by one column. Rows that are equal in all orders of a list are in the order of their
/// ids, in the direction of the first order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListOrder {
    /// Column.
    pub column: ListColumn,
    /// Whether the greatest come first.
    pub descending: bool,
}

/// Where a list continues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPosition {
    /// Number of the access within its plan.
    pub(crate) access: usize,
    /// Number of the access among those that could find the same rows: the rest of the list is read
    /// by the index that the position is a key of.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) candidate: usize,
    /// Value of the column that is read in order, or that is sorted by first.
    pub(crate) key: ListValue,
    /// Values of the other columns that are sorted by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) others: Vec<ListValue>,
    /// Id of the row.
    pub(crate) id: ListValue,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Rows of a list.
#[derive(Debug)]
pub struct ListRows<T> {
    /// Rows with their positions. There may be none although the list continues.
    pub rows: Vec<(ListPosition, T)>,
    /// Where the list continues; none at its end.
    pub next: Option<ListPosition>,
}

impl<T> ListRows<T> {
    /// The same positions with other rows.
    pub fn try_map<U, E>(self, mut map: impl FnMut(T) -> Result<U, E>) -> Result<ListRows<U>, E> {
        let rows = self.rows.into_iter().map(|(at, row)| Ok((at, map(row)?))).collect::<Result<_, E>>()?;
        Ok(ListRows { rows, next: self.next })
    }
}

/// Part of the number of rows of a list.
#[derive(Debug)]
pub struct ListCount {
    /// Rows found.
    pub count: u64,
    /// Where counting continues; none at the end.
    pub next: Option<ListPosition>,
}

impl Reader<'_> {
    /// Chooses how to read the rows of a tenant that match a condition, in the order of these
    /// columns. Without an order, the list continues after a position by the index of that
    /// position.
    pub fn list_plan<T>(
        &self,
        table: &ListTable<T>,
        tenant: TenantId,
        condition: &ListCondition,
        order: &[ListOrder],
        after: Option<&ListPosition>,
    ) -> Result<ListPlan, StoreError> {
        let sort = sort::without_id(order, table.id);
        let mut accesses = Vec::new();
        for (number, mut candidates) in IndexAccess::candidates(table.id, condition).into_iter().enumerate() {
            let begun = after.filter(|after| sort.is_empty() && after.access == number).map(|after| after.candidate);
            let chosen = match begun.filter(|begun| *begun < candidates.len()) {
                Some(begun) => begun,
                None => self.fewest(table, tenant, &candidates)?,
            };
            accesses.push(candidates.swap_remove(chosen));
        }
        let Some(first) = sort.first().copied() else {
            return Ok(ListPlan { accesses, descending: table.descending, sort });
        };
        if first.column.is_indexed() {
            let in_order = IndexAccess::in_order(first.column, condition);
            let reads_whole = |access: &IndexAccess| access.via.is_none() && access.ranges.is_all();
            let may_be_few = !accesses.iter().any(reads_whole) && in_order.checks_rows();
            if !may_be_few || !self.are_few(table, tenant, &accesses)? {
                let sort = if sort.len() == 1 { Vec::new() } else { sort };
                return Ok(ListPlan { accesses: vec![in_order], descending: first.descending, sort });
            }
        }
        Ok(ListPlan { accesses, descending: first.descending, sort })
    }

    /// Returns up to `limit` rows of a plan that is not sorted, after a position.
    pub fn list<T>(
        &self,
        table: &ListTable<T>,
        tenant: TenantId,
        plan: &ListPlan,
        after: Option<&ListPosition>,
        limit: usize,
    ) -> Result<ListRows<T>, StoreError> {
        let mut rows = Vec::new();
        let mut at = after.cloned();
        for window in [FIRST_WINDOW_ROWS, WINDOW_ROWS - FIRST_WINDOW_ROWS] {
            at = self.walk(table, tenant, plan, at.as_ref(), window, |number, part| {
                let missing = limit - rows.len();
                let id = part.access.id(table.id);
                let statement = Statement::select_rows(table, &[part.access.column], tenant.0, part, |keys| {
                    let checked = keys.check(&part.access.rest);
                    checked.order(ordered_by(part, id), id, part.descending).limit(missing, 0)
                });
                let mut read = self.list_rows(table, &statement, number, 1, part.access)?;
                let by = |column| ListOrder { column, descending: part.descending };
                read.sort_by(|(a, _), (b, _)| sort::compare(&[by(part.access.column), by(id)], a, b));
                let is_full = read.len() == missing;
                rows.extend(read);
                Ok(is_full.then(|| rows.last().map(|(at, _)| at.clone())).flatten())
            })?;
            if at.is_none() || rows.len() == limit {
                break;
            }
        }
        Ok(ListRows { rows, next: at })
    }

    /// Counts rows of a plan after a position, as many as can be checked in a short time.
    pub fn list_count<T>(
        &self,
        table: &ListTable<T>,
        tenant: TenantId,
        plan: &ListPlan,
        after: Option<&ListPosition>,
    ) -> Result<ListCount, StoreError> {
        let mut count = 0;
        let next = self.walk(table, tenant, plan, after, WINDOW_ROWS, |_, part| {
            let statement = match part.access.checks_rows() {
                true => Statement::select("count(*)", table, tenant.0, part).check(&part.access.rest),
                false => Statement::select_keys("count(*)", table, tenant.0, part),
            };
            count += self.list_number(&statement, part.access)?;
            Ok(None)
        })?;
        Ok(ListCount { count, next })
    }

    /// Visits the parts of indexes after a position until `visit` returns where to stop, or this
    /// many rows were checked. Returns where to continue, which may be the end of the list.
    fn walk<T>(
        &self,
        table: &ListTable<T>,
        tenant: TenantId,
        plan: &ListPlan,
        after: Option<&ListPosition>,
        window: usize,
        mut visit: impl FnMut(usize, Part<'_>) -> Result<Option<ListPosition>, StoreError>,
    ) -> Result<Option<ListPosition>, StoreError> {
        let mut left = window;
        let first = after.map_or(0, |after| after.access);
        for (number, access) in plan.accesses.iter().enumerate().skip(first) {
            let after = after.filter(|after| after.access == number);
            let ranges = access.ranges_after(after, plan.descending);
            let count = ranges.len();
            for (place, (range, after)) in ranges.into_iter().enumerate() {
                let mut part = Part { access, range, after, until: None, descending: plan.descending };
                let is_long = access.checks_rows() || plan.is_sorted();
                let end = if is_long { self.window_end(table, tenant, number, part, left)? } else { None };
                part.until = end.as_ref();
                if let Some(stop) = visit(number, part)? {
                    return Ok(Some(stop));
                }
                if end.is_some() {
                    return Ok(end);
                }
                let is_last = number + 1 == plan.accesses.len() && place + 1 == count;
                if !is_long || is_last {
                    continue;
                }
                let statement = Statement::select_keys("count(*)", table, tenant.0, part);
                let found = usize::try_from(self.count(&statement.text, &statement.values())?).unwrap_or(usize::MAX);
                // An empty range costs little, and has no row to continue at.
                if found == 0 {
                    continue;
                }
                left = left.saturating_sub(found.max(RANGE_ROWS_MIN));
                if left == 0 {
                    return self.window_end(table, tenant, number, part, found);
                }
            }
        }
        Ok(None)
    }

    /// Returns the position of the row that ends a window of this many rows; none if the part has
    /// no more.
    fn window_end<T>(
        &self,
        table: &ListTable<T>,
        tenant: TenantId,
        number: usize,
        part: Part<'_>,
        rows: usize,
    ) -> Result<Option<ListPosition>, StoreError> {
        let id = part.access.id(table.id);
        let columns = format!("{}, {}", part.access.column.sql, id.sql);
        let statement = Statement::select_keys(&columns, table, tenant.0, part);
        let statement = statement.order(ordered_by(part, id), id, part.descending).limit(1, rows - 1);
        self.row(&statement.text, &statement.values(), |row| {
            let candidate = part.access.candidate;
            Ok(ListPosition { access: number, candidate, key: row.get(0)?, others: Vec::new(), id: row.get(1)? })
        })
    }

    /// Returns the number of the access that reads the fewest rows; the first one if that are few,
    /// or if all read many.
    fn fewest<T>(
        &self,
        table: &ListTable<T>,
        tenant: TenantId,
        candidates: &[IndexAccess],
    ) -> Result<usize, StoreError> {
        let [first, others @ ..] = candidates else { return Ok(0) };
        if others.is_empty() || self.count_access(table, tenant, first, FEW_ROWS)? < FEW_ROWS {
            return Ok(0);
        }
        let mut fewest = (COUNTED_ROWS_MAX, 0);
        for access in others {
            let found = self.count_access(table, tenant, access, fewest.0)?;
            if found < fewest.0 {
                fewest = (found, access.candidate);
            }
        }
        // Of as many rows, those of one value are cheaper: their index has most of what is checked.
        let is_first = fewest.1 > 0 && self.count_access(table, tenant, first, fewest.0 + 1)? <= fewest.0;
        Ok(if is_first { 0 } else { fewest.1 })
    }

    /// Returns whether the accesses read no more rows than are worth sorting.
    fn are_few<T>(&self, table: &ListTable<T>, tenant: TenantId, accesses: &[IndexAccess]) -> Result<bool, StoreError> {
        let mut left = SORTED_ROWS_MAX;
        for access in accesses {
            let found = self.count_access(table, tenant, access, left + 1)?;
            if found > left {
                return Ok(false);
            }
            left -= found;
        }
        Ok(true)
    }

    /// Counts the keys of an access, up to a number.
    fn count_access<T>(
        &self,
        table: &ListTable<T>,
        tenant: TenantId,
        access: &IndexAccess,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let mut found = 0;
        for range in access.ranges.ranges() {
            let part = Part { access, range, after: None, until: None, descending: false };
            found += self.count_keys(table, tenant, part, limit - found)?;
            if found >= limit {
                break;
            }
        }
        Ok(found)
    }

    /// Counts the keys of a part, up to a number.
    fn count_keys<T>(
        &self,
        table: &ListTable<T>,
        tenant: TenantId,
        part: Part<'_>,
        limit: usize,
    ) -> Result<usize, StoreError> {
        // Skipping keys is faster than counting them.
        if self.window_end(table, tenant, 0, part, limit)?.is_some() {
            return Ok(limit);
        }
        let statement = Statement::select_keys("count(*)", table, tenant.0, part);
        let found = self.count(&statement.text, &statement.values())?;
        Ok(usize::try_from(found).unwrap_or(usize::MAX))
    }

    /// Returns the rows of a statement that selects this number of keys.
    fn list_rows<T>(
        &self,
        table: &ListTable<T>,
        statement: &Statement,
        number: usize,
        keys: usize,
        access: &IndexAccess,
    ) -> Result<Vec<(ListPosition, T)>, StoreError> {
        let map = |row: Row<'_>| {
            let end = table.width + keys;
            let others = (table.width + 1..end).map(|column| row.get(column)).collect::<Result<_, StoreError>>()?;
            let candidate = access.candidate;
            let at = ListPosition { access: number, candidate, key: row.get(table.width)?, others, id: row.get(end)? };
            Ok((at, (table.map)(row)?))
        };
        match access.checks_rows() {
            false => self.rows(&statement.text, &statement.values(), map),
            true => self.rows_once(&statement.text, &statement.values(), map),
        }
    }

    fn list_number(&self, statement: &Statement, access: &IndexAccess) -> Result<u64, StoreError> {
        let values = statement.values();
        match access.checks_rows() {
            false => self.count(&statement.text, &values),
            true => {
                let counted = self.rows_once(&statement.text, &values, |row| row.get::<i64>(0))?;
                Ok(counted.into_iter().map(i64::unsigned_abs).sum())
            }
        }
    }
}

/// The column that orders the rows of a part: one value is in the order of the ids.
fn ordered_by(part: Part<'_>, id: ListColumn) -> ListColumn {
    if part.range.point().is_some() { id } else { part.access.column }
}
