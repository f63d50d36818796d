//! Lists in an order that no index has: the first rows after a position, found by reading all
//! candidates a limited number at a time.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use cloudpc_model::TenantId;

use super::plan::ListPlan;
use super::sql::Statement;
use super::{ListColumn, ListOrder, ListPosition, ListTable, ListValue, WINDOW_ROWS};
use crate::{Reader, StoreError};

/// The first rows of a sorted list, among the candidates that were read so far.
#[derive(Debug)]
pub struct ListTop<R> {
    rows: Vec<(ListPosition, R)>,
    /// Where reading continues.
    next: Option<ListPosition>,
}

impl<R> Default for ListTop<R> {
    fn default() -> Self {
        Self { rows: Vec::new(), next: None }
    }
}

impl<R> ListTop<R> {
    /// The rows in order, with their positions.
    pub fn into_rows(self) -> Vec<(ListPosition, R)> {
        self.rows
    }

    /// Whether no row that is still to be read, in the order of the first column, is among the
    /// first `limit` rows.
    fn is_settled(&self, limit: usize) -> bool {
        let last = limit.checked_sub(1).and_then(|last| self.rows.get(last));
        last.zip(self.next.as_ref()).is_some_and(|((last, _), next)| last.key != next.key)
    }
}

impl Reader<'_> {
    /// Reads on for the first `limit` rows of a sorted plan after a position. Returns whether they
    /// are found; otherwise the next call continues. Only rows that are among the first so far are
    /// mapped.
    pub fn list_top<T, R, E: From<StoreError>>(
        &self,
        table: &ListTable<T>,
        tenant: TenantId,
        plan: &ListPlan,
        (after, limit): (Option<&ListPosition>, usize),
        top: &mut ListTop<R>,
        map: impl Fn(T) -> Result<R, E>,
    ) -> Result<bool, E> {
        let is_by_first = plan.sort.first().is_some_and(|first| plan.reads_by(first.column));
        let left = after.filter(|_| is_by_first).map(|after| plan.starting_at(after));
        let id = ListOrder { column: table.id, descending: plan.descending };
        let sort: Vec<_> = plan.sort.iter().copied().chain([id]).collect();
        let keys: Vec<_> = plan.sort.iter().map(|order| order.column).collect();
        let mut read = Vec::new();
        let next = self.walk(
            table,
            tenant,
            left.as_ref().unwrap_or(plan),
            top.next.take().as_ref(),
            WINDOW_ROWS,
            |_, part| {
                let statement = Statement::select_rows(table, &keys, tenant.0, part, |keys| {
                    let checked = keys.check(&part.access.rest);
                    let left = match after {
                        Some(after) => checked.after(&plan.sort, id, after),
                        None => checked,
                    };
                    left.sort(&sort).limit(limit, 0)
                });
                read.extend(self.list_rows(table, &statement, 0, keys.len(), part.access)?);
                Ok(None)
            },
        )?;
        read.sort_by(|(a, _), (b, _)| compare(&sort, a, b));
        // Windows are separate snapshots, so a row that changed may be in two of them.
        let again: BTreeSet<_> = read.iter().map(|(at, _)| at.id.clone()).collect();
        let held = std::mem::take(&mut top.rows).into_iter().filter(|(at, _)| !again.contains(&at.id));
        let mut held = held.peekable();
        for (at, row) in read {
            while top.rows.len() < limit
                && let Some(before) = held.next_if(|(other, _)| compare(&sort, other, &at).is_lt())
            {
                top.rows.push(before);
            }
            if top.rows.len() == limit {
                break;
            }
            top.rows.push((at, map(row)?));
        }
        top.rows.extend(held.take(limit - top.rows.len()));
        top.next = next;
        Ok(top.next.is_none() || is_by_first && top.is_settled(limit))
    }
}

/// The order without what it says after the id, and without the id itself where it follows anyway.
pub(super) fn without_id(order: &[ListOrder], id: ListColumn) -> Vec<ListOrder> {
    let end = order.iter().position(|order| order.column == id).map_or(order.len(), |place| place + 1);
    match &order[..end] {
        [first, .., last] if last.column == id && last.descending == first.descending => order[..end - 1].to_vec(),
        order => order.to_vec(),
    }
}

pub(super) fn compare(sort: &[ListOrder], a: &ListPosition, b: &ListPosition) -> Ordering {
    let orders = keys(a).zip(keys(b)).zip(sort);
    let mut orders = orders.map(|((a, b), order)| if order.descending { b.cmp(a) } else { a.cmp(b) });
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// The values by which a row is sorted, the id last.
pub(super) fn keys(at: &ListPosition) -> impl Iterator<Item = &ListValue> {
    [&at.key].into_iter().chain(&at.others).chain([&at.id])
}
