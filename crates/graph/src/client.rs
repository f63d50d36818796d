//! A small client for this service: what the command line uses.
