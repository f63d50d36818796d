//! The keys that our own tokens are signed with: made on the first start, kept in the store's
//! settings, rotated.
//!
//! The newest key signs. Older ones still verify until the last token made with them has ended,
//! unless they were dropped.

use cloudpc_model::{Error, ErrorKind, Timestamp};
use cloudpc_store::Store;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::REFRESH_LIFETIME;

/// What becomes of the older keys when a new one is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldKeys {
    /// They verify what they have signed until that has ended: the routine rotation.
    Retire,
    /// They are worth nothing from now on, and neither is any token made with them: after a leak.
    Drop,
}

/// The age at which a start makes a new signing key.
pub const SIGNING_KEY_AGE_MAX: Duration = Duration::from_hours(90 * 24);

const SETTING: &str = "identity.keys";

/// The keys in use.
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

/// A key as the settings keep it.
#[derive(Serialize, Deserialize)]
struct StoredKey {
    pem: String,
    made_at: Timestamp,
    retired_at: Option<Timestamp>,
}

impl Keys {
    /// The keys of this installation; makes the first one, and a new one if the newest is too old.
    pub(super) async fn load(store: &Store, now: Timestamp) -> Result<Self, Error> {
        let stored = store.read(|reader| stored_keys(reader.setting(SETTING)?.as_deref())).await?;
        match stored.first() {
            Some(newest) if now.since(newest.made_at) < SIGNING_KEY_AGE_MAX => Self::parse(&stored),
            Some(_) => match Self::rotate(store, now, OldKeys::Retire).await {
                // A full disk keeps no one from signing in; the next start tries again.
                Err(error) if error.kind == ErrorKind::Unavailable => {
                    tracing::warn!(%error, "no new signing key could be stored; the old one goes on signing");
                    Self::parse(&stored)
                }
                rotated => rotated,
            },
            None => Self::rotate(store, now, OldKeys::Retire).await,
        }
    }

    /// Makes a new signing key.
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

    /// The key that verifies what was signed by `kid`.
    pub(super) fn verifying(&self, kid: &str) -> Option<&DecodingKey> {
        self.keys.iter().find(|key| key.kid == kid).map(|key| &key.decoding)
    }

    /// Signs `claims`.
    pub(super) fn sign(&self, claims: &impl Serialize) -> Result<String, Error> {
        let key = self.keys.first().expect("there is always a signing key");
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(key.kid.clone());
        jsonwebtoken::encode(&header, claims, &key.encoding).map_err(Error::internal)
    }

    /// The public halves, as clients fetch them.
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
        // The key's own thumbprint is its name, so that two installations never give one name to
        // two keys.
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
