//! The patterns of routing keys, and how their items are taken apart.

use fancy_regex::Regex;

use super::Error;

/// What makes a pattern a regular expression for Canal; a dot does not.
const META: &[char] = &['*', '?', '+', '|', '(', ')', '{', '}', '[', ']', '\\', '$', '^'];

/// A name, or a regular expression over names; neither minds the case.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Plain(String),
    Regex { regex: Regex, has_dot: bool },
}

impl Pattern {
    pub(super) fn new(key: &'static str, text: &str) -> Result<Self, Error> {
        if !text.contains(META) {
            return Ok(Self::Plain(text.to_lowercase()));
        }
        let regex = Regex::new(&format!(r"(?is)\A(?:{text})\z")).map_err(|error| {
            Error::Pattern { key, pattern: text.to_owned(), reason: error.to_string() }
        })?;
        Ok(Self::Regex { regex, has_dot: text.contains(r"\.") })
    }

    /// Whether it matches the whole of `name`, which is in lower case.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Plain(plain) => plain == name,
            // a pattern that runs into the limit of backtracking matches nothing
            Self::Regex { regex, .. } => regex.is_match(name).unwrap_or(false),
        }
    }

    /// Whether it matches `name`, of a table or of a schema alone, as dynamic topics do:
    /// a regular expression with an escaped dot is for names with a dot only, one without
    /// it for names without. (So a schema that has a dot itself is no schema to Canal.)
    pub(super) fn matches_topic(&self, name: &str) -> bool {
        let meant = match self {
            Self::Plain(_) => true,
            Self::Regex { has_dot, .. } => *has_dot == name.contains('.'),
        };
        meant && self.matches(name)
    }
}

/// The items of a routing key: separated by every comma and semicolon, brackets or not, as
/// Canal does. Blanks around an item do not count.
pub(super) fn items(list: Option<&str>) -> impl Iterator<Item = &str> {
    let pieces = list.unwrap_or_default().split([',', ';']);
    pieces.map(str::trim).filter(|item| !item.is_empty())
}
