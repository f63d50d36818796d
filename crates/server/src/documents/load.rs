//! Documents of a scenario: written by the rules for documents that a client creates.

use cloudpc_graph::{Edm, Method, Version};
use cloudpc_model::{Error, Object, TenantId, Timestamp};
use cloudpc_scenario::ScenarioDocument;
use cloudpc_store::Tx;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::assign::ASSIGNMENTS;
use super::{DocumentKind, change, contained, kind, leniency};
use crate::app::App;
use crate::pipeline::{Call, Problem};

/// Writes a document of a scenario with its assignments; see [`cloudpc_scenario::DocumentWriter`].
///
/// # Errors
/// Invalid: why a client's request would be refused. The store fails.
pub(crate) fn load(app: &App, tx: &mut Tx<'_>, tenant: TenantId, document: &ScenarioDocument) -> Result<(), Error> {
    let unknown = || Error::internal(format!("{} is not a configuration entity", document.kind.name()));
    let own = kind(document.kind).ok_or_else(unknown)?;
    create(app, tx, tenant, (own, own.at, &document.id), document.created_at, &document.body).map_err(invalid)?;
    let id = utf8_percent_encode(&document.id, NON_ALPHANUMERIC);
    let path = format!("{}/{id}/{ASSIGNMENTS}", own.at);
    for assignment in &document.assignments {
        let child = contained(own, ASSIGNMENTS).ok_or_else(unknown)?;
        let place = (child, path.as_str(), assignment.id.as_str());
        create(app, tx, tenant, place, assignment.created_at, &assignment.body).map_err(invalid)?;
    }
    Ok(())
}

/// Creates a document of a kind at the path of its collection, with an id if its kind leaves the
/// choice, as a client's request does.
fn create(
    app: &App,
    tx: &mut Tx<'_>,
    tenant: TenantId,
    (kind, path, id): (&'static DocumentKind, &str, &str),
    at: Timestamp,
    body: &Object,
) -> Result<(), Problem> {
    let edm = Edm::of(Version::Beta);
    let target = edm.resolve(Method::Post, path, "")?;
    let bytes = serde_json::to_vec(body).map_err(Error::internal)?;
    let body = cloudpc_graph::body::parse_leniently(edm, target.operation, &leniency(kind, edm), &bytes)?;
    let call = Call::of_scenario(app.clone(), tenant, target, body, at);
    change::insert(tx, &call, kind, id)?;
    Ok(())
}

fn invalid(problem: Problem) -> Error {
    match problem {
        Problem::Graph(error) => Error::invalid(error.message),
        Problem::Domain(error) => error,
        Problem::Store(error) => error.into(),
    }
}
