//! Scenarios: a fleet described in TOML, loaded into the store and the simulation in one go, and
//! saved again.
//!
//! [`file`] says what may be written, [`resolve`] what it comes to, [`describe`] how the present
//! fleet is written down. Loading finds every mistake before it changes anything; then the store
//! changes in one transaction, and the machines follow. A crash in between is made good by
//! [`resume`].
//!
//! This module refuses to know how a machine is simulated and who may load a scenario.

mod cloud_pcs;
mod describe;
mod file;
mod machines;
mod passwords;
mod provision;
mod resolve;

use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use cloudpc_drivers::sim::{Artifact, Pace, ScriptedCondition};
use cloudpc_engine::FaultRule;
use cloudpc_model::{CloudPcId, Error, ErrorKind, Rng, TenantId};
use cloudpc_store::{Reader, StoreError, Tx};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

use crate::app::{App, Simulation};
use crate::installation;
use machines::{Machine, machines};
pub use passwords::GeneratedPassword;
pub(crate) use resolve::problem;
use resolve::{ResolvedScenario, resolve};

/// The setting that holds what the simulation was told besides its machines.
const CONDITIONS: &str = "scenario.conditions";
/// The setting that holds what a load still has to do; empty if there is none.
const PENDING: &str = "scenario.pending";

/// What holds for a whole simulation.
#[derive(Default, Serialize, Deserialize)]
struct Conditions {
    pace: Pace,
    artifacts: Vec<Artifact>,
}

/// What a load that has reached the store has not told the simulation yet. The machines follow from
/// the Cloud PCs in the store; the text of the scenario is not kept, for it may hold secrets.
#[derive(Default, Serialize, Deserialize)]
struct Pending {
    #[serde(alias = "ailments")]
    scripted_conditions: Vec<(CloudPcId, ScriptedCondition)>,
    faults: Vec<FaultRule>,
}

/// A scenario that was found to be right and is not loaded yet.
pub struct Prepared {
    world: ResolvedScenario,
    /// Passwords that were generated for its users. They are kept nowhere else.
    pub passwords: Vec<GeneratedPassword>,
}

/// Reads a scenario, and changes nothing yet. The first tenant that names no id becomes `home`, if
/// that is given, so that a caller sees what they load.
///
/// # Errors
/// Invalid, naming the line or entry.
pub async fn prepare(app: &App, home: Option<TenantId>, text: &str) -> Result<Prepared, Error> {
    let (text, now, rng) = (text.to_owned(), app.clock.now(), Arc::clone(&app.rng));
    // Off the async threads: a large fleet and each password take a while.
    let read = move || {
        let mut scenario = parse(&text)?;
        let passwords = passwords::generate(&mut scenario, rng.as_ref())?;
        let world = resolve(scenario, home, now, &|password| hash_password(rng.as_ref(), password))?;
        Ok::<_, Error>(Prepared { world, passwords })
    };
    let prepared = tokio::task::spawn_blocking(read).await.map_err(Error::internal)??;
    if app.simulation.is_none() {
        provision::must_be_real(&prepared.world)?;
    }
    Ok(prepared)
}

