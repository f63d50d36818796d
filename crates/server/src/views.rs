//! From the domain to the wire: plain functions, written out. The only place that knows what Graph
//! calls our states.
//!
//! A view borrows what it shows and is serialised straight into the body.

pub mod action;
pub mod audit;
pub mod catalog;
pub mod cloud_pc;
pub mod connectivity;
pub mod launch;
pub mod managed_device;
pub mod partner;
pub mod remote_action;
pub mod snapshot;

use cloudpc_model::Timestamp;
use serde::{Serialize, Serializer};

/// A time as Graph writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A value that is written by its `Display`, such as an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown<T>(pub T);

impl<T: std::fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// `cloudPcStatusDetail`, and `cloudPcStatusDetails` before it: the same shape.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Detail<'a> {
    /// For programs.
    pub code: &'a str,
    /// For people.
    pub message: &'a str,
    /// Always empty: everything is in the message.
    pub additional_information: [(); 0],
}

impl<'a> Detail<'a> {
    fn new(code: &'a str, message: &'a str) -> Self {
        Self { code, message, additional_information: [] }
    }
}

/// What an empty text is sent as where the contract has null for "none".
fn none_if_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// An enum member declared after `unknownFutureValue`: sent by its name only to clients that ask
/// for it.
fn late_member(name: &'static str, asked_for: bool) -> &'static str {
    if asked_for { name } else { "unknownFutureValue" }
}
