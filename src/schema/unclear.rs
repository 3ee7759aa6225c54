//! `utf8` in a statement, where nobody can know whether it is utf8mb3 or utf8mb4.
//!
//! On MariaDB since 10.6 that is a matter of the session's `old_mode`, of which the binlog says
//! nothing. Values of text are the same bytes either way; lengths of CHAR and VARCHAR, and which TEXT
//! a conversion leads to, are not. Where the server's own setting has `UTF8_IS_UTF8MB3`, as it has
//! by default, the name is taken for utf8mb3: a session of another setting makes tables that do not
//! agree with their rows, and are read from the server. Where it has not, what such a statement
//! made is unknown until it is read.

use super::ddl::{Body, Effect};

const WHY: &str = "it names the character set utf8, which is utf8mb3 or utf8mb4 by the old_mode of \
                   its session, and the binlog does not say that";

/// Whether the name is in it, or that of one of its collations. In a comment it counts as well.
pub(super) fn names_utf8(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.match_indices("utf8").any(|(place, name)| {
        let is_letter = |byte: &u8| byte.is_ascii_alphanumeric();
        let before = place.checked_sub(1).and_then(|before| text.as_bytes().get(before));
        let behind = text.get(place + name.len()..).unwrap_or_default();
        !before.is_some_and(|byte| is_letter(byte) || *byte == b'_')
            && !behind.as_bytes().first().is_some_and(is_letter)
    })
}

/// Leaves of effects only that they were; the databases whose default character set is not known
/// behind them.
pub(super) fn void(effects: &mut [Effect]) -> Vec<String> {
    let mut databases = Vec::new();
    for effect in effects {
        match effect {
            Effect::CreateTable { body: body @ Body::Columns { .. }, .. } => {
                *body = Body::Unknown(WHY.to_owned());
            }
            Effect::AlterTable { name, .. } => {
                *effect = Effect::Stale { name: name.clone(), why: WHY.to_owned() };
            }
            Effect::CreateDatabase { name, .. } | Effect::AlterDatabase { name, .. } => {
                databases.push(name.clone());
            }
            Effect::CreateTable { body: Body::Like(_) | Body::Unknown(_), .. }
            | Effect::DropDatabase { .. }
            | Effect::RenameTable { .. }
            | Effect::PartitionToTable { .. }
            | Effect::DropTable { .. }
            | Effect::Stale { .. } => {}
        }
    }
    databases
}

#[cfg(test)]
mod tests {
    use super::names_utf8;

    #[test]
    fn the_bare_name_and_its_collations_are_found() {
        for (text, is) in [
            ("CREATE TABLE t (c CHAR(5) CHARSET utf8)", true),
            ("CREATE TABLE t (c CHAR(5)) CHARSET=UTF8", true),
            ("CREATE TABLE t (c CHAR(5) COLLATE utf8_general_ci)", true),
            ("ALTER TABLE t CONVERT TO CHARACTER SET 'utf8'", true),
            ("CREATE TABLE t (c CHAR(5) CHARSET utf8mb4)", false),
            ("CREATE TABLE t (c CHAR(5) CHARSET utf8mb3 COLLATE utf8mb3_bin)", false),
            ("CREATE TABLE my_utf8 (c INT)", false),
            ("CREATE TABLE t (c INT)", false),
        ] {
            assert_eq!(names_utf8(text), is, "{text}");
        }
    }
}
