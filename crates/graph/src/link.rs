//! `@odata.nextLink` and its token, which is signed so that forged and foreign tokens are rejected.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::GraphError;
use crate::options::{is_option, pairs};

/// Maximum length of a token to be verified, bytes; issued tokens are far shorter.
pub const TOKEN_BYTES_MAX: usize = 2048;

/// Length of a token's signature: half of SHA-256, which still takes 2^128 attempts to guess.
const SIGNATURE_BYTES: usize = 16;

/// Signs and verifies skip tokens with a key of the installation.
#[derive(Clone)]
pub struct LinkSigner {
    keyed: Hmac<Sha256>,
}

impl LinkSigner {
    /// Returns a signer with this key.
    pub fn new(key: &[u8]) -> Self {
        Self { keyed: Hmac::new_from_slice(key).expect("HMAC takes keys of any length") }
    }

    /// Returns a token that holds `position` and is valid only with `binding` (tenant, path,
    /// filter…), which it does not hold.
    ///
    /// The token is the signature and the position in base64url: its holder can read the position,
    /// but not forge another.
    pub fn sign(&self, binding: &str, position: &str) -> String {
        let signature = self.mac(binding, position.as_bytes()).finalize().into_bytes();
        let mut token = signature[..SIGNATURE_BYTES].to_vec();
        token.extend_from_slice(position.as_bytes());
        URL_SAFE_NO_PAD.encode(token)
    }

    /// Returns the position of a valid token.
    ///
    /// # Errors
    /// 400 if the token was not issued here for this `binding`.
    pub fn verify(&self, binding: &str, token: &str) -> Result<String, GraphError> {
        self.verify_in(binding, token, "$skiptoken", "@odata.nextLink")
    }

    /// Returns the position of a valid token of a delta link.
    ///
    /// # Errors
    /// 400 if the token was not issued here for this `binding`.
    pub fn verify_delta(&self, binding: &str, token: &str) -> Result<String, GraphError> {
        self.verify_in(binding, token, "$deltatoken", "@odata.deltaLink")
    }

    fn verify_in(&self, binding: &str, token: &str, option: &str, link: &str) -> Result<String, GraphError> {
        self.position(binding, token).ok_or_else(|| {
            let message =
                format!("The {option} was not issued by this service for this request. Follow {link} unchanged.");
            GraphError::bad_request(message).about(option)
        })
    }

    fn position(&self, binding: &str, token: &str) -> Option<String> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (signature, position) = bytes.split_at_checked(SIGNATURE_BYTES)?;
        self.mac(binding, position).verify_truncated_left(signature).ok()?;
        String::from_utf8(position.to_vec()).ok()
    }

    /// The length prefix separates binding and position.
    fn mac(&self, binding: &str, position: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        mac.update(&(binding.len() as u64).to_be_bytes());
        mac.update(binding.as_bytes());
        mac.update(position);
        mac
    }
}

/// Returns the absolute URL of the next page: `address` (scheme, host and path of this request, as
/// sent) with every option of `query`, and the token in place of `$skiptoken` and `$skip`.
pub fn next_link(address: &str, query: &str, token: &str) -> String {
    link(address, query, "skiptoken", token)
}

/// Returns the absolute URL of what changes from now on: like [`next_link`], with the token in
/// `$deltatoken`.
pub fn delta_link(address: &str, query: &str, token: &str) -> String {
    link(address, query, "deltatoken", token)
}

fn link(address: &str, query: &str, option: &str, token: &str) -> String {
    let mut link = String::with_capacity(address.len() + query.len() + token.len() + 16);
    link.push_str(address);
    link.push('?');
    for (name, value) in pairs(query) {
        if ["skiptoken", "deltatoken", "skip"].iter().any(|old| is_option(name, old)) {
            continue;
        }
        link.push_str(name);
        link.push('=');
        link.push_str(value);
        link.push('&');
    }
    link.push('$');
    link.push_str(option);
    link.push('=');
    link.push_str(token);
    link
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> LinkSigner {
        LinkSigner::new(b"a key of this installation")
    }

    #[test]
    fn token_round_trips_its_position() {
        let token = signer().sign("tenant/path", "2025-01-01|42");
        assert_eq!(signer().verify("tenant/path", &token), Ok("2025-01-01|42".into()));
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'), "{token}");
    }

    #[test]
    fn foreign_and_forged_tokens_are_rejected() {
        let token = signer().sign("tenant/path", "42");
        let mut flipped = token.clone().into_bytes();
        flipped[0] = if flipped[0] == b'A' { b'B' } else { b'A' };
        let refused = [
            (signer(), "other/path", token.clone()),
            (signer(), "tenant/path4", signer().sign("tenant/path", "2")),
            (LinkSigner::new(b"another key"), "tenant/path", token.clone()),
            (signer(), "tenant/path", String::from_utf8(flipped).unwrap()),
            (signer(), "tenant/path", String::new()),
            (signer(), "tenant/path", "AAAA".into()),
            (signer(), "tenant/path", "not base64!".into()),
            (signer(), "tenant/path", format!("{token}=")),
        ];
        for (signer, binding, token) in refused {
            let error = signer.verify(binding, &token).unwrap_err();
            assert_eq!((error.status, error.target.as_deref()), (400, Some("$skiptoken")), "{binding} {token}");
        }
    }

    #[test]
    fn token_length_is_limited() {
        // Three bytes become four letters, and the signature comes first.
        let longest = "x".repeat(TOKEN_BYTES_MAX / 4 * 3 - SIGNATURE_BYTES);
        let token = signer().sign("b", &longest);
        assert_eq!(token.len(), TOKEN_BYTES_MAX);
        assert_eq!(signer().verify("b", &token), Ok(longest.clone()));
        assert!(signer().verify("b", &signer().sign("b", &format!("{longest}x"))).is_err());
    }

    #[test]
    fn link_keeps_every_option_except_the_position() {
        let cases = [
            ("", "https://h/beta/c?$skiptoken=T"),
            ("$top=2", "https://h/beta/c?$top=2&$skiptoken=T"),
            ("$skip=5&$top=2&$skiptoken=old&$count=true", "https://h/beta/c?$top=2&$count=true&$skiptoken=T"),
            ("%24skip=5&top=2&SkipToken=old", "https://h/beta/c?top=2&$skiptoken=T"),
            ("$select=id&$deltatoken=old", "https://h/beta/c?$select=id&$skiptoken=T"),
            (
                "$filter=a%20eq%20'x%26y'&activityId=1&cloudPcId=",
                "https://h/beta/c?$filter=a%20eq%20'x%26y'&activityId=1&cloudPcId=&$skiptoken=T",
            ),
        ];
        for (query, link) in cases {
            assert_eq!(next_link("https://h/beta/c", query, "T"), link);
        }
    }
}
