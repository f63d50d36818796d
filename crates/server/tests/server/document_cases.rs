//! Cases of the operations on documents, made from the contract and the descriptors: a new kind of
//! document has its failure rows without a line here, unless its sample body needs a value that
//! cannot be derived.

use cloudpc_graph::edm::TypeRef;
use cloudpc_graph::{Edm, Version};
use cloudpc_model::{Document, DocumentKey, DocumentType, Product, READER_ROLE, ServicePlan, TenantId};
use cloudpc_server::documents::{self, Binding, DocumentKind, DocumentShape, Fact, Verb};
use cloudpc_server::rbac::DEFAULT_TAG;
use cloudpc_store::{DocumentIndex, Subscription, Tx};
use serde_json::{Map, Value, json};

use crate::cases::Case;
use crate::scene::ROOT;
use crate::world::{START, TestServer, Who};

/// The sample of a kind that nothing refers to, so that it can be deleted.
const UNUSED: &str = "unused-";

/// The group that the samples of assignments assign.
pub const ASSIGNED: &str = "0a000000-0000-4000-8000-00000000000b";
/// The group that the cases assign.
pub const TO_ASSIGN: &str = "0a000000-0000-4000-8000-00000000000c";

/// Returns a case for each operation on documents.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = documents::keys().map(|(key, binding)| case(key, binding)).collect();
    cases.sort_by_key(|case| case.key);
    cases
}

fn case(key: &'static str, Binding { kind, verb }: Binding) -> Case {
    let operations = [Version::Beta, Version::V1].into_iter().flat_map(|version| &Edm::of(version).operations);
    let operation = operations.into_iter().find(|operation| operation.key == key).unwrap();
    let path = operation.path.replace("/deviceManagement/virtualEndpoint", "").replace("-id}", "}");
    let path = path.replace("/deviceManagement", "..");
    let path = if path.starts_with("/roleManagement") { format!("~{path}") } else { path };
    let path =
        if verb == Verb::Delete && kind.parent().is_none() { path.replace('{', &format!("{{{UNUSED}")) } else { path };
    let (body, wrong, optional) = match verb {
        Verb::Create => (Some(sample(kind)), wrong_value(kind), false),
        Verb::Update => (Some(json!({})), None, true),
        Verb::Assign => (Some(json!({"assignments": []})), Some(("assignments", json!("all"))), false),
        _ => (None, None, true),
    };
    Case::of_document(key, operation.method.name(), Box::leak(path.into_boxed_str()), body, wrong, optional)
}

/// Whether a path names something that all tenants have.
pub fn is_shared(path: &str) -> bool {
    path.contains("{cloudPcSupportedRegion}") || path.contains("{resourceNamespace}")
}

/// Returns a body with everything that the kind requires.
pub fn sample(kind: &'static DocumentKind) -> Value {
    let edm = Edm::of(Version::Beta);
    let mut body = Map::new();
    for fact in kind.facts {
        if let Fact::Required(property) = *fact {
            // The sample of the object that holds the property has it.
            if property.contains('/') {
                continue;
            }
            let (_, type_ref) = edm.property_path(kind.type_name(edm), property).unwrap();
            body.insert(property.into(), value(edm, kind, type_ref));
        }
    }
    for (property, value) in specific(kind) {
        body.insert(property.into(), value);
    }
    Value::Object(body)
}

