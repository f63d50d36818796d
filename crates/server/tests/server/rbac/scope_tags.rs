//! Scope tags: what they limit, in lists, counts, changes, reports and deltas.

use cloudpc_model::{RemoteSession, Timestamp};
use std::time::Duration;

use super::*;

/// Gives the Cloud PC `desk-1` a policy with the scope tag `7`; returns the policy's id. The other
/// Cloud PCs have the default tag.
async fn tag_desk_1(world: &TestServer) -> String {
    let body = json!({
        "displayName": "Seven", "scopeIds": ["7"],
        "imageId": "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc",
        "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": "automatic"}],
    });
    let made = world.call(Who::Ada, "POST", &format!("{BETA}/provisioningPolicies"), Some(body)).await;
    assert_eq!(made.status, 201, "{made}");
    let policy = made.json()["id"].as_str().unwrap().to_owned();
    let id = policy.clone();
    write(world, move |tx| {
        let before = tx.cloud_pc(tenant(), DESK_1.parse().unwrap())?.unwrap();
        let mut desk = before.clone();
        desk.provisioning_policy_id.clone_from(&id);
        tx.cloud_pc_update_from(&before, &desk)
    })
    .await;
    policy
}

#[tokio::test]
async fn scope_tags_limit_what_is_seen_of_cloud_pcs() {
    let world = TestServer::new().await;
    let policy = tag_desk_1(&world).await;
    assert_eq!(world.get(Who::Writer, &format!("{BETA}/cloudPCs/{DESK_1}")).await.json()["scopeIds"], json!(["7"]));
    assert_eq!(world.get(Who::Writer, &format!("{BETA}/cloudPCs/{DESK_2}")).await.json()["scopeIds"], json!(["0"]));
    for id in [DESK_1, DESK_2] {
        assert_eq!(world.post(Who::Writer, &format!("{BETA}/cloudPCs/{id}/createSnapshot")).await.status, 204);
    }
    world.run();
    world.rest().await;
    for (tag, seen) in [("7", vec!["desk-1"]), ("0", vec!["desk-2", "desk-3"]), ("9", vec![])] {
        let assignment = assign(&world, ALAN, READER_ROLE.id, &[tag]).await;
        let get = async |path: &str| world.get(Who::Alan, &format!("{BETA}/{path}")).await;
        let sees = |name: &str| seen.contains(&name);
        for query in [
            "",
            "?$orderby=displayName",
            "?$orderby=displayName%20desc,id",
            "?$orderby=region",
            "?$filter=startswith(displayName,'desk')",
            "?$filter=contains(displayName,'esk')&$orderby=status",
            "?$filter=scopeIds/any(s:s%20ne%20'x')",
            "?$skip=0&$select=displayName",
        ] {
            let query = query.replace("region", "deviceRegionName");
            assert_eq!(names(&get(&format!("cloudPCs{query}")).await), seen, "{tag} {query}");
        }
        // Nothing can be inferred of what is not seen.
        for desk in ["desk-1", "desk-2"] {
            let filter = format!("$filter=displayName%20eq%20'{desk}'");
            assert_eq!(get(&format!("cloudPCs?{filter}")).await.rows().len(), usize::from(sees(desk)), "{tag} {desk}");
            assert_eq!(get(&format!("cloudPCs/$count?{filter}")).await.body, u8::from(sees(desk)).to_string());
        }
        assert_eq!(get("cloudPCs/$count").await.body, seen.len().to_string());
        assert_eq!(get("cloudPCs?$count=true&$top=1").await.json()["@odata.count"], seen.len());
        let by_status = get("cloudPCs/retrieveCloudPcCountByStatus").await.rows();
        assert_eq!(by_status.iter().map(|row| row["count"].as_u64().unwrap()).sum::<u64>(), seen.len() as u64);
        let devices = world.get(Who::Alan, "/beta/deviceManagement/managedDevices?$select=managedDeviceName").await;
        assert_eq!(devices.rows().len(), seen.len(), "{devices}");
        let count = world.get(Who::Alan, "/beta/deviceManagement/managedDevices/$count").await;
        assert_eq!(count.body, seen.len().to_string());
        let snapshots = get("snapshots").await.rows();
        let expected = [DESK_1, DESK_2].into_iter().zip(["desk-1", "desk-2"]).filter(|(_, name)| sees(name));
        assert_eq!(
            snapshots.iter().map(|row| row["cloudPcId"].clone()).collect::<Vec<_>>(),
            expected.map(|(id, _)| json!(id)).collect::<Vec<_>>()
        );
        assert_eq!(get("snapshots/$count").await.body, snapshots.len().to_string());
        let all = world.get(Who::Writer, &format!("{BETA}/snapshots")).await.rows();
        for snapshot in all {
            let reply = get(&format!("snapshots/{}", snapshot["id"].as_str().unwrap())).await;
            assert_eq!(reply.status == 200, snapshots.contains(&snapshot), "{reply}");
        }
        for (id, name) in [(DESK_1, "desk-1"), (DESK_2, "desk-2")] {
            for path in ["", "/cloudpc.actions", "/retrieveSnapshots", "/getCloudPcConnectivityHistory"] {
                let reply = get(&format!("cloudPCs/{id}{path}")).await;
                assert_eq!(reply.status.as_u16(), if sees(name) { 200 } else { 404 }, "{tag} {name}{path}");
            }
            let other = world.get(Who::Alan, &format!("/beta/users/{ADA}/cloudPCs/{id}")).await;
            assert_eq!(other.status.as_u16(), if sees(name) && id == DESK_1 { 200 } else { 404 }, "{tag} {name}");
        }
        let policies = get("provisioningPolicies").await.rows();
        assert_eq!(policies.iter().any(|row| row["id"] == json!(policy)), tag == "7");
        assert_eq!(get("provisioningPolicies/$count").await.body, policies.len().to_string());
        assert_eq!(get(&format!("provisioningPolicies/{policy}/assignments")).await.status == 200, tag == "7");
        // The tenant as a whole is beyond scope tags.
        for path in ["auditEvents", "auditEvents/$count", "externalPartners"] {
            assert_refused(&get(path).await, "without scope tags");
        }
        // What the service states is for everyone.
        for path in ["supportedRegions", "galleryImages", "servicePlans"] {
            assert!(!get(path).await.rows().is_empty(), "{path}");
        }
        assert_eq!(names(&world.get(Who::Alan, "/beta/me/cloudPCs").await), ["desk-2", "desk-3"]);
        assert_eq!(world.call(Who::Ada, "DELETE", &assignment, None).await.status, 204);
    }
}

