//! Provisioning policies through HTTP: assigning and applying one, the grace period, and the
//! upgrade of Cloud PCs that had no policy.

use cloudpc_model::{
    CloudPc, CloudPcId, GroupId, Kind, ManagedDeviceId, Product, SeededRng, ServicePlan, ServicePlanId, SkuId,
    TenantId, Timestamp, UserId,
};
use cloudpc_server::documents::adopt;
use cloudpc_server::operations::APPLY_CLOUD_PC_IDS_MAX;
use cloudpc_store::{Group, LicenseHolder, StoreError, Subscription, Tx};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

use crate::world::{TestServer, Who};

const CLOUD_PCS: &str = "/beta/deviceManagement/virtualEndpoint/cloudPCs";
const DESK_1: &str = "/beta/deviceManagement/virtualEndpoint/cloudPCs/10000000-0000-4000-8000-0000000000d1";
const POLICIES: &str = "/beta/deviceManagement/virtualEndpoint/provisioningPolicies";
const IMAGE: &str = "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc";
const ADA: UserId = UserId(Uuid::from_u128(0x10000000_0000_4000_8000_0000000000a1));
const ALAN: UserId = UserId(Uuid::from_u128(0x10000000_0000_4000_8000_0000000000a2));
const PLAN: ServicePlanId = ServicePlanId(Uuid::from_u128(0x10000000_0000_4000_8000_0000000000c1));
const GROUP: GroupId = GroupId(Uuid::from_u128(0x91));
const SKU: SkuId = SkuId(Uuid::from_u128(0x51));
const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

fn tenant() -> TenantId {
    "10000000-0000-4000-8000-000000000001".parse().unwrap()
}

impl TestServer {
    async fn change<T: Send + 'static>(
        &self,
        change: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.app.store.write("test.write", change).await.unwrap()
    }

    /// Reconciles queued users and waits until no action is open.
    pub async fn settle(&self) {
        for _ in 0..2 {
            self.clock.advance(Duration::ZERO).await;
            self.rest().await;
        }
    }

    /// Returns the Cloud PCs of a policy.
    async fn cloud_pcs_of_policy(&self, policy: &str) -> Vec<Value> {
        let mut rows = self.get(Who::Reader, CLOUD_PCS).await.rows();
        rows.retain(|row| row["provisioningPolicyId"] == policy);
        rows
    }
}

/// Makes a group with Alan, who holds a licence.
async fn add_group(server: &TestServer) {
    server
        .change(|tx| {
            tx.group_put(&Group {
                tenant_id: tenant(),
                id: GROUP,
                display_name: "Sales".into(),
                description: None,
                mail_nickname: "sales".into(),
                mail_enabled: false,
                security_enabled: true,
                created_at: NOW,
            })?;
            tx.group_member_insert(tenant(), GROUP, ALAN, NOW)?;
            let sku_part_number = "CPC_B_2C_8GB_128GB".into();
            let subscription =
                Subscription { tenant_id: tenant(), sku_id: SKU, service_plan_id: PLAN, sku_part_number, units: 1 };
            tx.subscription_put(&subscription, NOW)?;
            tx.license_assign(tenant(), SKU, LicenseHolder::User(ALAN), NOW).map(Result::unwrap)
        })
        .await;
}

