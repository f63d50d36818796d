//! Downloads by the guest itself, over its own network, with curl.
//!
//! The service decides on every URL, as it does for its own downloads: curl requests one URL,
//! follows no redirect, and is given the next. Names are resolved in the guest, because its network
//! is the one used; where only public addresses are allowed, curl is bound to the addresses found,
//! so that the name cannot change between check and connection. The guest's own proxy and curl
//! settings are ignored. The guest's own certificate authorities apply.
//!
//! This module must not depend on processes and files of the guest: these are the job of the
//! scripts of its [`Shell`](super::shell::Shell).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::time::timeout;
use url::{Host, Url};

use super::agent_guest::AgentGuest;
use super::channel::{AgentChannel, CommandOutput, unexpected_response};
use super::shell::{NO_PROGRAM, TOO_LARGE};
use crate::fetch::{CONNECT_TIME_MAX, FetchRoute, HostScope, RouteStep, STALL_TIME_MAX, USER_AGENT, too_slow};
use crate::{DriverError, FetchPolicy, GuestError, Tag};

/// The output format of curl: the status of the response, the time after which the request could be
/// sent, and the redirect's target.
const WRITE_OUT: &str = "%{http_code} %{time_pretransfer} %{redirect_url}";

/// The result of a curl run.
#[derive(Debug, PartialEq)]
struct CurlResult {
    /// The exit code, as listed in `curl(1)`.
    code: i32,
    /// The status of the response, if there was one.
    status: Option<u16>,
    /// Whether a connection was established.
    connected: bool,
    /// The target of a redirect.
    location: Option<String>,
    /// The error message of curl.
    why: String,
}

impl<C: AgentChannel> AgentGuest<C> {
    pub(super) async fn reach_inside(&self, url: &Url, policy: &FetchPolicy) -> Result<(), GuestError> {
        let route = FetchRoute::from(url, policy).map_err(GuestError::Unreachable)?;
        let limit = CONNECT_TIME_MAX.min(policy.time_max);
        let result = async {
            let bound_to = self.bound_to(&route).await?;
            // Sends HEAD to the server root, never to the file's URL.
            let root = route.url().join("/").expect("a checked address has a host");
            let mut arguments = arguments(&root, bound_to, limit);
            arguments.extend(["--head", "--output", self.shell().null].map(str::to_owned));
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            self.curl_result(&self.script(self.shell().request, &arguments).await?)
        };
        // Resolving the name may take as long as connecting.
        match timeout(2 * limit, result).await {
            Ok(Ok(result)) if result.connected || result.is_distrust() => Ok(()),
            Ok(Ok(result)) => Err(result.error(&route, policy)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(route.unreachable("the connection timed out")),
        }
    }

    pub(super) async fn fetch_inside(&self, tag: &Tag, url: &Url, policy: &FetchPolicy) -> Result<u64, GuestError> {
        let fetched = timeout(policy.time_max, self.follow(tag, url, policy)).await;
        fetched.unwrap_or_else(|_| Err(too_slow(url, policy)))
    }

    async fn follow(&self, tag: &Tag, url: &Url, policy: &FetchPolicy) -> Result<u64, GuestError> {
        let mut route = FetchRoute::from(url, policy).map_err(GuestError::FileNotFound)?;
        let folder = self.folder(tag);
        let attempt = format!("{folder}/download-{:016x}", self.rng.next_u64());
        let output = self.script(self.shell().begin_download, &[&folder, &attempt]).await?;
        self.require_success("creating a folder failed", &output)?;
        loop {
            let result = self.download(&attempt, &route, policy).await?;
            // An error status takes precedence over curl's own error.
            let step = result.status.map(|status| route.follow(status, result.location.as_deref())).transpose()?;
            match (step, result.code) {
                (Some(RouteStep::File), 0) => break,
                (Some(RouteStep::Redirect), _) => {}
                _ => return Err(result.error(&route, policy)),
            }
        }
        self.store_download(&folder, &attempt).await
    }

    /// Requests the current URL of the route.
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
        let arguments: Vec<_> = [attempt, &size_max].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        self.curl_result(&self.script(self.shell().download, &arguments).await?)
    }

