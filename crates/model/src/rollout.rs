//! Rollouts: bringing settings of a changed provisioning policy to its existing Cloud PCs.

use std::fmt;
use std::str::FromStr;

use crate::{Actor, TenantId, Timestamp};

/// Largest share of a policy's Cloud PCs that a rollout can keep usable, percent.
pub const RESERVE_PERCENTAGE_MAX: u32 = 99;

/// A set of settings that a rollout brings to Cloud PCs: `cloudPcPolicySettingType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicySettingTypes {
    /// The region.
    pub region: bool,
    /// Whether single sign-on is used.
    pub single_sign_on: bool,
}

impl PolicySettingTypes {
    /// Every setting.
    pub const ALL: Self = Self { region: true, single_sign_on: true };
    /// The setting that is applied unless the caller names others.
    pub const DEFAULT: Self = Self { region: true, single_sign_on: false };
}

/// A text that names no setting of a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a policy setting; name region, singleSignOn or both with a comma between them")]
pub struct UnknownPolicySetting(String);

impl FromStr for PolicySettingTypes {
    type Err = UnknownPolicySetting;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut settings = Self::default();
        for name in text.split(',').map(str::trim) {
            match name {
                "region" => settings.region = true,
                "singleSignOn" => settings.single_sign_on = true,
                other => return Err(UnknownPolicySetting(other.to_owned())),
            }
        }
        Ok(settings)
    }
}

impl fmt::Display for PolicySettingTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.region, self.single_sign_on) {
            (true, true) => "region,singleSignOn",
            (true, false) => "region",
            (false, true) => "singleSignOn",
            (false, false) => "",
        })
    }
}

/// The latest rollout of a policy. One that is joined by another before it has finished stays one
/// rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// Tenant of the policy.
    pub tenant_id: TenantId,
    /// Policy.
    pub policy_id: String,
    /// Share of the policy's Cloud PCs that stays usable, percent.
    pub reserve_percentage: u32,
    /// Who requested the rollout.
    pub requested_by: Actor,
    /// Id of the request, for the audit log; empty for a scheduled rollout.
    pub request_id: String,
    /// Start.
    pub started_at: Timestamp,
    /// End; none while Cloud PCs are still to be changed.
    pub finished_at: Option<Timestamp>,
    /// Whether the change of a Cloud PC has failed.
    pub failed: bool,
}

impl Rollout {
    /// Returns how many of a policy's Cloud PCs may be changed at the same time: those that the
    /// reserve leaves, and at least one, so that the rollout ends.
    pub fn concurrency_max(&self, cloud_pcs: u64) -> u64 {
        let reserved = cloud_pcs.saturating_mul(self.reserve_percentage.into()).div_ceil(100);
        cloud_pcs.saturating_sub(reserved).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_they_are_written() {
        for text in ["region", "singleSignOn", "region,singleSignOn"] {
            assert_eq!(text.parse::<PolicySettingTypes>().unwrap().to_string(), text);
        }
        assert_eq!("singleSignOn, region".parse(), Ok(PolicySettingTypes::ALL));
        for text in ["", "Region", "region,", "unknownFutureValue"] {
            assert!(text.parse::<PolicySettingTypes>().is_err(), "{text}");
        }
    }

    #[test]
    fn reserve_keeps_its_share_of_cloud_pcs_usable() {
        let rollout = |reserve_percentage| Rollout {
            tenant_id: TenantId::INSTALLATION,
            policy_id: String::new(),
            reserve_percentage,
            requested_by: Actor::system(),
            request_id: String::new(),
            started_at: Timestamp(0),
            finished_at: None,
            failed: false,
        };
        for (reserve, cloud_pcs, at_once) in
            [(0, 10, 10), (50, 10, 5), (50, 3, 1), (25, 3, 2), (99, 1000, 10), (99, 3, 1), (0, 0, 1)]
        {
            assert_eq!(rollout(reserve).concurrency_max(cloud_pcs), at_once, "{reserve} % of {cloud_pcs}");
        }
    }
}
