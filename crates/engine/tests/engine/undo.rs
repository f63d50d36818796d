//! Undo: what is restored, what can no longer be undone, and when old disks are dropped.

use cloudpc_drivers::Driver;
use cloudpc_drivers::sim::ScriptedCondition;
use cloudpc_engine::{Effect, EngineSettings, FaultRule};
use cloudpc_model::{
    ActionId, Before, Clock, CloudPc, CloudPcId, CloudPcStatus, ErrorKind, OsVersion, Params, Power, SnapshotId, State,
    StatusDetail, UndoRecord, UserAccountType,
};
use std::time::Duration;
use uuid::Uuid;

use crate::world::{START, TestEngine, UNDO_WINDOW, asked, big, fail, image, rule, settings, tenant};

pub const REPROVISION: Params = Params::Reprovision {
    os_version: Some(OsVersion::Windows10),
    user_account_type: Some(UserAccountType::Administrator),
    image_id: None,
};

/// Size of a simulated disk with a file of six bytes, bytes.
const DISK_BYTES: u64 = (32 << 30) + 6;

const MOMENT: Duration = Duration::from_micros(1);

impl TestEngine {
    pub async fn done(&mut self, id: CloudPcId, params: Params) -> ActionId {
        let action = self.engine.request(&asked(), id, params).await.unwrap();
        assert_eq!(self.end(action).await.state, State::Done);
        self.idle().await;
        action
    }

    async fn undone(&mut self, id: CloudPcId) -> ActionId {
        let undo = self.engine.undo(&asked(), id).await.unwrap();
        let ended = self.end(undo).await;
        assert_eq!(ended.state, State::Done, "{ended:#?}");
        self.idle().await;
        undo
    }

    async fn refusal(&self, id: CloudPcId) -> &'static str {
        let audited = self.audit().await.len();
        let error = self.engine.undo(&asked(), id).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict);
        assert_eq!(self.audit().await.len(), audited, "a refusal changes nothing");
        error.code
    }

    async fn kept_until(&self, id: CloudPcId) -> cloudpc_model::Timestamp {
        self.change(move |tx| tx.undo_record_of(tenant(), &id.to_string())).await.unwrap().kept_until
    }

    async fn advance_to(&mut self, to: cloudpc_model::Timestamp) {
        self.advance(to.since(self.clock.now())).await;
    }
}

#[tokio::test]
async fn reprovision_and_its_undo_can_be_undone() {
    let (mut world, id) = TestEngine::started(1).await;
    world.write_marker(id, "before").await;
    let before = world.cloud_pc(id).await;
    let reprovision = world.done(id, REPROVISION).await;
    world.write_marker(id, "after").await;
    let after = world.cloud_pc(id).await;
    assert_ne!(after.aad_device_id, before.aad_device_id);

    let undo = world.undone(id).await;
    assert_eq!(world.action(undo).await.params, Params::Undo { action_id: reprovision });
    assert_eq!(world.marker(id).await.as_deref(), Some("before"));
    let CloudPc { modified_at, .. } = world.cloud_pc(id).await;
    assert_eq!(world.cloud_pc(id).await, CloudPc { modified_at, ..before });
    assert_eq!(world.asides(id).await, [world.tag(undo).await.0]);

    let again = world.undone(id).await;
    assert_eq!(world.action(again).await.params, Params::Undo { action_id: undo });
    assert_eq!(world.marker(id).await.as_deref(), Some("after"));
    let CloudPc { modified_at, .. } = world.cloud_pc(id).await;
    assert_eq!(world.cloud_pc(id).await, CloudPc { modified_at, ..after });
    let audit = world.audit().await;
    assert_eq!(audit, ["Reprovision CloudPC", "Undo CloudPC", "Undo CloudPC"]);
}

#[tokio::test]
async fn restore_can_be_undone() {
    let (mut world, id) = TestEngine::started(1).await;
    world.write_marker(id, "snapshot").await;
    let snapshot_id = SnapshotId::new(id, Uuid::from_u128(1));
    world.done(id, Params::CreateSnapshot { snapshot_id: snapshot_id.clone() }).await;
    assert_eq!(world.refusal(id).await, "nothingToUndo", "a restore point takes nothing away");
    world.write_marker(id, "before").await;
    world.done(id, Params::Restore { snapshot_id }).await;
    assert_eq!(world.marker(id).await.as_deref(), Some("snapshot"));
    world.undone(id).await;
    assert_eq!(world.marker(id).await.as_deref(), Some("before"));
}

#[tokio::test]
async fn undo_of_a_resize_restores_the_size_and_keeps_the_disk() {
    let (mut world, id) = TestEngine::started(1).await;
    let before = world.cloud_pc(id).await;
    world.done(id, Params::Resize { target_service_plan_id: big() }).await;
    world.write_marker(id, "after").await;
    world.undone(id).await;
    assert_eq!(world.marker(id).await.as_deref(), Some("after"));
    assert_eq!(world.cloud_pc(id).await.service_plan_id, before.service_plan_id);
    let spec = world.driver.observe(id).await.unwrap().spec;
    assert_eq!((spec.vcpu_count, spec.ram_gib), (2, 8));
    assert_eq!(spec.storage_gib, 256, "a disk does not shrink");
    world.done(id, Params::Resize { target_service_plan_id: big() }).await;
}

