//! Lists that the store selects and sorts equal those that are evaluated row by row.

use cloudpc_graph::edm::TextKind;
use cloudpc_graph::{Edm, Filter, Version};
use cloudpc_model::{
    CloudPc, CloudPcId, CloudPcStatus, GroupId, ManagedDeviceId, Power, Product, Rng, SeededRng, ServicePlanId,
    Snapshot, SnapshotId, SnapshotType, TenantId, Timestamp, UserId,
};
use cloudpc_store::{Group, StoreError, User, UserProfile};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use uuid::Uuid;

use crate::world::{DESK_1, DESK_2, OWNER_TENANT, START, TestServer, Who};

const BETA: &str = "/beta/deviceManagement";
const CLOUD_PCS: &str = "/beta/deviceManagement/virtualEndpoint/cloudPCs";
const ROWS: usize = 60;
const FILTERS: usize = 200;

/// Names that differ in case, in scripts whose case is not that of ASCII, and in nothing.
const NAMES: [&str; 12] =
    ["desk", "Desk", "DESK-1", "desk-10", "Ärger", "ärger", "ΣΑΣ", "σας", "\u{212a}elvin", "İx", "it's", "desk-1"];
const USERS: [&str; 4] = ["ada@contoso.test", "Ada@Contoso.test", "alan@contoso.test", "grace@contoso.test"];
const POLICIES: [&str; 4] = ["", "Everyone", "everyone", "Pilots"];
const POLICY_IDS: [&str; 3] = ["", "0a000000-0000-4000-8000-000000000001", "0A000000-0000-4000-8000-000000000001"];

fn tenant() -> TenantId {
    OWNER_TENANT.parse().unwrap()
}

