//! Frontline Cloud PCs that a group shares: provisioning, sessions, and what users may do.

use cloudpc_model::{CloudPcId, GroupId, Timestamp, UserId};
use cloudpc_store::{Group, StoreError, Subscription, Tx};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

use crate::document_cases::add_frontline_subscription;
use crate::reports::state_session;
use crate::world::{OWNER_TENANT, TestServer, Who};

const ROOT: &str = "/beta/deviceManagement/virtualEndpoint";
const POLICIES: &str = "/beta/deviceManagement/virtualEndpoint/provisioningPolicies";
const IMAGE: &str = "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc";
const PLAN: &str = "10000000-0000-4000-8000-0000000000cf";
const GROUP: GroupId = GroupId(Uuid::from_u128(0x91));
const USERS: [&str; 2] = ["10000000-0000-4000-8000-0000000000a1", "10000000-0000-4000-8000-0000000000a2"];
const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

/// A server whose group of Ada and Alan can share Cloud PCs by a policy.
struct SharedServer {
    server: TestServer,
    policy: String,
}

async fn write<T: Send + 'static>(
    server: &TestServer,
    change: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
) -> T {
    server.app.store.write("test.write", change).await.unwrap()
}

impl SharedServer {
    async fn new(units: u32, reset: &str) -> Self {
        let server = TestServer::new().await;
        server.run();
        add_frontline_subscription(&server, 1).await;
        write(&server, move |tx| {
            let tenant = OWNER_TENANT.parse().unwrap();
            let subscription = tx.subscription_list(tenant)?.remove(0);
            tx.subscription_put(&Subscription { units, ..subscription }, NOW)?;
            tx.group_put(&Group {
                tenant_id: tenant,
                id: GROUP,
                display_name: "Shift".into(),
                description: None,
                mail_nickname: "shift".into(),
                mail_enabled: false,
                security_enabled: true,
                created_at: NOW,
            })?;
            for user in USERS {
                tx.group_member_insert(tenant, GROUP, user.parse().unwrap(), NOW)?;
            }
            Ok(())
        })
        .await;
        let body = json!({
            "displayName": "Shared", "imageId": IMAGE, "provisioningType": "sharedByEntraGroup",
            "cloudPcNamingTemplate": "SHR-%RAND:5%", "snapshotResetMode": reset,
            "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": "westus3"}],
        });
        let policy = server.call(Who::Writer, "POST", POLICIES, Some(body)).await.json();
        Self { policy: policy["id"].as_str().unwrap().to_owned(), server }
    }

    /// Assigns the policy to the group with this many licences; none: removes the assignment.
    async fn assign(&self, licenses: Option<u32>) {
        let kind = "#microsoft.graph.cloudPcManagementGroupAssignmentTarget";
        let target = json!({"@odata.type": kind, "groupId": GROUP.0, "servicePlanId": PLAN,
            "allotmentLicensesCount": licenses, "allotmentDisplayName": "Night shift"});
        let assignments = licenses.map_or(json!([]), |_| json!([{"target": target}]));
        let path = format!("{POLICIES}/{}/assign", self.policy);
        let reply = self.server.call(Who::Writer, "POST", &path, Some(json!({"assignments": assignments}))).await;
        assert_eq!(reply.status, 204, "{reply}");
        self.server.settle().await;
    }

    async fn cloud_pcs(&self) -> Vec<Value> {
        let filter = format!("{ROOT}/cloudPCs?$filter=provisioningType%20eq%20'sharedByEntraGroup'");
        self.server.get(Who::Reader, &filter).await.rows()
    }

    async fn cloud_pc(&self, id: &str) -> Value {
        self.server.get(Who::Reader, &format!("{ROOT}/cloudPCs/{id}")).await.json()
    }

    async fn plan(&self) -> Value {
        self.server.get(Who::Reader, &format!("{ROOT}/frontLineServicePlans/{PLAN}")).await.json()
    }

    /// The ids of a user's shared Cloud PCs.
    async fn own(&self, who: Who) -> Vec<String> {
        let mut rows = self.server.get(who, "/beta/me/cloudPCs").await.rows();
        rows.retain(|row| row["provisioningType"] == "sharedByEntraGroup");
        let count = self.server.get(who, "/beta/me/cloudPCs/$count").await.body;
        assert_eq!(count.trim().parse(), Ok(self.server.get(who, "/beta/me/cloudPCs").await.rows().len()));
        rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }

    async fn connect(&self, id: &str, user: &str) -> u16 {
        let user = format!("{user}@contoso.test");
        state_session(&self.server, &json!({"cloudPcId": id, "userPrincipalName": user})).await
    }

    async fn sign_out(&self, id: &str) {
        let (tenant, id): (_, CloudPcId) = (OWNER_TENANT.parse().unwrap(), id.parse().unwrap());
        let resource = cloudpc_model::AuditResource::new(cloudpc_model::ResourceType::CloudPc, id);
        let (actor, verb) = (cloudpc_model::Actor::system(), cloudpc_model::AuditVerb::Inject);
        let entry = cloudpc_model::AuditEntry::new(tenant, NOW, actor, verb, resource);
        assert_eq!(self.server.app.engine.sign_out(tenant, id, entry).await.unwrap(), 1);
    }
}

