//! The signing keys of our own tokens: created on the first start, stored in the settings, and
//! rotated.
//!
//! The newest key signs. Older keys verify until the last token signed with them has expired,
//! unless they were dropped.

use cloudpc_model::{Error, ErrorKind, Timestamp};
use cloudpc_store::Store;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::REFRESH_LIFETIME;

/// What happens to the older keys in a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldKeys {
    /// Old keys verify their tokens until these expire: the routine rotation.
    Retire,
    /// Old keys and all their tokens become invalid at once: the rotation after a leak.
    Drop,
}

/// Age at which a start rotates the signing key.
pub const SIGNING_KEY_AGE_MAX: Duration = Duration::from_hours(90 * 24);

const SETTING: &str = "identity.keys";

/// The current keys.
pub(super) struct Keys {
    /// Newest first; never empty.
    keys: Vec<Key>,
}

struct Key {
    kid: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
    jwk: Jwk,
}

/// A key as stored in the settings.
#[derive(Serialize, Deserialize)]
struct StoredKey {
    pem: String,
    made_at: Timestamp,
    retired_at: Option<Timestamp>,
}

impl Keys {
    /// Loads the keys of this installation; creates the first key, and rotates keys that are too
    /// old.
    pub(super) async fn load(store: &Store, now: Timestamp) -> Result<Self, Error> {
        let stored = store.read(|reader| stored_keys(reader.setting(SETTING)?.as_deref())).await?;
        match stored.first() {
            Some(newest) if now.since(newest.made_at) < SIGNING_KEY_AGE_MAX => Self::parse(&stored),
            Some(_) => match Self::rotate(store, now, OldKeys::Retire).await {
                // A full disk must not prevent sign-ins; the next start retries.
                Err(error) if error.kind == ErrorKind::Unavailable => {
                    tracing::warn!(%error, "storing a new signing key failed; the old key stays in use");
                    Self::parse(&stored)
                }
                rotated => rotated,
            },
            None => Self::rotate(store, now, OldKeys::Retire).await,
        }
    }

    /// Creates a new signing key.
    pub(super) async fn rotate(store: &Store, now: Timestamp, old: OldKeys) -> Result<Self, Error> {
        let pem = tokio::task::spawn_blocking(new_key_pem).await.map_err(Error::internal)??;
        let stored = store
            .write("signingKey.rotate", move |tx| {
                let mut keys = match old {
                    OldKeys::Retire => stored_keys(tx.setting(SETTING)?.as_deref())?,
                    OldKeys::Drop => Vec::new(),
                };
                for key in &mut keys {
                    key.retired_at.get_or_insert(now);
                }
                keys.retain(|key| key.retired_at.is_none_or(|at| now.since(at) < REFRESH_LIFETIME));
                keys.insert(0, StoredKey { pem: pem.clone(), made_at: now, retired_at: None });
                tx.setting_put(SETTING, &serde_json::to_vec(&keys).map_err(Error::internal)?)?;
                Ok::<_, Error>(keys)
            })
            .await?;
        Self::parse(&stored)
    }

    /// Returns the key with the id `kid` for verification.
    pub(super) fn verifying(&self, kid: &str) -> Option<&DecodingKey> {
        self.keys.iter().find(|key| key.kid == kid).map(|key| &key.decoding)
    }

    /// Signs `claims`.
    pub(super) fn sign(&self, claims: &impl Serialize) -> Result<String, Error> {
        let key = self.keys.first().expect("keys are never empty");
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(key.kid.clone());
        jsonwebtoken::encode(&header, claims, &key.encoding).map_err(Error::internal)
    }

    /// Returns the public keys as a JWK set.
    pub(super) fn public(&self) -> JwkSet {
        JwkSet { keys: self.keys.iter().map(|key| key.jwk.clone()).collect() }
    }

    fn parse(stored: &[StoredKey]) -> Result<Self, Error> {
        Ok(Self { keys: stored.iter().map(|key| Key::from_pem(&key.pem)).collect::<Result<_, _>>()? })
    }
}

impl Key {
    fn from_pem(pem: &str) -> Result<Self, Error> {
        let encoding = EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(Error::internal)?;
        let mut jwk = Jwk::from_encoding_key(&encoding, Algorithm::RS256).map_err(Error::internal)?;
        // The key id is the thumbprint, so that different keys of two installations never share an
        // id.
        let kid = jwk.thumbprint(ThumbprintHash::SHA256).map_err(Error::internal)?;
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let decoding = DecodingKey::from_jwk(&jwk).map_err(Error::internal)?;
        Ok(Self { kid, encoding, decoding, jwk })
    }
}

fn stored_keys(setting: Option<&[u8]>) -> Result<Vec<StoredKey>, Error> {
    setting.map_or(Ok(Vec::new()), |text| serde_json::from_slice(text).map_err(Error::internal))
}

fn new_key_pem() -> Result<String, Error> {
    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(Error::internal)?;
    Ok(pair.serialize_pem())
}
