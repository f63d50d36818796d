//! Tests of parsing and resolving scenarios.

use super::*;
use cloudpc_model::{CloudPcStatus, Product, SeededRng};
use insta::assert_snapshot;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

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
    for (name, count) in [("demo", 60), ("faulty", 12), ("fleet-1000", 1_000), ("policies", 1), ("qemu", 6)] {
        let path = format!("{}/../../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let resolved = resolved(&std::fs::read_to_string(path).unwrap()).map_err(|error| error.message);
        assert_eq!(resolved.map(|resolved| resolved.tenants[0].cloud_pcs.len()), Ok(count), "{name}");
    }
}

#[test]
fn published_scenarios_hold_no_credentials() {
    for name in ["demo", "faulty", "fleet-1000", "policies", "qemu"] {
        let path = format!("{}/../../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let scenario = parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        for tenant in scenario.tenants {
            assert!(tenant.users.iter().all(|user| user.password.is_none() && user.password_hash.is_none()), "{name}");
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
    let resolve = |home| resolve(parse(&text).unwrap(), home, NOW, &|_| Ok(String::new())).unwrap().tenants.remove(0);
    let (own, derived) = (resolve(Some(home)), resolve(None));
    assert_eq!((own.id, own.cloud_pcs[0].tenant_id), (home, home));
    assert_ne!(derived.id, home);
    assert_eq!(own.cloud_pcs[0].id, derived.cloud_pcs[0].id);
}

/// The parser limits nesting to 80 levels; without a limit, deep nesting would overflow the stack.
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

/// Additions to [`BASE`] that make it invalid.
const INVALID: &[&str] = &[
    "surprise = 1",
    "users = 3",
    "[[tenants]]\nname = 'Other'\nusers = [{ name = 'bob@other.test', password = 'x', generate_password = true }]",
    "groups = [{ name = 'Team', members = ['eve'] }]",
    "groups = [{ name = 'Team', members = ['ada', 'ADA'] }]",
    "groups = [{ name = 'Team', licenses = ['CPC'] }]",
    "provisioning_policies = [{ name = 'All', assignments = [{ group = 'Team' }] }]",
    "user_settings = [{ name = 'All', properties = { displayName = 'All' } }]",
    "cloud_pcs = [{ name = 'one', user = 'ada', service_plan = 'small', entitlement = { policy = 'p' } }]",
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

#[test]
fn scenario_errors_say_what_to_do() {
    let describe = |case: &&str| format!("{case}\n  {}\n", refusal(case).replace('\n', "\n  "));
    assert_snapshot!(INVALID.iter().map(describe).collect::<String>());
    assert_snapshot!(resolved("").err().unwrap().message, @"Invalid scenario: it has no tenant; add a [[tenants]] entry with a name.");
}

/// Values in place of those of a scenario.
const VALUES: [&str; 22] = [
    "",
    "\"\"",
    "\"x\"",
    "\"a@b@c\"",
    "\"\\u0000\"",
    "\"{number}{number}\"",
    "\"10000000-0000-4000-8000-000000000001\"",
    "\"provisioned\"",
    "0",
    "-1",
    "1_000_000",
    "9223372036854775807",
    "1e308",
    "nan",
    "true",
    "9999-12-31T23:59:59.9999999Z",
    "0000-01-01T00:00:00Z",
    "[]",
    "[[]]",
    "{}",
    "[\"x\", \"x\"]",
    "{ x = 1 }",
];

#[derive(Clone, Debug)]
enum LineChange {
    Drop,
    Repeat,
    Move(Index),
    Value(&'static str),
}

/// A bundled scenario with some changed lines.
fn changed_scenario() -> impl Strategy<Value = String> {
    let change = prop_oneof![
        Just(LineChange::Drop),
        Just(LineChange::Repeat),
        any::<Index>().prop_map(LineChange::Move),
        select(&VALUES[..]).prop_map(LineChange::Value),
    ];
    let name = select(&["demo", "faulty", "policies", "qemu"][..]);
    (name, vec((any::<Index>(), change), 1..6)).prop_map(|(name, changes)| {
        let path = format!("{}/../../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let mut lines: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
        for (place, change) in changes {
            let place = place.index(lines.len());
            let line = lines.remove(place);
            match change {
                LineChange::Drop => {}
                LineChange::Repeat => lines.splice(place..place, [line.clone(), line]).for_each(drop),
                LineChange::Move(to) => lines.insert(to.index(lines.len() + 1), line),
                LineChange::Value(value) => {
                    let name = line.split('=').next().unwrap_or_default();
                    lines.insert(place, format!("{name} = {value}"));
                }
            }
        }
        lines.join("\n")
    })
}

proptest! {
    #[test]
    fn any_scenario_is_resolved_or_refused_as_invalid(changed in changed_scenario(), text in any::<String>()) {
        for text in [changed, text] {
            if let Err(error) = resolved(&text) {
                prop_assert_eq!(error.kind, ErrorKind::Invalid, "{}", text);
            }
        }
    }
}
