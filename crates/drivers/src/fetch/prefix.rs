//! Matches URLs against the prefixes of an allow-list.

use url::Url;

/// Escapes that some servers decode to a slash, backslash or dot, or decode twice.
const AMBIGUOUS: [&str; 4] = ["%2f", "%5c", "%2e", "%25"];

/// Returns whether the prefix `allowed` covers `url`: scheme, host and port are equal, and the path
/// is the prefix's path or below it, by whole segments.
///
/// Both are compared as parsed: `..`, its encoded forms and backslashes are resolved, and host
/// names are in lower case.
pub fn covers(allowed: &str, url: &Url) -> bool {
    let Ok(allowed) = Url::parse(allowed) else { return false };
    let plain = allowed.username().is_empty()
        && allowed.password().is_none()
        && allowed.query().is_none()
        && allowed.fragment().is_none();
    let same_host = allowed.scheme() == url.scheme()
        && allowed.host() == url.host()
        && allowed.port_or_known_default() == url.port_or_known_default();
    plain && allowed.has_host() && same_host && path_covers(allowed.path(), url.path())
}

fn path_covers(allowed: &str, path: &str) -> bool {
    if allowed == "/" {
        return true;
    }
    let lower = path.to_ascii_lowercase();
    if AMBIGUOUS.iter().any(|spelling| lower.contains(spelling)) {
        return false;
    }
    match path.strip_prefix(allowed) {
        Some(rest) => rest.is_empty() || allowed.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_whole_segments_of_the_same_host() {
        let table = [
            (
                "https://a.test",
                &["https://a.test/", "https://a.test/x", "https://A.TEST:443/x?q#f", "https://a.test/%2e%2e/%2f"][..],
                &[
                    "http://a.test/",
                    "https://a.test:8443/",
                    "https://a.test.evil/",
                    "https://b.a.test/",
                    "https://a.test@evil.test/",
                    "https://a.test./",
                    "https://evil.test/https://a.test/",
                ][..],
            ),
            (
                "https://a.test/x",
                &[
                    "https://a.test/x",
                    "https://a.test/x/",
                    "https://a.test/x/y",
                    "https://a.test/x?q",
                    "https://a.test/z/../x/y",
                    "https://a.test\\x\\y",
                    "https://a.test/x/%41",
                ],
                &[
                    "https://a.test/",
                    "https://a.test/xy",
                    "https://a.test/X",
                    "https://a.test/x/../y",
                    "https://a.test/x/%2e%2e/y",
                    "https://a.test/x/..%2fy",
                    "https://a.test/x/..%5Cy",
                    "https://a.test/x/.%2E/y",
                    "https://a.test/x/%252e%252e/y",
                    "https://a.test/x%2fy",
                    "https://a.test//x",
                ],
            ),
            (
                "https://a.test/x/",
                &["https://a.test/x/", "https://a.test/x/y"],
                &["https://a.test/x", "https://a.test/xy/", "https://a.test/x/../"],
            ),
            (
                "http://127.0.0.1:8080/",
                &["http://127.0.0.1:8080/f", "http://127.1:8080/f", "http://0x7f000001:8080/"],
                &["http://127.0.0.1/f", "http://127.0.0.2:8080/f", "https://127.0.0.1:8080/f"],
            ),
            ("http://[::1]/", &["http://[0:0::1]/f"], &["http://[::ffff:0:1]/f"]),
            ("https://bücher.test/", &["https://xn--bcher-kva.test/f"], &["https://bucher.test/f"]),
            ("https://u@a.test/", &[], &["https://a.test/"]),
            ("https://a.test/?q", &[], &["https://a.test/?q", "https://a.test/"]),
            ("https://a.test/#f", &[], &["https://a.test/#f"]),
            ("a.test/", &[], &["https://a.test/"]),
            ("", &[], &["https://a.test/"]),
            ("https://", &[], &["https://a.test/"]),
            ("data:", &[], &["data:x"]),
            ("file:///", &[], &["file:///etc/passwd"]),
        ];
        for (prefix, covered, not_covered) in table {
            for url in covered {
                assert!(covers(prefix, &Url::parse(url).unwrap()), "{prefix} covers {url}");
            }
            for url in not_covered {
                assert!(!covers(prefix, &Url::parse(url).unwrap()), "{prefix} does not cover {url}");
            }
        }
    }
}
