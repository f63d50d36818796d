//! Client assertions (RFC 7523): a token that an application signs with the key of its certificate,
//! in place of a secret.

use cloudpc_model::{AppId, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::CLOCK_SKEW_MAX;
use super::claims;

/// The value of `client_assertion_type`.
pub(super) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Size limit of an application's certificate, DER, in bytes.
pub const CERTIFICATE_BYTES_MAX: usize = 8 * 1024;

/// Shortest RSA key of a certificate, in bits.
const RSA_BITS_MIN: usize = 2_048;

/// The claims that are used here.
#[derive(Deserialize)]
struct AssertionClaims {
    iss: String,
    sub: String,
    aud: String,
    /// A number of seconds, which may have a fraction: MSAL for Python sends one.
    exp: f64,
    #[serde(default)]
    nbf: f64,
}

/// An assertion that was not verified yet.
#[derive(Clone)]
pub(super) struct ClientAssertion {
    pub(super) token: String,
    /// The client that sends it.
    pub(super) client_id: AppId,
    /// The URLs of the endpoint that the assertion may be for.
    pub(super) audiences: Vec<String>,
}

impl ClientAssertion {
    /// Whether the assertion is signed by the key of a certificate, and valid now.
    pub(super) fn fits(&self, certificate: &[u8], now: Timestamp) -> bool {
        let Some(key) = key_of(certificate, now) else { return false };
        let Ok(header) = claims::header(&self.token) else { return false };
        if !matches!(header.alg, Algorithm::RS256 | Algorithm::PS256) {
            return false;
        }
        let mut validation = Validation::new(header.alg);
        // Checked below, with the injected clock.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let Ok(data) = jsonwebtoken::decode::<AssertionClaims>(&self.token, &key, &validation) else { return false };
        let AssertionClaims { iss, sub, aud, exp, nbf } = data.claims;
        let is_client = |text: &str| text.parse() == Ok(self.client_id);
        is_client(&iss)
            && is_client(&sub)
            && self.audiences.contains(&aud)
            && (now.unix_seconds() as f64) < exp
            && nbf <= (now + CLOCK_SKEW_MAX).unix_seconds() as f64
    }
}

/// Returns the key of a certificate that is valid now.
fn key_of(certificate: &[u8], now: Timestamp) -> Option<DecodingKey> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let validity = certificate.validity();
    let is_valid = (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now.unix_seconds());
    is_valid.then(|| DecodingKey::from_rsa_der(&certificate.public_key().subject_public_key.data))
}

/// Checks a certificate, DER, by which an application shall sign in.
///
/// # Errors
/// What is wrong with the certificate.
pub fn check_certificate(certificate: &[u8]) -> Result<(), String> {
    if certificate.len() > CERTIFICATE_BYTES_MAX {
        return Err(format!(
            "The certificate has {} bytes. The maximum is {CERTIFICATE_BYTES_MAX}.",
            certificate.len()
        ));
    }
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| "The certificate is not X.509.".to_owned())?;
    match parsed.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() >= RSA_BITS_MIN => Ok(()),
        Ok(PublicKey::RSA(key)) => {
            Err(format!("The RSA key of the certificate has {} bits. The minimum is {RSA_BITS_MIN}.", key.key_size()))
        }
        _ => Err("The key of the certificate is not RSA. Use a certificate with an RSA key.".into()),
    }
}
