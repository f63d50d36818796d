use super::*;
use crate::guest::{AgentChannel, AgentGuest, CommandOutput, Downloads, Staging};
use crate::{DriverError, FetchPolicy, Fetcher, Guest, GuestError, GuestOs, ProgramExit, Tag, URL_BYTES_MAX};
use async_trait::async_trait;
use cloudpc_model::{CloudPcId, Rng};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncRead;
use tree_sitter::{Node, Parser};

const FOLDER: &str = "C:/Program Files/cloudpc/action-7";

/// A random number generator that always returns the same number.
struct FixedRng;

impl Rng for FixedRng {
    fn next_u64(&self) -> u64 {
        7
    }
}

/// A run that a guest expects, and its result.
struct ExpectedRun {
    program: &'static str,
    arguments: Vec<String>,
    result: Result<CommandOutput, GuestError>,
}

/// A channel into a guest that runs nothing: it expects these runs, in this order.
struct ScriptedChannel(Mutex<VecDeque<ExpectedRun>>);

#[async_trait]
impl AgentChannel for ScriptedChannel {
    async fn ping(&self) -> Result<(), GuestError> {
        Ok(())
    }

    async fn run(&self, program: &str, arguments: &[String]) -> Result<CommandOutput, GuestError> {
        let expected = self.0.lock().unwrap().pop_front().expect("no further run is expected");
        assert_eq!((program, arguments), (expected.program, expected.arguments.as_slice()));
        expected.result
    }

    async fn read(&self, path: &str, _: usize) -> Result<Option<Vec<u8>>, GuestError> {
        panic!("{path} is not to be read")
    }

    async fn stream(&self, path: &str, _: &mut (dyn AsyncRead + Send + Unpin)) -> Result<(), GuestError> {
        panic!("{path} is not to be written")
    }

    async fn free_disk_bytes(&self) -> Result<u64, GuestError> {
        panic!("the free space is not to be read")
    }
}

/// Returns a Windows guest that downloads by itself.
fn guest(runs: impl IntoIterator<Item = ExpectedRun>) -> AgentGuest<ScriptedChannel> {
    AgentGuest {
        channel: ScriptedChannel(Mutex::new(runs.into_iter().collect())),
        id: CloudPcId(uuid::Uuid::from_u128(7)),
        os: GuestOs::Windows,
        downloads: Downloads::Inside,
        fetcher: Fetcher::new(None).unwrap(),
        rng: Arc::new(FixedRng),
        staging: Staging { folder: PathBuf::new(), free_bytes_min: 0 },
    }
}

fn finished(guest: &AgentGuest<ScriptedChannel>) {
    assert_eq!(guest.channel.0.lock().unwrap().len(), 0, "expected runs are missing");
}

fn run_with(script: &str, arguments: &[&str], result: Result<CommandOutput, GuestError>) -> ExpectedRun {
    let (program, arguments) = (WINDOWS.command)(script, arguments);
    ExpectedRun { program, arguments, result }
}

/// Returns the run of a script that exits with a code and an output.
fn run(script: &str, arguments: &[&str], code: i64, output: &str) -> ExpectedRun {
    run_with(script, arguments, Ok(CommandOutput { code, out: output.into(), err: String::new() }))
}

