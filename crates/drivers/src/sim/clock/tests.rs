use super::*;
use futures_util::FutureExt;
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::Builder;

const SECOND: Duration = Duration::from_secs(1);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// A log of events with the simulated time of each.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(Timestamp, String)>>>);

impl Log {
    fn write(&self, clock: &SimClock, what: impl Into<String>) {
        self.0.lock().unwrap().push((clock.now(), what.into()));
    }

    fn read(&self) -> Vec<(Timestamp, String)> {
        self.0.lock().unwrap().clone()
    }
}

#[test]
fn advance_stops_at_each_sleeper_in_order_including_new_ones() {
    block_on(async {
        let (clock, log) = (SimClock::paused(Timestamp(0)), Log::default());
        for (name, period) in [("a", 3), ("b", 5)] {
            let (clock, log) = (clock.clone(), log.clone());
            tokio::spawn(async move {
                loop {
                    clock.sleep_until(clock.now() + SECOND * period).await;
                    // advance() waits for a chain of tasks that do not sleep.
                    tokio::spawn(async {}).await.unwrap();
                    log.write(&clock, name);
                }
            });
        }
        clock.advance(SECOND * 10).await;
        let seen: Vec<_> = log.read().into_iter().map(|(at, name)| (at.unix_seconds(), name)).collect();
        let expected = [(3, "a"), (5, "b"), (6, "a"), (9, "a"), (10, "b")].map(|(at, name)| (at, name.to_owned()));
        assert_eq!(seen, expected);
        assert_eq!(clock.now(), Timestamp(0) + SECOND * 10);
        assert_eq!(clock.next_wake(), Some(Timestamp(0) + SECOND * 12));
    });
}

#[test]
fn an_elapsed_sleep_returns_at_once_and_a_dropped_one_is_forgotten() {
    block_on(async {
        let clock = SimClock::paused(Timestamp(7));
        clock.sleep_until(Timestamp(7)).await;
        let mut sleep = clock.sleep_until(Timestamp(9));
        assert_eq!(clock.next_wake(), None, "an unpolled sleep is not registered");
        assert!((&mut sleep).now_or_never().is_none());
        assert_eq!(clock.next_wake(), Some(Timestamp(9)));
        drop(sleep);
        assert_eq!(clock.next_wake(), None);
    });
}

#[test]
fn concurrent_advances_add_up_and_a_dropped_one_leaves_the_clock_at_a_stop() {
    block_on(async {
        let clock = SimClock::paused(Timestamp(0));
        tokio::join!(clock.advance(SECOND), clock.advance(SECOND * 2));
        assert_eq!(clock.now(), Timestamp(0) + SECOND * 3);
        let mut half = Box::pin(clock.advance(SECOND));
        assert!((&mut half).now_or_never().is_none());
        drop(half);
        assert_eq!(clock.now(), Timestamp(0) + SECOND * 3);
        clock.advance(SECOND).await;
        assert_eq!(clock.now(), Timestamp(0) + SECOND * 4);
    });
}

#[test]
fn a_clock_follows_its_host_but_never_goes_back() {
    block_on(async {
        let host = SimClock::paused(Timestamp(1_000));
        let clock = SimClock::following(Arc::new(host.clone()));
        assert!(!clock.is_paused());
        host.advance(SECOND).await;
        assert_eq!(clock.now(), Timestamp(1_000) + SECOND);
        clock.pause();
        host.advance(SECOND).await;
        assert_eq!(clock.now(), Timestamp(1_000) + SECOND, "paused");
        clock.resume();
        assert_eq!(clock.now(), Timestamp(1_000) + SECOND, "resumes from the paused time");
        host.inner.lock().shown = Timestamp(0);
        assert_eq!(clock.now(), Timestamp(1_000) + SECOND, "a host clock set back does not set this clock back");
        host.advance(SECOND).await;
        assert_eq!(clock.now(), Timestamp(1_000) + SECOND * 2);
    });
}

#[test]
fn a_sleeper_wakes_when_the_host_clock_or_advance_reaches_its_time() {
    block_on(async {
        let host = SimClock::paused(Timestamp(0));
        let clock = SimClock::following(Arc::new(host.clone()));
        for advanced in [0, 10, 4] {
            let start = clock.now();
            let mut sleep = clock.sleep_until(start + SECOND * 10);
            assert!((&mut sleep).now_or_never().is_none());
            clock.advance(SECOND * advanced).await;
            assert_eq!((&mut sleep).now_or_never().is_some(), advanced == 10);
            if advanced < 10 {
                host.advance(SECOND * (10 - advanced)).await;
                assert!((&mut sleep).now_or_never().is_some());
            }
            assert_eq!(clock.now(), start + SECOND * 10);
        }
        assert!(!clock.is_paused(), "advancing does not pause the clock");
    });
}

