//! Real machines of a scenario: the same text, without what only a simulation has.

use cloudpc_model::{Error, Timestamp};
use cloudpc_store::{StoreError, Tx};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::machines::Machine;
use super::resolve::ResolvedScenario;
use crate::app::App;

/// Machines that are made at the same time.
const AT_ONCE: usize = 4;

/// Refuses what only simulated machines have.
pub(super) fn must_be_real(world: &ResolvedScenario) -> Result<(), Error> {
    let ailing = world.tenants.iter().any(|tenant| !tenant.ailments.is_empty());
    if ailing || !world.faults.is_empty() || !world.artifacts.is_empty() {
        return Err(Error::invalid(
            "The scenario has artifacts, faults or ailments, which are for simulated machines; these are real.",
        ));
    }
    Ok(())
}

/// Has the engine tell each guest its name when it answers.
pub(super) fn ask_to_enrol(tx: &mut Tx<'_>, world: &ResolvedScenario, now: Timestamp) -> Result<(), StoreError> {
    let mut cloud_pcs = world.tenants.iter().flat_map(|tenant| &tenant.cloud_pcs);
    cloud_pcs.try_for_each(|cloud_pc| tx.health_check_schedule_enrolment(cloud_pc.tenant_id, cloud_pc.id, now))
}

/// Makes machines that are missing and powers them on. It does not wait for their guests.
///
/// # Errors
/// The driver fails.
pub(super) async fn make_machines(app: &App, machines: Vec<Machine>) -> Result<(), Error> {
    let make = async |Machine { name, spec }: Machine| {
        let made = async {
            app.driver.ensure_present(&spec).await?;
            app.driver.ensure_running(spec.id).await
        };
        made.await.map_err(|error| Error::invalid(format!("The machine of Cloud PC '{name}' cannot be made: {error}.")))
    };
    stream::iter(machines).map(make).buffer_unordered(AT_ONCE).try_collect().await
}