#[tokio::test]
async fn scope_tags_limit_what_is_changed() {
    let world = TestServer::new().await;
    let policy = tag_desk_1(&world).await;
    assign(&world, ALAN, ADMINISTRATOR_ROLE.id, &["7"]).await;
    let call = async |method: &str, path: &str, body: Value| {
        world.call(Who::Alan, method, &format!("{BETA}/{path}"), Some(body)).await
    };
    assert_eq!(call("POST", &format!("cloudPCs/{DESK_1}/rename"), json!({"displayName": "mine"})).await.status, 204);
    assert_eq!(call("POST", &format!("cloudPCs/{DESK_2}/rename"), json!({"displayName": "mine"})).await.status, 404);
    let body = json!({"cloudPcIds": [DESK_1, DESK_2], "targetServicePlanId": crate::world::PLAN_2});
    let results = call("POST", "cloudPCs/validateBulkResize", body).await.rows();
    assert_ne!(results[0]["validationResult"], "cloudPcNotFound");
    assert_eq!(results[1]["validationResult"], "cloudPcNotFound");
    let body = json!({"policySettings": "region", "cloudPcIds": [DESK_2]});
    assert_eq!(call("POST", "provisioningPolicies/applyConfig", body).await.status, 404);
    // A policy gets the caller's tags, and never others.
    let new = |name: &str, tags: Value| {
        json!({
            "displayName": name, "scopeIds": tags,
            "imageId": "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc",
            "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": "automatic"}],
        })
    };
    let made = call("POST", "provisioningPolicies", new("Own", Value::Null)).await;
    assert_eq!(made.json()["scopeIds"], json!(["7"]), "{made}");
    assert_refused(&call("POST", "provisioningPolicies", new("Foreign", json!(["7", "0"]))).await, "'0'");
    let one = format!("provisioningPolicies/{policy}");
    assert_refused(&call("PATCH", &one, json!({"scopeIds": ["0"]})).await, "scope tag");
    assert_refused(&call("PATCH", &one, json!({"scopeIds": ["7", "9"]})).await, "'9'");
    assert_eq!(call("PATCH", &one, json!({"description": "Mine"})).await.status, 200);
    let shared = json!({"scopeIds": ["7", "9"]});
    assert_eq!(world.call(Who::Ada, "PATCH", &format!("{BETA}/{one}"), Some(shared)).await.status, 200);
    assert_refused(&call("PATCH", &one, json!({"scopeIds": ["7"]})).await, "'9'");
    // What has no tags of its own has the default one.
    assert_refused(&call("POST", "userSettings", json!({"displayName": "Everyone's"})).await, "'0'");
    let setting = json!({"displayName": "Ada's"});
    let setting = world.call(Who::Ada, "POST", &format!("{BETA}/userSettings"), Some(setting)).await.json();
    let setting = format!("userSettings/{}", setting["id"].as_str().unwrap());
    assert_eq!(call("PATCH", &setting, json!({"displayName": "Alan's"})).await.status, 404);
    assert_eq!(call("POST", &format!("{setting}/assign"), json!({"assignments": []})).await.status, 404);
    let target = json!({"target": {"groupId": ALAN}});
    assert_eq!(call("POST", &format!("{setting}/assignments"), target).await.status, 404);
    assert_eq!(world.get(Who::Alan, &format!("{BETA}/organizationSettings")).await.status, 200);
    assert_refused(&call("PATCH", "organizationSettings", json!({"enableSingleSignOn": true})).await, "scope tag '0'");
    let foreign =
        world.call(Who::Ada, "POST", &format!("{BETA}/provisioningPolicies"), Some(new("Hers", Value::Null))).await;
    let foreign = format!("provisioningPolicies/{}", foreign.json()["id"].as_str().unwrap());
    for (method, path, body) in [
        ("PATCH", foreign.clone(), json!({})),
        ("POST", format!("{foreign}/assign"), json!({"assignments": []})),
        ("POST", format!("{foreign}/apply"), json!({})),
        ("POST", format!("{foreign}/retry"), json!({})),
    ] {
        assert_eq!(call(method, &path, body).await.status, 404, "{method} {path}");
    }
    assert_eq!(world.call(Who::Alan, "DELETE", &format!("{BETA}/{foreign}"), None).await.status, 404);
}