/// Values that the contract and the facts do not tell.
fn specific(kind: &DocumentKind) -> Vec<(&'static str, Value)> {
    match kind.of {
        DocumentType::CloudPcProvisioningPolicy => vec![
            ("imageId", json!("{galleryImage}")),
            ("domainJoinConfigurations", json!([{"domainJoinType": "azureADJoin", "regionName": "automatic"}])),
        ],
        DocumentType::CloudPcGalleryImage => {
            vec![("id", json!("sample_offer_sku")), ("osVersionNumber", json!("10.0.22000"))]
        }
        DocumentType::CloudPcOnPremisesConnection => connection_sample(),
        DocumentType::CloudPcDeviceImage => vec![
            ("version", json!("0.0.1")),
            (
                "sourceImageResourceId",
                json!("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/sample"),
            ),
        ],
        DocumentType::CloudPcExportJob => vec![
            ("reportName", json!("actionStatusReport")),
            ("select", json!(["CloudPcId", "Action"])),
            ("filter", json!("ActionState eq 'done'")),
            ("format", json!("csv")),
        ],
        DocumentType::Webhook => vec![
            ("notificationUrl", json!(crate::webhooks::confirming())),
            ("scenario", json!("When a Cloud PC is created")),
        ],
        DocumentType::CloudPcProvisioningPolicyAssignment
        | DocumentType::CloudPcUserSettingAssignment
        | DocumentType::CloudPcMaintenanceWindowAssignment => vec![("target", json!({"groupId": TO_ASSIGN}))],
        DocumentType::CloudPcSettingProfileAssignment => vec![("groupId", json!(TO_ASSIGN))],
        DocumentType::CloudPcPoolAssignment => vec![("userPrincipalId", json!(TO_ASSIGN))],
        DocumentType::CloudPcMaintenanceWindow => vec![(
            "schedules",
            json!([{"scheduleType": "weekday", "startTime": "22:00:00", "endTime": "02:00:00.0000000"}]),
        )],
        DocumentType::CloudPcPool => vec![("cloudPcConfiguration", json!({"imageId": "{galleryImage}"}))],
        DocumentType::CloudPcCloudApp => vec![
            ("provisioningPolicyId", json!("{appPolicy}")),
            (
                "appDetail",
                json!({"@odata.type": "#microsoft.graph.cloudPcFilePathAppDetail", "filePath": "C:/app.exe"}),
            ),
        ],
        DocumentType::AlertRule => vec![("threshold", json!({"operator": "greaterOrEqual", "target": 1}))],
        DocumentType::UnifiedRoleDefinition => {
            vec![("rolePermissions", json!([{"allowedResourceActions": ["Microsoft.CloudPC/CloudPCs/Read"]}]))]
        }
        DocumentType::UnifiedRoleAssignmentMultiple => vec![
            ("principalIds", json!([ASSIGNED])),
            ("roleDefinitionId", json!(READER_ROLE.id)),
            ("appScopeIds", json!([DEFAULT_TAG])),
        ],
        _ => Vec::new(),
    }
}

fn connection_sample() -> Vec<(&'static str, Value)> {
    let subscription = "0ac520ee-14c0-480f-b6c9-0a90c585ffff";
    let group = format!("/subscriptions/{subscription}/resourceGroups/sample");
    let network = format!("{group}/providers/Microsoft.Network/virtualNetworks/sample");
    vec![
        ("subscriptionId", json!(subscription)),
        ("resourceGroupId", json!(group)),
        ("subnetId", json!(format!("{network}/subnets/default"))),
        ("virtualNetworkId", json!(network)),
        ("adDomainName", json!("corp.contoso.test")),
        ("adDomainUsername", json!("join@corp.contoso.test")),
        ("adDomainPassword", json!("sample password")),
    ]
}

fn value(edm: &Edm, kind: &DocumentKind, type_ref: &TypeRef) -> Value {
    let single = match type_ref.name.as_str() {
        "Edm.String" => json!(format!("Sample of {}", kind.name())),
        "Edm.Boolean" => json!(true),
        "Edm.Int32" => json!(1),
        name => match edm.enum_named(name) {
            Some(declared) => json!(declared.members[0]),
            None => json!({}),
        },
    };
    if type_ref.collection { json!([single]) } else { single }
}

/// A required property, and a value that is not of its type.
fn wrong_value(kind: &DocumentKind) -> Option<(&'static str, Value)> {
    let required = kind.facts.iter().find_map(|fact| if let Fact::Required(path) = *fact { Some(path) } else { None });
    required.map(|property| (property, json!(7)))
}

