//! A server with an object of each kind that the cases name.

use axum::body::Body;
use cloudpc_model::{
    ActionId, Before, CloudPc, CloudPcId, GalleryImage, ImageId, OsVersion, Product, Snapshot, SnapshotId,
    SnapshotType, TenantId, UndoRecord,
};
use cloudpc_store::{Entitlement, Group, Subscription, Tx, User, UserProfile};
use http::Request;
use serde_json::{Value, json};
use std::time::Duration;

use crate::cases::Case;
use crate::document_cases;
use crate::world::{DESK_1, PLAN_2, Reply, START, TestServer, Who};

/// A server with an object of each kind that the cases name, and their ids.
pub struct Scene {
    pub world: TestServer,
    pub ids: Vec<(&'static str, String)>,
}

pub const ROOT: &str = "/beta/deviceManagement/virtualEndpoint";
const IMAGE: &str = "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc";

/// Returns an object of each kind in the `n`th tenant of `world.toml`, by placeholder. `who`
/// creates those that the scenario lacks.
pub async fn things(world: &TestServer, who: Who, n: u8, plan: &str, image: &str) -> Vec<(&'static str, String)> {
    let id = |last: &str| format!("{n}0000000-0000-4000-8000-{last:0>12}");
    let (desk, partner) = (id("d1"), id("fab1"));
    let cloud_pc: CloudPcId = desk.parse().unwrap();
    let snapshot = SnapshotId::new(cloud_pc, cloud_pc.0);
    let restore_point = Snapshot {
        tenant_id: id("1").parse::<TenantId>().unwrap(),
        id: snapshot.clone(),
        cloud_pc_id: cloud_pc,
        snapshot_type: SnapshotType::Manual,
        created_at: START,
        last_restored_at: None,
    };
    let tenant = restore_point.tenant_id;
    let unused = GalleryImage {
        id: ImageId(format!("nobodys_unused_{n}")),
        display_name: "Unused".into(),
        size_gib: 1,
        os_version: OsVersion::Windows11,
        os_version_number: None,
    };
    let unused_id = unused.id.0.clone();
    let (user, member, group, sku) = (id("da1"), id("da2"), id("6a1"), id("5a1"));
    let people = [user.clone(), member.clone()].map(|person| User {
        tenant_id: tenant,
        id: person.parse().unwrap(),
        user_principal_name: format!("{person}@tenant{n}.test"),
        display_name: "Somebody".into(),
        password_hash: None,
        roles: Vec::new(),
        permissions: Vec::new(),
        enabled: true,
        profile: UserProfile::default(),
        created_at: None,
    });
    let team = Group {
        tenant_id: tenant,
        id: group.parse().unwrap(),
        display_name: "Team".into(),
        description: None,
        mail_nickname: "team".into(),
        mail_enabled: false,
        security_enabled: true,
        created_at: START,
    };
    let subscription = Subscription {
        tenant_id: tenant,
        sku_id: sku.parse().unwrap(),
        service_plan_id: plan.parse().unwrap(),
        sku_part_number: "CPC_B".into(),
        units: 5,
    };
    let put = move |tx: &mut Tx<'_>| {
        people.iter().try_for_each(|person| tx.user_put(person))?;
        for id in [team.id.to_string(), document_cases::ASSIGNED.into(), document_cases::TO_ASSIGN.into()] {
            tx.group_put(&Group { id: id.parse().unwrap(), ..team.clone() })?;
        }
        tx.group_member_insert(tenant, team.id, people[1].id, START)?;
        tx.subscription_put(&subscription, START)?;
        tx.snapshot_put(&restore_point)?;
        tx.gallery_image_put(tenant, &unused)
    };
    world.app.store.write("test.write", put).await.unwrap();
    let deploy = format!("{ROOT}/externalPartners/{partner}/deployAgent");
    let deployed = world.call(who, "POST", &deploy, Some(json!({"cloudPcIds": [desk]}))).await;
    let first =
        async |path: &str| world.get(who, &format!("{ROOT}/{path}")).await.rows()[0]["id"].as_str().unwrap().to_owned();
    let action = first(&format!("cloudPCs/{desk}/cloudpc.actions")).await;
    let action_id: ActionId = action.parse().unwrap();
    let made = world.app.store.write("test.write", move |tx| {
        let way_back = UndoRecord {
            tenant_id: tenant,
            cloud_pc_id: cloud_pc,
            action_id,
            tag_nonce: None,
            before: Before::of(&tx.cloud_pc(tenant, cloud_pc)?.expect("the fleet has it"), true),
            kept_until: START + Duration::from_hours(24),
            size_bytes: None,
            dropping: false,
        };
        tx.undo_record_put(&way_back, START)
    });
    made.await.unwrap();
    let policies = format!("{ROOT}/provisioningPolicies");
    let body = json!({
        "displayName": format!("Desks {action}"), "imageId": image,
        "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": "automatic"}],
    });
    let policy = world.call(who, "POST", &policies, Some(body)).await.json()["id"].as_str().unwrap().to_owned();
    let body = json!({"assignments": [{"target": {"groupId": group}}]});
    assert_eq!(world.call(who, "POST", &format!("{policies}/{policy}/assign"), Some(body)).await.status, 204);
    // A Cloud PC of that policy, so that it can be applied.
    let governed = Entitlement {
        tenant_id: tenant,
        cloud_pc_id: cloud_pc,
        user_id: Some(id("da1").parse().unwrap()),
        policy_id: policy.clone(),
        assignment_id: String::new(),
        service_plan_id: plan.parse().unwrap(),
        sku_id: None,
    };
    let govern = move |tx: &mut Tx<'_>| match tx.entitlement(tenant, cloud_pc)? {
        Some(_) => Ok(()),
        None => tx.entitlement_insert(&governed),
    };
    world.app.store.write("test.write", govern).await.unwrap();
    let body = json!({
        "@odata.type": "#microsoft.graph.cloudPcBulkTroubleshoot", "displayName": "All desks", "cloudPcIds": [desk],
    });
    let bulk_action = world.call(who, "POST", &format!("{ROOT}/bulkActions"), Some(body)).await;
    let documents = document_cases::things(world, who, image).await;
    let (shared, shared_device) = (id("d9"), id("e9"));
    let (shared_id, shared_plan) = (shared.clone(), id("cf"));
    let share = move |tx: &mut Tx<'_>| {
        let desk = tx.cloud_pc(tenant, cloud_pc)?.expect("the fleet has it");
        let shared_id: CloudPcId = shared_id.parse().unwrap();
        if tx.cloud_pc(tenant, shared_id)?.is_some() {
            return Ok(());
        }
        tx.cloud_pc_insert(&CloudPc {
            id: shared_id,
            managed_device_id: shared_device.parse().unwrap(),
            managed_device_name: "CPC-shared".into(),
            display_name: "shared".into(),
            product: Product::Frontline,
            service_plan_id: shared_plan.parse().unwrap(),
            ..desk
        })
    };
    world.app.store.write("test.write", share).await.unwrap();
    let own = vec![
        ("{governedCloudPC}", desk.clone()),
        ("{frontlineCloudPC}", shared),
        ("{resourceNamespace}", "Microsoft.CloudPC".to_owned()),
        ("{resourceAction}", "Microsoft.CloudPC-CloudPCs-Read".to_owned()),
        ("{appScope}", "0".to_owned()),
        ("{assignedPrincipal}", document_cases::ASSIGNED.to_owned()),
        ("{assignment}", format!("{policy}_{group}")),
        ("{policy}", policy),
        ("{bulkAction}", bulk_action.json()["id"].as_str().unwrap().to_owned()),
        ("{subscribedSku}", format!("{tenant}_{sku}")),
        ("{sku}", sku),
        ("{group}", group),
        ("{user}", user),
        ("{member}", member),
        ("{action}", action),
        ("{auditEvent}", first("auditEvents").await),
        ("{cloudPC}", desk),
        ("{managedDevice}", id("e1")),
        ("{cloudPcServicePlan}", plan.to_owned()),
        ("{galleryImage}", image.to_owned()),
        ("{cloudPcGalleryImage}", image.to_owned()),
        ("{unused-cloudPcGalleryImage}", unused_id),
        ("{snapshot}", snapshot.0),
        ("{partner}", partner),
        ("{activity}", deployed.json()["value"].as_str().unwrap().to_owned()),
    ];
    own.into_iter().chain(documents).collect()
}