/// Replaces everything but settings, tenants' signing keys and applications with what the scenario
/// describes; then makes its machines. Returns its tenants.
///
/// # Errors
/// Invalid: it has an application with the id of the owner's; nothing has changed then. The store
/// or the machines' host fails; [`resume`] goes on with it.
pub async fn load(app: &App, Prepared { world, .. }: Prepared) -> Result<Vec<TenantId>, Error> {
    let tenants = world.tenants.iter().map(|tenant| tenant.id).collect();
    let conditions = Conditions { pace: world.pace.clone(), artifacts: world.artifacts.clone() };
    let conditions = serde_json::to_vec(&conditions).map_err(Error::internal)?;
    let scripted_conditions = world.tenants.iter().flat_map(|tenant| &tenant.scripted_conditions);
    let pending = Pending {
        scripted_conditions: scripted_conditions
            .map(|(id, scripted_condition)| (*id, scripted_condition.clone()))
            .collect(),
        faults: world.faults.clone(),
    };
    let pending = serde_json::to_vec(&pending).map_err(Error::internal)?;
    let enrol_at = app.simulation.is_none().then(|| app.clock.now());
    app.store
        .write("fleet.load", move |tx| {
            spare_the_owner(tx, &world)?;
            replace(tx, &world)?;
            if let Some(now) = enrol_at {
                provision::ask_to_enrol(tx, &world, now)?;
            }
            tx.setting_put(CONDITIONS, &conditions)?;
            Ok::<_, Error>(tx.setting_put(PENDING, &pending)?)
        })
        .await?;
    app.response_cache.forget();
    resume(app).await?;
    app.store.empty_log().await?;
    Ok(tenants)
}

/// Tells a simulation that was just opened what it was told before the process ended, and finishes
/// a load that a crash cut short.
///
/// # Errors
/// The store or the machines' host fails.
pub async fn resume(app: &App) -> Result<(), Error> {
    let (conditions, pending) =
        app.store.read(|reader| Ok::<_, StoreError>((conditions(reader)?, setting(reader, PENDING)?))).await?;
    let simulation = app.simulation.clone();
    if let Some(simulation) = &simulation {
        simulation.driver.configure(conditions.pace, conditions.artifacts);
    }
    let Some(pending) = pending else { return Ok(()) };
    let machines = app.store.read(machines).await?;
    match simulation {
        Some(simulation) => {
            let work = move || populate(&simulation, machines, pending);
            tokio::task::spawn_blocking(work).await.map_err(Error::internal)??;
        }
        None => provision::make_machines(app, machines).await?,
    }
    app.store.write("fleet.endLoad", |tx| tx.setting_put(PENDING, b"")).await.map_err(Error::from)
}

/// Empties the fleet: everything goes but settings, tenants' signing keys, applications and the
/// tenants that have any.
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

/// The present fleet as a scenario that [`load`] takes. It has no applications, for they belong to
/// the installation; a change under way is written down as if it had not begun.
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
            "The machines of this installation are real; scenarios are for simulated ones.",
        )
    })
}

fn parse(text: &str) -> Result<file::Scenario, Error> {
    toml::from_str(text)
        .map_err(|error| Error::invalid(format!("The scenario cannot be read: {}", error.to_string().trim_end())))
}

/// The Argon2 hash of a password, in PHC form.
fn hash_password(rng: &dyn Rng, password: &str) -> Result<String, Error> {
    let salt = rng.uuid();
    let hash: PasswordHash =
        Argon2::default().hash_password_with_salt(password.as_bytes(), salt.as_bytes()).map_err(Error::internal)?;
    Ok(hash.to_string())
}

/// Puts the world into the store in place of what is there.
fn replace(tx: &mut Tx<'_>, world: &ResolvedScenario) -> Result<(), StoreError> {
    empty(tx)?;
    for tenant in &world.tenants {
        tx.tenant_put(tenant.id, &tenant.name)?;
        tenant.users.iter().try_for_each(|user| tx.user_put(user))?;
        tenant.apps.iter().try_for_each(|app| tx.app_put(app))?;
        tenant.service_plans.iter().try_for_each(|plan| tx.service_plan_put(tenant.id, plan))?;
        tenant.gallery_images.iter().try_for_each(|image| tx.gallery_image_put(tenant.id, image))?;
        tenant.cloud_pcs.iter().try_for_each(|cloud_pc| tx.cloud_pc_insert(cloud_pc))?;
        tenant.partners.iter().try_for_each(|partner| tx.partner_insert(partner))?;
    }
    Ok(())
}

