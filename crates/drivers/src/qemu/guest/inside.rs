//! Downloads by a guest itself, over its own network, with curl.
//!
//! Every address is decided on by us, as it is when we download ourselves: curl is told to ask one,
//! follows nothing, and is told the next. A name is looked up inside, for it is the guest's network
//! that is asked; where only public addresses may be asked, curl is bound to those that were found,
//! so that the name cannot point elsewhere between the check and the connection. What a guest's own
//! settings say of proxies and curl is not heeded. Whom it trusts to vouch for a server is its own
//! matter.
//!
//! This module refuses to know processes and files of the guest: that is for the scripts of its
//! [`Shell`](super::shell::Shell).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::time::timeout;
use url::{Host, Url};

use super::shell::{NO_PROGRAM, TOO_LARGE};
use super::{CommandOutput, QemuGuest};
use crate::fetch::{CONNECT_TIME_MAX, FetchRoute, HostScope, RouteStep, STALL_TIME_MAX, USER_AGENT, too_slow};
use crate::{DriverError, FetchPolicy, GuestError, Tag};

/// What curl prints when it has ended: the status of the answer, the time after which the request
/// could be sent, and where the answer leads.
const TOLD: &str = "%{http_code} %{time_pretransfer} %{redirect_url}";

/// How curl has ended.
#[derive(Debug, PartialEq)]
struct CurlResult {
    /// Its exit code, as `curl(1)` lists them.
    code: i32,
    /// The status of the answer, if there was one.
    status: Option<u16>,
    /// Whether there was a connection to ask over.
    connected: bool,
    /// Where a redirect leads.
    location: Option<String>,
    /// What it has said about its trouble.
    why: String,
}