#[tokio::test]
async fn assigning_a_policy_provisions_and_removing_the_assignment_begins_grace() {
    let server = TestServer::new().await;
    server.run();
    add_group(&server).await;
    let body = json!({
        "displayName": "Sales", "imageId": IMAGE, "cloudPcNamingTemplate": "SAL-%RAND:5%",
        "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": "westus3"}],
    });
    let policy = server.call(Who::Writer, "POST", POLICIES, Some(body)).await.json();
    let policy = policy["id"].as_str().unwrap().to_owned();
    server.settle().await;
    assert_eq!(server.cloud_pcs_of_policy(&policy).await, Vec::<Value>::new());

    let assign = format!("{POLICIES}/{policy}/assign");
    let target = json!({"@odata.type": "#microsoft.graph.cloudPcManagementGroupAssignmentTarget", "groupId": GROUP.0});
    let body = json!({"assignments": [{"target": target}]});
    assert_eq!(server.call(Who::Writer, "POST", &assign, Some(body)).await.status, 204);
    server.settle().await;
    let [cloud_pc] = server.cloud_pcs_of_policy(&policy).await.try_into().unwrap();
    assert_eq!(
        (&cloud_pc["status"], &cloud_pc["userPrincipalName"]),
        (&json!("provisioned"), &json!("alan@contoso.test"))
    );
    assert_eq!(&cloud_pc["managedDeviceName"].as_str().unwrap()[..4], "SAL-");
    let path = cloud_pc["id"].as_str().unwrap().to_owned();
    let beta = format!("{CLOUD_PCS}/{path}");
    let v1 = format!("/v1.0/deviceManagement/virtualEndpoint/cloudPCs/{path}/endGracePeriod");
    let actions = server.get(Who::Reader, &format!("{beta}/cloudpc.actions")).await.rows();
    assert_eq!((actions.len(), &actions[0]["kind"]), (1, &json!(Kind::Provision.name())));
    let results = server.get(Who::Writer, &format!("{beta}/retrieveCloudPCRemoteActionResults")).await.rows();
    assert_eq!(results, Vec::<Value>::new(), "provisioning is no remote action");

    let refused = server.post(Who::Writer, &format!("{CLOUD_PCS}/{path}/endGracePeriod")).await;
    assert_eq!(refused.error(), (409, "notInGracePeriod".into()));
    let none = json!({"assignments": []});
    assert_eq!(server.call(Who::Writer, "POST", &assign, Some(none)).await.status, 204);
    server.settle().await;
    assert_eq!(server.get(Who::Reader, &beta).await.json()["status"], "inGracePeriod");
    assert_eq!(server.post(Who::Writer, &v1).await.status, 204);
    assert_eq!(server.get(Who::Reader, &beta).await.json()["status"], "deprovisioning");
    server.settle().await;
    assert_eq!(server.get(Who::Reader, &beta).await.error().0, 404);
    assert_eq!(server.call(Who::Writer, "DELETE", &format!("{POLICIES}/{policy}"), None).await.status, 204);
}

#[tokio::test]
async fn resize_waits_for_a_licence_of_another_group() {
    const BIG_PLAN: ServicePlanId = ServicePlanId(Uuid::from_u128(0x10000000_0000_4000_8000_0000000000c2));
    const BIG_SKU: SkuId = SkuId(Uuid::from_u128(0x52));
    const BIG_GROUP: GroupId = GroupId(Uuid::from_u128(0x92));
    let server = TestServer::new().await;
    server.run();
    add_group(&server).await;
    server
        .change(|tx| {
            let group = tx.group(tenant(), GROUP)?.unwrap();
            tx.group_put(&Group { id: BIG_GROUP, display_name: "Design".into(), ..group })?;
            let small = tx.subscription(tenant(), SKU)?.unwrap();
            tx.subscription_put(&Subscription { sku_id: BIG_SKU, service_plan_id: BIG_PLAN, ..small }, NOW)?;
            tx.license_assign(tenant(), SKU, LicenseHolder::Group(GROUP), NOW)?.unwrap();
            tx.license_unassign(tenant(), SKU, LicenseHolder::User(ALAN), NOW)?;
            tx.license_assign(tenant(), BIG_SKU, LicenseHolder::Group(BIG_GROUP), NOW).map(Result::unwrap)
        })
        .await;
    let joins = json!([{"domainJoinType": "azureADJoin", "regionName": "westus3"}]);
    let body = json!({"displayName": "Sales", "imageId": IMAGE, "domainJoinConfigurations": joins});
    let policy = server.call(Who::Writer, "POST", POLICIES, Some(body)).await.json();
    let policy = policy["id"].as_str().unwrap().to_owned();
    let target = json!({"@odata.type": "#microsoft.graph.cloudPcManagementGroupAssignmentTarget", "groupId": GROUP.0});
    let body = json!({"assignments": [{"target": target}]});
    server.call(Who::Writer, "POST", &format!("{POLICIES}/{policy}/assign"), Some(body)).await;
    server.settle().await;
    let [cloud_pc] = server.cloud_pcs_of_policy(&policy).await.try_into().unwrap();
    let path = format!("{CLOUD_PCS}/{}", cloud_pc["id"].as_str().unwrap());

    let body = json!({"targetServicePlanId": BIG_PLAN.to_string()});
    assert_eq!(server.call(Who::Writer, "POST", &format!("{path}/resize"), Some(body)).await.status, 204);
    server.clock.advance(Duration::from_secs(3600)).await;
    let waiting = server.get(Who::Reader, &path).await.json();
    assert_eq!(
        (&waiting["status"], &waiting["servicePlanId"]),
        (&json!("resizePendingLicense"), &json!(PLAN.to_string()))
    );
    let results = server.get(Who::Writer, &format!("{path}/retrieveCloudPcRemoteActionResults")).await.rows();
    assert_eq!((&results[0]["actionName"], &results[0]["actionState"]), (&json!("Resize"), &json!("pending")));

    server.change(|tx| tx.group_member_insert(tenant(), BIG_GROUP, ALAN, NOW)).await;
    server.settle().await;
    let resized = server.get(Who::Reader, &path).await.json();
    assert_eq!((&resized["status"], &resized["servicePlanId"]), (&json!("provisioned"), &json!(BIG_PLAN.to_string())));
    assert_eq!(server.cloud_pcs_of_policy(&policy).await.len(), 2, "the former licence makes a second Cloud PC");
}

