//! Whether the files of the configuration are at rest: nobody is writing them.
//!
//! In: two readings. Out: whether the later is to be believed. Always: a file that somebody has
//! emptied, removed or written half of, to write it anew, is none to run by; nobody says when that
//! is done, so what counts is that nothing changes any more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::config::{Place, Problem, Problems, Settings};

/// How often files that changed are looked at, until they are at rest.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long they have to stay as they are.
const QUIET: Duration = Duration::from_secs(1);
/// How long one has to stay empty that was not: few mean that.
const QUIET_AND_EMPTY: Duration = Duration::from_secs(10);
/// So long files may go on changing until that is said.
pub(super) const MOST: Duration = Duration::from_secs(25);

/// What tells a version of a file from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Its length.
    pub bytes: u64,
    /// When it was written.
    pub modified: Option<SystemTime>,
    /// Which file it is: another one may have taken its name.
    pub inode: u64,
}

/// The files that were looked for; `None` for one that is not there.
pub type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

/// What was read.
pub struct Reloaded {
    /// The settings.
    pub settings: Result<Settings, Problems>,
    /// The files that they are from.
    pub files: Stamps,
}

/// How long `files` have to stay as they are, if the ones before are those that the process runs by.
pub(super) fn quiet(files: &Stamps, before: &Stamps) -> Duration {
    let is_emptied = |(path, stamp): (&PathBuf, &Option<Stamp>)| {
        let had = before.get(path).copied().flatten().is_some_and(|stamp| stamp.bytes > 0);
        had && stamp.is_some_and(|stamp| stamp.bytes == 0)
    };
    if files.iter().any(is_emptied) { QUIET_AND_EMPTY } else { QUIET }
}

/// That files go on changing.
pub(super) fn restless(before: &Stamps, now: &Stamps) -> Problems {
    let differs = |path: &&PathBuf| before.get(*path) != now.get(*path);
    let path = now.keys().chain(before.keys()).find(differs);
    let path = path.map_or(Path::new(""), PathBuf::as_path);
    let mut problems = Problems::default();
    problems.push(Problem::error(
        Place::File(path.into()),
        "is written again and again: nothing is taken up until it stays as it is for a second",
    ));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_emptied_has_to_stay_so_for_longer() {
        let stamps = |bytes: Option<u64>| {
            let stamp = bytes.map(|bytes| Stamp { bytes, modified: None, inode: 1 });
            Stamps::from([(PathBuf::from("a"), stamp)])
        };
        for (before, now, expected) in [
            (Some(9), Some(0), QUIET_AND_EMPTY),
            (Some(9), Some(4), QUIET),
            (Some(9), None, QUIET),
            (Some(0), Some(0), QUIET),
            (None, Some(0), QUIET),
        ] {
            assert_eq!(quiet(&stamps(now), &stamps(before)), expected, "{before:?} {now:?}");
        }
    }
}