fn ids(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_group_gets_as_many_cloud_pcs_as_licences_are_allotted_and_there_are() {
    let shared = SharedServer::new(3, "disabled").await;
    shared.assign(Some(2)).await;
    let rows = shared.cloud_pcs().await;
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert_eq!((&row["status"], &row["productType"]), (&json!("provisioned"), &json!("frontline")));
        assert_eq!((&row["userPrincipalName"], &row["sharedDeviceDetail"]), (&Value::Null, &Value::Null));
        assert_eq!(row["allotmentDisplayName"], "Night shift");
        assert_eq!(&row["managedDeviceName"].as_str().unwrap()[..4], "SHR-");
        let device = format!("/beta/deviceManagement/managedDevices/{}", row["managedDeviceId"].as_str().unwrap());
        let device = shared.server.get(Who::Ada, &device).await.json();
        assert_eq!((&device["userId"], &device["userPrincipalName"]), (&Value::Null, &Value::Null));
        let kinds = format!("{ROOT}/cloudPCs/{}/cloudpc.actions", row["id"].as_str().unwrap());
        let kinds = shared.server.get(Who::Reader, &kinds).await.rows();
        let kinds: Vec<_> = kinds.iter().map(|action| action["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["prepare", "provision"]);
    }
    let plan = shared.plan().await;
    assert_eq!(
        (&plan["totalCount"], &plan["usedCount"], &plan["allotmentLicensesCount"]),
        (&json!(3), &json!(2), &json!(2))
    );
    let [license] = shared.server.get(Who::Reader, &format!("{ROOT}/managedLicenses")).await.rows().try_into().unwrap();
    assert_eq!(license["assignedCount"], 2);
    let path = format!("{ROOT}/cloudPCs/getProvisionedCloudPCs(groupId='{}',servicePlanId='{PLAN}')", GROUP.0);
    assert_eq!(ids(&shared.server.get(Who::Reader, &path).await.rows()), ids(&rows));
    let paged = shared.server.get(Who::Reader, &format!("{path}?$top=1")).await.json();
    let next = paged["@odata.nextLink"].as_str().unwrap().split_once("/beta/").unwrap().1.to_owned();
    assert_eq!(ids(&shared.server.get(Who::Reader, &format!("/beta/{next}")).await.rows()), ids(&rows)[1..]);

    // More than there are licences: the rest follows when licences are added.
    shared.assign(Some(4)).await;
    assert_eq!(shared.cloud_pcs().await.len(), 3);
    let put = |tx: &mut Tx<'_>| {
        let subscription = tx.subscription_list(OWNER_TENANT.parse().unwrap())?.remove(0);
        cloudpc_engine::put_subscription(tx, &Subscription { units: 9, ..subscription }, NOW)
    };
    write(&shared.server, put).await;
    shared.server.settle().await;
    assert_eq!(shared.cloud_pcs().await.len(), 4);
}

#[tokio::test]
async fn surplus_cloud_pcs_enter_grace_and_those_in_use_stay() {
    let shared = SharedServer::new(3, "disabled").await;
    shared.assign(Some(3)).await;
    let used = ids(&shared.cloud_pcs().await)[2].clone();
    assert_eq!(shared.connect(&used, "alan").await, 201);
    let statuses = async || {
        let rows = shared.cloud_pcs().await;
        let of = |status: &str| rows.iter().filter(|row| row["status"] == status).count();
        (of("provisioned"), of("inGracePeriod"))
    };
    shared.assign(Some(1)).await;
    assert_eq!(statuses().await, (1, 2));
    assert_eq!(shared.cloud_pc(&used).await["status"], "provisioned");
    shared.assign(Some(2)).await;
    assert_eq!(statuses().await, (2, 1), "one is given back");
    shared.assign(None).await;
    assert_eq!(statuses().await, (0, 3));
    assert_eq!(shared.own(Who::Alan).await, [used], "the session goes on");
    shared.server.clock.advance(Duration::from_secs(7 * 24 * 3600)).await;
    shared.server.settle().await;
    assert_eq!(shared.cloud_pcs().await, Vec::<Value>::new());
    assert_eq!(shared.plan().await["usedCount"], 0);
}

#[tokio::test]
async fn a_member_gets_a_free_cloud_pc_and_it_is_prepared_after_the_session() {
    let shared = SharedServer::new(2, "disabled").await;
    shared.assign(Some(2)).await;
    let [id] = shared.own(Who::Alan).await.try_into().unwrap();
    let me = format!("/beta/me/cloudPCs/{id}");
    assert_eq!(shared.server.get(Who::Alan, &format!("{me}/retrieveCloudPcLaunchDetail")).await.status, 200);
    assert_eq!(shared.server.post(Who::Alan, &format!("{me}/reboot")).await.error(), (403, "sharedCloudPc".into()));
    let other = ids(&shared.cloud_pcs().await).into_iter().find(|other| *other != id).unwrap();
    assert_eq!(shared.server.get(Who::Alan, &format!("/beta/me/cloudPCs/{other}")).await.error().0, 404);

    assert_eq!(shared.connect(&id, "nobody").await, 400);
    assert_eq!(shared.connect(&id, "alan").await, 201);
    assert_eq!(shared.connect(&id, "ada").await, 409, "it has a user");
    assert_eq!(shared.connect(&other, "alan").await, 409, "one at a time");
    let detail = shared.cloud_pc(&id).await["sharedDeviceDetail"].clone();
    assert_eq!(detail["assignedToUserPrincipalName"], "alan@contoso.test");
    assert!(detail["sessionStartDateTime"].as_str().is_some(), "{detail}");
    assert_eq!(shared.own(Who::Alan).await, std::slice::from_ref(&id));
    assert_eq!(shared.own(Who::Ada).await, std::slice::from_ref(&other));
    for refused in ["reprovision", "cloudpc.undo"] {
        let reply = shared.server.post(Who::Alan, &format!("{me}/{refused}")).await;
        assert_eq!(reply.error(), (403, "sharedCloudPc".into()), "{refused}");
    }
    for refused in ["start", "stop"] {
        assert_eq!(shared.server.post(Who::Alan, &format!("{me}/{refused}")).await.error().0, 400, "{refused}");
    }
    let administrator = json!({"userAccountType": "administrator"});
    let path = format!("{ROOT}/cloudPCs/{id}/changeUserAccountType");
    assert_eq!(shared.server.call(Who::Writer, "POST", &path, Some(administrator)).await.error().0, 400);

    shared.sign_out(&id).await;
    let row = shared.cloud_pc(&id).await;
    assert_eq!((&row["status"], &row["sharedDeviceDetail"]), (&json!("preparing"), &Value::Null));
    assert_eq!(shared.connect(&id, "ada").await, 409, "it is not ready");
    shared.server.settle().await;
    assert_eq!(shared.cloud_pc(&id).await["status"], "provisioned");
    assert_eq!(shared.connect(&id, "ada").await, 201);

    // A restart signs the user off.
    assert_eq!(shared.server.post(Who::Ada, &format!("{me}/reboot")).await.status, 204);
    shared.server.settle().await;
    let row = shared.cloud_pc(&id).await;
    assert_eq!((&row["status"], &row["userPrincipalName"]), (&json!("provisioned"), &Value::Null));
}

#[tokio::test]
async fn a_user_who_leaves_the_group_loses_the_cloud_pc() {
    let shared = SharedServer::new(1, "enabled").await;
    shared.assign(Some(1)).await;
    let [id] = shared.own(Who::Alan).await.try_into().unwrap();
    assert_eq!(shared.connect(&id, "alan").await, 201);
    write(&shared.server, |tx| {
        let user: UserId = USERS[1].parse().unwrap();
        tx.group_member_delete(OWNER_TENANT.parse().unwrap(), GROUP, user, NOW)
    })
    .await;
    shared.server.settle().await;
    assert_eq!(
        (shared.own(Who::Alan).await, shared.cloud_pc(&id).await["userPrincipalName"].clone()),
        (vec![], Value::Null)
    );
    assert_eq!(shared.connect(&id, "alan").await, 403);
    assert_eq!(shared.own(Who::Ada).await, [id]);
}

#[tokio::test]
async fn a_failed_preparation_fails_the_cloud_pc_until_the_policy_is_retried() {
    let shared = SharedServer::new(1, "enabled").await;
    shared.assign(Some(1)).await;
    let [id] = shared.own(Who::Alan).await.try_into().unwrap();
    assert_eq!(shared.connect(&id, "alan").await, 201);
    let fail = cloudpc_engine::FaultRule {
        kind: Some(cloudpc_model::Kind::Prepare),
        ..serde_json::from_value(json!({"effect": {"effect": "fail", "code": "scripted"}})).unwrap()
    };
    let simulation = shared.server.app.simulation.as_ref().unwrap();
    simulation.faults.add(fail);
    shared.sign_out(&id).await;
    shared.server.settle().await;
    assert_eq!(shared.cloud_pc(&id).await["status"], "failed");
    assert_eq!((shared.own(Who::Ada).await, shared.connect(&id, "ada").await), (vec![], 409));
    simulation.faults.clear();
    assert_eq!(shared.server.post(Who::Writer, &format!("{POLICIES}/{}/retry", shared.policy)).await.status, 204);
    shared.server.settle().await;
    assert_eq!(
        (shared.cloud_pc(&id).await["status"].clone(), shared.own(Who::Ada).await),
        (json!("provisioned"), vec![id])
    );
}

#[tokio::test]
async fn shared_assignments_need_a_frontline_plan_and_a_number() {
    let shared = SharedServer::new(1, "disabled").await;
    let path = format!("{POLICIES}/{}/assign", shared.policy);
    let kind = "#microsoft.graph.cloudPcManagementGroupAssignmentTarget";
    let enterprise = "10000000-0000-4000-8000-0000000000c1";
    for (target, about) in [
        (json!({"servicePlanId": PLAN}), "target/allotmentLicensesCount"),
        (json!({"servicePlanId": enterprise, "allotmentLicensesCount": 1}), "target/servicePlanId"),
    ] {
        let mut target = target;
        target["@odata.type"] = json!(kind);
        target["groupId"] = json!(GROUP.0);
        let body = json!({"assignments": [{"target": target}]});
        let reply = shared.server.call(Who::Writer, "POST", &path, Some(body)).await;
        assert_eq!((reply.error().0, &reply.json()["error"]["target"]), (400, &json!(about)), "{reply}");
    }
}
