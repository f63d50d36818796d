//! What the store promises, told by using it. One program, so that it is linked once.

#![expect(clippy::unwrap_used, reason = "what cannot be unwrapped has failed the test")]

mod accepted_requests;
mod actions;
mod advances;
mod authorization_codes;
mod changes;
mod crash;
mod deployments;
mod desktop_tickets;
mod directory;
mod documents;
mod durability;
mod fixture;
mod health;
mod invariants;
mod lists;
mod nouns;
mod pages;
mod reading;
mod remote_sessions;
mod rollouts;
mod schema;
mod secrets;
mod sign_ins;
mod undo;
mod writing;