#[tokio::test]
async fn undo_keeps_the_present_name_and_power() {
    let (mut world, id) = TestEngine::started(1).await;
    world.write_marker(id, "before").await;
    world.done(id, REPROVISION).await;
    world.done(id, Params::Rename { display_name: "new".into() }).await;
    world.done(id, Params::PowerOff).await;
    world.undone(id).await;
    let cloud_pc = world.cloud_pc(id).await;
    assert_eq!((&*cloud_pc.display_name, cloud_pc.power_observed), ("new", Power::PoweredOff));
    world.done(id, Params::PowerOn).await;
    assert_eq!(world.marker(id).await.as_deref(), Some("before"));
}

#[tokio::test]
async fn undo_restores_the_status_of_a_failed_machine() {
    let (mut world, id) = TestEngine::started(1).await;
    world.write_marker(id, "before").await;
    let detail = StatusDetail { code: "healthCheckFailed".into(), message: "No network.".into() };
    let warned = detail.clone();
    world
        .update(id, |cloud_pc| {
            cloud_pc.status = CloudPcStatus::ProvisionedWithWarnings;
            cloud_pc.status_detail = Some(warned);
        })
        .await;
    world.done(id, REPROVISION).await;
    world.update(id, |cloud_pc| cloud_pc.status = CloudPcStatus::Failed).await;
    world.undone(id).await;
    let cloud_pc = world.cloud_pc(id).await;
    assert_eq!((cloud_pc.status, cloud_pc.status_detail), (CloudPcStatus::ProvisionedWithWarnings, Some(detail)));
    assert_eq!(world.marker(id).await.as_deref(), Some("before"));
}

#[tokio::test]
async fn undo_is_possible_until_the_window_expires() {
    let (mut world, id) = TestEngine::started(1).await;
    assert_eq!(world.refusal(id).await, "nothingToUndo");
    let reprovision = world.done(id, REPROVISION).await;
    let end = world.kept_until(id).await;
    assert_eq!(end, world.action(reprovision).await.updated_at + UNDO_WINDOW);
    world.advance_to(end).await;
    world.advance(Duration::from_secs(60)).await;
    assert_eq!(world.asides(id).await, [""; 0], "the old disk was dropped");
    let error = world.engine.undo(&asked(), id).await.unwrap_err();
    assert_eq!((error.kind, error.code), (ErrorKind::Conflict, "undoWindowPassed"));
    insta::assert_snapshot!(error.message, @"The reprovision of 2023-11-14T22:33:20.0000000Z (action 1) can no longer be undone: its undo window has expired, or its old disk was deleted to free space.");

    world.done(id, REPROVISION).await;
    let end = world.kept_until(id).await;
    let moment_before = cloudpc_model::Timestamp(end.0 - 1);
    world.advance_to(moment_before).await;
    let undo = world.engine.undo(&asked(), id).await.unwrap();
    assert_eq!(world.end(undo).await.state, State::Done, "accepted just before the end, whatever its duration");
}

#[tokio::test]
async fn old_disk_is_kept_while_its_undo_is_open() {
    let (mut world, id) = TestEngine::started(1).await;
    world.write_marker(id, "before").await;
    world.done(id, REPROVISION).await;
    let end = world.kept_until(id).await;
    world.advance_to(cloudpc_model::Timestamp(end.0 - 1_000_000)).await;
    let slow = Effect::SlowDown { by_ms: 200_000 };
    world.faults.add(FaultRule { step: Some("stop".into()), ..rule(slow) });
    world.faults.add(FaultRule { step: Some("waitForGuest".into()), ..rule(fail()) });
    let undo = world.engine.undo(&asked(), id).await.unwrap();
    world.advance(Duration::from_secs(100)).await;
    assert_eq!(world.asides(id).await.len(), 1, "past its end, and needed");
    let ended = world.end(undo).await;
    assert_eq!(ended.state, State::Failed);
    world.advance(Duration::from_secs(60)).await;
    assert_eq!(world.asides(id).await, [""; 0], "no longer needed");
}

#[tokio::test]
async fn newer_undo_record_replaces_the_older_one() {
    let (mut world, id) = TestEngine::started(1).await;
    world.done(id, REPROVISION).await;
    world.write_marker(id, "between").await;
    let second = world.done(id, REPROVISION).await;
    world.advance(Duration::from_secs(60)).await;
    assert_eq!(world.asides(id).await, [world.tag(second).await.0]);
    world.undone(id).await;
    assert_eq!(world.marker(id).await.as_deref(), Some("between"));
}

