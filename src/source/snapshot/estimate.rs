//! What a copy would take, in words: rows, bytes and minutes, beside how long the source keeps its
//! binlog.

use std::fmt::Write as _;

use super::copier::Measured;

/// Rows a second where nothing was measured yet.
const GUESSED_RATE: u64 = 50_000;
/// So many tables are named.
const MOST_NAMED: usize = 100;

/// The tables, the largest first, and what they come to. `rate` is in rows a second; `retention` is
/// how long the source keeps what is written now, in seconds, where that is known.
pub(super) fn words(there: &[Measured], rate: Option<u64>, retention: Option<u64>) -> String {
    let mut by_size: Vec<_> = there.iter().collect();
    by_size.sort_by_key(|table| std::cmp::Reverse(table.bytes));
    let mut text = String::new();
    // Writing to a string cannot fail.
    for Measured { name, rows, bytes } in by_size.iter().take(MOST_NAMED) {
        let _ = writeln!(text, "{name}: about {rows} rows, {}", mib(*bytes));
    }
    if by_size.len() > MOST_NAMED {
        let _ = writeln!(text, "and {} smaller ones", by_size.len() - MOST_NAMED);
    }
    let rows: u64 = there.iter().map(|table| table.rows).sum();
    let bytes: u64 = there.iter().map(|table| table.bytes).sum();
    let minutes = rows.div_ceil(rate.unwrap_or(GUESSED_RATE).max(1)).div_ceil(60);
    let how = if rate.is_some() { "measured" } else { "guessed" };
    let rate = rate.unwrap_or(GUESSED_RATE);
    let _ = write!(
        text,
        "in all: {} tables, about {rows} rows, {}, {minutes} minutes at {rate} rows a second ({how})",
        there.len(),
        mib(bytes),
    );
    if let Some(seconds) = retention {
        let _ = write!(text, "; the source keeps its binlog for another {} minutes", seconds / 60);
        if seconds / 60 < minutes {
            text.push_str(
                ": LESS THAN THE COPY MAY TAKE. The stream goes on meanwhile, but a stop of it for \
                 so long would lose changes: raise binlog_expire_logs_seconds first",
            );
        }
    }
    text
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::TableName;

    #[test]
    fn a_copy_that_outlasts_the_binlog_is_warned_of() {
        let table = |name, rows, bytes| Measured { name: TableName::new("db", name), rows, bytes };
        let there = [table("a", 1_000, 1 << 20), table("b", 9_000_000, 900 << 20)];
        let text = words(&there, Some(10_000), Some(600));
        assert!(text.starts_with("db.b: about 9000000 rows, 900 MiB\ndb.a: "), "{text}");
        assert!(text.contains("2 tables, about 9001000 rows, 901 MiB, 16 minutes"), "{text}");
        assert!(text.contains("another 10 minutes: LESS"), "{text}");
        assert!(!words(&there, None, Some(6000)).contains("LESS"));
    }
}
