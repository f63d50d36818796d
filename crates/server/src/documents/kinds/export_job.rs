//! `cloudPcExportJob`: a report that is written to a file. The job runs in `crate::exports`.

use cloudpc_graph::GraphError;
use cloudpc_model::{Document, DocumentType, Object, Timestamp};
use cloudpc_store::{PendingExport, Reader, Tx};
use serde_json::{Value, json};

use super::rights;
use crate::documents::kind::Const::Text;
use crate::documents::kind::Fact::{CharsMax, Computed, CreatedAt, Default, Required};
use crate::documents::kind::{DocumentChange, DocumentKind, Hooks, Rights, Verb};
use crate::exports::{self, EXPORT_JOBS_MAX};
use crate::pipeline::{Call, Problem};
use crate::reports;

static RIGHTS: Rights = rights("Reports");

/// Graph's time of what has not happened.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// `cloudPcExportJob`
pub(super) static EXPORT_JOB: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcExportJob,
    "/deviceManagement/virtualEndpoint/reports/exportJobs",
    &RIGHTS,
    &[Verb::List, Verb::Count, Verb::Get, Verb::Create, Verb::Delete],
    &[
        Required("reportName"),
        CharsMax("filter", 8_192),
        Default("format", Text("csv")),
        Computed("exportJobStatus"),
        Computed("exportUrl"),
        Computed("expirationDateTime"),
        CreatedAt("requestDateTime"),
    ],
)
.at_most(EXPORT_JOBS_MAX)
.hooks(&ExportJob);

struct ExportJob;

impl Hooks for ExportJob {
    fn id(&self, _reader: &Reader<'_>, _call: &Call, document: &Document, guid: &str) -> Result<String, Problem> {
        let name = document.body.get("reportName").and_then(Value::as_str).unwrap_or_default();
        let first = name.chars().next().map(|first| first.to_ascii_uppercase());
        let pascal: String = first.into_iter().chain(name.chars().skip(1)).collect();
        Ok(format!("{pascal}__{guid}"))
    }

    fn check(&self, reader: &Reader<'_>, change: &mut DocumentChange<'_>) -> Result<(), Problem> {
        check(&change.new.body)?;
        exports::check_roles(reader, &change.call.caller, report(change.new))
    }

    fn after(
        &self,
        tx: &mut Tx<'_>,
        call: &Call,
        old: Option<&Document>,
        new: Option<&Document>,
    ) -> Result<(), Problem> {
        match (old, new) {
            (None, Some(job)) => {
                let caller = serde_json::to_string(&*call.caller).expect("a caller is plain data");
                let export = PendingExport { tenant_id: job.tenant_id, job_id: job.key.id.clone(), caller };
                tx.export_insert(&export, call.at)?;
            }
            (Some(job), None) => tx.export_delete(job.tenant_id, &job.key.id)?,
            _ => {}
        }
        let app = call.app.clone();
        tx.after_commit(move || app.exports.notify_one());
        Ok(())
    }

    fn check_delete(&self, reader: &Reader<'_>, call: &Call, job: &Document) -> Result<(), Problem> {
        exports::check_roles(reader, &call.caller, report(job))
    }

    fn computed(&self, reader: &Reader<'_>, call: &Call, page: &mut [Document]) -> Result<(), Problem> {
        for job in page {
            let may_read = match exports::check_roles(reader, &call.caller, report(job)) {
                Ok(()) => true,
                Err(Problem::Store(error)) => return Err(error.into()),
                Err(_) => false,
            };
            let expires_at = job.status.get("expiresAt").and_then(Value::as_i64).map(Timestamp);
            job.status.remove("expiresAt");
            let url = expires_at
                .filter(|_| may_read && job.status.get("exportJobStatus") == Some(&json!("completed")))
                .map(|at| exports::url(&call.app, call.host(), job.tenant_id, &job.key.id, at));
            let status = job.status.remove("exportJobStatus").unwrap_or_else(|| json!("notStarted"));
            job.status.insert("exportJobStatus".into(), status);
            job.status.insert("exportUrl".into(), json!(url));
            let expiry = expires_at.map_or_else(|| NEVER.to_owned(), |at| at.to_string());
            job.status.insert("expirationDateTime".into(), json!(expiry));
        }
        Ok(())
    }
}

/// Returns the name of a job's report.
fn report(job: &Document) -> &str {
    job.body.get("reportName").and_then(Value::as_str).unwrap_or_default()
}

/// Refuses a job that cannot produce a file.
fn check(body: &Object) -> Result<(), GraphError> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let format = text("format");
    if exports::ExportFormat::named(format).is_none() {
        let message = format!("The format '{format}' is not supported. Use 'csv' or 'json'.");
        return Err(GraphError::bad_request(message).about("format"));
    }
    let name = text("reportName");
    let unknown =
        || GraphError::bad_request(format!("The report '{name}' cannot be exported here.")).about("reportName");
    let table = exports::table(name).ok_or_else(unknown)?;
    if let Some(reason) = table.no_source {
        let message = format!("The report '{name}' has no rows on this installation. {reason}");
        return Err(GraphError::bad_request(message).about("reportName"));
    }
    reports::check_export(body, table)
}
