//! Bulk actions on the virtual clock: the outcome of each item, and the counts of the bulk action.

use cloudpc_drivers::sim::ScriptedCondition;
use cloudpc_engine::{
    BULK_ACTIONS_KEPT_MAX, BULK_ACTIONS_OPEN_MAX, BULK_CLOUD_PCS_MAX, BULK_RUNNING_MAX, FaultRule, NewBulkAction,
};
use cloudpc_model::{
    BlobAccessTier, BulkAction, BulkActionId, BulkCounts, BulkItem, BulkItemState, BulkRequest, BulkStatus, Clock,
    CloudPcId, CloudPcStatus, DiskEncryptionType, Document, DocumentKey, DocumentType, ErrorKind, GroupId, Object,
    Power, RestoreTimeRange, SnapshotId, SnapshotType, UserAccessLevel, UserId,
};
use cloudpc_store::{DocumentIndex, Group, User, UserProfile};
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

use crate::rollouts::POLICY;
use crate::world::{START, TestEngine, asked, big, fail, rule, tenant};

fn new(request: BulkRequest, cloud_pcs: &[CloudPcId]) -> NewBulkAction {
    NewBulkAction {
        display_name: "All desks".into(),
        cloud_pcs: cloud_pcs.iter().map(ToString::to_string).collect(),
        request,
        in_maintenance_window: false,
    }
}

impl TestEngine {
    async fn fleet(size: u32) -> (Self, Vec<CloudPcId>) {
        let mut world = Self::new(1).await;
        let mut ids = Vec::new();
        for number in 1..=size {
            ids.push(world.add(number, ScriptedCondition::default()).await);
        }
        world.start();
        (world, ids)
    }

    async fn bulk(&self, request: BulkRequest, cloud_pcs: &[CloudPcId]) -> BulkActionId {
        self.engine.accept_bulk(&asked(), new(request, cloud_pcs)).await.unwrap().id
    }

    async fn bulk_now(&self, id: BulkActionId) -> BulkAction {
        self.change(move |tx| tx.bulk_action(tenant(), id)).await.unwrap()
    }

    async fn items(&self, id: BulkActionId) -> Vec<BulkItem> {
        self.change(move |tx| tx.bulk_action_items(tenant(), id, 0, 10_000)).await
    }

    /// Advances the clock until a bulk action has ended; its items always add up.
    async fn end_bulk(&mut self, id: BulkActionId) -> BulkAction {
        self.rest().await;
        loop {
            let (bulk, items) = (self.bulk_now(id).await, self.items(id).await);
            assert_eq!(bulk.counts, count(&items));
            if bulk.counts.status() != BulkStatus::Pending {
                return bulk;
            }
            assert!(self.clock.now().since(START) < Duration::from_secs(30 * 86_400), "takes too long: {bulk:?}");
            assert!(self.tick().await, "nothing is due: {bulk:?}");
        }
    }
}

fn count(items: &[BulkItem]) -> BulkCounts {
    let of = |state| u32::try_from(items.iter().filter(|item| item.state == state).count()).unwrap();
    BulkCounts {
        pending: of(BulkItemState::Pending),
        in_progress: of(BulkItemState::InProgress),
        succeeded: of(BulkItemState::Succeeded),
        failed: of(BulkItemState::Failed),
        not_supported: of(BulkItemState::NotSupported),
    }
}

fn codes(items: &[BulkItem]) -> Vec<&str> {
    items.iter().map(|item| item.failure.as_ref().map_or("", |failure| &*failure.code)).collect()
}

#[tokio::test]
async fn each_cloud_pc_gets_an_ordinary_action() {
    let (mut world, ids) = TestEngine::fleet(3).await;
    let bulk = world.bulk(BulkRequest::Reprovision, &ids).await;
    let ended = world.end_bulk(bulk).await;
    assert_eq!(ended.counts, BulkCounts { succeeded: 3, ..BulkCounts::default() });
    for (item, id) in world.items(bulk).await.iter().zip(&ids) {
        let action = world.action(item.action_id.unwrap()).await;
        assert_eq!((action.cloud_pc_id(), action.bulk_action_id), (Some(*id), Some(bulk)));
        assert_eq!(action.requested_by, asked().by);
    }
    let audit = world.audit_rows().await;
    let activities: Vec<_> = audit.iter().map(|row| row.activity()).collect();
    assert_eq!(activities[0], "Create CloudPcBulkAction");
    assert_eq!(activities.iter().filter(|activity| *activity == "Reprovision CloudPC").count(), 3);
}

