//! Export jobs: reports that are written to files, which their callers download.
//!
//! A job is a document (`documents/kinds/export_job.rs`). One task of the service takes the oldest
//! job that waits, reads its report as an answer would, and stores the file. A job that was under
//! way when the service ended still waits in the store, and is run again.
//!
//! The URL of a file is signed and expires with the file. It opens only as long as the caller who
//! requested the job may still read reports.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cloudpc_graph::resolve::Scope;
use cloudpc_identity::AuthenticationError;
use cloudpc_model::{Document, DocumentKey, DocumentType, TenantId, Timestamp};
use cloudpc_store::{ExportFile, PendingExport, Reader, StoreError, Tx};
use http::{StatusCode, header};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::caller::Caller;
use crate::operations::report::requirement_of;
use crate::pipeline::{Problem, READ, access};
use crate::rbac::{self, EffectivePermissions, Requirement};
use crate::reports::{self, ReportExport, ReportTable};

/// Most export jobs of a tenant.
pub const EXPORT_JOBS_MAX: u64 = 50;
/// Most rows of a file. A job with more fails.
pub const EXPORT_ROWS_MAX: usize = 20_000;
/// Time for which a file is kept, and its job with it.
pub const EXPORT_KEPT_TIME: Duration = Duration::from_secs(24 * 3_600);
/// Pause after the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Purpose that the signature of a URL is bound to.
const BINDING: &str = "exportFile";

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// Comma-separated values with a line of names (RFC 4180).
    Csv,
    /// An array of objects.
    Json,
}

impl ExportFormat {
    /// Returns the format of this name.
    pub fn named(name: &str) -> Option<Self> {
        [(Self::Csv, "csv"), (Self::Json, "json")]
            .into_iter()
            .find_map(|(format, own)| own.eq_ignore_ascii_case(name).then_some(format))
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
        }
    }
}

/// Returns the report that a job names.
pub(crate) fn table(name: &str) -> Option<&'static ReportTable> {
    let name =
        if name.eq_ignore_ascii_case("cloudPcUsageCategoryReports") { "cloudPcUsageCategoryReport" } else { name };
    let name = if name.eq_ignore_ascii_case("remoteConnectionQualityReports") {
        "remoteConnectionQualityReport"
    } else {
        name
    };
    reports::table(name)
}

/// Returns the URL of the file of a job.
pub(crate) fn url(app: &App, host: &str, tenant: TenantId, job: &str, expires_at: Timestamp) -> String {
    let token = app.signer.sign(BINDING, &format!("{tenant} {} {job}", expires_at.0));
    format!("{host}/_cloudpc/exports/{token}")
}

/// Runs jobs and deletes expired ones until `stop` is cancelled.
pub async fn run(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let wake_at = match step(&app).await {
            Ok(Step::Worked) => continue,
            Ok(Step::Idle { wake_at }) => wake_at,
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "running export jobs failed; retrying in {} seconds", STORE_PAUSE.as_secs());
                stop.run_until_cancelled(tokio::time::sleep(STORE_PAUSE)).await;
                continue;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = app.exports.notified() => {}
            () = app.clock.sleep_until(wake_at.unwrap_or_default()), if wake_at.is_some() => {}
        }
    }
}

enum Step {
    Worked,
    Idle { wake_at: Option<Timestamp> },
}

/// Deletes what has expired and runs one job.
async fn step(app: &App) -> Result<Step, StoreError> {
    let now = app.clock.now();
    let store = app.store.in_background();
    let read = move |reader: &cloudpc_store::Reader<'_>| {
        Ok::<_, StoreError>((reader.exports_expired(now)?, reader.export_pending()?, reader.export_next_expiry()?))
    };
    let (expired, pending, wake_at) = store.read(read).await?;
    if !expired.is_empty() {
        let delete = move |tx: &mut Tx<'_>| {
            for (tenant, job) in &expired {
                tx.export_delete(*tenant, job)?;
                // Nothing refers to a job.
                let _ = tx.document_delete(*tenant, &DocumentKey::new(DocumentType::CloudPcExportJob, job), &[])?;
            }
            Ok::<_, StoreError>(())
        };
        store.write("export.expire", delete).await?;
        return Ok(Step::Worked);
    }
    match pending {
        Some(export) => export_one(app, export).await.map(|()| Step::Worked),
        None => Ok(Step::Idle { wake_at }),
    }
}