#[tokio::test]
async fn policy_is_applied_at_once_and_by_its_schedule() {
    let server = TestServer::new().await;
    server.change(|tx| adopt(tx, tenant(), NOW, &SeededRng::new(1))).await;
    server.run();
    server.settle().await;
    let [policy] = server.get(Who::Reader, POLICIES).await.rows().try_into().unwrap();
    let policy = format!("{POLICIES}/{}", policy["id"].as_str().unwrap());
    let read = async |function: &str| server.get(Who::Reader, &format!("{policy}/{function}")).await.json();
    let post = async |path: String, body: Value| server.call(Who::Writer, "POST", &path, Some(body)).await;
    let move_to = async |region: &str| {
        let joins = json!([{"domainJoinType": "azureADJoin", "regionName": region}]);
        let body = json!({"domainJoinConfigurations": joins});
        assert_eq!(server.call(Who::Writer, "PATCH", &policy, Some(body)).await.status, 200);
    };
    let result = read("retrievePolicyApplyActionResult").await;
    assert_eq!((&result["status"], &result["startDateTime"]), (&Value::Null, &Value::Null), "never applied");
    assert_eq!(read("retrievePolicyUpdateStatusResult").await["hasUnappliedPolicyUpdate"], false);

    move_to("northeurope").await;
    assert_eq!(read("retrievePolicyUpdateStatusResult").await["hasUnappliedPolicyUpdate"], true);
    assert_eq!(post(format!("{policy}/apply"), json!({})).await.status, 204);
    assert_eq!(read("retrievePolicyApplyActionResult").await["status"], "processing");
    server.settle().await;
    let desk = server.get(Who::Reader, DESK_1).await.json();
    assert_eq!((&desk["deviceRegionName"], &desk["status"]), (&json!("northeurope"), &json!("provisioned")));
    let result = read("retrievePolicyApplyActionResult").await;
    assert_eq!(result["status"], "succeeded");
    assert!(result["finishDateTime"].as_str() > result["startDateTime"].as_str(), "{result}");

    move_to("eastus").await;
    let rule = json!({"cronScheduleExpression": "0 0 0 20 * *", "timezone": "cst", "reservePercentage": 7});
    for body in [rule.clone(), json!({"scheduledRule": rule})] {
        assert_eq!(post(format!("{policy}/schedulePolicyApplyTask"), body).await.status, 204);
        let schedule = read("retrievePolicyApplySchedule").await;
        let next = schedule["nextRunDateTime"].as_str().unwrap();
        assert!(next.ends_with("-20 00:00:00"), "{schedule}");
        assert_eq!((&schedule["timezone"], &schedule["reservePercentage"]), (&json!("cst"), &json!(7)));
    }
    server.clock.advance(Duration::from_hours(31 * 24)).await;
    server.settle().await;
    assert_eq!(server.get(Who::Reader, DESK_1).await.json()["deviceRegionName"], "eastus");
    let off = json!({"scheduledRule": {"cronScheduleExpression": null}});
    assert_eq!(post(format!("{policy}/schedulePolicyApplyTask"), off).await.status, 204);
    assert_eq!(read("retrievePolicyApplySchedule").await["nextRunDateTime"], Value::Null);
}

