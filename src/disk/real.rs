//! A directory of the operating system.
//!
//! Owns: the translation of [`Disk`] to system calls. `sync` is `fdatasync`,
//! which also makes a changed length durable; the lock is an advisory `flock` on the file
//! `.lock`, as in Apache Kafka, so it ends with the process however that ends.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "this is the door")]

use std::fs;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use rustix::fs::{Access, FlockOperation};
use rustix::io::{Errno, ReadWriteFlags};

use super::{DirectoryKind, Disk, Entry, FileKind, Files, Lock, LockKind, Mode, Space};

/// Lets the process open as many files as the system allows it, and returns how many: a
/// log of a thousand partitions has thousands open, and the usual limit is 1,024.
pub fn raise_open_file_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(_) => current,
    }
}

/// The disk under a directory.
#[derive(Debug)]
pub struct Real {
    root: PathBuf,
    open: Arc<AtomicUsize>,
    /// How many may be open for long.
    most: usize,
}

impl Real {
    /// The disk under `root`, which is made when it is not there.
    pub fn new(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        fs::create_dir_all(&root)?;
        Ok(Self { root, open: Arc::default(), most: usize::MAX })
    }

    /// The same, with so many files that may be open for long.
    #[must_use]
    pub fn with_files(self, most: usize) -> Self {
        Self { most, ..self }
    }

    fn at(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }
}

/// Whether a directory can be written, or made where it is not there yet. Nothing is made.
pub fn may_write(directory: &Path) -> io::Result<()> {
    let there = directory.ancestors().find(|one| one.exists()).unwrap_or(Path::new("."));
    if !there.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK)?)
}

impl Disk for Real {
    fn open(&self, path: &str, mode: Mode) -> io::Result<super::File> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(mode != Mode::Read).create(mode == Mode::Create);
        let file = options.open(self.at(path))?;
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(super::File(FileKind::Real(File(file, Arc::clone(&self.open)))))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<Entry>> {
        let entries = match fs::read_dir(self.at(dir)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                found.push(Entry { name, is_dir: entry.file_type()?.is_dir() });
            }
        }
        found.sort();
        Ok(found)
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        fs::create_dir_all(self.at(path))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        absent_is_fine(fs::remove_file(self.at(path)))
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        absent_is_fine(fs::remove_dir_all(self.at(path)))
    }

    fn open_dir(&self, path: &str) -> io::Result<super::Directory> {
        Ok(super::Directory(DirectoryKind::Real(Directory(fs::File::open(self.at(path))?))))
    }

    fn files(&self) -> Files {
        Files { open: self.open.load(Ordering::Relaxed), most: self.most }
    }

    fn space(&self) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok(Space { total: stat.f_blocks * stat.f_frsize, free: stat.f_bavail * stat.f_frsize })
    }

    fn lock(&self) -> io::Result<Lock> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(self.at(".lock"))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock { _held: LockKind::Real(Locked(file)) }),
            Err(error) => Err(error.into()),
        }
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The lock file; closing it unlocks.
#[derive(Debug)]
#[expect(dead_code, reason = "held for its drop")]
pub(super) struct Locked(fs::File);

/// An open directory.
#[derive(Debug)]
pub(super) struct Directory(fs::File);

impl Directory {
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// An open file, and how many there are.
#[derive(Debug)]
pub(super) struct File(fs::File, Arc<AtomicUsize>);

impl Drop for File {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

impl File {
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// `preadv2` with `RWF_NOWAIT`: answers from the page cache or not at all.
    pub(super) fn read_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let mut slices = [IoSliceMut::new(&mut buffer[filled..])];
            let at = offset + filled as u64;
            match rustix::io::preadv2(&self.0, &mut slices, at, ReadWriteFlags::NOWAIT) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(Errno::INTR) => {}
                // A file system without it: the caller goes to a thread that may block.
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(filled)
    }

    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    pub(super) fn modified(&self) -> io::Result<i64> {
        let since = self.0.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    pub(super) fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
