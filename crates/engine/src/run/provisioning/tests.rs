//! How the tenants share a batch.

use cloudpc_store::{Store, WriteMode};
use uuid::Uuid;

use super::*;

/// Runs a batch for tenants with these numbers of queued users. Returns how many remain of each,
/// and the place of the tenant that had its turn last.
async fn batch(queued: &[usize], turn: Option<usize>) -> (Vec<usize>, Option<usize>) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), WriteMode::Inline).unwrap();
    let tenants: Vec<_> = (1..).take(queued.len()).map(|number| TenantId(Uuid::from_u128(number))).collect();
    let turn = turn.map(|place| tenants[place]);
    let (own, queued) = (tenants.clone(), queued.to_vec());
    let write = store.write("test.write", move |tx| {
        for (tenant, count) in own.iter().zip(&queued) {
            let users: Vec<_> = (0..*count as u128).map(|number| UserId(Uuid::from_u128(number))).collect();
            tx.provisioning_queue_put(*tenant, &users, Timestamp(1))?;
        }
        let turn = reconcile_batch(tx, turn, 1, Timestamp(2))?;
        let left = tx.provisioning_queue_next(usize::MAX)?;
        let left_of = |tenant: &TenantId| left.iter().filter(|queued| queued.tenant_id == *tenant).count();
        Ok::<_, StoreError>((own.iter().map(left_of).collect(), turn))
    });
    let (left, turn) = write.await.unwrap();
    (left, turn.and_then(|turn| tenants.iter().position(|tenant| *tenant == turn)))
}

#[tokio::test]
async fn tenants_take_turns_however_many_users_one_of_them_queues() {
    let share = TENANT_SHARE_MAX;
    assert_eq!(batch(&[1_000, 1], None).await, (vec![1_000 - (BATCH_MAX - 1), 0], Some(0)));
    assert_eq!(batch(&[1_000; 2], None).await, (vec![1_000 - BATCH_MAX / 2; 2], Some(1)));
    let five = [1_000 - share, 1_000 - share, 1_000 - share, 1_000, 1_000 - share];
    assert_eq!(batch(&[1_000; 5], Some(3)).await, (five.to_vec(), Some(2)));
}

#[tokio::test]
async fn one_tenant_can_use_a_whole_batch() {
    assert_eq!(batch(&[1_000], None).await, (vec![1_000 - BATCH_MAX], Some(0)));
    assert_eq!(batch(&[3], Some(0)).await, (vec![0], None));
}
