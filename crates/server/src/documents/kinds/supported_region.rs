//! `cloudPcSupportedRegion`: the regions that policies can name. A region is a label here; machines
//! run where the service runs.

use cloudpc_model::{DocumentType, Object};
use serde_json::{Value, json};

use super::rights;
use crate::documents::kind::{Kind, READ_ONLY, Rights};

static RIGHTS: Rights = rights("SupportedRegions");

/// `cloudPcSupportedRegion`
pub(super) static SUPPORTED_REGION: Kind = Kind::many(
    DocumentType::CloudPcSupportedRegion,
    "/deviceManagement/virtualEndpoint/supportedRegions",
    &RIGHTS,
    READ_ONLY,
    &[],
)
.derived(|_, _| Ok(regions()));

/// Name, group and location of each region, as Azure names them.
const REGIONS: &[(&str, &str, &str)] = &[
    ("australiaeast", "australia", "australasia"),
    ("austriaeast", "austria", "europe"),
    ("belgiumcentral", "belgium", "europe"),
    ("brazilsouth", "brazil", "southAmerica"),
    ("canadacentral", "canada", "canada"),
    ("centralindia", "india", "india"),
    ("centralus", "usCentral", "usCentral"),
    ("denmarkeast", "denmark", "europe"),
    ("eastasia", "hongKong", "asia"),
    ("eastus", "usEast", "usEast"),
    ("eastus2", "usEast", "usEast"),
    ("francecentral", "france", "europe"),
    ("germanywestcentral", "germany", "europe"),
    ("indonesiacentral", "indonesia", "asia"),
    ("israelcentral", "israel", "middleEast"),
    ("italynorth", "italy", "europe"),
    ("japaneast", "japan", "asia"),
    ("japanwest", "japan", "asia"),
    ("koreacentral", "southKorea", "asia"),
    ("malaysiawest", "malaysia", "asia"),
    ("mexicocentral", "mexico", "mexico"),
    ("newzealandnorth", "newZealand", "australasia"),
    ("northeurope", "ireland", "europe"),
    ("norwayeast", "norway", "europe"),
    ("polandcentral", "poland", "europe"),
    ("southafricanorth", "default", "africa"),
    ("southcentralus", "usCentral", "usCentral"),
    ("southeastasia", "singapore", "asia"),
    ("spaincentral", "spain", "europe"),
    ("swedencentral", "sweden", "europe"),
    ("switzerlandnorth", "switzerland", "europe"),
    ("uaenorth", "middleEast", "middleEast"),
    ("uksouth", "unitedKingdom", "europe"),
    ("westeurope", "netherlands", "europe"),
    ("westus2", "usWest", "usWest"),
    ("westus3", "usWest", "usWest"),
];

fn regions() -> Vec<(String, Object)> {
    let region = |(name, group, location): &(&str, &str, &str)| {
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
