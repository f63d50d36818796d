//! Scenarios: fleets described in TOML, which can be loaded into the store and the simulation, and
//! saved again.
//!
//! [`file`] defines the file format, [`resolve`] turns a file into domain values, and [`describe`]
//! turns the current fleet into a file. Loading reports every mistake before it changes anything;
//! then it changes the store in one transaction, and creates simulated machines or has the engine
//! provision real ones. After a crash in between, [`resume`] finishes the load.
//!
//! This module refuses to know how a machine is simulated and who may load a scenario.

mod cloud_pcs;
mod describe;
mod directory;
mod file;
mod machines;
mod passwords;
mod real;
mod resolve;

use cloudpc_drivers::MachineSpec;
use cloudpc_drivers::sim::{Artifact, Pace, ScriptedCondition};
use cloudpc_engine::FaultRule;
use cloudpc_model::{CloudPcId, Error, ErrorKind, TenantId};
use cloudpc_store::{Reader, StoreError, Tx};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

use crate::app::{App, Simulation};
use crate::identity::hash_password;
use crate::installation;
use machines::machines;
pub use passwords::GeneratedPassword;
pub(crate) use resolve::problem;
use resolve::{ResolvedScenario, resolve};

/// The setting that holds the pace and artifacts of the simulation.
const CONDITIONS: &str = "scenario.conditions";
/// The setting that holds the unfinished part of a load; empty if there is none.
const PENDING: &str = "scenario.pending";

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

/// A valid scenario that is not loaded yet.
pub struct Prepared {
    resolved: ResolvedScenario,
    /// Passwords that were generated for users of the scenario. No other copy exists.
    pub passwords: Vec<GeneratedPassword>,
}

/// Parses and validates a scenario without changing anything. The first tenant without an id
/// becomes `home`, if given, so that callers see what they load.
///
/// # Errors
/// Invalid, naming the line or entry.
pub async fn prepare(app: &App, home: Option<TenantId>, text: &str) -> Result<Prepared, Error> {
    let (text, now, rng) = (text.to_owned(), app.clock.now(), Arc::clone(&app.rng));
    // Off the async threads: large fleets and password hashes take a while.
    let read = move || {
        let mut scenario = parse(&text)?;
        let passwords = passwords::generate(&mut scenario, rng.as_ref())?;
        let resolved = resolve(scenario, home, now, &|password| hash_password(rng.as_ref(), password))?;
        Ok::<_, Error>(Prepared { resolved, passwords })
    };
    let prepared = tokio::task::spawn_blocking(read).await.map_err(Error::internal)??;
    if app.simulation.is_none() {
        real::check(&prepared.resolved)?;
    }
    Ok(prepared)
}

/// Replaces everything except settings, signing keys and applications with the scenario, then
/// creates its machines. Returns its tenants.
///
/// # Errors
/// Invalid: the scenario has an application with the id of the owner's application; nothing has
/// changed then. The store or the driver fails; [`resume`] continues the load.
pub async fn load(app: &App, Prepared { resolved, .. }: Prepared) -> Result<Vec<TenantId>, Error> {
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
    app.store
        .write("fleet.load", move |tx| {
            check_owner_app(tx, &resolved)?;
            replace(tx, &resolved)?;
            tx.setting_put(CONDITIONS, &conditions)?;
            Ok::<_, Error>(tx.setting_put(PENDING, &pending)?)
        })
        .await?;
    app.response_cache.forget();
    resume(app).await?;
    app.store.empty_log().await?;
    Ok(tenants)
}

