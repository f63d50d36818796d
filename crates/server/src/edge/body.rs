//! Reading of request bodies, within size and time limits and the owner's share of memory.

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

/// The limits and the owner of a body.
pub(super) struct Allowance<'a> {
    pub(super) bytes_max: usize,
    pub(super) time_max: Duration,
    pub(super) pool: &'a Arc<Pool>,
    pub(super) owner: Owner,
    pub(super) stop: &'a CancellationToken,
}

impl Allowance<'_> {
    /// Reads the complete body, so that no handler holds resources while it waits for a slow
    /// client.
    pub(super) async fn read(&self, headers: &HeaderMap, mut body: Body) -> Result<(Bytes, Option<Taken>), GraphError> {
        if body.is_end_stream() {
            return Ok((Bytes::new(), None));
        }
        if !headers.get_all(header::CONTENT_ENCODING).iter().all(|value| value == "identity") {
            // A small compressed body could expand without bounds.
            let problem =
                "Compressed request bodies are not supported. Remove Content-Encoding and send the body uncompressed.";
            return Err(GraphError::new(415, "UnsupportedMediaType", problem));
        }
        // A body with a declared length over the limit is refused before it is sent.
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
        // The head stays in memory while the body arrives.
        let mut taken = self.pool.take(self.owner, bytes_of(headers)).map_err(too_many_bytes)?;
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|_| GraphError::bad_request("The body is incomplete. Send the request again."))?;
            // Trailers are ignored.
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > self.bytes_max {
                return Err(self.too_large());
            }
            // Counts the bytes that arrived, never the declared length.
            taken.add(data.len()).map_err(too_many_bytes)?;
            bytes.extend_from_slice(&data);
        }
        Ok((bytes.freeze(), Some(taken)))
    }

    fn too_large(&self) -> GraphError {
        GraphError::new(
            413,
            "RequestEntityTooLarge",
            format!("The body is larger than {} bytes, which is the maximum.", self.bytes_max),
        )
    }

    fn too_slow(&self) -> GraphError {
        let problem = format!("The body did not arrive within {} seconds.", self.time_max.as_secs());
        GraphError::new(408, "RequestTimeout", problem)
    }
}

fn bytes_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// Reads and discards a refused body, so that a client that reads only after sending everything
/// sees the response. A client that sent `Expect` has not sent the body yet.
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
    too_many("The server is shutting down before the body was complete. Send the request again.")
}

fn too_many_bytes(full: PoolFull) -> GraphError {
    too_many(match full {
        PoolFull::Share => "Too many large concurrent request bodies from this client. Try again.",
        PoolFull::Tenant => "Too many large concurrent request bodies from this tenant. Try again.",
        PoolFull::Pool => "Too many large concurrent request bodies. Try again.",
    })
}
