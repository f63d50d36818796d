//! Lists of Cloud PCs that the store selects and sorts, compared with the plain first page.

use indicatif::ProgressBar;
use std::slice;

use super::reads::rounds;
use crate::fleet;
use crate::load::{self, Request};
use crate::report::{Row, at_most, micros};
use crate::server::Server;
use crate::{BenchError, Plan};

const CLOUD_PCS: &str = "/beta/deviceManagement/virtualEndpoint/cloudPCs";
/// Plain pages that a list may cost if an index serves it.
const INDEXED_GOAL: f64 = 3.0;
/// Plain pages that a search within names may cost.
const CONTAINS_GOAL: f64 = 10.0;
/// Page that is reached by following links.
const LATE_PAGE: usize = 100;
/// These requests are more expensive than those for stored pages, so there are fewer.
const FEWER: u64 = 10;

/// The names are `desk-1` and so on: one Cloud PC in about a thousand has one that begins with
/// `desk-999`.
const PAGES: &[(&str, &str, f64)] = &[
    ("eq, none", "$filter=displayName eq 'nothing'", INDEXED_GOAL),
    ("eq, one", "$filter=displayName eq 'desk-777'", INDEXED_GOAL),
    ("eq, all", "$filter=status eq 'provisioned'", INDEXED_GOAL),
    ("startswith, none", "$filter=startswith(displayName,'nothing')", INDEXED_GOAL),
    ("startswith, one in a thousand", "$filter=startswith(displayName,'desk-999')", INDEXED_GOAL),
    ("startswith, all", "$filter=startswith(displayName,'desk')", INDEXED_GOAL),
    ("contains(tolower()), none", "$filter=contains(tolower(displayName),'nothing')", CONTAINS_GOAL),
    ("contains(tolower()), none, all trigrams", "$filter=contains(tolower(displayName),'999-desk')", CONTAINS_GOAL),
    ("contains(tolower()), one in a thousand", "$filter=contains(tolower(displayName),'k-999')", CONTAINS_GOAL),
    ("contains(tolower()), all", "$filter=contains(tolower(displayName),'desk')", CONTAINS_GOAL),
    ("in, three", "$filter=displayName in ('desk-7','desk-77','desk-777')", INDEXED_GOAL),
    ("and, none", "$filter=status eq 'failed' and startswith(displayName,'desk')", INDEXED_GOAL),
    ("and, one", "$filter=status eq 'provisioned' and displayName eq 'desk-777'", INDEXED_GOAL),
    ("and, all", "$filter=status eq 'provisioned' and startswith(displayName,'desk')", INDEXED_GOAL),
    ("or, one", "$filter=status eq 'failed' or displayName eq 'desk-777'", INDEXED_GOAL),
    ("or, all", "$filter=status eq 'provisioned' or displayName eq 'desk-777'", INDEXED_GOAL),
    ("orderby asc", "$orderby=displayName", INDEXED_GOAL),
    ("orderby desc", "$orderby=displayName desc", INDEXED_GOAL),
    (
        "startswith, one in a thousand, orderby",
        "$filter=startswith(displayName,'desk-999')&$orderby=displayName desc",
        INDEXED_GOAL,
    ),
    (
        "contains(tolower()), one in a thousand, orderby",
        "$filter=contains(tolower(displayName),'k-999')&$orderby=displayName",
        CONTAINS_GOAL,
    ),
];

/// Lists whose hundredth page is measured too.
const LATE_PAGES: &[(&str, &str)] = &[
    ("plain", "$top=100"),
    ("eq, all", "$filter=status eq 'provisioned'"),
    ("startswith, all", "$filter=startswith(displayName,'desk')"),
    ("contains(tolower()), all", "$filter=contains(tolower(displayName),'desk')"),
    ("orderby asc", "$orderby=displayName"),
    ("orderby desc", "$orderby=displayName desc"),
];

const COUNTS: &[(&str, &str)] = &[
    ("none", "startswith(displayName,'nothing')"),
    ("one", "displayName eq 'desk-777'"),
    ("one in a thousand", "startswith(displayName,'desk-999')"),
    ("contains, one in a thousand", "contains(tolower(displayName),'k-999')"),
    ("all", "startswith(displayName,'desk')"),
];

/// Measures pages and counts of a fleet of `machines` Cloud PCs.
pub async fn measure(server: &Server, plan: &Plan, progress: &ProgressBar) -> Result<Vec<Row>, BenchError> {
    let token = server.token().await?;
    progress.set_message("lists of Cloud PCs");
    let mut cases = vec![("plain first page (anchor)".to_owned(), CLOUD_PCS.to_owned(), None)];
    for (what, query, goal) in PAGES {
        cases.push((format!("$filter and $orderby: {what}"), path(query), Some(*goal)));
    }
    for (what, query) in LATE_PAGES {
        let late = late_page(server, &token, path(query)).await?;
        cases.push((format!("page {LATE_PAGE}: {what}"), late, Some(INDEXED_GOAL)));
    }
    for (what, filter) in COUNTS {
        let path = format!("{CLOUD_PCS}/$count?$filter={}", filter.replace(' ', "%20"));
        cases.push((format!("$count with $filter: {what}"), path, None));
    }
    let mut requests = Vec::new();
    let mut bytes = 0;
    for (what, path, _) in &cases {
        let request = Request::get(path, &token).bytes(server.address);
        let answer = load::once(server.address, &request).await?;
        if answer.status != 200 {
            return Err(format!("{what} got {}: {}", answer.status, answer.json()?).into());
        }
        bytes = bytes.max(answer.body.len());
        requests.push(request);
    }
    let sets: Vec<_> = requests.iter().map(slice::from_ref).collect();
    let fewer = Plan { requests: (plan.requests / FEWER).max(1), ..plan.clone() };
    let measured = rounds(server, &fewer, &token, bytes, &sets, progress).await?;
    let row = |(case, (what, _, goal)): (usize, &(String, String, Option<f64>))| {
        let value = micros(measured.median(case));
        let what = format!("{what}, {} Cloud PCs", plan.machines);
        match goal {
            Some(goal) => at_most(what, value, measured.ratio(case, 0), *goal),
            None => Row { ratio: format!("{:.2}", measured.ratio(case, 0)), ..Row::anchor(what, value) },
        }
    };
    Ok(cases.iter().enumerate().map(row).collect())
}

fn path(query: &str) -> String {
    format!("{CLOUD_PCS}?{}", query.replace(' ', "%20"))
}

/// Follows links to the hundredth page, or to the last one of a small fleet.
async fn late_page(server: &Server, token: &str, mut path: String) -> Result<String, BenchError> {
    for _ in 1..LATE_PAGE {
        let page = load::once(server.address, &Request::get(&path, token).bytes(server.address)).await?.json()?;
        match page["@odata.nextLink"].as_str() {
            Some(link) => path = fleet::path_of(link)?.to_owned(),
            None => break,
        }
    }
    Ok(path)
}
