//! Scenarios: fleets described in TOML, which can be loaded into the store and the simulation, and
//! saved again.
//!
//! [`file`] defines the file format, [`resolve`] turns a file into domain values, and [`describe`]
//! turns the current fleet into a file. Loading reports every mistake before it changes anything;
//! then it changes the store in one transaction, and creates simulated machines or has the engine
//! provision real ones. After a crash in between, [`resume`](Fleet::resume) finishes the load.
//!
//! This crate refuses to know how a machine is simulated, who may load a scenario, and that there
//! is HTTP.

mod cloud_pcs;
mod describe;
mod directory;
mod documents;
mod file;
mod machines;
mod passwords;
mod real;
mod resolve;

use cloudpc_drivers::MachineSpec;
use cloudpc_drivers::sim::{Artifact, Pace, ScriptedCondition, SimClock, SimDriver};
use cloudpc_engine::{Engine, FaultRule, Faults, entitle};
use cloudpc_identity::{hash_password, installation};
use cloudpc_model::{Clock, CloudPc, CloudPcId, Error, ErrorKind, Rng, TenantId, Timestamp};
use cloudpc_store::{FrontlineActivation, Reader, Store, StoreError, Tx};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

pub use documents::{DocumentWriter, ScenarioAssignment, ScenarioDocument};
use machines::machines;
pub use passwords::GeneratedPassword;
pub use resolve::fault_rule_problem;
use resolve::{ResolvedScenario, resolve};

/// The setting that holds the pace and artifacts of the simulation.
const CONDITIONS: &str = "scenario.conditions";
/// The setting that holds the unfinished part of a load; empty if there is none.
const PENDING: &str = "scenario.pending";
/// Number of rows read at a time.
const PAGE_ROWS: usize = 1_000;

/// Settings of a whole simulation.
#[derive(Default, Serialize, Deserialize)]
struct Conditions {
    pace: Pace,
    artifacts: Vec<Artifact>,
}

/// The part of a load that is committed to the store but not yet applied to the simulation.
/// Machines are derived from the Cloud PCs in the store; the text of the scenario is not stored,
/// because it may hold secrets.
#[derive(Default, Serialize, Deserialize)]
struct Pending {
    #[serde(alias = "ailments")]
    scripted_conditions: Vec<(CloudPcId, ScriptedCondition)>,
    faults: Vec<FaultRule>,
}

/// The controls of a simulated fleet.
#[derive(Clone)]
pub struct Simulation {
    /// Its clock.
    pub clock: SimClock,
    /// Its machines.
    pub driver: SimDriver,
    /// Its scripted faults.
    pub faults: Arc<Faults>,
}

/// The fleet of an installation, as scenarios replace and describe it.
pub struct Fleet {
    /// The database.
    pub store: Store,
    /// Provisions real machines.
    pub engine: Engine,
    /// The clock of actions.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness.
    pub rng: Arc<dyn Rng>,
    /// Controls of a simulated fleet; none with real machines.
    pub simulation: Option<Simulation>,
    /// Writes policies and settings.
    pub documents: DocumentWriter,
    /// Called after each commit that replaces the fleet, so that nothing cached outlives it.
    pub on_replaced: Box<dyn Fn() + Send + Sync>,
}

/// A valid scenario that is not loaded yet.
pub struct Prepared {
    resolved: ResolvedScenario,
    /// Passwords that were generated for users of the scenario. No other copy exists.
    pub passwords: Vec<GeneratedPassword>,
}

impl Fleet {
    /// Parses and validates a scenario without changing anything. The first tenant without an id
    /// becomes `home`, if given, so that callers see what they load.
    ///
    /// # Errors
    /// Invalid, naming the line or entry.
    pub async fn prepare(&self, home: Option<TenantId>, text: &str) -> Result<Prepared, Error> {
        let (text, now, rng) = (text.to_owned(), self.clock.now(), Arc::clone(&self.rng));
        // Off the async threads: large fleets and password hashes take a while.
        let read = move || {
            let mut scenario = parse(&text)?;
            let passwords = passwords::generate(&mut scenario, rng.as_ref())?;
            let resolved = resolve(scenario, home, now, &|password| hash_password(rng.as_ref(), password))?;
            Ok::<_, Error>(Prepared { resolved, passwords })
        };
        let prepared = tokio::task::spawn_blocking(read).await.map_err(Error::internal)??;
        if self.simulation.is_none() {
            real::check(&prepared.resolved)?;
        }
        Ok(prepared)
    }