/// Drops everything but the settings, the applications, and the tenants that have any.
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
fn spare_the_owner(tx: &Tx<'_>, world: &ResolvedScenario) -> Result<(), Error> {
    let owner = installation::owner(tx)?;
    let mut apps = world.tenants.iter().flat_map(|tenant| &tenant.apps);
    match apps.find(|app| Some((app.tenant_id, app.id)) == owner) {
        Some(app) => Err(resolve::wrong(
            &format!("application '{}'", app.name),
            "its id is that of the owner's application, which admin.json names; give it another one",
        )),
        None => Ok(()),
    }
}

/// Makes the simulation match: its machines, their scripted_conditions and its scripted faults.
fn populate(simulation: &Simulation, machines: Vec<Machine>, pending: Pending) -> Result<(), Error> {
    simulation.faults.clear();
    simulation.driver.reset().map_err(Error::internal)?;
    let mut scripted_conditions: HashMap<_, _> = pending.scripted_conditions.into_iter().collect();
    for Machine { spec, .. } in machines {
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

/// What a setting holds as JSON; an empty one holds nothing.
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

    fn world(text: &str) -> Result<ResolvedScenario, Error> {
        let mut scenario = parse(text)?;
        passwords::generate(&mut scenario, &SeededRng::new(1))?;
        resolve(scenario, None, NOW, &|password| Ok(format!("hash of {password}")))
    }

    fn refusal(rest: &str) -> String {
        world(&format!("{BASE}{rest}")).err().expect("it is refused").message
    }

    #[test]
    fn the_scenarios_that_come_with_the_program_are_right() {
        for (name, count) in [("demo", 60), ("faulty", 12), ("fleet-1000", 1_000), ("qemu", 6)] {
            let path = format!("{}/../../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
            let world = world(&std::fs::read_to_string(path).unwrap()).map_err(|error| error.message);
            assert_eq!(world.map(|world| world.tenants[0].cloud_pcs.len()), Ok(count), "{name}");
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
    fn generated_passwords_differ_and_are_told_with_whole_names() {
        let text = BASE.replace("{ name = \"ada\" }", "{ name = \"ada\", generate_password = true }");
        let generate = |seed| passwords::generate(&mut parse(&text).unwrap(), &SeededRng::new(seed)).unwrap();
        let [first, second] = [generate(1), generate(2)];
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].user_principal_name, "ada@contoso.test");
        assert_ne!(first[0].password, second[0].password);
        assert_eq!(first[0].password.len(), "abcde-abcde-abcde-abcde".len());
    }

    #[test]
    fn a_fleet_deals_sizes_and_owners_in_turn_and_always_gets_the_same_ids() {
        let text = format!(
            "{BASE}\nfleets = [{{ count = 10, name = 'desk-{{number}}', service_plans = ['small', 'small', 'large'] }}]"
        );
        let describe = |world: ResolvedScenario| {
            let mut cloud_pcs = world.tenants.into_iter().next().unwrap().cloud_pcs;
            assert!(cloud_pcs.is_sorted_by_key(|pc| pc.id), "the store takes them fastest in the order of their ids");
            cloud_pcs.sort_by(|a, b| a.display_name.cmp(&b.display_name));
            let line = |pc: &cloudpc_model::CloudPc| {
                format!(
                    "{} {} {} {} {:?}\n",
                    pc.display_name, pc.user_principal_name, pc.managed_device_name, pc.id, pc.product
                )
            };
            cloud_pcs.iter().take(4).map(line).collect::<String>()
        };
        let first = describe(world(&text).unwrap());
        assert_eq!(first, describe(world(&text).unwrap()));
        assert_snapshot!(first, @"
        desk-01 ada@contoso.test CPC-ada-Y78MV 64a7461d-8253-4234-a0f1-61b3ed48dc50 Business
        desk-02 grace@contoso.test CPC-grace-PJHV9 dcf217a8-73a7-4275-9c2a-6acab3426b05 Business
        desk-03 ada@contoso.test CPC-ada-JR69T 49fe4d7d-0d6e-4052-aa97-74013147e04b Enterprise
        desk-04 grace@contoso.test CPC-grace-X3SUD 365cd291-75c3-41ea-9d2d-58ab64b4ebb6 Business
        ");
    }

    #[test]
    fn an_entry_gets_what_it_says_and_else_what_its_plan_and_image_say() {
        let world = world(&format!(
            "{BASE}\ncloud_pcs = [{{ name = 'one', user = 'ada', service_plan = 'large', status = 'inGracePeriod', condition = {{ disk_full = true }} }}]"
        ));
        let tenant = world.unwrap().tenants.remove(0);
        let pc = &tenant.cloud_pcs[0];
        assert_eq!((pc.product, pc.status), (Product::Enterprise, CloudPcStatus::InGracePeriod));
        assert_eq!(pc.grace_ends_at.unwrap().since(NOW).as_secs(), 7 * 24 * 3600);
        assert!(tenant.scripted_conditions[&pc.id].disk_full);
    }

    #[test]
    fn a_tenant_without_an_id_becomes_that_of_the_caller_and_its_machines_stay_the_same() {
        let text = format!("{BASE}\nfleets = [{{ count = 1, name = 'desk', service_plans = ['small'] }}]");
        let home = TenantId(uuid::Uuid::from_u128(7));
        let resolve =
            |home| resolve(parse(&text).unwrap(), home, NOW, &|_| Ok(String::new())).unwrap().tenants.remove(0);
        let (own, derived) = (resolve(Some(home)), resolve(None));
        assert_eq!((own.id, own.cloud_pcs[0].tenant_id), (home, home));
        assert_ne!(derived.id, home);
        assert_eq!(own.cloud_pcs[0].id, derived.cloud_pcs[0].id);
    }

    /// The parser has a bound of its own, 80 levels; without it, a deep text would overflow the
    /// stack.
    #[test]
    fn a_deep_scenario_is_refused_and_a_byte_order_mark_is_skipped() {
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
    fn mistakes_are_named_with_what_to_do() {
        let cases = [
            "surprise = 1",
            "users = 3",
            "[[tenants]]\nname = 'Other'\nusers = [{ name = 'bob@other.test', password = 'x', generate_password = true }]",
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
        let told: String =
            cases.iter().map(|case| format!("{case}\n  {}\n", refusal(case).replace('\n', "\n  "))).collect();
        assert_snapshot!(told, @"
        surprise = 1
          The scenario cannot be read: TOML parse error at line 11, column 5
             |
          11 |     surprise = 1
             |     ^^^^^^^^
          unknown field `surprise`, expected one of `id`, `name`, `domain`, `users`, `apps`, `service_plans`, `gallery_images`, `cloud_pcs`, `fleets`, `partners`
        users = 3
          The scenario cannot be read: TOML parse error at line 11, column 5
             |
          11 |     users = 3
             |     ^^^^^
          duplicate key
        [[tenants]]
        name = 'Other'
        users = [{ name = 'bob@other.test', password = 'x', generate_password = true }]
          The scenario cannot be loaded: user 'bob@other.test' of tenant 'Other': give one of password, password_hash and generate_password.
        cloud_pcs = [{ name = 'one', user = 'eve', service_plan = 'small' }]
          The scenario cannot be loaded: Cloud PC 'one': there is no user 'eve@contoso.test' in its tenant; add one under [[tenants.users]].
        cloud_pcs = [{ name = 'one', user = 'ada', service_plan = 'tiny' }]
          The scenario cannot be loaded: Cloud PC 'one': there is no service plan 'tiny' in its tenant; add one under [[tenants.service_plans]].
        cloud_pcs = [{ name = 'one', user = 'ada', service_plan = 'small', image = 'x' }]
          The scenario cannot be loaded: Cloud PC 'one': there is no gallery image 'x' in its tenant; add one under [[tenants.gallery_images]].
        cloud_pcs = [{ name = '', user = 'ada', service_plan = 'small' }]
          The scenario cannot be loaded: Cloud PC '': its name has to have 1 to 64 characters.
        cloud_pcs = [{ name = 'one', user = 'ada', service_plan = 'small', created_at = 2026-01-01 }]
          The scenario cannot be loaded: Cloud PC 'one': 2026-01-01 is no point in time; write it like 2026-01-31T08:00:00Z.
        cloud_pcs = [{ name = 'one', user = 'ada', service_plan = 'small' }, { name = 'one', user = 'ada', service_plan = 'small' }]
          The scenario cannot be loaded: Cloud PC 'one': there are two of it; give them different names, or ids if they have any.
        fleets = [{ count = 2, name = 'one', service_plans = ['small'] }]
          The scenario cannot be loaded: fleet 'one': write {number} in its name, so that its Cloud PCs can be told apart.
        fleets = [{ count = 2, name = 'one-{number}', service_plans = [] }]
          The scenario cannot be loaded: fleet 'one-{number}': name at least one of the tenant's service plans in service_plans.
        fleets = [{ count = 1_000_001, name = 'one-{number}', service_plans = ['small'] }]
          The scenario cannot be loaded: it has 1000001 Cloud PCs; the most is 1000000.
        [[tenants]]
        name = 'Other'
        gallery_images = [{ id = 'a', name = 'A', size_gib = 1, os_version = 'windows11', os_version_number = '10.0.19045' }]
          The scenario cannot be loaded: gallery image 'a': '10.0.19045' is no version number of its os_version; leave it out, or write one like 10.0.22631.3880.
        partners = [{ partner_id = 'p', enable_connection = true, agent = { url = 'https://a.test/b.msi', sha256 = '12' } }]
          The scenario cannot be loaded: agent of partner 'p': sha256 has to be 64 hex digits; sha256sum FILE prints them.
        [[faults]]
        effect = 'fail'
          The scenario cannot be loaded: fault 1: effect 'fail' needs a code, may have a message, and nothing else.
        [[faults]]
        effect = 'slowDown'
        code = 'x'
          The scenario cannot be loaded: fault 1: effect 'slowDown' needs by_ms and nothing else.
        [[faults]]
        effect = 'hang'
        cloud_pcs = ['nobody']
          The scenario cannot be loaded: fault 1: no Cloud PC of the scenario has the name or id 'nobody'.
        [[faults]]
        effect = 'hang'
        share_percent = 101
          The scenario cannot be loaded: fault 1: the share is more than 100 percent.
        [[faults]]
        effect = 'hang'
        nth = 0
          The scenario cannot be loaded: fault 1: the nth match counts from 1.
        [[faults]]
        effect = 'hang'
        kind = 'reboot'
        step = 'runInstaller'
          The scenario cannot be loaded: fault 1: there is no step 'runInstaller'; there are checkPower, restart, waitForGuest.
        [[tenants]]
        name = 'Contoso'
          The scenario cannot be loaded: tenant 'Contoso': there are two of it; give them different names, or ids if they have any.
        [[tenants]]
        name = 'Other'
        users = [{ name = 'bob' }]
          The scenario cannot be loaded: user 'bob' of tenant 'Other': 'bob' has no @; write the whole name or give the tenant a domain.
        [[tenants]]
        name = 'Other'
        id = '00000000-0000-0000-0000-000000000000'
          The scenario cannot be loaded: tenant 'Other': the id 00000000-0000-0000-0000-000000000000 stands for the installation; leave it out, or give another.
        [[tenants]]
        name = 'Other'
        apps = [{ name = 'tool', id = '6b1f09a2-5c0e-4d5b-9a53-2f3c8e417d10' }]
          The scenario cannot be loaded: app 'tool' of tenant 'Other': the id 6b1f09a2-5c0e-4d5b-9a53-2f3c8e417d10 is the built-in client's; leave it out, or give another.
        ");
        assert_snapshot!(world("").err().unwrap().message, @"The scenario cannot be loaded: it has no tenant; add a [[tenants]] entry with a name.");
    }
}
