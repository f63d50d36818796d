//! From the domain to the wire: plain functions, written out. The only place that knows what Graph calls our states.
