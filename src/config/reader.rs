//! From texts to values: each key read by its row of the table, every error kept.
//!
//! A reading never fails: what is wrong is noted and the default goes on in its place, so
//! that one run finds all errors.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::address::Address;
use super::keys::{self, Key, Kind};
use super::layers::{Found, Layers, is_read_at_use};
use super::problem::{Place, Problem, Problems};
use super::secret::Secret;

/// Reads values for one struct.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    layers: Layers<'a>,
    /// What relative paths count from.
    base: &'a Path,
    /// What was wrong so far.
    pub(super) problems: Problems,
    /// Which keys were asked for; a test compares them with the table.
    pub(super) asked: BTreeSet<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(layers: Layers<'a>, base: &'a Path) -> Self {
        Self { layers, base, problems: Problems::default(), asked: BTreeSet::new() }
    }

    /// Where `name` was written.
    pub(super) fn place(&self, name: &str) -> Place {
        match self.layers.get(name) {
            Ok(Some(found)) => found.place,
            Err(unresolved) => unresolved.place,
            Ok(None) => Place::Default,
        }
    }

    /// Notes an error at the place of `name`.
    pub(super) fn refuse(&mut self, name: &str, text: impl AsRef<str>) {
        let problem = Problem::error(self.place(name), format!("{name}: {}", text.as_ref()));
        self.problems.push(problem);
    }

    /// Notes a warning at the place of `name`.
    pub(super) fn warn(&mut self, name: &str, text: impl AsRef<str>) {
        let problem = Problem::warning(self.place(name), format!("{name}: {}", text.as_ref()));
        self.problems.push(problem);
    }

    /// The text, empty if there is none.
    pub(super) fn text(&mut self, name: &'static str) -> String {
        let key = self.row(name);
        match self.found(name) {
            Some(found) => found.text,
            None => self.default_of(key),
        }
    }

    /// The text, unless it is empty.
    pub(super) fn optional(&mut self, name: &'static str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// The parts of a list by comma, trimmed, empty ones left out.
    pub(super) fn list(&mut self, name: &'static str) -> Vec<String> {
        let text = self.text(name);
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    /// A password.
    pub(super) fn secret(&mut self, name: &'static str) -> Secret {
        Secret::new(self.text(name))
    }

    /// A flag.
    pub(super) fn flag(&mut self, name: &'static str) -> bool {
        self.checked(name).is_some_and(|text| flag(&text) == Some(true))
    }

    /// A number that fits `T`, as the bounds of its row see to.
    pub(super) fn number<T: TryFrom<i64> + Default>(&mut self, name: &'static str) -> T {
        self.optional_number(name).unwrap_or_default()
    }

    /// A number, unless nothing is written and there is no default.
    pub(super) fn optional_number<T: TryFrom<i64>>(&mut self, name: &'static str) -> Option<T> {
        let number: i64 = self.checked(name)?.parse().ok()?;
        T::try_from(number).ok()
    }

    /// A time in units of `unit`; none for -1.
    pub(super) fn time(&mut self, name: &'static str, unit: Duration) -> Option<Duration> {
        let count = u64::try_from(self.optional_number::<i64>(name)?).ok()?;
        let millis = u64::try_from(unit.as_millis()).unwrap_or(u64::MAX);
        Some(Duration::from_millis(count.saturating_mul(millis)))
    }

    /// One of the words of the row, in the row's spelling.
    pub(super) fn word(&mut self, name: &'static str) -> &'static str {
        let text = self.checked(name).unwrap_or_default();
        let Kind::OneOf(words) = self.row(name).kind else { return "" };
        words.iter().find(|word| word.eq_ignore_ascii_case(&text)).copied().unwrap_or_default()
    }

    /// Addresses, by comma.
    pub(super) fn addresses(&mut self, name: &'static str, port: u16) -> Vec<Address> {
        let text = self.checked(name).unwrap_or_default();
        Address::list(&text, port).unwrap_or_default()
    }

    /// What relative paths count from.
    pub(super) fn base(&self) -> &'a Path {
        self.base
    }

    /// The names that are written and begin with `prefix`, which stands for a family.
    pub(super) fn family(&self, prefix: &str) -> BTreeSet<String> {
        self.layers.names(prefix).map(str::to_owned).collect()
    }

    /// Whether any environment variable begins so.
    pub(super) fn has_variables(&self, prefix: &str) -> bool {
        self.layers.environment.keys().any(|name| name.starts_with(prefix))
    }

    /// The text of a key of a family, if it is written.
    pub(super) fn written(&mut self, name: &str) -> Option<Found> {
        self.found(name)
    }

    /// A path, made absolute.
    pub(super) fn path(&mut self, name: &'static str) -> Option<PathBuf> {
        self.optional(name).map(|text| join(self.base, &text))
    }

    /// The text if it is what its row demands, else (noted) the default.
    fn checked(&mut self, name: &'static str) -> Option<String> {
        let key = self.row(name);
        let written = self.found(name).filter(|found| !found.text.is_empty());
        let text = match written {
            Some(found) => match check(key.kind, &found.text) {
                Ok(()) => found.text,
                Err(reason) => {
                    self.problems.push(Problem::error(found.place, format!("{name}: {reason}")));
                    self.default_of(key)
                }
            },
            None => self.default_of(key),
        };
        Some(text).filter(|text| !text.is_empty())
    }

    fn found(&mut self, name: &str) -> Option<Found> {
        match self.layers.get(name) {
            Ok(Some(found)) if is_read_at_use(&found.text) && !keys::is_secret(name) => {
                let text = format!(
                    "{name}: only passwords are read from `${{file:..}}` and `${{exec:..}}`: write the value"
                );
                self.problems.push(Problem::error(found.place, text));
                None
            }
            Ok(found) => found,
            Err(unresolved) => {
                self.problems.push(Problem::error(unresolved.place, unresolved.reason));
                None
            }
        }
    }

    fn default_of(&self, key: &Key) -> String {
        self.layers.expand_default(key.default).unwrap_or_default()
    }

    fn row(&mut self, name: &'static str) -> &'static Key {
        self.asked.insert(name);
        keys::find(name).expect("every key that is read has its row in the table")
    }
}

pub(super) fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Some(true),
        "false" | "off" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Whether `text` is what a row of this kind demands.
pub(super) fn check(kind: Kind, text: &str) -> Result<(), String> {
    match kind {
        Kind::Text | Kind::Secret | Kind::Path => Ok(()),
        Kind::Flag => {
            flag(text).map(|_| ()).ok_or_else(|| format!("`{text}` is neither true nor false"))
        }
        Kind::Number(least, most) => match text.parse::<i64>() {
            Ok(number) if (least..=most).contains(&number) => Ok(()),
            _ if least == most => Err(format!("`{text}` is not possible here: use {least}")),
            _ if most == i64::MAX => {
                Err(format!("`{text}` is no whole number of at least {least}"))
            }
            _ => Err(format!("`{text}` is no whole number from {least} to {most}")),
        },
        Kind::OneOf(words) if words.iter().any(|word| word.eq_ignore_ascii_case(text)) => Ok(()),
        Kind::OneOf(words) => Err(format!("`{text}` is none of {}", words.join(", "))),
        Kind::Addresses => Address::list(text, 0)
            .map(|_| ())
            .ok_or_else(|| format!("`{text}` is no address: write host:port")),
    }
}

/// `path` counted from `base`, `.` and `..` taken out, so that messages show a path that
/// can be read.
pub(super) fn join(base: &Path, path: &str) -> PathBuf {
    let mut whole = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                whole.pop();
            }
            other => whole.push(other),
        }
    }
    whole
}