    /// Replaces everything except settings, signing keys and applications with the scenario, then
    /// creates its machines. Returns its tenants.
    ///
    /// # Errors
    /// Invalid: the scenario has an application with the id of the owner's application, or a policy
    /// or setting that a client could not create; nothing has changed then. The store or the driver
    /// fails; [`resume`](Self::resume) continues the load.
    pub async fn load(&self, Prepared { resolved, .. }: Prepared) -> Result<Vec<TenantId>, Error> {
        let tenants = resolved.tenants.iter().map(|tenant| tenant.id).collect();
        let conditions = Conditions { pace: resolved.pace.clone(), artifacts: resolved.artifacts.clone() };
        let conditions = serde_json::to_vec(&conditions).map_err(Error::internal)?;
        let scripted_conditions = resolved.tenants.iter().flat_map(|tenant| &tenant.scripted_conditions);
        let pending = Pending {
            scripted_conditions: scripted_conditions
                .map(|(id, scripted_condition)| (*id, scripted_condition.clone()))
                .collect(),
            faults: resolved.faults.clone(),
        };
        let pending = serde_json::to_vec(&pending).map_err(Error::internal)?;
        let documents = Arc::clone(&self.documents);
        self.store
            .write("fleet.load", move |tx| {
                check_owner_app(tx, &resolved)?;
                replace(tx, &resolved, &documents)?;
                clear_queues(tx)?;
                tx.setting_put(CONDITIONS, &conditions)?;
                Ok::<_, Error>(tx.setting_put(PENDING, &pending)?)
            })
            .await?;
        (self.on_replaced)();
        self.resume().await?;
        self.store.empty_log().await?;
        Ok(tenants)
    }

    /// Restores the settings of a simulation that was just opened, and finishes a load that a crash
    /// interrupted.
    ///
    /// # Errors
    /// The store or the driver fails.
    pub async fn resume(&self) -> Result<(), Error> {
        let (conditions, pending) =
            self.store.read(|reader| Ok::<_, StoreError>((conditions(reader)?, setting(reader, PENDING)?))).await?;
        let simulation = self.simulation.clone();
        if let Some(simulation) = &simulation {
            simulation.driver.configure(conditions.pace, conditions.artifacts);
        }
        let Some(pending) = pending else { return Ok(()) };
        match simulation {
            Some(simulation) => {
                let machines = self.store.read(machines).await?;
                let work = move || populate(&simulation, machines, pending);
                tokio::task::spawn_blocking(work).await.map_err(Error::internal)??;
            }
            None => self.engine.provision_missing().await?,
        }
        let now = self.clock.now();
        let end = move |tx: &mut Tx<'_>| {
            queue_members(tx, now)?;
            tx.setting_put(PENDING, b"")
        };
        self.store.write("fleet.endLoad", end).await.map_err(Error::from)
    }

    /// Deletes the fleet: everything except settings, signing keys, applications and the tenants
    /// that have applications.
    ///
    /// # Errors
    /// The store or the simulation fails.
    pub async fn clear(&self) -> Result<(), Error> {
        let simulation = self.simulated()?;
        self.store.write("fleet.clear", |tx| Ok::<_, Error>(empty(tx)?)).await?;
        (self.on_replaced)();
        simulation.faults.clear();
        simulation.driver.reset().map_err(Error::internal)?;
        self.store.empty_log().await.map_err(Error::from)
    }

    /// Returns the current fleet as a scenario that [`load`](Self::load) accepts. Applications are
    /// left out, because they belong to the installation; a running change is saved as if it had
    /// not started.
    ///
    /// # Errors
    /// The store fails.
    pub async fn save(&self) -> Result<String, Error> {
        let simulation = self.simulated()?;
        let scripted_condition = move |id| simulation.driver.scripted_condition(id).unwrap_or_default();
        let rules = simulation.faults.list().into_iter().map(|(_, rule, _)| rule).collect();
        let scenario = self.store.read(move |reader| describe::describe(reader, rules, &scripted_condition)).await?;
        toml::to_string(&scenario).map_err(Error::internal)
    }

    fn simulated(&self) -> Result<Simulation, Error> {
        self.simulation.clone().ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                "notSimulated",
                "This installation runs real machines. Scenarios are available only with simulated machines.",
            )
        })
    }
}

fn parse(text: &str) -> Result<file::Scenario, Error> {
    toml::from_str(text).map_err(|error| Error::invalid(format!("Invalid scenario: {}", error.to_string().trim_end())))
}

