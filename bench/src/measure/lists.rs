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

/// The names are `desk-000001` and so on, with as many digits as the last one has. `{one}` stands
/// for the number of one Cloud PC, and `{few}` for the digits with which one number in a thousand
/// begins.
const PAGES: &[(&str, &str, f64)] = &[
    ("eq, none", "$filter=displayName eq 'nothing'", INDEXED_GOAL),
    ("eq, one", "$filter=displayName eq 'desk-{one}'", INDEXED_GOAL),
    ("eq, all", "$filter=status eq 'provisioned'", INDEXED_GOAL),
    ("startswith, none", "$filter=startswith(displayName,'nothing')", INDEXED_GOAL),
    ("startswith, one", "$filter=startswith(displayName,'desk-{one}')", INDEXED_GOAL),
    ("startswith, one in a thousand", "$filter=startswith(displayName,'desk-{few}')", INDEXED_GOAL),
    ("startswith, all", "$filter=startswith(displayName,'desk')", INDEXED_GOAL),
    ("contains(tolower()), none", "$filter=contains(tolower(displayName),'nothing')", CONTAINS_GOAL),
    ("contains(tolower()), none, all trigrams", "$filter=contains(tolower(displayName),'00990099')", CONTAINS_GOAL),
    ("contains(tolower()), one", "$filter=contains(tolower(displayName),'k-{one}')", CONTAINS_GOAL),
    ("contains(tolower()), one in a thousand", "$filter=contains(tolower(displayName),'k-{few}')", CONTAINS_GOAL),
    ("contains(tolower()), all", "$filter=contains(tolower(displayName),'desk')", CONTAINS_GOAL),
    ("in, none", "$filter=displayName in ('nothing','nobody')", INDEXED_GOAL),
    ("in, three", "$filter=displayName in ('desk-{one}','desk-{two}','desk-{three}')", INDEXED_GOAL),
    ("in, all", "$filter=status in ('failed','provisioned')", INDEXED_GOAL),
    ("and, none", "$filter=status eq 'failed' and startswith(displayName,'desk')", INDEXED_GOAL),
    ("and, one", "$filter=status eq 'provisioned' and displayName eq 'desk-{one}'", INDEXED_GOAL),
    (
        "and, one in a thousand",
        "$filter=status eq 'provisioned' and startswith(displayName,'desk-{few}')",
        INDEXED_GOAL,
    ),
    ("and, all", "$filter=status eq 'provisioned' and startswith(displayName,'desk')", INDEXED_GOAL),
    ("or, none", "$filter=status eq 'failed' or displayName eq 'nothing'", INDEXED_GOAL),
    ("or, one", "$filter=status eq 'failed' or displayName eq 'desk-{one}'", INDEXED_GOAL),
    ("or, one in a thousand", "$filter=status eq 'failed' or startswith(displayName,'desk-{few}')", INDEXED_GOAL),
    ("or, all", "$filter=status eq 'provisioned' or displayName eq 'desk-{one}'", INDEXED_GOAL),
    ("orderby asc", "$orderby=displayName", INDEXED_GOAL),
    ("orderby desc", "$orderby=displayName desc", INDEXED_GOAL),
    ("orderby two, many values first", "$orderby=displayName,status desc", CONTAINS_GOAL),
    (
        "startswith, one in a thousand, orderby",
        "$filter=startswith(displayName,'desk-{few}')&$orderby=displayName desc",
        INDEXED_GOAL,
    ),
    (
        "contains(tolower()), one in a thousand, orderby",
        "$filter=contains(tolower(displayName),'k-{few}')&$orderby=displayName",
        CONTAINS_GOAL,
    ),
];

/// Lists that read every Cloud PC.
const SCANS: &[(&str, &str)] = &[
    ("orderby two, few values first", "$orderby=status,displayName desc"),
    ("orderby without an index", "$orderby=lastModifiedDateTime desc"),
    ("filter without an index, none", "$filter=osVersion eq 'windows10'"),
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
    ("one", "displayName eq 'desk-{one}'"),
    ("one in a thousand", "startswith(displayName,'desk-{few}')"),
    ("contains, one in a thousand", "contains(tolower(displayName),'k-{few}')"),
    ("all", "startswith(displayName,'desk')"),
];

/// Measures pages and counts of a fleet of `machines` Cloud PCs.
pub async fn measure(server: &Server, plan: &Plan, progress: &ProgressBar) -> Result<Vec<Row>, BenchError> {
    let token = server.token().await?;
    progress.set_message("lists of Cloud PCs");
    let anchor = ("plain first page (anchor)".to_owned(), CLOUD_PCS.to_owned(), None);
    let mut cases = vec![anchor.clone()];
    for (what, query, goal) in PAGES {
        cases.push((format!("$filter and $orderby: {what}"), path(query, plan.machines), Some(*goal)));
    }
    for (what, query) in LATE_PAGES {
        let late = late_page(server, &token, path(query, plan.machines)).await?;
        cases.push((format!("page {LATE_PAGE}: {what}"), late, Some(INDEXED_GOAL)));
    }
    let fewer = Plan { requests: (plan.requests / FEWER).max(1), ..plan.clone() };
    let mut rows = compare(server, &fewer, &token, &cases, progress).await?;
    let mut cases = vec![anchor];
    for (what, filter) in COUNTS {
        let path = path(&format!("$filter={filter}"), plan.machines).replace('?', "/$count?");
        cases.push((format!("$count with $filter: {what}"), path, None));
    }
    for (what, query) in SCANS {
        cases.push((format!("reading all: {what}"), path(query, plan.machines), None));
    }
    let fewest = Plan { requests: (fewer.requests / FEWER).max(1), ..plan.clone() };
    rows.extend(compare(server, &fewest, &token, &cases, progress).await?.into_iter().skip(1));
    Ok(rows)
}

/// A request by its name, with the number of first cases that it may cost.
type Case = (String, String, Option<f64>);

/// Measures requests in proportion to the first one.
async fn compare(
    server: &Server,
    plan: &Plan,
    token: &str,
    cases: &[Case],
    progress: &ProgressBar,
) -> Result<Vec<Row>, BenchError> {
    let mut requests = Vec::new();
    let mut bytes = 0;
    for (what, path, _) in cases {
        let request = Request::get(path, token).bytes(server.address);
        let answer = load::once(server.address, &request).await?;
        if answer.status != 200 {
            return Err(format!("{what} got {}: {}", answer.status, answer.json()?).into());
        }
        bytes = bytes.max(answer.body.len());
        requests.push(request);
    }
    let sets: Vec<_> = requests.iter().map(slice::from_ref).collect();
    let measured = rounds(server, plan, token, bytes, &sets, progress).await?;
    let row = |(case, (what, _, goal)): (usize, &Case)| {
        let value = micros(measured.median(case));
        let what = format!("{what}, {} Cloud PCs", plan.machines);
        match goal {
            Some(goal) => at_most(what, value, measured.ratio(case, 0), *goal),
            None => Row { ratio: format!("{:.2}", measured.ratio(case, 0)), ..Row::anchor(what, value) },
        }
    };
    Ok(cases.iter().enumerate().map(row).collect())
}

fn path(query: &str, machines: u64) -> String {
    let digits = machines.to_string().len();
    let number = |number: u64| format!("{number:0digits$}");
    let query = query.replace("{one}", &number(777)).replace("{two}", &number(77)).replace("{three}", &number(7));
    format!("{CLOUD_PCS}?{}", query.replace("{few}", "0999").replace(' ', "%20"))
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