#[tokio::test]
async fn reports_show_only_what_scope_tags_reach() {
    let world = TestServer::new().await;
    tag_desk_1(&world).await;
    for id in [DESK_1, DESK_2] {
        assert_eq!(world.post(Who::Writer, &format!("{BETA}/cloudPCs/{id}/reboot")).await.status, 204);
    }
    write(&world, |tx| {
        for id in [DESK_1, DESK_2] {
            let session = RemoteSession {
                id: 0,
                user_principal_name: "ada@contoso.test".into(),
                signed_in_at: START,
                signed_out_at: Some(Timestamp(START.0 + 1)),
                seen_at: None,
                round_trip_ms: None,
                bandwidth_kbps: None,
                sign_in_ms: None,
            };
            tx.remote_session_insert(tenant(), id.parse().unwrap(), &session)?;
        }
        Ok(())
    })
    .await;
    let count = async |who: Who, name: &str| {
        let report = world.call(who, "POST", &format!("{BETA}/reports/{name}"), Some(json!({}))).await;
        report.json()["TotalRowCount"].as_u64().unwrap_or_else(|| panic!("{name}: {report}"))
    };
    assign(&world, ALAN, READER_ROLE.id, &["7"]).await;
    for (name, all) in [
        ("getActionStatusReports", 2),
        ("getRawRemoteConnectionReports", 2),
        ("getTotalAggregatedRemoteConnectionReports", 3),
        ("retrieveCloudPcTroubleshootReports", 3),
    ] {
        assert_eq!((count(Who::Ada, name).await, count(Who::Alan, name).await), (all, 1), "{name}");
    }
    let status = |id: &str| format!("{BETA}/reports/getRealTimeRemoteConnectionStatus(cloudPcId='{id}')");
    assert_eq!(world.get(Who::Alan, &status(DESK_1)).await.status, 200);
    assert_eq!(world.get(Who::Alan, &status(DESK_2)).await.status, 404);
}

