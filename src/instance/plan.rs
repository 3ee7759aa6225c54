//! What an instance runs by: its settings, each built into what applies it.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::change::RowsKind;
use crate::config::OnTableError;
use crate::filter::FieldFilter;
use crate::format::flat::FlatSettings;
use crate::record::Compression;
use crate::route::Router;
use crate::source;

/// Everything an instance needs to run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the rows come from, and which tables of it.
    pub source: source::Settings,
    /// What of them is published.
    pub publication: Publication,
    /// What to do with a table whose changes cannot be published.
    pub on_table_error: OnTableError,
    /// Whether it begins without a position behind what was published before.
    pub starts_anew: bool,
    /// How the messages are compressed in the bundled log.
    pub compression: Compression,
    /// Where a Canal left its position.
    pub meta_dat: MetaDat,
}

/// Reads a file whole.
pub type ReadFile = dyn Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync;

/// Reads the `meta.dat` of a Canal, at the first start only.
#[derive(Clone)]
pub struct MetaDat {
    /// Where it lies, if there is one.
    pub path: PathBuf,
    /// Reads a file.
    pub read: Arc<ReadFile>,
}

impl MetaDat {
    /// The file; `None` if there is none. One that cannot be read is an error: a begin somewhere
    /// else would lose what lies between.
    pub(super) fn read(&self) -> Result<Option<source::Left>, source::Error> {
        match (self.read)(&self.path) {
            Ok(content) => Ok(Some(source::Left { path: self.path.clone(), content })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(source::Error::MetaDat {
                path: self.path.clone(),
                reason: format!("cannot be read: {error}"),
            }),
        }
    }
}

impl fmt::Debug for MetaDat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetaDat").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Topics whose asked-for names Kafka does not allow, each said once in the life of a plan:
/// a table is planned anew with every file and connection.
#[derive(Clone, Debug, Default)]
pub struct Renamed(Arc<Mutex<BTreeSet<String>>>);

impl Renamed {
    /// True the first time that `asked_for` is met.
    fn is_new(&self, asked_for: &str) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !said.contains(asked_for) && said.insert(asked_for.to_owned())
    }

    /// Says that another name stands for one that was asked for, if it does.
    pub(super) fn say(&self, asked_for: Option<&str>, topic: &str) {
        if let Some(asked_for) = asked_for.filter(|name| self.is_new(name)) {
            tracing::warn!(asked_for, topic, "Kafka allows no such topic name: using another");
        }
    }
}

/// What is published of the tables that the filter includes, and how. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Which columns are published.
    pub fields: Arc<FieldFilter>,
    /// Which topic and partition rows go to.
    pub router: Arc<Router>,
    /// How values are written.
    pub format: FlatSettings,
    /// Kinds of row changes that are not published.
    pub dropped: Vec<RowsKind>,
    /// Which topics have other names than were asked for.
    pub renamed: Renamed,
    /// The largest event of a parked table that is kept, in bytes (`sluice.parked.max.bytes`).
    pub largest_letter: u64,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{BinaryForm, EnumForm};
    use crate::format::Zone;
    use crate::route::RouteSettings;

    /// Publishes everything, each table to a topic of its name.
    pub(crate) fn publication() -> Publication {
        let routes = RouteSettings {
            instance: "test".to_owned(),
            template: "{schema}.{table}".to_owned(),
            topic: None,
            dynamic_topic: None,
            partition: 0,
            partition_hash: None,
            partitions_num: None,
            dynamic_topic_partition_num: None,
            most_partitions: 10_000,
            database_hash: true,
        };
        let format = FlatSettings {
            labels: EnumForm::Index,
            binary: BinaryForm::Latin1,
            zone: Zone::parse("+00:00").unwrap(),
        };
        Publication {
            fields: Arc::new(FieldFilter::new("", "").unwrap()),
            router: Arc::new(Router::new(&routes).unwrap()),
            format,
            dropped: Vec::new(),
            renamed: Renamed::default(),
            largest_letter: 64 << 20,
        }
    }

    #[test]
    fn a_meta_dat_is_absent_only_if_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: PathBuf| MetaDat { path, read: Arc::new(|path| std::fs::read(path)) };
        assert_eq!(at(folder.path().join("meta.dat")).read().unwrap(), None);
        // It cannot be read as a file, not even by root.
        let error = at(folder.path().to_owned()).read().unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&folder.path().display().to_string()), "{text}");
        assert!(text.contains("remove the file") && text.contains("position set"), "{text}");
        assert!(!error.is_transient());
    }

    #[test]
    fn another_name_of_a_topic_is_said_once_whoever_meets_it() {
        let renamed = Renamed::default();
        let again = renamed.clone();
        assert!(renamed.is_new("a b") && !again.is_new("a b") && again.is_new("a c"));
    }
}