impl Scene {
    pub async fn new() -> Self {
        let world = TestServer::new().await;
        let ids = things(&world, Who::Writer, 1, PLAN_2, IMAGE).await;
        Self { world, ids }
    }

    pub fn path(&self, case: &Case) -> String {
        self.fill(case.path.to_owned())
    }

    /// Returns the path with its `place`th id replaced.
    pub fn path_with(&self, case: &Case, place: usize, id: &str) -> Option<String> {
        let mut names: Vec<_> = self.ids.iter().filter_map(|(name, _)| Some((case.path.find(name)?, *name))).collect();
        names.sort_unstable();
        names.get(place).map(|(_, name)| self.fill(case.path.replace(name, id)))
    }

    pub fn fill(&self, path: String) -> String {
        let filled = self.named(path);
        if let Some(path) = filled.strip_prefix('~') {
            return format!("/beta{path}");
        }
        match filled.strip_prefix("..") {
            Some(path) => format!("/beta/deviceManagement{path}"),
            None => format!("{ROOT}{filled}"),
        }
    }

    pub fn body(&self, case: &Case) -> Option<Value> {
        let text = case.body.as_ref()?.to_string();
        Some(serde_json::from_str(&self.named(text)).unwrap())
    }

    /// Replaces placeholders in a text by ids.
    pub fn named(&self, text: String) -> String {
        self.ids.iter().fold(text, |text, (name, id)| text.replace(name, id))
    }

