//! The configuration file: one struct per section, unknown names refused.