    /// Returns the addresses that curl is bound to, in the format of `--resolve`; none if curl may
    /// resolve the host itself.
    async fn bound_to(&self, route: &FetchRoute<'_>) -> Result<Option<String>, GuestError> {
        let (HostScope::Public, Some(Host::Domain(name))) = (route.scope(), route.url().host()) else {
            return Ok(None);
        };
        let port = route.url().port_or_known_default().expect("http and https have a default port");
        let output = self.script(self.shell().resolve, &[name]).await?;
        self.require_programs("resolving the name failed", &output)?;
        let all = addresses(&String::from_utf8_lossy(&output.out), port);
        let allowed = route.scope().allowed(name, &all).map_err(|why| route.unreachable(&why))?;
        let allowed: Vec<_> = allowed.iter().map(|at| bracketed(at.ip())).collect();
        Ok(Some(format!("{name}:{port}:{}", allowed.join(","))))
    }

    fn curl_result(&self, output: &CommandOutput) -> Result<CurlResult, GuestError> {
        self.require_programs("running curl failed", output)?;
        let text = String::from_utf8_lossy(&output.out);
        CurlResult::parse(&text, &output.err).ok_or_else(|| unexpected_response("curl", &text.into_owned().into()))
    }

    fn require_programs(&self, what: &str, output: &CommandOutput) -> Result<(), GuestError> {
        if output.code != NO_PROGRAM {
            return self.require_success(what, output);
        }
        let message = format!(
            "the guest's image is set to download inside the guest, but the guest has no {}; install it in the guest, or import the image with --downloads pushed",
            output.err
        );
        Err(DriverError::Rejected { code: "guestLacksProgram".into(), message }.into())
    }
}

/// Returns the arguments of one request.
fn arguments(url: &Url, bound_to: Option<String>, time_max: Duration) -> Vec<String> {
    let seconds = |limit: Duration| format!("{:.3}", limit.as_secs_f64());
    // This option is effective only as the first: it ignores the user's curl settings.
    let mut arguments = vec!["-q".to_owned(), "--silent".into(), "--show-error".into(), "--fail".into()];
    let options = [
        ("--noproxy", "*".into()),
        ("--proto", format!("={}", url.scheme())),
        ("--user-agent", USER_AGENT.into()),
        // The file must be stored as served.
        ("--header", "Accept-Encoding: identity".into()),
        ("--connect-timeout", seconds(CONNECT_TIME_MAX.min(time_max))),
        ("--max-time", seconds(time_max)),
        // Aborts a transfer that is slower than one byte a second for this long; curl accepts only
        // whole seconds here.
        ("--speed-limit", "1".into()),
        ("--speed-time", STALL_TIME_MAX.as_secs().to_string()),
        ("--write-out", WRITE_OUT.into()),
    ];
    let bound_to = bound_to.map(|bound_to| ("--resolve", bound_to));
    for (name, value) in options.into_iter().chain(bound_to) {
        arguments.extend([name.to_owned(), value]);
    }
    // Brackets and braces are part of the URL.
    arguments.extend(["--globoff".to_owned(), "--url".into(), url.as_str().into()]);
    arguments
}

