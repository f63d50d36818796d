//! Health checks of the network of QEMU machines: the bridge of this host, its subnet, the host's
//! name service and routes.
//!
//! The Azure resources that a connection names are labels here: all machines of a host use its one
//! bridge. Nothing is checked from inside a guest, since a check must not need a running machine.
//!
//! Findings go to tenants, and the bridge is shared by all of them: names, subnets and numbers of
//! addresses are left out. Failures of the host are logged in full for its operator.

use futures_util::{StreamExt, stream};
use ipnet::Ipv4Net;
use serde::Deserialize;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;
use url::Url;

use super::machine::blocking;
use super::network::{Network, ip};
use crate::{DriverError, FetchPolicy, Fetcher, NetworkCheck, NetworkFinding, NetworkProblem, NetworkStatus};

/// Timeout of the host's name service.
const RESOLVE_TIME_MAX: Duration = Duration::from_secs(10);

/// Most endpoints that are connected to at the same time.
const CONNECTIONS_MAX: usize = 16;

/// A bridge of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Bridge {
    is_up: bool,
    /// The IPv4 subnets of its own addresses.
    subnets: Vec<Ipv4Net>,
    /// Addresses in use, as far as the host knows: its own and those of its neighbours.
    used: Vec<Ipv4Addr>,
}

/// Runs a health check.
pub(super) async fn run(
    network: &Network,
    fetcher: &Fetcher,
    check: &NetworkCheck,
) -> Result<NetworkFinding, DriverError> {
    let Network::Bridge(name) = network else { return Ok(without_bridge(check)) };
    Ok(match check {
        NetworkCheck::Network | NetworkCheck::Addresses => {
            let (network, name, wanted) = (network.clone(), name.clone(), check.clone());
            let read = move || {
                if let Err(error) = network.check() {
                    tracing::warn!(%error, "a health check of a connection failed");
                    return Ok(no_network());
                }
                let bridge = Bridge::read(&name)?;
                let finding = if wanted == NetworkCheck::Network { bridge.network() } else { bridge.addresses() };
                if finding.status == NetworkStatus::Failed {
                    let Bridge { is_up, subnets, used } = &bridge;
                    tracing::warn!(
                        bridge = name,
                        is_up,
                        ?subnets,
                        used = used.len(),
                        "a health check of a connection failed"
                    );
                }
                Ok(finding)
            };
            blocking(read).await?
        }
        NetworkCheck::NameService(domain) => {
            let found = tokio::time::timeout(RESOLVE_TIME_MAX, tokio::net::lookup_host((domain.as_str(), 0))).await;
            name_service(domain, found.ok().map(|found| found.map(Iterator::count)))
        }
        NetworkCheck::Endpoints(urls) => endpoints(fetcher, urls).await,
        NetworkCheck::DomainJoin(_) => domain_join(),
    })
}

/// The findings of a host without a bridge.
fn without_bridge(check: &NetworkCheck) -> NetworkFinding {
    match check {
        NetworkCheck::Network => no_network(),
        NetworkCheck::DomainJoin(_) => domain_join(),
        NetworkCheck::Addresses | NetworkCheck::NameService(_) | NetworkCheck::Endpoints(_) => {
            NetworkFinding::informational("Not checked, because machines of this host have no network.")
        }
    }
}

fn no_network() -> NetworkFinding {
    NetworkFinding::failed(
        NetworkProblem::VirtualNetworkInvalid,
        "Machines of this host have no network.",
        "Ask the operator of the service to connect machines to a network.",
    )
}

fn domain_join() -> NetworkFinding {
    NetworkFinding::informational(
        "Not checked: this service does not join machines to domains, and does not keep the domain's password.",
    )
}

fn name_service(domain: &str, found: Option<io::Result<usize>>) -> NetworkFinding {
    match found {
        Some(Ok(count)) if count > 0 => NetworkFinding::passed(format!(
            "The name service of the host resolves '{domain}'. Machines may use another one, which is not checked."
        )),
        Some(found) => {
            let why = found.err().map_or_else(|| "no address".into(), |error| error.to_string());
            NetworkFinding::failed(
                NetworkProblem::DomainNotFound,
                format!("The name service of the host does not resolve '{domain}': {why}."),
                "Correct adDomainName, or let the host use the domain's name servers.",
            )
        }
        None => NetworkFinding::failed(
            NetworkProblem::NameServiceUnknown,
            format!("The name service of the host did not answer within {} seconds.", RESOLVE_TIME_MAX.as_secs()),
            "Check the host's name servers.",
        ),
    }
}

/// Checks from the host that the URLs accept connections.
async fn endpoints(fetcher: &Fetcher, urls: &[(Url, FetchPolicy)]) -> NetworkFinding {
    if urls.is_empty() {
        return NetworkFinding::passed("No partner has an agent, so machines need no endpoint.");
    }
    let connect = |(url, policy): (Url, FetchPolicy)| async move { fetcher.reach(&url, &policy).await };
    let reached: Vec<_> = stream::iter(urls.iter().cloned().map(connect)).buffered(CONNECTIONS_MAX).collect().await;
    let mut unreached: Vec<_> = reached.into_iter().filter_map(|reached| Some(reached.err()?.to_string())).collect();
    unreached.dedup();
    match unreached.is_empty() {
        true => NetworkFinding::passed(format!(
            "The host reaches all {} endpoints of partners. The route of machines is not checked.",
            urls.len()
        )),
        false => NetworkFinding::failed(
            NetworkProblem::EndpointUnknown,
            unreached.join(" "),
            "Let the host connect to the URLs of the partners' agents.",
        ),
    }
}