#[tokio::test]
async fn a_delta_follows_scope_tags_and_begins_anew_when_they_change() {
    let world = TestServer::new().await;
    let policy = tag_desk_1(&world).await;
    let held = assign(&world, ALAN, READER_ROLE.id, &["7"]).await;
    let path = format!("{BETA}/cloudPCs/delta()");
    let link =
        |reply: &Reply| reply.json()["@odata.deltaLink"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned();
    let first = world.get(Who::Alan, &path).await;
    assert_eq!(names(&first), ["desk-1"]);
    let rename = async |id: &str, name: &str| {
        let path = format!("{BETA}/cloudPCs/{id}/rename");
        assert_eq!(world.call(Who::Writer, "POST", &path, Some(json!({"displayName": name}))).await.status, 204);
    };
    world.run();
    rename(DESK_2, "hidden").await;
    world.rest().await;
    let second = world.get(Who::Alan, &link(&first)).await;
    assert_eq!(second.rows(), Vec::<Value>::new());
    rename(DESK_1, "shown").await;
    world.rest().await;
    let third = world.get(Who::Alan, &link(&second)).await;
    assert_eq!(names(&third), ["shown"]);
    // The Cloud PC leaves the caller's sight, which is no change of the Cloud PC.
    let patch = json!({"scopeIds": ["8"]});
    let one = format!("{BETA}/provisioningPolicies/{policy}");
    assert_eq!(world.call(Who::Ada, "PATCH", &one, Some(patch)).await.status, 200);
    assert_eq!(world.get(Who::Alan, &link(&third)).await.error(), (410, "resyncRequired".into()));
    let anew = world.get(Who::Alan, &path).await;
    assert_eq!(anew.rows(), Vec::<Value>::new());
    // Another assignment, and none.
    assign(&world, ALAN, READER_ROLE.id, &["8"]).await;
    assert_eq!(world.get(Who::Alan, &link(&anew)).await.error(), (410, "resyncRequired".into()));
    let more = world.get(Who::Alan, &path).await;
    assert_eq!(names(&more), ["shown"]);
    assign(&world, ALAN, READER_ROLE.id, &[]).await;
    assert_eq!(world.get(Who::Alan, &link(&more)).await.error(), (410, "resyncRequired".into()));
    let all = world.get(Who::Alan, &path).await;
    assert_eq!(all.rows().len(), 3);
    assert_eq!(world.call(Who::Ada, "DELETE", &held, None).await.status, 204);
    assert_eq!(world.get(Who::Alan, &link(&all)).await.status, 200);
    world.clock.advance(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn what_scope_tags_do_not_reach_cannot_be_referred_to() {
    let world = TestServer::new().await;
    let policy = tag_desk_1(&world).await;
    grant(&world, &["ProvisioningPolicies/Read", "ProvisioningPolicies/Update"], &["7"]).await;
    let azure = "/subscriptions/0ac520ee-14c0-480f-b6c9-0a90c58ffff0/resourceGroups/office";
    let network = format!("{azure}/providers/Microsoft.Network/virtualNetworks/office");
    let body = json!({
        "displayName": "Office", "connectionType": "azureADJoin", "resourceGroupId": azure,
        "subscriptionId": "0ac520ee-14c0-480f-b6c9-0a90c58ffff0", "virtualNetworkId": network,
        "subnetId": format!("{network}/subnets/default"), "scopeIds": ["0"],
    });
    let connection = world.call(Who::Ada, "POST", &format!("{BETA}/onPremisesConnections"), Some(body)).await;
    assert_eq!(connection.status, 201, "{connection}");
    let path = format!("{BETA}/provisioningPolicies/{policy}");
    let change = async |connection: &str| {
        let joins = json!([{"domainJoinType": "azureADJoin", "onPremisesConnectionId": connection}]);
        world.call(Who::Alan, "PATCH", &path, Some(json!({"domainJoinConfigurations": joins}))).await
    };
    let (id, missing) = (connection.json()["id"].as_str().unwrap().to_owned(), "00000000-0000-4000-8000-00000000dead");
    let told = |reply: Reply, id: &str| (reply.status, message(&reply).replace(id, "<id>"));
    let refused = told(change(&id).await, &id);
    assert_eq!(refused, told(change(missing).await, missing));
    assert_eq!(refused.0, 400);
}