async fn export_one(app: &App, export: PendingExport) -> Result<(), StoreError> {
    let PendingExport { tenant_id, job_id, caller } = export;
    let key = DocumentKey::new(DocumentType::CloudPcExportJob, &job_id);
    let (of_job, started) = (key.clone(), json!({"exportJobStatus": "inProgress"}));
    let begin = move |tx: &mut Tx<'_>| {
        let job = tx.document(tenant_id, &of_job)?;
        if job.is_some() {
            tx.document_status_put(tenant_id, &of_job, started.as_object().expect("an object"))?;
        }
        Ok::<_, StoreError>(job)
    };
    let job = app.store.in_background().write("export.begin", begin).await?;
    let content = match &job {
        Some(job) => content(app, &caller, job).await,
        None => Err("the job was deleted".to_owned()),
    };
    if let Err(why) = &content {
        tracing::warn!(job = job_id, why, "an export job failed");
    }
    let (content, expires_at) = (content.ok(), app.clock.now() + EXPORT_KEPT_TIME);
    let status = if content.is_some() { "completed" } else { "failed" };
    let finish = move |tx: &mut Tx<'_>| {
        tx.export_finish(tenant_id, &job_id, content.as_deref(), expires_at)?;
        let status = json!({"exportJobStatus": status, "expiresAt": expires_at.0});
        if tx.document(tenant_id, &key)?.is_some() {
            tx.document_status_put(tenant_id, &key, status.as_object().expect("an object"))?;
        }
        Ok::<_, StoreError>(())
    };
    app.store.in_background().write("export.finish", finish).await
}

/// Returns the content of a job's file, or why there is none.
async fn content(app: &App, caller: &str, job: &Document) -> Result<Vec<u8>, String> {
    let caller = allowed(app, caller, job).await.map_err(|_| "the caller may no longer read the report".to_owned())?;
    let text = |name: &str| job.body.get(name).and_then(Value::as_str).unwrap_or_default();
    let (Some(table), Some(format)) = (table(text("reportName")), ExportFormat::named(text("format"))) else {
        return Err("the report or format no longer exists".into());
    };
    let export = reports::export(app, &caller, &job.body, table).await;
    let export = export.map_err(|problem: Problem| problem.to_string())?;
    Ok(match format {
        ExportFormat::Csv => csv(&export),
        ExportFormat::Json => json!(export.objects()).to_string().into_bytes(),
    })
}

fn csv(export: &ReportExport) -> Vec<u8> {
    let mut text = String::new();
    let mut line = |values: &mut dyn Iterator<Item = String>| {
        let quoted = values.map(|value| match value.contains(['"', ',', '\r', '\n']) {
            true => format!("\"{}\"", value.replace('"', "\"\"")),
            false => value,
        });
        text += &quoted.collect::<Vec<_>>().join(",");
        text += "\r\n";
    };
    line(&mut export.columns.iter().map(|name| (*name).to_owned()));
    for row in &export.rows {
        line(&mut row.iter().map(|value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }));
    }
    text.into_bytes()
}

/// Checks that the roles of a caller grant the report of a job without scope tags: a file shows the
/// whole tenant.
///
/// # Errors
/// 403 naming the missing resource action; the store failed.
pub(crate) fn check_roles(reader: &Reader<'_>, caller: &Caller, report: &str) -> Result<(), Problem> {
    let name = table(report).map(|table| table.name).unwrap_or_default();
    let requirement = match requirement_of(name) {
        Some(Requirement::Scoped(action)) => Some(Requirement::Unscoped(action.clone())),
        other => other.cloned(),
    };
    Ok(rbac::check(&EffectivePermissions::of(reader, caller)?, requirement.as_ref()).map(drop)?)
}

