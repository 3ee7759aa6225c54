//! Names in lower case, as the servers put them: databases and tables where
//! `lower_case_table_names` says so, columns whenever they are compared.
//!
//! Letter by letter, by the tables of `utf8mb3_general_ci` (`my_casedn_str`), which know the
//! letters of Unicode 3.0: read off MySQL 9.7 and MariaDB 10.11, which agree.

/// Letters that got their lower case later: the servers leave them as they are.
const YOUNGER: &[(char, char)] = &[
    ('\u{220}', '\u{220}'),
    ('\u{23a}', '\u{37f}'),
    ('\u{3cf}', '\u{3d8}'),
    ('\u{3f4}', '\u{3ff}'),
    ('\u{48a}', '\u{48a}'),
    ('\u{4c0}', '\u{4c0}'),
    ('\u{4c5}', '\u{4c5}'),
    ('\u{4c9}', '\u{4c9}'),
    ('\u{4cd}', '\u{4cd}'),
    ('\u{4f6}', '\u{4f6}'),
    ('\u{4fa}', '\u{52e}'),
    ('\u{10a0}', '\u{1cbf}'),
    ('\u{1e9e}', '\u{1e9e}'),
    ('\u{1efa}', '\u{1efe}'),
    ('\u{2132}', '\u{2132}'),
    ('\u{2183}', '\u{2183}'),
    ('\u{2c00}', '\u{a7f5}'),
    ('\u{10000}', char::MAX),
];

/// A name in lower case.
pub(crate) fn lower(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    name.chars().map(lower_letter).collect()
}

fn lower_letter(letter: char) -> char {
    if YOUNGER.iter().any(|(first, last)| (*first..=*last).contains(&letter)) {
        return letter;
    }
    // The only one whose lower case is two letters, İ, loses its dot.
    letter.to_lowercase().next().unwrap_or(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `SELECT LOWER(CONVERT(.. USING utf8mb3) COLLATE utf8mb3_general_ci)` has them.
    #[test]
    fn letters_are_those_of_the_server() {
        for (name, folded) in [
            ("Shop.ORDERS_1", "shop.orders_1"),
            ("ÄÖÜß", "äöüß"),
            ("ΑΣ", "ασ"),
            ("İI", "ii"),
            ("ẞ", "ẞ"),
            ("Ⴀ", "Ⴀ"),
            ("ЖЁ", "жё"),
            ("表", "表"),
        ] {
            assert_eq!(lower(name), folded);
        }
    }
}