#[tokio::test]
async fn what_cannot_begin_says_why_and_does_not_stop_the_others() {
    let (mut world, ids) = TestEngine::fleet(4).await;
    world.update(ids[1], |cloud_pc| cloud_pc.status = CloudPcStatus::NotProvisioned).await;
    let open = world.engine.request(&asked(), ids[2], cloudpc_model::Params::Reboot).await.unwrap();
    let mut wanted = new(BulkRequest::Restart, &ids);
    wanted.cloud_pcs.push("no-such-desk".into());
    wanted.cloud_pcs.push(ids[0].to_string().to_uppercase());
    let bulk = world.engine.accept_bulk(&asked(), wanted).await.unwrap();
    assert_eq!(bulk.counts.total(), 5, "a Cloud PC that is named twice counts once");
    let ended = world.end_bulk(bulk.id).await;
    assert_eq!(ended.counts, BulkCounts { succeeded: 2, failed: 2, not_supported: 1, ..BulkCounts::default() });
    let items = world.items(bulk.id).await;
    assert_eq!(codes(&items), ["", "cloudPcStatusNotAllowed", "remoteActionInProgress", "", "cloudPcNotFound"]);
    assert!(items[2].failure.as_ref().unwrap().message.contains(&open.to_string()));
}

#[tokio::test]
async fn a_retry_begins_what_failed_and_nothing_else() {
    let (mut world, ids) = TestEngine::fleet(5).await;
    world.faults.add(FaultRule { cloud_pcs: vec![ids[1], ids[3]], step: Some("start".into()), ..rule(fail()) });
    let bulk = world.bulk(BulkRequest::Reprovision, &ids).await;
    let ended = world.end_bulk(bulk).await;
    assert_eq!(ended.counts, BulkCounts { succeeded: 3, failed: 2, ..BulkCounts::default() });
    assert_eq!(codes(&world.items(bulk).await), ["", "scripted", "", "scripted", ""]);
    let first: Vec<_> = world.items(bulk).await.iter().map(|item| item.action_id).collect();

    world.faults.clear();
    world.engine.retry_bulk(&asked(), bulk, Some(vec![ids[1].to_string()])).await.unwrap();
    let ended = world.end_bulk(bulk).await;
    assert_eq!(ended.counts, BulkCounts { succeeded: 4, failed: 1, ..BulkCounts::default() });
    world.engine.retry_bulk(&asked(), bulk, None).await.unwrap();
    let ended = world.end_bulk(bulk).await;
    assert_eq!(ended.counts, BulkCounts { succeeded: 5, ..BulkCounts::default() });
    let second: Vec<_> = world.items(bulk).await.iter().map(|item| item.action_id).collect();
    let again: Vec<_> = first.iter().zip(&second).map(|(first, second)| first != second).collect();
    assert_eq!(again, [false, true, false, true, false]);

    let refused = world.engine.retry_bulk(&asked(), bulk, Some(vec![ids[0].to_string()])).await.unwrap_err();
    assert!(refused.message.contains("is 'succeeded'"), "{refused}");
    let refused = world.engine.retry_bulk(&asked(), bulk, Some(vec!["other".into()])).await.unwrap_err();
    assert!(refused.message.contains("has no Cloud PC 'other'"), "{refused}");
    let unknown = BulkActionId(Uuid::from_u128(1));
    assert_eq!(world.engine.retry_bulk(&asked(), unknown, None).await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_canceled_action_is_a_failed_item() {
    let (mut world, ids) = TestEngine::fleet(1).await;
    let bulk = world.bulk(BulkRequest::Reprovision, &ids).await;
    world.rest().await;
    let action = world.items(bulk).await[0].action_id.unwrap();
    world.engine.cancel(&asked(), action).await.unwrap();
    let ended = world.end_bulk(bulk).await;
    assert_eq!(ended.counts, BulkCounts { failed: 1, ..BulkCounts::default() });
}

#[tokio::test]
async fn no_more_than_the_limit_run_at_the_same_time_and_all_end() {
    let (mut world, ids) = TestEngine::fleet(BULK_RUNNING_MAX + 30).await;
    let bulk = world.bulk(BulkRequest::Restart, &ids).await;
    world.rest().await;
    let counts = world.bulk_now(bulk).await.counts;
    assert_eq!((counts.in_progress, counts.pending), (BULK_RUNNING_MAX, 30));
    let ended = world.end_bulk(bulk).await;
    assert_eq!(ended.counts, BulkCounts { succeeded: BULK_RUNNING_MAX + 30, ..BulkCounts::default() });
}

#[tokio::test]
async fn a_crash_in_the_middle_loses_and_doubles_nothing() {
    let (mut world, ids) = TestEngine::fleet(BULK_RUNNING_MAX + 5).await;
    let bulk = world.bulk(BulkRequest::Reprovision, &ids).await;
    for _ in 0..40 {
        world.rest().await;
        world.crash().await;
        world.tick().await;
    }
    let ended = world.end_bulk(bulk).await;
    assert_eq!(ended.counts.succeeded, BULK_RUNNING_MAX + 5);
    for id in ids {
        let line = id.to_string();
        let count = world.change(move |tx| tx.action_count(tenant(), &line, cloudpc_store::ActionFilter::Remote)).await;
        assert_eq!(count, 1, "{id}");
    }
}

#[tokio::test]
async fn each_type_does_what_it_is_named_after() {
    let (mut world, ids) = TestEngine::fleet(1).await;
    let id = ids[0];
    for (request, kind) in [
        (BulkRequest::Restart, "reboot"),
        (BulkRequest::Troubleshoot, "troubleshoot"),
        (BulkRequest::PowerOff, "powerOff"),
        (BulkRequest::PowerOn, "powerOn"),
        (BulkRequest::Resize { target_service_plan_id: big() }, "resize"),
        (BulkRequest::CreateSnapshot, "createSnapshot"),
        (BulkRequest::Reprovision, "reprovision"),
    ] {
        let bulk = world.bulk(request.clone(), &ids).await;
        let ended = world.end_bulk(bulk).await;
        assert_eq!(ended.counts.status(), BulkStatus::Succeeded, "{request:?}");
        let action = world.items(bulk).await[0].action_id.unwrap();
        assert_eq!(world.action(action).await.kind().name(), kind);
    }
    let cloud_pc = world.cloud_pc(id).await;
    assert_eq!((cloud_pc.service_plan_id, cloud_pc.power_observed), (big(), Power::Running));
}

#[tokio::test]
async fn restore_takes_the_nearest_restore_point_of_each_cloud_pc() {
    let (mut world, ids) = TestEngine::fleet(2).await;
    let bulk = world.bulk(BulkRequest::CreateSnapshot, &ids[..1]).await;
    world.end_bulk(bulk).await;
    let restore =
        |time_range| BulkRequest::Restore { restore_point_at: START, time_range, ignore_unhealthy_snapshots: false };
    let bulk = world.bulk(restore(RestoreTimeRange::After), &ids).await;
    let ended = world.end_bulk(bulk).await;
    assert_eq!(ended.counts, BulkCounts { succeeded: 1, failed: 1, ..BulkCounts::default() });
    assert_eq!(codes(&world.items(bulk).await), ["", "snapshotNotFound"]);
    let bulk = world.bulk(restore(RestoreTimeRange::Before), &ids[..1]).await;
    world.end_bulk(bulk).await;
    assert_eq!(codes(&world.items(bulk).await), ["snapshotNotFound"], "it was made after that time");
    let snapshots = world.change(|tx| tx.snapshot_list(tenant(), None, None, 10)).await;
    assert_eq!(snapshots.len(), 1);
    assert_eq!(snapshots[0].snapshot_type, SnapshotType::Manual);
    assert_ne!(snapshots[0].id, SnapshotId(String::new()));
}

#[tokio::test]
async fn a_move_brings_cloud_pcs_to_the_region_of_their_policy() {
    let (mut world, ids) = TestEngine::fleet(2).await;
    world.govern(&ids[..1]).await;
    let bulk = world.bulk(BulkRequest::Move, &ids).await;
    let ended = world.end_bulk(bulk).await;
    assert_eq!(ended.counts, BulkCounts { succeeded: 1, not_supported: 1, ..BulkCounts::default() });
    assert_eq!(world.items(bulk).await[0].action_id, None, "the first is there already");
    world.change_policy("eastus2", false).await;
    world.engine.retry_bulk(&asked(), bulk, Some(vec![ids[1].to_string()])).await.unwrap();
    let again = world.bulk(BulkRequest::Move, &ids[..1]).await;
    world.end_bulk(again).await;
    assert_eq!(world.cloud_pc(ids[0]).await.region, "eastus2");
    assert_eq!(codes(&world.items(bulk).await), ["", "operationNotSupported"], "{POLICY} made the first alone");
}

#[tokio::test]
async fn a_review_begins_and_ends_for_each_cloud_pc() {
    let (mut world, ids) = TestEngine::fleet(2).await;
    let review = |in_review| BulkRequest::SetReviewStatus {
        in_review,
        user_access_level: UserAccessLevel::Restricted,
        subscription_id: None,
        azure_storage_account_id: None,
        access_tier: BlobAccessTier::default(),
    };
    let bulk = world.bulk(review(true), &ids).await;
    let ended = world.end_bulk(bulk).await;
    assert_eq!(ended.counts, BulkCounts { succeeded: 2, ..BulkCounts::default() });
    assert!(world.items(bulk).await.iter().all(|item| item.action_id.is_some()), "each took a restore point");
    let id = ids[1];
    let found = world.change(move |tx| tx.review(tenant(), id)).await.unwrap();
    assert_eq!(found.user_access, UserAccessLevel::Restricted);
    let bulk = world.bulk(review(false), &ids).await;
    world.end_bulk(bulk).await;
    assert_eq!(world.change(move |tx| tx.review(tenant(), id)).await, None);
}

#[tokio::test]
async fn what_no_machine_here_can_do_is_not_supported() {
    let (mut world, ids) = TestEngine::fleet(1).await;
    for request in [
        BulkRequest::ReinstallAgent,
        BulkRequest::ModifyDiskEncryptionType { disk_encryption_type: DiskEncryptionType::CustomerManagedKey },
        BulkRequest::DisasterRecovery { capability_type: None, license_type: None },
        BulkRequest::DisasterRecoveryFailover,
        BulkRequest::DisasterRecoveryFailback,
    ] {
        let bulk = world.bulk(request, &ids).await;
        let ended = world.end_bulk(bulk).await;
        assert_eq!(ended.counts, BulkCounts { not_supported: 1, ..BulkCounts::default() });
    }
}

#[tokio::test]
async fn bulk_actions_have_limits() {
    let world = TestEngine::new(1).await;
    let named = |count: usize| NewBulkAction {
        cloud_pcs: (0..count).map(|number| number.to_string()).collect(),
        ..new(BulkRequest::Restart, &[])
    };
    for count in [0, BULK_CLOUD_PCS_MAX + 1] {
        let refused = world.engine.accept_bulk(&asked(), named(count)).await.unwrap_err();
        assert_eq!(
            refused.message,
            format!("'cloudPcIds' names {count} Cloud PCs; 1 to 5000 are allowed in a bulk action.")
        );
    }
    world.engine.accept_bulk(&asked(), named(BULK_CLOUD_PCS_MAX)).await.unwrap();
    // No engine runs, so that all stay open.
    for _ in 1..BULK_ACTIONS_OPEN_MAX {
        world.engine.accept_bulk(&asked(), named(1)).await.unwrap();
    }
    let refused = world.engine.accept_bulk(&asked(), named(1)).await.unwrap_err();
    assert_eq!((refused.kind, refused.code), (ErrorKind::Forbidden, "quotaLimitReached"));
    let elsewhere =
        cloudpc_engine::RequestContext { tenant_id: cloudpc_model::TenantId(Uuid::from_u128(2)), ..asked() };
    world.engine.accept_bulk(&elsewhere, named(1)).await.unwrap();
}

#[tokio::test]
async fn a_bulk_resize_to_an_unknown_plan_is_refused_at_once() {
    let (world, ids) = TestEngine::fleet(1).await;
    let unknown = cloudpc_model::ServicePlanId(Uuid::from_u128(77));
    let wanted = new(BulkRequest::Resize { target_service_plan_id: unknown }, &ids);
    let refused = world.engine.accept_bulk(&asked(), wanted).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid);
}

impl TestEngine {
    /// Assigns a window that opens on every day at 02:00 UTC, for two hours, to a group with the
    /// user of all Cloud PCs.
    async fn assign_window(&self) {
        let group = GroupId(Uuid::from_u128(60));
        let body = json!({"displayName": "Nights", "schedules": [
            {"scheduleType": "weekday", "startTime": "02:00:00", "endTime": "04:00:00"},
            {"scheduleType": "weekend", "startTime": "02:00:00", "endTime": "04:00:00"},
        ]});
        let window = DocumentKey::new(DocumentType::CloudPcMaintenanceWindow, "nights");
        let assigned = DocumentKey { kind: DocumentType::CloudPcMaintenanceWindowAssignment, ..window.clone() };
        let assigned = DocumentKey { parent: "nights".into(), id: "assigned".into(), ..assigned };
        let target = json!({"target": {"@odata.type": "#microsoft.graph.cloudPcManagementGroupAssignmentTarget",
            "groupId": group.to_string()}});
        self.change(move |tx| {
            tx.user_put(&User {
                tenant_id: tenant(),
                id: UserId(Uuid::from_u128(7)),
                user_principal_name: "ada@contoso.test".into(),
                display_name: "Ada".into(),
                password_hash: None,
                roles: Vec::new(),
                permissions: Vec::new(),
                enabled: true,
                profile: UserProfile::default(),
                created_at: None,
            })?;
            tx.group_put(&Group {
                tenant_id: tenant(),
                id: group,
                display_name: "Night shift".into(),
                description: None,
                mail_nickname: "night".into(),
                mail_enabled: false,
                security_enabled: true,
                created_at: START,
            })?;
            tx.group_member_insert(tenant(), group, UserId(Uuid::from_u128(7)), START)?;
            for (key, body) in [(&window, &body), (&assigned, &target)] {
                let document = Document {
                    tenant_id: tenant(),
                    key: key.clone(),
                    revision: 1,
                    body: body.as_object().unwrap().clone(),
                    status: Object::new(),
                    secret_counts: Object::new(),
                    created_at: START,
                    modified_at: START,
                };
                tx.document_insert(&document, &DocumentIndex::default())?.unwrap();
            }
            Ok(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_maintenance_window_holds_a_bulk_action_back() {
    let (mut world, ids) = TestEngine::fleet(2).await;
    let held = NewBulkAction { in_maintenance_window: true, ..new(BulkRequest::Restart, &ids) };
    let without = world.engine.accept_bulk(&asked(), held.clone()).await.unwrap();
    world.end_bulk(without.id).await;
    assert_eq!(codes(&world.items(without.id).await), ["maintenanceWindowNotFound"; 2]);

    world.assign_window().await;
    world.engine.retry_bulk(&asked(), without.id, None).await.unwrap();
    // It is a quarter past ten in the evening.
    world.rest().await;
    assert_eq!(world.bulk_now(without.id).await.counts, BulkCounts { pending: 2, ..BulkCounts::default() });
    world.advance(Duration::from_secs(3 * 3600)).await;
    assert_eq!(world.bulk_now(without.id).await.counts.pending, 2);
    world.crash().await;
    let ended = world.end_bulk(without.id).await;
    assert_eq!(ended.counts, BulkCounts { succeeded: 2, ..BulkCounts::default() });
    for item in world.items(without.id).await {
        let action = world.action(item.action_id.unwrap()).await;
        assert!(action.requested_at.to_string().contains("T02:00:00"), "{}", action.requested_at);
    }
    // A window is open now: the next one begins at once.
    let at_once = world.engine.accept_bulk(&asked(), held).await.unwrap();
    world.rest().await;
    assert_eq!(world.bulk_now(at_once.id).await.counts.pending, 0);
}

#[tokio::test]
async fn the_oldest_ended_bulk_actions_make_room_for_new_ones() {
    let mut world = TestEngine::new(1).await;
    world.start();
    let nobody = || NewBulkAction { cloud_pcs: vec!["nobody".into()], ..new(BulkRequest::Restart, &[]) };
    let mut ids = Vec::new();
    for number in 0..BULK_ACTIONS_KEPT_MAX {
        ids.push(world.engine.accept_bulk(&asked(), nobody()).await.unwrap().id);
        if number % BULK_ACTIONS_OPEN_MAX == BULK_ACTIONS_OPEN_MAX - 1 {
            // The oldest are removed first, so they must differ in age.
            world.advance(Duration::from_secs(1)).await;
        }
    }
    let kept = async |world: &TestEngine| world.change(|tx| tx.bulk_action_count(tenant())).await;
    assert_eq!(kept(&world).await, BULK_ACTIONS_KEPT_MAX);
    let newest = world.engine.accept_bulk(&asked(), nobody()).await.unwrap().id;
    assert_eq!(kept(&world).await, BULK_ACTIONS_KEPT_MAX);
    let mut left = 0;
    for id in ids.iter().take(usize::try_from(BULK_ACTIONS_OPEN_MAX).unwrap()) {
        let id = *id;
        let found = world.change(move |tx| tx.bulk_action(tenant(), id)).await;
        assert_eq!(world.items(id).await.len(), usize::from(found.is_some()), "items go with their bulk action");
        left += u64::from(found.is_some());
    }
    assert_eq!(left, BULK_ACTIONS_OPEN_MAX - 1, "one of the oldest is gone");
    assert!(world.change(move |tx| tx.bulk_action(tenant(), newest)).await.is_some());
}
