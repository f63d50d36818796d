//! Collections whose rows the store selects and sorts.

use cloudpc_graph::QueryOptions;
use cloudpc_model::TenantId;
use cloudpc_store::{
    ListCondition, ListCount, ListOrder, ListPlan, ListPosition, ListRows, ListTable, ListTop, Reader,
};

use super::Collection;
use super::invalid_skip_token;
use super::property::{ListProperty, ListSelection};
use super::scan::read_position;
use crate::pipeline::Problem;

/// A collection whose rows are in a table of the store.
pub trait TableCollection: Collection {
    /// A row as the table has it.
    type Stored: 'static;

    /// Returns the table.
    fn table(&self) -> &'static ListTable<Self::Stored>;

    /// Returns the tenant whose rows are listed.
    fn tenant(&self) -> TenantId;

    /// Returns the condition of the collection's rows.
    fn scope(&self) -> ListCondition {
        ListCondition::TRUE
    }

    /// Returns how the table holds a property, by its path; none if it does not.
    fn property(&self, path: &str) -> Option<ListProperty>;

    /// Whether the scope leaves out rows that [`Collection::rows`] has.
    fn limits_rows(&self) -> bool {
        false
    }

    /// Reads what belongs to a row beside the table.
    fn row(&self, reader: &Reader<'_>, stored: Self::Stored) -> Result<Self::Row, Problem>;
}

/// A source of rows that are selected by conditions on columns: a [`TableCollection`] of any table.
pub trait ListSource<R> {
    /// Returns how the store holds a property, by its path; none if it does not.
    fn property(&self, path: &str) -> Option<ListProperty>;

    /// Whether all reads must use a plan, because not all rows may be seen.
    fn must_plan(&self) -> bool;

    /// Chooses how to read the rows that match a condition, from the start or after a position.
    fn plan(
        &self,
        reader: &Reader<'_>,
        condition: ListCondition,
        order: &[ListOrder],
        after: Option<&ListPosition>,
    ) -> Result<ListPlan, Problem>;

    /// Returns up to `limit` rows of a plan that is not sorted, after a position.
    fn rows(
        &self,
        reader: &Reader<'_>,
        plan: &ListPlan,
        after: Option<&ListPosition>,
        limit: usize,
    ) -> Result<ListRows<R>, Problem>;

    /// Reads on for the first `limit` rows of a sorted plan after a position. Returns whether they
    /// are found.
    fn top(
        &self,
        reader: &Reader<'_>,
        plan: &ListPlan,
        from: (Option<&ListPosition>, usize),
        top: &mut ListTop<R>,
    ) -> Result<bool, Problem>;

    /// Counts rows of a plan after a position.
    fn count(&self, reader: &Reader<'_>, plan: &ListPlan, after: Option<&ListPosition>) -> Result<ListCount, Problem>;
}

impl<C: TableCollection> ListSource<C::Row> for C {
    fn property(&self, path: &str) -> Option<ListProperty> {
        TableCollection::property(self, path)
    }

    fn must_plan(&self) -> bool {
        self.limits_rows()
    }

    fn plan(
        &self,
        reader: &Reader<'_>,
        condition: ListCondition,
        order: &[ListOrder],
        after: Option<&ListPosition>,
    ) -> Result<ListPlan, Problem> {
        let condition = ListCondition::all([self.scope(), condition]);
        Ok(reader.list_plan(self.table(), self.tenant(), &condition, order, after)?)
    }

    fn rows(
        &self,
        reader: &Reader<'_>,
        plan: &ListPlan,
        after: Option<&ListPosition>,
        limit: usize,
    ) -> Result<ListRows<C::Row>, Problem> {
        let found = reader.list(self.table(), self.tenant(), plan, after, limit)?;
        found.try_map(|stored| self.row(reader, stored))
    }

    fn top(
        &self,
        reader: &Reader<'_>,
        plan: &ListPlan,
        from: (Option<&ListPosition>, usize),
        top: &mut ListTop<C::Row>,
    ) -> Result<bool, Problem> {
        reader.list_top(self.table(), self.tenant(), plan, from, top, |stored| self.row(reader, stored))
    }

    fn count(&self, reader: &Reader<'_>, plan: &ListPlan, after: Option<&ListPosition>) -> Result<ListCount, Problem> {
        Ok(reader.list_count(self.table(), self.tenant(), plan, after)?)
    }
}

/// How the store answers a request.
pub(super) struct Planned {
    pub(super) plan: ListPlan,
    /// Whether all rows of the plan match the filter.
    pub(super) is_exact: bool,
    /// Whether the rows come in the order of the request.
    pub(super) is_ordered: bool,
}

impl Planned {
    /// Plans a request; none if the store cannot help.
    pub(super) fn of<R>(
        source: &dyn ListSource<R>,
        reader: &Reader<'_>,
        options: &QueryOptions,
        position: Option<&str>,
    ) -> Result<Option<Self>, Problem> {
        if options.filter.is_none() && options.orderby.is_empty() && !source.must_plan() {
            return Ok(None);
        }
        let property = |path: &str| source.property(path);
        let selection = match &options.filter {
            Some(filter) => ListSelection::of(filter.condition(), &property),
            None => ListSelection::ALL,
        };
        let ListSelection { condition, is_exact } = selection;
        let by = |(path, descending): &(String, bool)| {
            let column = source.property(path)?.sort_column()?;
            Some(ListOrder { column, descending: *descending })
        };
        // The position of rows that are sorted in memory is of another form.
        let after: Option<ListPosition> = position.and_then(|position| read_position(position).ok());
        let order: Option<Vec<_>> = options.orderby.iter().map(by).collect();
        if let Some(order) = order {
            let plan = source.plan(reader, condition.clone(), &order, after.as_ref())?;
            // Rows that the store sorts are not evaluated again.
            if is_exact || !plan.is_sorted() {
                return Ok(Some(Self { plan, is_exact, is_ordered: true }));
            }
        }
        if condition == ListCondition::TRUE && !source.must_plan() {
            return Ok(None);
        }
        let plan = source.plan(reader, condition, &[], after.as_ref())?;
        if options.orderby.is_empty() && after.is_some_and(|after| !plan.continues_at(&after)) {
            return Err(invalid_skip_token().into());
        }
        Ok(Some(Self { plan, is_exact, is_ordered: options.orderby.is_empty() }))
    }
}
