//! Which tables an instance publishes, and which of their columns.
//!
//! In: the text of Canal's filter keys. Out: a verdict on `schema.table`
//! ([`TableFilter`]) and the columns that are left of a table ([`FieldFilter`]). Pure.
//! Patterns are costly (Canal runs them for every event, which makes ten of them cost
//! nine tenths of its throughput): callers keep the verdict with the table version.
//!
//! Grammar of a pattern list: patterns separated by commas outside any brackets
//! (`db\.t\d{1,2},db2\..*`). A pattern is a regular expression, with look-around, that has
//! to match the whole of `schema.table`, whatever the case. Canal does not trim the pieces,
//! so that `a\..*, b\..*` never matches a table of `b`; here blanks around a piece do not
//! count.

mod fields;
mod tables;
mod verdicts;

pub use fields::FieldFilter;
pub use tables::TableFilter;
pub use verdicts::Verdicts;

/// Which of a filter's two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Of what is published.
    White,
    /// Of what is not.
    Black,
}

/// What is wrong with the text of a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A pattern that is no regular expression.
    #[error("`{pattern}` is not a regular expression: {reason}")]
    Pattern {
        /// The pattern, as written.
        pattern: String,
        /// Why not.
        reason: String,
    },
    /// An item of a column list without its parts.
    #[error("`{0}` is not of the form `schema.table:column/column`")]
    Fields(String),
}

#[cfg(test)]
mod tests;
