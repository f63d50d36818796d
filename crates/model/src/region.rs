//! The regions that policies can name. A region is a label here; machines run where the service
//! runs.

/// A region of Azure, by Azure's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Name, e.g. `westeurope`.
    pub name: &'static str,
    /// Region group, e.g. `netherlands`.
    pub group: &'static str,
    /// Geographic location, e.g. `europe`.
    pub location: &'static str,
}

/// Region of Cloud PCs whose policy leaves the choice to the service.
pub const REGION_DEFAULT: &str = "westeurope";

/// All regions, by name.
pub const REGIONS: &[Region] = &[
    region("australiaeast", "australia", "australasia"),
    region("austriaeast", "austria", "europe"),
    region("belgiumcentral", "belgium", "europe"),
    region("brazilsouth", "brazil", "southAmerica"),
    region("canadacentral", "canada", "canada"),
    region("centralindia", "india", "india"),
    region("centralus", "usCentral", "usCentral"),
    region("denmarkeast", "denmark", "europe"),
    region("eastasia", "hongKong", "asia"),
    region("eastus", "usEast", "usEast"),
    region("eastus2", "usEast", "usEast"),
    region("francecentral", "france", "europe"),
    region("germanywestcentral", "germany", "europe"),
    region("indonesiacentral", "indonesia", "asia"),
    region("israelcentral", "israel", "middleEast"),
    region("italynorth", "italy", "europe"),
    region("japaneast", "japan", "asia"),
    region("japanwest", "japan", "asia"),
    region("koreacentral", "southKorea", "asia"),
    region("malaysiawest", "malaysia", "asia"),
    region("mexicocentral", "mexico", "mexico"),
    region("newzealandnorth", "newZealand", "australasia"),
    region("northeurope", "ireland", "europe"),
    region("norwayeast", "norway", "europe"),
    region("polandcentral", "poland", "europe"),
    region("southafricanorth", "default", "africa"),
    region("southcentralus", "usCentral", "usCentral"),
    region("southeastasia", "singapore", "asia"),
    region("spaincentral", "spain", "europe"),
    region("swedencentral", "sweden", "europe"),
    region("switzerlandnorth", "switzerland", "europe"),
    region("uaenorth", "middleEast", "middleEast"),
    region("uksouth", "unitedKingdom", "europe"),
    region("westeurope", "netherlands", "europe"),
    region("westus2", "usWest", "usWest"),
    region("westus3", "usWest", "usWest"),
];

const fn region(name: &'static str, group: &'static str, location: &'static str) -> Region {
    Region { name, group, location }
}

impl Region {
    /// Returns the region for a policy that names only a region group: the first region of the
    /// group, or of the location of this name for the groups that span countries, such as `asia`.
    /// None: the table has no region there, or the group leaves the choice to the service.
    pub fn of_group(group: &str) -> Option<&'static Self> {
        if ["default", "automatic"].contains(&group) {
            return None;
        }
        // Graph's name for the group differs from its name for the location.
        let location = if group == "europeUnion" { "europe" } else { group };
        let in_group = REGIONS.iter().find(|region| region.group == group);
        let default = || REGIONS.iter().find(|region| region.name == REGION_DEFAULT && region.location == location);
        in_group.or_else(default).or_else(|| REGIONS.iter().find(|region| region.location == location))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_group_gets_a_region_within_it() {
        let name = |group| Region::of_group(group).map(|region| region.name);
        assert_eq!(name("usEast"), Some("eastus"));
        assert_eq!(name("norway"), Some("norwayeast"));
        assert_eq!(name("asia"), Some("eastasia"), "a location");
        assert_eq!([name("europe"), name("europeUnion")], [Some(REGION_DEFAULT); 2]);
        assert_eq!([name("default"), name("automatic"), name("usGovernment")], [None; 3]);
    }
}
