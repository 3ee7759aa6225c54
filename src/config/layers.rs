//! Which text a key has: environment over files, the stronger file over the weaker, the
//! table's default below all; with the `${name:default}` in it replaced.
//!
//! A placeholder is looked up in the same way, may hold others in its name and in its
//! default, and is an error when nothing answers it. An environment variable answers to
//! the key's own dotted name and to its upper-case form with underscores
//! (`CANAL_MQ_TOPIC`); for Kafka's keys to that form behind `KAFKA_` too, as in the
//! images of Apache Kafka. The upper-case form of a key of one word (`LISTENERS`) may belong
//! to anybody: it counts only where its value looks like that of the key.
//!
//! `${file:..}` and `${exec:..}` are not looked up: they stay as they are, for whoever uses
//! the value. No part of a password's value is in any message.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::keys::{self, Home};
use super::problem::{Place, Problem, Problems};
use super::properties::{self, Entry};

/// Environment variables.
pub type Environment = BTreeMap<String, String>;

/// How deep placeholders may refer to each other; more is a circle.
const DEEPEST: usize = 32;

/// Words before a colon that do not ask for a key: what follows is read at each use.
const AT_USE: [&str; 2] = ["file:", "exec:"];

/// All that is said of a password whose placeholders nobody answers.
const UNANSWERED: &str = "nothing answers a placeholder in its value (which is not shown): set what it asks for in the file or the environment, or read the password from a file as `${file:PATH}`";

/// A file that was read.
#[derive(Debug)]
pub(super) struct PropertyFile {
    path: Arc<Path>,
    entries: Vec<Entry>,
}

impl PropertyFile {
    /// Reads `bytes`, and says what is wrong with the file by itself.
    pub(super) fn read(path: &Path, bytes: &[u8], problems: &mut Problems) -> Self {
        let (entries, bad) = properties::parse(bytes);
        let file = Self { path: path.into(), entries };
        for escape in bad {
            problems.push(Problem::error(
                file.at(escape.line),
                r"`\u` must be followed by four hexadecimal digits",
            ));
        }
        // A password may end in one, and then another is sent than was written.
        for entry in file.entries.iter().filter(|one| one.is_cut && keys::is_secret(&one.key)) {
            problems.push(Problem::warning(
                file.at(entry.line),
                format!(
                    "{}: the blanks at its end are left out, as they are of every value; a password \
                     that ends in one is read from a file, as `${{file:PATH}}`",
                    entry.key
                ),
            ));
        }
        for (place, entry) in file.entries.iter().enumerate() {
            if let Some(later) = file.entries[place + 1..].iter().find(|e| e.key == entry.key) {
                problems.push(Problem::warning(
                    file.at(entry.line),
                    format!("{} is written again on line {}, which wins", entry.key, later.line),
                ));
            }
        }
        file
    }

    /// The entry that counts.
    fn get(&self, name: &str) -> Option<(&str, Place)> {
        let entry = self.entries.iter().rfind(|entry| entry.key == name)?;
        Some((&entry.value, self.at(entry.line)))
    }

    /// All entries, with their places.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &str, Place)> {
        self.entries.iter().map(|entry| (&*entry.key, &*entry.value, self.at(entry.line)))
    }

    /// What stands for a file that an instance has not: all it says is said elsewhere.
    pub(super) fn without_entries(&self) -> Self {
        Self { path: Arc::clone(&self.path), entries: Vec::new() }
    }

    /// The file as a place.
    pub(super) fn place(&self) -> Place {
        Place::File(Arc::clone(&self.path))
    }

    fn at(&self, line: usize) -> Place {
        Place::Line(Arc::clone(&self.path), line)
    }
}

/// A text and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The text, placeholders replaced.
    pub(super) text: String,
    /// Where it was.
    pub(super) place: Place,
}

/// Why a text could not be made out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unresolved {
    pub(super) place: Place,
    pub(super) reason: String,
}

/// What answers a name, strongest first.
#[derive(Clone, Debug)]
pub(super) struct Layers<'a> {
    /// Above all files.
    pub(super) environment: &'a Environment,
    /// The files, stronger ones first.
    pub(super) files: Vec<&'a PropertyFile>,
    /// What only placeholders ask for: `canal.instance.destination`.
    pub(super) given: Vec<(&'static str, String)>,
}

