//! Identity: the token service, and the check of every token.

use axum::Router;
use cloudpc_graph::GraphError;
use http::HeaderMap;
use std::sync::Arc;

use crate::app::App;
use crate::caller::Caller;

/// The token service: keys, trusted issuers, and a bounded cache of verified tokens.
pub struct Identity {}

impl Identity {
    /// Who sends these headers.
    ///
    /// # Errors
    /// 401 `InvalidAuthenticationToken` saying what is wrong with the token; the edge adds `WWW-Authenticate`.
    pub async fn authenticate(&self, _headers: &HeaderMap) -> Result<Arc<Caller>, GraphError> {
        unimplemented!()
    }
}

/// Discovery, keys, tokens and the device code page, below `/{tenant}/…`.
pub fn routes() -> Router<App> {
    unimplemented!()
}
