//! The one seam under all durable bytes.
//!
//! Owns: every file system call that has to survive a crash. In: paths relative to the
//! root of the disk, `/` between their parts; bytes. Out: bytes, `std::io` errors as the
//! system gave them (no room is `StorageFull`).
//!
//! What holds: a write is durable only after [`File::sync`] of its file returned, a new,
//! renamed or removed name only after [`Disk::sync_dir`] of its directory returned. All
//! calls block; the caller chooses the thread.
//!
//! [`Real`] is a directory of the operating system; [`Simulated`] lives in memory and
//! loses what was not synced, tears writes, fills up and fails on request.

mod private;
mod real;
mod simulated;

use std::fmt;
use std::io;

use rustix::io::Errno;

pub use private::write_private;
pub use real::{Real, may_write, raise_open_file_limit};
pub use simulated::{Freeze, Hang, Simulated};

/// A directory that holds durable bytes.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens a file.
    fn open(&self, path: &str, mode: Mode) -> io::Result<File>;

    /// The names in a directory, sorted; nothing for a directory that is not there.
    fn list(&self, dir: &str) -> io::Result<Vec<Entry>>;

    /// Makes a directory and those above it; one that is there is fine.
    fn create_dir(&self, path: &str) -> io::Result<()>;

    /// Gives a file or directory another name, replacing a file of that name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; one that is not there is fine.
    fn remove_file(&self, path: &str) -> io::Result<()>;

    /// Removes a directory with all in it; one that is not there is fine.
    fn remove_dir(&self, path: &str) -> io::Result<()>;

    /// Opens a directory to sync it later: for who must know before a change that the sync of it
    /// can be begun. The root is the empty path.
    fn open_dir(&self, path: &str) -> io::Result<Directory>;

    /// Makes the names in a directory durable. The root is the empty path. Of an error that
    /// [`was_not_begun`] nothing was dropped: it may be tried again.
    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let not_begun = |error: io::Error| io::Error::new(error.kind(), NotBegun(error));
        self.open_dir(path).map_err(not_begun)?.sync()
    }

    /// Its open files. More than those that may be open for long are opened all the same.
    fn files(&self) -> Files;

    /// How much room there is.
    fn space(&self) -> io::Result<Space>;

    /// Takes the disk for this process; `WouldBlock` if another process has it. It is
    /// given back when the lock is dropped.
    fn lock(&self) -> io::Result<Lock>;
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For reading; it must be there.
    Read,
    /// For reading and writing; it must be there.
    Write,
    /// For reading and writing; made if it is not there, its bytes kept if it is.
    Create,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name, without the directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// Open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Files {
    /// So many are open.
    pub open: usize,
    /// So many may be for long.
    pub most: usize,
}

impl Files {
    /// Whether who needs one should not keep it open.
    pub fn are_many(self) -> bool {
        self.open >= self.most
    }

    /// Whether not even who has a reason to keep one open should do so: half as many more are.
    pub fn are_too_many(self) -> bool {
        self.open >= self.most.saturating_add(self.most / 2)
    }
}

/// Room on a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Of the whole file system.
    pub total: u64,
    /// Left for us.
    pub free: u64,
}

/// Holds a disk for this process.
#[derive(Debug)]
pub struct Lock {
    _held: LockKind,
}

#[derive(Debug)]
#[expect(dead_code, reason = "held for its drop")]
enum LockKind {
    Real(real::Locked),
    Simulated(simulated::Locked),
}

/// An open directory.
#[derive(Debug)]
pub struct Directory(DirectoryKind);

#[derive(Debug)]
enum DirectoryKind {
    Real(real::Directory),
    Simulated(simulated::Directory),
}

impl Directory {
    /// Makes the names in it durable.
    pub fn sync(&self) -> io::Result<()> {
        match &self.0 {
            DirectoryKind::Real(directory) => directory.sync(),
            DirectoryKind::Simulated(directory) => directory.sync(),
        }
    }
}

/// The error of a sync that could not be begun, as there was nothing to sync or no way to open it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotBegun(io::Error);

/// Whether the error is that of a sync which was not even begun: what it was to sync could not be
/// opened (no more open files, no memory). What was written is as it was.
pub fn was_not_begun(error: &io::Error) -> bool {
    matches!(error.get_ref(), Some(inner) if inner.is::<NotBegun>())
}

/// An open file. All its methods take offsets, so one handle serves many threads.
#[derive(Debug)]
pub struct File(FileKind);

