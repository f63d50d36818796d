//! Delivery of a response to its client, piece by piece, with a time limit for slow clients.
//!
//! An HTTP/2 client controls for each stream how much it accepts, and may accept nothing. The HTTP
//! library waits for the client without a limit, and a write timeout of the socket does not help
//! while other streams make progress.

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
    /// The progress of the HTTP/2 stream or HTTP/1.1 connection that the current task serves.
    pub(super) static STREAM: Arc<DeliveryProgress>;
}

/// The body of a response. It yields a piece only when the previous one has been written to the
/// connection, and ends when the last one has been, so that the resources it holds are held until
/// the client has read the response.
pub(super) struct Delivery<H> {
    body: Body,
    /// Data from the body that is not yielded yet.
    rest: Bytes,
    progress: Arc<DeliveryProgress>,
    held: Arc<H>,
}

impl<H: Send + Sync + 'static> Delivery<H> {
    /// Delivers a body. `held` is dropped when the body has been read or abandoned.
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
        ready!(this.progress.poll_written(cx));
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
        this.progress.sent(bytes.len());
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

/// A piece in flight. The HTTP library drops it when it has been written.
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
        self.progress.written();
    }
}

/// How fast a client reads a response.
#[derive(Default)]
pub(super) struct DeliveryProgress {
    pace: Mutex<DeliveryPace>,
    body: AtomicWaker,
}

#[derive(Default)]
struct DeliveryPace {
    /// Since when a piece is in flight; none: no piece is.
    since: Option<Instant>,
    /// How long the previous pieces were in flight.
    spent: Duration,
    /// Bytes of the response that were yielded.
    bytes: usize,
}

impl DeliveryPace {
    /// Returns the time at which the client is too slow with the piece in flight, or with the whole
    /// response. Time in which the service had nothing to send does not count.
    fn deadline(&self) -> Option<Instant> {
        let whole = WRITE_TIME_MAX + Duration::from_secs(self.bytes as u64) / WRITE_RATE_MIN;
        Some(self.since? + whole.saturating_sub(self.spent).min(WRITE_TIME_MAX))
    }
}

impl DeliveryProgress {
    /// Starts a response.
    fn begin(&self) {
        let mut pace = self.pace();
        (pace.spent, pace.bytes) = (Duration::ZERO, 0);
    }

    fn sent(&self, bytes: usize) {
        let mut pace = self.pace();
        pace.bytes += bytes;
        pace.since = Some(Instant::now());
    }

    fn written(&self) {
        let mut pace = self.pace();
        if let Some(since) = pace.since.take() {
            pace.spent += since.elapsed();
        }
        drop(pace);
        self.body.wake();
    }

    fn poll_written(&self, cx: &Context<'_>) -> Poll<()> {
        self.body.register(cx.waker());
        if self.is_waiting() { Poll::Pending } else { Poll::Ready(()) }
    }

    fn is_waiting(&self) -> bool {
        self.pace().since.is_some()
    }

    fn pace(&self) -> MutexGuard<'_, DeliveryPace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when a piece has been in flight for [`WRITE_TIME_MAX`], or the whole response is
    /// read more slowly than [`WRITE_RATE_MIN`]. Must be polled by the task that polls the body,
    /// and after the body.
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

/// Runs the streams of HTTP/2 connections. Dropping a stalled stream resets it (CANCEL).
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
                    // The stream is polled first: the deadline is for the piece that it has just
                    // sent.
                    biased;
                    _ = stream => {}
                    () = progress.stalled() => tracing::debug!("the client reads its response too slowly; stream reset"),
                }
            }
        };
        tokio::spawn(STREAM.scope(progress, work));
    }
}
