//! Real machines of a scenario: the same file format, without the entries that only a simulation
//! supports.

use cloudpc_model::{Error, Timestamp};
use cloudpc_store::{StoreError, Tx};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::machines::Machine;
use super::resolve::ResolvedScenario;
use crate::app::App;

/// Number of machines that are created concurrently.
const CONCURRENCY_MAX: usize = 4;

/// Refuses a scenario with entries that only simulated machines support.
pub(super) fn check_real(resolved: &ResolvedScenario) -> Result<(), Error> {
    let has_conditions = resolved.tenants.iter().any(|tenant| !tenant.scripted_conditions.is_empty());
    if has_conditions || !resolved.faults.is_empty() || !resolved.artifacts.is_empty() {
        return Err(Error::invalid(
            "The scenario has artifacts, faults or scripted conditions, which only simulated machines support. Remove them, or start with --driver sim.",
        ));
    }
    Ok(())
}

/// Has the engine set the hostname of each guest once its agent answers.
pub(super) fn request_enrolment(
    tx: &mut Tx<'_>,
    resolved: &ResolvedScenario,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut cloud_pcs = resolved.tenants.iter().flat_map(|tenant| &tenant.cloud_pcs);
    cloud_pcs.try_for_each(|cloud_pc| tx.health_check_schedule_enrolment(cloud_pc.tenant_id, cloud_pc.id, now))
}

/// Creates missing machines and powers them on, without waiting for their guests.
///
/// # Errors
/// The driver fails.
pub(super) async fn create_machines(app: &App, machines: Vec<Machine>) -> Result<(), Error> {
    let create = async |Machine { name, spec }: Machine| {
        let created = async {
            app.driver.ensure_present(&spec).await?;
            app.driver.ensure_running(spec.id).await
        };
        created
            .await
            .map_err(|error| Error::invalid(format!("Cannot create the machine of Cloud PC '{name}': {error}.")))
    };
    stream::iter(machines).map(create).buffer_unordered(CONCURRENCY_MAX).try_collect().await
}
