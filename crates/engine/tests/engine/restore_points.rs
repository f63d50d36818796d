//! Automatic restore points over weeks of the virtual clock.

use cloudpc_drivers::sim::ScriptedCondition;
use cloudpc_model::{
    Clock, CloudPcId, LONG_TERM_SNAPSHOTS_MAX, Params, SHORT_TERM_SNAPSHOTS_MAX, Snapshot, SnapshotId, SnapshotType,
    State,
};
use std::time::Duration;
use uuid::Uuid;

use crate::world::{TestEngine, add_user_setting, asked, tenant};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

async fn of_type(world: &TestEngine, id: CloudPcId, kind: SnapshotType) -> Vec<Snapshot> {
    let all = world.change(move |tx| tx.snapshot_list(tenant(), Some(id), None, 100)).await;
    let mut found: Vec<_> = all.into_iter().filter(|snapshot| snapshot.snapshot_type == kind).collect();
    found.sort_by_key(|snapshot| snapshot.created_at);
    found
}

/// Returns an engine with a Cloud PC whose user has a user setting of this frequency.
async fn world(frequency: &'static str) -> (TestEngine, CloudPcId) {
    let mut world = TestEngine::new(1).await;
    let id = world.add(1, ScriptedCondition::default()).await;
    world.start();
    let now = world.clock.now();
    world
        .change(move |tx| {
            add_user_setting(tx, id, frequency)?;
            let user = tx.cloud_pc(tenant(), id)?.unwrap().user_id.unwrap();
            tx.provisioning_queue_put(tenant(), &[user], now)
        })
        .await;
    world.rest().await;
    (world, id)
}

#[tokio::test]
async fn ten_latest_and_four_weekly_restore_points_are_kept_over_weeks_with_restarts() {
    let (mut world, id) = world("twelveHours").await;
    let manual = Params::CreateSnapshot { snapshot_id: SnapshotId::new(id, Uuid::from_u128(7)) };
    let manual = world.engine.request(&asked(), id, manual).await.unwrap();
    assert_eq!(world.end(manual).await.state, State::Done);
    for day in 1..=42 {
        world.advance(DAY / 2).await;
        world.advance(DAY / 2).await;
        world.idle().await;
        if day % 5 == 0 {
            world.crash().await;
            world.start();
            world.rest().await;
        }
        let short = of_type(&world, id, SnapshotType::Automatic).await.len();
        let long = of_type(&world, id, SnapshotType::Retention).await.len();
        assert!(short <= SHORT_TERM_SNAPSHOTS_MAX && long <= LONG_TERM_SNAPSHOTS_MAX, "day {day}: {short} {long}");
    }
    let short = of_type(&world, id, SnapshotType::Automatic).await;
    let long = of_type(&world, id, SnapshotType::Retention).await;
    assert_eq!((short.len(), long.len()), (SHORT_TERM_SNAPSHOTS_MAX, LONG_TERM_SNAPSHOTS_MAX));
    assert!(world.clock.now().since(short[9].created_at) < 13 * HOUR, "they are the latest");
    assert!(world.clock.now().since(short[0].created_at) < 7 * DAY);
    for pair in long.windows(2) {
        let apart = pair[1].created_at.since(pair[0].created_at);
        assert!((7 * DAY..9 * DAY).contains(&apart), "{apart:?}");
    }
    assert_eq!(of_type(&world, id, SnapshotType::Manual).await.len(), 1, "a manual one is never dropped");
}

#[tokio::test]
async fn the_interval_is_that_of_the_user_setting() {
    for (frequency, hours) in [("fourHours", 4), ("sixHours", 6), ("default", 12), ("twentyFourHours", 24)] {
        let (mut world, id) = world(frequency).await;
        world.advance(HOUR * hours - Duration::from_secs(60)).await;
        world.idle().await;
        assert_eq!(of_type(&world, id, SnapshotType::Retention).await.len(), 0, "{frequency}");
        world.advance(Duration::from_secs(120)).await;
        world.idle().await;
        assert_eq!(of_type(&world, id, SnapshotType::Retention).await.len(), 1, "{frequency}");
    }
}

#[tokio::test]
async fn a_machine_that_is_off_and_a_user_without_a_setting_get_none() {
    let (mut world, id) = world("fourHours").await;
    let off = world.engine.request(&asked(), id, Params::PowerOff).await.unwrap();
    assert_eq!(world.end(off).await.state, State::Done);
    world.advance(DAY).await;
    world.idle().await;
    assert_eq!(of_type(&world, id, SnapshotType::Retention).await, []);
    let on = world.engine.request(&asked(), id, Params::PowerOn).await.unwrap();
    assert_eq!(world.end(on).await.state, State::Done);
    world.advance(4 * HOUR).await;
    world.idle().await;
    assert_eq!(of_type(&world, id, SnapshotType::Retention).await.len(), 1);
    let user = world.cloud_pc(id).await.user_id.unwrap();
    let now = world.clock.now();
    world
        .change(move |tx| {
            let groups = tx.user_groups(tenant(), user)?;
            tx.group_member_delete(tenant(), groups[0].id, user, now).map(drop)
        })
        .await;
    world.advance(2 * DAY).await;
    world.idle().await;
    assert_eq!(of_type(&world, id, SnapshotType::Automatic).await, []);
}

#[tokio::test]
async fn a_restore_that_was_accepted_first_still_finds_its_restore_point() {
    let (mut world, id) = world("fourHours").await;
    let snapshot_id = SnapshotId::new(id, Uuid::from_u128(7));
    let made = Params::CreateSnapshot { snapshot_id: snapshot_id.clone() };
    let made = world.engine.request(&asked(), id, made).await.unwrap();
    assert_eq!(world.end(made).await.state, State::Done);
    let restore = world.engine.request(&asked(), id, Params::Restore { snapshot_id }).await.unwrap();
    let dropped = world.drop_restore_point(id).await;
    assert_eq!(world.end(restore).await.state, State::Done);
    assert_eq!(world.end(dropped).await.state, State::Done);
}