impl Layers<'_> {
    /// The text of `name`, if it is written anywhere.
    pub(super) fn get(&self, name: &str) -> Result<Option<Found>, Unresolved> {
        let Some((raw, place)) = self.raw(name) else { return Ok(None) };
        match self.expand_value(name, &raw, DEEPEST) {
            Ok(text) => Ok(Some(Found { text: text.trim().to_owned(), place })),
            Err(reason) => Err(Unresolved { place, reason: format!("{name}: {reason}") }),
        }
    }

    /// The names longer than `prefix` that begin with it, wherever they are written; upper-case
    /// forms of the environment are not recognised, as their dots are lost.
    pub(super) fn names(&self, prefix: &str) -> impl Iterator<Item = &str> {
        let files = self.files.iter().flat_map(|file| file.entries().map(|(name, _, _)| name));
        let all = files.chain(self.environment.keys().map(String::as_str));
        all.filter(move |name| name.len() > prefix.len() && name.starts_with(prefix))
    }

    /// `text` with its placeholders replaced; for the defaults of the table.
    pub(super) fn expand_default(&self, text: &str) -> Result<String, String> {
        self.expand(text, DEEPEST)
    }

    fn raw(&self, name: &str) -> Option<(String, Place)> {
        for variable in variables(name) {
            if let Some(value) = self.environment.get(&variable)
                && (variable != "LISTENERS" || value.contains("://"))
            {
                return Some((value.clone(), Place::Variable(variable)));
            }
        }
        let written = self.files.iter().find_map(|file| file.get(name));
        written.map(|(value, place)| (value.to_owned(), place))
    }

    /// The value of `name` with its placeholders replaced. Nothing of a password is said.
    fn expand_value(&self, name: &str, raw: &str, depth: usize) -> Result<String, String> {
        self.expand(raw, depth)
            .map_err(|reason| if keys::is_secret(name) { UNANSWERED.to_owned() } else { reason })
    }

    fn expand(&self, text: &str, depth: usize) -> Result<String, String> {
        let mut done = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let inner = &rest[start + 2..];
            let Some(end) = closing_brace(inner) else { break };
            if AT_USE.iter().any(|word| inner.starts_with(word)) {
                let behind = start + 2 + end + 1;
                done.push_str(&rest[..behind]);
                rest = &rest[behind..];
                continue;
            }
            let Some(depth) = depth.checked_sub(1) else {
                return Err(format!("placeholders in `{text}` refer to each other in a circle"));
            };
            done.push_str(&rest[..start]);
            done.push_str(&self.answer(&inner[..end], depth)?);
            rest = &inner[end + 1..];
        }
        Ok(done + rest)
    }

    /// What `name` or `name:default` stands for.
    fn answer(&self, placeholder: &str, depth: usize) -> Result<String, String> {
        let placeholder = self.expand(placeholder, depth)?;
        let (name, default) = match placeholder.split_once(':') {
            Some((name, default)) => (name.trim(), Some(default)),
            None => (placeholder.trim(), None),
        };
        if let Some((_, value)) = self.given.iter().find(|(given, _)| *given == name) {
            return Ok(value.clone());
        }
        if let Some((raw, _)) = self.raw(name) {
            return self.expand_value(name, &raw, depth);
        }
        match (default, keys::find(name)) {
            (Some(default), _) => Ok(default.to_owned()),
            (None, Some(key)) => self.expand(key.default, depth),
            (None, None) => Err(format!(
                "nothing answers `${{{name}}}`: write {name} in the file, set it in the environment, or give a default as `${{{name}:...}}`"
            )),
        }
    }
}

