//! Pages of deployment results, against a constant body of the same size.

use indicatif::ProgressBar;
use std::net::SocketAddr;
use std::slice;

use crate::data::PARTNER;
use crate::load::{self, Request};
use crate::report::{Row, median};
use crate::server::Server;
use crate::{Failure, Plan};

/// Connections that read.
const CLIENTS: u64 = 32;

/// The pages of all results, as requests.
struct Pages {
    /// In order.
    requests: Vec<Vec<u8>>,
    /// Size of one in the middle, bytes.
    bytes: usize,
}

/// Pages out of `rows` results.
pub async fn measure(server: &Server, plan: &Plan, rows: u64, progress: &ProgressBar) -> Result<Vec<Row>, Failure> {
    let token = server.token().await?;
    progress.set_message(format!("walk through {rows} results"));
    let pages = walk(server, &token, rows, progress).await?;
    let constant = Request::get(&format!("/constant/{}", pages.bytes), &token).bytes(server.anchors);
    let middle = &pages.requests[pages.requests.len() / 2];

    let (mut anchors, mut hot, mut stored) = (Vec::new(), Vec::new(), Vec::new());
    progress.set_message("pages");
    progress.set_length(plan.rounds as u64);
    progress.set_position(0);
    for _ in 0..plan.rounds {
        anchors.push(read(server, server.anchors, plan, slice::from_ref(&constant)).await?);
        hot.push(read(server, server.address, plan, slice::from_ref(middle)).await?);
        stored.push(read(server, server.address, plan, &pages.requests).await?);
        progress.inc(1);
    }
    let share = |of: &[f64]| median(anchors.iter().zip(of).map(|(anchor, us)| anchor / us).collect());
    let row = |what: String, of: Vec<f64>, goal: f64| Row {
        ratio: format!("{:.0} %", share(&of) * 100.0),
        goal: format!(">= {:.0} %", goal * 100.0),
        met: Some(share(&of) >= goal),
        value: format!("{:.1} µs", median(of)),
        what,
    };
    Ok(vec![
        Row::anchor(
            format!("constant body of {} bytes (anchor)", pages.bytes),
            format!("{:.1} µs", median(anchors.clone())),
        ),
        row(format!("hot page out of {rows} results"), hot, 0.7),
        row(format!("finished pages at random out of {rows} results"), stored, 0.4),
    ])
}

/// Processor time of one of these requests, microseconds.
async fn read(server: &Server, address: SocketAddr, plan: &Plan, requests: &[Vec<u8>]) -> Result<f64, Failure> {
    let count = requests.len() as u64;
    // A stride from one far away to the next, which comes back to none before it was at all of them.
    let stride = (1..=count * 618 / 1_000).rev().find(|stride| gcd(*stride, count) == 1).unwrap_or(1);
    let pick = |number: u64| usize::try_from(number % count * stride % count).unwrap_or(0);
    let write = |number, text: &mut Vec<u8>| text.extend_from_slice(&requests[pick(number)]);
    Ok(load::run(server, address, CLIENTS, plan.requests, 200, write).await?.processor_us)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Follows the links from the first page to the last, and checks that every result was there.
async fn walk(server: &Server, token: &str, rows: u64, progress: &ProgressBar) -> Result<Pages, Failure> {
    let (mut requests, mut sizes, mut seen) = (Vec::new(), Vec::new(), 0);
    let mut path = format!(
        "/beta/deviceManagement/virtualEndpoint/externalPartners/{PARTNER}/retrieveDeployAgentActionResults(activityId='',cloudPcId='')"
    );
    progress.set_length(rows);
    progress.set_position(0);
    loop {
        let request = Request::get(&path, token).bytes(server.address);
        let answer = load::once(server.address, &request).await?;
        let page = answer.json()?;
        seen += page["value"].as_array().map_or(0, Vec::len) as u64;
        progress.set_position(seen);
        sizes.push(answer.body.len());
        requests.push(request);
        match page["@odata.nextLink"].as_str() {
            Some(link) => path = path_of(link)?.to_owned(),
            None if seen == rows => return Ok(Pages { bytes: sizes[sizes.len() / 2], requests }),
            None => return Err(format!("{seen} results were seen instead of {rows}").into()),
        }
    }
}

fn path_of(link: &str) -> Result<&str, Failure> {
    let rest = link.split_once("://").map(|(_, rest)| rest).ok_or("a link is an address")?;
    Ok(&rest[rest.find('/').ok_or("a link has a path")?..])
}
