//! Compressed responses of Graph, for clients that accept them.
//!
//! Only Graph's responses are compressed: those of the token service and of the administration hold
//! secrets, whose length must not depend on what else is in the response.

use axum::body::Body;
use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, Request, Response};
use std::convert::Infallible;
use tower::{Layer, ServiceExt, service_fn};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

/// Size from which a response is compressed, bytes. A smaller one fits into one packet anyway.
pub const COMPRESSED_BYTES_MIN: u64 = 1_024;

/// Returns the `Accept-Encoding` of a request.
pub(super) fn accepted(headers: &HeaderMap) -> Request<()> {
    let mut request = Request::new(());
    for value in headers.get_all(ACCEPT_ENCODING) {
        request.headers_mut().append(ACCEPT_ENCODING, value.clone());
    }
    request
}

/// Compresses a response as its client accepts it, at the fastest level of the method, because a
/// page is sent once.
pub(super) async fn compress(accepted: Request<()>, response: Response<Body>) -> Response<Body> {
    if accepted.headers().is_empty() {
        return response;
    }
    let compressible = SizeAbove::new(COMPRESSED_BYTES_MIN).and(NotForContentType::IMAGES);
    let layer = CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(compressible);
    let mut response = Some(response);
    let service = service_fn(move |_| {
        let response = response.take().expect("the service is called once");
        async move { Ok::<_, Infallible>(response) }
    });
    let Ok(compressed) = layer.layer(service).oneshot(accepted).await;
    compressed.map(Body::new)
}
