//! `cloudpc-bench lists`: lists of Cloud PCs that the store selects, sorts and counts, compared
//! with the plain first page, in fleets of several sizes.

mod cases;

use clap::Args;
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::load::{self, CLIENTS_READING, Request, as_f64};
use crate::report::{median, micros};
use crate::server::{Server, Serving, pin_to_core};
use crate::{BenchError, data, fleet};
use cases::{ANCHOR, CaseGroup, GROUPS};

/// Processor time that one measurement of a list takes, if the request limit allows, microseconds.
const MEASURED_US: f64 = 200_000.0;
/// The code of a list that reads more rows, or takes longer, than the service allows.
const SCAN_LIMIT: &str = "scanLimitReached";
/// Fewest requests of a measurement.
const REQUESTS_MIN: u64 = 4;
/// How much more a list may cost in the largest fleet than in the smallest: in plain first pages,
/// or, for a count, for each match.
const GROWTH_GOAL: f64 = 1.5;

/// Measure the cost of selecting, sorting and counting lists
#[derive(Debug, Args)]
pub struct Lists {
    /// Simulated Cloud PCs of the fleet; given several times, the sizes are compared
    #[arg(long, default_values_t = [100_000, 1_000_000])]
    machines: Vec<u64>,
    /// Most requests per measurement; expensive lists take fewer
    #[arg(long, default_value_t = 1_000)]
    requests: u64,
    /// Rounds; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Directory of the test data; kept for the next run
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
}

/// A request for a list of one fleet.
struct ListRequest {
    bytes: Vec<u8>,
    /// Number of requests in a measurement; zero if the list reaches the limit of a scan.
    times: u64,
    /// Matches; none if the response is not a count.
    matches: Option<u64>,
}

/// Cost of a list in one fleet.
#[derive(Clone, Copy)]
struct ListCost {
    /// Infinite if the list reaches the limit of a scan.
    processor_us: f64,
    /// The cost in plain first pages of the same round.
    pages: f64,
    matches: Option<u64>,
}

