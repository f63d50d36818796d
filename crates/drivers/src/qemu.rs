//! The QEMU driver: real virtual machines on this host.
//!
//! ```text
//! qemu.rs            the driver: one lock for each machine, and every verb carried to its end under it
//!   machine.rs       the verbs: look at one machine's folder and process, act, look again
//!     layout.rs      where files are, and how they change so that a crash leaves the old or the new
//!     record.rs      what is written down of a machine
//!     disk.rs        disks: made from an image or a restore point, grown, copied
//!     process.rs     the QEMU process: found again by its lock, started, ended
//!       command.rs   its command line
//!     accelerator.rs whether KVM really runs guests here
//!     capacity.rs    whether the host has room
//!   guest.rs         the operating system inside, over the guest agent
//!   image.rs         the images that disks are made from
//!   qmp.rs agent.rs  what is said to QEMU and to the agent, both over wire.rs: bounded lines of JSON
//! ```
//!
//! The truth about a machine is its folder and the lock that its QEMU process holds on the file `pid` there; nothing is remembered in between. So machines run on
//! when the server ends, and are found again by the next one.

#![expect(dead_code, reason = "the driver that speaks over these follows")]

mod agent;
mod layout;
mod qmp;
#[cfg(test)]
mod transcript;
mod wire;
