//! Handing an answer to its client, piece by piece, and giving up on a client that does not take
//! it.
//!
//! A client of HTTP/2 says for each stream how much it is ready to take, and nothing forces it to
//! take anything. The HTTP library waits for it without end, and the socket, on which other streams
//! go on, shows nothing of that.

use axum::body::{Body, Bytes, HttpBody};
use futures_util::task::AtomicWaker;
use hyper::body::{Frame, SizeHint};
use hyper::rt::Executor;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

use super::limits::{PIECE_BYTES_MAX, WRITE_RATE_MIN, WRITE_TIME_MAX};

tokio::task_local! {
    /// The progress of the HTTP/2 stream or HTTP/1.1 connection that the current task answers.
    pub(super) static STREAM: Arc<DeliveryProgress>;
}

/// The body of an answer. It gives the next piece when the one before has been written to the
/// connection, and ends when the last one has been, so that what it holds for the answer is held
/// until the client has taken it.
pub(super) struct Delivery<H> {
    body: Body,
    /// What the body has given and is not handed on yet.
    rest: Bytes,
    progress: Arc<DeliveryProgress>,
    held: Arc<H>,
}

impl<H: Send + Sync + 'static> Delivery<H> {
    /// Delivers a body. `held` is dropped when it has been taken or given up.
    pub(super) fn new(body: Body, held: H) -> Self {
        let progress = STREAM.try_with(Arc::clone).unwrap_or_default();
        progress.begin();
        Self { body, rest: Bytes::new(), progress, held: Arc::new(held) }
    }
}

impl<H: Send + Sync + 'static> HttpBody for Delivery<H> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        ready!(this.progress.poll_taken(cx));
        while this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)?) {
                None => return Poll::Ready(None),
                Some(frame) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
            }
        }
        let bytes = this.rest.split_to(this.rest.len().min(PIECE_BYTES_MAX));
        this.progress.hand_on(bytes.len());
        let piece = Piece { bytes, progress: Arc::clone(&this.progress), _held: Arc::clone(&this.held) };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream() && !self.progress.is_waiting()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let left = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(left.lower() + rest);
        if let Some(upper) = left.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// A piece that is on its way. The HTTP library drops it when it has been written.
struct Piece<H> {
    bytes: Bytes,
    progress: Arc<DeliveryProgress>,
    _held: Arc<H>,
}

impl<H> AsRef<[u8]> for Piece<H> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<H> Drop for Piece<H> {
    fn drop(&mut self) {
        self.progress.taken();
    }
}

/// How fast a client takes an answer.
#[derive(Default)]
pub(super) struct DeliveryProgress {
    pace: Mutex<DeliveryPace>,
    body: AtomicWaker,
}

#[derive(Default)]
struct DeliveryPace {
    /// Since when one piece is on its way.
    since: Option<Instant>,
    /// How long the pieces before it were on their way.
    spent: Duration,
    /// What was handed on of the answer.
    bytes: usize,
}

impl DeliveryPace {
    /// Returns when the client has been too slow with the piece on its way, or with the answer as a
    /// whole. Time in which the service had nothing to hand on does not count.
    fn deadline(&self) -> Option<Instant> {
        let whole = WRITE_TIME_MAX + Duration::from_secs(self.bytes as u64) / WRITE_RATE_MIN;
        Some(self.since? + whole.saturating_sub(self.spent).min(WRITE_TIME_MAX))
    }
}

impl DeliveryProgress {
    /// Begins an answer.
    fn begin(&self) {
        let mut pace = self.pace();
        (pace.spent, pace.bytes) = (Duration::ZERO, 0);
    }

    fn hand_on(&self, bytes: usize) {
        let mut pace = self.pace();
        pace.bytes += bytes;
        pace.since = Some(Instant::now());
    }

    fn taken(&self) {
        let mut pace = self.pace();
        if let Some(since) = pace.since.take() {
            pace.spent += since.elapsed();
        }
        drop(pace);
        self.body.wake();
    }

    fn poll_taken(&self, cx: &Context<'_>) -> Poll<()> {
        self.body.register(cx.waker());
        if self.is_waiting() { Poll::Pending } else { Poll::Ready(()) }
    }

    fn is_waiting(&self) -> bool {
        self.pace().since.is_some()
    }

    fn pace(&self) -> MutexGuard<'_, DeliveryPace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when a piece has been on its way for [`WRITE_TIME_MAX`], or the answer as a whole is
    /// taken more slowly than [`WRITE_RATE_MIN`]. Must be polled by the task that polls the body,
    /// and after it.
    pub(super) async fn stalled(&self) {
        let mut deadline = pin!(sleep_until(Instant::now()));
        poll_fn(|cx| {
            let Some(end) = self.pace().deadline() else { return Poll::Pending };
            if end <= Instant::now() {
                return Poll::Ready(());
            }
            if deadline.deadline() != end {
                deadline.as_mut().reset(end);
            }
            deadline.as_mut().poll(cx)
        })
        .await;
    }
}

/// Runs the streams of HTTP/2 connections, and drops one whose client takes nothing, by which it is
/// reset (CANCEL).
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamExecutor;

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let progress = Arc::<DeliveryProgress>::default();
        let work = {
            let progress = Arc::clone(&progress);
            async move {
                tokio::select! {
                    // The stream first: what it has just handed on is what the deadline is about.
                    biased;
                    _ = stream => {}
                    () = progress.stalled() => tracing::debug!("a client takes its answer too slowly; the stream is reset"),
                }
            }
        };
        tokio::spawn(STREAM.scope(progress, work));
    }
}
