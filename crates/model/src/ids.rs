//! Typed ids. Other modules never identify a thing by a bare UUID or string.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

use crate::Rng;

macro_rules! guid_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Returns a random id.
            pub fn random(rng: &dyn Rng) -> Self {
                Self(rng.uuid())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+};
}

guid_id! {
    /// A tenant, the isolation boundary of all data; the `tid` of a token.
    TenantId,
    /// A Cloud PC, and the machine that a driver runs for it. Unique over all tenants.
    CloudPcId,
    /// The managed device of a Cloud PC in device management.
    ManagedDeviceId,
    /// A bulk action: a remote action on many Cloud PCs.
    BulkActionId,
    /// The deployments started by one `deployAgent` call.
    ActivityId,
    /// The entity id of an external partner; not its `partnerId`.
    PartnerId,
    /// A local user.
    UserId,
    /// A group of users.
    GroupId,
    /// A product that is sold as licences of a service plan.
    SkuId,
    /// An application that can request tokens; its `client_id`.
    AppId,
    /// A service plan, the size of a Cloud PC.
    ServicePlanId,
}

impl TenantId {
    /// Stands for the installation itself in the audit log. No tenant has this id.
    pub const INSTALLATION: Self = Self(Uuid::nil());
}

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

text_id! {
    /// A restore point: `CPC_<Cloud PC GUID>_<GUID>`.
    SnapshotId,
    /// An image of the gallery: `<publisher>_<offer>_<sku>`.
    ImageId,
}

impl SnapshotId {
    /// Returns the id of restore point `point` of a Cloud PC.
    pub fn new(cloud_pc: CloudPcId, point: Uuid) -> Self {
        Self(format!("CPC_{cloud_pc}_{point}"))
    }
}

/// Maximum length of an image id, which is also a file name; bytes.
pub const IMAGE_ID_BYTES_MAX: usize = 128;

impl ImageId {
    /// Rule for image ids, for error messages.
    pub const FORM: &str = "expected 1 to 128 letters, digits, '.', '-' or '_', starting with a letter or digit";

    /// Parses an image id; none if it breaks [`ImageId::FORM`].
    pub fn new(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let begins_well = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        (begins_well && text.len() <= IMAGE_ID_BYTES_MAX && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }
}

/// A durable action. Numbers rise in commit order over all tenants, which makes paging by key
/// exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActionId(pub i64);

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ActionId {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
