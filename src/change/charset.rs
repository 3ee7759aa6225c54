//! The character sets of MySQL and MariaDB, by name and by collation.

/// A character set of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Charset {
    /// Bytes, not text (collation 63).
    Binary,
    /// utf8mb4 and its subset utf8mb3.
    Utf8,
    /// cp1252 with its five holes as C1 controls.
    Latin1,
}
