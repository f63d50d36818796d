//! What the body of a report's request asks for.
//!
//! Reports do not take OData's query options: the body has options of its own, whose filter writes
//! times as OData 3 did. An empty text or array is no option.

use cloudpc_graph::filter::{Filter, FilterComparison, FilterCondition, FilterLiteral, FilterOperand};
use cloudpc_graph::{Edm, GraphError, Version};
use cloudpc_model::CloudPcId;
use serde_json::{Map, Value};
use std::sync::LazyLock;

use super::column::{Column, ColumnType};
use super::tables::{ReportTable, TABLES};

/// Rows of an answer without `top`.
pub const REPORT_ROWS: usize = 25;
/// Most rows of an answer.
pub const REPORT_ROWS_MAX: usize = 100;

/// The column that tells how many rows a group has.
const GROUP_SIZE: &str = "__Count";

/// The rows of all reports as types, so that filters are parsed against them.
static ROW_TYPES: LazyLock<Edm> = LazyLock::new(|| {
    let types = TABLES.iter().map(|table| {
        let properties = table.columns.iter().map(|column| (column.name, column.kind.edm()));
        (table.name, properties.collect())
    });
    Edm::of_types(Version::Beta, types)
});

/// Part of a report that a request asks for.
#[derive(Clone)]
pub(super) struct ReportQuery {
    /// Columns to show, in this order.
    columns: Vec<&'static Column>,
    filter: Option<Filter>,
    /// Text that a column has to contain, in lower case.
    search: Option<String>,
    /// Whether rows that show the same values are counted as one.
    pub(super) is_grouped: bool,
    /// Columns to sort by, and whether the greatest come first.
    pub(super) order: Vec<(String, bool)>,
    pub(super) skip: usize,
    pub(super) top: usize,
}

impl ReportQuery {
    /// Returns all rows and columns of a report, in its own order.
    pub(super) fn all(table: &'static ReportTable) -> Self {
        Self {
            columns: table.columns.iter().collect(),
            filter: None,
            search: None,
            is_grouped: false,
            order: table.order.iter().map(|(name, descending)| ((*name).to_owned(), *descending)).collect(),
            skip: 0,
            top: REPORT_ROWS_MAX,
        }
    }

    /// Reads the options of a body.
    ///
    /// # Errors
    /// 400 for an unknown column, a filter that cannot be parsed, a `groupBy` of other columns than
    /// `select`, and a negative number.
    pub(super) fn of(body: &Map<String, Value>, table: &'static ReportTable) -> Result<Self, GraphError> {
        let mut query = Self::all(table);
        let selected = texts(body, "select").map(|name| find(table, "select", name)).collect::<Result<Vec<_>, _>>()?;
        let grouped = texts(body, "groupBy").map(|name| find(table, "groupBy", name)).collect::<Result<Vec<_>, _>>()?;
        if !grouped.is_empty() {
            let names = |columns: &[&Column]| {
                let mut names: Vec<_> = columns.iter().map(|column| column.name).collect();
                names.sort_unstable();
                names
            };
            if names(&grouped) != names(&selected) {
                let message = "'groupBy' has to name the same columns as 'select'.";
                return Err(GraphError::bad_request(message).about("groupBy"));
            }
            query.is_grouped = true;
            query.order.clear();
        }
        if !selected.is_empty() {
            query.columns = selected;
        }
        if let Some(text) = text(body, "filter") {
            query.filter = Some(Filter::parse_option("filter", &ROW_TYPES, table.name, text)?);
        }
        query.search = text(body, "search").map(str::to_lowercase);
        let orders =
            texts(body, "orderBy").flat_map(|text| text.split(',')).map(str::trim).filter(|text| !text.is_empty());
        let orders = orders.map(|text| query.order_by(table, text)).collect::<Result<Vec<_>, _>>()?;
        if !orders.is_empty() {
            query.order = orders;
        }
        query.skip = number(body, "skip")?.unwrap_or(0);
        query.top = number(body, "top")?.unwrap_or(REPORT_ROWS).min(REPORT_ROWS_MAX);
        Ok(query)
    }

    /// Reads the options of an export job, which has all rows that match its filter, up to `rows`.
    ///
    /// # Errors
    /// Like [`ReportQuery::of`].
    pub(super) fn of_export(
        body: &Map<String, Value>,
        table: &'static ReportTable,
        rows: usize,
    ) -> Result<Self, GraphError> {
        Ok(Self { skip: 0, top: rows, ..Self::of(body, table)? })
    }

