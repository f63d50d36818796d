//! Pages of results compared with a constant body of the same size.

use indicatif::ProgressBar;
use std::net::SocketAddr;
use std::slice;

use crate::data::{HISTORY, PARTNER, PARTNER_BUSY};
use crate::fleet;
use crate::load::{self, CLIENTS_READING, Request};
use crate::report::{Row, at_least, at_most, median, micros};
use crate::server::Server;
use crate::{BenchError, Plan};

/// Pages of a working set that a cache may hold: 52 MB.
const WORKING_SET: usize = 2_000;
/// Repetitions of each request during warm-up. A full cache keeps nothing that was requested only
/// once or twice.
const WARM_UP_TIMES: u64 = 4;
/// Page size for which no whole page is stored.
const ODD_TOP: u64 = 99;

/// Goals of `bench/README.md`.
const HOT_GOAL: f64 = 0.7;
const STORED_GOAL: f64 = 0.4;
const OPEN_GOAL: f64 = 0.13;
const LAST_GOAL: f64 = 1.2;

/// Processor time of each case, per round, microseconds.
struct Rounds {
    anchor: Vec<f64>,
    cases: Vec<Vec<f64>>,
}

/// Measures pages out of `rows` results of ended deployments. Returns the rows of the table, and
/// the processor time of a stored page.
pub async fn stored(
    server: &Server,
    plan: &Plan,
    rows: u64,
    progress: &ProgressBar,
) -> Result<(Vec<Row>, f64), BenchError> {
    let token = server.token().await?;
    progress.set_message(format!("walk through {rows} results"));
    let pages = walk(server, &token, rows, progress).await?;
    let all: Vec<_> = pages.paths.iter().map(|path| Request::get(path, &token).bytes(server.address)).collect();
    let working_set: Vec<_> = all.iter().step_by(all.len().div_ceil(WORKING_SET)).cloned().collect();
    let odd = |path: &String| {
        let path = format!("{path}{}$top={ODD_TOP}", if path.contains('?') { '&' } else { '?' });
        vec![Request::get(&path, &token).bytes(server.address)]
    };
    let (first, last) = (odd(&pages.paths[0]), odd(&pages.paths[pages.paths.len() - 1]));
    let hot = slice::from_ref(&all[all.len() / 2]);
    progress.set_message("pages of ended deployments");
    let cases: [&[Vec<u8>]; 5] = [hot, &working_set, &all, &first, &last];
    let measured = rounds(server, plan, &token, pages.bytes, &cases, progress).await?;
    let [hot, working_set, all, first, last] = [0, 1, 2, 3, 4].map(|case| measured.median(case));
    let last_to_first = measured.ratio(4, 3);
    let lines = vec![
        Row::anchor(
            format!("constant body of {} bytes (anchor)", pages.bytes),
            micros(median(measured.anchor.clone())),
        ),
        at_least(format!("one page of {rows} results, again and again"), micros(hot), measured.share(0), HOT_GOAL),
        at_least(
            format!("{WORKING_SET} pages of {rows} results, at random"),
            micros(working_set),
            measured.share(1),
            STORED_GOAL,
        ),
        at_least(format!("all pages of {rows} results, at random"), micros(all), measured.share(2), STORED_GOAL),
        Row::anchor(format!("first {ODD_TOP} of {rows} results, row by row"), micros(first)),
        at_most(format!("last {ODD_TOP} of {rows} results, row by row"), micros(last), last_to_first, LAST_GOAL),
    ];
    Ok((lines, all))
}

/// Measures a page of open deployments and a page of a Cloud PC's remote actions.
pub async fn live(server: &Server, plan: &Plan, progress: &ProgressBar) -> Result<Vec<Row>, BenchError> {
    let token = server.token().await?;
    progress.set_message("pages of what is under way");
    let ids = fleet::ids(server, &token, "virtualEndpoint/cloudPCs").await?;
    for some in ids.chunks(50).take(2) {
        let request = fleet::deploy(server, &token, PARTNER_BUSY, some);
        let answer = load::once(server.address, &request).await?;
        if answer.status != 200 {
            return Err(format!("deployAgent got {}: {}", answer.status, answer.json()?).into());
        }
    }
    let page = async |path: String| {
        let request = Request::get(&path, &token).bytes(server.address);
        let bytes = load::once(server.address, &request).await?.body.len();
        Ok::<_, BenchError>((request, bytes))
    };
    let mut lines = Vec::new();
    let (open, bytes) = page(results_path(PARTNER_BUSY)).await?;
    let measured = rounds(server, plan, &token, bytes, &[slice::from_ref(&open)], progress).await?;
    let what = "a page of deployments under way".to_owned();
    lines.push(at_least(what, micros(measured.median(0)), measured.share(0), OPEN_GOAL));

    let device = fleet::device_of(server, &token, &ids[0]).await?;
    let path = format!("/beta/deviceManagement/managedDevices/{device}/getCloudPcRemoteActionResults()");
    let (history, bytes) = page(path).await?;
    let measured = rounds(server, plan, &token, bytes, &[slice::from_ref(&history)], progress).await?;
    let mut line = at_least(
        format!("getCloudPcRemoteActionResults, {HISTORY} actions, {bytes} bytes"),
        micros(measured.median(0)),
        measured.share(0),
        OPEN_GOAL,
    );
    (line.goal, line.met) = (String::new(), None);
    lines.push(line);
    Ok(lines)
}

