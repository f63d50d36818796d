//! `$expand` of navigation properties that have a path of their own.

use cloudpc_server::pipeline::RELATED_READS_MAX;
use cloudpc_store::{Group, Tx};
use serde_json::{Value, json};

use crate::scene::{ROOT, Scene};
use crate::world::{BASE, OWNER_TENANT, START, Who};

/// Each path with a navigation property that its entities have.
const EXPANDABLE: &[(&str, &str)] = &[
    ("~/groups", "members"),
    ("~/groups/{group}", "members"),
    ("~/users", "memberOf"),
    ("~/users/{member}", "memberOf"),
    ("~/users/{user}", "licenseDetails"),
    ("/reports", "exportJobs"),
    ("", "cloudPCs"),
    ("", "organizationSettings"),
    ("", "crossCloudGovernmentOrganizationMapping"),
    ("/provisioningPolicies/{policy}/assignments", "assignedUsers"),
    ("/provisioningPolicies/{policy}/assignments", "userSettingsPersistenceDetail"),
    ("~/roleManagement/cloudPC", "roleDefinitions"),
    ("~/roleManagement/cloudPC/resourceNamespaces", "resourceActions"),
    ("~/roleManagement/cloudPC/roleDefinitions", "inheritsPermissionsFrom"),
    (
        "~/roleManagement/cloudPC/resourceNamespaces/{resourceNamespace}/resourceActions/{resourceAction}",
        "resourceScope",
    ),
];

async fn get(scene: &Scene, path: &str) -> Value {
    let reply = scene.world.get(Who::Writer, path.strip_prefix(BASE).unwrap_or(path)).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.body);
    reply.json()
}

#[tokio::test]
async fn an_expanded_property_is_what_its_path_answers() {
    let scene = Scene::new().await;
    for (path, property) in EXPANDABLE {
        let path = scene.fill((*path).to_owned());
        let expanded = get(&scene, &format!("{path}?$expand={property}")).await;
        assert!(expanded["@odata.context"].as_str().unwrap().contains(&format!("({property}())")), "{expanded}");
        let entities = match &expanded["value"] {
            Value::Array(rows) => {
                rows.iter().map(|row| (format!("{path}/{}", row["id"].as_str().unwrap()), row)).collect()
            }
            _ => vec![(path.clone(), &expanded)],
        };
        assert!(!entities.is_empty(), "{path}");
        for (entity, shown) in entities {
            let reply = scene.world.get(Who::Writer, &format!("{entity}/{property}")).await;
            match reply.status.as_u16() {
                404 => assert_eq!(shown[*property], Value::Null, "{entity}"),
                _ if reply.json()["value"].is_array() => {
                    assert_eq!(shown[*property], reply.json()["value"], "{entity}")
                }
                _ => {
                    let mut alone = reply.json();
                    alone.as_object_mut().unwrap().remove("@odata.context");
                    assert_eq!(shown[*property], alone, "{entity}");
                }
            }
        }
    }
}

#[tokio::test]
async fn options_apply_within_and_below() {
    let scene = Scene::new().await;
    let nested = "$select=id;$top=1;$count=true;$orderby=displayName desc;$filter=startswith(displayName,'C')";
    let list = get(&scene, &format!("{ROOT}?$expand=cloudPCs({})", nested.replace(' ', "%20"))).await;
    let alone = get(&scene, &format!("{ROOT}/cloudPCs?{}", nested.replace(';', "&").replace(' ', "%20"))).await;
    assert_eq!(list["cloudPCs"], alone["value"]);
    assert_eq!(list["cloudPCs@odata.count"], alone["@odata.count"]);
    assert_eq!(list["cloudPCs@odata.nextLink"], alone["@odata.nextLink"]);
    // What documents expand themselves is expanded further, also without its id.
    let policy = scene.named("{policy}".into());
    let below = "assignments($select=target;$count=true;$expand=assignedUsers($select=displayName))";
    let policies = get(&scene, &format!("{ROOT}/provisioningPolicies?$select=displayName&$expand={below}")).await;
    let assigned = scene.fill("/provisioningPolicies/{policy}/assignments/{assignment}/assignedUsers".into());
    let assigned = get(&scene, &assigned).await;
    let names: Vec<_> =
        assigned["value"].as_array().unwrap().iter().map(|user| json!({"displayName": user["displayName"]})).collect();
    let rows = policies["value"].as_array().unwrap();
    let row = rows.iter().find(|row| row["assignments"][0]["assignedUsers"] == json!(names)).unwrap();
    assert!(!names.is_empty() && row.get("id").is_none(), "{row} {policy}");
    assert_eq!(row["assignments@odata.count"], 1);
    let kept: Vec<_> = row["assignments"][0].as_object().unwrap().keys().collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(!policies.to_string().contains("unselected"), "{policies}");
}

#[tokio::test]
async fn what_may_not_be_read_is_not_expanded() {
    let scene = Scene::new().await;
    // Cloud PCs below a user are for signed-in users only.
    let path = scene.fill("~/users/{user}?$expand=cloudPCs".into());
    let refused = scene.world.get(Who::Writer, &path).await;
    assert_eq!(refused.error(), (403, "Forbidden".into()));
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("cloudPCs"));
    assert_eq!(scene.world.get(Who::Ada, &path).await.status, 200);
}

#[tokio::test]
async fn reads_and_levels_are_limited() {
    let scene = Scene::new().await;
    let tenant = OWNER_TENANT.parse().unwrap();
    let more = move |tx: &mut Tx<'_>| {
        (1..=u128::try_from(RELATED_READS_MAX).unwrap()).try_for_each(|number| {
            let id = uuid::Uuid::from_u128(number).to_string().parse().unwrap();
            let name = format!("Group {number}");
            tx.group_put(&Group {
                tenant_id: tenant,
                id,
                display_name: name,
                description: None,
                mail_nickname: "g".into(),
                mail_enabled: false,
                security_enabled: true,
                created_at: START,
            })
        })
    };
    scene.world.app.store.write("test.write", more).await.unwrap();
    let page = get(&scene, "/beta/groups?$top=999&$expand=members($select=id)").await;
    assert_eq!(page["value"].as_array().unwrap().len(), RELATED_READS_MAX);
    let next = get(&scene, page["@odata.nextLink"].as_str().unwrap()).await;
    assert!(next["value"][0]["members"].is_array(), "the link goes on expanding");
    let below = |most: &str| format!("{ROOT}?$expand=provisioningPolicies($expand=assignments($expand={most}))");
    let deepest = get(&scene, &below("userSettingsPersistenceDetail,assignedUsers")).await;
    assert!(deepest.to_string().contains("userSettingsPersistenceDetail\":"), "{deepest}");
    let deeper = below("userSettingsPersistenceDetail($expand=userProfileSnapshots)");
    let refused = scene.world.get(Who::Writer, &deeper).await;
    assert_eq!(refused.error(), (400, "BadRequest".into()));
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("at most 3 levels"), "{}", refused.body);
}
