//! The edge: sockets, TLS, limits, request ids.
