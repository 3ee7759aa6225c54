//! The one table of keys: name, where it may be, type, default, and what it does here.
//!
//! Everything else is derived from it: which key is unknown, which value is wrong, what
//! a placeholder falls back to, what the shipped files must show. A new setting is one
//! row here and the line that reads it; the tests over the table demand the rest.

mod broker;
mod canal;
mod cluster;
mod instance;
mod operation;

/// Which file a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// `conf/canal.properties` only.
    Canal,
    /// `instance.properties`; in `conf/canal.properties` it is the default of all instances.
    Instance,
    /// `conf/server.properties`.
    Broker,
}

/// What a value must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything.
    Text,
    /// A password: never printed.
    Secret,
    /// `true` or `false` (also on/off, yes/no, 1/0, as Spring reads them).
    Flag,
    /// A whole number within bounds, both included.
    Number(i64, i64),
    /// One of these words, in any case.
    OneOf(&'static [&'static str]),
    /// `host:port`, or several by comma.
    Addresses,
    /// A path.
    Path,
}

/// What the key does in this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It works.
    Served,
    /// It will: the value is taken note of, nothing follows yet.
    NotYet,
    /// Nothing here needs it, for the reason its doc gives.
    NoEffect,
    /// It works where changes go to a Kafka cluster.
    Cluster,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The name; one that ends in `*` stands for all that begin so, `<name>` for any word or
    /// words in its place, `<n>` for a number.
    pub name: &'static str,
    /// Where it may be.
    pub home: Home,
    /// What its value must look like.
    pub kind: Kind,
    /// The value when none is given; empty for none.
    pub default: &'static str,
    /// What it means, or why it has no effect.
    pub doc: &'static str,
    /// What it does here.
    pub class: Class,
    /// Other values that are in files of the program it comes from, as some version ships
    /// them: nobody asked for anything there.
    pub shipped: &'static [&'static str],
}

impl Key {
    /// Whether the row is about `name`.
    pub fn covers(&self, name: &str) -> bool {
        if let Some((before, after)) = self.name.split_once("<name>") {
            let rest = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            return rest.is_some_and(|word| !word.is_empty());
        }
        if let Some((before, after)) = self.name.split_once("<n>") {
            let Some(rest) = name.strip_prefix(before) else { return false };
            let word = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
            return word.len() < rest.len() && begins(after, word);
        }
        begins(self.name, name)
    }

    /// Whether a value of it is never shown.
    pub fn is_secret(&self) -> bool {
        self.kind == Kind::Secret
    }
}

/// Whether `name` is `pattern`, or begins as one that ends in `*` says.
fn begins(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.len() > prefix.len() && name.starts_with(prefix),
        None => pattern == name,
    }
}

/// Whether the values of `name` are never shown: keys of the table that say so, and names
/// that somebody made up for a password to be asked for by a placeholder.
pub(super) fn is_secret(name: &str) -> bool {
    let named = || name.to_ascii_lowercase().contains("passw");
    find(name).is_some_and(Key::is_secret) || super::cluster::is_secret(name) || named()
}

/// As many partitions as a topic of the log may have.
pub const MOST_PARTITIONS: i64 = 10_000;

/// All rows, file by file.
pub const KEYS: &[&[Key]] =
    &[canal::KEYS, operation::KEYS, cluster::KEYS, instance::KEYS, broker::KEYS];

/// The row about `name`, exact names before families.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    let rows = || KEYS.iter().copied().flatten().filter(|key| key.covers(name));
    rows().find(|key| key.name == name).or_else(|| rows().next())
}

/// All names that are no family.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let one = |name: &&str| !name.ends_with('*') && !name.contains('<');
    KEYS.iter().copied().flatten().map(|key| key.name).filter(one)
}

/// A key that works.
const fn served(
    home: Home,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> Key {
    Key { name, home, kind, default, doc, class: Class::Served, shipped: &[] }
}

/// A key that will work; `default` is the one of the program it comes from.
const fn later(home: Home, name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key { name, home, kind: Kind::Text, default, doc, class: Class::NotYet, shipped: &[] }
}

/// The same key, of which other versions ship other values.
const fn as_shipped(key: Key, shipped: &'static [&'static str]) -> Key {
    Key { shipped, ..key }
}

/// The same key, whose value is never shown.
const fn secret(key: Key) -> Key {
    Key { kind: Kind::Secret, ..key }
}

/// A key without meaning here; `default` is the one of the program it comes from.
const fn idle(home: Home, name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key { name, home, kind: Kind::Text, default, doc, class: Class::NoEffect, shipped: &[] }
}
