//! From a home folder to [`Settings`]: which files there are, what they say together, and
//! what changed since.
//!
//! ```text
//! <home>/conf/canal.properties            the process, and defaults of all instances
//! <home>/conf/server.properties           the log and its broker
//! <home>/instances/<name>/instance.properties
//! <canal.conf.dir>/<name>/instance.properties      (Canal's place; one name, one file)
//! ```
//!
//! An instance that `canal.destinations` names may have no file at all: then it is what the
//! environment and `canal.properties` say, as in Canal's images. The example that is shipped
//! gives way, as long as nobody changed it: to `<canal.conf.dir>/example`, and to instances
//! of the environment.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::instance::Instance;
use super::keys::{self, Class, Home, Key};
use super::layers::{self, Environment, Layers, PropertyFile};
use super::nearest::nearest;
use super::problem::{Place, Problem, Problems, Severity};
use super::reader::Reader;
use super::server::{ServerConfig, Target};

/// The instance that is shipped.
const EXAMPLE: &str = "example";
const SHIPPED_EXAMPLE: &str = include_str!("../../instances/example/instance.properties");

/// Keys whose places are asked for when what they name cannot be had.
const PLACED: [&str; 5] =
    ["canal.ip", "canal.metrics.pull.port", "listeners", "log.dirs", "log.dir"];

/// How the caller reads files.
#[derive(Clone, Copy)]
pub struct Files<'a> {
    /// The bytes of a file; `None` if it is not there, a sentence if it cannot be read.
    pub read: &'a ReadFile<'a>,
    /// The names of the folders in a folder; none if it is not there.
    pub folders: &'a ListFolders<'a>,
}

/// Reads one file.
pub type ReadFile<'a> = dyn Fn(&Path) -> Result<Option<Vec<u8>>, String> + 'a;

/// Lists the folders in one.
pub type ListFolders<'a> = dyn Fn(&Path) -> Result<Vec<String>, String> + 'a;

/// Everything that was configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What `SLUICE_HOME` is: relative paths count from it, or from its `bin/`.
    pub home: PathBuf,
    /// The process.
    pub server: ServerConfig,
    /// The instances, by name.
    pub instances: Vec<Instance>,
    /// Warnings and notes.
    pub remarks: Problems,
    places: BTreeMap<String, Place>,
}

/// What a reload has to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Instances to start.
    pub added: Vec<String>,
    /// Instances to stop and start again.
    pub changed: Vec<String>,
    /// Instances to stop.
    pub removed: Vec<String>,
    /// Something only a restart of the process applies was changed.
    pub needs_restart: bool,
    /// Which log lines are written.
    pub levels: bool,
}

impl Changes {
    /// Whether there are any.
    pub fn is_some(&self) -> bool {
        self.has_instances() || self.needs_restart || self.levels
    }

    /// Whether any instance is concerned.
    pub fn has_instances(&self) -> bool {
        !(self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty())
    }
}

impl Settings {
    /// A key of the process with the place where it is written, for messages about what it
    /// names.
    pub fn key_and_place(&self, key: &str) -> String {
        match self.places.get(key) {
            Some(place) => format!("{key}, {place}"),
            None => key.to_owned(),
        }
    }

    /// What leads from `self` to `new`.
    pub fn changes(&self, new: &Self) -> Changes {
        let find = |settings: &Self, name: &str| {
            settings
                .instances
                .iter()
                .find(|one| one.config.name == name)
                .map(|one| one.config.clone())
        };
        let (mut server, levels) = (new.server.clone(), &self.server.lines.levels);
        server.lines.levels.clone_from(levels);
        let mut changes = Changes {
            needs_restart: self.server != server,
            levels: new.server.lines.levels != *levels,
            ..Changes::default()
        };
        for instance in &new.instances {
            let name = &instance.config.name;
            match find(self, name) {
                None => changes.added.push(name.clone()),
                Some(old) if old != instance.config => changes.changed.push(name.clone()),
                Some(_) => {}
            }
        }
        let removed = self.instances.iter().map(|one| one.config.name.clone());
        changes.removed = removed.filter(|name| find(new, name).is_none()).collect();
        changes
    }
}

