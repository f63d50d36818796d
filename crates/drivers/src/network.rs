//! Health checks of the network that a driver's machines use.
//!
//! A check that finds a problem has succeeded: the problem is its [`NetworkFinding`]. What a driver
//! cannot check is a finding too, never a pass.

use url::Url;

use crate::FetchPolicy;

/// One health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkCheck {
    /// The network exists and is up.
    Network,
    /// The network has free addresses.
    Addresses,
    /// The name service of the network resolves this domain.
    NameService(String),
    /// Machines reach these URLs. Only a connection to the host is opened.
    Endpoints(Vec<(Url, FetchPolicy)>),
    /// Machines can join this domain.
    DomainJoin(String),
}

/// The result of a health check, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NetworkStatus {
    /// Nothing is wrong.
    Passed,
    /// It was not checked, or there is something to know.
    Informational,
    /// It works, and may soon not.
    Warning,
    /// It does not work.
    Failed,
}

/// What is wrong, by the names of Graph's `cloudPcOnPremisesConnectionHealthCheckErrorType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of Graph")]
pub enum NetworkProblem {
    NoSubnetIp,
    VirtualNetworkInvalid,
    DomainNotFound,
    NameServiceUnknown,
    EndpointUnknown,
    DomainToJoinNotFound,
}

/// What a health check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkFinding {
    /// The result.
    pub status: NetworkStatus,
    /// What is wrong; with [`NetworkStatus::Failed`] only.
    pub problem: Option<NetworkProblem>,
    /// What was checked and found, for people.
    pub detail: String,
    /// What to do about a failure, for people; empty if there is nothing.
    pub advice: String,
    /// Number of free addresses, if the check counts them.
    pub free_addresses: Option<u32>,
    /// Region of the network, if the check learns it.
    pub location: Option<String>,
    /// Name of the subscription that the network belongs to, if the check learns it.
    pub subscription: Option<String>,
}

impl NetworkStatus {
    /// Returns Graph's name of the result.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Informational => "informational",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }

    /// Returns the result of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Passed, Self::Informational, Self::Warning, Self::Failed].into_iter().find(|one| one.name() == name)
    }
}

impl NetworkProblem {
    /// All problems.
    pub const ALL: [Self; 6] = [
        Self::NoSubnetIp,
        Self::VirtualNetworkInvalid,
        Self::DomainNotFound,
        Self::NameServiceUnknown,
        Self::EndpointUnknown,
        Self::DomainToJoinNotFound,
    ];

    /// Returns Graph's name of the problem.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSubnetIp => "resourceAvailabilityCheckNoSubnetIP",
            Self::VirtualNetworkInvalid => "resourceAvailabilityCheckVNetInvalid",
            Self::DomainNotFound => "dnsCheckFqdnNotFound",
            Self::NameServiceUnknown => "dnsCheckUnknownError",
            Self::EndpointUnknown => "endpointConnectivityCheckUnknownError",
            Self::DomainToJoinNotFound => "adJoinCheckFqdnNotFound",
        }
    }
}

impl NetworkFinding {
    fn new(status: NetworkStatus, detail: impl Into<String>) -> Self {
        Self {
            status,
            problem: None,
            detail: detail.into(),
            advice: String::new(),
            free_addresses: None,
            location: None,
            subscription: None,
        }
    }

    pub(crate) fn passed(detail: impl Into<String>) -> Self {
        Self::new(NetworkStatus::Passed, detail)
    }

    pub(crate) fn informational(detail: impl Into<String>) -> Self {
        Self::new(NetworkStatus::Informational, detail)
    }

    pub(crate) fn failed(problem: NetworkProblem, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { problem: Some(problem), advice: advice.into(), ..Self::new(NetworkStatus::Failed, detail) }
    }
}
