//! A client that follows `/_cloudpc/events` over restarts of the service.

use cloudpc_graph::client::Client;
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::service::{POSTGRES, Service};

/// Time limit of the events that are left after the last restart.
const CATCH_UP_TIME_MAX: Duration = Duration::from_secs(120);

/// An event as the table of changes has it: number, type, id, parent and kind of change.
type Seen = (i64, String, String, String, String);

/// What a client has seen.
pub struct Follower {
    /// Number of the position where the client began.
    began: i64,
    /// Id of the last event, with which the client continues.
    last: String,
    seen: Vec<Seen>,
}

impl Follower {
    /// Returns a client that has the position of now.
    pub async fn begin(service: &Service, client: &Client) -> Self {
        let mut events = open(service.http(), &client.token(), None).await.unwrap();
        let mut line = String::new();
        while !line.starts_with("id: ") {
            line.clear();
            events.read_line(&mut line).await.unwrap();
        }
        let last = line["id: ".len()..].trim_end().to_owned();
        Self { began: number(&last), last, seen: Vec::new() }
    }

    /// Follows the events until the connection ends, or to the change with this number.
    pub fn follow(mut self, service: &Service, client: &Client, until: Option<i64>) -> JoinHandle<Self> {
        let (address, token) = (service.http().to_owned(), client.token());
        tokio::spawn(async move {
            // The service may be killed at any time.
            let Ok(mut events) = open(&address, &token, Some(&self.last)).await else { return self };
            let (mut id, mut data, mut line) = (String::new(), None, String::new());
            while until.is_none_or(|until| number(&self.last) < until) {
                line.clear();
                if events.read_line(&mut line).await.unwrap_or(0) == 0 || !line.ends_with('\n') {
                    return self;
                }
                match line.trim_end().split_once(": ") {
                    Some(("id", value)) => value.clone_into(&mut id),
                    Some(("data", value)) => data = Some(serde_json::from_str::<Value>(value).unwrap()),
                    None if line.trim_end().is_empty() && !id.is_empty() => {
                        if let Some(data) = data.take() {
                            let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
                            self.seen.push((number(&id), text("type"), text("id"), text("parent"), text("change")));
                        }
                        self.last.clone_from(&id);
                    }
                    _ => {}
                }
            }
            self
        })
    }
}

/// Checks that the client has seen exactly the rows of the table of changes since it began.
pub async fn check(follower: Follower, service: &Service, client: &Client) {
    let mut rows = changes(service);
    let head = rows.last().map_or(0, |(number, ..)| *number);
    let following = follower.follow(service, client, Some(head));
    let follower = tokio::time::timeout(CATCH_UP_TIME_MAX, following).await.unwrap().unwrap();
    rows.retain(|(number, ..)| *number > follower.began);
    println!("{} changes followed", rows.len());
    assert_eq!(rows.len(), follower.seen.len());
    for (row, seen) in rows.iter().zip(&follower.seen) {
        assert_eq!(row, seen);
    }
}

/// Opens a stream of events, after the response's head.
async fn open(address: &str, token: &str, last: Option<&str>) -> std::io::Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(address).await?;
    let last = last.map(|last| format!("Last-Event-ID: {last}\r\n")).unwrap_or_default();
    // A body of HTTP/1.0 is not in chunks.
    let request =
        format!("GET /_cloudpc/events HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n{last}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut events = BufReader::new(stream);
    let mut line = String::new();
    events.read_line(&mut line).await?;
    assert!(line.is_empty() || line.contains(" 200 "), "{line}");
    while !line.trim_end().is_empty() {
        line.clear();
        events.read_line(&mut line).await?;
    }
    Ok(events)
}

/// The number in the id of an event.
fn number(id: &str) -> i64 {
    id.split_once('-').unwrap().1.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_prints_a_line_for_each_change() {
    let service = Service::start(&["--demo"]);
    let client = service.client().await;
    let position = Follower::begin(&service, &client).await.last;
    let user = serde_json::json!({
        "accountEnabled": true, "displayName": "Followed", "mailNickname": "user",
        "userPrincipalName": "followed@contoso.test", "passwordProfile": {"password": "correct horse"},
    });
    let user = client.post("/beta/users", &user).await.unwrap();
    let mut events = service.begin(&["events", "-o", "json", "--after", &position]);
    let lines = std::io::BufRead::lines(std::io::BufReader::new(events.stdout.take().unwrap()));
    let mut changes = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let created = changes.find(|change| change["type"] == "user").unwrap();
    assert_eq!((&created["change"], &created["name"]), (&"created".into(), &"Followed".into()));
    assert_eq!(created["id"], user["id"]);
    assert!(number(created["eventId"].as_str().unwrap()) > number(&position));
    events.kill().unwrap();
    events.wait().unwrap();
}

/// Returns the table of changes.
fn changes(service: &Service) -> Vec<Seen> {
    let select = "SELECT number, type, id, parent, what FROM changes ORDER BY number";
    if let Ok(url) = std::env::var(POSTGRES) {
        let read = || {
            let rows = postgres::Client::connect(&url, postgres::NoTls).unwrap().query(select, &[]).unwrap();
            rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))).collect()
        };
        // The client waits by a runtime of its own.
        return std::thread::scope(|scope| scope.spawn(read).join()).unwrap();
    }
    let database = rusqlite::Connection::open(service.data().join("cloudpc.db")).unwrap();
    let mut select = database.prepare(select).unwrap();
    let seen = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
    select.query_map([], seen).unwrap().map(Result::unwrap).collect()
}
