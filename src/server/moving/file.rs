//! The file that an instance is exported to.
//!
//! In: lines of it. Out: the file, under its name only once it is whole and durable; and from the
//! file its lines, once all of it was found as it was written.
//!
//! Format: lines of JSON, each with its `kind`; `docs/export-format.md` has them all. The first is
//! the head, which has the version; the last has the number of lines before it and the SHA-256 of
//! all their bytes. Members may be added within a version; a reader of it skips those that it does
//! not know.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use openssl::sha::Sha256;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::disk::{Disk as _, File, Mode, Real};

/// The version that is written, and the one that is read.
pub(super) const VERSION: u64 = 1;

/// As much is read or written in one go.
const BUFFER: usize = 64 << 10;
/// No line is longer: a record of a topic has 64 MiB at most, as base64 a third more.
const LONGEST_LINE: usize = 96 << 20;

/// Bytes, as text where they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Octets {
    /// They are UTF-8.
    Text(String),
    /// They are anything.
    Base64 {
        /// In the alphabet with `+` and `/`, padded.
        base64: String,
    },
}

impl Octets {
    pub(super) fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64 { base64: STANDARD.encode(bytes) },
        }
    }

    pub(super) fn bytes(self) -> Result<Bytes, String> {
        match self {
            Self::Text(text) => Ok(text.into()),
            Self::Base64 { base64 } => {
                STANDARD.decode(base64).map(Bytes::from).map_err(|error| error.to_string())
            }
        }
    }
}

/// What an export says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Of the format.
    pub version: u64,
    /// The build that wrote it.
    pub program: String,
    /// The instance.
    pub instance: String,
    /// Its topic of letters.
    pub letters: String,
    /// When it was written, in milliseconds since 1970.
    pub time: i64,
}

/// Where a topic of changes ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    /// Its name by the instance's rules.
    pub name: String,
    /// Its name where it is.
    pub there: String,
    /// The offset that the next record would have had, of each partition.
    pub ends: Vec<i64>,
}

/// A line, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Line {
    /// The first.
    Head(Head),
    /// The position, as it is stored.
    Position {
        /// The record `position`.
        position: Octets,
        /// The record `position-base`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base: Option<Octets>,
    },
    /// A topic of changes.
    Topic(Ends),
    /// A record of the schema history; of each key the newest counts.
    Schema {
        /// Its key.
        key: Octets,
        /// Its value; none where the key is deleted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<Octets>,
    },
    /// How far a table is copied.
    Snapshot {
        /// Its key.
        key: Octets,
        /// Its value; none where the key is deleted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<Octets>,
    },
    /// A parked table.
    Parked {
        /// Its key.
        key: Octets,
        /// Its value.
        value: Octets,
    },
    /// A letter: a piece of what is kept of a parked table.
    Letter {
        /// Its offset in the topic that it was in.
        offset: i64,
        /// Its key.
        key: Octets,
        /// Its value.
        value: Octets,
        /// Its header `binlog`.
        binlog: String,
        /// Its header `gtid`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gtid: Option<String>,
    },
    /// An XA branch that is held.
    Branch {
        /// Its xid.
        xid: String,
        /// What the instance says of it.
        about: Octets,
    },
    /// The next piece of the branch before it.
    Piece {
        /// As it is held.
        bytes: Octets,
    },
    /// The last.
    End {
        /// How many are before it.
        lines: u64,
        /// Of all their bytes, in hex.
        sha256: String,
    },
}

