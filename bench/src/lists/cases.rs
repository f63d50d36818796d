//! The measured lists.
//!
//! In the queries, `{one}`, `{two}` and `{three}` are numbers of Cloud PCs, and `{few}` stands for
//! the digits with which one number in a thousand begins.

/// Pages that a list may cost if an index serves it.
const INDEXED: f64 = 3.0;
/// Pages that a search within names may cost.
const CONTAINS: f64 = 10.0;

/// A group of lists.
pub(super) struct CaseGroup {
    /// What comes before each query.
    pub(super) path: &'static str,
    /// Plain first pages that each may cost; none without a goal.
    pub(super) goal: Option<f64>,
    /// Number of the measured page.
    pub(super) page: usize,
    /// Name of each list, empty if the query says it, and its query.
    pub(super) cases: &'static [(&'static str, &'static str)],
}

const CLOUD_PCS: &str = "/beta/deviceManagement/virtualEndpoint/cloudPCs";
const COUNT: &str = "/beta/deviceManagement/virtualEndpoint/cloudPCs/$count";
/// A page that is reached by following links.
const LATE_PAGE: usize = 100;

/// The list that the others are compared with.
pub(super) const ANCHOR: &str = CLOUD_PCS;

/// All groups, in the order of the table.
pub(super) const GROUPS: &[CaseGroup] = &[
    CaseGroup { path: CLOUD_PCS, goal: Some(INDEXED), page: 1, cases: FILTERS },
    CaseGroup { path: CLOUD_PCS, goal: Some(CONTAINS), page: 1, cases: SEARCHES },
    CaseGroup { path: CLOUD_PCS, goal: Some(INDEXED), page: 1, cases: ORDERS },
    CaseGroup { path: CLOUD_PCS, goal: Some(INDEXED), page: LATE_PAGE, cases: LATE_PAGES },
    CaseGroup { path: CLOUD_PCS, goal: Some(CONTAINS), page: LATE_PAGE, cases: LATE_SEARCHES },
    CaseGroup { path: COUNT, goal: None, page: 1, cases: COUNTS },
    CaseGroup { path: CLOUD_PCS, goal: None, page: 1, cases: SCANS },
];

const FILTERS: &[(&str, &str)] = &[
    ("eq: none", "$filter=displayName eq 'nothing'"),
    ("eq: one", "$filter=displayName eq 'desk-{one}'"),
    ("eq: one in 1,000", "$filter=provisioningPolicyName eq 'Pilot'"),
    ("eq: all", "$filter=status eq 'provisioned'"),
    ("startswith: none", "$filter=startswith(displayName,'nothing')"),
    ("startswith: one", "$filter=startswith(displayName,'desk-{one}')"),
    ("startswith: one in 1,000", "$filter=startswith(displayName,'desk-{few}')"),
    ("startswith: all", "$filter=startswith(displayName,'desk')"),
    ("in: none", "$filter=displayName in ('nothing','nobody')"),
    ("in: three", "$filter=displayName in ('desk-{one}','desk-{two}','desk-{three}')"),
    ("in: one in 1,000", "$filter=provisioningPolicyName in ('Pilot','Nobody')"),
    ("in: all", "$filter=status in ('failed','provisioned')"),
    ("and: none", "$filter=status eq 'failed' and startswith(displayName,'desk')"),
    (
        "and: none of many and many",
        "$filter=provisioningPolicyName eq 'Pilot' and startswith(displayName,'desk-{few}')",
    ),
    ("and: one", "$filter=status eq 'provisioned' and displayName eq 'desk-{one}'"),
    ("and: one in 1,000, by its range", "$filter=status eq 'provisioned' and startswith(displayName,'desk-{few}')"),
    ("and: one in 1,000, by its value", "$filter=status eq 'provisioned' and provisioningPolicyName eq 'Pilot'"),
    ("and: all", "$filter=status eq 'provisioned' and startswith(displayName,'desk')"),
    ("or: none", "$filter=status eq 'failed' or displayName eq 'nothing'"),
    ("or: one", "$filter=status eq 'failed' or displayName eq 'desk-{one}'"),
    ("or: one in 1,000", "$filter=status eq 'failed' or startswith(displayName,'desk-{few}')"),
    ("or: all", "$filter=status eq 'provisioned' or displayName eq 'desk-{one}'"),
];