/// Restores the settings of a simulation that was just opened, and finishes a load that a crash
/// interrupted.
///
/// # Errors
/// The store or the driver fails.
pub async fn resume(app: &App) -> Result<(), Error> {
    let (conditions, pending) =
        app.store.read(|reader| Ok::<_, StoreError>((conditions(reader)?, setting(reader, PENDING)?))).await?;
    let simulation = app.simulation.clone();
    if let Some(simulation) = &simulation {
        simulation.driver.configure(conditions.pace, conditions.artifacts);
    }
    let Some(pending) = pending else { return Ok(()) };
    match simulation {
        Some(simulation) => {
            let machines = app.store.read(machines).await?;
            let work = move || populate(&simulation, machines, pending);
            tokio::task::spawn_blocking(work).await.map_err(Error::internal)??;
        }
        None => app.engine.provision_missing().await?,
    }
    app.store.write("fleet.endLoad", |tx| tx.setting_put(PENDING, b"")).await.map_err(Error::from)
}

/// Deletes the fleet: everything except settings, signing keys, applications and the tenants that
/// have applications.
///
/// # Errors
/// The store or the simulation fails.
pub async fn clear(app: &App) -> Result<(), Error> {
    let simulation = simulation(app)?;
    app.store.write("fleet.clear", |tx| Ok::<_, Error>(empty(tx)?)).await?;
    app.response_cache.forget();
    simulation.faults.clear();
    simulation.driver.reset().map_err(Error::internal)?;
    app.store.empty_log().await.map_err(Error::from)
}

/// Returns the current fleet as a scenario that [`load`] accepts. Applications are left out,
/// because they belong to the installation; a running change is saved as if it had not started.
///
/// # Errors
/// The store fails.
pub async fn save(app: &App) -> Result<String, Error> {
    let simulation = simulation(app)?;
    let scripted_condition = move |id| simulation.driver.scripted_condition(id).unwrap_or_default();
    let rules = simulation.faults.list().into_iter().map(|(_, rule, _)| rule).collect();
    let scenario = app.store.read(move |reader| describe::describe(reader, rules, &scripted_condition)).await?;
    toml::to_string(&scenario).map_err(Error::internal)
}

fn simulation(app: &App) -> Result<Simulation, Error> {
    app.simulation.clone().ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            "notSimulated",
            "This installation runs real machines. Scenarios are available only with simulated machines.",
        )
    })
}

fn parse(text: &str) -> Result<file::Scenario, Error> {
    toml::from_str(text).map_err(|error| Error::invalid(format!("Invalid scenario: {}", error.to_string().trim_end())))
}