    pub async fn send(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.world.send(request.body(Body::from(body)).unwrap()).await
    }

    pub async fn json(&self, token: &str, case: &Case, body: impl Into<Vec<u8>>) -> Reply {
        self.send(Some(token), case.method, &self.path(case), &[("content-type", "application/json")], body.into())
            .await
    }

    /// Returns the state that a rejected request must not change.
    pub async fn state(&self) -> Vec<String> {
        let mut state = Vec::new();
        for path in [
            "auditEvents",
            "bulkActions",
            "externalPartners",
            "cloudPCs?$select=*",
            "snapshots",
            "galleryImages",
            "provisioningPolicies?$expand=assignments",
            "userSettings?$expand=assignments",
            "onPremisesConnections",
            "webhooks",
            "maintenanceWindows?$expand=assignments",
            "settingProfiles?$expand=assignments",
            "cloudApps",
            "cloudPcPools?$expand=assignments",
        ] {
            state.push(self.world.get(Who::Writer, &format!("{ROOT}/{path}")).await.body);
        }
        state.push(self.world.get(Who::Writer, &format!("{ROOT}/cloudPCs/{DESK_1}/cloudpc.actions")).await.body);
        let group = self.named("groups/{group}/members".into());
        state.push(self.world.get(Who::Writer, "/beta/deviceManagement/monitoring/alertRules").await.body);
        let roles = ["roleManagement/cloudPC/roleDefinitions", "roleManagement/cloudPC/roleAssignments"];
        for path in ["users?$select=*", "groups?$select=*", "subscribedSkus", &group].into_iter().chain(roles) {
            state.push(self.world.get(Who::Writer, &format!("/beta/{path}")).await.body);
        }
        state
    }
}
