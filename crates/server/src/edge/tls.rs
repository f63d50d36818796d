//! The certificate of the server, and its own certificate authority.
//!
//! Clients that connect by a name of Microsoft get a certificate for those names instead; they
//! trust it only if they trust the authority.
//!
//! The authority is created on the first start and kept, for clients to trust. The server's
//! certificate is created at each start, so that it covers the configured names and does not
//! expire; its key is only in memory.

use cloudpc_model::{Rng, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use crate::durable_file::{self, Readers};
use crate::identity::well_known;

/// Name of the file with the authority's certificate in the data directory, for clients to trust.
pub const AUTHORITY_FILE: &str = "ca.pem";
/// Name of the file with the authority's key, owner-only.
pub const AUTHORITY_KEY_FILE: &str = "ca-key.pem";

/// Lifetime of the authority. After that, clients have to trust a new one.
const AUTHORITY_LIFETIME: Duration = Duration::from_hours(20 * 365 * 24);
/// Lifetime of the server's certificate. Some clients accept at most 825 days.
const CERTIFICATE_LIFETIME: Duration = Duration::from_hours(800 * 24);
/// The latest time that a certificate can hold (RFC 5280), the end of the year 9999, in seconds
/// since 1970.
const CERTIFICATE_END_MAX: Duration = Duration::from_secs(253_402_300_799);
/// Tolerance for clients whose clock is behind ours.
const CLOCK_SKEW_MAX: Duration = Duration::from_hours(24);

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be used.
    #[error("{path} cannot be used: {source}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// A file of the authority is malformed.
    #[error(
        "invalid certificate authority file {path} ({source}); delete ca.pem and ca-key.pem to create a new authority, which clients must then trust"
    )]
    Authority {
        /// Path of the file.
        path: PathBuf,
        /// The parse error.
        source: rcgen::Error,
    },
    /// Creating a certificate failed.
    #[error("cannot create the server certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library rejected the configuration.
    #[error("cannot set up TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Returns the TLS configuration for these names and addresses, with a certificate signed by the
/// authority in `directory`. Creates the authority if there is none.
///
/// # Errors
/// The authority's files cannot be used, or a name is invalid.
pub fn server_config(
    directory: &Path,
    names: &[String],
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<Arc<ServerConfig>, TlsError> {
    let issuer = authority(directory, now, rng)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificates = Certificates {
        own: certificate(names, &issuer, now, &provider)?,
        well_known: certificate(&well_known::HOSTS.map(str::to_owned), &issuer, now, &provider)?,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The certificates of the server, chosen by the name that the client asks for.
#[derive(Debug)]
struct Certificates {
    /// For the server's own names, and for clients that name none or an unknown one.
    own: Arc<CertifiedKey>,
    /// For [`well_known::HOSTS`].
    well_known: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_well_known = hello.server_name().is_some_and(well_known::is_host);
        Some(Arc::clone(if is_well_known { &self.well_known } else { &self.own }))
    }
}

/// Creates a certificate for these names, with a new key.
fn certificate(
    names: &[String],
    issuer: &Issuer<'_, KeyPair>,
    now: Timestamp,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "cloudpc");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now, CERTIFICATE_LIFETIME);
    let certificate = params.signed_by(&key, issuer)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Ok(Arc::new(CertifiedKey::from_der(vec![certificate.der().clone()], key, provider)?))
}

/// Loads the authority, and creates it if there is none.
fn authority(directory: &Path, now: Timestamp, rng: &dyn Rng) -> Result<Issuer<'static, KeyPair>, TlsError> {
    let (path, key_path) = (directory.join(AUTHORITY_FILE), directory.join(AUTHORITY_KEY_FILE));
    let file = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::File { path, source }
    };
    let malformed = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Authority { path, source }
    };
    if !path.exists() {
        let key = KeyPair::generate()?;
        // The key is written first, so that a certificate in the directory always has its key.
        durable_file::write(&key_path, Readers::Owner, key.serialize_pem().as_bytes()).map_err(file(&key_path))?;
        let mut params = CertificateParams::default();
        // The name is unique, because clients that trust two installations would confuse
        // authorities of the same name.
        let name = format!("cloudpc authority {:08x}", rng.below(1 << 32));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, now, AUTHORITY_LIFETIME);
        let certificate = params.self_signed(&key)?.pem();
        durable_file::write(&path, Readers::Everyone, certificate.as_bytes()).map_err(file(&path))?;
    }
    let certificate = fs::read_to_string(&path).map_err(file(&path))?;
    let key = fs::read_to_string(&key_path).map_err(file(&key_path))?;
    let key = KeyPair::from_pem(&key).map_err(malformed(&key_path))?;
    Issuer::from_ca_cert_pem(&certificate, key).map_err(malformed(&path))
}

/// Makes a certificate valid from [`CLOCK_SKEW_MAX`] before `now` until the end of `lifetime`.
fn set_validity(params: &mut CertificateParams, now: Timestamp, lifetime: Duration) {
    let at = |time: Timestamp| rcgen::date_time_ymd(1970, 1, 1) + time.since(Timestamp(0)).min(CERTIFICATE_END_MAX);
    params.not_before = at(now - CLOCK_SKEW_MAX);
    params.not_after = at(now + lifetime);
}
