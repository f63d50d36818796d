//! The operations: one file each, registered in one table.
