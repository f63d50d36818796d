//! Scenarios with provisioning policies and user settings: checked like a client's requests, and
//! saved as they are.

use cloudpc_model::{CloudPcStatus, Error};
use cloudpc_server::scenario;
use cloudpc_store::Tx;
use serde_json::json;

use crate::world::{TestServer, Who};

const BETA: &str = "/beta/deviceManagement/virtualEndpoint";
const COMPANY: &str = r#"
    [[tenants]]
    id = "10000000-0000-4000-8000-000000000001"
    name = "Contoso"
    domain = "contoso.test"
    users = [{ name = "ada", licenses = ["CPC"] }, { name = "mary" }]
    service_plans = [
        { name = "small", vcpu_count = 2, ram_gib = 8, storage_gib = 64, product = "enterprise" },
        { name = "shift", vcpu_count = 2, ram_gib = 8, storage_gib = 64, product = "frontline" },
    ]
    gallery_images = [{ id = "a_b_c", name = "Windows 11", size_gib = 64, os_version = "windows11" }]
    subscriptions = [
        { name = "CPC", service_plan = "small", units = 2 }, { name = "FL", service_plan = "shift", units = 1 },
    ]
    groups = [{ name = "Team", members = ["ada", "mary"] }]

    [[tenants.provisioning_policies]]
    id = "20000000-0000-4000-8000-000000000001"
    name = "Everyone"
    assignments = [{ group = "Team" }]
    [tenants.provisioning_policies.properties]
    imageId = "a_b_c"
    domainJoinConfigurations = [{ domainJoinType = "azureADJoin", regionName = "westus3" }]

    [[tenants.provisioning_policies]]
    name = "Shifts"
    assignments = [{ group = "Team", service_plan = "shift", target = { allotmentLicensesCount = 1 } }]
    [tenants.provisioning_policies.properties]
    provisioningType = "sharedByUser"
    imageId = "a_b_c"
    domainJoinConfigurations = [{ type = "azureADJoin", regionGroup = "japan" }]

    [[tenants.user_settings]]
    name = "Administrators"
    assignments = [{ group = "Team" }]
    [tenants.user_settings.properties]
    localAdminEnabled = true
    restorePointSetting = { frequencyInHours = 6 }

    [[tenants.cloud_pcs]]
    name = "desk"
    user = "ada"
    service_plan = "small"
    provisioning_policy = "Everyone"
    entitlement = { policy = "20000000-0000-4000-8000-000000000001", license = "CPC" }
"#;

async fn load(world: &TestServer, text: &str) -> Result<(), Error> {
    let prepared = scenario::prepare(&world.app, None, text).await?;
    scenario::load(&world.app, prepared).await.map(drop)
}

/// Lists as an application of the tenant, which a scenario keeps.
async fn list(world: &TestServer, path: &str) -> Vec<serde_json::Value> {
    world.get(Who::Reader, &format!("{BETA}/{path}")).await.rows()
}

#[tokio::test]
async fn policies_and_settings_of_a_scenario_are_documents_and_are_saved_unchanged() {
    let world = TestServer::new().await;
    load(&world, COMPANY).await.unwrap();
    let policies = list(&world, "provisioningPolicies?$expand=assignments").await;
    let named = |name: &str| policies.iter().find(|policy| policy["displayName"] == name).unwrap();
    let everyone = named("Everyone");
    assert_eq!(everyone["id"], "20000000-0000-4000-8000-000000000001");
    assert_eq!(
        (&everyone["provisioningType"], &everyone["imageDisplayName"]),
        (&json!("dedicated"), &json!("Windows 11"))
    );
    assert_eq!(everyone["assignments"].as_array().unwrap().len(), 1);
    assert_eq!(named("Shifts")["assignments"][0]["target"]["allotmentLicensesCount"], 1);
    let settings = list(&world, "userSettings").await;
    assert_eq!(settings[0]["restorePointSetting"]["frequencyType"], "sixHours", "by the newest name");

    let saved = scenario::save(&world.app).await.unwrap();
    load(&world, &saved).await.unwrap();
    assert_eq!(scenario::save(&world.app).await.unwrap(), saved);
    assert_eq!(list(&world, "provisioningPolicies?$expand=assignments").await, policies);
}

/// The Cloud PCs by user, policy and status, sorted.
async fn cloud_pcs(world: &TestServer) -> Vec<String> {
    let describe = |row: &serde_json::Value| {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        [text("userPrincipalName"), text("provisioningPolicyName"), text("status")].join(" ")
    };
    let mut found: Vec<_> = list(world, "cloudPCs").await.iter().map(describe).collect();
    found.sort_unstable();
    found
}

