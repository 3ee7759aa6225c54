//! The verdicts of a filter, kept by name: patterns cost far more than a look-up, and a server
//! with many tables names each of them again and again.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::TableFilter;

/// So many names are kept in each of two generations; the older one goes when the younger is
/// full.
const GENERATION: usize = 65_536;

/// Verdicts of one filter.
#[derive(Debug, Default)]
pub struct Verdicts {
    young: HashMap<Box<str>, bool>,
    old: HashMap<Box<str>, bool>,
    /// Room for the name that is looked for.
    name: String,
}

impl Verdicts {
    /// As [`TableFilter::includes`]; always of the same `filter`.
    pub fn includes(&mut self, filter: &TableFilter, schema: &str, table: &str) -> bool {
        self.name.clear();
        // The name that the filter itself matches.
        let _ = write!(self.name, "{schema}.{table}");
        if let Some(verdict) = self.young.get(self.name.as_str()) {
            return *verdict;
        }
        let known = self.old.get(self.name.as_str()).copied();
        let verdict = known.unwrap_or_else(|| filter.includes(schema, table));
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(self.name.as_str().into(), verdict);
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_judged_once_while_it_is_in_use() {
        let included = TableFilter::new(r"a\..*", "").unwrap();
        let other = TableFilter::new("b", "").unwrap();
        let mut verdicts = Verdicts::default();
        assert!(verdicts.includes(&included, "a", "t"));
        for number in 0..3 * GENERATION {
            assert!(!verdicts.includes(&other, "x", &number.to_string()));
            if number % 1000 == 0 {
                assert!(verdicts.includes(&other, "a", "t"), "the verdict that is kept");
            }
        }
        assert!(verdicts.young.len() + verdicts.old.len() <= 2 * GENERATION);
    }
}