/// Returns the caller who requested a job, if that caller may still read its report.
async fn allowed(app: &App, caller: &str, job: &Document) -> Result<Caller, StatusCode> {
    let caller: Caller = serde_json::from_str(caller).map_err(|_| StatusCode::FORBIDDEN)?;
    let caller = app.identity.recheck(&caller).await.map_err(|error| match error {
        AuthenticationError::Rejected(_) => StatusCode::FORBIDDEN,
        AuthenticationError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
    })?;
    access::check(&READ, &caller, &Scope::Tenant, app.fidelity).map_err(|_| StatusCode::FORBIDDEN)?;
    let report = job.body.get("reportName").and_then(Value::as_str).unwrap_or_default().to_owned();
    let held = caller.clone();
    let checked = app.store.read(move |reader| check_roles(reader, &held, &report)).await;
    checked.map_err(|problem| match problem {
        Problem::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::FORBIDDEN,
    })?;
    Ok(caller)
}

/// Returns the routes of files.
pub fn routes() -> Router<App> {
    Router::new().route("/exports/{token}", get(download))
}

async fn download(State(app): State<App>, Path(token): Path<String>) -> Response {
    match file(&app, &token).await {
        Ok((name, file, format)) => {
            let disposition = format!("attachment; filename=\"{name}\"");
            let headers = [
                (header::CONTENT_TYPE, format.content_type().to_owned()),
                (header::CONTENT_DISPOSITION, disposition),
                (header::CACHE_CONTROL, "no-store".to_owned()),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
            ];
            (headers, file.content).into_response()
        }
        Err(status) => (status, refusal(status)).into_response(),
    }
}

/// Returns why a file cannot be downloaded.
fn refusal(status: StatusCode) -> &'static str {
    match status {
        StatusCode::SERVICE_UNAVAILABLE => "The service cannot read the file now. Try again later.",
        StatusCode::FORBIDDEN => "The URL is invalid, or its caller may no longer read the report.",
        _ => "The file has expired, or its export job was deleted. Request a new export job.",
    }
}

/// Returns the name, content and format of the file that a URL's token opens.
async fn file(app: &App, token: &str) -> Result<(String, ExportFile, ExportFormat), StatusCode> {
    let position = app.signer.verify(BINDING, token).map_err(|_| StatusCode::FORBIDDEN)?;
    let mut parts = position.splitn(3, ' ');
    let tenant = parts.next().and_then(|text| text.parse::<TenantId>().ok());
    let expires_at = parts.next().and_then(|text| text.parse().ok()).map(Timestamp);
    let (Some(tenant), Some(expires_at), Some(job)) = (tenant, expires_at, parts.next()) else {
        return Err(StatusCode::FORBIDDEN);
    };
    let (now, job) = (app.clock.now(), job.to_owned());
    let read = move |reader: &cloudpc_store::Reader<'_>| {
        let key = DocumentKey::new(DocumentType::CloudPcExportJob, &job);
        Ok::<_, StoreError>((reader.export_file(tenant, &job)?, reader.document(tenant, &key)?))
    };
    let (file, job) = app.store.read(read).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let file = file.filter(|file| file.expires_at == expires_at && now < file.expires_at);
    let (Some(file), Some(job)) = (file, job) else { return Err(StatusCode::NOT_FOUND) };
    allowed(app, &file.caller, &job).await?;
    let name = job.body.get("format").and_then(Value::as_str).unwrap_or_default();
    let format = ExportFormat::named(name).ok_or(StatusCode::NOT_FOUND)?;
    Ok((format!("{}.{}", job.key.id, name.to_ascii_lowercase()), file, format))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_csv_file_quotes_what_it_has_to() {
        let rows = vec![vec![json!("a,b"), json!("say \"hi\""), json!(1.5), Value::Null]];
        let export = ReportExport { columns: vec!["A", "B", "C", "D"], rows };
        let text = String::from_utf8(csv(&export)).unwrap();
        assert_eq!(text, "A,B,C,D\r\n\"a,b\",\"say \"\"hi\"\"\",1.5,\r\n");
    }

    #[test]
    fn formats_are_named_in_any_case() {
        assert_eq!(ExportFormat::named("CSV"), Some(ExportFormat::Csv));
        assert_eq!(ExportFormat::named("json"), Some(ExportFormat::Json));
        assert_eq!(ExportFormat::named("xlsx"), None);
    }
}
