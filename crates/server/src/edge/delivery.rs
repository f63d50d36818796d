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
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, sleep_until};

use super::limits::{PIECE_BYTES_MAX, WRITE_TIME_MAX};

tokio::task_local! {
    /// The progress of the HTTP/2 stream that the current task answers.
    static STREAM: Arc<Progress>;
}

/// The body of an answer. It gives the next piece when the one before has been written to the
/// connection, and ends when the last one has been, so that what it holds for the answer is held
/// until the client has taken it.
pub(super) struct Delivery<H> {
    body: Body,
    /// What the body has given and is not handed on yet.
    rest: Bytes,
    progress: Arc<Progress>,
    held: Arc<H>,
}

impl<H: Send + Sync + 'static> Delivery<H> {
    /// Delivers a body. `held` is dropped when it has been taken or given up.
    pub(super) fn new(body: Body, held: H) -> Self {
        let progress = STREAM.try_with(Arc::clone).unwrap_or_default();
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
        this.progress.hand_on();
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
    progress: Arc<Progress>,
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

/// Since when one piece is on its way.
#[derive(Default)]
pub(super) struct Progress {
    since: Mutex<Option<Instant>>,
    body: AtomicWaker,
}

impl Progress {
    fn hand_on(&self) {
        self.set(Some(Instant::now()));
    }

    fn taken(&self) {
        self.set(None);
        self.body.wake();
    }

    fn poll_taken(&self, cx: &Context<'_>) -> Poll<()> {
        self.body.register(cx.waker());
        if self.is_waiting() { Poll::Pending } else { Poll::Ready(()) }
    }

    fn is_waiting(&self) -> bool {
        self.since().is_some()
    }

    fn since(&self) -> Option<Instant> {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, since: Option<Instant>) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Returns when a piece has been on its way for [`WRITE_TIME_MAX`]. Must be polled by the task
    /// that polls the body.
    async fn stalled(&self) {
        let mut deadline = pin!(sleep_until(Instant::now()));
        poll_fn(|cx| {
            let Some(since) = self.since() else { return Poll::Pending };
            if deadline.deadline() != since + WRITE_TIME_MAX {
                deadline.as_mut().reset(since + WRITE_TIME_MAX);
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
        let progress = Arc::<Progress>::default();
        let work = {
            let progress = Arc::clone(&progress);
            async move {
                tokio::select! {
                    // The stream first: what it has just handed on is what the deadline is about.
                    biased;
                    _ = stream => {}
                    () = progress.stalled() => tracing::debug!("a client takes nothing of its answer; the stream is reset"),
                }
            }
        };
        tokio::spawn(STREAM.scope(progress, work));
    }
}
