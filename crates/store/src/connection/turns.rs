//! The queue of reads, in which callers take turns: however many reads one caller requests, the
//! next read of another waits for a few at most.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::session::Session;
use cloudpc_model::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::READERS;
use crate::StoreError;

/// Queued and running reads of one caller; beyond it callers wait.
pub const READS_PER_CALLER_MAX: usize = 256;
/// Reader threads that one caller occupies at a time, so that one is always free for others.
pub const READERS_PER_CALLER_MAX: usize = READERS - 1;
/// Reader threads that all scans together occupy at a time.
pub const SCANNERS_MAX: usize = READERS / 2;

/// The caller of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadCaller {
    /// The service itself.
    Service,
    /// All callers that are not authenticated yet, together.
    Stranger,
    /// A tenant's user or application.
    Known(TenantId, Uuid),
}

/// Whether a read takes one turn or as many as it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ReadKind {
    Read,
    Scan,
}

/// Whether a job is done or needs another turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadProgress {
    Done,
    Again,
}

pub(super) type ReadJob = Box<dyn FnMut(&Session) -> ReadProgress + Send>;

/// The queue of reads.
#[derive(Default)]
pub(super) struct Turns {
    lines: Mutex<ReadQueues>,
    changed: Condvar,
}

#[derive(Default)]
struct ReadQueues {
    /// Jobs by caller and kind; no line is empty.
    queued: HashMap<(ReadCaller, ReadKind), VecDeque<Queued>>,
    /// The order of turns, next first; each line once.
    order: VecDeque<(ReadCaller, ReadKind)>,
    running: HashMap<ReadCaller, usize>,
    scanning: usize,
    /// The places of each caller that has a job.
    places: HashMap<ReadCaller, Arc<Semaphore>>,
    is_closed: bool,
}

struct Queued {
    job: ReadJob,
    /// Released when the job is done.
    _place: OwnedSemaphorePermit,
}

/// A job that was taken from the queue to run.
pub(super) struct ReadTurn {
    line: (ReadCaller, ReadKind),
    queued: Queued,
}

impl ReadTurn {
    pub(super) fn run(&mut self, session: &Session) -> ReadProgress {
        (self.queued.job)(session)
    }
}