/// Reads everything below `home`. Either all of it is right, or all errors come back
/// (with the warnings).
///
/// `server_properties` replaces `conf/server.properties`; `with_instances` false leaves
/// the instances out (the broker alone).
pub fn load(
    home: &Path,
    environment: &Environment,
    server_properties: Option<&Path>,
    with_instances: bool,
    files: Files<'_>,
) -> Result<Settings, Problems> {
    let mut loading = Loading::new(home, environment, files);
    let (server, instances) = loading.all(server_properties, with_instances, &mut BTreeSet::new());
    if loading.problems.has_errors() {
        return Err(loading.problems);
    }
    let Loading { problems: remarks, places, .. } = loading;
    Ok(Settings { home: home.to_owned(), server, instances, remarks, places })
}

const NO_CLUSTER: &str = "it counts with canal.serverMode = kafka";

const NO_INSTANCE: &str = "no instance, so that nothing is published: create instances/<name>/instance.properties, or set canal.destinations";

fn placeholders(file: &PropertyFile) -> BTreeSet<String> {
    file.entries()
        .flat_map(|(_, value, _)| layers::names_asked_for(value))
        .map(str::to_owned)
        .collect()
}

/// One reading of everything: what was found wrong gathers here.
pub(super) struct Loading<'a> {
    home: &'a Path,
    environment: &'a Environment,
    files: Files<'a>,
    problems: Problems,
    places: BTreeMap<String, Place>,
    /// Whether changes go to a Kafka cluster, so that its keys count.
    has_cluster: bool,
}

impl<'a> Loading<'a> {
    pub(super) fn new(home: &'a Path, environment: &'a Environment, files: Files<'a>) -> Self {
        let (problems, places) = (Problems::default(), BTreeMap::new());
        Self { home, environment, files, problems, places, has_cluster: false }
    }

    /// Reads everything; `asked` gathers the keys that were read.
    pub(super) fn all(
        &mut self,
        server_properties: Option<&Path>,
        with_instances: bool,
        asked: &mut BTreeSet<&'static str>,
    ) -> (ServerConfig, Vec<Instance>) {
        let conf = self.home.join("conf");
        let canal = self.file_or_nothing(&conf.join("canal.properties"), false);
        let broker = match server_properties {
            Some(path) => self.file_or_nothing(path, true),
            None => self.file_or_nothing(&conf.join("server.properties"), false),
        };
        let server = self.server(&canal, &broker, asked);
        let mut asked_for = placeholders(&canal);
        let mut instances = Vec::new();
        if with_instances {
            for (name, file) in self.instance_files(&server, &canal) {
                asked_for.extend(placeholders(&file));
                instances.push(self.instance(&name, &file, &canal, asked));
                self.judge_keys(&file, Home::Instance, &asked_for);
            }
            if instances.is_empty() && !self.problems.has_errors() {
                self.problems.push(Problem::warning(canal.place(), NO_INSTANCE));
            }
        }
        self.judge_partitions(&server, &instances);
        self.judge_keys(&canal, Home::Canal, &asked_for);
        self.judge_keys(&broker, Home::Broker, &placeholders(&broker));
        self.judge_environment();
        (server, instances)
    }

    /// A file that was asked for by name must be there; one that was not says the
    /// defaults by being absent.
    fn file_or_nothing(&mut self, path: &Path, must: bool) -> PropertyFile {
        let found = self.file(path);
        if must && found.is_none() {
            self.problems.push(Problem::error(Place::File(path.into()), "there is no such file"));
        }
        found.unwrap_or_else(|| PropertyFile::read(path, b"", &mut Problems::default()))
    }

    fn file(&mut self, path: &Path) -> Option<PropertyFile> {
        match (self.files.read)(path) {
            Ok(bytes) => Some(PropertyFile::read(path, &bytes?, &mut self.problems)),
            Err(reason) => {
                let text = format!("cannot be read: {reason}");
                self.problems.push(Problem::error(Place::File(path.into()), text));
                None
            }
        }
    }

