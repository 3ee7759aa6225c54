//! Whether a statement with IF NOT EXISTS had an effect, as far as the server says it.
//!
//! That there was no such table cannot be known from the history alone: an account may not see
//! it, and a session may have made it without a word in the binlog (`sql_log_bin`). What the
//! servers do, each tried:
//! - MySQL since 8.0 writes the engine's transaction into the event of a CREATE that it made
//!   (`Q_DDL_LOGGED_WITH_XID`, `is_atomic_ddl` in sql/log_event.cc), and none where it found the
//!   table or the database there. A CREATE TABLE .. SELECT is in its own words, within a
//!   transaction. Tables of MyISAM and other engines without transactions have none.
//! - MariaDB since 10.6 writes no CREATE TABLE that found a table there. It does write such a CREATE
//!   DATABASE, and says nothing of its effect.
//! - Servers before write both, and say nothing.

use super::Statement;
use super::ddl::Dialect;

/// What is certain; otherwise it may have had one or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HasEffect {
    /// CREATE TABLE made the table.
    pub(super) on_table: bool,
    /// CREATE DATABASE made the database.
    pub(super) on_database: bool,
    /// The server says it of tables of InnoDB: without a word of it there was no effect.
    pub(super) is_said_of_innodb: bool,
}

/// Of a statement.
pub(super) fn of(statement: &Statement<'_>, dialect: &Dialect) -> HasEffect {
    const MARIADB_IS_SILENT_SINCE: u32 = 100_600;
    const MYSQL_SAYS_IT_SINCE: u32 = 80_000;
    let has_xid = statement.ddl_xid.is_some();
    let is_made = dialect.is_mariadb() && dialect.version >= MARIADB_IS_SILENT_SINCE
        || is_in_the_servers_words(statement.text);
    HasEffect {
        on_table: has_xid || is_made,
        on_database: has_xid,
        is_said_of_innodb: !dialect.is_mariadb() && dialect.version >= MYSQL_SAYS_IT_SINCE,
    }
}

/// CREATE TABLE .. SELECT, as MySQL 8.0 and later write it (`store_create_info`, sql/sql_show.cc).
/// Its last line holds the table's options: a client's own comment that ends in these words does not
/// count.
fn is_in_the_servers_words(text: &str) -> bool {
    let last = text.rsplit('\n').next().unwrap_or_default();
    last.ends_with(" START TRANSACTION") && !last.contains("--") && !last.contains('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_of_clients_are_not_the_servers_words() {
        for (text, is) in [
            ("CREATE TABLE IF NOT EXISTS `s` (\n  `a` int DEFAULT NULL\n) START TRANSACTION", true),
            ("CREATE TABLE IF NOT EXISTS s (a INT) -- START TRANSACTION", false),
            ("CREATE TABLE IF NOT EXISTS s (a INT) # START TRANSACTION", false),
            ("CREATE TABLE IF NOT EXISTS s (a INT)", false),
        ] {
            assert_eq!(is_in_the_servers_words(text), is, "{text}");
        }
    }
}
