//! An event as a line: in Canal's shape, or as an object of JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// As Canal writes them: `2024-05-01 08:00:00.123 [thread] LEVEL logger - message`.
    #[default]
    Text,
    /// An object a line: `time`, `level`, `target`, `thread`, `instance`, `message`, and the other
    /// fields of the event in `fields`.
    Json,
}

/// Where an event is from.
pub(super) struct Origin<'a> {
    pub(super) thread: &'a str,
    pub(super) level: &'a str,
    pub(super) target: &'a str,
    /// Empty for the server's own.
    pub(super) instance: &'a str,
}

impl Style {
    /// The line of an event at this moment.
    pub(super) fn line(self, origin: &Origin<'_>, said: Said) -> String {
        let Origin { thread, level, target, instance } = origin;
        let now = jiff::Timestamp::from_millisecond(crate::clock::now_millis()).unwrap_or_default();
        let now = now.to_zoned(jiff::tz::TimeZone::system());
        match self {
            Self::Text => {
                let now = now.strftime("%Y-%m-%d %H:%M:%S%.3f");
                let mut line = format!("{now} [{thread}] {level:<5} {target} - {}", said.message);
                for (name, value) in &said.fields {
                    // What was text is written as it is.
                    let _ = match value {
                        Value::String(text) => write!(line, " {name}={text}"),
                        value => write!(line, " {name}={value}"),
                    };
                }
                line.push('\n');
                line
            }
            Self::Json => {
                let mut object = Map::new();
                let mut put = |name: &str, text: String| {
                    object.insert(name.to_owned(), Value::String(text));
                };
                put("time", now.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string());
                put("level", (*level).to_owned());
                put("target", (*target).to_owned());
                put("thread", (*thread).to_owned());
                if !instance.is_empty() {
                    put("instance", (*instance).to_owned());
                }
                put("message", said.message);
                if !said.fields.is_empty() {
                    let fields = said.fields.into_iter();
                    let fields = fields.map(|(name, value)| (name.to_owned(), value)).collect();
                    object.insert("fields".to_owned(), Value::Object(fields));
                }
                format!("{}\n", Value::Object(object))
            }
        }
    }
}

/// The message of an event, its other fields, and the name that a span of an instance has.
#[derive(Default)]
pub(super) struct Said {
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, Value)>,
    pub(super) name: String,
}

impl Said {
    /// A message without fields.
    pub(super) fn message(text: String) -> Self {
        Self { message: text, ..Self::default() }
    }

    fn put(&mut self, field: &Field, value: Value) {
        self.fields.push((field.name(), value));
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            self.put(field, Value::String(format!("{value:?}")));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            "name" => value.clone_into(&mut self.name),
            _ => self.put(field, Value::String(value.to_owned())),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}
