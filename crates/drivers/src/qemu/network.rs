//! What a machine's network card leads to: nowhere, or to a bridge of the host.
//!
//! A machine on a bridge has a tap device there, named after the machine. The service opens the
//! device and hands the descriptor to QEMU, whose account therefore needs no right to
//! `/dev/net/tun`. QEMU then holds the only descriptor: the device exists for exactly as long as
//! the process runs, whatever the service does meanwhile. Opening one takes the right to administer
//! the host's network (`CAP_NET_ADMIN`).

use cloudpc_model::CloudPcId;
use sha2::{Digest, Sha256};
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::{Command, Stdio};
use tun_rs::{DeviceBuilder, Layer};

/// Where the system lists its network devices.
const DEVICES: &str = "/sys/class/net";

/// The descriptor under which QEMU finds the tap device of its machine. The first three are its
/// lock and its logs.
pub const TAP_FD: RawFd = 3;

/// What network cards lead to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Nowhere: neither to the host's own services nor to a network.
    #[default]
    Closed,
    /// To this bridge.
    Bridge(String),
}

impl Network {
    /// Whether it is there.
    ///
    /// # Errors
    /// The host has no such bridge.
    pub fn check(&self) -> io::Result<()> {
        match self {
            Self::Bridge(name) if !Path::new(DEVICES).join(name).join("bridge").is_dir() => {
                let message = format!("this host has no network bridge '{name}'; make it, or leave qemu.bridge out");
                Err(io::Error::new(io::ErrorKind::NotFound, message))
            }
            _ => Ok(()),
        }
    }

    /// The values of `-netdev` and of the card's `-device`.
    pub fn arguments(&self, id: CloudPcId) -> (String, String) {
        let card = "virtio-net-pci,netdev=net,romfile=";
        match self {
            Self::Closed => ("user,id=net,restrict=on".into(), card.into()),
            Self::Bridge(_) => (format!("tap,id=net,fd={TAP_FD}"), format!("{card},mac={}", address(id))),
        }
    }

    /// Whether a machine's card leads out. One that was started before there was a bridge leads
    /// nowhere until its next start.
    pub fn leads_out(&self, id: CloudPcId) -> bool {
        match self {
            Self::Closed => false,
            Self::Bridge(_) => exists(&device(id)),
        }
    }

    /// Opens the tap device of a machine that does not run, and joins it to the bridge; `None`
    /// without a bridge. Blocks.
    ///
    /// # Errors
    /// The bridge is gone, the service may not make tap devices, or another process holds this one.
    pub fn open(&self, id: CloudPcId) -> io::Result<Option<OwnedFd>> {
        let Self::Bridge(bridge) = self else { return Ok(None) };
        self.check()?;
        let name = device(id);
        let tap = open_tap(&name).map_err(|error| {
            let message = format!(
                "cannot open the tap device {name}: {error}; \
                 the service needs CAP_NET_ADMIN, and read and write access to /dev/net/tun"
            );
            io::Error::new(error.kind(), message)
        })?;
        ip(&["link", "set", "dev", &name, "master", bridge, "up"])?;
        Ok(Some(tap))
    }

    /// Deletes the tap device of a machine that does not run, if one is left. Only versions that
    /// made persistent devices leave any. Blocks.
    pub fn remove(&self, id: CloudPcId) -> io::Result<()> {
        match self {
            Self::Bridge(_) if exists(&device(id)) => ip(&["link", "delete", "dev", &device(id)]),
            _ => Ok(()),
        }
    }
}

/// Creates a tap device, or attaches to a persistent one. The descriptor is closed in every child
/// that it is not handed to.
fn open_tap(name: &str) -> io::Result<OwnedFd> {
    // Offload puts a virtio header before each frame, which lets QEMU pass on checksums and large
    // segments. Joining the bridge brings the device up; before that the host would give it an
    // address.
    let builder = DeviceBuilder::new().name(name).layer(Layer::L2).enable(false).with(|options| {
        options.offload(true);
    });
    builder.build_sync()?.as_fd().try_clone_to_owned()
}

fn exists(device: &str) -> bool {
    Path::new(DEVICES).join(device).exists()
}

/// The tap device of a machine. Its name has at most 15 characters (`ip-link(8)`), which no id fits
/// into.
fn device(id: CloudPcId) -> String {
    format!("cpc-{}", &digest(id)[..11])
}

/// The Ethernet address of a machine: its own, and the same at every start. The first octet says
/// that it was administered locally.
fn address(id: CloudPcId) -> String {
    let digits = digest(id);
    let octets: Vec<_> = (0..5).map(|at| &digits[2 * at..2 * at + 2]).collect();
    format!("02:{}", octets.join(":"))
}

fn digest(id: CloudPcId) -> String {
    hex::encode(Sha256::digest(id.0))
}

fn ip(words: &[&str]) -> io::Result<()> {
    let output = Command::new("ip")
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("`ip` cannot be run ({error}); install iproute2")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let message =
        format!("`ip {}` says: {}; the service needs CAP_NET_ADMIN for bridges", words.join(" "), said.trim());
    Err(io::Error::other(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_a_device_and_an_address_of_its_own() {
        let id = |number| CloudPcId(uuid::Uuid::from_u128(number));
        let (netdev, card) = Network::Bridge("br0".into()).arguments(id(7));
        insta::assert_snapshot!(format!("{netdev}\n{card}"), @r"
        tap,id=net,fd=3
        virtio-net-pci,netdev=net,romfile=,mac=02:6b:ae:42:68:22
        ");
        assert_eq!(device(id(7)), "cpc-6bae426822d");
        assert_ne!(device(id(7)), device(id(8)));
        assert_ne!(address(id(7)), address(id(8)));
        assert!(device(id(7)).len() <= 15);
    }

    #[test]
    fn a_bridge_that_is_not_there_is_named() {
        assert!(Network::Closed.check().is_ok());
        let error = Network::Bridge("lo".into()).check().unwrap_err();
        assert_eq!(error.to_string(), "this host has no network bridge 'lo'; make it, or leave qemu.bridge out");
    }
}
