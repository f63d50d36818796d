//! The network of simulated machines: one large subnet without faults, except that domains below
//! `.invalid` do not exist, as in the real name service (RFC 6761).

use super::SimDriver;
use crate::{NetworkCheck, NetworkFinding, NetworkProblem};

/// Free addresses of the simulated subnet: a `/16` without the five that Azure reserves. Machines
/// do not count, since tenants share the fleet and must not learn of one another.
const FREE_ADDRESSES: u32 = (1 << 16) - 5;

/// The label of the simulated network's region.
const LOCATION: &str = "westus3";

impl SimDriver {
    /// Takes as long as a short operation on a disk.
    pub(super) async fn run_network_check(&self, check: &NetworkCheck) -> NetworkFinding {
        let ends_at = {
            let mean_ms = self.inner.lock().pace.touch_ms;
            let now = self.inner.parts.clock.now();
            now + self.inner.spread(now, mean_ms)
        };
        self.inner.parts.clock.sleep_until(ends_at).await;
        finding(check)
    }
}

fn finding(check: &NetworkCheck) -> NetworkFinding {
    match check {
        NetworkCheck::Network => NetworkFinding {
            location: Some(LOCATION.into()),
            subscription: Some("Simulated subscription".into()),
            ..NetworkFinding::passed("The network is simulated.")
        },
        NetworkCheck::Addresses => NetworkFinding {
            free_addresses: Some(FREE_ADDRESSES),
            ..NetworkFinding::passed(format!("{FREE_ADDRESSES} addresses of the simulated subnet are free."))
        },
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

    #[test]
    fn domains_below_invalid_do_not_exist() {
        let name = |domain: &str| finding(&NetworkCheck::NameService(domain.into())).problem;
        assert_eq!(name("corp.contoso.test"), None);
        assert_eq!(name("corp.INVALID."), Some(NetworkProblem::DomainNotFound));
        let join = |domain: &str| finding(&NetworkCheck::DomainJoin(domain.into())).problem;
        assert_eq!(join("invalid.contoso.test"), None);
        assert_eq!(join("corp.invalid"), Some(NetworkProblem::DomainToJoinNotFound));
    }
}
