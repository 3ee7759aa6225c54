//! White and black list of tables.

use fancy_regex::Regex;

use super::{Error, List};

/// Decides which tables are included: those that the white list matches, or all if it is empty,
/// save those that the black list matches.
#[derive(Clone, Debug)]
pub struct TableFilter {
    white: Vec<Regex>,
    black: Vec<Regex>,
    schemas: Option<Vec<String>>,
}

impl TableFilter {
    /// Reads `canal.instance.filter.regex` and `canal.instance.filter.black.regex`. All
    /// patterns that are wrong come at once.
    pub fn new(white: &str, black: &str) -> Result<Self, Vec<(List, Error)>> {
        let mut errors = Vec::new();
        let mut read = |of: List, list: &str| {
            let compiled = pieces(list).into_iter().map(compile);
            compiled.filter_map(|pattern| pattern.map_err(|e| errors.push((of, e))).ok()).collect()
        };
        let schemas: Option<Vec<String>> = pieces(white).into_iter().map(literal_schema).collect();
        let schemas = schemas.filter(|schemas| !schemas.is_empty());
        let filter =
            Self { white: read(List::White, white), black: read(List::Black, black), schemas };
        if errors.is_empty() { Ok(filter) } else { Err(errors) }
    }

    /// The databases, in lower case, that all tables to be published are in; `None` if the patterns
    /// do not name them letter by letter.
    pub fn schemas(&self) -> Option<&[String]> {
        self.schemas.as_deref()
    }

    /// Whether the table is to be published.
    ///
    /// A pattern that runs into the limit of backtracking decides nothing: rows are
    /// rather published too many than lost.
    pub fn includes(&self, schema: &str, table: &str) -> bool {
        let name = format!("{schema}.{table}").to_lowercase();
        let any = |list: &[Regex], undecided| {
            list.iter().any(|pattern| {
                pattern.is_match(&name).unwrap_or_else(|error| {
                    tracing::warn!(pattern = pattern.as_str(), table = name, %error,
                        "a filter pattern could not be decided: the table is published");
                    undecided
                })
            })
        };
        (self.white.is_empty() || any(&self.white, true)) && !any(&self.black, false)
    }
}

/// The database of a pattern's tables, if it has to be one of that name.
fn literal_schema(pattern: &str) -> Option<String> {
    let (schema, _) = pattern.split_once(r"\.").filter(|_| !pattern.contains('|'))?;
    let is_literal = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
    (!schema.is_empty() && schema.chars().all(is_literal)).then(|| schema.to_lowercase())
}

fn compile(pattern: &str) -> Result<Regex, Error> {
    Regex::new(&format!(r"(?is)\A(?:{pattern})\z"))
        .map_err(|error| Error::Pattern { pattern: pattern.to_owned(), reason: error.to_string() })
}

/// Splits at commas outside of brackets; what follows a backslash is no bracket and no
/// comma.
fn pieces(list: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut depth, mut escaped) = (0, 0usize, false);
    for (place, letter) in list.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                found.push(&list[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    found.push(&list[start..]);
    found.into_iter().map(str::trim).filter(|piece| !piece.is_empty()).collect()
}
