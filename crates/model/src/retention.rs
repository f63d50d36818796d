//! Retention of automatic restore points: the latest ones, and older ones of which one is kept for
//! each week.

use std::time::Duration;

use crate::{Snapshot, SnapshotId, SnapshotType, Timestamp};

/// Automatic restore points that a Cloud PC keeps, the oldest of which are dropped.
pub const SHORT_TERM_SNAPSHOTS_MAX: usize = 10;

/// Weekly restore points that a Cloud PC keeps, the oldest of which are dropped.
pub const LONG_TERM_SNAPSHOTS_MAX: usize = 4;

/// Time between two weekly restore points.
pub const LONG_TERM_INTERVAL: Duration = Duration::from_secs(7 * 24 * 3600);

/// Returns the type of an automatic restore point that is taken now: a weekly one if the last
/// weekly one is a week old.
pub fn automatic_type(existing: &[Snapshot], now: Timestamp) -> SnapshotType {
    let latest = of_type(existing, SnapshotType::Retention).map(|snapshot| snapshot.created_at).max();
    match latest {
        Some(latest) if latest + LONG_TERM_INTERVAL > now => SnapshotType::Automatic,
        _ => SnapshotType::Retention,
    }
}

/// Returns the restore points that exceed what is kept, oldest first. Manual ones are never among
/// them.
pub fn surplus_snapshots(existing: &[Snapshot]) -> Vec<SnapshotId> {
    let kept =
        [(SnapshotType::Automatic, SHORT_TERM_SNAPSHOTS_MAX), (SnapshotType::Retention, LONG_TERM_SNAPSHOTS_MAX)];
    let surplus = kept.into_iter().flat_map(|(kind, most)| {
        let mut of_kind: Vec<_> = of_type(existing, kind).collect();
        of_kind.sort_by_key(|snapshot| (snapshot.created_at, &snapshot.id));
        let surplus = of_kind.len().saturating_sub(most);
        of_kind.truncate(surplus);
        of_kind
    });
    surplus.map(|snapshot| snapshot.id.clone()).collect()
}

fn of_type(snapshots: &[Snapshot], kind: SnapshotType) -> impl Iterator<Item = &Snapshot> {
    snapshots.iter().filter(move |snapshot| snapshot.snapshot_type == kind)
}