/// Returns the addresses at the start of lines. Anything else is skipped, such as a scoped address,
/// which is valid on only one of the guest's networks.
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
    /// Parses the output of a curl script: the exit code and, on the next line, [`WRITE_OUT`]. The
    /// second line is missing if curl was killed.
    fn parse(text: &str, err: &str) -> Option<Self> {
        let (code, output) = text.split_once('\n').unwrap_or((text, ""));
        let mut output = output.trim().splitn(3, ' ');
        let status = output.next().and_then(|status| status.parse().ok()).filter(|status| *status != 0);
        let connected =
            output.next().and_then(|seconds| seconds.parse::<f64>().ok()).is_some_and(|seconds| seconds > 0.0);
        let location = output.next().filter(|location| !location.is_empty()).map(str::to_owned);
        // The first line is the message, as in `curl: (6) Could not resolve host: a.test`; the
        // others point to documentation.
        let line = err.lines().next().unwrap_or_default();
        let why = line.strip_prefix("curl: (").and_then(|line| line.split_once(") ")).map_or(line, |(_, why)| why);
        Some(Self { code: code.trim().parse().ok()?, status, connected, location, why: why.to_owned() })
    }

    /// Returns whether the connection failed because of certificates or their verification.
    fn is_distrust(&self) -> bool {
        matches!(self.code, 35 | 51 | 53 | 54 | 58..=60 | 66 | 77 | 80 | 82 | 83 | 90 | 91)
    }

    /// Converts a failed result.
    fn error(&self, route: &FetchRoute<'_>, policy: &FetchPolicy) -> GuestError {
        match self.code {
            // Name resolution and connection.
            5..=7 => route.unreachable(&self.why),
            _ if self.is_distrust() => route.unreachable(&self.why),
            28 if !self.connected => route.unreachable(&self.why),
            28 if self.why.starts_with("Operation too slow") => route.stalled(STALL_TIME_MAX),
            28 => too_slow(route.url(), policy),
            23 => GuestError::DiskFull(format!("the guest's disk cannot store the file: {}", self.why)),
            TOO_LARGE => route.too_large(),
            // The server's response is invalid or incomplete.
            1 | 8 | 16 | 18 | 43 | 52 | 55 | 56 | 61 | 92 | 95 | 96 => route.interrupted(&self.why),
            code => DriverError::Unavailable(format!("in the guest: curl failed with exit code {code}: {}", self.why))
                .into(),
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
    fn a_url_is_never_an_option_and_is_not_globbed() {
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
    fn addresses_are_the_first_words_of_lines() {
        // The output formats of getent and PowerShell.
        let output = "1.1.1.1         STREAM a.test\n1.1.1.1         DGRAM  \n2606:4700::1111 STREAM \nfe80::1%eth0\r\n\r\nfd00::1\r\n";
        let found: Vec<_> = addresses(output, 443).iter().map(|at| bracketed(at.ip())).collect();
        assert_eq!(found, ["1.1.1.1", "[2606:4700::1111]", "[fd00::1]"]);
    }

    #[test]
    fn curl_output_is_parsed() {
        let result = |code, status, connected, location: Option<&str>, why: &str| {
            Some(CurlResult { code, status, connected, location: location.map(str::to_owned), why: why.into() })
        };
        assert_eq!(CurlResult::parse("0\n200 0.031415 \n", ""), result(0, Some(200), true, None, ""));
        // The output of Windows; and a URL with a space, as curl prints it.
        let to = "https://b.test/a b";
        assert_eq!(CurlResult::parse(&format!("0\r\n302 0.01 {to}\r\n"), ""), result(0, Some(302), true, Some(to), ""));
        let err = "curl: (60) SSL certificate problem: self-signed certificate\nMore details here: https://curl.se/docs/sslcerts.html";
        let why = "SSL certificate problem: self-signed certificate";
        assert_eq!(CurlResult::parse("60\n000 0.000000 \n", err), result(60, None, false, None, why));
        assert_eq!(CurlResult::parse("63\r\n", ""), result(63, None, false, None, ""), "curl was killed");
        assert_eq!(CurlResult::parse("", "curl: not found"), None);
    }

    #[test]
    fn curl_errors_read_like_those_of_the_service() {
        let policy = FetchPolicy {
            allowed_urls: vec!["http://a.test/".into()],
            size_bytes_max: 9,
            time_max: Duration::from_secs(5),
        };
        let route = FetchRoute::from(&url("http://a.test/f?secret"), &policy).unwrap();
        let error = |code, connected| {
            let result = CurlResult { code, status: None, connected, location: None, why: "why".into() };
            result.error(&route, &policy)
        };
        let unreachable = GuestError::Unreachable("http://a.test/f cannot be reached: why".into());
        for code in [6, 7, 28, 35, 60, 77] {
            assert_eq!(error(code, false), unreachable, "{code}");
        }
        for code in [1, 18, 52, 56, 92] {
            let interrupted = GuestError::FileNotFound("downloading http://a.test/f failed: why".into());
            assert_eq!(error(code, true), interrupted, "{code}");
        }
        let timed_out = GuestError::FileNotFound("http://a.test/f timed out after 5 seconds".into());
        assert_eq!(error(28, true), timed_out);
        let why = "Operation too slow. Less than 1 bytes/sec transferred the last 30 seconds".into();
        let stalled = CurlResult { code: 28, status: Some(200), connected: true, location: None, why };
        let output = "downloading http://a.test/f failed: the server sent nothing for 30 seconds";
        assert_eq!(stalled.error(&route, &policy), GuestError::FileNotFound(output.into()));
        let large = GuestError::FileNotFound("http://a.test/f exceeds the limit of 9 bytes".into());
        assert_eq!(error(TOO_LARGE, true), large);
        assert!(matches!(error(23, true), GuestError::DiskFull(_)));
        // Unknown options, missing libraries, killed by the kernel for lack of memory.
        for code in [2, 127, 137] {
            assert!(matches!(error(code, false), GuestError::Driver(DriverError::Unavailable(_))), "{code}");
        }
    }
}
