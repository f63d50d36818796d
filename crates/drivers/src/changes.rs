//! Notifies watchers that a machine may have changed by itself. Every driver uses it for
//! [`Driver::watch`](crate::Driver::watch).

use cloudpc_model::CloudPcId;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::collections::VecDeque;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender};

/// Notifications that a slow watcher may have pending. A watcher that falls further behind starts
/// over.
const BEHIND_MAX: usize = 1024;

/// Broadcasts the ids of machines that may have changed.
pub struct Changes(Sender<CloudPcId>);

impl Changes {
    pub fn new() -> Self {
        Self(Sender::new(BEHIND_MAX))
    }

    pub fn notify(&self, id: CloudPcId) {
        // Sending fails only if nobody watches.
        let _ = self.0.send(id);
    }

    /// Returns the machines listed by `initial`, then each machine as it is notified.
    pub fn watch<F>(&self, initial: F) -> BoxStream<'static, CloudPcId>
    where
        F: Fn() -> Vec<CloudPcId> + Send + 'static,
    {
        // Subscribes before listing, so that no change in between is missed.
        let receiver = self.0.subscribe();
        let pending = VecDeque::from(initial());
        stream::unfold((initial, receiver, pending), next).boxed()
    }
}

type WatchState<F> = (F, Receiver<CloudPcId>, VecDeque<CloudPcId>);

async fn next<F: Fn() -> Vec<CloudPcId>>(
    (initial, mut receiver, mut pending): WatchState<F>,
) -> Option<(CloudPcId, WatchState<F>)> {
    loop {
        if let Some(id) = pending.pop_front() {
            return Some((id, (initial, receiver, pending)));
        }
        match receiver.recv().await {
            Ok(id) => pending.push_back(id),
            Err(RecvError::Lagged(_)) => pending.extend(initial()),
            Err(RecvError::Closed) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn id(number: usize) -> CloudPcId {
        CloudPcId(Uuid::from_u128(number as u128))
    }

    #[tokio::test]
    async fn a_watcher_gets_every_change_and_starts_over_when_it_lags_too_far() {
        let changes = Changes::new();
        changes.notify(id(9));
        let mut watching = changes.watch(|| vec![id(1)]);
        for number in 0..BEHIND_MAX {
            changes.notify(id(number + 10));
        }
        assert_eq!(watching.next().await, Some(id(1)));
        assert_eq!(watching.next().await, Some(id(10)), "lagging by exactly the limit");
        changes.notify(id(8));
        changes.notify(id(8));
        assert_eq!(watching.next().await, Some(id(1)), "lagging by one more than the limit");
    }
}