fn hex(digest: [u8; 32]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in digest {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The directory of a file, and its name there.
fn split(path: &Path) -> io::Result<(PathBuf, String)> {
    let odd = || io::Error::new(io::ErrorKind::InvalidInput, "it is no name of a file");
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(odd)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    Ok((dir.unwrap_or(Path::new(".")).to_owned(), name.to_owned()))
}

/// A file that is being written, under another name until it is whole.
pub(super) struct Writing {
    path: PathBuf,
    disk: Real,
    name: String,
    file: File,
    buffer: Vec<u8>,
    at: u64,
    lines: u64,
    digest: Sha256,
    finished: bool,
}

impl Writing {
    /// Begins a file, which must not be there.
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        let failed = |reason| Error::Write { path: path.to_owned(), reason };
        if path.symlink_metadata().is_ok() {
            return Err(Error::Exists(path.to_owned()));
        }
        let (dir, name) = split(path).map_err(failed)?;
        let disk = Real::new(dir).map_err(failed)?;
        let file = disk.open(&partial(&name), Mode::Create).map_err(failed)?;
        // Of one that was killed.
        file.set_len(0).map_err(failed)?;
        let (buffer, digest) = (Vec::with_capacity(BUFFER), Sha256::new());
        let path = path.to_owned();
        Ok(Self { path, disk, name, file, buffer, at: 0, lines: 0, digest, finished: false })
    }

    /// Adds a line.
    pub(super) fn write(&mut self, line: &Line) -> Result<(), Error> {
        let before = self.buffer.len();
        let odd = |error: serde_json::Error| io::Error::other(error);
        serde_json::to_writer(&mut self.buffer, line).map_err(odd).map_err(|e| self.failed(e))?;
        self.buffer.push(b'\n');
        self.digest.update(self.buffer.get(before..).unwrap_or_default());
        self.lines += 1;
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Ends the file: it is durable, and has its name. How many bytes it has.
    pub(super) fn finish(mut self) -> Result<u64, Error> {
        let digest = std::mem::replace(&mut self.digest, Sha256::new()).finish();
        self.write(&Line::End { lines: self.lines, sha256: hex(digest) })?;
        self.flush()?;
        let named = self
            .file
            .sync()
            .and_then(|()| self.disk.rename(&partial(&self.name), &self.name))
            .and_then(|()| self.disk.sync_dir(""));
        named.map_err(|error| self.failed(error))?;
        self.finished = true;
        Ok(self.at)
    }

    fn flush(&mut self) -> Result<(), Error> {
        let written = self.file.write_at(&self.buffer, self.at);
        written.map_err(|error| self.failed(error))?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn failed(&self, reason: io::Error) -> Error {
        Error::Write { path: self.path.clone(), reason }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.finished {
            // Whoever reads directories sees a name that says what it is.
            let _ = self.disk.remove_file(&partial(&self.name));
        }
    }
}

fn partial(name: &str) -> String {
    format!("{name}.partial")
}

/// A file that was found as it was written.
pub(super) struct Reading {
    path: PathBuf,
    file: File,
    at: u64,
    buffer: Vec<u8>,
    /// What of the buffer was taken.
    taken: usize,
    line: u64,
}

impl Reading {
    /// Opens a file and judges all of it.
    pub(super) fn open(path: &Path) -> Result<(Self, Head), Error> {
        let mut reading = Self::begin(path)?;
        let head = reading.judge()?;
        Ok((reading.again()?, head))
    }

    /// The same from behind the head on.
    pub(super) fn again(&self) -> Result<Self, Error> {
        let mut again = Self::begin(&self.path)?;
        again.next_line()?;
        Ok(again)
    }

    fn begin(path: &Path) -> Result<Self, Error> {
        let failed = |reason| Error::Read { path: path.to_owned(), reason };
        let (dir, name) = split(path).map_err(failed)?;
        if !dir.is_dir() {
            return Err(failed(io::ErrorKind::NotFound.into()));
        }
        let disk = Real::new(dir).map_err(failed)?;
        let file = disk.open(&name, Mode::Read).map_err(failed)?;
        let path = path.to_owned();
        Ok(Self { path, file, at: 0, buffer: Vec::new(), taken: 0, line: 0 })
    }

    /// The next line but the last; `None` behind them.
    pub(super) fn next(&mut self) -> Result<Option<Line>, Error> {
        let Some(bytes) = self.next_line()? else { return Ok(None) };
        match serde_json::from_slice(bytes) {
            Ok(Line::End { .. }) => Ok(None),
            Ok(line) => Ok(Some(line)),
            Err(error) => Err(self.damaged(&format!("line {}: {error}", self.line))),
        }
    }

    /// An error that says what is wrong in the line that came last.
    pub(super) fn odd(&self, reason: &str) -> Error {
        self.damaged(&format!("line {}: {reason}", self.line))
    }

    /// Reads all lines: the first is the head, and the last counts and hashes the others.
    fn judge(&mut self) -> Result<Head, Error> {
        let (mut digest, mut head) = (Sha256::new(), None);
        while let Some(bytes) = self.next_line()? {
            let (bytes, line) = (bytes.to_vec(), self.line);
            if head.is_none() {
                head = Some(self.head(&bytes)?);
            } else if let Some((lines, sha256)) = end(&bytes) {
                if lines != line - 1 || sha256 != hex(digest.finish()) {
                    return Err(self.damaged("its bytes are not those that were written"));
                }
                if self.next_line()?.is_some() {
                    return Err(self.damaged("there is more behind its end"));
                }
                return head.ok_or_else(|| self.damaged("it has no head"));
            }
            digest.update(&bytes);
            digest.update(b"\n");
        }
        Err(self.damaged(if head.is_some() { "its end is missing" } else { "it is empty" }))
    }

    fn head(&self, bytes: &[u8]) -> Result<Head, Error> {
        #[derive(Deserialize)]
        struct Form {
            kind: String,
            version: u64,
        }
        let form = serde_json::from_slice::<Form>(bytes);
        let form = form.ok().filter(|form| form.kind == "head");
        match form.map(|form| form.version) {
            None => Err(self.damaged("it does not begin as one does")),
            Some(VERSION) => match serde_json::from_slice(bytes) {
                Ok(Line::Head(head)) => Ok(head),
                Ok(_) | Err(_) => Err(self.damaged("its head is not as it was written")),
            },
            Some(version) => Err(Error::Version { path: self.path.clone(), version }),
        }
    }

    /// The bytes of the next line, without its end. One that is cut counts: it is judged by
    /// whoever reads it.
    fn next_line(&mut self) -> Result<Option<&[u8]>, Error> {
        let mut looked = self.taken;
        let end = loop {
            let rest = self.buffer.get(looked..).unwrap_or_default();
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                break looked + end;
            }
            self.buffer.drain(..self.taken);
            (self.taken, looked) = (0, self.buffer.len());
            if looked > LONGEST_LINE {
                return Err(self.damaged(&format!("line {} is too long", self.line + 1)));
            }
            self.buffer.resize(looked + BUFFER, 0);
            let room = self.buffer.get_mut(looked..).unwrap_or_default();
            let read = self.file.read_at(room, self.at);
            let read = read.map_err(|reason| Error::Read { path: self.path.clone(), reason })?;
            self.at += read as u64;
            self.buffer.truncate(looked + read);
            if read == 0 {
                if looked == 0 {
                    return Ok(None);
                }
                return Err(self.damaged("its end is missing"));
            }
        };
        let begin = std::mem::replace(&mut self.taken, end + 1);
        self.line += 1;
        Ok(self.buffer.get(begin..end))
    }

    fn damaged(&self, reason: &str) -> Error {
        Error::Damaged { path: self.path.clone(), reason: reason.to_owned() }
    }
}

/// What the last line says, if it is one.
fn end(bytes: &[u8]) -> Option<(u64, String)> {
    // Cheaper than to parse all of them.
    if !bytes.starts_with(br#"{"kind":"end""#) {
        return None;
    }
    match serde_json::from_slice(bytes) {
        Ok(Line::End { lines, sha256 }) => Some((lines, sha256)),
        Ok(_) | Err(_) => None,
    }
}

/// Where the topics of changes ended when the instance was exported.
pub fn ends(path: &Path) -> Result<(Head, Vec<Ends>), Error> {
    let (mut reading, head) = Reading::open(path)?;
    let mut found = Vec::new();
    while let Some(line) = reading.next()? {
        if let Line::Topic(ends) = line {
            found.push(ends);
        }
    }
    Ok((head, found))
}

#[cfg(test)]
mod tests;
