//! One pipeline for every Graph request: resolve, authorise, check, call, shape.

use axum::body::Body;
use http::{Request, Response};

use crate::app::App;

/// Answers a request below `/v1.0` or `/beta`. The edge has put [`crate::edge::RequestIds`] and [`crate::edge::BaseAddress`] into its extensions.
pub async fn handle(_app: App, _request: Request<Body>) -> Response<Body> {
    unimplemented!()
}
