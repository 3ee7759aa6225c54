//! Topic names: by template, by Canal's dynamic topics, and made such that Kafka takes them.

use super::pattern::{Pattern, items};
use super::{Error, RouteSettings};

const KEY: &str = "canal.mq.dynamicTopic";
/// Kafka's limit (`Topic.MAX_NAME_LENGTH`).
const LONGEST: usize = 249;
/// The longest identifier of MySQL and MariaDB, in characters.
const LONGEST_IDENTIFIER: usize = 64;
const SCHEMA: &str = "{schema}";
const TABLE: &str = "{table}";

/// How topics are named.
#[derive(Clone, Debug)]
pub(super) struct TopicRule {
    /// Of what has no database, no table, or no other rule.
    default: String,
    names: Names,
}

#[derive(Clone, Debug)]
enum Names {
    /// `sluice.topic`.
    Template(String),
    /// `canal.mq.topic` alone.
    One,
    /// `canal.mq.dynamicTopic`: a given name or the matched one, by pattern.
    Dynamic(Vec<(Option<String>, Pattern)>),
}

impl TopicRule {
    pub(super) fn new(settings: &RouteSettings, errors: &mut Vec<Error>) -> Self {
        let set = |text: &Option<String>| -> Option<String> {
            text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let default = set(&settings.topic).unwrap_or_else(|| settings.instance.clone());
        let names = if set(&settings.dynamic_topic).is_some() {
            let parsed = items(settings.dynamic_topic.as_deref()).map(parse);
            Names::Dynamic(
                parsed.filter_map(|item| item.map_err(|e| errors.push(e)).ok()).collect(),
            )
        } else if set(&settings.topic).is_some() {
            Names::One
        } else {
            check_template(&settings.template, errors);
            Names::Template(settings.template.clone())
        };
        Self { default, names }
    }

    /// The topic that the settings ask for, whether Kafka would take it or not.
    pub(super) fn name(&self, schema: &str, table: &str) -> String {
        let nameless = schema.is_empty() || table.is_empty();
        match &self.names {
            Names::Template(_) | Names::One if nameless => self.default.clone(),
            Names::Template(template) => template.replace(SCHEMA, schema).replace(TABLE, table),
            Names::One => self.default.clone(),
            Names::Dynamic(_) if nameless => self.default.replace('.', "_"),
            Names::Dynamic(rules) => {
                let found = dynamic(rules, schema, table);
                found.unwrap_or_else(|| self.default.clone()).replace('.', "_")
            }
        }
    }
}

/// An item: `pattern`, or `topic:pattern`.
fn parse(item: &str) -> Result<(Option<String>, Pattern), Error> {
    match item.split_once(':') {
        Some((topic, pattern)) => {
            Ok((Some(topic.trim().to_owned()), Pattern::new(KEY, pattern.trim())?))
        }
        None => Ok((None, Pattern::new(KEY, item)?)),
    }
}

/// The first item that matches `schema.table`, else the first that matches `schema`.
fn dynamic(rules: &[(Option<String>, Pattern)], schema: &str, table: &str) -> Option<String> {
    let schema = schema.to_lowercase();
    let name = format!("{schema}.{}", table.to_lowercase());
    let first = |name: &str| rules.iter().find(|(_, pattern)| pattern.matches_topic(name));
    let (rule, matched) = match first(&name) {
        Some(rule) => (rule, name),
        None => (first(&schema)?, schema),
    };
    Some(rule.0.clone().unwrap_or(matched))
}

fn check_template(template: &str, errors: &mut Vec<Error>) {
    let names = template.matches(SCHEMA).count() + template.matches(TABLE).count();
    let fixed = template.replace(SCHEMA, "").replace(TABLE, "");
    let too_long = fixed.chars().count() + names * LONGEST_IDENTIFIER > LONGEST;
    if too_long || fixed.contains(['{', '}']) || template.trim().is_empty() {
        errors.push(Error::Template(template.to_owned()));
    }
}

/// A name that Kafka takes (`Topic.validate`), and whether it had to be changed for that:
/// one `_` for each character that is not allowed, cut at the longest.
pub(super) fn legal(name: &str) -> (String, bool) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let mend = |c: char| if allowed(c) { c } else { '_' };
    let legal: String = name.chars().take(LONGEST).map(mend).collect();
    let legal = match legal.as_str() {
        "" | "." => "_".to_owned(),
        ".." => "__".to_owned(),
        _ => legal,
    };
    let changed = legal != name;
    (legal, changed)
}