impl Bridge {
    /// Reads the state of a bridge. Blocks.
    fn read(name: &str) -> io::Result<Self> {
        let addresses = ip(&["-json", "address", "show", "dev", name])?;
        let neighbours = ip(&["-json", "-4", "neighbour", "show", "dev", name])?;
        Self::parse(&addresses, &neighbours)
    }

    /// Parses the output of `ip -json address` and `ip -json neighbour`. The latter is empty if
    /// there are no neighbours.
    fn parse(addresses: &str, neighbours: &str) -> io::Result<Self> {
        let link = serde_json::from_str::<Vec<Link>>(addresses)?.into_iter().next();
        let link = link.ok_or_else(|| io::Error::other("`ip address` shows no device"))?;
        let neighbours: Vec<Neighbour> = match neighbours.trim() {
            "" => Vec::new(),
            text => serde_json::from_str(text)?,
        };
        // Without a link-layer address the host has asked for the neighbour in vain.
        let present = neighbours.iter().filter(|neighbour| neighbour.lladdr.is_some());
        let mut bridge = Self { is_up: link.flags.iter().any(|flag| flag == "UP"), ..Self::default() };
        bridge.used.extend(present.filter_map(|neighbour| neighbour.dst.parse::<Ipv4Addr>().ok()));
        for address in link.addr_info.iter().filter(|address| address.family == "inet") {
            if let Ok(local) = address.local.parse::<Ipv4Addr>()
                && let Ok(subnet) = Ipv4Net::new(local, address.prefixlen)
            {
                bridge.used.push(local);
                bridge.subnets.push(subnet.trunc());
            }
        }
        bridge.subnets.sort_unstable();
        bridge.subnets.dedup();
        bridge.used.sort_unstable();
        bridge.used.dedup();
        Ok(bridge)
    }

    fn network(&self) -> NetworkFinding {
        match self.is_up {
            true => NetworkFinding::passed(
                "Machines are attached to the network of this host. The Azure ids of the connection are labels.",
            ),
            false => NetworkFinding::failed(
                NetworkProblem::VirtualNetworkInvalid,
                "The network of this host is down.",
                "Ask the operator of the service to repair it.",
            ),
        }
    }

    fn addresses(&self) -> NetworkFinding {
        if self.subnets.is_empty() {
            return NetworkFinding::informational("Not checked: the host does not know the subnet of its machines.");
        }
        match self.subnets.iter().any(|subnet| self.free_of(subnet) > 0) {
            true => NetworkFinding::passed("The subnet of the host's machines has free addresses."),
            false => NetworkFinding::failed(
                NetworkProblem::NoSubnetIp,
                "The subnet of the host's machines has no free address.",
                "Ask the operator of the service for a larger subnet.",
            ),
        }
    }

    fn free_of(&self, subnet: &Ipv4Net) -> u32 {
        let all = 1u64 << (32 - subnet.prefix_len());
        // The first and the last address are no host's, except in the smallest subnets (RFC 3021).
        let hosts = if subnet.prefix_len() < 31 { all - 2 } else { all };
        let used = self.used.iter().filter(|address| subnet.contains(*address)).count() as u64;
        u32::try_from(hosts.saturating_sub(used)).unwrap_or(u32::MAX)
    }
}

/// A device, as `ip -json address` shows it.
#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    addr_info: Vec<LinkAddress>,
}

#[derive(Deserialize)]
struct LinkAddress {
    family: String,
    local: String,
    prefixlen: u8,
}

/// A neighbour, as `ip -json neighbour` shows it.
#[derive(Deserialize)]
struct Neighbour {
    dst: String,
    lladdr: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESSES: &str = r#"[{"ifindex":4,"ifname":"br0","flags":["BROADCAST","MULTICAST","UP"],"operstate":"DOWN",
        "addr_info":[{"family":"inet","local":"192.0.2.1","prefixlen":29,"scope":"global"},
                     {"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}]}]"#;
    const NEIGHBOURS: &str = r#"[{"dst":"192.0.2.2","lladdr":"02:00:00:00:00:02","state":["STALE"]},
        {"dst":"192.0.2.3","state":["FAILED"]},{"dst":"198.51.100.9","lladdr":"02:00:00:00:00:09","state":["STALE"]}]"#;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn free_addresses_are_those_that_no_known_neighbour_has() {
        let bridge = Bridge::parse(ADDRESSES, NEIGHBOURS).unwrap();
        assert_eq!((bridge.is_up, &bridge.subnets), (true, &vec![net("192.0.2.0/29")]));
        assert_eq!(bridge.free_of(&net("192.0.2.0/29")), 4);
        assert_eq!(bridge.addresses().status, NetworkStatus::Passed);
        let full = Bridge { used: net("192.0.2.0/29").hosts().collect(), ..bridge };
        assert_eq!(full.addresses().problem, Some(NetworkProblem::NoSubnetIp));
    }

