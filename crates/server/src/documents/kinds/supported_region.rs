//! `cloudPcSupportedRegion`: the regions that policies can name.

use cloudpc_model::{DocumentType, Object, REGIONS, Region};
use serde_json::{Value, json};

use super::rights;
use crate::documents::kind::{DocumentKind, READ_ONLY, Rights};

static RIGHTS: Rights = rights("SupportedRegion");

/// `cloudPcSupportedRegion`
pub(super) static SUPPORTED_REGION: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcSupportedRegion,
    "/deviceManagement/virtualEndpoint/supportedRegions",
    &RIGHTS,
    READ_ONLY,
    &[],
)
.derived(|_, _| Ok(regions()));

fn regions() -> Vec<(String, Object)> {
    let region = |Region { name, group, location }: &Region| {
        let body = json!({
            "displayName": name,
            "regionStatus": "available",
            "supportedSolution": "windows365",
            "regionGroup": group,
            "geographicLocationType": location,
            "regionRestrictionDetail": {
                "cPURestricted": false,
                "gPURestricted": false,
                "nestedVirtualizationRestricted": false,
                "availabilityZoneRestricted": false,
            },
        });
        match body {
            Value::Object(body) => ((*name).to_owned(), body),
            _ => unreachable!("the literal above is an object"),
        }
    };
    REGIONS.iter().map(region).collect()
}
