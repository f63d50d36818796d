//! Reading the body of a request: whole, within limits, and out of its owner's share.

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use cloudpc_graph::GraphError;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, Limited};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::limits::{DRAIN_BYTES_MAX, DRAIN_TIME_MAX};
use super::pool::{Owner, Pool, PoolFull, Taken};
use super::too_many;

/// What a body may be, and whose.
pub(super) struct Allowance<'a> {
    pub(super) bytes_max: usize,
    pub(super) time_max: Duration,
    pub(super) pool: &'a Arc<Pool>,
    pub(super) owner: Owner,
    pub(super) stop: &'a CancellationToken,
}

impl Allowance<'_> {
    /// Reads a body whole, so that no handler waits for a slow client while it holds anything.
    pub(super) async fn read(&self, headers: &HeaderMap, mut body: Body) -> Result<(Bytes, Option<Taken>), GraphError> {
        if body.is_end_stream() {
            return Ok((Bytes::new(), None));
        }
        if !headers.get_all(header::CONTENT_ENCODING).iter().all(|value| value == "identity") {
            // A small one could grow without bounds.
            let problem = "Compressed request bodies are not taken; leave Content-Encoding out.";
            return Err(GraphError::new(415, "UnsupportedMediaType", problem));
        }
        // One that says so itself is refused before it is sent.
        let read = if body.size_hint().lower() > self.bytes_max as u64 {
            Err(self.too_large())
        } else {
            tokio::select! {
                read = tokio::time::timeout(self.time_max, self.collect(headers, &mut body)) => read.unwrap_or_else(|_| Err(self.too_slow())),
                () = self.stop.cancelled() => Err(stopping()),
            }
        };
        if read.as_ref().is_err_and(|error| error.status == 413) {
            drain(headers, body, self.stop).await;
        }
        read
    }

    async fn collect(&self, headers: &HeaderMap, body: &mut Body) -> Result<(Bytes, Option<Taken>), GraphError> {
        let mut bytes = BytesMut::new();
        // The head is in memory as long as its body is waited for.
        let mut taken = self.pool.take(self.owner, bytes_of(headers)).map_err(too_many_bytes)?;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| GraphError::bad_request("The body was not sent to its end."))?;
            // What is not data comes after it, and nobody asks for it.
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > self.bytes_max {
                return Err(self.too_large());
            }
            // Taken for what has arrived, never for what a header promises.
            taken.add(data.len()).map_err(too_many_bytes)?;
            bytes.extend_from_slice(&data);
        }
        Ok((bytes.freeze(), Some(taken)))
    }

    fn too_large(&self) -> GraphError {
        GraphError::new(413, "RequestEntityTooLarge", format!("The body is larger than {} bytes.", self.bytes_max))
    }

    fn too_slow(&self) -> GraphError {
        let problem = format!("The body was not complete after {} seconds.", self.time_max.as_secs());
        GraphError::new(408, "RequestTimeout", problem)
    }
}

fn bytes_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// Reads what comes of a refused body and forgets it, so that a client that reads only when it has
/// sent everything gets to read the answer. One that waits to be told to go on (`Expect`) has not
/// sent anything.
pub(super) async fn drain(headers: &HeaderMap, body: Body, stop: &CancellationToken) {
    if !headers.contains_key(header::EXPECT) {
        let rest = tokio::time::timeout(DRAIN_TIME_MAX, discard(body));
        stop.run_until_cancelled(rest).await;
    }
}

async fn discard(body: Body) {
    let mut body = Limited::new(body, DRAIN_BYTES_MAX);
    while let Some(Ok(_)) = body.frame().await {}
}

fn stopping() -> GraphError {
    too_many("The server stops, and the body was not complete; send the request again.")
}

fn too_many_bytes(full: PoolFull) -> GraphError {
    too_many(match full {
        PoolFull::Share => "Too many large bodies from this client at once; try again.",
        PoolFull::Tenant => "Too many large bodies from this tenant at once; try again.",
        PoolFull::Pool => "Too many large bodies at once; try again.",
    })
}