#[tokio::test]
async fn a_program_runs_until_it_exits() {
    let digest = "AB".repeat(32);
    let runs = [
        run(WINDOWS.digest, &[&format!("{FOLDER}/payload")], 0, &format!("{digest}\r\n")),
        run(WINDOWS.run, &[FOLDER, r#"/quiet DIR="C:\a b" "x y""#], 0, ""),
        run(WINDOWS.poll, &[FOLDER], 0, "starting\n"),
        run(WINDOWS.poll, &[FOLDER], 0, "running\nunpacking\r\n"),
        run(WINDOWS.poll, &[FOLDER], 0, "exit 1603\nunpacking\r\nno licence\r\n"),
        run(WINDOWS.kill, &[FOLDER], 0, ""),
        run(WINDOWS.remove, &[FOLDER], 0, ""),
    ];
    let (guest, tag) = (guest(runs), Tag("action-7".into()));
    assert_eq!(guest.sha256(&tag).await, Ok([0xAB; 32]));
    let parameters = ["/quiet", r#"DIR="C:\a b""#, "x y"].map(str::to_owned);
    let exit = ProgramExit { code: 1603, output: "unpacking\r\nno licence\r\n".into() };
    assert_eq!(guest.run(&tag, &parameters).await, Ok(exit));
    guest.kill(&tag).await.unwrap();
    guest.clean(&tag).await.unwrap();
    finished(&guest);
}

#[tokio::test]
async fn failures_in_the_guest_are_reported() {
    let full = CommandOutput { code: 1, out: Vec::new(), err: "No space left on device".into() };
    let no_program = GuestError::FileNotFound("Failed to execute helper program".into());
    let guest = guest([
        run(WINDOWS.digest, &[&format!("{FOLDER}/payload")], 8, ""),
        run(WINDOWS.run, &[FOLDER, ""], 0, ""),
        run(WINDOWS.poll, &[FOLDER], 0, "lost\n"),
        run(WINDOWS.discard_run, &[FOLDER], 0, ""),
        run(WINDOWS.detect, &["exit 3", "60"], 3, "not there\r\n"),
        run_with(WINDOWS.set_hostname, &["CPC-7"], Ok(full)),
        run_with(WINDOWS.set_hostname, &["CPC-7"], Err(no_program.clone())),
    ]);
    let tag = Tag("action-7".into());
    assert!(matches!(guest.sha256(&tag).await, Err(GuestError::FileNotFound(_))));
    assert!(matches!(guest.run(&tag, &[]).await, Err(GuestError::NotReady(_))));
    assert_eq!(guest.detect("exit 3").await, Ok(ProgramExit { code: 3, output: "not there\r\n".into() }));
    assert!(matches!(guest.enrol("CPC-7").await, Err(GuestError::DiskFull(_))));
    assert_eq!(guest.enrol("CPC-7").await, Err(no_program));
    finished(&guest);
}

fn policy(allowed: &[&str]) -> FetchPolicy {
    FetchPolicy {
        allowed_urls: allowed.iter().map(|url| (*url).to_owned()).collect(),
        size_bytes_max: 9000,
        time_max: Duration::from_secs(60),
    }
}

/// Returns curl's expected command line.
fn line(bound_to: Option<&str>, url: &str) -> String {
    let bound_to = bound_to.map(|bound_to| format!("--resolve {bound_to} ")).unwrap_or_default();
    format!(
        "-q --silent --show-error --fail --noproxy * --proto =https --user-agent {} --header \"Accept-Encoding: identity\" --connect-timeout 10.000 --max-time 60.000 --speed-limit 1 --speed-time 30 \
         --write-out \"%{{http_code}} %{{time_pretransfer}} %{{redirect_url}}\" {bound_to}--globoff --url {url} --max-filesize 9000",
        crate::fetch::USER_AGENT
    )
}

#[tokio::test]
async fn the_guest_downloads_a_file() {
    let attempt = format!("{FOLDER}/download-0000000000000007");
    let (first, second) = ("https://a.test/f?x=%22", "https://b.test:8443/f");
    let download =
        |bound_to, url, output| run(WINDOWS.download, &[&attempt, "9000", &line(Some(bound_to), url)], 0, output);
    let runs = [
        run(WINDOWS.resolve, &["a.test"], 0, "10.0.0.7\r\n"),
        run(WINDOWS.begin_download, &[FOLDER, &attempt], 0, ""),
        run(WINDOWS.resolve, &["a.test"], 0, "2606:4700::1111\r\n10.0.0.7\r\n1.1.1.1\r\n"),
        download("a.test:443:[2606:4700::1111],1.1.1.1", first, &format!("0\r\n302 0.021 {second}\r\n")),
        run(WINDOWS.resolve, &["b.test"], 0, "1.1.1.1\r\n"),
        download("b.test:8443:1.1.1.1", second, "0\r\n200 0.031 \r\n"),
        run(WINDOWS.store_download, &[FOLDER, &attempt], 0, "8999\r\n"),
    ];
    let (guest, tag, url) = (guest(runs), Tag("action-7".into()), first.parse().unwrap());
    let Err(GuestError::Unreachable(why)) = guest.reach(&url, &policy(&[])).await else {
        panic!("the address is private")
    };
    assert!(why.contains("a.test does not resolve to a public address") && !why.contains("10.0.0.7"), "{why}");
    assert_eq!(guest.fetch(&tag, &url, &policy(&[])).await, Ok(8999));
    finished(&guest);
}

#[tokio::test]
async fn failures_of_a_download_in_the_guest_are_reported() {
    let attempt = format!("{FOLDER}/download-0000000000000007");
    let url = "https://a.test/f";
    let download = |code, output| {
        [
            run(WINDOWS.begin_download, &[FOLDER, &attempt], 0, ""),
            run(WINDOWS.download, &[&attempt, "9000", &line(None, url)], code, output),
        ]
    };
    let runs = [
        download(0, "22\r\n404 0.021 \r\n"),
        download(0, "63\r\n"),
        download(0, "6\r\n000 0.000 \r\n"),
        download(9, ""),
        download(1, ""),
    ];
    let attempts = runs.len();
    let (guest, tag) = (guest(runs.into_iter().flatten()), Tag("action-7".into()));
    let mut fetched = Vec::new();
    for _ in 0..attempts {
        fetched.push(guest.fetch(&tag, &url.parse().unwrap(), &policy(&[url])).await.unwrap_err());
    }
    assert!(matches!(&fetched[0], GuestError::FileNotFound(why) if why.contains("404 Not Found")), "{fetched:?}");
    assert!(matches!(&fetched[1], GuestError::FileNotFound(why) if why.contains("exceeds the limit")), "{fetched:?}");
    assert!(matches!(&fetched[2], GuestError::Unreachable(_)), "{fetched:?}");
    assert!(matches!(&fetched[3], GuestError::Driver(DriverError::Rejected { .. })), "{fetched:?}");
    assert!(matches!(&fetched[4], GuestError::Driver(DriverError::Unavailable(_))), "{fetched:?}");
    finished(&guest);
}

#[test]
fn the_longest_url_fits_on_the_command_line() {
    let url = format!("https://a.test/{}", "x".repeat(URL_BYTES_MAX - "https://a.test/".len()));
    let bound_to = format!("a.test:443:{}", ["[2606:4700:4700:4700:4700:4700:4700:1111]"; 8].join(","));
    let attempt = format!("{FOLDER}-{}/download-0000000000000007", "0".repeat(36));
    let (program, arguments) =
        (WINDOWS.command)(WINDOWS.download, &[&attempt, "1073741824", &line(Some(&bound_to), &url)]);
    let length = [program, &arguments.join(" ")].join(" ").len();
    assert!(length < COMMAND_LINE_MAX, "{length}");
}

/// Maximum length of a Windows command line, characters (`CreateProcess` documentation).
const COMMAND_LINE_MAX: usize = 32_767;

#[test]
fn every_script_parses() {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_powershell::LANGUAGE.into()).unwrap();
    let mut check = |what: &str, script: &str| {
        let tree = parser.parse(script, None).unwrap();
        assert_eq!(first_error(tree.root_node()).map(|node| node.to_string()), None, "{what}:\n{script}");
    };
    let Shell { set_hostname, make_folder, store_download, resolve, request, begin_download, download, .. } = WINDOWS;
    let Shell { digest, run, poll, discard_run, kill, remove, detect, .. } = WINDOWS;
    let scripts = [
        ("set_hostname", set_hostname),
        ("make_folder", make_folder),
        ("store_download", store_download),
        ("resolve", resolve),
        ("request", request),
        ("begin_download", begin_download),
        ("download", download),
        ("digest", digest),
        ("run", run),
        ("poll", poll),
        ("discard_run", discard_run),
        ("kill", kill),
        ("remove", remove),
        ("detect", detect),
    ];
    for (what, script) in scripts {
        let (_, arguments) = (WINDOWS.command)(script, &["it's", "a \"b\" $c `d"]);
        let utf16: Vec<u16> =
            BASE64.decode(&arguments[3]).unwrap().chunks(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
        let whole = String::from_utf16(&utf16).unwrap();
        assert!(whole.ends_with(script), "{what}");
        assert!(arguments.join(" ").len() < COMMAND_LINE_MAX / 2, "{what} must leave space for arguments");
        check(what, &whole);
    }
    let runner = RUN.split_once("@'\n").and_then(|(_, rest)| rest.split_once("\n'@")).unwrap().0;
    check("runner", runner);
}

#[test]
#[should_panic(expected = "ERROR")]
fn a_syntax_error_is_detected() {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_powershell::LANGUAGE.into()).unwrap();
    let tree = parser.parse("if ($a { exit 1 }", None).unwrap();
    assert_eq!(first_error(tree.root_node()).map(|node| node.to_string()), None);
}

fn first_error(node: Node<'_>) -> Option<Node<'_>> {
    if node.is_error() || node.is_missing() {
        return Some(node);
    }
    (0..node.child_count()).filter_map(|at| node.child(at.try_into().ok()?)).find_map(first_error)
}

#[test]
fn literals_and_command_lines_preserve_their_text() {
    assert_eq!(
        literals(&["a", "it's", "", "$x `y` \"z\"", "l’été"]),
        "$a = @('a', 'it''s', '', '$x `y` \"z\"', 'l’’été')\n"
    );
    let line =
        |parameters: &[&str]| command_line(&parameters.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
    assert_eq!(line(&[]), "");
    assert_eq!(line(&["/qn", "TOKEN=s3cret"]), "/qn TOKEN=s3cret");
    assert_eq!(line(&["DIR=\"C:\\a b\"", "two words", ""]), "DIR=\"C:\\a b\" \"two words\" \"\"");
    assert_eq!(line(&["C:\\a b\\", "C:\\c\\"]), "\"C:\\a b\\\\\" C:\\c\\");
}