/// Creates a document of each kind that callers create, and one that nothing refers to; returns
/// their ids by their places in the paths of the cases.
pub async fn things(world: &TestServer, who: Who, image: &str) -> Vec<(&'static str, String)> {
    let mut ids: Vec<(&'static str, String)> = Vec::new();
    add_frontline_subscription(world, if who == Who::Stranger { 2 } else { 1 }).await;
    for kind in documents::KINDS {
        if let DocumentShape::Derived(_) = kind.shape {
            let path = format!("/beta{}", kind.at);
            ids.push((place(kind, ""), world.get(who, &path).await.rows()[0]["id"].as_str().unwrap().to_owned()));
        }
    }
    ids.push(("{galleryImage}", image.to_owned()));
    ids.push(("{appPolicy}", add_app_policy(world, who, image).await));
    ids.push(("{alertRecord}", add_alert_record(world, who).await));
    // Parents stand before what they contain.
    let mut kinds: Vec<_> = documents::KINDS.iter().filter(|kind| kind.verbs.contains(&Verb::Create)).collect();
    // The scenario has images, which only an administrator of the installation adds.
    kinds.retain(|kind| kind.of != DocumentType::CloudPcGalleryImage);
    kinds.sort_by_key(|kind| kind.at.matches('{').count());
    for kind in kinds {
        let prefixes: &[&str] = if kind.parent().is_none() { &["", UNUSED] } else { &[""] };
        for prefix in prefixes {
            let path = ids.iter().fold(kind.at.replace("-id}", "}"), |path, (name, id)| path.replace(name, id));
            let mut body = sample(kind);
            if body.get("displayName").is_some() {
                // Names may be unique, and this is called more than once for a tenant.
                body["displayName"] = json!(format!("Sample {}", world.app.rng.uuid()));
            }
            // The case that creates an assignment assigns another group.
            let body = ids.iter().fold(body.to_string(), |body, (name, id)| body.replace(name, id));
            let body = serde_json::from_str(&body.replace(TO_ASSIGN, ASSIGNED)).unwrap();
            let path = format!("/beta{path}");
            let who = if kind.access(Verb::Create).application.is_empty() { who.user() } else { who };
            let made = world.call(who, "POST", &path, Some(body)).await;
            assert_eq!(made.status, 201, "{}: {made}", kind.name());
            if kind.of == DocumentType::CloudPcDeviceImage {
                fail_upload(world, who, made.json()["id"].as_str().unwrap()).await;
            }
            ids.push((place(kind, prefix), made.json()["id"].as_str().unwrap().to_owned()));
        }
    }
    ids
}

/// Adds a policy whose users get single applications.
async fn add_app_policy(world: &TestServer, who: Who, image: &str) -> String {
    let body = json!({
        "displayName": format!("Applications {}", world.app.rng.uuid()), "imageId": image,
        "provisioningType": "sharedByEntraGroup", "userExperienceType": "cloudApp",
        "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": "automatic"}],
    });
    let made = world.call(who, "POST", &format!("{ROOT}/provisioningPolicies"), Some(body)).await;
    made.json()["id"].as_str().unwrap().to_owned()
}

/// Adds an alert record, which only the engine makes.
async fn add_alert_record(world: &TestServer, who: Who) -> String {
    let id = world.app.rng.uuid().to_string();
    let record = Document {
        tenant_id: tenant_of(who),
        key: DocumentKey::new(DocumentType::AlertRecord, &id),
        revision: 1,
        body: Map::new(),
        status: Map::new(),
        secret_counts: Map::new(),
        created_at: START,
        modified_at: START,
    };
    let put = move |tx: &mut Tx<'_>| tx.document_insert(&record, &DocumentIndex::default());
    world.app.store.write("test.write", put).await.unwrap().unwrap();
    id
}

fn tenant_of(who: Who) -> TenantId {
    let tenant = if who == Who::Stranger { 2 } else { 1 };
    format!("{tenant}0000000-0000-4000-8000-000000000001").parse().unwrap()
}

/// Ends the upload of an image, so that it can be deleted and uploaded again.
async fn fail_upload(world: &TestServer, who: Who, id: &str) {
    let tenant = tenant_of(who);
    let key = DocumentKey::new(DocumentType::CloudPcDeviceImage, id);
    let put = move |tx: &mut Tx<'_>| {
        let mut status = tx.document(tenant, &key)?.expect("it was created").status;
        status.insert("status".into(), json!("failed"));
        tx.document_status_put(tenant, &key, &status)
    };
    world.app.store.write("test.write", put).await.unwrap();
}

/// Gives tenant `n` of the fleet a subscription to a frontline service plan.
pub async fn add_frontline_subscription(world: &TestServer, n: u8) {
    let id = |last: &str| format!("{n}0000000-0000-4000-8000-{last:0>12}");
    let tenant_id = id("1").parse().unwrap();
    let plan = ServicePlan {
        id: id("cf").parse().unwrap(),
        display_name: "Cloud PC Frontline 2vCPU/4GB/64GB".into(),
        vcpu_count: 2,
        ram_gib: 4,
        storage_gib: 64,
        product: Product::Frontline,
        gpu: false,
    };
    let subscription = Subscription {
        tenant_id,
        sku_id: id("5af").parse().unwrap(),
        service_plan_id: plan.id,
        sku_part_number: "CPC_F_2C_4GB_64GB".into(),
        units: 4,
    };
    let put = move |tx: &mut Tx<'_>| {
        tx.service_plan_put(tenant_id, &plan)?;
        tx.subscription_put(&subscription, START)
    };
    world.app.store.write("test.write", put).await.unwrap();
}

fn place(kind: &DocumentKind, prefix: &str) -> &'static str {
    format!("{{{prefix}{}}}", kind.name()).leak()
}
