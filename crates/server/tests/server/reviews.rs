//! Reviews: the restore point, and what the user of a Cloud PC under review may not do.

use serde_json::{Value, json};

use crate::world::{DESK_2, TestServer, Who};

const CLOUD_PC: &str = "/beta/deviceManagement/virtualEndpoint/cloudPCs/10000000-0000-4000-8000-0000000000d2";
const DEVICE: &str = "/beta/deviceManagement/managedDevices/10000000-0000-4000-8000-0000000000e2";

async fn set(world: &TestServer, who: Who, path: &str, status: Value) -> (u16, String) {
    let reply = world.call(who, "POST", path, Some(json!({"reviewStatus": status}))).await;
    reply.error()
}

async fn review(world: &TestServer, path: &str) -> Value {
    let mut status = world.get(Who::Reader, path).await.json();
    status.as_object_mut().unwrap().remove("@odata.context");
    status
}

#[tokio::test]
async fn a_review_takes_a_restore_point_and_shows_what_was_asked_for() {
    let world = TestServer::new().await;
    world.run();
    let (set_it, get_it) = (format!("{CLOUD_PC}/setReviewStatus"), format!("{CLOUD_PC}/retrieveReviewStatus"));
    let no_review = review(&world, &get_it).await;
    assert_eq!((&no_review["inReview"], &no_review["userAccessLevel"]), (&json!(false), &json!("unrestricted")));
    let wanted = json!({
        "inReview": true, "userAccessLevel": "restricted", "subscriptionId": "sub",
        "azureStorageAccountId": "/subscriptions/sub/storage", "accessTier": "cool",
    });
    assert_eq!(set(&world, Who::Writer, &set_it, wanted.clone()).await.0, 204);
    let begun = review(&world, &get_it).await;
    assert_eq!(
        (&begun["reviewStartDateTime"], &begun["restorePointDateTime"]),
        (&json!("2026-03-01T12:00:00.0000000Z"), &Value::Null)
    );
    world.rest().await;
    let status = review(&world, &get_it).await;
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(status[name], *value, "{name}");
    }
    assert!(status["restorePointDateTime"].is_string());
    assert!(status["@cloudpc.notCopied"].as_str().unwrap().contains("nothing was copied"), "{status}");
    assert_eq!(world.get(Who::Reader, &format!("{CLOUD_PC}/retrieveSnapshots")).await.rows().len(), 1);
    // A change of the review takes no other restore point; the older form reads the same.
    let wanted = json!({"inReview": true, "userAccessLevel": "unrestricted"});
    assert_eq!(set(&world, Who::Writer, &format!("{DEVICE}/setCloudPcReviewStatus"), wanted).await.0, 204);
    world.rest().await;
    let changed = review(&world, &format!("{DEVICE}/getCloudPcReviewStatus")).await;
    assert_eq!(changed["userAccessLevel"], "unrestricted");
    assert_eq!(changed["restorePointDateTime"], status["restorePointDateTime"]);
    assert_eq!(world.get(Who::Reader, &format!("{CLOUD_PC}/retrieveSnapshots")).await.rows().len(), 1);
    assert_eq!(set(&world, Who::Writer, &set_it, json!({"inReview": false})).await.0, 204);
    assert_eq!(review(&world, &get_it).await, no_review);
    let names = world.get(Who::Writer, &format!("{CLOUD_PC}/retrieveCloudPCRemoteActionResults")).await.rows();
    let names: Vec<_> = names.iter().map(|row| row["actionName"].as_str().unwrap()).collect();
    assert_eq!(names, ["PlaceUnderReview"]);
}

#[tokio::test]
async fn restricted_access_shuts_out_the_user_only_and_is_lifted() {
    let world = TestServer::new().await;
    let (set_it, mine) = (format!("{CLOUD_PC}/setReviewStatus"), format!("/beta/me/cloudPCs/{DESK_2}"));
    let restricted = json!({"inReview": true, "userAccessLevel": "restricted"});
    assert_eq!(set(&world, Who::Writer, &set_it, restricted.clone()).await.0, 204);
    let refused = (403, "userAccessRestricted".to_owned());
    for root in [&*mine, &format!("/beta/users/alan@contoso.test/cloudPCs/{DESK_2}")] {
        for function in ["retrieveCloudPcLaunchDetail", "getCloudPcLaunchInfo"] {
            assert_eq!(world.get(Who::Alan, &format!("{root}/{function}")).await.error(), refused, "{root} {function}");
        }
        for action in ["reboot", "reprovision", "troubleshoot", "powerOff", "cloudpc.undo", "createSnapshot"] {
            assert_eq!(world.post(Who::Alan, &format!("{root}/{action}")).await.error(), refused, "{root} {action}");
        }
        // A review takes a role, also of one's own Cloud PC.
        let lift = format!("{root}/setReviewStatus");
        assert_eq!(
            set(&world, Who::Alan, &lift, json!({"inReview": false})).await,
            (403, "Forbidden".into()),
            "{root}"
        );
    }
    assert_eq!(world.get(Who::Alan, &format!("{mine}/cloudpc.screenshot")).await.error(), refused);
    // The user still sees the Cloud PC, and others can use it.
    assert_eq!(world.get(Who::Alan, &mine).await.status, 200);
    assert_eq!(world.get(Who::Ada, &format!("{CLOUD_PC}/retrieveCloudPcLaunchDetail")).await.status, 200);
    world.run();
    world.rest().await;
    assert_eq!(world.post(Who::Ada, &format!("{CLOUD_PC}/reboot")).await.status, 204);
    world.rest().await;
    assert_eq!(set(&world, Who::Ada, &set_it, json!({"inReview": false})).await.0, 204);
    assert_eq!(world.get(Who::Alan, &format!("{mine}/retrieveCloudPcLaunchDetail")).await.status, 200);
    assert_eq!(world.post(Who::Alan, &format!("{mine}/reboot")).await.status, 204);
}

#[tokio::test]
async fn a_review_that_cannot_begin_restricts_nothing() {
    let world = TestServer::new().await;
    assert_eq!(world.post(Who::Writer, &format!("{CLOUD_PC}/reboot")).await.status, 204);
    let set_it = format!("{CLOUD_PC}/setReviewStatus");
    let restricted = json!({"inReview": true, "userAccessLevel": "restricted"});
    assert_eq!(set(&world, Who::Writer, &set_it, restricted).await, (409, "remoteActionInProgress".into()));
    assert_eq!(review(&world, &format!("{CLOUD_PC}/retrieveReviewStatus")).await["inReview"], false);
    let long = json!({"inReview": true, "subscriptionId": "é".repeat(513)});
    world.run();
    world.rest().await;
    assert_eq!(set(&world, Who::Writer, &set_it, long).await, (400, "BadRequest".into()));
    let longest = json!({"inReview": true, "subscriptionId": "é".repeat(512)});
    assert_eq!(set(&world, Who::Writer, &set_it, longest).await.0, 204);
}
