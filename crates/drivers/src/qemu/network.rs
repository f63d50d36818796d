//! The network of a machine: none, or a bridge of the host.
//!
//! A machine on a bridge has a tap device there, named after the machine. The service opens the
//! device and passes the descriptor to QEMU, whose account therefore needs no access to
//! `/dev/net/tun`. QEMU then holds the only descriptor: the device exists for exactly as long as
//! the process runs, even if the service exits. Opening a tap device requires the capability to
//! administer the host's network (`CAP_NET_ADMIN`).

use cloudpc_model::CloudPcId;
use sha2::{Digest, Sha256};
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::{Command, Stdio};
use tun_rs::{DeviceBuilder, Layer};

/// The directory in which the system lists its network devices.
const DEVICES: &str = "/sys/class/net";

/// The descriptor of the tap device in QEMU's process. The first three are its lock and its logs.
pub const TAP_FD: RawFd = 3;

/// The network of all machines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// No connection, neither to the host nor to a network.
    #[default]
    Closed,
    /// This bridge of the host.
    Bridge(String),
}

impl Network {
    /// Checks that the network exists.
    ///
    /// # Errors
    /// The host has no such bridge.
    pub fn check(&self) -> io::Result<()> {
        match self {
            Self::Bridge(name) if !Path::new(DEVICES).join(name).join("bridge").is_dir() => {
                let message = format!(
                    "this host has no network bridge '{name}'; create it, or remove qemu.bridge from the configuration"
                );
                Err(io::Error::new(io::ErrorKind::NotFound, message))
            }
            _ => Ok(()),
        }
    }

    /// Returns the values of `-netdev` and of the card's `-device`.
    pub fn arguments(&self, id: CloudPcId) -> (String, String) {
        let card = "virtio-net-pci,netdev=net,romfile=";
        match self {
            Self::Closed => ("user,id=net,restrict=on".into(), card.into()),
            Self::Bridge(_) => (format!("tap,id=net,fd={TAP_FD}"), format!("{card},mac={}", address(id))),
        }
    }

    /// Returns whether a machine is connected. A machine that was started before a bridge was
    /// configured is connected from its next start.
    pub fn is_connected(&self, id: CloudPcId) -> bool {
        match self {
            Self::Closed => false,
            Self::Bridge(_) => exists(&device(id)),
        }
    }

    /// Opens the tap device of a stopped machine and attaches it to the bridge; `None` without a
    /// bridge. Blocks.
    ///
    /// # Errors
    /// The bridge does not exist, the service may not create tap devices, or another process holds
    /// this one.
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

    /// Deletes the tap device of a stopped machine, if one exists. Only older versions, which made
    /// persistent devices, leave one. Blocks.
    pub fn remove(&self, id: CloudPcId) -> io::Result<()> {
        match self {
            Self::Bridge(_) if exists(&device(id)) => ip(&["link", "delete", "dev", &device(id)]).map(drop),
            _ => Ok(()),
        }
    }
}

/// Creates a tap device, or attaches to a persistent one. The descriptor is closed in child
/// processes unless it is passed on.
fn open_tap(name: &str) -> io::Result<OwnedFd> {
    // Offload puts a virtio header before each frame, which lets QEMU pass on checksums and large
    // segments. Attaching to the bridge brings the device up; before that the host would assign it
    // an address.
    let builder = DeviceBuilder::new().name(name).layer(Layer::L2).enable(false).with(|options| {
        options.offload(true);
    });
    builder.build_sync()?.as_fd().try_clone_to_owned()
}

fn exists(device: &str) -> bool {
    Path::new(DEVICES).join(device).exists()
}

/// Returns the tap device name of a machine. A name has at most 15 characters (`ip-link(8)`), too
/// few for an id.
fn device(id: CloudPcId) -> String {
    format!("cpc-{}", &digest(id)[..11])
}

/// Returns the Ethernet address of a machine: unique, and the same at every start. The first octet
/// marks it as locally administered.
fn address(id: CloudPcId) -> String {
    let digits = digest(id);
    let octets: Vec<_> = (0..5).map(|at| &digits[2 * at..2 * at + 2]).collect();
    format!("02:{}", octets.join(":"))
}

fn digest(id: CloudPcId) -> String {
    hex::encode(Sha256::digest(id.0))
}

/// Runs `ip` and returns its output. Blocks.
pub fn ip(arguments: &[&str]) -> io::Result<String> {
    let output =
        Command::new("ip").args(arguments).stdin(Stdio::null()).output().map_err(|error| {
            io::Error::new(error.kind(), format!("running `ip` failed ({error}); install iproute2"))
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let message =
        format!("`ip {}` failed: {}; the service needs CAP_NET_ADMIN for bridges", arguments.join(" "), errors.trim());
    Err(io::Error::other(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_machine_has_its_own_device_and_address() {
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
    fn a_missing_bridge_is_named() {
        assert!(Network::Closed.check().is_ok());
        let error = Network::Bridge("lo".into()).check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "this host has no network bridge 'lo'; create it, or remove qemu.bridge from the configuration"
        );
    }
}