/// Adds Cloud PCs that differ in everything that can be selected; the first of the fleet is their
/// model.
async fn fill(world: &TestServer, rng: &SeededRng, rows: usize) {
    let model = world.app.store.read(|reader| reader.cloud_pc(tenant(), DESK_1.parse().unwrap()));
    let model: Result<Option<CloudPc>, StoreError> = model.await;
    let model = model.unwrap().unwrap();
    let pick = |count: usize| usize::try_from(rng.next_u64() % u64::try_from(count).unwrap()).unwrap();
    let made: Vec<_> = (0..rows)
        .map(|_| CloudPc {
            id: CloudPcId(rng.uuid()),
            managed_device_id: ManagedDeviceId(rng.uuid()),
            aad_device_id: rng.uuid(),
            display_name: NAMES[pick(NAMES.len())].into(),
            managed_device_name: NAMES[pick(NAMES.len())].into(),
            user_principal_name: USERS[pick(USERS.len())].into(),
            service_plan_id: if pick(3) == 0 { ServicePlanId(Uuid::from_u128(1)) } else { model.service_plan_id },
            provisioning_policy_id: POLICY_IDS[pick(POLICY_IDS.len())].into(),
            provisioning_policy_name: POLICIES[pick(POLICIES.len())].into(),
            product: [Product::Enterprise, Product::Business, Product::Frontline][pick(3)],
            status: [CloudPcStatus::Provisioned, CloudPcStatus::Failed, CloudPcStatus::Resizing][pick(3)],
            power_observed: [Power::Running, Power::PoweredOff, Power::Unknown][pick(3)],
            provisioned_at: [None, Some(START), Some(Timestamp(START.0 + 1))][pick(3)],
            grace_ends_at: [None, Some(Timestamp(START.0 - 1))][pick(2)],
            modified_at: Timestamp(START.0 + i64::try_from(pick(4)).unwrap()),
            ..model.clone()
        })
        .collect();
    let filled = world.app.store.write("test.write", move |tx| made.iter().try_for_each(|new| tx.cloud_pc_insert(new)));
    filled.await.map_err(|error: StoreError| error).unwrap();
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn texts() -> impl Strategy<Value = String> {
    let names: Vec<_> = NAMES.into_iter().chain(USERS).chain(POLICIES).chain(POLICY_IDS).map(quoted).collect();
    let lower: Vec<_> = NAMES.into_iter().map(|name| quoted(&name.to_lowercase())).collect();
    let parts = ["''", "'d'", "'es'", "'esk'", "'desk-'", "'DES'", "'σ'", "'ä'", "'k'", "'1'", "'x'", "null"];
    prop_oneof![select(names), select(lower), select(parts.map(str::to_owned).to_vec())]
}

fn tests() -> impl Strategy<Value = String> {
    let properties = [
        "displayName",
        "tolower(displayName)",
        "toupper(displayName)",
        "managedDeviceName",
        "userPrincipalName",
        "tolower(userPrincipalName)",
        "provisioningPolicyName",
        "provisioningPolicyId",
        "id",
        "servicePlanId",
        "servicePlanName",
        "imageDisplayName",
        "deviceRegionName",
        "onPremisesConnectionName",
    ];
    let property = select(properties.to_vec());
    let comparison = select(vec!["eq", "ne", "gt", "lt", "ge", "le"]);
    let equality = select(vec!["eq", "ne"]);
    let function = select(vec!["contains", "startswith", "endswith"]);
    let no_null = texts().prop_filter("functions take strings", |text| text != "null");
    let list = prop::collection::vec(texts(), 1..4).prop_map(|texts| texts.join(","));
    let enums = select(vec![
        ("status", "failed"),
        ("status", "resizing"),
        ("powerState", "running"),
        ("productType", "frontline"),
        ("provisioningType", "sharedByUser"),
        ("servicePlanType", "business"),
        ("osVersion", "windows11"),
        ("userExperienceType", "cloudPc"),
        ("powerState", "poweredOff"),
    ]);
    let times = select(vec!["lastModifiedDateTime", "provisionedDateTime", "gracePeriodEndDateTime"]);
    let instants = (-2..4_i64, select(vec!["", "0", "5"])).prop_map(|(offset, tenth)| {
        let at = Timestamp(START.0 + offset).to_string();
        format!("{}{tenth}Z", &at[..at.len() - 2])
    });
    let at = prop_oneof![4 => instants, 1 => Just("null".to_owned())];
    prop_oneof![
        4 => (property.clone(), comparison.clone(), texts()).prop_map(|(name, word, text)| format!("{name} {word} {text}")),
        1 => (texts(), comparison.clone(), property.clone()).prop_map(|(text, word, name)| format!("{text} {word} {name}")),
        4 => (function, property.clone(), no_null).prop_map(|(function, name, text)| format!("{function}({name},{text})")),
        2 => (property, list).prop_map(|(name, list)| format!("{name} in ({list})")),
        2 => (enums, equality).prop_map(|((name, member), word)| format!("{name} {word} '{member}'")),
        2 => (times, comparison, at).prop_map(|(name, word, at)| format!("{name} {word} {at}")),
        1 => Just("isDisasterRecoveryActive".to_owned()),
    ]
}

fn filters() -> impl Strategy<Value = String> {
    tests().prop_recursive(3, 6, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) and ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) or ({b})")),
            inner.prop_map(|a| format!("not ({a})")),
        ]
    })
}

