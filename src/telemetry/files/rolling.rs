//! A file that is rolled: when a day begins, or when it would become too large, it is renamed to
//! `<name>-<day>.<number>.log`, and a new one is begun. Of the rolled ones the newest are kept.
//!
//! In: whole lines. Out: files of at most [`Limits::bytes`] each, or of one line that is longer.
//! Always: a file that cannot be renamed is written on, so that nothing is lost over it.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "lines of a log are no durable bytes: nobody waits for them, and they may be lost"
)]

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jiff::civil::Date;

/// How much of log lines is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a file.
    pub bytes: u64,
    /// Rolled files that are kept of each.
    pub files: usize,
}

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Rolling {
    folder: PathBuf,
    /// Without `.log`.
    stem: String,
    limits: Limits,
    file: File,
    length: u64,
    /// That of its first line.
    day: Date,
    /// After a rename that failed: not before it is so long.
    not_before: u64,
}

impl Rolling {
    /// Opens `<stem>.log` in `folder`, which is made if it is not there.
    pub(super) fn open(folder: &Path, stem: &str, limits: Limits, today: Date) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(format!("{stem}.log"));
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let about = file.metadata()?;
        let written = about.modified().ok().and_then(|at| jiff::Timestamp::try_from(at).ok());
        let written = written.map(|at| at.to_zoned(jiff::tz::TimeZone::system()).date());
        let day = written.filter(|_| about.len() > 0).unwrap_or(today);
        Ok(Self {
            folder: folder.to_owned(),
            stem: stem.to_owned(),
            limits,
            file,
            length: about.len(),
            day,
            not_before: 0,
        })
    }

    /// Appends a line.
    pub(super) fn append(&mut self, line: &[u8], today: Date) -> io::Result<()> {
        let is_due = self.day != today || self.length + line.len() as u64 > self.limits.bytes;
        if is_due && self.length > self.not_before {
            match self.roll() {
                Ok(new) => (self.file, self.length, self.not_before) = (new, 0, 0),
                Err(_) => self.not_before = self.length + self.limits.bytes,
            }
            self.day = today;
        }
        self.file.write_all(line)?;
        self.length += line.len() as u64;
        Ok(())
    }

    fn roll(&self) -> io::Result<File> {
        let rolled = rolled(&self.folder, &self.stem)?;
        let of_day = rolled.iter().filter(|one| one.day == self.day);
        let number = of_day.map(|one| one.number + 1).max().unwrap_or(0);
        let path = self.folder.join(format!("{}.log", self.stem));
        let day = self.day;
        let aside = self.folder.join(format!("{}-{day}.{number}.log", self.stem));
        std::fs::rename(&path, &aside)?;
        let file = OpenOptions::new().create(true).append(true).open(&path).inspect_err(|_| {
            // It is written on: under its name, so that it is rolled another time.
            let _ = std::fs::rename(&aside, &path);
        })?;
        // With the one just made there is one more.
        let surplus = (rolled.len() + 1).saturating_sub(self.limits.files);
        for one in rolled.iter().take(surplus) {
            // One that stays is tried again when the next is rolled.
            let _ = std::fs::remove_file(self.folder.join(&one.name));
        }
        Ok(file)
    }
}

/// A file that was rolled.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rolled {
    day: Date,
    number: u64,
    name: String,
}

/// Those of a file, oldest first.
fn rolled(folder: &Path, stem: &str) -> io::Result<Vec<Rolled>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        let parts = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('-'));
        let parts = parts.and_then(|rest| rest.strip_suffix(".log"));
        let Some((day, number)) = parts.and_then(|rest| rest.split_once('.')) else { continue };
        if let (Ok(day), Ok(number)) = (day.parse(), number.parse()) {
            found.push(Rolled { day, number, name });
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Date = jiff::civil::date(2024, 5, 1);

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn lines(folder: &Path) -> usize {
        let read = |name: &String| std::fs::read_to_string(folder.join(name)).unwrap();
        names(folder).iter().map(|name| read(name).lines().count()).sum()
    }

    #[test]
    fn a_file_is_rolled_by_size_and_by_day_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { bytes: 20, files: 3 };
        let mut file = Rolling::open(folder.path(), "server", limits, DAY).unwrap();
        for _ in 0..5 {
            file.append(b"123456789\n", DAY).unwrap();
        }
        assert_eq!(
            names(folder.path()),
            ["server-2024-05-01.0.log", "server-2024-05-01.1.log", "server.log"]
        );
        assert_eq!(lines(folder.path()), 5);
        file.append(b"1\n", DAY.tomorrow().unwrap()).unwrap();
        file.append(b"123456789012345678901234567890\n", DAY.tomorrow().unwrap()).unwrap();
        assert_eq!(
            names(folder.path()),
            [
                "server-2024-05-01.1.log",
                "server-2024-05-01.2.log",
                "server-2024-05-02.0.log",
                "server.log"
            ]
        );
        let last = std::fs::read_to_string(folder.path().join("server.log")).unwrap();
        assert_eq!(last, "123456789012345678901234567890\n");
    }

    #[test]
    fn a_restart_goes_on_with_the_file_and_leaves_those_of_others_alone() {
        let folder = tempfile::tempdir().unwrap();
        for other in ["server-x.log", "server-2024-05-01.log", "servers-2024-05-01.0.log"] {
            std::fs::write(folder.path().join(other), "theirs").unwrap();
        }
        let limits = Limits { bytes: 20, files: 1 };
        let today = jiff::Zoned::now().date();
        for _ in 0..9 {
            let mut file = Rolling::open(folder.path(), "server", limits, today).unwrap();
            file.append(b"123456789\n", today).unwrap();
        }
        let found = names(folder.path());
        assert_eq!(found.len(), 5, "{found:?}");
        assert!(found.contains(&format!("server-{today}.3.log")), "{found:?}");
    }

    #[test]
    fn a_file_that_cannot_be_rolled_is_written_on() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { bytes: 20, files: 1 };
        let mut file = Rolling::open(folder.path(), "server", limits, DAY).unwrap();
        // Its folder is gone.
        std::fs::remove_dir_all(folder.path()).unwrap();
        for _ in 0..9 {
            file.append(b"123456789\n", DAY).unwrap();
        }
        assert_eq!(file.length, 90);
    }
}
