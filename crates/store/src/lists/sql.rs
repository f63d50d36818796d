//! The text of a list's statements: pieces that are written here, and values that are bound.

use uuid::Uuid;

use super::condition::ListCondition;
use super::plan::IndexAccess;
use super::range::{Cut, KeyRange, ListValue};
use super::sort::keys;
use super::{ListColumn, ListIndex, ListOrder, ListPosition, ListTable};
use crate::connection::dialect::{contains, contains_not, join_in_order, read_by};
use crate::connection::{ToValue, Value};

/// A statement with its values.
#[derive(Debug, Default)]
pub(super) struct Statement {
    pub(super) text: String,
    values: Vec<ListValue>,
}

/// A part of an index to be read.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) access: &'a IndexAccess,
    pub(super) range: &'a KeyRange,
    pub(super) after: Option<&'a ListPosition>,
    pub(super) until: Option<&'a ListPosition>,
    pub(super) descending: bool,
}

impl Statement {
    /// `SELECT columns FROM table WHERE` the rows of a tenant in a part of an index.
    pub(super) fn select<T>(columns: &str, table: &ListTable<T>, tenant: Uuid, part: Part<'_>) -> Self {
        let from = match &part.access.via {
            None => match part.access.column.index {
                ListIndex::Named(index) => read_by(table.name, index),
                ListIndex::Key | ListIndex::None => table.name.to_owned(),
            },
            Some(via) => format!(
                "{} {} {name} ON {name}.tenant_id = tenant AND {name}.id = cloud_pc_id",
                via.table,
                join_in_order!(),
                name = table.name
            ),
        };
        Self::select_from(columns, &from, table.id, tenant, part)
    }

    /// The same of the index alone, for columns that it has.
    pub(super) fn select_keys<T>(columns: &str, table: &ListTable<T>, tenant: Uuid, part: Part<'_>) -> Self {
        match &part.access.via {
            None => Self::select(columns, table, tenant, part),
            Some(via) => Self::select_from(columns, via.table, table.id, tenant, part),
        }
    }

    fn select_from(columns: &str, from: &str, id: ListColumn, tenant: Uuid, part: Part<'_>) -> Self {
        let mut statement = Self::default();
        let of_tenant = if part.access.via.is_some() { "tenant" } else { "tenant_id" };
        statement.text = format!("SELECT {columns} FROM {from} WHERE {of_tenant} = ");
        statement.bind(ListValue::Guid(tenant));
        if let Some(via) = &part.access.via {
            statement.text.push_str(" AND repeats < ");
            statement.bind(ListValue::Integer(via.letters));
        }
        statement.within(part, part.access.id(id));
        statement
    }

    /// `SELECT` the columns of a table, the keys and the id of the rows of a tenant in a part of an
    /// index, as `narrow` has them.
    ///
    /// An index finds keys and ids first, and then only the rows of the result are read: an index
    /// that has all columns of the conditions and orders needs no other row.
    pub(super) fn select_rows<T>(
        table: &ListTable<T>,
        keys: &[ListColumn],
        tenant: Uuid,
        part: Part<'_>,
        narrow: impl FnOnce(Self) -> Self,
    ) -> Self {
        let id = table.id.sql;
        let list = |name: &dyn Fn(usize, &ListColumn) -> String| -> String {
            keys.iter().enumerate().map(|(place, key)| name(place, key) + ", ").collect()
        };
        let comes_in_order = *keys == [part.access.column] && !part.access.checks_rows();
        if comes_in_order || !part.access.is_apart() {
            let keys = list(&|_, key| key.sql.to_owned());
            return narrow(Self::select(&format!("{}, {keys}{id}", table.columns), table, tenant, part));
        }
        let named = list(&|place, key| format!("{} AS key_{place}", key.sql));
        let mut found = narrow(Self::select(&format!("{named}{id} AS found_id"), table, tenant, part));
        found.text = format!(
            "SELECT {columns}, {names}found_id FROM ({found}) AS found {join} {table} ON {table}.tenant_id = ?1 AND {table}.{id} = found_id",
            columns = table.columns,
            names = list(&|place, _| format!("key_{place}")),
            found = found.text,
            join = join_in_order!(),
            table = table.name,
        );
        found
    }

    /// Also checks the condition of each row.
    pub(super) fn check(mut self, condition: &ListCondition) -> Self {
        if *condition != ListCondition::TRUE {
            self.text.push_str(" AND ");
            self.condition(condition);
        }
        self
    }

    /// Only rows after a position of a list that is sorted.
    pub(super) fn after(mut self, sort: &[ListOrder], id: ListOrder, at: &ListPosition) -> Self {
        let keys: Vec<_> = sort.iter().chain([&id]).zip(keys(at)).collect();
        self.text.push_str(" AND ");
        let last = keys.len() - 1;
        for (place, (order, value)) in keys.iter().enumerate() {
            self.text.push('(');
            self.compare(order.column, if order.descending { "<" } else { ">" }, value);
            if place < last {
                self.text.push_str(" OR ");
                self.compare(order.column, "=", value);
                self.text.push_str(" AND ");
            }
        }
        self.text.push_str(&")".repeat(keys.len()));
        self
    }

    /// In this order.
    pub(super) fn sort(mut self, sort: &[ListOrder]) -> Self {
        for (place, order) in sort.iter().enumerate() {
            self.text.push_str(if place == 0 { " ORDER BY " } else { ", " });
            self.text.push_str(order.column.sql);
            self.text.push_str(if order.descending { " DESC" } else { "" });
        }
        self
    }

