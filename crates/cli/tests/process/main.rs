//! The program as users run it: a real process with a real data directory, controlled by its client
//! verbs and by Graph calls.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod deaths;
mod desktop;
mod disk;
mod follow;
mod images;
mod kill;
mod log;
mod machines;
mod scripts;
mod service;
mod start;
mod tour;
mod upgrade;
