//! Waiting until the work that the clock woke is finished: every task waits for something, and no
//! job outside the runtime is open.

use futures_util::future::select;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Instant;

use super::ClockShared;

/// Yields before a look at the work in progress. On a single-threaded runtime every yield runs all
/// ready tasks, so this is also the longest chain of tasks that wake each other, without a sleep
/// started or dropped, that is still waited for.
const YIELDS: u32 = 64;

/// The same on a multi-threaded runtime, where each yield runs the tasks of this thread, and the
/// other threads are looked at.
const THREAD_YIELDS: u32 = 4;

/// Longest wait at one stop, real time, if the work in progress never ends. Requests that arrive
/// all the time can keep the threads busy.
const IDLE_WAIT_MAX: Duration = Duration::from_secs(1);

/// Checks in quick succession before a check waits. Most work is finished by then, and a wait takes
/// at least as long as the timer of the runtime is coarse.
const QUICK_CHECKS: u32 = 50;

/// Interval at which work in progress is checked if no sleep is started or dropped and the last job
/// outside has not ended, real time.
const CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// What is in progress.
#[derive(PartialEq, Eq)]
struct Work {
    /// Sleeps started or dropped so far.
    changes: u64,
    /// Sleepers that were woken and have not run yet; 0 on a single-threaded runtime.
    woken: usize,
    /// Open jobs outside the runtime.
    outside: usize,
    /// Tasks that wait for a thread.
    queued: usize,
    /// Threads that run tasks, apart from this one.
    running: usize,
    /// How often each thread at rest has gone to rest and come back.
    rests: Vec<(usize, u64)>,
}

impl Work {
    fn is_finished(&self) -> bool {
        self.woken == 0 && self.outside == 0 && self.queued == 0 && self.running == 0
    }
}

impl ClockShared {
    /// Waits until no sleep was started or dropped for a while, and two looks in a row find nothing
    /// in progress, and nothing in between.
    pub(super) async fn wait_until_idle(&self) {
        let threads = Handle::try_current().is_ok_and(|h| h.runtime_flavor() == RuntimeFlavor::MultiThread);
        let began = Instant::now();
        let mut quick_checks = 0;
        while began.elapsed() <= IDLE_WAIT_MAX {
            let changes = self.lock().changes;
            for _ in 0..if threads { THREAD_YIELDS } else { YIELDS } {
                tokio::task::yield_now().await;
            }
            let work = self.work(threads);
            if !work.is_finished() {
                if quick_checks < QUICK_CHECKS && threads {
                    quick_checks += 1;
                    std::thread::yield_now();
                } else {
                    let _ = tokio::time::timeout(CHECK_INTERVAL, self.news()).await;
                }
            } else if work.changes == changes && work == self.work(threads) {
                return;
            }
        }
    }

    /// Waits until a sleep was started or dropped, or the last job outside has ended.
    async fn news(&self) {
        let outside = async {
            match self.outside.get() {
                Some(outside) => outside.none_open.notified().await,
                None => pending().await,
            }
        };
        select(pin!(self.changed.notified()), pin!(outside)).await;
    }

    /// Reads the counters in the order in which work moves (outside jobs, sleepers, queued and
    /// running tasks), so work that moves on between two reads is still counted.
    fn work(&self, threads: bool) -> Work {
        let outside = self.outside.get().map_or(0, |outside| (outside.count)());
        let (woken, changes) = {
            // On a single thread, those that the yields have not run belong to tasks that do not
            // poll them.
            let state = self.lock();
            let due = state.sleepers.range(..=(state.shown, u64::MAX));
            (if threads { due.filter(|(_, slot)| slot.notified).count() } else { 0 }, state.changes)
        };
        let (mut queued, mut running, mut rests) = (0, 0, Vec::new());
        if threads {
            let metrics = Handle::current().metrics();
            queued = metrics.global_queue_depth();
            for worker in 0..metrics.num_workers() {
                // Odd while the thread is at rest.
                match metrics.worker_park_unpark_count(worker) {
                    count if count % 2 == 1 => rests.push((worker, count)),
                    _ => running += 1,
                }
            }
            // A task runs on one of these threads, the main future of a runtime does not.
            running -= usize::from(tokio::task::try_id().is_some()).min(running);
        }
        Work { changes, woken, outside, queued, running, rests }
    }
}
