//! Which tables an account sees: `information_schema` leaves out, without a word, the tables on
//! which it has no privilege.
//!
//! In: the account's grants, those of its active roles among them (`SHOW GRANTS` of both servers).
//! Out: of which databases it certainly sees every table. Always: what is not understood counts as
//! not seen.

use std::str::Chars;

use super::{Error, Session, probe};

/// What an account sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sight {
    /// SELECT on all there is,
    everywhere: bool,
    /// but not on these databases (`partial_revokes` of MySQL).
    revoked: Vec<String>,
    /// What it may in databases, by their names as the grants have them.
    databases: Vec<InDatabase>,
    /// `_` and `%` in these names are letters, as they are with `partial_revokes`.
    is_literal: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct InDatabase {
    name: String,
    selects: bool,
}

impl Sight {
    /// Asks the server.
    pub(crate) async fn ask(session: &mut Session) -> Result<Self, Error> {
        let rows = session.query("SHOW GLOBAL VARIABLES LIKE 'partial_revokes'").await?;
        let is_literal = rows.first().and_then(|row| row.text_at(1)) == Some("ON");
        Ok(Self::read(&probe::grants(session).await?, is_literal))
    }

    fn read(grants: &[String], is_literal: bool) -> Self {
        let mut sight = Self { is_literal, ..Self::default() };
        for grant in grants {
            let (gives, rest) = match (grant.strip_prefix("GRANT "), grant.strip_prefix("REVOKE "))
            {
                (Some(rest), _) => (true, rest),
                (None, Some(rest)) => (false, rest),
                // MariaDB's SET DEFAULT ROLE
                (None, None) => continue,
            };
            // Without it, a role is granted.
            let Some((privileges, object)) = rest.split_once(" ON ") else { continue };
            let selects = selects(privileges);
            if gives && object.starts_with("*.* ") {
                sight.everywhere |= selects;
            } else if let Some(name) = whole_database(object) {
                if gives {
                    sight.databases.push(InDatabase { name, selects });
                } else {
                    sight.revoked.push(name);
                }
            }
        }
        sight
    }

    /// Whether it sees every table of every database, those to come as well.
    pub(crate) fn has_all(&self) -> bool {
        self.everywhere && self.revoked.is_empty()
    }

    /// Whether it certainly sees every table of a database.
    pub(crate) fn has_all_of(&self, database: &str) -> bool {
        if self.everywhere {
            return !self.revoked.iter().any(|name| name.eq_ignore_ascii_case(database));
        }
        // Of several grants that match, MySQL goes by one (`acl_get`, sql/auth/sql_auth_cache.cc).
        let mut matching = self.databases.iter().filter(|of| self.matches(&of.name, database));
        matching.next().is_some_and(|first| first.selects && matching.all(|other| other.selects))
    }

    /// The databases whose tables it sees, as its grants name them.
    pub(crate) fn databases(&self) -> impl Iterator<Item = &str> {
        self.databases.iter().filter(|of| of.selects).map(|of| of.name.as_str())
    }

    fn matches(&self, pattern: &str, database: &str) -> bool {
        if self.is_literal { pattern == database } else { is_like(pattern, database) }
    }
}

/// Whether a list of privileges has SELECT on whole tables.
fn selects(privileges: &str) -> bool {
    let mut privileges = privileges.split(',').map(str::trim);
    privileges.any(|privilege| matches!(privilege, "SELECT" | "ALL PRIVILEGES"))
}

/// The name within `` `database`.* TO ..``, a backquote in it not doubled any more.
fn whole_database(object: &str) -> Option<String> {
    let mut rest = object.strip_prefix('`')?;
    let mut name = String::new();
    loop {
        let (part, behind) = rest.split_once('`')?;
        name.push_str(part);
        match behind.strip_prefix('`') {
            Some(more) => {
                name.push('`');
                rest = more;
            }
            None => return behind.starts_with(".*").then_some(name),
        }
    }
}

