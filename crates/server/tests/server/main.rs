//! The server, in this process: real SQLite, simulated machines, a clock that is moved by hand. One
//! program, so that it is linked once.

#![expect(clippy::unwrap_used, reason = "what cannot be unwrapped has failed the test")]

mod admin;
mod answers;
mod architecture;
mod audit;
mod batch;
mod docs;
mod documents;
mod failures;
mod federation;
mod fuzz;
mod lists;
mod model;
mod paging;
mod scans;
mod sign_in;
mod tenants;
mod world;
