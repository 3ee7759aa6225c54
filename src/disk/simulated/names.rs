//! The names on the simulated disk, and the changes of them that a crash may keep or lose.
//!
//! In: changes, in their order. Out: the names as a process sees them, or as they are durable.
//! What holds: a sync of a directory makes the changes in it durable, and only those; what lies in
//! a directory that is lost, removed or renamed goes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use rustix::io::Errno;

use crate::disk::parent;

/// The longest name in bytes: that of ext4, XFS and most others (`NAME_MAX`).
const LONGEST_NAME: usize = 255;

/// Which files (by inode) and directories there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) files: BTreeMap<String, usize>,
    pub(super) dirs: BTreeSet<String>,
}

/// A change of names.
#[derive(Clone, Debug)]
pub(super) enum Naming {
    File(String, usize),
    Dir(String),
    /// Of a file with its inode: the new name has it, even where the old one was not yet durable.
    Rename(String, String, Option<usize>),
    Remove(String),
}

impl Naming {
    /// Whether a sync of `dir` makes it durable.
    pub(super) fn is_in(&self, dir: &str) -> bool {
        match self {
            Self::File(path, _) | Self::Dir(path) | Self::Remove(path) => parent(path) == dir,
            Self::Rename(from, to, _) => parent(from) == dir || parent(to) == dir,
        }
    }

    /// What is left of a change when a later one is durable: names in a directory go with it.
    pub(super) fn behind(self, later: &Self) -> Option<Self> {
        match later {
            Self::Remove(dir) => {
                let inside = |path: &str| is_under(path, dir);
                match self {
                    Self::File(path, _) | Self::Dir(path) | Self::Remove(path) if inside(&path) => {
                        None
                    }
                    Self::Rename(from, to, _) if inside(&to) => {
                        (!inside(&from)).then_some(Self::Remove(from))
                    }
                    other => Some(other),
                }
            }
            Self::Rename(old, new, None) => {
                let moved = |path: String| {
                    if is_under(&path, old) { format!("{new}{}", &path[old.len()..]) } else { path }
                };
                Some(match self {
                    Self::File(path, inode) => Self::File(moved(path), inode),
                    Self::Dir(path) => Self::Dir(moved(path)),
                    Self::Remove(path) => Self::Remove(moved(path)),
                    Self::Rename(from, to, inode) => Self::Rename(moved(from), moved(to), inode),
                })
            }
            Self::File(..) | Self::Dir(_) | Self::Rename(_, _, Some(_)) => Some(self),
        }
    }

    /// Refuses a name that is too long for a file system.
    pub(super) fn check(&self) -> io::Result<()> {
        let (Self::File(path, _) | Self::Dir(path) | Self::Rename(_, path, _)) = self else {
            return Ok(());
        };
        let longest = path.split('/').map(str::len).max();
        if longest > Some(LONGEST_NAME) {
            return Err(io::Error::from_raw_os_error(Errno::NAMETOOLONG.raw_os_error()));
        }
        Ok(())
    }

    pub(super) fn apply(&self, names: &mut Names) {
        match self {
            Self::File(path, inode) => {
                names.files.insert(path.clone(), *inode);
            }
            Self::Dir(path) => {
                names.dirs.insert(path.clone());
            }
            Self::Remove(path) => {
                let under = format!("{path}/");
                names.files.retain(|name, _| name != path && !name.starts_with(&under));
                names.dirs.retain(|name| name != path && !name.starts_with(&under));
            }
            Self::Rename(from, to, None) => names.rename(from, to),
            Self::Rename(from, to, Some(inode)) => {
                names.files.remove(from);
                names.files.insert(to.clone(), *inode);
            }
        }
    }
}

impl Names {
    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.dirs.contains(path)
    }

    /// The path of a file.
    pub(super) fn path_of(&self, inode: usize) -> Option<String> {
        self.files.iter().find(|(_, other)| **other == inode).map(|(path, _)| path.clone())
    }

    /// Renames a directory, with all in it.
    fn rename(&mut self, from: &str, to: &str) {
        if self.dirs.remove(from) {
            self.dirs.insert(to.to_owned());
            let under = format!("{from}/");
            let inside = self.files.keys().filter(|path| path.starts_with(&under));
            for path in inside.cloned().collect::<Vec<_>>() {
                if let Some(inode) = self.files.remove(&path) {
                    self.files.insert(format!("{to}/{}", &path[under.len()..]), inode);
                }
            }
        }
    }
}

/// Whether a path is that of something in `dir`, at any depth.
fn is_under(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}