/// Replaces the content of the store with the scenario.
fn replace(tx: &mut Tx<'_>, resolved: &ResolvedScenario) -> Result<(), StoreError> {
    empty(tx)?;
    for tenant in &resolved.tenants {
        tx.tenant_put(tenant.id, &tenant.name)?;
        tenant.users.iter().try_for_each(|user| tx.user_put(user))?;
        tenant.apps.iter().try_for_each(|app| tx.app_put(app))?;
        tenant.service_plans.iter().try_for_each(|plan| tx.service_plan_put(tenant.id, plan))?;
        tenant.gallery_images.iter().try_for_each(|image| tx.gallery_image_put(tenant.id, image))?;
        directory::load(tx, &tenant.directory, resolved.at)?;
        tenant.cloud_pcs.iter().try_for_each(|cloud_pc| tx.cloud_pc_insert(cloud_pc))?;
        tenant.partners.iter().try_for_each(|partner| tx.partner_insert(partner))?;
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
mod tests {
    use super::*;
    use cloudpc_model::{CloudPcStatus, Product, SeededRng, Timestamp};
    use insta::assert_snapshot;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);
    const BASE: &str = r#"
        [[tenants]]
        name = "Contoso"
        domain = "contoso.test"
        users = [{ name = "ada" }, { name = "grace@contoso.test" }]
        service_plans = [
            { name = "small", vcpu_count = 2, ram_gib = 8, storage_gib = 128, product = "business" },
            { name = "large", vcpu_count = 4, ram_gib = 16, storage_gib = 256, product = "enterprise" },
        ]
        gallery_images = [{ id = "a_b_c", name = "Windows 11", size_gib = 64, os_version = "windows11" }]
    "#;

    fn resolved(text: &str) -> Result<ResolvedScenario, Error> {
        let mut scenario = parse(text)?;
        passwords::generate(&mut scenario, &SeededRng::new(1))?;
        resolve(scenario, None, NOW, &|password| Ok(format!("hash of {password}")))
    }

    fn refusal(rest: &str) -> String {
        resolved(&format!("{BASE}{rest}")).err().expect("the scenario is rejected").message
    }

    #[test]
    fn bundled_scenarios_are_valid() {
        for (name, count) in [("demo", 60), ("faulty", 12), ("fleet-1000", 1_000), ("qemu", 6)] {
            let path = format!("{}/../../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
            let resolved = resolved(&std::fs::read_to_string(path).unwrap()).map_err(|error| error.message);
            assert_eq!(resolved.map(|resolved| resolved.tenants[0].cloud_pcs.len()), Ok(count), "{name}");
        }
    }

    #[test]
    fn published_scenarios_hold_no_credentials() {
        for name in ["demo", "faulty", "fleet-1000", "qemu"] {
            let path = format!("{}/../../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
            let scenario = parse(&std::fs::read_to_string(path).unwrap()).unwrap();
            for tenant in scenario.tenants {
                assert!(
                    tenant.users.iter().all(|user| user.password.is_none() && user.password_hash.is_none()),
                    "{name}"
                );
                assert!(tenant.apps.iter().all(|app| app.secret.is_none()), "{name}");
            }
        }
    }

    #[test]
    fn generated_passwords_differ_and_come_with_full_user_names() {
        let text = BASE.replace("{ name = \"ada\" }", "{ name = \"ada\", generate_password = true }");
        let generate = |seed| passwords::generate(&mut parse(&text).unwrap(), &SeededRng::new(seed)).unwrap();
        let [first, second] = [generate(1), generate(2)];
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].user_principal_name, "ada@contoso.test");
        assert_ne!(first[0].password, second[0].password);
        assert_eq!(first[0].password.len(), "abcde-abcde-abcde-abcde".len());
    }

    #[test]
    fn a_fleet_assigns_plans_and_users_in_turn_with_stable_ids() {
        let text = format!(
            "{BASE}\nfleets = [{{ count = 10, name = 'desk-{{number}}', service_plans = ['small', 'small', 'large'] }}]"
        );
        let describe = |resolved: ResolvedScenario| {
            let mut cloud_pcs = resolved.tenants.into_iter().next().unwrap().cloud_pcs;
            assert!(cloud_pcs.is_sorted_by_key(|pc| pc.id), "inserting rows in the order of their ids is fastest");
            cloud_pcs.sort_by(|a, b| a.display_name.cmp(&b.display_name));
            let line = |pc: &cloudpc_model::CloudPc| {
                format!(
                    "{} {} {} {} {:?}\n",
                    pc.display_name, pc.user_principal_name, pc.managed_device_name, pc.id, pc.product
                )
            };
            cloud_pcs.iter().take(4).map(line).collect::<String>()
        };
        let first = describe(resolved(&text).unwrap());
        assert_eq!(first, describe(resolved(&text).unwrap()));
        assert_snapshot!(first, @"
        desk-01 ada@contoso.test CPC-ada-Y78MV 64a7461d-8253-4234-a0f1-61b3ed48dc50 Business
        desk-02 grace@contoso.test CPC-grace-PJHV9 dcf217a8-73a7-4275-9c2a-6acab3426b05 Business
        desk-03 ada@contoso.test CPC-ada-JR69T 49fe4d7d-0d6e-4052-aa97-74013147e04b Enterprise
        desk-04 grace@contoso.test CPC-grace-X3SUD 365cd291-75c3-41ea-9d2d-58ab64b4ebb6 Business
        ");
    }

    #[test]
    fn an_entry_defaults_to_its_plan_and_image() {
        let resolved = resolved(&format!(
            "{BASE}\ncloud_pcs = [{{ name = 'one', user = 'ada', service_plan = 'large', status = 'inGracePeriod', condition = {{ disk_full = true }} }}]"
        ));
        let tenant = resolved.unwrap().tenants.remove(0);
        let pc = &tenant.cloud_pcs[0];
        assert_eq!((pc.product, pc.status), (Product::Enterprise, CloudPcStatus::InGracePeriod));
        assert_eq!(pc.grace_ends_at.unwrap().since(NOW).as_secs(), 7 * 24 * 3600);
        assert!(tenant.scripted_conditions[&pc.id].disk_full);
    }

    #[test]
    fn a_tenant_without_an_id_gets_the_callers_id_and_keeps_its_machine_ids() {
        let text = format!("{BASE}\nfleets = [{{ count = 1, name = 'desk', service_plans = ['small'] }}]");
        let home = TenantId(uuid::Uuid::from_u128(7));
        let resolve =
            |home| resolve(parse(&text).unwrap(), home, NOW, &|_| Ok(String::new())).unwrap().tenants.remove(0);
        let (own, derived) = (resolve(Some(home)), resolve(None));
        assert_eq!((own.id, own.cloud_pcs[0].tenant_id), (home, home));
        assert_ne!(derived.id, home);
        assert_eq!(own.cloud_pcs[0].id, derived.cloud_pcs[0].id);
    }

    /// The parser limits nesting to 80 levels; without a limit, deep nesting would overflow the
    /// stack.
    #[test]
    fn deep_nesting_is_rejected_and_a_byte_order_mark_is_skipped() {
        parse("\u{feff}faults = []").unwrap();
        const LEVELS: usize = 100_000;
        for deep in [
            format!("x = {}{}", "[".repeat(LEVELS), "]".repeat(LEVELS)),
            format!("x = {}1{}", "{a=".repeat(LEVELS), "}".repeat(LEVELS)),
            format!("x{} = 1", ".a".repeat(LEVELS)),
            format!("[x{}]", ".a".repeat(LEVELS)),
            format!("[[x{}]]", ".a".repeat(LEVELS)),
            format!("x = {{ a{} = 1 }}", ".a".repeat(LEVELS)),
        ] {
            assert!(parse(&deep).is_err(), "{:.20}", deep);
        }
    }

    #[test]
    fn scenario_errors_say_what_to_do() {
        let cases = [
            "surprise = 1",
            "users = 3",
            "[[tenants]]\nname = 'Other'\nusers = [{ name = 'bob@other.test', password = 'x', generate_password = true }]",
            "groups = [{ name = 'Team', members = ['eve'] }]",
            "groups = [{ name = 'Team', members = ['ada', 'ADA'] }]",
            "groups = [{ name = 'Team', licenses = ['CPC'] }]",
            "[[tenants]]\nname = 'Other'\nsubscriptions = [{ name = 'CPC', service_plan = 'small', units = 1 }]",
            "cloud_pcs = [{ name = 'one', user = 'eve', service_plan = 'small' }]",
            "cloud_pcs = [{ name = 'one', user = 'ada', service_plan = 'tiny' }]",
            "cloud_pcs = [{ name = 'one', user = 'ada', service_plan = 'small', image = 'x' }]",
            "cloud_pcs = [{ name = '', user = 'ada', service_plan = 'small' }]",
            "cloud_pcs = [{ name = 'one', user = 'ada', service_plan = 'small', created_at = 2026-01-01 }]",
            "cloud_pcs = [{ name = 'one', user = 'ada', service_plan = 'small' }, { name = 'one', user = 'ada', service_plan = 'small' }]",
            "fleets = [{ count = 2, name = 'one', service_plans = ['small'] }]",
            "fleets = [{ count = 2, name = 'one-{number}', service_plans = [] }]",
            "fleets = [{ count = 1_000_001, name = 'one-{number}', service_plans = ['small'] }]",
            "[[tenants]]\nname = 'Other'\ngallery_images = [{ id = 'a', name = 'A', size_gib = 1, os_version = 'windows11', os_version_number = '10.0.19045' }]",
            "partners = [{ partner_id = 'p', enable_connection = true, agent = { url = 'https://a.test/b.msi', sha256 = '12' } }]",
            "[[faults]]\neffect = 'fail'",
            "[[faults]]\neffect = 'slowDown'\ncode = 'x'",
            "[[faults]]\neffect = 'hang'\ncloud_pcs = ['nobody']",
            "[[faults]]\neffect = 'hang'\nshare_percent = 101",
            "[[faults]]\neffect = 'hang'\nnth = 0",
            "[[faults]]\neffect = 'hang'\nkind = 'reboot'\nstep = 'runInstaller'",
            "[[tenants]]\nname = 'Contoso'",
            "[[tenants]]\nname = 'Other'\nusers = [{ name = 'bob' }]",
            "[[tenants]]\nname = 'Other'\nid = '00000000-0000-0000-0000-000000000000'",
            "[[tenants]]\nname = 'Other'\napps = [{ name = 'tool', id = '6b1f09a2-5c0e-4d5b-9a53-2f3c8e417d10' }]",
        ];
        let messages: String =
            cases.iter().map(|case| format!("{case}\n  {}\n", refusal(case).replace('\n', "\n  "))).collect();
        assert_snapshot!(messages, @"
        surprise = 1
          Invalid scenario: TOML parse error at line 11, column 5
             |
          11 |     surprise = 1
             |     ^^^^^^^^
          unknown field `surprise`, expected one of `id`, `name`, `domain`, `users`, `apps`, `service_plans`, `gallery_images`, `subscriptions`, `groups`, `cloud_pcs`, `fleets`, `partners`
        users = 3
          Invalid scenario: TOML parse error at line 11, column 5
             |
          11 |     users = 3
             |     ^^^^^
          duplicate key
        [[tenants]]
        name = 'Other'
        users = [{ name = 'bob@other.test', password = 'x', generate_password = true }]
          Invalid scenario: user 'bob@other.test' of tenant 'Other': more than one of password, password_hash and generate_password is set; keep one of them.
        groups = [{ name = 'Team', members = ['eve'] }]
          Invalid scenario: group 'Team': its tenant has no user 'eve@contoso.test'; add the user under [[tenants.users]].
        groups = [{ name = 'Team', members = ['ada', 'ADA'] }]
          Invalid scenario: group 'Team': member 'ADA': defined twice; use different names, and different ids if set.
        groups = [{ name = 'Team', licenses = ['CPC'] }]
          Invalid scenario: group 'Team': its tenant has no subscription 'CPC'; add it under [[tenants.subscriptions]].
        [[tenants]]
        name = 'Other'
        subscriptions = [{ name = 'CPC', service_plan = 'small', units = 1 }]
          Invalid scenario: subscription 'CPC': its tenant has no service plan 'small'; add the plan under [[tenants.service_plans]].
        cloud_pcs = [{ name = 'one', user = 'eve', service_plan = 'small' }]
          Invalid scenario: Cloud PC 'one': its tenant has no user 'eve@contoso.test'; add the user under [[tenants.users]].
        cloud_pcs = [{ name = 'one', user = 'ada', service_plan = 'tiny' }]
          Invalid scenario: Cloud PC 'one': its tenant has no service plan 'tiny'; add the plan under [[tenants.service_plans]].
        cloud_pcs = [{ name = 'one', user = 'ada', service_plan = 'small', image = 'x' }]
          Invalid scenario: Cloud PC 'one': its tenant has no gallery image 'x'; add the image under [[tenants.gallery_images]].
        cloud_pcs = [{ name = '', user = 'ada', service_plan = 'small' }]
          Invalid scenario: Cloud PC '': its name has 0 characters; expected 1 to 64.
        cloud_pcs = [{ name = 'one', user = 'ada', service_plan = 'small', created_at = 2026-01-01 }]
          Invalid scenario: Cloud PC 'one': 2026-01-01 is not a timestamp; expected a form such as 2026-01-31T08:00:00Z.
        cloud_pcs = [{ name = 'one', user = 'ada', service_plan = 'small' }, { name = 'one', user = 'ada', service_plan = 'small' }]
          Invalid scenario: Cloud PC 'one': defined twice; use different names, and different ids if set.
        fleets = [{ count = 2, name = 'one', service_plans = ['small'] }]
          Invalid scenario: fleet 'one': its Cloud PCs would all have one name; put {number} into the name.
        fleets = [{ count = 2, name = 'one-{number}', service_plans = [] }]
          Invalid scenario: fleet 'one-{number}': service_plans is empty; list at least one service plan of the tenant.
        fleets = [{ count = 1_000_001, name = 'one-{number}', service_plans = ['small'] }]
          Invalid scenario: 1000001 Cloud PCs; the maximum is 1000000.
        [[tenants]]
        name = 'Other'
        gallery_images = [{ id = 'a', name = 'A', size_gib = 1, os_version = 'windows11', os_version_number = '10.0.19045' }]
          Invalid scenario: gallery image 'a': '10.0.19045' is not a version of its os_version; remove it, or use a version such as 10.0.22631.3880.
        partners = [{ partner_id = 'p', enable_connection = true, agent = { url = 'https://a.test/b.msi', sha256 = '12' } }]
          Invalid scenario: agent of partner 'p': invalid sha256 '12'; expected 64 hex digits as printed by sha256sum FILE.
        [[faults]]
        effect = 'fail'
          Invalid scenario: fault 1: effect 'fail' requires code, and accepts only code and message.
        [[faults]]
        effect = 'slowDown'
        code = 'x'
          Invalid scenario: fault 1: effect 'slowDown' requires by_ms, and accepts neither code nor message.
        [[faults]]
        effect = 'hang'
        cloud_pcs = ['nobody']
          Invalid scenario: fault 1: the scenario has no Cloud PC with the name or id 'nobody'.
        [[faults]]
        effect = 'hang'
        share_percent = 101
          Invalid scenario: fault 1: share_percent is 101; the maximum is 100.
        [[faults]]
        effect = 'hang'
        nth = 0
          Invalid scenario: fault 1: nth is 0; the first match is 1.
        [[faults]]
        effect = 'hang'
        kind = 'reboot'
        step = 'runInstaller'
          Invalid scenario: fault 1: unknown step 'runInstaller'; available steps: checkPower, restart, waitForGuest.
        [[tenants]]
        name = 'Contoso'
          Invalid scenario: tenant 'Contoso': defined twice; use different names, and different ids if set.
        [[tenants]]
        name = 'Other'
        users = [{ name = 'bob' }]
          Invalid scenario: user 'bob' of tenant 'Other': 'bob' has no domain; use a full name such as ada@contoso.test, or set the tenant's domain.
        [[tenants]]
        name = 'Other'
        id = '00000000-0000-0000-0000-000000000000'
          Invalid scenario: tenant 'Other': the id 00000000-0000-0000-0000-000000000000 is reserved for the installation; remove it, or use another id.
        [[tenants]]
        name = 'Other'
        apps = [{ name = 'tool', id = '6b1f09a2-5c0e-4d5b-9a53-2f3c8e417d10' }]
          Invalid scenario: app 'tool' of tenant 'Other': the id 6b1f09a2-5c0e-4d5b-9a53-2f3c8e417d10 is reserved for the built-in client; remove it, or use another id.
        ");
        assert_snapshot!(resolved("").err().unwrap().message, @"Invalid scenario: it has no tenant; add a [[tenants]] entry with a name.");
    }
}
