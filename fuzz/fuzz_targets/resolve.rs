//! Resolves any text as the path and query of a request, and parses its options.

#![no_main]

use cloudpc_graph::{Edm, Method, QueryOptions, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|address: &str| {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    for version in [Version::V1, Version::Beta] {
        let edm = Edm::of(version);
        // Nearly every path ends at its first segment; this root leads further.
        for root in ["", "/deviceManagement/virtualEndpoint/externalPartners/p/retrieveDeployAgentActionResults"] {
            if let Ok(target) = edm.resolve(Method::Get, &format!("{root}{path}"), query) {
                _ = QueryOptions::parse(edm, target.operation, &[], query);
            }
        }
    }
});