#[test]
fn a_clock_without_a_host_stays_paused() {
    let clock = SimClock::paused(Timestamp(5));
    clock.resume();
    assert!(clock.is_paused());
    assert_eq!(clock.now(), Timestamp(5));
}

#[test]
fn counted_work_outside_the_runtime_is_waited_for() {
    let runtimes = [Builder::new_current_thread(), Builder::new_multi_thread()];
    for runtime in runtimes.map(|mut builder| builder.worker_threads(2).enable_time().build().unwrap()) {
        let (clock, log, open) = (SimClock::paused(Timestamp(0)), Log::default(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&open);
        clock.count_outside_work(move || counted.load(Ordering::SeqCst), Arc::default());
        runtime.block_on(async {
            let worker = tokio::spawn({
                let (clock, log) = (clock.clone(), log.clone());
                async move {
                    for _ in 0..5 {
                        clock.sleep_until(clock.now() + SECOND).await;
                        // Like a commit in a database thread on a busy computer.
                        let (answer, answered) = tokio::sync::oneshot::channel();
                        open.fetch_add(1, Ordering::SeqCst);
                        let open = Arc::clone(&open);
                        std::thread::spawn(move || {
                            std::thread::park_timeout(Duration::from_millis(50));
                            answer.send(()).unwrap();
                            open.fetch_sub(1, Ordering::SeqCst);
                        });
                        answered.await.unwrap();
                        log.write(&clock, "");
                    }
                }
            });
            tokio::task::yield_now().await;
            tokio::spawn({
                let clock = clock.clone();
                async move { clock.advance(SECOND * 5).await }
            })
            .await
            .unwrap();
            worker.await.unwrap();
        });
        let seen: Vec<_> = log.read().into_iter().map(|(at, _)| at.unix_seconds()).collect();
        assert_eq!(seen, (1..=5).collect::<Vec<_>>());
    }
}

#[test]
fn work_that_never_ends_holds_up_a_stop_for_a_limited_time() {
    let clock = SimClock::paused(Timestamp(0));
    clock.count_outside_work(|| 1, Arc::default());
    block_on(clock.advance(SECOND));
    assert_eq!(clock.now(), Timestamp(0) + SECOND);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_sleeper_wakes_once_exactly_at_its_time_and_in_order(
        chains in proptest::collection::vec(proptest::collection::vec(0u64..50, 1..6), 1..8),
        moves in proptest::collection::vec(0u64..60, 1..8),
        dropped in any::<proptest::sample::Index>(),
    ) {
        block_on(async {
            let (clock, log) = (SimClock::paused(Timestamp(0)), Log::default());
            let dropped = dropped.index(chains.len());
            let mut tasks = Vec::new();
            for (number, chain) in chains.iter().cloned().enumerate() {
                let (clock, log) = (clock.clone(), log.clone());
                tasks.push(tokio::spawn(async move {
                    for micros in chain {
                        clock.sleep_until(clock.now() + Duration::from_micros(micros)).await;
                        log.write(&clock, number.to_string());
                    }
                }));
            }
            tasks[dropped].abort();
            let mut expected = Vec::new();
            for (number, chain) in chains.iter().enumerate().filter(|(number, _)| *number != dropped) {
                let times = chain.iter().scan(0, |at, micros| { *at += micros; Some(*at) });
                expected.extend(times.map(|at| (at, number.to_string())));
            }
            let end: u64 = moves.iter().sum();
            expected.retain(|(at, _)| *at <= end);
            for by in moves {
                let before = clock.now();
                clock.advance(Duration::from_micros(by)).await;
                assert_eq!(clock.now().since(before), Duration::from_micros(by));
            }
            let mut seen: Vec<_> = log.read().into_iter().map(|(at, name)| (at.0 as u64, name)).collect();
            assert!(seen.is_sorted_by_key(|(at, _)| *at));
            expected.sort();
            seen.sort();
            assert_eq!(seen, expected);
            // Remaining sleepers wake later.
            assert!(clock.next_wake().is_none_or(|next| next > clock.now()));
        });
    }
}
