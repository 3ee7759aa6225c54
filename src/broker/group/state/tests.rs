//! Tests of the group state.
