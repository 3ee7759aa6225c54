//! The face, without a server: history, rollback, agreement with table maps.