#[tokio::test]
async fn invalid_apply_is_refused_with_the_field_that_is_wrong() {
    let server = TestServer::new().await;
    server.change(|tx| adopt(tx, tenant(), NOW, &SeededRng::new(1))).await;
    let [policy] = server.get(Who::Reader, POLICIES).await.rows().try_into().unwrap();
    let policy = policy["id"].as_str().unwrap();
    let ids = |count| json!({"cloudPcIds": vec![DESK_1.rsplit('/').next().unwrap(); count]});
    let rule = |name: &str, value: Value| json!({"cronScheduleExpression": "0 0 0 20 * *", name: value});
    for (path, body, about) in [
        ("apply", json!({"policySettings": "unknownFutureValue"}), "policySettings"),
        ("apply", json!({"reservePercentage": 100}), "reservePercentage"),
        ("apply", json!({"reservePercentage": 1, "isForceUserLogoffEnabled": true}), "isForceUserLogoffEnabled"),
        ("applyConfig", ids(0), "cloudPcIds"),
        ("applyConfig", ids(APPLY_CLOUD_PC_IDS_MAX + 1), "cloudPcIds"),
        ("applyConfig", json!({"cloudPcIds": ["no-guid"]}), "cloudPcIds"),
        ("schedulePolicyApplyTask", rule("cronScheduleExpression", json!("0 0 20 * *")), "cronScheduleExpression"),
        ("schedulePolicyApplyTask", rule("cronScheduleExpression", json!("0 0 0 30 2 *")), "cronScheduleExpression"),
        ("schedulePolicyApplyTask", rule("endDateTime", json!("2020-01-01 00:00:00")), "cronScheduleExpression"),
        ("schedulePolicyApplyTask", rule("startDateTime", json!("soon")), "startDateTime"),
        ("schedulePolicyApplyTask", rule("reservePercentage", json!(-1)), "reservePercentage"),
    ] {
        let path =
            if path == "applyConfig" { format!("{POLICIES}/{path}") } else { format!("{POLICIES}/{policy}/{path}") };
        let reply = server.call(Who::Writer, "POST", &path, Some(body.clone())).await;
        assert_eq!(reply.error(), (400, "BadRequest".into()), "{body}: {reply}");
        assert_eq!(reply.json()["error"]["target"], about, "{body}: {reply}");
    }
    let most = ids(APPLY_CLOUD_PC_IDS_MAX);
    assert_eq!(server.call(Who::Writer, "POST", &format!("{POLICIES}/applyConfig"), Some(most)).await.status, 204);
}

#[tokio::test]
async fn upgrade_makes_policies_groups_and_licences_and_nothing_enters_grace() {
    let server = TestServer::new().await;
    let before = server.get(Who::Reader, CLOUD_PCS).await.rows();
    assert_eq!(server.post(Who::Writer, &format!("{DESK_1}/reboot")).await.status, 204);
    server.change(|tx| adopt(tx, tenant(), NOW, &SeededRng::new(1))).await;
    server.run();
    server.settle().await;
    let mut after = server.get(Who::Reader, CLOUD_PCS).await.rows();
    for (row, before) in after.iter_mut().zip(&before) {
        row["lastModifiedDateTime"] = before["lastModifiedDateTime"].clone();
    }
    assert_eq!(after, before, "every Cloud PC is as it was, and the reboot that was open has ended");

    let path = format!("{POLICIES}?$expand=assignments");
    let [policy] = server.get(Who::Reader, &path).await.rows().try_into().unwrap();
    assert_eq!((&policy["displayName"], &policy["imageId"]), (&json!("Everyone"), &json!(IMAGE)));
    assert_eq!(policy["domainJoinConfigurations"][0]["regionName"], "westus3");
    assert_eq!(policy["id"], before[0]["provisioningPolicyId"]);
    let group: GroupId = policy["assignments"][0]["target"]["groupId"].as_str().unwrap().parse().unwrap();
    let members = server.change(move |tx| tx.group_member_list(tenant(), group, None, 10)).await;
    assert_eq!(members.iter().map(|user| user.id).collect::<Vec<_>>(), [ADA]);
    let [license] = server.change(|tx| tx.user_licenses(tenant(), ADA)).await.try_into().unwrap();
    assert_eq!((license.service_plan_id, &*license.sku_part_number), (PLAN, "CPC_B_2C_8GB_128GB"));

    // From here on the licence counts.
    let sku = license.sku_id;
    server.change(move |tx| tx.license_unassign(tenant(), sku, LicenseHolder::User(ADA), NOW)).await;
    server.settle().await;
    assert_eq!(server.get(Who::Reader, DESK_1).await.json()["status"], "inGracePeriod");
}

