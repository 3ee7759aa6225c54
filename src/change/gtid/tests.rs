//! GTID sets keep the laws of sets.
