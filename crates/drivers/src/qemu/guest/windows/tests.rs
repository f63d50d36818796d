use super::*;
use crate::qemu::guest::QemuGuest;
use crate::qemu::image::Downloads;
use crate::qemu::layout::{AGENT_SOCKET, MACHINE_FILE, RUN_FOLDER};
use crate::qemu::transcript::Transcript;
use crate::qemu::wire::{LineReader, SENTINEL};
use crate::qemu::{
    AcceleratorSetting, Capacity, Images, LimitsSetting, Network, QemuDriver, QemuParts, SourceSettings,
};
use crate::{
    DriverError, FetchPolicy, Fetcher, Guest, GuestError, GuestOs, ProgramExit, SystemClock, Tag, URL_BYTES_MAX,
};
use cloudpc_model::{CloudPcId, Rng};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tree_sitter::{Node, Parser};

const FOLDER: &str = "C:/Program Files/cloudpc/action-7";

/// A random number generator that always returns the same number.
struct FixedRng;

impl Rng for FixedRng {
    fn next_u64(&self) -> u64 {
        7
    }
}

/// A guest whose agent follows a transcript.
struct ScriptedGuest {
    guest: QemuGuest,
    transcript: oneshot::Receiver<Transcript>,
    _folder: tempfile::TempDir,
}

impl ScriptedGuest {
    fn new(text: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock);
        let parts = QemuParts {
            folder: folder.path().to_owned(),
            images: Images::open(&folder.path().join("images")).unwrap(),
            sources: SourceSettings::default(),
            accelerator: AcceleratorSetting::Tcg,
            capacity: Capacity::of_host().unwrap(),
            limits: LimitsSetting::Off,
            network: Network::Closed,
            stop_time_max: Duration::from_secs(1),
            guest_silence_max: Duration::from_secs(60),
            probe_time_max: Duration::from_secs(60),
            clock,
            rng: Arc::new(FixedRng),
            fetcher: Fetcher::new(None).unwrap(),
            runtime: tokio::runtime::Handle::current(),
        };
        let host = QemuDriver::open(parts).unwrap().host;
        let id = CloudPcId(uuid::Uuid::from_u128(7));
        let machine = host.folder(id);
        std::fs::create_dir_all(machine.join(RUN_FOLDER)).unwrap();
        std::fs::write(machine.join(MACHINE_FILE), "").unwrap();
        let agent = machine.listen(AGENT_SOCKET).unwrap();
        let (playing, transcript) = oneshot::channel();
        tokio::spawn(async move {
            let (mut stream, _) = agent.accept().await.unwrap();
            let mut lines = LineReader::new(&mut stream);
            let sync = lines.receive().await.unwrap();
            lines.send_raw(&[SENTINEL]).await.unwrap();
            lines.send(&json!({ "return": sync["arguments"]["id"] })).await.unwrap();
            let _ = playing.send(Transcript::over(stream, &text));
        });
        let guest = QemuGuest { slot: host.slot(id), host, id, os: GuestOs::Windows, downloads: Downloads::Inside };
        Self { guest, transcript, _folder: folder }
    }

    async fn finished(self) {
        self.transcript.await.unwrap().finished().await;
    }
}

/// Returns the transcript of a script that is started, polled, and exits with a code and an output.
fn transcript_of(script: &str, arguments: &[&str], code: i32, output: &str) -> String {
    let (program, arguments) = (WINDOWS.command)(script, arguments);
    let begin =
        json!({ "execute": "guest-exec", "arguments": { "path": program, "arg": arguments, "capture-output": true } });
    let ask = json!({ "execute": "guest-exec-status", "arguments": { "pid": 2868 } });
    let ended = json!({ "return": { "exited": true, "exitcode": code, "out-data": BASE64.encode(output) } });
    format!(
        "> {begin}\n< {{\"return\": {{\"pid\": 2868}}}}\n> {ask}\n< {{\"return\": {{\"exited\": false}}}}\n> {ask}\n< {ended}\n"
    )
}

