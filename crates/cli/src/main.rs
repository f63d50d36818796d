//! The `cloudpc` binary: the server, and the verbs that talk to one.

fn main() {}