#[tokio::test]
async fn upgrade_gives_frontline_cloud_pcs_a_frontline_policy_with_their_seats() {
    let server = TestServer::new().await;
    let plan = ServicePlanId(Uuid::from_u128(0xf1));
    server
        .change(move |tx| {
            let desk = tx.cloud_pc_list(tenant(), None, None, 1)?.remove(0);
            let enterprise = tx.service_plan(tenant(), desk.service_plan_id)?.unwrap();
            let frontline = ServicePlan { id: plan, product: Product::Frontline, ..enterprise };
            tx.service_plan_put(tenant(), &ServicePlan { display_name: "Shift".into(), ..frontline })?;
            for number in 0..4_u32 {
                let policy = if number == 0 { "Everyone" } else { "Shifts" };
                tx.cloud_pc_insert(&CloudPc {
                    id: CloudPcId(Uuid::from_u128(0xf00 + u128::from(number))),
                    managed_device_id: ManagedDeviceId(Uuid::from_u128(0xe00 + u128::from(number))),
                    display_name: format!("shift-{number}"),
                    managed_device_name: format!("SHIFT-{number}"),
                    user_id: Some(ALAN),
                    service_plan_id: plan,
                    product: Product::Frontline,
                    provisioning_policy_id: match number {
                        0 => desk.provisioning_policy_id.clone(),
                        _ => Uuid::from_u128(0x5f).to_string(),
                    },
                    provisioning_policy_name: policy.into(),
                    ..desk.clone()
                })?;
            }
            Ok(())
        })
        .await;
    let status = async || {
        let rows = server.get(Who::Reader, CLOUD_PCS).await.rows();
        rows.into_iter().map(|row| (row["displayName"].to_string(), row["status"].to_string())).collect::<Vec<_>>()
    };
    let before = status().await;
    server.change(|tx| adopt(tx, tenant(), NOW, &SeededRng::new(1))).await;
    server.change(|tx| tx.provisioning_queue_put(tenant(), &[ADA, ALAN], NOW)).await;
    server.run();
    server.settle().await;
    assert_eq!(status().await, before, "nothing is provisioned or enters grace");

    let mut policies = server.get(Who::Reader, &format!("{POLICIES}?$expand=assignments")).await.rows();
    policies.sort_by_key(|policy| policy["displayName"].as_str().map(str::to_owned));
    let told: Vec<_> = policies
        .iter()
        .map(|policy| {
            let plan = &policy["assignments"][0]["target"]["servicePlanId"];
            format!("{} {} {plan}", policy["displayName"], policy["provisioningType"])
        })
        .collect();
    let expected = [
        r#""Everyone" "dedicated" null"#.to_owned(),
        format!(r#""Everyone frontline" "sharedByUser" "{plan}""#),
        format!(r#""Shifts" "sharedByUser" "{plan}""#),
    ];
    assert_eq!(told, expected);
    let subscriptions = server.change(|tx| tx.subscription_list(tenant())).await;
    let sold = subscriptions.iter().find(|own| own.service_plan_id == plan).unwrap();
    assert_eq!((sold.units, &sold.sku_part_number[..6]), (2, "CPC_F_"), "two licences have six seats for four");
}