#[tokio::test]
async fn a_program_runs_until_it_exits() {
    let digest = "AB".repeat(32);
    let text = [
        transcript_of(WINDOWS.digest, &[&format!("{FOLDER}/payload")], 0, &format!("{digest}\r\n")),
        transcript_of(WINDOWS.run, &[FOLDER, r#"/quiet DIR="C:\a b" "x y""#], 0, ""),
        transcript_of(WINDOWS.poll, &[FOLDER], 0, "starting\n"),
        transcript_of(WINDOWS.poll, &[FOLDER], 0, "running\nunpacking\r\n"),
        transcript_of(WINDOWS.poll, &[FOLDER], 0, "exit 1603\nunpacking\r\nno licence\r\n"),
        transcript_of(WINDOWS.kill, &[FOLDER], 0, ""),
        transcript_of(WINDOWS.remove, &[FOLDER], 0, ""),
    ];
    let scripted = ScriptedGuest::new(text.concat());
    let (guest, tag) = (&scripted.guest, Tag("action-7".into()));
    assert_eq!(guest.sha256(&tag).await, Ok([0xAB; 32]));
    let parameters = ["/quiet", r#"DIR="C:\a b""#, "x y"].map(str::to_owned);
    let exit = ProgramExit { code: 1603, output: "unpacking\r\nno licence\r\n".into() };
    assert_eq!(guest.run(&tag, &parameters).await, Ok(exit));
    guest.kill(&tag).await.unwrap();
    guest.clean(&tag).await.unwrap();
    scripted.finished().await;
}

#[tokio::test]
async fn failures_in_the_guest_are_reported() {
    let full =
        json!({ "return": { "exited": true, "exitcode": 1, "err-data": BASE64.encode("No space left on device") } });
    let (program, arguments) = (WINDOWS.command)(WINDOWS.set_hostname, &["CPC-7"]);
    let begin =
        json!({ "execute": "guest-exec", "arguments": { "path": program, "arg": arguments, "capture-output": true } });
    let no_program =
        "Guest agent command failed, error was 'Failed to execute helper program (No such file or directory)'";
    let text = [
        r#"
        > {"arguments":{},"execute":"guest-get-fsinfo"}
        < {"return": [{"name": "\\\\?\\Volume{4c1b02c1}\\", "mountpoint": "System Reserved", "disk": [], "type": "NTFS"}, {"name": "\\\\?\\Volume{4c1b02c4}\\", "total-bytes": 68718428160, "used-bytes": 21474836480, "mountpoint": "C:\\", "disk": [], "type": "NTFS"}]}
        "#.to_owned(),
        transcript_of(WINDOWS.digest, &[&format!("{FOLDER}/payload")], 8, ""),
        transcript_of(WINDOWS.run, &[FOLDER, ""], 0, ""),
        transcript_of(WINDOWS.poll, &[FOLDER], 0, "lost\n"),
        transcript_of(WINDOWS.discard_run, &[FOLDER], 0, ""),
        transcript_of(WINDOWS.detect, &["exit 3", "60"], 3, "not there\r\n"),
        format!("> {begin}\n< {{\"return\": {{\"pid\": 9}}}}\n"),
        format!("> {}\n< {full}\n", json!({ "execute": "guest-exec-status", "arguments": { "pid": 9 } })),
        format!("> {begin}\n< {}\n", json!({ "error": { "class": "GenericError", "desc": no_program } })),
    ];
    let scripted = ScriptedGuest::new(text.concat());
    let (guest, tag) = (&scripted.guest, Tag("action-7".into()));
    assert_eq!(guest.free_disk_bytes().await, Ok(68_718_428_160 - 21_474_836_480));
    assert!(matches!(guest.sha256(&tag).await, Err(GuestError::FileNotFound(_))));
    assert!(matches!(guest.run(&tag, &[]).await, Err(GuestError::NotReady(_))));
    assert_eq!(guest.detect("exit 3").await, Ok(ProgramExit { code: 3, output: "not there\r\n".into() }));
    assert!(matches!(guest.enrol("CPC-7").await, Err(GuestError::DiskFull(_))));
    assert!(matches!(guest.enrol("CPC-7").await, Err(GuestError::FileNotFound(_))));
    scripted.finished().await;
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
    let download = |bound_to, url, output| {
        transcript_of(WINDOWS.download, &[&attempt, "9000", &line(Some(bound_to), url)], 0, output)
    };
    let text = [
        "> {\"arguments\":{},\"execute\":\"guest-ping\"}\n< {\"return\": {}}\n".to_owned(),
        transcript_of(WINDOWS.resolve, &["a.test"], 0, "10.0.0.7\r\n"),
        transcript_of(WINDOWS.begin_download, &[FOLDER, &attempt], 0, ""),
        transcript_of(WINDOWS.resolve, &["a.test"], 0, "2606:4700::1111\r\n10.0.0.7\r\n1.1.1.1\r\n"),
        download("a.test:443:[2606:4700::1111],1.1.1.1", first, &format!("0\r\n302 0.021 {second}\r\n")),
        transcript_of(WINDOWS.resolve, &["b.test"], 0, "1.1.1.1\r\n"),
        download("b.test:8443:1.1.1.1", second, "0\r\n200 0.031 \r\n"),
        transcript_of(WINDOWS.store_download, &[FOLDER, &attempt], 0, "8999\r\n"),
    ];
    let scripted = ScriptedGuest::new(text.concat());
    let (guest, tag, url) = (&scripted.guest, Tag("action-7".into()), first.parse().unwrap());
    let Err(GuestError::Unreachable(why)) = guest.reach(&url, &policy(&[])).await else {
        panic!("the address is private")
    };
    assert!(why.contains("a.test does not resolve to a public address") && !why.contains("10.0.0.7"), "{why}");
    assert_eq!(guest.fetch(&tag, &url, &policy(&[])).await, Ok(8999));
    scripted.finished().await;
}

#[tokio::test]
async fn failures_of_a_download_in_the_guest_are_reported() {
    let attempt = format!("{FOLDER}/download-0000000000000007");
    let url = "https://a.test/f";
    let started = transcript_of(WINDOWS.begin_download, &[FOLDER, &attempt], 0, "");
    let download = |code, output| {
        [started.clone(), transcript_of(WINDOWS.download, &[&attempt, "9000", &line(None, url)], code, output)].concat()
    };
    let text = [
        download(0, "22\r\n404 0.021 \r\n"),
        download(0, "63\r\n"),
        download(0, "6\r\n000 0.000 \r\n"),
        download(9, ""),
        download(1, ""),
    ];
    let scripted = ScriptedGuest::new(text.concat());
    let (guest, tag) = (&scripted.guest, Tag("action-7".into()));
    let mut fetched = Vec::new();
    for _ in &text {
        fetched.push(guest.fetch(&tag, &url.parse().unwrap(), &policy(&[url])).await.unwrap_err());
    }
    assert!(matches!(&fetched[0], GuestError::FileNotFound(why) if why.contains("404 Not Found")), "{fetched:?}");
    assert!(matches!(&fetched[1], GuestError::FileNotFound(why) if why.contains("exceeds the limit")), "{fetched:?}");
    assert!(matches!(&fetched[2], GuestError::Unreachable(_)), "{fetched:?}");
    assert!(matches!(&fetched[3], GuestError::Driver(DriverError::Rejected { .. })), "{fetched:?}");
    assert!(matches!(&fetched[4], GuestError::Driver(DriverError::Unavailable(_))), "{fetched:?}");
    scripted.finished().await;
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