/// The place of the brace that closes a placeholder, inner braces skipped.
pub(crate) fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (place, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(place),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The environment variables that answer `name`, strongest first.
fn variables(name: &str) -> Vec<String> {
    let upper = name.replace(['.', '-'], "_").to_uppercase();
    let mut found = vec![name.to_owned()];
    let broker = keys::find(name).is_some_and(|key| key.home == Home::Broker);
    if name.contains('.') || broker {
        found.push(upper.clone());
    }
    if broker {
        found.push(format!("KAFKA_{upper}"));
    }
    found
}

/// Whether something in `text` is read only when it is used.
pub(super) fn is_read_at_use(text: &str) -> bool {
    AT_USE.iter().any(|word| text.contains(&format!("${{{word}")))
}

/// The names that placeholders of `text` ask for, so that a key that exists only to be
/// asked for is not called unknown.
pub(super) fn names_asked_for(text: &str) -> impl Iterator<Item = &str> {
    text.split("${").skip(1).filter_map(|rest| rest.split([':', '}', '$']).next()).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> PropertyFile {
        PropertyFile::read(Path::new("x"), text.as_bytes(), &mut Problems::default())
    }

    fn get(file: &PropertyFile, environment: &[(&str, &str)], name: &str) -> Option<String> {
        let environment =
            environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let given = vec![("canal.instance.destination", "example".to_owned())];
        let layers = Layers { environment: &environment, files: vec![file], given };
        layers.get(name).unwrap().map(|found| found.text)
    }

    #[test]
    fn placeholders_nest_and_fall_back() {
        let file = file(
            "a = ${b:x}/${c:${d:deep}}\nd = ${e}\ne = end\nplain = \\\\d{1,2}\n\
             dir = ${canal.file.data.dir:../conf}/${canal.instance.destination:}\nopen = ${a",
        );
        assert_eq!(get(&file, &[], "a").unwrap(), "x/end");
        assert_eq!(get(&file, &[("b", "y")], "a").unwrap(), "y/end");
        assert_eq!(get(&file, &[], "plain").unwrap(), r"\d{1,2}");
        assert_eq!(get(&file, &[], "dir").unwrap(), "../conf/example");
        assert_eq!(get(&file, &[], "open").unwrap(), "${a");
        assert_eq!(get(&file, &[], "absent"), None);
    }

    #[test]
    fn a_circle_and_an_unanswered_placeholder_are_errors_with_a_place() {
        let file = file("a = ${b}\nb = ${a}\nc = 1\nd = ${nobody}");
        let environment = Environment::new();
        let layers = Layers { environment: &environment, files: vec![&file], given: vec![] };
        assert!(layers.get("a").unwrap_err().reason.contains("circle"));
        let unanswered = layers.get("d").unwrap_err();
        assert_eq!(unanswered.place, file.at(4));
        assert!(unanswered.reason.contains("${nobody}"));
    }

    #[test]
    fn the_environment_wins_by_dotted_and_by_upper_case_name() {
        let file = file("canal.mq.topic = file\nlisteners = file\nlog.dirs = file");
        assert_eq!(get(&file, &[("canal.mq.topic", "dots")], "canal.mq.topic").unwrap(), "dots");
        assert_eq!(get(&file, &[("CANAL_MQ_TOPIC", "upper")], "canal.mq.topic").unwrap(), "upper");
        assert_eq!(get(&file, &[("KAFKA_LISTENERS", "k")], "listeners").unwrap(), "k");
        assert_eq!(get(&file, &[("LISTENERS", "other")], "listeners").unwrap(), "file");
        let listener = "PLAINTEXT://127.0.0.1:19092";
        assert_eq!(get(&file, &[("LISTENERS", listener)], "listeners").unwrap(), listener);
        assert_eq!(get(&file, &[("LOG_DIRS", "d")], "log.dirs").unwrap(), "d");
    }

    #[test]
    fn blanks_at_the_end_of_a_password_are_left_out_aloud() {
        let text = "canal.instance.dbPassword = secret \t\ncanal.instance.dbUsername = canal \n\
                    kafka.ssl.key.password = x\\u0020\ncanal.passwd = plain\nrabbitmq.password = \n";
        let mut problems = Problems::default();
        let file = PropertyFile::read(Path::new("x"), text.as_bytes(), &mut problems);
        assert_eq!(get(&file, &[], "canal.instance.dbPassword").unwrap(), "secret");
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("canal.instance.dbPassword: the blanks"), "{said:?}");
        assert!(said[1].contains("kafka.ssl.key.password: the blanks"), "{said:?}");
        assert!(!said.concat().contains("secret"), "{said:?}");
    }

    #[test]
    fn what_is_read_at_use_stays_whole_and_nothing_of_a_password_is_said() {
        let text = "db.password = pa${rt}of\n\
                    canal.instance.dbPassword = ${exec:vault read ${HOME}/x | jq .{a}}+${file:/run/p}\n\
                    canal.instance.tsdb.dbPassword = s${ecret\n\
                    canal.passwd = se${cret}\n\
                    canal.admin.passwd = ${canal.admin.passwd}\n\
                    shown = ${canal.passwd}\nrabbitmq.password = ${db.password}\n";
        let file = file(text);
        let whole = "${exec:vault read ${HOME}/x | jq .{a}}+${file:/run/p}";
        assert_eq!(get(&file, &[], "canal.instance.dbPassword").unwrap(), whole);
        assert_eq!(get(&file, &[], "canal.instance.tsdb.dbPassword").unwrap(), "s${ecret");
        let environment = Environment::new();
        let layers = Layers { environment: &environment, files: vec![&file], given: vec![] };
        for name in ["canal.passwd", "canal.admin.passwd", "shown", "rabbitmq.password"] {
            let reason = layers.get(name).unwrap_err().reason;
            assert!(reason.starts_with(name) && reason.contains("not shown"), "{reason}");
            for part in ["cret", "${rt", "pa$"] {
                assert!(!reason.contains(part), "{reason}");
            }
        }
    }
}