/// LIKE, with a backslash before letters that are meant as such. Of several `%` only the last one
/// that was met is tried with more letters: what matched before it needs no more, so the time is
/// bounded by the product of both lengths.
fn is_like(pattern: &str, text: &str) -> bool {
    let (mut letters, mut rest) = (pattern.chars(), text.chars());
    // Behind the last `%`, and the text from where on that was tried last.
    let mut again: Option<(Chars<'_>, Chars<'_>)> = None;
    loop {
        match letters.next() {
            Some('%') => {
                again = Some((letters.clone(), rest.clone()));
                continue;
            }
            None if rest.as_str().is_empty() => return true,
            None => {}
            Some(letter) => {
                let wanted = if letter == '\\' { letters.next().unwrap_or('\\') } else { letter };
                match rest.next() {
                    // No more text: what is left of the pattern wants some.
                    None => return false,
                    Some(found) if letter == '_' || found == wanted => continue,
                    Some(_) => {}
                }
            }
        }
        let Some((behind, from)) = &mut again else { return false };
        if from.next().is_none() {
            return false;
        }
        (letters, rest) = (behind.clone(), from.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Grants as servers show them, and which of these databases their account sees wholly.
    #[test]
    fn an_account_sees_what_its_grants_say() {
        const DATABASES: [&str; 3] = ["pa", "p_b", "pxb"];
        for (grants, is_literal, seen) in [
            (&["GRANT SELECT, REPLICATION SLAVE ON *.* TO `a`@`%`"][..], true, &DATABASES[..]),
            (
                &["GRANT ALL PRIVILEGES ON *.* TO 'root'@'localhost' WITH GRANT OPTION"],
                false,
                &DATABASES,
            ),
            (&["GRANT USAGE ON *.* TO `b`@`%`", "GRANT `r1`@`%` TO `b`@`%`"], false, &[]),
            // A role of MariaDB that is active.
            (
                &[
                    "GRANT `r1` TO `a`@`%`",
                    "GRANT SELECT ON *.* TO `r1`",
                    "SET DEFAULT ROLE `r1` FOR `a`@`%`",
                ],
                false,
                &DATABASES,
            ),
            (&[r"GRANT SELECT ON `p\_b`.* TO `c`@`%`"], false, &["p_b"]),
            (&[r"GRANT SELECT ON `p\_b`.* TO `c`@`%`"], true, &[]),
            (&["GRANT SELECT ON `p_b`.* TO `d`@`%`"], false, &["p_b", "pxb"]),
            (&["GRANT SELECT ON `p_b`.* TO `d`@`%`"], true, &["p_b"]),
            (
                &[
                    "GRANT SELECT ON `pa`.`t1` TO `e`@`%`",
                    "GRANT SELECT (`a`) ON `pa`.`t2` TO `e`@`%`",
                ],
                false,
                &[],
            ),
            (
                &["GRANT SELECT ON *.* TO `f`@`%`", "REVOKE SELECT ON `pa`.* FROM `f`@`%`"],
                true,
                &["p_b", "pxb"],
            ),
            (
                &["GRANT SELECT ON `p%`.* TO `i`@`%`", "GRANT EXECUTE ON `pa`.* TO `i`@`%`"],
                false,
                &["p_b", "pxb"],
            ),
            (&["GRANT ALL PRIVILEGES ON `pa`.* TO `j`@`%` WITH GRANT OPTION"], false, &["pa"]),
            (&["GRANT SELECT (`x`), INSERT ON `pa`.* TO `k`@`%`"], false, &[]),
            (
                &[
                    "GRANT PROXY ON ''@'' TO 'root'@'localhost'",
                    "GRANT EXECUTE ON PROCEDURE `pa`.`p` TO `k`@`%`",
                ],
                false,
                &[],
            ),
        ] {
            let grants: Vec<String> = grants.iter().map(|&grant| grant.to_owned()).collect();
            let sight = Sight::read(&grants, is_literal);
            let found: Vec<&str> =
                DATABASES.into_iter().filter(|name| sight.has_all_of(name)).collect();
            assert_eq!(found, seen, "{grants:?}");
        }
        assert_eq!(whole_database("`a``b`.* TO").as_deref(), Some("a`b"));
    }

    #[test]
    fn names_are_matched_as_like_does() {
        for (pattern, text, matches) in [
            ("", "", true),
            ("", "a", false),
            ("%", "", true),
            ("%%", "é", true),
            ("_", "é", true),
            ("_", "", false),
            ("a%", "abc", true),
            ("%c", "abc", true),
            ("%b", "abc", false),
            ("%b%", "abc", true),
            ("a%b%c", "axbxbxc", true),
            ("a%b%c", "axbxbx", false),
            ("%ab", "aab", true),
            ("a_c%", "abcd", true),
            (r"a\_c", "abc", false),
            (r"a\_c", "a_c", true),
            (r"%\%", "abc%", true),
            (r"%\%", "abc", false),
            ("a\\", "a\\", true),
        ] {
            assert_eq!(is_like(pattern, text), matches, "{pattern:?} {text:?}");
        }
    }

    /// Names of databases have 64 letters; anybody with GRANT OPTION makes such a pattern.
    #[test]
    fn a_pattern_of_many_gaps_takes_no_longer() {
        let pattern = "%a".repeat(32);
        let text = format!("{}b", "a".repeat(4_000));
        let begun = std::time::Instant::now();
        assert!(!is_like(&pattern, &text));
        assert!(is_like(&format!("{pattern}%"), &text));
        assert!(!is_like(&"%_a".repeat(500), &text));
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
