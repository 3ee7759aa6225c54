//! Which names of savepoints are one to a server: its own collations say so.
//!
//! In: names. Out: which are the same. Always: blanks at the end count, as `strnncoll` of a
//! collation lets them (`find_savepoint`, `sql/transaction.cc` of both servers).

use std::fmt::Write as _;

use super::{Error, Session};

/// `ER_UNKNOWN_CHARACTER_SET`, `ER_UNKNOWN_COLLATION`.
const ER_UNKNOWN: [u16; 2] = [1115, 1273];
/// As many names are asked about at once.
const AT_ONCE: usize = 500;

/// How savepoints are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Savepoints {
    /// Neither case nor accents count (`utf8mb3_general_ci`): MySQL, MariaDB before 11.5.
    ByLetter,
    /// Accents count, case does not (`utf8mb3_general1400_as_ci`): MariaDB since 11.5.
    ByCase,
}

impl Savepoints {
    /// For each of the others whether it is the same name.
    pub(crate) async fn same(
        self,
        session: &mut Session,
        name: &str,
        others: &[&str],
    ) -> Result<Vec<bool>, Error> {
        // The character set was renamed (MySQL 8.0.28, MariaDB 10.6), its collations later (8.0.30).
        let spellings: &[_] = match self {
            Self::ByLetter => &[
                ("utf8mb3", "utf8mb3_general_ci"),
                ("utf8mb3", "utf8_general_ci"),
                ("utf8", "utf8_general_ci"),
            ],
            // A server that has read the file of a newer one may not have it.
            Self::ByCase => {
                &[("utf8mb3", "utf8mb3_general1400_as_ci"), ("utf8mb3", "utf8mb3_general_ci")]
            }
        };
        let mut same = Vec::with_capacity(others.len());
        for some in others.chunks(AT_ONCE) {
            same.extend(same_by_any(session, spellings, name, some).await?);
        }
        Ok(same)
    }
}

/// By the first of the collations that the server knows, or its refusal of the last.
async fn same_by_any(
    session: &mut Session,
    spellings: &[(&str, &str)],
    name: &str,
    others: &[&str],
) -> Result<Vec<bool>, Error> {
    let mut unknown = None;
    for (charset, collation) in spellings {
        match same_by(session, charset, collation, name, others).await {
            Err(error) if error.code().is_some_and(|code| ER_UNKNOWN.contains(&code)) => {
                unknown = Some(error);
            }
            answer => return answer,
        }
    }
    unknown.map_or(Ok(Vec::new()), Err)
}

async fn same_by(
    session: &mut Session,
    charset: &str,
    collation: &str,
    name: &str,
    others: &[&str],
) -> Result<Vec<bool>, Error> {
    let weight = |name: &str| {
        let bytes = hex(name);
        format!("WEIGHT_STRING(CONVERT(X'{bytes}' USING {charset}) COLLATE {collation})")
    };
    let ours = weight(name);
    let equal = others.iter().map(|other| format!("{} = {ours}", weight(other)));
    let ask = format!("SELECT {}", equal.collect::<Vec<_>>().join(", "));
    let rows = session.query(&ask).await?;
    let is_same = |index| rows.first().and_then(|row| row.text_at(index)) == Some("1");
    Ok((0..others.len()).map(is_same).collect())
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut digits, byte| {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