    fn server(
        &mut self,
        canal: &PropertyFile,
        broker: &PropertyFile,
        asked: &mut BTreeSet<&'static str>,
    ) -> ServerConfig {
        let layers =
            |file| Layers { environment: self.environment, files: vec![file], given: vec![] };
        let bin = self.home.join("bin");
        let mut canal = Reader::new(layers(canal), &bin);
        let mut broker = Reader::new(layers(broker), self.home);
        let (server, places) = ServerConfig::read(&mut canal, &mut broker);
        self.has_cluster = matches!(server.target, Target::Cluster(_));
        self.places.extend(places.into_iter().filter(|(_, place)| *place != Place::Default));
        for key in PLACED {
            let reader = if key.starts_with("canal.") { &canal } else { &broker };
            let place = reader.place(key);
            if place != Place::Default {
                self.places.insert(key.to_owned(), place);
            }
        }
        for reader in [canal, broker] {
            self.problems.extend(reader.problems);
            asked.extend(reader.asked);
        }
        server
    }

    fn instance(
        &mut self,
        name: &str,
        file: &PropertyFile,
        canal: &PropertyFile,
        asked: &mut BTreeSet<&'static str>,
    ) -> Instance {
        let layers = Layers {
            environment: self.environment,
            files: vec![file, canal],
            given: vec![("canal.instance.destination", name.to_owned())],
        };
        let bin = self.home.join("bin");
        let mut reader = Reader::new(layers, &bin);
        let instance = Instance::read(name, file.place(), &mut reader);
        self.judge_group(name, &reader, [file, canal]);
        self.problems.extend(reader.problems);
        asked.extend(reader.asked);
        instance
    }

    /// Of several servers that Canal would merge none is read: an error where it would be
    /// the built-in address instead.
    fn judge_group(&mut self, name: &str, reader: &Reader<'_>, files: [&PropertyFile; 2]) {
        const ADDRESS: &str = "canal.instance.master.address";
        if reader.place(ADDRESS) != Place::Default {
            return;
        }
        let is_server = |key: &str| {
            let row = keys::find(key).map(|row| row.name);
            row == Some("canal.instance.master<n>.*") && key.ends_with(".address")
        };
        let written = files.into_iter().flat_map(PropertyFile::entries);
        let variables = self.environment.iter();
        let variables = variables.map(|(k, value)| (&**k, &**value, Place::Variable(k.clone())));
        let found =
            written.chain(variables).find(|(key, value, _)| is_server(key) && !value.is_empty());
        if let Some((key, _, place)) = found {
            let text = format!(
                "{key}: an instance here reads one server, and none is written for instance {name}: write it as {ADDRESS}, and give each of the others an instance of its own"
            );
            self.problems.push(Problem::error(place, text));
        }
    }

    /// The instance files there are, by name; with auto scan every folder counts, without
    /// it only the destinations do.
    fn instance_files(
        &mut self,
        server: &ServerConfig,
        canal: &PropertyFile,
    ) -> BTreeMap<String, PropertyFile> {
        let roots = [self.home.join("instances"), server.conf_dir.clone()];
        let mut names: BTreeSet<String> = server.destinations.iter().cloned().collect();
        if server.scan_interval.is_some() {
            for root in &roots {
                match (self.files.folders)(root) {
                    Ok(found) => names.extend(found),
                    Err(reason) => self.problems.push(Problem::error(
                        Place::File(root.as_path().into()),
                        format!("cannot be read: {reason}"),
                    )),
                }
            }
        }
        let layers = Layers { environment: self.environment, files: vec![canal], given: vec![] };
        let written = |key: &str| layers.get(key).ok().flatten();
        let has_address = written("canal.instance.master.address").is_some();
        let destinations = written("canal.destinations").map_or(canal.place(), |found| found.place);
        let mut found = BTreeMap::new();
        let mut without_file = false;
        for name in names {
            let paths = roots.each_ref().map(|root| root.join(&name).join("instance.properties"));
            let named = server.destinations.contains(&name);
            match self.instance_file(&name, &paths) {
                Some(file) => {
                    self.judge_name(&name, &file);
                    found.insert(name, file);
                }
                None if named && has_address => {
                    let file = canal.without_entries();
                    self.judge_name(&name, &file);
                    found.insert(name, file);
                    without_file = true;
                }
                None if named => self.problems.push(Problem::error(
                    destinations.clone(),
                    format!(
                        "canal.destinations names {name}, but neither {} nor {} is there: create one (the folder instances/{EXAMPLE} can be renamed), set canal.instance.master.address in the environment or in canal.properties, or take the name out",
                        paths[0].display(),
                        paths[1].display()
                    ),
                )),
                None => {}
            }
        }
        // Canal's images rename the example to what the environment names.
        let example = found.get(EXAMPLE).filter(|_| without_file);
        if let Some(file) = example.filter(|file| is_as_shipped(file))
            && !server.destinations.iter().any(|name| name == EXAMPLE)
        {
            let text = "left out: it is as it was shipped, and canal.destinations names others";
            self.problems.push(Problem::note(file.place(), text));
            found.remove(EXAMPLE);
        }
        found
    }