const SEARCHES: &[(&str, &str)] = &[
    ("contains: none", "$filter=contains(tolower(displayName),'nothing')"),
    ("contains: none, of frequent letters", "$filter=contains(tolower(displayName),'00990099')"),
    ("contains: one", "$filter=contains(tolower(displayName),'k-{one}')"),
    ("contains: one in 1,000", "$filter=contains(tolower(displayName),'k-{few}')"),
    ("contains: one in 1,000, three letters", "$filter=contains(tolower(displayName),'ilo')"),
    ("contains: none, two letters", "$filter=contains(tolower(displayName),'zz')"),
    ("contains: all", "$filter=contains(tolower(displayName),'desk')"),
    (
        "contains, and: one in 1,000",
        "$filter=contains(tolower(displayName),'desk') and startswith(displayName,'desk-{few}')",
    ),
    ("contains, or: one in 1,000", "$filter=contains(tolower(displayName),'k-{few}') or displayName eq 'desk-{one}'"),
    ("contains, orderby: one in 1,000", "$filter=contains(tolower(displayName),'k-{few}')&$orderby=displayName"),
    ("contains, orderby: all", "$filter=contains(tolower(displayName),'desk')&$orderby=displayName"),
];

const ORDERS: &[(&str, &str)] = &[
    ("orderby: asc", "$orderby=displayName"),
    ("orderby: desc", "$orderby=displayName desc"),
    ("orderby: few values", "$orderby=status"),
    ("orderby: two, many values first", "$orderby=displayName,status desc"),
    ("startswith, orderby: one in 1,000", "$filter=startswith(displayName,'desk-{few}')&$orderby=displayName desc"),
    ("eq, orderby: none", "$filter=status eq 'failed'&$orderby=displayName"),
    ("eq, orderby: one in 1,000", "$filter=provisioningPolicyName eq 'Pilot'&$orderby=displayName"),
    ("eq, orderby: all", "$filter=status eq 'provisioned'&$orderby=displayName desc"),
];

const LATE_PAGES: &[(&str, &str)] = &[
    ("page 100: plain", "$top=100"),
    ("page 100: eq", "$filter=status eq 'provisioned'"),
    ("page 100: startswith", "$filter=startswith(displayName,'desk')"),
    ("page 100: in", "$filter=status in ('failed','provisioned')"),
    ("page 100: and", "$filter=status eq 'provisioned' and startswith(displayName,'desk')"),
    ("page 100: or", "$filter=status eq 'provisioned' or displayName eq 'desk-{one}'"),
    ("page 100: orderby asc", "$orderby=displayName"),
    ("page 100: orderby desc", "$orderby=displayName desc"),
];

const LATE_SEARCHES: &[(&str, &str)] = &[("page 100: contains", "$filter=contains(tolower(displayName),'desk')")];

const COUNTS: &[(&str, &str)] = &[
    ("count: eq, none", "$filter=displayName eq 'nothing'"),
    ("count: eq, one", "$filter=displayName eq 'desk-{one}'"),
    ("count: eq, one in 1,000", "$filter=provisioningPolicyName eq 'Pilot'"),
    ("count: eq, all", "$filter=status eq 'provisioned'"),
    ("count: startswith, none", "$filter=startswith(displayName,'nothing')"),
    ("count: startswith, one in 1,000", "$filter=startswith(displayName,'desk-{few}')"),
    ("count: startswith, all", "$filter=startswith(displayName,'desk')"),
    ("count: contains, none", "$filter=contains(tolower(displayName),'nothing')"),
    ("count: contains, one in 1,000", "$filter=contains(tolower(displayName),'k-{few}')"),
    ("count: contains, all", "$filter=contains(tolower(displayName),'desk')"),
    ("count: and, one in 1,000", "$filter=status eq 'provisioned' and startswith(displayName,'desk-{few}')"),
    ("count: and, all", "$filter=status eq 'provisioned' and startswith(displayName,'desk')"),
    ("count: or, all", "$filter=status eq 'provisioned' or displayName eq 'desk-{one}'"),
];

/// Lists that read every Cloud PC. In the larger fleet they can reach the limit of a scan.
const SCANS: &[(&str, &str)] = &[("scan: filter without an index, none", "$filter=osVersion eq 'windows10'")];
