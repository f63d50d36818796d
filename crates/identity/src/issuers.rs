//! Outside issuers: their signing keys, fetched by OIDC discovery, cached, and fetched again after
//! a rotation.
//!
//! If an issuer does not respond, only its own callers get a 503; tokens issued here are verified
//! without it.

use cloudpc_model::{Clock, Error, TenantId, Timestamp};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Mutex;
use url::Url;

use super::claims::{self, Claims};
use super::{AuthenticationError, rejected};

/// Timeout of a request to an issuer.
pub(super) const ISSUER_TIME_MAX: Duration = Duration::from_secs(5);
/// Size limit of a document from an issuer.
pub(super) const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;
/// Shortest interval between two fetches of an issuer's keys, so that tokens with invented key ids
/// cannot cause a flood of requests.
pub(super) const REFETCH_INTERVAL_MIN: Duration = Duration::from_secs(30);
/// Age at which an issuer's keys are fetched again, so that a revoked key does not stay trusted.
pub(super) const FETCHED_AGE_MAX: Duration = Duration::from_hours(1);

/// An outside token service that supports OIDC discovery.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// Exactly the `iss` claim of its tokens; discovery is below this URL. https, or http on the
    /// loopback interface.
    pub issuer: String,
    /// The `aud` claim of tokens for this service.
    pub audience: String,
    /// The tenant that its callers belong to.
    pub tenant: TenantId,
}

/// Whether keys may be fetched from this URL: over TLS or the loopback interface, nobody can change
/// them in transit.
pub fn is_trustworthy(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(url::Host::Domain(name))) => name == "localhost",
        ("http", Some(url::Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(url::Host::Ipv6(address))) => address.is_loopback(),
        _ => false,
    })
}

/// All outside issuers.
pub(super) struct Issuers {
    issuers: Vec<Issuer>,
}

/// An outside issuer.
pub(super) struct Issuer {
    config: IssuerConfig,
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
    fetched: RwLock<FetchedDocument>,
    /// Held while fetching, so that concurrent requests share one fetch.
    fetching: Mutex<()>,
}

/// A key of an outside issuer.
#[derive(Clone)]
pub(super) struct OutsideKey {
    kid: String,
    algorithm: Option<KeyAlgorithm>,
    decoding: Arc<DecodingKey>,
}

