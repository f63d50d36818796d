//! Running actions: claim, step, log, until each has ended.

use crate::{Engine, Parts};

impl Engine {
    /// The engine over these parts. Nothing runs until [`Engine::run`].
    pub fn new(parts: Parts) -> Self {
        Self { parts: std::sync::Arc::new(parts) }
    }

    /// Claims and runs actions until `stop` is cancelled; then lets the steps under way end within a grace time.
    pub async fn run(&self, _stop: tokio_util::sync::CancellationToken) {
        unimplemented!()
    }
}