    fn order_by(&self, table: &'static ReportTable, text: &str) -> Result<(String, bool), GraphError> {
        let (name, descending) = match text.split_once(' ').map(|(name, direction)| (name, direction.trim())) {
            None => (text, false),
            Some((name, direction)) if direction.eq_ignore_ascii_case("asc") => (name, false),
            Some((name, direction)) if direction.eq_ignore_ascii_case("desc") => (name, true),
            Some((_, direction)) => {
                let message = format!("'orderBy' has the direction '{direction}'; it is 'asc' or 'desc'.");
                return Err(GraphError::bad_request(message).about("orderBy"));
            }
        };
        let column = match self.is_grouped && name.eq_ignore_ascii_case(GROUP_SIZE) {
            true => GROUP_SIZE,
            false => find(table, "orderBy", name)?.name,
        };
        if self.is_grouped && column != GROUP_SIZE && !self.columns.iter().any(|shown| shown.name == column) {
            let message = format!("Groups cannot be sorted by '{column}', which 'groupBy' does not name.");
            return Err(GraphError::bad_request(message).about("orderBy"));
        }
        Ok((column.to_owned(), descending))
    }

    /// Returns the names and types of the columns to show.
    pub(super) fn shown(&self, table: &ReportTable) -> Vec<(&'static str, ColumnType)> {
        debug_assert!(self.columns.iter().all(|column| table.columns.iter().any(|own| own.name == column.name)));
        let shown = self.columns.iter().map(|column| (column.name, column.kind));
        shown.chain(self.is_grouped.then_some((GROUP_SIZE, ColumnType::Int32))).collect()
    }

    /// Returns whether a row belongs to the answer.
    pub(super) fn matches(&self, row: &Value) -> bool {
        let found = |search: &String| {
            let values = row.as_object().into_iter().flat_map(Map::values);
            values.filter_map(Value::as_str).any(|text| text.to_lowercase().contains(search.as_str()))
        };
        self.search.as_ref().is_none_or(found) && self.filter.as_ref().is_none_or(|filter| filter.matches(row))
    }

    /// Returns the values of a row that tell its group.
    pub(super) fn group(&self, row: &Map<String, Value>) -> String {
        let values = self.columns.iter().map(|column| row.get(column.name).cloned().unwrap_or_default());
        Value::Array(values.collect()).to_string()
    }

    /// Returns a group as a row.
    pub(super) fn group_row(&self, group: &str, size: usize) -> Map<String, Value> {
        let values: Vec<Value> = serde_json::from_str(group).expect("a group is written as an array");
        let names = self.columns.iter().map(|column| column.name.to_owned());
        names.zip(values).chain([(GROUP_SIZE.to_owned(), size.into())]).collect()
    }

    /// Returns the only Cloud PC whose rows can match the filter, if it names one.
    pub(super) fn cloud_pc(&self) -> Option<CloudPcId> {
        self.filter.as_ref().and_then(|filter| named_cloud_pc(filter.condition()))
    }
}

/// Returns the Cloud PC without which a condition cannot hold.
fn named_cloud_pc(condition: &FilterCondition) -> Option<CloudPcId> {
    match condition {
        FilterCondition::All(parts) => parts.iter().find_map(named_cloud_pc),
        FilterCondition::Compare { left: FilterOperand::Path(path), comparison: FilterComparison::Eq, right } => {
            let is_id = path.segments().iter().eq(["CloudPcId"]);
            match right {
                FilterOperand::Literal(FilterLiteral::Text(id) | FilterLiteral::Guid(id)) if is_id => id.parse().ok(),
                _ => None,
            }
        }
        _ => None,
    }
}

fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

fn texts<'a>(body: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a str> {
    let values = body.get(name).and_then(Value::as_array).into_iter().flatten();
    values.filter_map(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

fn number(body: &Map<String, Value>, name: &str) -> Result<Option<usize>, GraphError> {
    let Some(value) = body.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    let message = || GraphError::bad_request(format!("'{name}' is {value}; it is a whole number from 0.")).about(name);
    number.map(Some).ok_or_else(message)
}

fn find(table: &'static ReportTable, option: &str, name: &str) -> Result<&'static Column, GraphError> {
    table.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let columns = table.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
        let message =
            format!("'{option}' names the column '{name}', which this report does not have; it has {columns}.");
        GraphError::bad_request(message).about(option)
    })
}