impl Turns {
    /// Queues a job, once its caller has a place.
    pub(super) async fn push(&self, caller: ReadCaller, kind: ReadKind, job: ReadJob) -> Result<(), StoreError> {
        let places = {
            let mut lines = self.lock();
            let places = lines.places.entry(caller);
            Arc::clone(places.or_insert_with(|| Arc::new(Semaphore::new(READS_PER_CALLER_MAX))))
        };
        let place = places.acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let mut lines = self.lock();
        if lines.is_closed {
            return Err(StoreError::Closed);
        }
        lines.queue((caller, kind), Queued { job, _place: place });
        drop(lines);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for the next job; none when the queue is closed and empty.
    pub(super) fn take(&self) -> Option<ReadTurn> {
        let mut lines = self.lock();
        loop {
            if let Some(turn) = lines.take() {
                return Some(turn);
            }
            if lines.is_closed && lines.order.is_empty() {
                return None;
            }
            lines = self.changed.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends a turn. A job that needs another one is first in its line again, so that a caller's
    /// jobs end one after the other.
    pub(super) fn end_turn(&self, turn: ReadTurn, progress: ReadProgress) {
        self.lock().end_turn(turn, progress);
        // More than one job may run now, and threads may wait because the queue is closed.
        self.changed.notify_all();
    }

    /// Lets threads end once the queue is empty.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, ReadQueues> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadQueues {
    fn queue(&mut self, line: (ReadCaller, ReadKind), queued: Queued) {
        let jobs = self.queued.entry(line).or_default();
        if jobs.is_empty() {
            self.order.push_back(line);
        }
        jobs.push_back(queued);
    }

    fn take(&mut self) -> Option<ReadTurn> {
        let next = self.order.iter().position(|line| self.may_run(*line))?;
        let line = self.order.remove(next)?;
        let jobs = self.queued.get_mut(&line)?;
        let queued = jobs.pop_front()?;
        if jobs.is_empty() {
            self.queued.remove(&line);
        } else {
            self.order.push_back(line);
        }
        *self.running.entry(line.0).or_default() += 1;
        self.scanning += usize::from(line.1 == ReadKind::Scan);
        Some(ReadTurn { line, queued })
    }

    fn may_run(&self, (caller, kind): (ReadCaller, ReadKind)) -> bool {
        let running = self.running.get(&caller).copied().unwrap_or_default();
        running < READERS_PER_CALLER_MAX && (kind == ReadKind::Read || self.scanning < SCANNERS_MAX)
    }

    fn end_turn(&mut self, turn: ReadTurn, progress: ReadProgress) {
        let ReadTurn { line, queued } = turn;
        self.scanning -= usize::from(line.1 == ReadKind::Scan);
        if let Some(running) = self.running.get_mut(&line.0) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(&line.0);
            }
        }
        match progress {
            ReadProgress::Again => {
                let jobs = self.queued.entry(line).or_default();
                if jobs.is_empty() {
                    self.order.push_back(line);
                }
                jobs.push_front(queued);
            }
            ReadProgress::Done => {
                drop(queued);
                // Nobody else holds or waits for a place.
                if self.places.get(&line.0).is_some_and(|places| Arc::strong_count(places) == 1) {
                    self.places.remove(&line.0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::task::{Context, Waker};

    fn caller(number: u128) -> ReadCaller {
        ReadCaller::Known(TenantId(Uuid::nil()), Uuid::from_u128(number))
    }

    /// Whether a push returns at once.
    fn push(turns: &Turns, caller: ReadCaller, kind: ReadKind) -> bool {
        let mut push = Box::pin(turns.push(caller, kind, Box::new(|_| ReadProgress::Done)));
        push.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn next(turns: &Turns) -> Option<ReadTurn> {
        turns.lock().take()
    }

    #[test]
    fn callers_take_turns_however_much_one_asks_for() {
        let turns = Turns::default();
        for _ in 0..5 {
            assert!(push(&turns, caller(1), ReadKind::Read));
        }
        assert!(push(&turns, caller(2), ReadKind::Read));
        let mut order = Vec::new();
        while let Some(turn) = next(&turns) {
            order.push(turn.line.0);
            turns.end_turn(turn, ReadProgress::Done);
        }
        let (one, two) = (caller(1), caller(2));
        assert_eq!(order, [one, two, one, one, one, one]);
    }

    #[test]
    fn one_caller_leaves_a_reader_to_the_others() {
        let turns = Turns::default();
        for _ in 0..READERS {
            push(&turns, caller(1), ReadKind::Read);
        }
        let held: Vec<_> = std::iter::from_fn(|| next(&turns)).collect();
        assert_eq!(held.len(), READERS_PER_CALLER_MAX);
        push(&turns, caller(2), ReadKind::Read);
        assert_eq!(next(&turns).unwrap().line.0, caller(2));
        for turn in held {
            turns.end_turn(turn, ReadProgress::Done);
        }
        assert_eq!(next(&turns).unwrap().line.0, caller(1));
    }

    #[test]
    fn scans_leave_readers_to_reads_and_take_turns_themselves() {
        let turns = Turns::default();
        for number in 1..=3 {
            push(&turns, caller(number), ReadKind::Scan);
        }
        let (first, second) = (next(&turns).unwrap(), next(&turns).unwrap());
        assert_eq!((first.line.0, second.line.0), (caller(1), caller(2)));
        assert!(next(&turns).is_none(), "{SCANNERS_MAX} scans run at a time");
        push(&turns, caller(1), ReadKind::Read);
        assert_eq!(next(&turns).unwrap().line, (caller(1), ReadKind::Read), "a read passes scans that wait");
        // A scan that is not done waits behind the others.
        turns.end_turn(first, ReadProgress::Again);
        assert_eq!(next(&turns).unwrap().line.0, caller(3));
        turns.end_turn(second, ReadProgress::Done);
        assert_eq!(next(&turns).unwrap().line.0, caller(1));
    }

    #[test]
    fn a_caller_has_so_many_places_and_nothing_is_kept_of_one_that_has_gone() {
        let turns = Turns::default();
        for _ in 0..READS_PER_CALLER_MAX {
            assert!(push(&turns, caller(1), ReadKind::Read));
        }
        assert!(!push(&turns, caller(1), ReadKind::Read), "it waits outside");
        assert!(push(&turns, caller(2), ReadKind::Read), "another does not");
        turns.close();
        while let Some(turn) = turns.take() {
            turns.end_turn(turn, ReadProgress::Done);
        }
        let lines = turns.lock();
        assert!(lines.places.is_empty() && lines.running.is_empty() && lines.queued.is_empty() && lines.scanning == 0);
    }
}
