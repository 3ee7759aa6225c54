//! What a QUERY event says of the transaction it is in: BEGIN, COMMIT, marks, XA; or
//! something else, which is a statement for `schema` to read.
//!
//! The server writes these texts itself (`Query_log_event::starts_group` and its like,
//! `sql/log_event.cc`), so their form is fixed; names are quoted as identifiers.

use crate::change::Xid;

/// What a statement does to an XA branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum XaVerb {
    /// Rows follow, up to a PREPARE.
    Start,
    /// MariaDB before 10.5 says so by a statement.
    Prepare,
    Commit,
    Rollback,
}

/// The part of a statement in its transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// BEGIN.
    Begin,
    /// COMMIT: of engines without transactions, which have no XID.
    Commit,
    /// ROLLBACK of all.
    Rollback,
    /// SAVEPOINT sets a mark, of [`savepoint_name`].
    Savepoint,
    /// ROLLBACK TO undoes what is behind the mark of [`savepoint_name`].
    RollbackTo,
    /// RELEASE SAVEPOINT, XA END, and nothing but a comment, as MariaDB's stand-ins for events that
    /// we said not to know are: nothing to do.
    Nothing,
    /// XA START, PREPARE, COMMIT or ROLLBACK of a branch.
    Xa(XaVerb, Xid),
    /// Something of an XA transaction that is none of these.
    OtherXa,
    /// Any other statement.
    Statement,
}

impl Verb {
    /// Reads a statement's text.
    pub(crate) fn of(text: &str) -> Self {
        let text = text.trim();
        let mut words = text.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        // Long statements need not be looked at further.
        let is = |word: &str, keyword: &str| word.eq_ignore_ascii_case(keyword);
        if is(first, "BEGIN") && words.next().is_none() {
            Self::Begin
        } else if is(first, "COMMIT") && words.next().is_none() {
            Self::Commit
        } else if is(first, "ROLLBACK") {
            match words.next() {
                None => Self::Rollback,
                Some(word) if is(word, "TO") => Self::RollbackTo,
                Some(_) => Self::Statement,
            }
        } else if is(first, "SAVEPOINT") {
            Self::Savepoint
        } else if is(first, "RELEASE") && words.next().is_some_and(|word| is(word, "SAVEPOINT")) {
            Self::Nothing
        } else if is(first, "XA") {
            let Some(word) = words.next() else { return Self::OtherXa };
            let verb = if is(word, "END") {
                return Self::Nothing;
            } else if is(word, "START") || is(word, "BEGIN") {
                XaVerb::Start
            } else if is(word, "PREPARE") {
                XaVerb::Prepare
            } else if is(word, "COMMIT") {
                XaVerb::Commit
            } else if is(word, "ROLLBACK") {
                XaVerb::Rollback
            } else {
                return Self::OtherXa;
            };
            let xid: String = words.collect();
            xid.parse().map_or(Self::OtherXa, |xid| Self::Xa(verb, xid))
        } else if text.is_empty() || (text.starts_with('#') && !text.contains('\n')) {
            Self::Nothing
        } else {
            Self::Statement
        }
    }
}

/// The name in the text of a SAVEPOINT or ROLLBACK TO, as it came.
///
/// The server writes both texts itself, in UTF-8 whatever the client speaks: `SAVEPOINT a`,
/// `ROLLBACK TO a`. The name is quoted by back quotes, by double quotes under `ANSI_QUOTES`, or
/// not at all (`sql_quote_show_create=0`); a quote inside is doubled (`append_identifier`,
/// `sql/sql_show.cc`).
pub(crate) fn savepoint_name(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let text = text.trim_end_matches('\0').trim_start();
    let mut rest = text;
    for word in ["SAVEPOINT", "ROLLBACK", "TO"] {
        if let Some((_, behind)) = rest
            .split_at_checked(word.len())
            .filter(|(first, behind)| first.eq_ignore_ascii_case(word) && behind.starts_with(' '))
        {
            rest = behind.trim_start_matches(' ');
        }
    }
    let quote = rest.chars().next().filter(|first| ['`', '"'].contains(first));
    match quote {
        Some(quote) => {
            let inner = rest.get(1..).unwrap_or_default();
            let inner = inner.strip_suffix(quote).unwrap_or(inner);
            inner.replace(&format!("{quote}{quote}"), &quote.to_string())
        }
        None => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xa(verb: XaVerb) -> Verb {
        Verb::Xa(verb, Xid { format: 1, gtrid: b"x1".to_vec(), bqual: Vec::new() })
    }

    #[test]
    fn statements_of_the_server_are_known_by_their_first_words() {
        for (text, verb) in [
            ("BEGIN", Verb::Begin),
            ("COMMIT", Verb::Commit),
            ("commit", Verb::Commit),
            ("ROLLBACK", Verb::Rollback),
            ("SAVEPOINT `a b`", Verb::Savepoint),
            ("SAVEPOINT A", Verb::Savepoint),
            ("ROLLBACK TO `x``y`", Verb::RollbackTo),
            ("ROLLBACK TO x", Verb::RollbackTo),
            ("RELEASE SAVEPOINT x", Verb::Nothing),
            ("XA START X'7831',X'',1", xa(XaVerb::Start)),
            ("XA END X'7831',X'',1", Verb::Nothing),
            ("XA PREPARE X'7831',X'',1", xa(XaVerb::Prepare)),
            ("XA COMMIT X'7831',X'',1", xa(XaVerb::Commit)),
            ("xa rollback X'7831', X'', 1", xa(XaVerb::Rollback)),
            ("XA COMMIT X'7831',X'',1 ONE PHASE", Verb::OtherXa),
            ("XA", Verb::OtherXa),
            ("# Dummy event replacing event type 160 that slave cannot handle.", Verb::Nothing),
            ("# Dummy event repl", Verb::Nothing),
            ("# Dummy event of mine\nALTER TABLE t ADD x int", Verb::Statement),
            ("BEGINNING", Verb::Statement),
            ("CREATE TABLE `begin` (a int)", Verb::Statement),
            ("/* c */ ALTER TABLE t ADD x int", Verb::Statement),
        ] {
            assert_eq!(Verb::of(text), verb, "{text}");
        }
    }

    /// Texts as MySQL 9.7 and MariaDB 10.11 wrote them.
    #[test]
    fn a_savepoint_has_the_name_that_was_quoted() {
        for (text, name) in [
            ("SAVEPOINT `a`", "a"),
            ("SAVEPOINT `A`", "A"),
            ("SAVEPOINT `a\"`", "a\""),
            ("SAVEPOINT ```a```", "`a`"),
            ("ROLLBACK TO `a``b`", "a`b"),
            ("ROLLBACK TO \"q\"\"q`\"", "q\"q`"),
            ("SAVEPOINT ` a b `", " a b "),
            ("SAVEPOINT abc", "abc"),
            ("ROLLBACK TO abc", "abc"),
            ("ROLLBACK TO `é`", "é"),
            ("SAVEPOINT `to`", "to"),
            ("SAVEPOINT ````", "`"),
        ] {
            assert_eq!(savepoint_name(text.as_bytes()), name, "{text}");
        }
    }
}
