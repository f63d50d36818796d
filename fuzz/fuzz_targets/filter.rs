//! Parses any text as a `$filter`, and evaluates it on a Cloud PC if it is valid.

#![no_main]

use cloudpc_graph::{Edm, Filter, Version};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|text: &str| {
    if let Ok(filter) = Filter::parse(Edm::of(Version::Beta), "cloudPC", text) {
        filter.matches(&json!({"id": "x", "status": "provisioned", "scopeIds": ["0"], "managedDeviceName": null}));
    }
});