    fn instance_file(&mut self, name: &str, paths: &[PathBuf; 2]) -> Option<PropertyFile> {
        let [ours, canals] = paths;
        let first = self.file(ours);
        if ours == canals {
            return first;
        }
        let second = self.file(canals);
        match (first, second) {
            (Some(first), Some(second)) if name == EXAMPLE && is_as_shipped(&first) => {
                let text = format!(
                    "left out, as it is the example that was shipped: instance {name} is that of {}; remove this folder",
                    canals.display()
                );
                self.problems.push(Problem::warning(first.place(), text));
                Some(second)
            }
            (Some(first), Some(_)) => {
                let text = format!(
                    "instance {name} is in {} too: remove one of the two",
                    canals.display()
                );
                self.problems.push(Problem::error(first.place(), text));
                Some(first)
            }
            (first, second) => first.or(second),
        }
    }

    /// A topic of a cluster is made with as many partitions as the cluster's key says; into which
    /// of them rows go, the instance's keys say.
    fn judge_partitions(&mut self, server: &ServerConfig, instances: &[Instance]) {
        const KEY: &str = "kafka.topic.partitions";
        let Target::Cluster(config) = &server.target else { return };
        let Some(made) = config.partitions else { return };
        for instance in instances {
            let (name, route) = (&instance.config.name, &instance.config.route);
            // By topic it may be right for each.
            if !route.topic_partitions.is_empty() {
                continue;
            }
            let (used, by) = match (&*route.partition_hash, route.partitions) {
                ("", _) => (route.partition.saturating_add(1), "canal.mq.partitionHash is not set"),
                (_, None) => (1, "canal.mq.partitionsNum is not set"),
                (_, Some(number)) => (number, "canal.mq.partitionsNum says so"),
            };
            let text = match used.cmp(&made) {
                Ordering::Equal => continue,
                Ordering::Less => format!(
                    "{KEY} = {made}: instance {name} writes into {used} of the partitions only \
                     ({by}), and the others stay empty: set canal.mq.partitionsNum = {made} and \
                     canal.mq.partitionHash for it, or take {KEY} out"
                ),
                Ordering::Greater => format!(
                    "{KEY} = {made} has no effect for instance {name}, which writes into {used} \
                     partitions ({by})"
                ),
            };
            let place = self.places.get(KEY).cloned().unwrap_or(Place::Default);
            self.problems.push(Problem::warning(place, text));
        }
    }

    /// The name becomes part of topic names, whose letters are Kafka's.
    fn judge_name(&mut self, name: &str, file: &PropertyFile) {
        let legal = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
        if name.len() > 100 || !name.chars().all(legal) {
            let text = format!(
                "`{name}` is no name for an instance: use up to 100 letters, digits, `.`, `_` and `-`"
            );
            self.problems.push(Problem::error(file.place(), text));
        }
    }