impl Lists {
    /// Measures and prints the table.
    pub fn run(&self) -> Result<(), BenchError> {
        pin_to_core(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        println!("{}", runtime.block_on(Box::pin(self.measure()))?);
        Ok(())
    }

    async fn measure(&self) -> Result<Table, BenchError> {
        fs::create_dir_all(&self.directory)?;
        let style = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {msg}")?;
        let progress = ProgressBar::new(1).with_style(style);
        progress.enable_steady_tick(Duration::from_millis(200));
        let mut fleets = Vec::new();
        for machines in self.machines.iter().copied() {
            let data = data::prepare(&self.directory, machines, 0, &progress).await?;
            let server = Server::start(&data, None, Serving::Alone).await?;
            fleets.push(self.fleet(&server, machines, &progress).await?);
            server.stop()?;
        }
        progress.finish_and_clear();
        Ok(self.table(&fleets))
    }

    /// Returns the cost of the plain page and of each list, in the order of the table.
    async fn fleet(&self, server: &Server, machines: u64, progress: &ProgressBar) -> Result<Vec<ListCost>, BenchError> {
        progress.set_message(format!("lists of {machines} Cloud PCs"));
        let token = server.token().await?;
        let mut requests = vec![self.request(server, &token, ANCHOR).await?];
        for group in GROUPS {
            for (_, query) in group.cases {
                let path = format!("{}?{}", group.path, filled_in(query, machines));
                let path = late_page(server, &token, path, group.page).await?;
                requests.push(self.request(server, &token, &path).await?);
            }
        }
        progress.set_length(self.rounds as u64);
        progress.set_position(0);
        let mut rounds = Vec::new();
        for _ in 0..self.rounds {
            let mut round = Vec::new();
            for request in &requests {
                if request.times == 0 {
                    round.push(f64::INFINITY);
                    continue;
                }
                let write = |_, text: &mut Vec<u8>| text.extend(&request.bytes);
                let load = load::run(server, server.address, CLIENTS_READING, request.times, 200, write).await?;
                round.push(load.processor_us);
            }
            rounds.push(round);
            progress.inc(1);
        }
        let of_rounds = |value: &dyn Fn(&Vec<f64>) -> f64| median(rounds.iter().map(value).collect());
        let cost = |(place, request): (usize, &ListRequest)| ListCost {
            processor_us: of_rounds(&|round| round[place]),
            pages: of_rounds(&|round| round[place] / round[0]),
            matches: request.matches,
        };
        Ok(requests.iter().enumerate().map(cost).collect())
    }

    /// Builds a request, and sends it to learn how often to repeat it.
    async fn request(&self, server: &Server, token: &str, path: &str) -> Result<ListRequest, BenchError> {
        let bytes = Request::get(path, token).bytes(server.address);
        let answer = load::once(server.address, &bytes).await?;
        if answer.status == 400 && answer.json()?["error"]["code"] == SCAN_LIMIT {
            return Ok(ListRequest { times: 0, bytes, matches: None });
        }
        if answer.status != 200 {
            return Err(format!("{path} got {}: {}", answer.status, answer.json()?).into());
        }
        let matches = if path.contains("$count") { Some(std::str::from_utf8(&answer.body)?.parse()?) } else { None };
        let write = |_, text: &mut Vec<u8>| text.extend(&bytes);
        let once_us = load::run(server, server.address, 1, REQUESTS_MIN, 200, write).await?.processor_us;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number that is then limited")]
        let times = (MEASURED_US / once_us) as u64;
        Ok(ListRequest { times: times.clamp(REQUESTS_MIN, self.requests.max(REQUESTS_MIN)), bytes, matches })
    }

    fn table(&self, fleets: &[Vec<ListCost>]) -> Table {
        let sizes = self.machines.iter().flat_map(|machines| [format!("{machines} Cloud PCs"), "pages".to_owned()]);
        let header =
            std::iter::once("list".to_owned()).chain(sizes).chain(["growth", "goal", "met"].map(str::to_owned));
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header(header);
        let mut costs = (0..).map(|place| fleets.iter().map(|fleet| fleet[place]).collect::<Vec<_>>());
        let mut add = |name: &str, goal: Option<f64>| {
            if let Some(costs) = costs.next() {
                table.add_row(row(name, goal, &costs));
            }
        };
        add("plain first page", None);
        for CaseGroup { goal, cases, .. } in GROUPS {
            for (name, _) in *cases {
                add(name, *goal);
            }
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

/// Returns a row of the table: a list's cost in each fleet.
fn row(name: &str, goal: Option<f64>, costs: &[ListCost]) -> Vec<String> {
    let each = |cost: &ListCost| match cost.pages.is_finite() {
        true => [micros(cost.processor_us), format!("{:.2}", cost.pages)],
        false => ["limit".to_owned(), String::new()],
    };
    let growth = costs.last().zip(costs.first()).map_or(1.0, |(last, first)| {
        let per_match = |cost: &ListCost| cost.pages / as_f64(cost.matches.unwrap_or(1).max(1));
        per_match(last) / per_match(first)
    });
    let is_count = costs.iter().any(|cost| cost.matches.is_some());
    let is_cheap = |goal: f64| costs.iter().all(|cost| cost.pages <= goal) && growth <= GROWTH_GOAL;
    let (goal_text, met) = match goal {
        Some(goal) => (format!("<= {goal:.0} pages"), Some(is_cheap(goal))),
        None if is_count => ("linear".to_owned(), Some(growth <= GROWTH_GOAL)),
        None => (String::new(), None),
    };
    let met = met.map_or("", |met| if met { "yes" } else { "no" });
    let end = [format!("{growth:.2}"), goal_text, met.to_owned()];
    std::iter::once(name.to_owned()).chain(costs.iter().flat_map(each)).chain(end).collect()
}

/// Returns a query with numbers of Cloud PCs as the fleet writes them.
fn filled_in(query: &str, machines: u64) -> String {
    let digits = data::numbered(machines).to_string().len();
    let number = |number: u64| format!("{number:0digits$}");
    let query = query.replace("{one}", &number(777)).replace("{two}", &number(77)).replace("{three}", &number(7));
    query.replace("{few}", "099").replace(' ', "%20")
}

/// Follows links to this page, or to the last one of a small fleet.
async fn late_page(server: &Server, token: &str, mut path: String, number: usize) -> Result<String, BenchError> {
    for _ in 1..number {
        let page = load::once(server.address, &Request::get(&path, token).bytes(server.address)).await?.json()?;
        match page["@odata.nextLink"].as_str() {
            Some(link) => path = fleet::path_of(link)?.to_owned(),
            None => break,
        }
    }
    Ok(path)
}