/// Replaces the content of the store with the scenario.
fn replace(tx: &mut Tx<'_>, resolved: &ResolvedScenario, write: &DocumentWriter) -> Result<(), Error> {
    empty(tx)?;
    for tenant in &resolved.tenants {
        tx.tenant_put(tenant.id, &tenant.name)?;
        tenant.users.iter().try_for_each(|user| tx.user_put(user))?;
        tenant.apps.iter().try_for_each(|app| tx.app_put(app))?;
        tenant.service_plans.iter().try_for_each(|plan| tx.service_plan_put(tenant.id, plan))?;
        tenant.gallery_images.iter().try_for_each(|image| tx.gallery_image_put(tenant.id, image))?;
        directory::load(tx, &tenant.directory, resolved.at)?;
        for document in &tenant.documents {
            write(tx, tenant.id, document).map_err(|error| match error.kind {
                ErrorKind::Invalid => resolve::invalid(&document.place(), error.message.trim_end_matches('.')),
                _ => error,
            })?;
        }
        tenant.cloud_pcs.iter().try_for_each(|cloud_pc| tx.cloud_pc_insert(cloud_pc))?;
        tenant.entitlements.iter().try_for_each(|entitlement| tx.entitlement_insert(entitlement))?;
        entitle(tx, tenant.id, &tenant.cloud_pcs_to_entitle())?;
        activate_shared(tx, &tenant.cloud_pcs, resolved.at)?;
        tenant.partners.iter().try_for_each(|partner| tx.partner_insert(partner))?;
    }
    Ok(())
}

/// Has the shared Cloud PCs use their licences.
fn activate_shared(tx: &mut Tx<'_>, cloud_pcs: &[CloudPc], now: Timestamp) -> Result<(), StoreError> {
    for cloud_pc in cloud_pcs.iter().filter(|cloud_pc| cloud_pc.is_shared()) {
        tx.frontline_activation_put(&FrontlineActivation {
            tenant_id: cloud_pc.tenant_id,
            cloud_pc_id: cloud_pc.id,
            service_plan_id: cloud_pc.service_plan_id,
            since: now,
        })?;
    }
    Ok(())
}

/// Takes all users and assignments out of the reconciler's queues until the load ends: the
/// simulation is emptied after the commit, and a machine that the reconciler made before would be
/// lost.
fn clear_queues(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    tx.shared_assignment_clear()?;
    loop {
        let queued = tx.provisioning_queue_next(PAGE_ROWS)?;
        if queued.is_empty() {
            return Ok(());
        }
        for user in queued {
            tx.provisioning_queue_remove(user.tenant_id, user.user_id)?;
        }
    }
}

/// Queues the members of all groups, and the assignments of policies, to which policies may give
/// Cloud PCs.
fn queue_members(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), StoreError> {
    for (tenant, _) in tx.tenant_list()? {
        tx.shared_assignment_put_all(tenant)?;
        let mut after = None;
        loop {
            let page = tx.group_list(tenant, after, PAGE_ROWS)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            page.iter().try_for_each(|group| tx.provisioning_queue_put_members(tenant, group.id, now))?;
        }
    }
    Ok(())
}

/// Deletes everything except settings, applications and the tenants that have applications.
fn empty(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let mut kept = Vec::new();
    for (id, name) in tx.tenant_list()? {
        let apps = tx.app_list(id)?;
        if !apps.is_empty() {
            kept.push((id, name, apps));
        }
    }
    tx.reset()?;
    for (id, name, apps) in &kept {
        tx.tenant_put(*id, name)?;
        apps.iter().try_for_each(|app| tx.app_put(app))?;
    }
    Ok(())
}

/// Refuses a scenario that would replace the application that owns the installation.
fn check_owner_app(tx: &Tx<'_>, resolved: &ResolvedScenario) -> Result<(), Error> {
    let owner = installation::owner(tx)?;
    let mut apps = resolved.tenants.iter().flat_map(|tenant| &tenant.apps);
    match apps.find(|app| Some((app.tenant_id, app.id)) == owner) {
        Some(app) => Err(resolve::invalid(
            &format!("application '{}'", app.name),
            "its id belongs to the owner's application in admin.json; use another id",
        )),
        None => Ok(()),
    }
}

/// Replaces the content of the simulation: its machines, their scripted conditions and the faults.
fn populate(simulation: &Simulation, machines: Vec<MachineSpec>, pending: Pending) -> Result<(), Error> {
    simulation.faults.clear();
    simulation.driver.reset().map_err(Error::internal)?;
    let mut scripted_conditions: HashMap<_, _> = pending.scripted_conditions.into_iter().collect();
    for spec in machines {
        let scripted_condition = scripted_conditions.remove(&spec.id).unwrap_or_default();
        simulation.driver.seed(&spec, scripted_condition).map_err(Error::internal)?;
    }
    for rule in pending.faults {
        simulation.faults.add(rule);
    }
    Ok(())
}

fn conditions(reader: &Reader<'_>) -> Result<Conditions, StoreError> {
    Ok(setting(reader, CONDITIONS)?.unwrap_or_default())
}

/// Reads a setting as JSON; none if the setting is missing or empty.
fn setting<T: DeserializeOwned>(reader: &Reader<'_>, name: &str) -> Result<Option<T>, StoreError> {
    let stored = reader.setting(name)?.filter(|json| !json.is_empty());
    let read = stored.map(|json| serde_json::from_slice(&json)).transpose();
    read.map_err(|error| StoreError::Corrupt { table: "settings", what: format!("{name}: {error}") })
}

#[cfg(test)]
mod tests;