    #[tokio::test]
    async fn a_tenant_learns_neither_names_nor_addresses_nor_numbers_of_the_host() {
        let up = Bridge::parse(ADDRESSES, NEIGHBOURS).unwrap();
        let full = Bridge { used: net("192.0.2.0/29").hosts().collect(), ..up.clone() };
        let fetcher = Fetcher::new(None).unwrap();
        let missing = run(&Network::Bridge("br0".into()), &fetcher, &NetworkCheck::Network).await.unwrap();
        let mut findings = vec![missing, without_bridge(&NetworkCheck::Network)];
        for bridge in [&up, &full, &Bridge::default()] {
            findings.extend([bridge.network(), bridge.addresses()]);
        }
        for finding in findings {
            assert_eq!(finding.free_addresses, None);
            let text = format!("{} {}", finding.detail, finding.advice);
            let is_secret =
                text.contains("br0") || text.contains("qemu.") || text.chars().any(|letter| letter.is_ascii_digit());
            assert!(!is_secret, "{text}");
        }
    }

    #[test]
    fn subnets_of_every_size_are_counted() {
        let bridge = Bridge { is_up: true, ..Bridge::default() };
        for (subnet, free) in
            [("0.0.0.0/0", u32::MAX - 1), ("10.0.0.0/8", 16_777_214), ("10.0.0.0/31", 2), ("10.0.0.1/32", 1)]
        {
            assert_eq!(bridge.free_of(&net(subnet)), free, "{subnet}");
        }
        assert_eq!(bridge.addresses().status, NetworkStatus::Informational, "no subnet is known");
    }

    #[test]
    fn a_bridge_that_is_down_fails_and_an_unreadable_one_is_an_error() {
        let down = Bridge::parse(&ADDRESSES.replace("\"UP\"", "\"NOARP\""), "").unwrap();
        let finding = down.network();
        assert_eq!(
            (finding.status, finding.problem),
            (NetworkStatus::Failed, Some(NetworkProblem::VirtualNetworkInvalid))
        );
        assert_eq!(Bridge::parse(ADDRESSES, "").unwrap().network().status, NetworkStatus::Passed);
        for (addresses, neighbours) in [("[]", ""), ("", ""), (ADDRESSES, "{")] {
            assert!(Bridge::parse(addresses, neighbours).is_err(), "{addresses} {neighbours}");
        }
    }

    #[test]
    fn a_name_resolves_or_not_or_the_name_service_is_silent() {
        let problem = |found| name_service("corp.test", found).problem;
        assert_eq!(problem(Some(Ok(1))), None);
        assert_eq!(problem(Some(Ok(0))), Some(NetworkProblem::DomainNotFound));
        assert_eq!(problem(Some(Err(io::Error::other("unknown name")))), Some(NetworkProblem::DomainNotFound));
        assert_eq!(problem(None), Some(NetworkProblem::NameServiceUnknown));
    }

    #[tokio::test]
    async fn a_host_without_a_bridge_says_what_is_not_checked() {
        let fetcher = Fetcher::new(None).unwrap();
        let run = async |check| run(&Network::Closed, &fetcher, &check).await.unwrap();
        assert_eq!(run(NetworkCheck::Network).await.status, NetworkStatus::Failed);
        for check in [
            NetworkCheck::Addresses,
            NetworkCheck::NameService("corp.test".into()),
            NetworkCheck::Endpoints(Vec::new()),
            NetworkCheck::DomainJoin("corp.test".into()),
        ] {
            let finding = run(check).await;
            assert_eq!(finding.status, NetworkStatus::Informational);
            assert!(finding.detail.starts_with("Not checked"), "{}", finding.detail);
        }
    }

    #[tokio::test]
    async fn a_missing_bridge_is_a_finding() {
        let fetcher = Fetcher::new(None).unwrap();
        let found = run(&Network::Bridge("lo".into()), &fetcher, &NetworkCheck::Network).await.unwrap();
        assert_eq!(found.problem, Some(NetworkProblem::VirtualNetworkInvalid));
    }

    #[tokio::test]
    async fn endpoints_are_reached_from_the_host() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}/agent.msi", listener.local_addr().unwrap()).parse().unwrap();
        let fetcher = Fetcher::new(None).unwrap();
        let policy = |allowed_urls| FetchPolicy { allowed_urls, size_bytes_max: 1, time_max: Duration::from_secs(5) };
        let open = (url.clone(), policy(vec![url.to_string()]));
        let forbidden = (url, policy(Vec::new()));
        assert_eq!(endpoints(&fetcher, &[]).await.status, NetworkStatus::Passed);
        assert_eq!(endpoints(&fetcher, std::slice::from_ref(&open)).await.status, NetworkStatus::Passed);
        let finding = endpoints(&fetcher, &[open, forbidden]).await;
        assert_eq!(finding.problem, Some(NetworkProblem::EndpointUnknown));
    }
}