/// Measures the cases, each a set of requests, alternating with a constant body of this size.
async fn rounds(
    server: &Server,
    plan: &Plan,
    token: &str,
    bytes: usize,
    cases: &[&[Vec<u8>]],
    progress: &ProgressBar,
) -> Result<Rounds, BenchError> {
    let constant = Request::get(&format!("/constant/{bytes}"), token).bytes(server.anchors);
    let mut measured = Rounds { anchor: Vec::new(), cases: vec![Vec::new(); cases.len()] };
    progress.set_length(plan.rounds as u64);
    progress.set_position(0);
    for _ in 0..plan.rounds {
        measured.anchor.push(read(server, server.anchors, plan.requests, slice::from_ref(&constant)).await?);
        for (case, requests) in cases.iter().enumerate() {
            // Warm-up, so that a cache holds what it would hold in the long run.
            let each = (requests.len() as u64).min(plan.requests);
            read(server, server.address, WARM_UP_TIMES * each, requests).await?;
            measured.cases[case].push(read(server, server.address, plan.requests, requests).await?);
        }
        progress.inc(1);
    }
    Ok(measured)
}

impl Rounds {
    fn median(&self, case: usize) -> f64 {
        median(self.cases[case].clone())
    }

    /// Returns the anchor's cost as a share of the case's.
    fn share(&self, case: usize) -> f64 {
        median(self.anchor.iter().zip(&self.cases[case]).map(|(anchor, us)| anchor / us).collect())
    }

    /// Returns the cost of one case relative to another.
    fn ratio(&self, case: usize, to: usize) -> f64 {
        median(self.cases[case].iter().zip(&self.cases[to]).map(|(us, to)| us / to).collect())
    }
}

/// Measures the processor time per request, microseconds.
async fn read(server: &Server, address: SocketAddr, requests: u64, of: &[Vec<u8>]) -> Result<f64, BenchError> {
    let count = of.len() as u64;
    // A large stride coprime to the number of requests visits all of them before it repeats one.
    let stride = (1..=count * 618 / 1_000).rev().find(|stride| gcd(*stride, count) == 1).unwrap_or(1);
    let pick = |number: u64| usize::try_from(number % count * stride % count).unwrap_or(0);
    let write = |number, text: &mut Vec<u8>| text.extend_from_slice(&of[pick(number)]);
    Ok(load::run(server, address, CLIENTS_READING, requests, 200, write).await?.processor_us)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Pages of all results, found by following the links.
struct Pages {
    /// Paths of the pages in order.
    paths: Vec<String>,
    /// Size of a page in the middle, bytes.
    bytes: usize,
}

/// Follows the links from the first page to the last, and checks that every result was returned.
async fn walk(server: &Server, token: &str, rows: u64, progress: &ProgressBar) -> Result<Pages, BenchError> {
    let (mut paths, mut sizes, mut seen) = (Vec::new(), Vec::new(), 0);
    let mut path = results_path(PARTNER);
    progress.set_length(rows);
    progress.set_position(0);
    loop {
        let answer = load::once(server.address, &Request::get(&path, token).bytes(server.address)).await?;
        let page = answer.json()?;
        seen += page["value"].as_array().map_or(0, Vec::len) as u64;
        progress.set_position(seen);
        sizes.push(answer.body.len());
        paths.push(path);
        match page["@odata.nextLink"].as_str() {
            Some(link) => path = fleet::path_of(link)?.to_owned(),
            None if seen == rows => return Ok(Pages { bytes: sizes[sizes.len() / 2], paths }),
            None => return Err(format!("expected {rows} results, but got {seen}").into()),
        }
    }
}

fn results_path(partner: &str) -> String {
    format!(
        "/beta/deviceManagement/virtualEndpoint/externalPartners/{partner}/retrieveDeployAgentActionResults(activityId='',cloudPcId='')"
    )
}

/// Compares the cost of a stored page at two numbers of results.
pub fn growth(few: (u64, f64), many: (u64, f64)) -> Row {
    const GOAL: f64 = 1.1;
    at_most(format!("a stored page out of {} results against {}", many.0, few.0), micros(many.1), many.1 / few.1, GOAL)
}
