//! Collections whose rows the store selects and sorts.

use cloudpc_graph::QueryOptions;
use cloudpc_store::{ListCondition, ListCount, ListOrder, ListPlan, ListPosition, ListRows, Reader};

use super::property::{ListProperty, ListSelection};
use crate::pipeline::Problem;

/// A source of rows that are selected by conditions on columns.
pub trait ListSource<R> {
    /// Returns how the store holds a property, by its path; none if it does not.
    fn property(&self, path: &str) -> Option<ListProperty>;

    /// Chooses how to read the rows that match a condition; none if they cannot be read in this
    /// order.
    fn plan(
        &self,
        reader: &Reader<'_>,
        condition: ListCondition,
        order: Option<ListOrder>,
    ) -> Result<Option<ListPlan>, Problem>;

    /// Returns up to `limit` rows of a plan after a position.
    fn rows(
        &self,
        reader: &Reader<'_>,
        plan: &ListPlan,
        after: Option<&ListPosition>,
        limit: usize,
    ) -> Result<ListRows<R>, Problem>;

    /// Counts rows of a plan after a position.
    fn count(&self, reader: &Reader<'_>, plan: &ListPlan, after: Option<&ListPosition>) -> Result<ListCount, Problem>;
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
    ) -> Result<Option<Self>, Problem> {
        if options.filter.is_none() && options.orderby.is_empty() {
            return Ok(None);
        }
        let property = |path: &str| source.property(path);
        let selection = match &options.filter {
            Some(filter) => ListSelection::of(filter.condition(), &property),
            None => ListSelection::ALL,
        };
        let ListSelection { condition, is_exact } = selection;
        if let [(path, descending)] = &options.orderby[..]
            && let Some(column) = source.property(path).and_then(|property| property.sort_column())
            && let Some(plan) =
                source.plan(reader, condition.clone(), Some(ListOrder { column, descending: *descending }))?
        {
            return Ok(Some(Self { plan, is_exact, is_ordered: true }));
        }
        if condition == ListCondition::TRUE {
            return Ok(None);
        }
        let plan = source.plan(reader, condition, None)?;
        Ok(plan.map(|plan| Self { plan, is_exact, is_ordered: options.orderby.is_empty() }))
    }
}