    /// Says which keys of `file` are unknown, out of place, or without effect.
    fn judge_keys(&mut self, file: &PropertyFile, home: Home, asked_for: &BTreeSet<String>) {
        let mut idle: BTreeMap<(Severity, &str), (Place, Vec<&str>)> = BTreeMap::new();
        for (name, value, place) in file.entries() {
            let Some(key) = keys::find(name) else {
                if !asked_for.contains(name) {
                    self.problems.push(unknown(name, place, "key"));
                }
                continue;
            };
            if has_comment(name, value) {
                let text = format!(
                    "{name}: `#` after a blank is part of the value; a comment needs a line of its own"
                );
                self.problems.push(Problem::warning(place.clone(), text));
            }
            if !may_be_in(key, home) {
                let text =
                    format!("{name} belongs in {} and has no effect here", file_of(key.home));
                self.problems.push(Problem::warning(place, text));
            } else if let Some((severity, reason)) = self.silence(key, value) {
                let (_, names) = idle.entry((severity, reason)).or_insert((place, Vec::new()));
                names.push(name);
            }
        }
        for ((severity, doc), (place, names)) in idle {
            let verb = if names.len() == 1 { "has" } else { "have" };
            let text = format!("{} {verb} no effect: {doc}", names.join(", "));
            self.problems.push(Problem { severity, place, text });
        }
    }

    /// Only dotted names: what is upper case may belong to anybody.
    fn judge_environment(&mut self) {
        for (name, value) in self.environment {
            let ours = name.starts_with("canal.") || name.starts_with("sluice.");
            let place = Place::Variable(name.clone());
            match keys::find(name) {
                None if ours => self.problems.push(unknown(name, place, "setting")),
                Some(key) if ours => {
                    if let Some((severity, reason)) = self.silence(key, value) {
                        let text = format!("{name} has no effect: {reason}");
                        self.problems.push(Problem { severity, place, text });
                    }
                }
                _ => {}
            }
        }
    }

    /// How loudly to say that a key does nothing, and why: not at all where it is as its program
    /// ships it, since then nobody asked for anything.
    fn silence(&self, key: &Key, value: &str) -> Option<(Severity, &'static str)> {
        let value = without_comment(value);
        let family = key.name.ends_with('*');
        let as_shipped = !family && value == key.default || key.shipped.contains(&value);
        if value.is_empty() || as_shipped {
            return None;
        }
        match key.class {
            Class::Served => None,
            Class::NoEffect if family => Some((Severity::Note, key.doc)),
            Class::NotYet | Class::NoEffect => Some((Severity::Warning, key.doc)),
            // The cluster's settings say by themselves which of them have no effect.
            Class::Cluster if self.has_cluster => None,
            // Every canal.properties has them, whatever its serverMode.
            Class::Cluster if key.name.starts_with("kafka.") => Some((Severity::Note, NO_CLUSTER)),
            Class::Cluster => Some((Severity::Warning, NO_CLUSTER)),
        }
    }
}

fn unknown(name: &str, place: Place, what: &str) -> Problem {
    let hint = match nearest(name, keys::names()) {
        Some(known) => format!(": did you mean {known}?"),
        None => String::new(),
    };
    Problem::warning(place, format!("unknown {what} {name}{hint}"))
}

fn may_be_in(key: &Key, file: Home) -> bool {
    key.home == file || (key.home == Home::Instance && file == Home::Canal)
}

fn file_of(home: Home) -> &'static str {
    match home {
        Home::Canal => "conf/canal.properties",
        Home::Instance => "instance.properties",
        Home::Broker => "conf/server.properties",
    }
}

/// Whether the file is the example as it is shipped, or says less.
fn is_as_shipped(file: &PropertyFile) -> bool {
    let shipped =
        PropertyFile::read(Path::new(""), SHIPPED_EXAMPLE.as_bytes(), &mut Problems::default());
    let shipped: BTreeSet<_> =
        shipped.entries().map(|(name, value, _)| (name.to_owned(), value.to_owned())).collect();
    file.entries().all(|(name, value, _)| shipped.contains(&(name.to_owned(), value.to_owned())))
}

/// Whether a value ends in what was meant as a comment; passwords may hold anything.
fn has_comment(name: &str, value: &str) -> bool {
    !keys::is_secret(name) && without_comment(value) != value
}

fn without_comment(value: &str) -> &str {
    let comment = value.char_indices().find(|(at, letter)| {
        *letter == '#' && value[..*at].chars().next_back().is_none_or(char::is_whitespace)
    });
    comment.map_or(value, |(at, _)| value[..at].trim_end())
}
