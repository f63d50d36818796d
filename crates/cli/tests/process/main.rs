//! The program as it is run: a real process on a real data directory, driven by its own client
//! verbs and by Graph calls.

#![expect(clippy::unwrap_used, reason = "what cannot be unwrapped has failed the test")]

mod deaths;
mod desktop;
mod disk;
mod images;
mod kill;
mod log;
mod machines;
mod scripts;
mod service;
mod start;
mod tour;