#[tokio::test]
async fn cloud_pc_of_a_policy_is_not_made_again_and_those_that_are_missing_are() {
    let (stated, entitlement) = COMPANY.rsplit_once('\n').and_then(|(text, _)| text.rsplit_once('\n')).unwrap();
    assert!(entitlement.contains("license"), "{entitlement}");
    for text in [COMPANY, stated] {
        let world = TestServer::new().await;
        world.run();
        let mut text = text.to_owned();
        for _ in 0..2 {
            load(&world, &text).await.unwrap();
            world.settle().await;
            let expected = [
                "ada@contoso.test Everyone provisioned",
                "ada@contoso.test Shifts provisioned",
                "mary@contoso.test Shifts provisioned",
            ];
            assert_eq!(cloud_pcs(&world).await, expected);
            text = scenario::save(&world.app).await.unwrap();
        }
    }
}

#[tokio::test]
async fn cloud_pc_that_waits_for_provisioning_is_not_saved_and_is_made_again() {
    let world = TestServer::new().await;
    load(&world, COMPANY).await.unwrap();
    let tenant = "10000000-0000-4000-8000-000000000001".parse().unwrap();
    let wait = move |tx: &mut Tx<'_>| {
        let mut waiting = tx.cloud_pc_list(tenant, None, None, 1)?.remove(0);
        waiting.status = CloudPcStatus::PendingProvision;
        waiting.provisioned_at = None;
        tx.cloud_pc_update(&waiting)
    };
    world.app.store.write("test.write", wait).await.unwrap();
    let saved = scenario::save(&world.app).await.unwrap();
    assert!(!saved.contains("desk"), "{saved}");
    world.run();
    load(&world, &saved).await.unwrap();
    world.settle().await;
    let found = cloud_pcs(&world).await;
    assert!(found.contains(&"ada@contoso.test Everyone provisioned".to_owned()), "{found:?}");
}

#[tokio::test]
async fn stated_frontline_cloud_pcs_use_the_seats_and_one_without_an_entitlement_is_left_alone() {
    let world = TestServer::new().await;
    world.run();
    let fleet = |name, plan| {
        format!(
            "[[tenants.fleets]]\nname = '{name}-{{number}}'\ncount = 4\nservice_plans = ['{plan}']\nprovisioning_policy = '{name}'\n"
        )
    };
    load(&world, &[COMPANY, &fleet("Shifts", "shift"), &fleet("Everyone", "small")].concat()).await.unwrap();
    let before = cloud_pcs(&world).await;
    assert_eq!(before.len(), 9);
    world.settle().await;
    assert_eq!(cloud_pcs(&world).await, before);
}

#[tokio::test]
async fn the_published_scenario_with_policies_loads_and_provisions() {
    let world = TestServer::new().await;
    world.run();
    let home = "10000000-0000-4000-8000-000000000001".parse().unwrap();
    let text = include_str!("../../../../scenarios/policies.toml");
    let prepared = scenario::prepare(&world.app, Some(home), text).await.unwrap();
    scenario::load(&world.app, prepared).await.unwrap();
    world.settle().await;
    let expected = [
        "ada@woodgrove.test Engineering provisioned",
        "alan@woodgrove.test Night shift provisioned",
        "grace@woodgrove.test Engineering provisioned",
        "mary@woodgrove.test Night shift provisioned",
    ];
    assert_eq!(cloud_pcs(&world).await, expected);
}

#[tokio::test]
async fn policy_that_a_client_could_not_create_refuses_the_scenario_and_nothing_changes() {
    let world = TestServer::new().await;
    let before = list(&world, "cloudPCs").await;
    let mut refusals = String::new();
    for (old, new) in [
        ("imageId = \"a_b_c\"", "imageId = \"none\""),
        ("imageId = \"a_b_c\"", "imageid = 7"),
        ("provisioningType = \"sharedByUser\"", "provisioningType = \"dedicated\""),
        ("regionName = \"westus3\"", "onPremisesConnectionId = \"none\""),
        ("name = \"Shifts\"", "name = \"everyone\""),
        ("localAdminEnabled = true", "localAdminEnabled = \"yes\""),
    ] {
        let error = load(&world, &COMPANY.replacen(old, new, 1)).await.unwrap_err();
        refusals += &format!("{new}\n  {}\n", error.message);
    }
    insta::assert_snapshot!(refusals, @r#"
    imageId = "none"
      Invalid scenario: provisioning policy 'Everyone': There is no gallery image with the id 'none'.
    imageid = 7
      Invalid scenario: provisioning policy 'Everyone': The property 'imageId' must be a string, but is the number 7.
    provisioningType = "dedicated"
      Invalid scenario: provisioning policy 'Shifts': A dedicated policy takes the service plan of each user's licence; leave out the service plan '41acb862-32ed-4c96-8721-41c10c4570c5'.
    onPremisesConnectionId = "none"
      Invalid scenario: provisioning policy 'Everyone': 'domainJoinConfigurations/onPremisesConnectionId' names the cloudPcOnPremisesConnection 'none', which does not exist. Use the id of an existing one.
    name = "everyone"
      Invalid scenario: provisioning policy 'everyone': There is another cloudPcProvisioningPolicy whose displayName is 'everyone'. Choose another one.
    localAdminEnabled = "yes"
      Invalid scenario: user setting 'Administrators': The property 'localAdminEnabled' must be true or false, but is a string.
    "#);
    assert_eq!(list(&world, "cloudPCs").await, before);
}
