//! Responses conform to `$metadata` of their version: properties, types and nullability.

use cloudpc_graph::edm::{Edm, OperationKind, ResponseShape, TypeRef};
use cloudpc_graph::{Operation, Version};
use cloudpc_model::{SkuId, TenantId};
use cloudpc_server::operations::row;
use cloudpc_store::{Group, LicenseHolder, StoreError, Subscription, Tx};
use serde_json::{Map, Value, json};

use crate::cases::IS_NEVER_FOUND;
use crate::document_cases::ASSIGNED;
use crate::world::{DESK_1, DESK_2, DEVICE_1, OWNER_TENANT, PARTNER, PLAN_2, START, TestServer, Who};

#[tokio::test]
async fn responses_conform_to_the_metadata() {
    let world = TestServer::new().await;
    let keys = populate(&world).await;
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for edm in [Edm::of(Version::V1), Edm::of(Version::Beta)] {
        for operation in edm.operations.iter().filter(|operation| is_read(operation)) {
            let path = format!("/{}{}", edm.version.segment(), fill(&operation.path, &keys));
            let every = every_property(edm, operation).join(",");
            // Primitive values have nothing to select.
            let queries = [String::new(), "?$select=*".into(), format!("?$select={every}")];
            for query in queries.into_iter().take(if every.is_empty() { 1 } else { 3 }) {
                let reply = world.get(Who::Ada, &format!("{path}{query}")).await;
                assert_eq!(reply.status, 200, "{path}{query}: {}", reply.body);
                let check = ServedProperty { edm, whole: query.ends_with(&every) && !every.is_empty() };
                seen += check.answer(operation, &reply.json(), &path, &mut wrong);
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{} mistakes:\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen > 200, "too few values: {seen}");
}

/// Gives every list a row, and returns the keys of one row each.
async fn populate(world: &TestServer) -> Vec<(&'static str, String)> {
    const VE: &str = "/beta/deviceManagement/virtualEndpoint";
    world.run();
    let post = async |path: String, body: Option<Value>| {
        let reply = world.call(Who::Ada, "POST", &path, body).await;
        assert!(reply.status.is_success(), "{path}: {}", reply.body);
        reply
    };
    post(format!("{VE}/cloudPCs/{DESK_1}/createSnapshot"), None).await;
    world.rest().await;
    post(format!("{VE}/cloudPCs/{DESK_1}/reprovision"), Some(json!({}))).await;
    post(format!("{VE}/cloudPCs/{DESK_2}/reboot"), None).await;
    world.rest().await;
    let ids = json!({"cloudPcIds": [DESK_1, DESK_2, "nothing"]});
    let deployed = post(format!("{VE}/externalPartners/{PARTNER}/deployAgent"), Some(ids)).await;
    world.rest().await;
    let bulk = json!({
        "@odata.type": "#microsoft.graph.cloudPcBulkRestart", "displayName": "Restart", "cloudPcIds": [DESK_1, "nothing"],
    });
    let bulk = post(format!("{VE}/bulkActions"), Some(bulk)).await;
    world.rest().await;
    let sku = populate_directory(world).await;
    let first = async |path: String| world.get(Who::Ada, &path).await.rows()[0]["id"].as_str().unwrap().to_owned();
    let image = first(format!("{VE}/galleryImages")).await;
    let documents = crate::document_cases::things(world, Who::Ada, &image).await;
    // The contract writes `-id` after the type.
    let documents = documents.into_iter().map(|(name, id)| (&*name.replace('}', "-id}").leak(), id));
    let own = vec![
        ("{user-id}", "ada@contoso.test".into()),
        ("{userPrincipalName}", "ada@contoso.test".into()),
        ("{group-id}", ASSIGNED.into()),
        ("{groupId}", ASSIGNED.into()),
        ("{servicePlanId}", PLAN_2.into()),
        ("{subscribedSku-id}", sku),
        ("{cloudPC-id}", DESK_1.into()),
        ("{managedDevice-id}", DEVICE_1.into()),
        ("{cloudPcExternalPartner-id}", PARTNER.into()),
        ("{cloudPcExternalPartnerSetting-id}", PARTNER.into()),
        ("{activity-id}", deployed.json()["value"].as_str().unwrap().into()),
        ("{action-id}", first(format!("{VE}/cloudPCs/{DESK_1}/cloudpc.actions")).await),
        ("{cloudPcBulkAction-id}", bulk.json()["id"].as_str().unwrap().into()),
        ("{cloudPcAuditEvent-id}", first(format!("{VE}/auditEvents")).await),
        ("{cloudPcGalleryImage-id}", first(format!("{VE}/galleryImages")).await),
        ("{cloudPcServicePlan-id}", first(format!("{VE}/servicePlans")).await),
        ("{unifiedRbacResourceNamespace-id}", "Microsoft.CloudPC".into()),
        ("{unifiedRbacResourceAction-id}", "Microsoft.CloudPC-CloudPCs-Read".into()),
        ("{appScope-id}", "0".into()),
        ("{directoryObject-id}", ASSIGNED.into()),
        ("{cloudPcSnapshot-id}", first(format!("{VE}/snapshots")).await),
    ];
    own.into_iter().chain(documents).collect()
}

/// Adds the group that assignments assign, with a member who gets a licence through it; returns the
/// key of the subscription.
async fn populate_directory(world: &TestServer) -> String {
    let tenant_id: TenantId = OWNER_TENANT.parse().unwrap();
    let (sku_id, group) = (SkuId(tenant_id.0), ASSIGNED.parse().unwrap());
    let subscription = Subscription {
        tenant_id,
        sku_id,
        service_plan_id: PLAN_2.parse().unwrap(),
        sku_part_number: "CPC_B".into(),
        units: 5,
    };
    let write = move |tx: &mut Tx<'_>| {
        tx.group_put(&Group {
            tenant_id,
            id: group,
            display_name: "Team".into(),
            description: None,
            mail_nickname: "team".into(),
            mail_enabled: false,
            security_enabled: true,
            created_at: START,
        })?;
        let ada = tx.user_by_name(tenant_id, "ada@contoso.test")?.unwrap();
        tx.group_member_insert(tenant_id, group, ada.id, START)?;
        tx.subscription_put(&subscription, START)?;
        tx.license_assign(tenant_id, sku_id, LicenseHolder::Group(group), START)?.unwrap();
        Ok::<_, StoreError>(())
    };
    world.app.store.write("test.write", write).await.unwrap();
    format!("{tenant_id}_{sku_id}")
}

/// Returns whether an operation is implemented, reads only and answers JSON objects. The screenshot
/// is a PNG, `$count` is plain text, the activity types are strings, and no user profile has a
/// snapshot.
fn is_read(operation: &Operation) -> bool {
    let is_text = matches!(&operation.response, ResponseShape::Collection(name) if name.starts_with("Edm."));
    if is_text || operation.key == "cloudPcUserProfileSnapshot.get" {
        return false;
    }
    let kinds = [OperationKind::List, OperationKind::Get, OperationKind::Function];
    // The Cloud PCs of the fleet are not Frontline, and have no access state.
    let has_answer =
        operation.key != "cloudPC.getFrontlineCloudPcAccessState" && !IS_NEVER_FOUND.contains(&operation.key.as_str());
    let is_stream = operation.response == ResponseShape::Stream;
    row(&operation.key).is_some() && kinds.contains(&operation.kind) && !is_stream && has_answer
}

fn fill(path: &str, keys: &[(&str, String)]) -> String {
    // Alternate keys and arguments that are needed are filled in; other arguments are left out.
    let (name, arguments) = path.split_once('(').unwrap_or((path, ""));
    let path = match name.rsplit('/').next().unwrap() {
        "retrieveDiscoveredApps" => format!("{name}(sourceId='{{cloudPcGalleryImage-id}}')"),
        "retrieveOrganizationActionDetail" => format!("{name}(actionType='activate')"),
        _ if keys.iter().any(|(key, _)| arguments.contains(key)) => path.to_owned(),
        _ => name.to_owned(),
    };
    keys.iter().fold(path, |path, (name, key)| path.replace(name, key))
}

fn every_property(edm: &'static Edm, operation: &Operation) -> Vec<&'static str> {
    let declared = operation.item_type.as_deref().and_then(|name| edm.type_named(name));
    declared.map_or_else(Vec::new, |declared| declared.properties.iter().map(|own| own.name.as_str()).collect())
}

/// Checks responses of an API version; `whole` if every property was selected.
struct ServedProperty {
    edm: &'static Edm,
    whole: bool,
}

impl ServedProperty {
    /// Adds the mistakes of a response to `wrong`. Returns its number of properties.
    fn answer(&self, operation: &Operation, body: &Value, path: &str, wrong: &mut Vec<String>) -> usize {
        let object = |name: &str, value: &Value, wrong: &mut Vec<String>| {
            let members = value.as_object().unwrap_or_else(|| panic!("{path}: {value}"));
            self.object(name, members, self.whole, path, wrong);
            members.len()
        };
        match &operation.response {
            ResponseShape::Entity(name) | ResponseShape::Complex(name) => object(name, body, wrong),
            ResponseShape::Collection(name) if name.starts_with("Edm.") => {
                let values = body["value"].as_array().unwrap_or_else(|| panic!("{path}: {body}"));
                assert!(values.iter().all(Value::is_string), "{path}: {body}");
                values.len()
            }
            ResponseShape::Collection(name) => {
                let rows = body["value"].as_array().unwrap_or_else(|| panic!("{path}: {body}"));
                rows.iter().map(|row| object(name, row, wrong)).sum()
            }
            other => panic!("{path} answers {other:?}, which this test does not read"),
        }
    }

    fn object(&self, type_name: &str, given: &Map<String, Value>, whole: bool, path: &str, wrong: &mut Vec<String>) {
        let derived = given.get("@odata.type").and_then(Value::as_str).and_then(|name| name.rsplit('.').next());
        if derived.is_some_and(|name| !self.edm.is_a(name, type_name)) {
            wrong.push(format!("{path}: {given:?} is not a {type_name}"));
        }
        // A path selects the properties of its own type, and not those of derived types.
        let selected = self.edm.type_named(type_name).into_iter().flat_map(|own| &own.properties);
        let type_name = derived.unwrap_or(type_name);
        let Some(declared) = self.edm.type_named(type_name) else {
            wrong.push(format!("{path}: there is no type {type_name}"));
            return;
        };
        for (name, value) in given.iter().filter(|(name, _)| !name.contains('@')) {
            let place = format!("{type_name}/{name} ({})", self.edm.version.segment());
            match declared.properties.iter().find(|own| own.name == *name) {
                Some(own) => self.property(&own.type_ref, value, &place, wrong),
                None => wrong.push(format!("{place}: there is no such property")),
            }
        }
        for own in selected.filter(|own| whole && !own.type_ref.navigation) {
            if !given.contains_key(&own.name) {
                wrong.push(format!("{type_name}/{}: was selected and is missing", own.name));
            }
        }
    }

    fn property(&self, type_ref: &TypeRef, value: &Value, place: &str, wrong: &mut Vec<String>) {
        match value {
            Value::Null if type_ref.nullable && !type_ref.collection => {}
            Value::Array(elements) if type_ref.collection => {
                elements.iter().for_each(|element| self.single(type_ref, element, place, wrong));
            }
            other if type_ref.collection => wrong.push(format!("{place}: {other} is not a collection")),
            other => self.single(type_ref, other, place, wrong),
        }
    }

    fn single(&self, type_ref: &TypeRef, value: &Value, place: &str, wrong: &mut Vec<String>) {
        let name = type_ref.name.as_str();
        let text = value.as_str();
        let fits = match name {
            "Edm.Untyped" => true,
            "Edm.String" => text.is_some(),
            "Edm.Guid" => text.is_some_and(|text| text.len() == 36 && text.parse::<TenantId>().is_ok()),
            "Edm.Boolean" => value.is_boolean(),
            "Edm.Int32" => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            "Edm.Int64" => value.is_i64(),
            "Edm.Double" => value.is_number(),
            // The earliest time of OData is in the year 1.
            "Edm.DateTimeOffset" => text.is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
            "Edm.TimeOfDay" => text.is_some_and(|text| text.parse::<jiff::civil::Time>().is_ok()),
            "Edm.Date" => text.is_some_and(|text| text.parse::<jiff::civil::Date>().is_ok()),
            _ => match (self.edm.enum_named(name), value) {
                (Some(declared), Value::String(text)) => {
                    let known = &declared.members;
                    let parts = if declared.flags { text.split(',').collect() } else { vec![text.as_str()] };
                    parts.iter().all(|part| known.iter().any(|member| member == part))
                }
                (Some(_), _) => false,
                (None, Value::Object(given)) => {
                    let derived = given.get("@odata.type").and_then(Value::as_str);
                    let derived = derived.and_then(|name| name.strip_prefix("#microsoft.graph."));
                    let actual = derived.filter(|derived| self.edm.is_a(derived, name)).unwrap_or(name);
                    return self.object(actual, given, false, place, wrong);
                }
                (None, _) => false,
            },
        };
        if !fits {
            wrong.push(format!("{place}: {value} is not {name}"));
        }
    }
}