/// The cached keys of an issuer.
#[derive(Clone, Default)]
struct FetchedDocument {
    keys: Vec<OutsideKey>,
    tried_at: Option<Timestamp>,
    succeeded_at: Option<Timestamp>,
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the request failed")]
    Http(#[from] reqwest::Error),
    #[error("the response is larger than {DOCUMENT_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the response is malformed")]
    Json(#[from] serde_json::Error),
    #[error("the discovery document is for another issuer: {0}")]
    OtherIssuer(String),
    #[error("the URL of the keys is neither https nor on the loopback interface: {0}")]
    Insecure(String),
}

impl Issuers {
    /// Returns the issuers of the configuration. Keys are fetched on first use.
    pub(super) fn new(configs: Vec<IssuerConfig>, clock: &Arc<dyn Clock>) -> Result<Self, Error> {
        let issuer = |config| {
            let client = reqwest::Client::builder()
                .timeout(ISSUER_TIME_MAX)
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .map_err(Error::internal)?;
            Ok(Issuer {
                config,
                client,
                clock: Arc::clone(clock),
                fetched: RwLock::default(),
                fetching: Mutex::new(()),
            })
        };
        Ok(Self { issuers: configs.into_iter().map(issuer).collect::<Result<_, Error>>()? })
    }

    /// Whether tokens of an issuer are trusted for a tenant.
    pub(super) fn trusts(&self, issuer: &str, tenant: TenantId) -> bool {
        self.issuers.iter().any(|known| known.config.issuer == issuer && known.config.tenant == tenant)
    }

    /// Returns the issuer that an unverified token names.
    pub(super) fn of(&self, token: &str) -> Result<&Issuer, AuthenticationError> {
        let name = claims::unchecked_issuer(token);
        self.issuers
            .iter()
            .find(|issuer| Some(&issuer.config.issuer) == name.as_ref())
            .ok_or_else(|| rejected("The issuer of the access token is not trusted."))
    }
}

impl Issuer {
    /// Returns the configuration of the issuer.
    pub(super) fn config(&self) -> &IssuerConfig {
        &self.config
    }

    /// Returns the key with this id, fetching the keys if necessary.
    pub(super) async fn key(&self, kid: &str) -> Result<OutsideKey, AuthenticationError> {
        if let Some(key) = self.fresh_key(kid) {
            return Ok(key);
        }
        let _fetching = self.fetching.lock().await;
        if let Some(key) = self.fresh_key(kid) {
            return Ok(key);
        }
        let now = self.clock.now();
        let known = self.fetched();
        if known.tried_at.is_none_or(|at| now.since(at) >= REFETCH_INTERVAL_MIN) {
            let mut next = FetchedDocument { tried_at: Some(now), ..known };
            match self.fetch().await {
                Ok(keys) => (next.keys, next.succeeded_at) = (keys, Some(now)),
                Err(error) => {
                    tracing::warn!(
                        issuer = self.config.issuer,
                        error = &error as &dyn std::error::Error,
                        "fetching keys of an issuer failed"
                    );
                }
            }
            *self.fetched.write().unwrap_or_else(PoisonError::into_inner) = next;
        }
        // After a failed fetch, the cached keys stay valid: an unavailable issuer has not revoked
        // its keys.
        let known = self.fetched();
        match known.find(kid) {
            Some(key) => Ok(key),
            None if known.succeeded_at == known.tried_at => {
                Err(rejected("The issuer of the access token has no such key."))
            }
            None => Err(AuthenticationError::Unavailable(format!(
                "The keys of the issuer {} cannot be fetched at the moment. Try again later.",
                self.config.issuer
            ))),
        }
    }

    fn fetched(&self) -> FetchedDocument {
        self.fetched.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fresh_key(&self, kid: &str) -> Option<OutsideKey> {
        let fetched = self.fetched.read().unwrap_or_else(PoisonError::into_inner);
        let at = fetched.succeeded_at?;
        if self.clock.now().since(at) < FETCHED_AGE_MAX { fetched.find(kid) } else { None }
    }

    async fn fetch(&self) -> Result<Vec<OutsideKey>, FetchError> {
        #[derive(Deserialize)]
        struct Discovery {
            issuer: String,
            jwks_uri: String,
        }
        #[derive(Deserialize)]
        struct IssuerKeys {
            keys: Vec<serde_json::Value>,
        }
        let discovery: Discovery = self
            .document(&format!("{}/.well-known/openid-configuration", self.config.issuer.trim_end_matches('/')))
            .await?;
        if discovery.issuer != self.config.issuer {
            return Err(FetchError::OtherIssuer(discovery.issuer));
        }
        if !is_trustworthy(&discovery.jwks_uri) {
            return Err(FetchError::Insecure(discovery.jwks_uri));
        }
        let keys: IssuerKeys = self.document(&discovery.jwks_uri).await?;
        // Keys of unknown types are skipped.
        Ok(keys
            .keys
            .into_iter()
            .filter_map(|key| serde_json::from_value(key).ok())
            .filter_map(OutsideKey::new)
            .collect())
    }

    async fn document<T: DeserializeOwned>(&self, address: &str) -> Result<T, FetchError> {
        let mut response = self.client.get(address).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > DOCUMENT_BYTES_MAX {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(serde_json::from_slice(&body)?)
    }
}

impl FetchedDocument {
    fn find(&self, kid: &str) -> Option<OutsideKey> {
        self.keys.iter().find(|key| key.kid == kid).cloned()
    }
}

impl OutsideKey {
    fn new(jwk: Jwk) -> Option<Self> {
        let for_signing = jwk.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
        if !for_signing || matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)) {
            return None;
        }
        Some(Self {
            decoding: Arc::new(DecodingKey::from_jwk(&jwk).ok()?),
            kid: jwk.common.key_id?,
            algorithm: jwk.common.key_algorithm,
        })
    }

    /// Returns the claims of a token signed by this key.
    pub(super) fn open(&self, token: &str, algorithm: Algorithm) -> Result<Claims, AuthenticationError> {
        if self.algorithm.is_some_and(|declared| declared != KeyAlgorithm::from(algorithm)) {
            return Err(rejected("The signature algorithm of the access token does not match its key."));
        }
        claims::open(token, &self.decoding, algorithm)
    }
}
