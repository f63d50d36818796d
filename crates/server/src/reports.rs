//! Reports: tables over the store's data, answered as Graph's stream of schema and values.
//!
//! One engine reads, filters, groups, sorts and pages all of them ([`scan`]); a report is its
//! columns and the source of its rows ([`tables`], [`sources`]). A report of what nothing on this
//! installation measures has no source: its answer has no rows and says why. A value that was not
//! measured is null, never 0.
//!
//! What records the data is not known here.

mod column;
mod query;
mod scan;
mod sources;
mod tables;

use cloudpc_graph::GraphError;
use cloudpc_model::{CloudPc, CloudPcId};
use cloudpc_store::{Reader, Store, StoreError};
use serde_json::{Map, Value, json};
use std::sync::Arc;

use crate::app::App;
use crate::caller::Caller;
use crate::exports::EXPORT_ROWS_MAX;
use crate::pipeline::{Answer, Call, Problem};
use crate::rbac::{CloudPcScope, ScopeTags};
use query::ReportQuery;
use scan::ReportScan;

pub use column::{Column, ColumnType};
pub use query::{REPORT_ROWS, REPORT_ROWS_MAX};
pub use tables::{ReportTable, TABLES, table};

/// A row: values by the names of their columns.
type ReportRow = Map<String, Value>;

/// What a report reads.
#[derive(Clone)]
struct ReportScope {
    tenant: cloudpc_model::TenantId,
    /// The time of the request.
    now: cloudpc_model::Timestamp,
    /// The scope tags of the caller.
    tags: ScopeTags,
    /// The Cloud PCs that these reach; read with the first rows.
    reached: Option<CloudPcScope>,
    /// The only Cloud PC whose rows can match, if the request names one.
    cloud_pc: Option<cloudpc_model::CloudPcId>,
}

impl ReportScope {
    fn new(call: &Call, cloud_pc: Option<CloudPcId>) -> Self {
        Self { tenant: call.tenant(), now: call.at, tags: call.scope_tags.clone(), reached: None, cloud_pc }
    }

    /// Whether the report may show a Cloud PC. A report shows only Cloud PCs that exist to a caller
    /// with scope tags.
    fn includes(&mut self, reader: &Reader<'_>, cloud_pc: Option<&CloudPc>) -> Result<bool, StoreError> {
        let reached = match &mut self.reached {
            Some(reached) => reached,
            none => none.insert(CloudPcScope::read(reader, self.tenant, &self.tags)?),
        };
        Ok(cloud_pc.map_or_else(|| reached.is_all(), |cloud_pc| reached.includes(cloud_pc)))
    }
}

/// The rows of a report that a request asked for.
struct ReportPage {
    /// Rows before `skip` and `top`.
    total: usize,
    rows: Vec<ReportRow>,
}

/// Answers with the part of a report that the body of a request asks for.
pub async fn answer(call: &Arc<Call>, table: &'static ReportTable) -> Result<Answer, Problem> {
    let query = ReportQuery::of(&call.body, table)?;
    let scope = ReportScope::new(call, query.cloud_pc());
    let page = read(call, table, &query, scope).await?;
    Ok(write(table, &query, &page))
}

/// Answers with the rows of one Cloud PC.
pub async fn answer_for(
    call: &Arc<Call>,
    table: &'static ReportTable,
    cloud_pc: cloudpc_model::CloudPcId,
) -> Result<Answer, Problem> {
    let query = ReportQuery::all(table);
    let scope = ReportScope::new(call, Some(cloud_pc));
    let page = read(call, table, &query, scope).await?;
    Ok(write(table, &query, &page))
}

/// The rows of an exported report, as text of a file is made from them.
pub struct ReportExport {
    /// Names of the columns.
    pub columns: Vec<&'static str>,
    /// Values of each row, in the order of the columns.
    pub rows: Vec<Vec<Value>>,
}

impl ReportExport {
    /// Returns the rows as objects.
    pub fn objects(&self) -> Vec<ReportRow> {
        let object = |row: &Vec<Value>| {
            self.columns.iter().map(|name| (*name).to_owned()).zip(row.iter().cloned()).collect::<ReportRow>()
        };
        self.rows.iter().map(object).collect()
    }
}

/// Checks the options of an export job.
///
/// # Errors
/// 400 for an unknown column and a filter that cannot be parsed.
pub fn check_export(body: &Map<String, Value>, table: &'static ReportTable) -> Result<(), GraphError> {
    ReportQuery::of_export(body, table, 0).map(drop)
}

/// Returns the rows of a report that an export job asks for. Its caller may read the report without
/// scope tags.
///
/// # Errors
/// 400 if there are more than [`EXPORT_ROWS_MAX`]; what the report's source fails with.
pub async fn export(
    app: &App,
    caller: &Caller,
    body: &Map<String, Value>,
    table: &'static ReportTable,
) -> Result<ReportExport, Problem> {
    let query = ReportQuery::of_export(body, table, EXPORT_ROWS_MAX)?;
    let scope = ReportScope {
        tenant: caller.tenant_id,
        now: app.clock.now(),
        tags: ScopeTags::All,
        reached: None,
        cloud_pc: query.cloud_pc(),
    };
    let store = app.store.on_behalf_of(caller.read_caller());
    let page = scan(&store, app, table, &query, scope).await?;
    if page.total > EXPORT_ROWS_MAX {
        let message =
            format!("The report has {} rows; a file has at most {EXPORT_ROWS_MAX}. Narrow the filter.", page.total);
        return Err(GraphError::bad_request(message).about("filter").into());
    }
    let columns: Vec<&'static str> = query.shown(table).into_iter().map(|(name, _)| name).collect();
    let row = |row: &ReportRow| columns.iter().map(|name| row.get(*name).cloned().unwrap_or_default()).collect();
    Ok(ReportExport { rows: page.rows.iter().map(row).collect(), columns })
}

async fn read(
    call: &Call,
    table: &'static ReportTable,
    query: &ReportQuery,
    scope: ReportScope,
) -> Result<ReportPage, Problem> {
    scan(&call.store(), &call.app, table, query, scope).await
}

async fn scan(
    store: &Store,
    app: &App,
    table: &'static ReportTable,
    query: &ReportQuery,
    scope: ReportScope,
) -> Result<ReportPage, Problem> {
    let Some(source) = table.source else { return Ok(ReportPage { total: 0, rows: Vec::new() }) };
    let mut scan = ReportScan::new(source(scope), query.clone(), Arc::clone(&app.monotonic));
    store.scan(move |reader| scan.slice(reader)).await
}

fn write(table: &ReportTable, query: &ReportQuery, page: &ReportPage) -> Answer {
    let columns = query.shown(table);
    let schema: Vec<Value> =
        columns.iter().map(|(name, kind)| json!({ "Column": name, "PropertyType": kind.name() })).collect();
    let values: Vec<Value> = page
        .rows
        .iter()
        .map(|row| columns.iter().map(|(name, _)| row.get(*name).cloned().unwrap_or_default()).collect())
        .collect();
    let mut body = json!({ "TotalRowCount": page.total, "Schema": schema, "Values": values });
    if let Some(reason) = table.no_source {
        body["@cloudpc.noSource"] = reason.into();
    }
    Answer::Json(body.to_string().into_bytes())
}
