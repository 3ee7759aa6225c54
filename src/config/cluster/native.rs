//! librdkafka's own properties: which there are, whose they are, and what values they take.
//!
//! In: `native.txt`, made from the documentation of the librdkafka that is built in
//! (`tests/golden/kafka/make.sh`); a test of `client` asks librdkafka itself for each row.

/// Scope, name and range of each property, by tab.
pub(super) const TABLE: &str = include_str!("native.txt");

/// A property.
#[derive(Clone, Copy)]
pub(super) struct Native {
    pub(super) name: &'static str,
    scope: &'static str,
    range: &'static str,
}

/// All of them.
pub(super) fn all() -> impl Iterator<Item = Native> {
    TABLE.lines().filter_map(|line| {
        let mut cells = line.split('\t');
        let (scope, name, range) = (cells.next()?, cells.next()?, cells.next()?);
        Some(Native { name, scope, range })
    })
}

/// The property of this name.
pub(super) fn find(name: &str) -> Option<Native> {
    all().find(|one| one.name == name)
}

impl Native {
    /// Whether only a producer has it.
    pub(super) fn is_producers(self) -> bool {
        self.scope == "P"
    }

    /// Whether only a consumer has it.
    pub(super) fn is_consumers(self) -> bool {
        self.scope == "C"
    }

    /// Whether it takes this value.
    pub(super) fn check(self, value: &str) -> Result<(), String> {
        if let Some((least, most)) = self.range.split_once(" .. ") {
            let inside = |least: i64, most: i64| {
                // linger.ms may have a fraction.
                let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
                let whole = value.parse::<i64>().ok();
                let fraction = number.filter(|_| self.name == "linger.ms");
                whole.is_some_and(|number| (least..=most).contains(&number))
                    || fraction.is_some_and(|number| (0.0..=900_000.0).contains(&number))
            };
            let (Ok(low), Ok(high)) = (least.parse(), most.parse()) else { return Ok(()) };
            let wrong = || format!("`{value}` is no whole number from {least} to {most}");
            return inside(low, high).then_some(()).ok_or_else(wrong);
        }
        if self.range.is_empty() {
            return Ok(());
        }
        let words: Vec<&str> = self.range.split(", ").collect();
        let is_flag = words == ["true", "false"];
        let known = |one: &str| {
            is_flag && matches!(one, "t" | "1" | "f" | "0")
                || words.iter().any(|word| word.eq_ignore_ascii_case(one))
        };
        let wrong = if self.name == "debug" {
            value.split(',').map(str::trim).find(|part| !known(part))
        } else {
            Some(value).filter(|value| !known(value))
        };
        match wrong {
            None => Ok(()),
            Some(wrong) => Err(format!("`{wrong}` is none of {}", self.range)),
        }
    }
}
