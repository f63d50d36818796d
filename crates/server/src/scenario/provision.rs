//! A fleet of real machines from a scenario: the same text, without what only a simulation has.

use cloudpc_model::Error;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::resolve::{World, machine_spec};
use super::{UNFINISHED, Unfinished, read, replace, setting};
use crate::app::App;

/// Machines that are made at the same time.
const AT_ONCE: usize = 4;

/// Puts what the scenario describes into a new store, then makes its machines and powers them on. It does not wait for their guests, which the
/// engine tells their names when they answer.
///
/// # Errors
/// Invalid, naming the line or entry; nothing has changed then. The driver fails; [`resume_provision`] goes on with it.
pub async fn provision(app: &App, text: &str) -> Result<(), Error> {
    let now = app.clock.now();
    let world = read(text.to_owned(), None, now, app.rng.clone()).await?;
    must_be_real(&world)?;
    let unfinished = Unfinished { home: None, text: text.to_owned() };
    let unfinished = serde_json::to_vec(&unfinished).map_err(Error::internal)?;
    let world = app
        .store
        .write(move |tx| {
            replace(tx, &world)?;
            for cloud_pc in world.tenants.iter().flat_map(|tenant| &tenant.cloud_pcs) {
                tx.health_check_ask_to_enrol(cloud_pc.tenant_id, cloud_pc.id, now)?;
            }
            tx.setting_put(UNFINISHED, &unfinished)?;
            Ok::<_, Error>(world)
        })
        .await?;
    make_machines(app, &world).await?;
    app.store.write(|tx| tx.setting_put(UNFINISHED, b"")).await.map_err(Error::from)
}

/// Finishes a provisioning that was cut short.
///
/// # Errors
/// Those of [`provision`].
pub async fn resume_provision(app: &App) -> Result<(), Error> {
    match app.store.read(|reader| setting::<Unfinished>(reader, UNFINISHED)).await? {
        Some(Unfinished { text, .. }) => provision(app, &text).await,
        None => Ok(()),
    }
}

fn must_be_real(world: &World) -> Result<(), Error> {
    let ailing = world.tenants.iter().any(|tenant| !tenant.ailments.is_empty());
    if ailing || !world.faults.is_empty() || !world.artifacts.is_empty() {
        return Err(Error::invalid(
            "The scenario has artifacts, faults or ailments, which are for simulated machines; these are real.",
        ));
    }
    Ok(())
}

async fn make_machines(app: &App, world: &World) -> Result<(), Error> {
    let specs = world.tenants.iter().flat_map(|tenant| {
        tenant.cloud_pcs.iter().map(|cloud_pc| {
            let plan = tenant.service_plans.iter().find(|plan| plan.id == cloud_pc.service_plan_id);
            let spec = machine_spec(cloud_pc, plan.expect("a resolved Cloud PC has a service plan of its tenant"));
            (cloud_pc.display_name.clone(), spec)
        })
    });
    let make = async |(name, spec): (String, cloudpc_drivers::MachineSpec)| {
        let made = async {
            app.driver.ensure_present(&spec).await?;
            app.driver.ensure_running(spec.id).await
        };
        made.await.map_err(|error| Error::invalid(format!("The machine of Cloud PC '{name}' cannot be made: {error}.")))
    };
    stream::iter(specs).map(make).buffer_unordered(AT_ONCE).try_collect().await
}
