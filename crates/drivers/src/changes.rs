//! Telling those who watch which machines have changed by themselves: the part of
//! [`Driver::watch`](crate::Driver::watch) that every driver has.

use cloudpc_model::CloudPcId;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::collections::VecDeque;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender};

/// Changes that a slow watcher may be behind. One that is further behind begins anew.
const BEHIND_MAX: usize = 1024;

/// Where changes are told.
pub struct Changes(Sender<CloudPcId>);

impl Changes {
    pub fn new() -> Self {
        Self(Sender::new(BEHIND_MAX))
    }

    pub fn tell(&self, id: CloudPcId) {
        // Without anyone who watches, nobody has to be told.
        let _ = self.0.send(id);
    }

    /// The machines that may have changed before, then each that is told of.
    pub fn watch<F>(&self, before: F) -> BoxStream<'static, CloudPcId>
    where
        F: Fn() -> Vec<CloudPcId> + Send + 'static,
    {
        // What changes from here on is told; what changed until here is among those before.
        let receiver = self.0.subscribe();
        let known = VecDeque::from(before());
        stream::unfold((before, receiver, known), next).boxed()
    }
}

type Watching<F> = (F, Receiver<CloudPcId>, VecDeque<CloudPcId>);

async fn next<F: Fn() -> Vec<CloudPcId>>(
    (before, mut receiver, mut known): Watching<F>,
) -> Option<(CloudPcId, Watching<F>)> {
    loop {
        if let Some(id) = known.pop_front() {
            return Some((id, (before, receiver, known)));
        }
        match receiver.recv().await {
            Ok(id) => known.push_back(id),
            Err(RecvError::Lagged(_)) => known.extend(before()),
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
    async fn who_watches_hears_of_all_and_begins_anew_when_too_far_behind() {
        let changes = Changes::new();
        changes.tell(id(9));
        let mut watching = changes.watch(|| vec![id(1)]);
        for number in 0..BEHIND_MAX {
            changes.tell(id(number + 10));
        }
        assert_eq!(watching.next().await, Some(id(1)));
        assert_eq!(watching.next().await, Some(id(10)), "as far behind as may be");
        changes.tell(id(8));
        changes.tell(id(8));
        assert_eq!(watching.next().await, Some(id(1)), "one more");
    }
}