impl QemuGuest {
    pub(super) async fn reach_inside(&self, url: &Url, policy: &FetchPolicy) -> Result<(), GuestError> {
        let route = FetchRoute::from(url, policy).map_err(GuestError::Unreachable)?;
        let limit = CONNECT_TIME_MAX.min(policy.time_max);
        let asked = async {
            let bound_to = self.bound_to(&route).await?;
            // Nobody is asked for the file itself, nor told its whole address, only to see that he
            // is there.
            let root = route.url().join("/").expect("a checked address has a host");
            let mut arguments = arguments(&root, bound_to, limit);
            arguments.extend(["--head", "--output", self.shell().null].map(str::to_owned));
            let words: Vec<_> = arguments.iter().map(String::as_str).collect();
            self.asked(&self.script(self.shell().ask, &words).await?)
        };
        // Looking the name up may take as long as connecting.
        match timeout(2 * limit, asked).await {
            Ok(Ok(asked)) if asked.connected || asked.is_distrust() => Ok(()),
            Ok(Ok(asked)) => Err(asked.condition(&route, policy)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(route.unreachable("no answer in time")),
        }
    }

    pub(super) async fn fetch_inside(&self, tag: &Tag, url: &Url, policy: &FetchPolicy) -> Result<u64, GuestError> {
        let fetched = timeout(policy.time_max, self.follow(tag, url, policy)).await;
        fetched.unwrap_or_else(|_| Err(too_slow(url, policy)))
    }

    async fn follow(&self, tag: &Tag, url: &Url, policy: &FetchPolicy) -> Result<u64, GuestError> {
        let mut route = FetchRoute::from(url, policy).map_err(GuestError::FileNotFound)?;
        let folder = self.folder(tag);
        let attempt = format!("{folder}/download-{:016x}", self.host.parts.rng.next_u64());
        let said = self.script(self.shell().begin_download, &[&folder, &attempt]).await?;
        self.must_be_zero("a folder cannot be made", &said)?;
        loop {
            let asked = self.download(&attempt, &route, policy).await?;
            // An error that the server tells is told rather than what curl makes of it.
            let answer = asked.status.map(|status| route.answered(status, asked.location.as_deref())).transpose()?;
            match (answer, asked.code) {
                (Some(RouteStep::File), 0) => break,
                (Some(RouteStep::Redirect), _) => {}
                _ => return Err(asked.condition(&route, policy)),
            }
        }
        self.keep(&folder, &attempt).await
    }

    /// Asks for the file at the address where the route is.
    async fn download(
        &self,
        attempt: &str,
        route: &FetchRoute<'_>,
        policy: &FetchPolicy,
    ) -> Result<CurlResult, GuestError> {
        let size_max = policy.size_bytes_max.to_string();
        let mut arguments = arguments(route.url(), self.bound_to(route).await?, policy.time_max);
        arguments.extend(["--max-filesize".to_owned(), size_max.clone()]);
        let arguments = (self.shell().program_arguments)(&arguments);
        let words: Vec<_> = [attempt, &size_max].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        self.asked(&self.script(self.shell().download, &words).await?)
    }

    /// The addresses that curl is bound to, as its `--resolve` takes them; none if it may look the
    /// host up by itself.
    async fn bound_to(&self, route: &FetchRoute<'_>) -> Result<Option<String>, GuestError> {
        let (HostScope::Public, Some(Host::Domain(name))) = (route.whereabouts(), route.url().host()) else {
            return Ok(None);
        };
        let port = route.url().port_or_known_default().expect("http and https have a default port");
        let said = self.script(self.shell().resolve, &[name]).await?;
        self.must_have_run("a name cannot be looked up", &said)?;
        let all = addresses(&String::from_utf8_lossy(&said.out), port);
        let allowed = route.whereabouts().allowed(name, &all).map_err(|why| route.unreachable(&why))?;
        let allowed: Vec<_> = allowed.iter().map(|at| bracketed(at.ip())).collect();
        Ok(Some(format!("{name}:{port}:{}", allowed.join(","))))
    }

    fn asked(&self, said: &CommandOutput) -> Result<CurlResult, GuestError> {
        self.must_have_run("curl cannot be run", said)?;
        let text = String::from_utf8_lossy(&said.out);
        CurlResult::parse(&text, &said.err).ok_or_else(|| self.not_understood("curl", &text.into_owned().into()))
    }

    fn must_have_run(&self, what: &str, said: &CommandOutput) -> Result<(), GuestError> {
        if said.code != NO_PROGRAM {
            return self.must_be_zero(what, said);
        }
        let message = format!(
            "the guest is to download by itself and has no {}; install it there, or import its image with --downloads pushed",
            said.err
        );
        Err(DriverError::Rejected { code: "guestLacksProgram".into(), message }.into())
    }
}

/// The arguments for one request.
fn arguments(url: &Url, bound_to: Option<String>, time_max: Duration) -> Vec<String> {
    let seconds = |limit: Duration| format!("{:.3}", limit.as_secs_f64());
    // Only as the first is this one heeded: no settings of whoever runs curl.
    let mut arguments = vec!["-q".to_owned(), "--silent".into(), "--show-error".into(), "--fail".into()];
    let options = [
        ("--noproxy", "*".into()),
        ("--proto", format!("={}", url.scheme())),
        ("--user-agent", USER_AGENT.into()),
        // A file is taken as it is served.
        ("--header", "Accept-Encoding: identity".into()),
        ("--connect-timeout", seconds(CONNECT_TIME_MAX.min(time_max))),
        ("--max-time", seconds(time_max)),
        // Ends a transfer that has brought less than one byte a second for this long; curl takes
        // whole seconds here.
        ("--speed-limit", "1".into()),
        ("--speed-time", STALL_TIME_MAX.as_secs().to_string()),
        ("--write-out", TOLD.into()),
    ];
    let bound_to = bound_to.map(|bound_to| ("--resolve", bound_to));
    for (name, value) in options.into_iter().chain(bound_to) {
        arguments.extend([name.to_owned(), value]);
    }
    // Brackets and braces are part of the address.
    arguments.extend(["--globoff".to_owned(), "--url".into(), url.as_str().into()]);
    arguments
}

/// The addresses that are the first words of lines. What is none, such as one that counts only on
/// one of the guest's networks, is left out.
fn addresses(text: &str, port: u16) -> Vec<SocketAddr> {
    let first_words = text.lines().filter_map(|line| line.split_whitespace().next());
    let mut addresses = Vec::new();
    for address in first_words.filter_map(|word| word.parse::<IpAddr>().ok()) {
        let address = SocketAddr::new(address, port);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

impl CurlResult {
    /// Reads what a script prints of curl: its exit code and, on the next line, [`TOLD`]. The
    /// latter is not there if curl was ended.
    fn parse(text: &str, err: &str) -> Option<Self> {
        let (code, told) = text.split_once('\n').unwrap_or((text, ""));
        let mut told = told.trim().splitn(3, ' ');
        let status = told.next().and_then(|status| status.parse().ok()).filter(|status| *status != 0);
        let connected =
            told.next().and_then(|seconds| seconds.parse::<f64>().ok()).is_some_and(|seconds| seconds > 0.0);
        let location = told.next().filter(|location| !location.is_empty()).map(str::to_owned);
        // The first line says what, as in `curl: (6) Could not resolve host: a.test`, and others
        // what to read about it.
        let line = err.lines().next().unwrap_or_default();
        let why = line.strip_prefix("curl: (").and_then(|line| line.split_once(") ")).map_or(line, |(_, why)| why);
        Some(Self { code: code.trim().parse().ok()?, status, connected, location, why: why.to_owned() })
    }

    /// Whether there was a connection, but none that could be trusted: it is about certificates and
    /// what they are checked against.
    fn is_distrust(&self) -> bool {
        matches!(self.code, 35 | 51 | 53 | 54 | 58..=60 | 66 | 77 | 80 | 82 | 83 | 90 | 91)
    }

    /// What its end means, which was no good one.
    fn condition(&self, route: &FetchRoute<'_>, policy: &FetchPolicy) -> GuestError {
        match self.code {
            // The name and the connection.
            5..=7 => route.unreachable(&self.why),
            _ if self.is_distrust() => route.unreachable(&self.why),
            28 if !self.connected => route.unreachable(&self.why),
            28 if self.why.starts_with("Operation too slow") => route.stalled(STALL_TIME_MAX),
            28 => too_slow(route.url(), policy),
            23 => GuestError::DiskFull(format!("the guest's disk does not take the file: {}", self.why)),
            TOO_LARGE => route.too_large(),
            // What the server says is no answer, or a part of one.
            1 | 8 | 16 | 18 | 43 | 52 | 55 | 56 | 61 | 92 | 95 | 96 => route.undelivered(&self.why),
            code => DriverError::Unavailable(format!("in the guest: curl ended with {code}: {}", self.why)).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_no_option_and_its_brackets_are_its_own() {
        let bound_to = Some("a.test:443:1.1.1.1".to_owned());
        let arguments =
            arguments(&url("https://a.test/[1-3]{a}?--output=/etc/passwd"), bound_to, Duration::from_millis(2500));
        insta::assert_snapshot!(arguments.join("\n").replace(USER_AGENT, "USER_AGENT"), @r"
        -q
        --silent
        --show-error
        --fail
        --noproxy
        *
        --proto
        =https
        --user-agent
        USER_AGENT
        --header
        Accept-Encoding: identity
        --connect-timeout
        2.500
        --max-time
        2.500
        --speed-limit
        1
        --speed-time
        30
        --write-out
        %{http_code} %{time_pretransfer} %{redirect_url}
        --resolve
        a.test:443:1.1.1.1
        --globoff
        --url
        https://a.test/[1-3]%7Ba%7D?--output=/etc/passwd
        ");
    }

    #[test]
    fn addresses_are_the_first_words() {
        // As getent prints them, and as PowerShell does.
        let told = "1.1.1.1         STREAM a.test\n1.1.1.1         DGRAM  \n2606:4700::1111 STREAM \nfe80::1%eth0\r\n\r\nfd00::1\r\n";
        let found: Vec<_> = addresses(told, 443).iter().map(|at| bracketed(at.ip())).collect();
        assert_eq!(found, ["1.1.1.1", "[2606:4700::1111]", "[fd00::1]"]);
    }

    #[test]
    fn what_curl_prints_is_read() {
        let asked = |code, status, connected, location: Option<&str>, why: &str| {
            Some(CurlResult { code, status, connected, location: location.map(str::to_owned), why: why.into() })
        };
        assert_eq!(CurlResult::parse("0\n200 0.031415 \n", ""), asked(0, Some(200), true, None, ""));
        // From Windows; and an address with a blank, as curl passes it on.
        let to = "https://b.test/a b";
        assert_eq!(CurlResult::parse(&format!("0\r\n302 0.01 {to}\r\n"), ""), asked(0, Some(302), true, Some(to), ""));
        let err = "curl: (60) SSL certificate problem: self-signed certificate\nMore details here: https://curl.se/docs/sslcerts.html";
        let why = "SSL certificate problem: self-signed certificate";
        assert_eq!(CurlResult::parse("60\n000 0.000000 \n", err), asked(60, None, false, None, why));
        assert_eq!(CurlResult::parse("63\r\n", ""), asked(63, None, false, None, ""), "it was ended");
        assert_eq!(CurlResult::parse("", "curl: not found"), None);
    }

    #[test]
    fn how_curl_ends_is_told_as_our_own_downloads_tell_it() {
        let policy = FetchPolicy {
            allowed_urls: vec!["http://a.test/".into()],
            size_bytes_max: 9,
            time_max: Duration::from_secs(5),
        };
        let route = FetchRoute::from(&url("http://a.test/f?secret"), &policy).unwrap();
        let condition = |code, connected| {
            let asked = CurlResult { code, status: None, connected, location: None, why: "why".into() };
            asked.condition(&route, &policy)
        };
        let unreachable = GuestError::Unreachable("http://a.test/f cannot be reached: why".into());
        for code in [6, 7, 28, 35, 60, 77] {
            assert_eq!(condition(code, false), unreachable, "{code}");
        }
        for code in [1, 18, 52, 56, 92] {
            let undelivered = GuestError::FileNotFound("http://a.test/f was not delivered: why".into());
            assert_eq!(condition(code, true), undelivered, "{code}");
        }
        let late = GuestError::FileNotFound("http://a.test/f was not delivered within 5 seconds".into());
        assert_eq!(condition(28, true), late);
        let why = "Operation too slow. Less than 1 bytes/sec transferred the last 30 seconds".into();
        let stalled = CurlResult { code: 28, status: Some(200), connected: true, location: None, why };
        let told = "http://a.test/f was not delivered: the server sent nothing for 30 seconds";
        assert_eq!(stalled.condition(&route, &policy), GuestError::FileNotFound(told.into()));
        let large = GuestError::FileNotFound("http://a.test/f is larger than the 9 bytes that are taken".into());
        assert_eq!(condition(TOO_LARGE, true), large);
        assert!(matches!(condition(23, true), GuestError::DiskFull(_)));
        // Options that it does not know, libraries that it misses, an end by the kernel for want of
        // memory.
        for code in [2, 127, 137] {
            assert!(matches!(condition(code, false), GuestError::Driver(DriverError::Unavailable(_))), "{code}");
        }
    }
}