    /// In the order of a column and the id.
    pub(super) fn order(self, column: ListColumn, id: ListColumn, descending: bool) -> Self {
        let by = |column| ListOrder { column, descending };
        if column == id { self.sort(&[by(id)]) } else { self.sort(&[by(column), by(id)]) }
    }

    /// At most this many rows, after leaving out some.
    pub(super) fn limit(mut self, rows: usize, skipped: usize) -> Self {
        let number = |rows| ListValue::Integer(i64::try_from(rows).unwrap_or(i64::MAX));
        self.text.push_str(" LIMIT ");
        self.bind(number(rows));
        if skipped > 0 {
            self.text.push_str(" OFFSET ");
            self.bind(number(skipped));
        }
        self
    }

    /// The values in the order of their numbers.
    pub(super) fn values(&self) -> Vec<Value<'_>> {
        self.values.iter().map(ToValue::to_value).collect()
    }

    fn bind(&mut self, value: ListValue) {
        self.values.push(value);
        self.text.push_str(&format!("?{}", self.values.len()));
    }

    fn compare(&mut self, column: ListColumn, operator: &str, value: &ListValue) {
        self.text.push_str(&format!("{} {operator} ", column.sql));
        self.bind(value.clone());
    }

    /// The rows on one side of a position.
    fn beside(&mut self, column: ListColumn, id: ListColumn, operator: &str, at: &ListPosition) {
        if column == id {
            return self.compare(id, operator, &at.id);
        }
        self.text.push_str(&format!("({}, {}) {operator} (", column.sql, id.sql));
        self.bind(at.key.clone());
        self.text.push_str(", ");
        self.bind(at.id.clone());
        self.text.push(')');
    }

    fn within(&mut self, part: Part<'_>, id: ListColumn) {
        let (column, range) = (part.access.column, part.range);
        let (first, last) = if part.descending { ("<", ">=") } else { (">", "<=") };
        if let Some(value) = range.point() {
            self.text.push_str(" AND ");
            self.compare(column, "=", value);
            for (at, operator) in [(part.after, first), (part.until, last)] {
                if let Some(at) = at {
                    self.text.push_str(" AND ");
                    self.compare(id, operator, &at.id);
                }
            }
            return;
        }
        for (at, operator) in [(part.after, first), (part.until, last)] {
            if let Some(at) = at {
                self.text.push_str(" AND ");
                self.beside(column, id, operator, at);
            }
        }
        let (low, high) = if part.descending { (part.until, part.after) } else { (part.after, part.until) };
        // One bound at each end: a second one would not be used by the index.
        let low = if low.is_none() { low_bound(range) } else { None };
        let high = if high.is_none() { high_bound(range) } else { None };
        for (operator, value) in low.into_iter().chain(high) {
            self.text.push_str(" AND ");
            self.compare(column, operator, value);
        }
    }

    fn condition(&mut self, condition: &ListCondition) {
        match condition {
            ListCondition::All(parts) => self.joined(parts, " AND ", "1 = 1", &mut Self::condition),
            ListCondition::Any(parts) => self.joined(parts, " OR ", "1 = 0", &mut Self::condition),
            ListCondition::Within(column, ranges) => {
                let (points, ranges): (Vec<_>, Vec<_>) =
                    ranges.ranges().iter().partition(|range| range.point().is_some());
                self.text.push('(');
                if !points.is_empty() {
                    self.text.push_str(&format!("{} IN (", column.sql));
                    for (place, value) in points.iter().filter_map(|range| range.point()).enumerate() {
                        self.text.push_str(if place == 0 { "" } else { ", " });
                        self.bind(value.clone());
                    }
                    self.text.push_str(if ranges.is_empty() { ")" } else { ") OR " });
                }
                if !ranges.is_empty() || points.is_empty() {
                    self.joined(&ranges, " OR ", "1 = 0", &mut |statement, range| statement.range(*column, range));
                }
                self.text.push(')');
            }
            ListCondition::Contains(column, text) | ListCondition::ContainsNot(column, text) => {
                let is_positive = matches!(condition, ListCondition::Contains(..));
                let test = if is_positive { contains } else { contains_not };
                self.values.push(ListValue::Text(text.clone()));
                self.text.push_str(&test(column.sql, &format!("?{}", self.values.len())));
            }
        }
    }

    fn range(&mut self, column: ListColumn, range: &KeyRange) {
        let bounds: Vec<_> = low_bound(range).into_iter().chain(high_bound(range)).collect();
        self.joined(&bounds, " AND ", "1 = 1", &mut |statement, (operator, value)| {
            statement.compare(column, operator, value);
        });
    }

    /// Joins parts in a balanced way: the database limits the depth of expressions.
    fn joined<P>(&mut self, parts: &[P], word: &str, empty: &str, write: &mut dyn FnMut(&mut Self, &P)) {
        match parts {
            [] => self.text.push_str(empty),
            [part] => write(self, part),
            parts => {
                let (left, right) = parts.split_at(parts.len() / 2);
                self.text.push('(');
                self.joined(left, word, empty, write);
                self.text.push_str(word);
                self.joined(right, word, empty, write);
                self.text.push(')');
            }
        }
    }
}

fn low_bound(range: &KeyRange) -> Option<(&'static str, &ListValue)> {
    match &range.low {
        Cut::Before(value) => Some((">=", value)),
        Cut::After(value) => Some((">", value)),
        Cut::Start | Cut::End => None,
    }
}

fn high_bound(range: &KeyRange) -> Option<(&'static str, &ListValue)> {
    match &range.high {
        Cut::Before(value) => Some(("<", value)),
        Cut::After(value) => Some(("<=", value)),
        Cut::Start | Cut::End => None,
    }
}