#[tokio::test]
async fn open_action_is_reported_before_a_missing_undo_record() {
    let (mut world, id) = TestEngine::started(1).await;
    world.engine.request(&asked(), id, REPROVISION).await.unwrap();
    assert_eq!(world.refusal(id).await, "remoteActionInProgress");
    world.idle().await;
    world.engine.undo(&asked(), id).await.unwrap();
    assert_eq!(world.refusal(id).await, "remoteActionInProgress");
    let error = world.engine.request(&asked(), id, Params::Reboot).await.unwrap_err();
    assert_eq!(error.code, "remoteActionInProgress");
    world.idle().await;
    let params = Params::Undo { action_id: ActionId(1) };
    let error = world.engine.request(&asked(), id, params).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn old_disks_stay_within_their_limit_and_the_oldest_are_dropped_first() {
    let mut world = TestEngine::with(1, EngineSettings { undo_disk_bytes_max: 2 * DISK_BYTES, ..settings() }).await;
    let mut ids = Vec::new();
    for number in 1..=3 {
        ids.push(world.add(number, ScriptedCondition::default()).await);
    }
    world.start();
    for id in &ids {
        world.write_marker(*id, "before").await;
    }
    for id in &ids[..2] {
        world.done(*id, REPROVISION).await;
    }
    world.advance(Duration::from_secs(60)).await;
    assert_eq!([world.asides(ids[0]).await.len(), world.asides(ids[1]).await.len()], [1, 1], "exactly the budget");
    world.done(ids[2], REPROVISION).await;
    world.advance(Duration::from_secs(60)).await;
    assert_eq!(world.asides(ids[0]).await, [""; 0]);
    assert_eq!([world.asides(ids[1]).await.len(), world.asides(ids[2]).await.len()], [1, 1]);
    assert_eq!(world.refusal(ids[0]).await, "undoWindowPassed");
    world.undone(ids[1]).await;
    assert_eq!(world.marker(ids[1]).await.as_deref(), Some("before"));
}

#[tokio::test]
async fn no_window_or_no_space_keeps_no_old_disk() {
    for none in [
        EngineSettings { undo_window: Duration::ZERO, ..settings() },
        EngineSettings { undo_disk_bytes_max: 0, ..settings() },
    ] {
        let mut world = TestEngine::with(1, none).await;
        let id = world.add(1, ScriptedCondition::default()).await;
        world.start();
        world.done(id, REPROVISION).await;
        world.advance(Duration::from_secs(60)).await;
        assert_eq!(world.asides(id).await, [""; 0]);
        assert_eq!(world.refusal(id).await, "undoWindowPassed");
    }
}

#[tokio::test]
async fn crash_during_old_disk_cleanup_leaves_no_disk() {
    let (mut world, id) = TestEngine::started(1).await;
    world.done(id, REPROVISION).await;
    let end = world.kept_until(id).await;
    world.advance_to(end).await;
    world.advance(MOMENT).await;
    assert_eq!(world.asides(id).await.len(), 1, "under way");
    world.crash().await;
    assert_eq!(world.refusal(id).await, "undoWindowPassed");
    world.advance(Duration::from_secs(900)).await;
    assert_eq!(world.asides(id).await, [""; 0]);
    assert_eq!(world.change(|tx| tx.undo_record_next_due()).await, None);
}

#[tokio::test]
async fn missing_old_disk_fails_the_undo_before_the_machine_changes() {
    let (mut world, id) = TestEngine::started(1).await;
    let reprovision = world.done(id, REPROVISION).await;
    world.advance(Duration::from_secs(60)).await;
    let (driver, clock) = (world.driver.clone(), world.clock.clone());
    let tag = world.tag(reprovision).await;
    let by_hand = tokio::spawn(async move { driver.ensure_aside_dropped(id, &tag).await });
    clock.advance(Duration::from_secs(60)).await;
    by_hand.await.unwrap().unwrap();
    let boots = world.driver.observe(id).await.unwrap().boots;
    let undo = world.engine.undo(&asked(), id).await.unwrap();
    let ended = world.end(undo).await;
    assert_eq!((ended.state, &*ended.failure().unwrap().code), (State::Failed, "oldDiskGone"));
    assert_eq!(world.driver.observe(id).await.unwrap().boots, boots);
    assert_eq!(world.cloud_pc(id).await.status, CloudPcStatus::Provisioned);
}

#[tokio::test]
async fn undo_record_without_its_disk_is_deleted() {
    let (mut world, id) = TestEngine::started(1).await;
    let cloud_pc = world.cloud_pc(id).await;
    let record = |cloud_pc_id, action_id| UndoRecord {
        tenant_id: tenant(),
        cloud_pc_id,
        action_id: ActionId(action_id),
        tag_nonce: None,
        before: Before::of(&cloud_pc, true),
        kept_until: START + UNDO_WINDOW,
        size_bytes: None,
        dropping: false,
    };
    // The second record is of a machine that the driver does not know.
    for record in [record(id, 70), record(CloudPcId(Uuid::from_u128(1)), 71)] {
        world.change(move |tx| tx.undo_record_put(&record, START)).await;
    }
    world.done(id, Params::Reboot).await;
    world.advance(Duration::from_secs(60)).await;
    assert_eq!(world.change(|tx| tx.undo_record_next_due()).await, None);
    assert_eq!(world.refusal(id).await, "nothingToUndo");
    assert_eq!(world.driver.observe(id).await.unwrap().spec.image, image(OsVersion::Windows11));
}