#[derive(Debug)]
enum FileKind {
    Real(real::File),
    Simulated(simulated::File),
}

impl File {
    /// Reads up to `buffer.len()` bytes from `offset`: fewer only at the end of the file.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.0 {
            FileKind::Real(file) => file.read_at(buffer, offset),
            FileKind::Simulated(file) => file.read_at(buffer, offset),
        }
    }

    /// Like [`read_at`](Self::read_at), but `WouldBlock` where the bytes are not in memory.
    pub fn read_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.0 {
            FileKind::Real(file) => file.read_cached(buffer, offset),
            FileKind::Simulated(file) => file.read_cached(buffer, offset),
        }
    }

    /// Reads exactly `buffer.len()` bytes; `UnexpectedEof` if there are fewer.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if self.read_at(buffer, offset)? == buffer.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// Writes all of `bytes` at `offset`.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match &self.0 {
            FileKind::Real(file) => file.write_at(bytes, offset),
            FileKind::Simulated(file) => file.write_at(bytes, offset),
        }
    }

    /// The length of the file.
    pub fn len(&self) -> io::Result<u64> {
        match &self.0 {
            FileKind::Real(file) => file.len(),
            FileKind::Simulated(file) => file.len(),
        }
    }

    /// Whether the file has no bytes.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// When it was last written to, in milliseconds since 1970.
    pub fn modified(&self) -> io::Result<i64> {
        match &self.0 {
            FileKind::Real(file) => file.modified(),
            FileKind::Simulated(file) => file.modified(),
        }
    }

    /// Cuts the file, or lengthens it with zeros.
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        match &self.0 {
            FileKind::Real(file) => file.set_len(len),
            FileKind::Simulated(file) => file.set_len(len),
        }
    }

    /// Makes the bytes and the length of the file durable (not its name).
    pub fn sync(&self) -> io::Result<()> {
        match &self.0 {
            FileKind::Real(file) => file.sync(),
            FileKind::Simulated(file) => file.sync(),
        }
    }
}

/// What has to change before a call that failed can go well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// The file, or its directory: it is not there, is not what it was, may not be used, or the
    /// medium does not take it or give it back. Another file may be as it should be.
    File,
    /// There is no room.
    Room,
    /// The process, or the machine, is short of something.
    Process,
    /// The disk as a whole, or what nobody knows: it may pass.
    Disk,
}

/// What the numbers of system errors are about. Those of media are the block layer's
/// (`block/blk-core.c`, `blk_errors`) and the file systems' (`EUCLEAN`: its structures are damaged;
/// `EBADMSG`: a checksum is wrong). One that is not listed is of the disk.
pub const CONCERNS: [(Concern, &[Errno]); 4] = [
    (
        Concern::File,
        &[
            Errno::NOENT,
            Errno::NOTDIR,
            Errno::ISDIR,
            Errno::ACCESS,
            Errno::PERM,
            Errno::LOOP,
            Errno::TXTBSY,
            Errno::STALE,
            Errno::IO,
            Errno::NODATA,
            Errno::ILSEQ,
            Errno::REMOTEIO,
            Errno::UCLEAN,
            Errno::BADMSG,
        ],
    ),
    (Concern::Room, &[Errno::NOSPC, Errno::DQUOT, Errno::FBIG]),
    (Concern::Process, &[Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN, Errno::INTR]),
    (
        Concern::Disk,
        &[
            Errno::ROFS,
            Errno::NODEV,
            Errno::NXIO,
            Errno::NOLINK,
            Errno::TIMEDOUT,
            Errno::BADE,
            Errno::SHUTDOWN,
            Errno::BUSY,
        ],
    ),
];

/// What an error of a call on a file or directory is about.
pub fn concern(error: &io::Error) -> Concern {
    if let Some(number) = error.raw_os_error() {
        let is_it = |errno: &Errno| errno.raw_os_error() == number;
        let listed = CONCERNS.iter().find(|(_, all)| all.iter().any(is_it));
        return listed.map_or(Concern::Disk, |(concern, _)| *concern);
    }
    match error.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::InvalidData
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::PermissionDenied => Concern::File,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Concern::Room
        }
        _ => Concern::Disk,
    }
}

/// Whether a call failed because of what is stored: it is not there, cut, or the medium does not
/// give it back. All else (no room, no more open files, no memory) may pass.
pub fn is_unreadable(error: &io::Error) -> bool {
    concern(error) == Concern::File
}

/// The directory of a path: empty for a name in the root.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}