type Order = [(&'static str, bool)];

fn orders() -> impl Strategy<Value = Vec<(&'static str, bool)>> {
    let names = [
        "displayName",
        "userPrincipalName",
        "status",
        "provisioningPolicyName",
        "managedDeviceName",
        "servicePlanId",
        "lastModifiedDateTime",
        "provisionedDateTime",
        "servicePlanName",
    ];
    let directions = prop::collection::vec(any::<bool>(), 3);
    let by = |(names, directions): (Vec<_>, Vec<_>)| names.into_iter().zip(directions).collect();
    (subsequence(names.to_vec(), 0..=3).prop_shuffle(), directions).prop_map(by)
}

fn query(filter: &str, order: &Order) -> String {
    let mut query = format!("$top=7&$filter={}", percent_encoded(filter));
    for (place, (name, descending)) in order.iter().enumerate() {
        query += if place == 0 { "&$orderby=" } else { "," };
        query += &format!("{name}%20{}", if *descending { "desc" } else { "asc" });
    }
    query
}

/// Returns whether rows are in this order.
fn is_sorted(rows: &[Value], order: &Order) -> bool {
    let by = |a: &Value, b: &Value| {
        let orders = order.iter().map(|(name, descending)| {
            let order = key(a, name).cmp(&key(b, name));
            if *descending { order.reverse() } else { order }
        });
        orders.fold(Ordering::Equal, Ordering::then)
    };
    rows.is_sorted_by(|a, b| by(a, b).is_le())
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Follows the links from the first page to the last. Only the last one may be empty.
async fn walk(world: &TestServer, path: &str) -> Vec<Value> {
    let (mut rows, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(link) = next {
        let reply = world.get(Who::Reader, &link).await;
        assert_eq!(reply.status, 200, "{link}: {}", reply.body);
        next = reply.next_link();
        assert!(next.is_none() || !reply.rows().is_empty(), "an empty page with a link: {link}");
        rows.extend(reply.rows());
    }
    rows
}

fn ids(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

fn key(row: &Value, name: &str) -> Option<String> {
    let text = row[name].as_str()?;
    Some(if TextKind::of(name) == TextKind::Plain { text.to_owned() } else { text.to_ascii_lowercase() })
}

#[tokio::test]
async fn selected_rows_are_those_that_match_one_by_one() {
    let world = TestServer::new().await;
    fill(&world, &SeededRng::new(1), ROWS).await;
    // The form in which rows are evaluated.
    let all = walk(&world, &format!("{CLOUD_PCS}?$select=*&$orderby=isDisasterRecoveryActive")).await;
    assert!(all.len() > ROWS);
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut checked = 0;
    while checked < FILTERS {
        let filter = filters().new_tree(&mut runner).unwrap().current();
        let order = orders().new_tree(&mut runner).unwrap().current();
        let Ok(parsed) = Filter::parse(Edm::of(Version::Beta), "cloudPC", &filter) else { continue };
        checked += 1;
        let shown = |row: &&Value| {
            let mut stored = (*row).clone();
            if stored["provisioningType"] == "unknownFutureValue" {
                stored["provisioningType"] = "sharedByUser".into();
            }
            parsed.matches(&stored)
        };
        let mut expected: Vec<Value> = all.iter().filter(shown).cloned().collect();
        let query = query(&filter, &order);
        let found = walk(&world, &format!("{CLOUD_PCS}?{query}&$select=*")).await;
        let text = format!("{filter} by {order:?}");
        assert_eq!(ids(&found).len(), ids(&found).into_iter().collect::<BTreeSet<_>>().len(), "twice: {text}");
        assert!(is_sorted(&found, &order), "{text}");
        let mut selected = ids(&found);
        selected.sort_unstable();
        expected.sort_by_key(|row| row["id"].as_str().unwrap().to_owned());
        assert_eq!(selected, ids(&expected), "{text}");
        let count = world.get(Who::Reader, &format!("{CLOUD_PCS}/$count?$filter={}", percent_encoded(&filter))).await;
        assert_eq!(count.body, expected.len().to_string(), "{text}");
    }
}

#[tokio::test]
async fn managed_devices_are_selected_by_the_columns_of_their_cloud_pcs() {
    let world = TestServer::new().await;
    fill(&world, &SeededRng::new(2), ROWS).await;
    let all = walk(&world, &format!("{BETA}/managedDevices")).await;
    for filter in [
        "deviceName eq 'desk'",
        "startswith(deviceName,'desk') and userPrincipalName eq 'ADA@contoso.test'",
        "not (contains(managedDeviceName,'esk')) or emailAddress eq 'alan@contoso.test'",
        "operatingSystem eq 'Windows' and deviceName in ('DESK-1','desk-10')",
        "startswith(model,'Cloud PC') and deviceName lt 'a'",
        "manufacturer ne 'Microsoft Corporation'",
        "model eq 'Cloud PC'",
    ] {
        let parsed = Filter::parse(Edm::of(Version::Beta), "managedDevice", filter).unwrap();
        let expected: BTreeSet<_> =
            ids(&all.iter().filter(|row| parsed.matches(row)).cloned().collect::<Vec<_>>()).into_iter().collect();
        for order in [vec![], vec![("deviceName", true)], vec![("userPrincipalName", false), ("deviceName", true)]] {
            let found = ids(&walk(&world, &format!("{BETA}/managedDevices?{}", query(filter, &order))).await);
            assert_eq!(found.len(), expected.len(), "{filter}");
            assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "{filter}");
        }
    }
}

/// Checks that each filter, in each order, selects the rows of a list that match one by one.
async fn check_list(world: &TestServer, (path, entity): (&str, &str), filters: &[&str], orders: &[&Order]) {
    let all = walk(world, &format!("{path}?$select=*")).await;
    for filter in filters {
        let parsed = Filter::parse(Edm::of(Version::Beta), entity, filter).unwrap();
        let expected: BTreeSet<_> =
            ids(&all.iter().filter(|row| parsed.matches(row)).cloned().collect::<Vec<_>>()).into_iter().collect();
        assert!(expected.len() < all.len(), "{filter} leaves out nothing");
        for order in orders {
            let found = walk(world, &format!("{path}?{}&$select=*", query(filter, order))).await;
            assert!(is_sorted(&found, order), "{filter} by {order:?}");
            assert_eq!(found.len(), expected.len(), "{filter} by {order:?}");
            assert_eq!(ids(&found).into_iter().collect::<BTreeSet<_>>(), expected, "{filter} by {order:?}");
        }
        let count = world.get(Who::Reader, &format!("{path}/$count?$filter={}", percent_encoded(filter))).await;
        assert_eq!(count.body, expected.len().to_string(), "{filter}");
    }
}

#[tokio::test]
async fn users_and_groups_are_selected_by_their_columns() {
    let world = TestServer::new().await;
    let filled = world.app.store.write("test.write", |tx| {
        let ada = tx.user_by_name(tenant(), "ada@contoso.test")?.unwrap();
        for number in 1..=30_u128 {
            let of = |texts: [&str; 3]| texts[usize::try_from(number % 3).unwrap()].to_owned();
            let profile = UserProfile {
                department: Some(of(["", "Sales", "sales"])),
                mail: Some(of(["", "Desk@contoso.test", "desk@contoso.test"])),
                ..UserProfile::default()
            };
            let user_principal_name = format!("user{number}@contoso.test");
            let (id, enabled) = (UserId(Uuid::from_u128(number)), number % 2 == 0);
            tx.user_put(&User {
                id,
                user_principal_name,
                enabled,
                profile,
                display_name: of(NAMES_OF_PEOPLE),
                ..ada.clone()
            })?;
            tx.group_put(&Group {
                tenant_id: tenant(),
                id: GroupId(Uuid::from_u128(number)),
                display_name: of(NAMES_OF_PEOPLE),
                description: Some(of(["", "Pilots", "pilots"])),
                mail_nickname: "group".into(),
                mail_enabled: enabled,
                security_enabled: true,
                created_at: Timestamp(START.0 + i64::from(enabled)),
            })?;
        }
        Ok::<_, StoreError>(())
    });
    filled.await.unwrap();
    let users = [
        "displayName eq 'Ada'",
        "startswith(displayName,'A') and accountEnabled eq true",
        "mail eq 'DESK@contoso.test'",
        "mail eq null",
        "mail ne null and department ne 'Sales'",
        "department eq ''",
        "not (department eq 'sales') or startswith(userPrincipalName,'USER1')",
        "createdDateTime lt 2020-01-01T00:00:00Z or contains(displayName,'la')",
        "tolower(displayName) eq 'ada' and jobTitle eq null",
    ];
    let orders: [&Order; 4] = [
        &[],
        &[("displayName", true)],
        &[("department", false), ("mail", true)],
        &[("mail", false), ("displayName", false)],
    ];
    check_list(&world, ("/beta/users", "user"), &users, &orders).await;
    let groups = [
        "displayName eq 'Ada'",
        "startswith(displayName,'A') and mailEnabled eq true",
        "description eq null",
        "description ne 'Pilots' and mailEnabled eq false",
        "createdDateTime gt 2026-03-01T12:00:00Z",
    ];
    let orders: [&Order; 3] = [&[], &[("displayName", true)], &[("createdDateTime", false), ("description", true)]];
    check_list(&world, ("/beta/groups", "group"), &groups, &orders).await;
}

const NAMES_OF_PEOPLE: [&str; 3] = ["Ada", "Alan", "ada"];

#[tokio::test]
async fn restore_points_are_selected_by_their_columns() {
    let world = TestServer::new().await;
    let filled = world.app.store.write("test.write", |tx| {
        for number in 1..=30_u128 {
            let cloud_pc_id = [DESK_1, DESK_2][usize::try_from(number % 2).unwrap()].parse().unwrap();
            tx.snapshot_put(&Snapshot {
                tenant_id: tenant(),
                id: SnapshotId::new(cloud_pc_id, Uuid::from_u128(number)),
                cloud_pc_id,
                snapshot_type: if number % 3 == 0 { SnapshotType::Manual } else { SnapshotType::Automatic },
                created_at: Timestamp(START.0 + i64::try_from(number % 4).unwrap()),
                last_restored_at: (number % 5 == 0).then_some(START),
            })?;
        }
        Ok::<_, StoreError>(())
    });
    filled.await.unwrap();
    let snapshots = format!("{BETA}/virtualEndpoint/snapshots");
    let of_desk = format!("cloudPcId eq '{}'", DESK_1.to_uppercase());
    let filters = [
        &*of_desk,
        "snapshotType eq 'manual'",
        "createdDateTime gt 2026-03-01T12:00:00Z and lastRestoredDateTime eq null",
        "lastRestoredDateTime ge 2026-03-01T12:00:00Z",
        "status ne 'ready'",
    ];
    let orders: [&Order; 3] = [&[], &[("createdDateTime", true)], &[("cloudPcId", false), ("createdDateTime", true)]];
    check_list(&world, (&snapshots, "cloudPcSnapshot"), &filters, &orders).await;
    let all = walk(&world, &format!("{snapshots}?$top=7")).await;
    assert!(ids(&all).is_sorted());
    assert_eq!(world.get(Who::Reader, &format!("{snapshots}/$count")).await.body, all.len().to_string());
    let of_desk = all.iter().filter(|row| row["cloudPcId"] == DESK_1 && row["snapshotType"] == "manual").count();
    let path =
        format!("{CLOUD_PCS}/{DESK_1}/retrieveSnapshots?$top=2&$count=true&$filter=snapshotType%20eq%20'manual'");
    assert_eq!(walk(&world, &path).await.len(), of_desk);
    assert_eq!(world.get(Who::Reader, &path).await.json()["@odata.count"], of_desk);
}

#[tokio::test]
async fn a_walk_sees_every_row_once_while_rows_are_added() {
    let world = TestServer::new().await;
    let rng = SeededRng::new(3);
    fill(&world, &rng, ROWS).await;
    for query in [
        "$orderby=displayName",
        "$orderby=displayName%20desc",
        "$orderby=status,lastModifiedDateTime%20desc",
        "$orderby=status%20desc&$filter=startswith(displayName,'d')",
        "$filter=startswith(displayName,'d')%20or%20status%20eq%20'failed'",
        "$filter=contains(tolower(displayName),'esk')",
        "$filter=status%20in%20('failed','resizing')",
    ] {
        let before: BTreeSet<_> = ids(&walk(&world, &format!("{CLOUD_PCS}?{query}")).await).into_iter().collect();
        let mut seen = Vec::new();
        let mut next = Some(format!("{CLOUD_PCS}?$top=5&{query}"));
        while let Some(link) = next {
            let page = world.get(Who::Reader, &link).await;
            seen.extend(ids(&page.rows()));
            fill(&world, &rng, 1).await;
            next = page.next_link();
        }
        let once: BTreeSet<_> = seen.iter().cloned().collect();
        assert_eq!(once.len(), seen.len(), "{query}");
        assert!(once.is_superset(&before), "{query}");
    }
}

#[tokio::test]
async fn a_position_of_another_form_is_refused() {
    let world = TestServer::new().await;
    for (made_by, used_with) in [("$filter=startswith(displayName,'d')", "$filter=startswith(displayName,'de')")] {
        let link = world.get(Who::Reader, &format!("{CLOUD_PCS}?$top=1&{made_by}")).await.next_link().unwrap();
        let token = link.split("$skiptoken=").nth(1).unwrap().to_owned();
        let reply = world.get(Who::Reader, &format!("{CLOUD_PCS}?$top=1&{used_with}&$skiptoken={token}")).await;
        assert_eq!(reply.error(), (400, "BadRequest".into()));
    }
}

#[tokio::test]
async fn a_renamed_cloud_pc_is_found_by_its_new_name_only() {
    let world = TestServer::new().await;
    let found = async |part: &str| {
        walk(&world, &format!("{CLOUD_PCS}?$filter=contains(tolower(displayName),'{part}')")).await.len()
    };
    assert_eq!((found("desk-1").await, found("reception").await), (1, 0));
    let renamed = world.app.store.write("test.write", |tx| {
        let mut cloud_pc = tx.cloud_pc(tenant(), DESK_1.parse().unwrap())?.unwrap();
        cloud_pc.display_name = "RECEPTION".into();
        tx.cloud_pc_update(&cloud_pc)
    });
    renamed.await.map_err(|error: StoreError| error).unwrap();
    assert_eq!((found("desk-1").await, found("reception").await), (0, 1));
}
