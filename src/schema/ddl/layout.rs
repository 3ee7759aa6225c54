//! Whether a server may have written the text of a CREATE TABLE, as it does for CREATE .. SELECT,
//! LIKE of a temporary table and a key that it generates.
//!
//! In: the text and how it is read. Out: false only if `SHOW CREATE TABLE` of no server lays it
//! out or spells it so (`show_create_table_ex` of MariaDB, `store_create_info` of MySQL,
//! sql/sql_show.cc): then a client has sent it. Texts that both may write count as the server's.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::Dialect;

/// How the statement begins.
const HEADS: [&str; 2] = ["CREATE TABLE ", "CREATE OR REPLACE TABLE "];

/// What a line that defines no column begins with.
const KEYS: [&str; 8] =
    ["PRIMARY", "UNIQUE", "KEY", "CONSTRAINT", "FULLTEXT", "SPATIAL", "VECTOR", "PERIOD"];

/// Names of types that are shown by another name.
const ALIASES: &[&str] = &[
    "bool",
    "boolean",
    "character",
    "dec",
    "fixed",
    "float4",
    "float8",
    "int1",
    "int2",
    "int3",
    "int4",
    "int8",
    "integer",
    "key",
    "long",
    "middleint",
    "national",
    "nchar",
    "numeric",
    "nvarchar",
    "real",
    "serial",
    "varcharacter",
];

/// Types that MariaDB shows with a length always.
const WITH_LENGTH: &[&str] = &[
    "bigint",
    "binary",
    "bit",
    "char",
    "decimal",
    "int",
    "mediumint",
    "smallint",
    "tinyint",
    "varbinary",
    "varchar",
    "year",
];

/// What stands in a definition of a column as a client may write it, and no server does.
const NOT_SHOWN: &[&str] =
    &[" PRIMARY KEY", " UNIQUE", " primary key", " unique", " default ", " auto_increment"];

/// Whether a server may have written it.
pub(super) fn may_be_of_server(text: &str, dialect: &Dialect) -> bool {
    let bare = without_quoted(text);
    let Some((head, rest)) = bare.split_once(" (\n") else { return false };
    if !HEADS.iter().any(|begin| head.starts_with(begin)) || bare.contains('\r') {
        return false;
    }
    let mut lines = rest.split('\n').peekable();
    while let Some(line) = lines.next() {
        if line.starts_with(')') {
            return may_be_options(line, dialect);
        }
        let is_last = lines.peek().is_some_and(|next| next.starts_with(')'));
        let Some(element) = line.strip_prefix("  ") else { return false };
        let definition = element.trim_end_matches(',');
        if definition.len() == element.len() && !is_last || !may_be_element(definition, dialect) {
            return false;
        }
    }
    false
}

/// The text without what is in quotes, which may have any letters.
fn without_quoted(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut open = None;
    for letter in text.chars() {
        match open {
            Some(quote) if quote != letter => {}
            Some(_) => {
                open = None;
                bare.push(letter);
            }
            None => {
                open = matches!(letter, '"' | '`' | '\'').then_some(letter);
                bare.push(letter);
            }
        }
    }
    bare
}

fn may_be_element(definition: &str, dialect: &Dialect) -> bool {
    let Some((name, rest)) = definition.split_once(' ') else { return false };
    if KEYS.contains(&name) {
        return true;
    }
    let end = rest.find([' ', '(']).unwrap_or(rest.len());
    let (of_type, behind) = rest.split_at(end);
    let is_shown = !of_type.is_empty()
        && !of_type.contains(|letter: char| letter.is_ascii_uppercase())
        && !ALIASES.contains(&of_type);
    let lacks_length = dialect.is_mariadb() && !behind.starts_with('(');
    // Names have quotes unless `sql_quote_show_create` is off. (Only DROP DEFAULT makes a column
    // that is shown with none of these.)
    let is_quoted = name.starts_with(['"', '`']);
    let says_default = [" NULL", " DEFAULT ", " AS ", " GENERATED "];
    is_shown
        && !(lacks_length && WITH_LENGTH.contains(&of_type))
        && (is_quoted || says_default.iter().any(|words| behind.contains(words)))
        && !NOT_SHOWN.iter().any(|words| behind.contains(words))
}

/// What follows the list: in modes for other servers no engine, and never the end of a statement.
fn may_be_options(line: &str, dialect: &Dialect) -> bool {
    let names_engine = line.to_ascii_uppercase().starts_with(") ENGINE");
    let ends_statement = line.trim_end().ends_with(';');
    !(ends_statement || names_engine && dialect.show_create_lacks_options())
}
