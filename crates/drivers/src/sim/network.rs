//! The network of simulated machines: one large subnet without faults, except that domains below
//! `.invalid` do not exist, as in the real name service (RFC 6761).

use super::SimDriver;
use crate::{NetworkCheck, NetworkFinding, NetworkProblem};

/// Addresses of the simulated subnet that machines can have: a `/16` without the five that Azure
/// reserves.
const ADDRESSES: u32 = (1 << 16) - 5;

/// The label of the simulated network's region.
const LOCATION: &str = "westus3";

impl SimDriver {
    /// Takes as long as a short operation on a disk.
    pub(super) async fn run_network_check(&self, check: &NetworkCheck) -> NetworkFinding {
        let ends_at = {
            let mean_ms = self.inner.lock().pace.touch_ms;
            self.inner.parts.clock.now() + self.inner.spread(mean_ms)
        };
        self.inner.parts.clock.sleep_until(ends_at).await;
        let machine_count = self.inner.lock().ids().len();
        finding(check, u32::try_from(machine_count).unwrap_or(u32::MAX))
    }
}

fn finding(check: &NetworkCheck, machine_count: u32) -> NetworkFinding {
    match check {
        NetworkCheck::Network => NetworkFinding {
            location: Some(LOCATION.into()),
            subscription: Some("Simulated subscription".into()),
            ..NetworkFinding::passed("The network is simulated.")
        },
        NetworkCheck::Addresses => {
            let free = ADDRESSES.saturating_sub(machine_count);
            let detail =
                format!("{free} of the {ADDRESSES} addresses of the simulated subnet are free: each machine has one.");
            let finding = match free {
                0 => NetworkFinding::failed(NetworkProblem::NoSubnetIp, detail, "Remove Cloud PCs."),
                _ => NetworkFinding::passed(detail),
            };
            NetworkFinding { free_addresses: Some(free), ..finding }
        }
        NetworkCheck::NameService(domain) if !exists(domain) => NetworkFinding::failed(
            NetworkProblem::DomainNotFound,
            format!("The simulated name service has no domain '{domain}'."),
            "Correct adDomainName.",
        ),
        NetworkCheck::NameService(domain) => {
            NetworkFinding::passed(format!("The simulated name service resolves '{domain}'."))
        }
        NetworkCheck::Endpoints(urls) => {
            NetworkFinding::passed(format!("The simulated network reaches all {} endpoints.", urls.len()))
        }
        NetworkCheck::DomainJoin(domain) if !exists(domain) => NetworkFinding::failed(
            NetworkProblem::DomainToJoinNotFound,
            format!("There is no simulated domain '{domain}' to join."),
            "Correct adDomainName.",
        ),
        NetworkCheck::DomainJoin(domain) => {
            NetworkFinding::passed(format!("The simulated domain '{domain}' admits machines with any password."))
        }
    }
}

fn exists(domain: &str) -> bool {
    let last = domain.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    !last.eq_ignore_ascii_case("invalid")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NetworkStatus;

    #[test]
    fn the_subnet_is_full_when_each_address_has_a_machine() {
        let addresses = |machine_count| finding(&NetworkCheck::Addresses, machine_count);
        assert_eq!(addresses(1).free_addresses, Some(65_530));
        assert_eq!(addresses(ADDRESSES - 1).status, NetworkStatus::Passed);
        let full = addresses(ADDRESSES);
        assert_eq!((full.status, full.problem), (NetworkStatus::Failed, Some(NetworkProblem::NoSubnetIp)));
        assert_eq!(addresses(u32::MAX).free_addresses, Some(0));
    }

    #[test]
    fn domains_below_invalid_do_not_exist() {
        let name = |domain: &str| finding(&NetworkCheck::NameService(domain.into()), 0).problem;
        assert_eq!(name("corp.contoso.test"), None);
        assert_eq!(name("corp.INVALID."), Some(NetworkProblem::DomainNotFound));
        let join = |domain: &str| finding(&NetworkCheck::DomainJoin(domain.into()), 0).problem;
        assert_eq!(join("invalid.contoso.test"), None);
        assert_eq!(join("corp.invalid"), Some(NetworkProblem::DomainToJoinNotFound));
    }
}
