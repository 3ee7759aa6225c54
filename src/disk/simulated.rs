//! A disk in memory that behaves as badly as a real one may.
//!
//! Owns: the model of what a crash keeps. Each file has its bytes as the process sees
//! them and as they were at the last `sync`, plus the writes since; each directory has
//! its names as seen and as they were at the last `sync_dir`. [`Simulated::crash`]
//! answers the disk as the next process finds it: of what was not synced nothing, a
//! random part, or a torn last write.
//!
//! What holds: what was synced is never lost; a frozen disk refuses every change, so that
//! what runs on after the freeze cannot be mistaken for durable. Of changes of names a
//! crash keeps those up to some moment, as file systems with a journal do; a file whose
//! directory is lost is lost with it. A sync that fails drops what it held: as on Linux
//! (`mm/filemap.c`: the pages are marked clean) the bytes are still seen, and no later sync
//! makes them durable. A name has at most 255 bytes.

mod names;
mod random;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use names::{Names, Naming};
use random::Random;
pub use watched::Hang;
use watched::Watched;

use super::{DirectoryKind, Disk, Entry, FileKind, Files, Lock, LockKind, Mode, Space};

/// What a crash keeps of that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freeze {
    /// Nothing.
    Lose,
    /// Everything is seen, as when only the process died; what was not synced can still be
    /// lost by a later crash.
    Keep,
    /// A random part of the writes, one of them torn; decided by the seed.
    Tear(u64),
}

/// Which call fails, and how.
#[derive(Clone, Copy, Debug)]
struct Fault {
    at: u64,
    errno: i32,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Writes and cuts since the last sync, in order.
    pending: Vec<Change>,
    /// When it was last written to, in milliseconds since 1970.
    modified: i64,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Cut(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>, part: usize) {
        match self {
            Self::Write { offset, bytes } => {
                let end = offset + part.min(bytes.len());
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*offset..end].copy_from_slice(&bytes[..end - offset]);
            }
            Self::Cut(len) => to.resize(*len, 0),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    seen: Names,
    durable: Names,
    /// Changes of names that no sync of their directory has made durable, in order.
    pending: Vec<Naming>,
    calls: u64,
    syncs: u64,
    freeze_at_sync: Option<u64>,
    frozen: bool,
    fault: Option<Fault>,
    openings: u64,
    /// Of opening a file or a directory.
    open_fault: Option<Fault>,
    opens_fail_from: Option<Fault>,
    /// So many files and directories are open, and may be.
    open: usize,
    most_open: Option<usize>,
    most_for_long: Option<usize>,
    panic_at: Option<u64>,
    panic_for: Option<String>,
    race: Option<Race>,
    /// See [`Simulated::stop_behind_change_in`].
    stop_behind_change: Option<(String, Option<i32>)>,
    /// How often a file of this path was opened.
    opened: BTreeMap<String, u64>,
    /// Files that the medium does not give back.
    unreadable: BTreeSet<usize>,
    /// Files that the process may not open.
    forbidden: BTreeSet<String>,
    /// What begins so cannot be written, with which error: see [`Simulated::refuse_writes`].
    refusing: Option<(String, i32)>,
    refusals: u64,
    /// Files that could not be written back: who had opened them until then is told.
    not_written_back: BTreeMap<usize, u64>,
    capacity: Option<u64>,
    /// The time that files are written at, in milliseconds since 1970, once it was set.
    time: Option<i64>,
    locked: bool,
    watched: Watched,
}

/// A sync that fails beside others: see [`Simulated::race_failed_sync`].
#[derive(Debug)]
struct Race {
    inode: usize,
    began: bool,
    /// Writes to the file, and syncs that went well, since it began.
    writes: u64,
    syncs: u64,
}

/// How long the sync of a race waits for what is to happen beside it.
const RACE: Duration = Duration::from_millis(400);

/// A disk in memory.
#[derive(Clone, Debug, Default)]
pub struct Simulated(Arc<Mutex<State>>);

impl Simulated {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many syncs (of files and directories) there were.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// How many changing calls there were: the numbers that [`fail_call`](Self::fail_call) takes.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Refuses every change from the `n`th sync on, that one included.
    pub fn freeze_at_sync(&self, n: u64) {
        self.state().freeze_at_sync = Some(n);
    }

    /// Refuses every change from now on.
    pub fn freeze(&self) {
        self.state().frozen = true;
    }

    /// Fails the `n`th changing call, once, with a system error number.
    pub fn fail_call(&self, n: u64, errno: i32) {
        self.state().fault = Some(Fault { at: n, errno });
    }

    /// How many files and directories were opened: the numbers that
    /// [`fail_open`](Self::fail_open) takes.
    pub fn openings(&self) -> u64 {
        self.state().openings
    }

    /// Fails the `n`th opening of a file or directory, once, with a system error number.
    pub fn fail_open(&self, n: u64, errno: i32) {
        self.state().open_fault = Some(Fault { at: n, errno });
    }

    /// Lets the process have so many files open, beside those it has: `EMFILE` then.
    pub fn limit_open_files(&self, more: Option<usize>) {
        let mut state = self.state();
        state.most_open = more.map(|more| state.open + more);
    }

    /// Lets so many files be open for long.
    pub fn set_files(&self, most: usize) {
        self.state().most_for_long = Some(most);
    }

    /// Panics in the `n`th changing call: whoever makes it has an error in its program.
    pub fn panic_in_call(&self, n: u64) {
        self.state().panic_at = Some(n);
    }

    /// Panics when a file or directory of this path is made, whoever makes it.
    pub fn panic_for(&self, path: &str) {
        self.state().panic_for = Some(path.to_owned());
    }

    /// Whether somebody panics on it.
    pub fn panics(&self) -> bool {
        let state = self.state();
        state.panic_at.is_some() || state.panic_for.is_some()
    }

    /// Gives the disk a size in bytes.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Sets the time that files are written at from now on, in milliseconds since 1970. Those that are
    /// written before are never old.
    pub fn set_time(&self, millis: i64) {
        self.state().time = Some(millis);
    }

    /// Turns one bit of a file over, as bad media do: seen and durable alike.
    pub fn flip_bit(&self, path: &str, offset: u64) {
        let mut state = self.state();
        let inode = state.seen.files[path];
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let inode = &mut state.inodes[inode];
        inode.seen[at] ^= 1;
        if let Some(byte) = inode.durable.get_mut(at) {
            *byte ^= 1;
        }
    }

    /// Lets the next sync of a file fail at the worst moment: it begins, waits for a write to the
    /// file, drops that too, and returns only when another sync of the file came back well, or
    /// when none does for a while.
    pub fn race_failed_sync(&self, path: &str) {
        let mut state = self.state();
        let inode = state.seen.files[path];
        state.race = Some(Race { inode, began: false, writes: 0, syncs: 0 });
    }

    /// Whether that sync has begun.
    pub fn is_racing(&self) -> bool {
        self.state().race.as_ref().is_some_and(|race| race.began)
    }

    /// Lets the next sync of a directory fail in which the records of a segment were replaced or
    /// removed: with a system error, or as the machine stops there.
    pub fn stop_behind_change_in(&self, dir: &str, errno: Option<i32>) {
        self.state().stop_behind_change = Some((dir.to_owned(), errno));
    }

    /// Whether that sync is still to come.
    pub fn is_to_stop(&self) -> bool {
        self.state().stop_behind_change.is_some()
    }

    /// Takes part in a race. True for the sync that fails.
    fn race(&self, inode: usize) -> bool {
        let is_of_race = |race: &&mut Race| race.inode == inode && !race.began;
        match self.state().race.as_mut().filter(is_of_race) {
            Some(race) => race.began = true,
            None => return false,
        }
        let wait_for = |happened: fn(&Race) -> bool| {
            let until = Instant::now() + RACE;
            while Instant::now() < until && !self.state().race.as_ref().is_some_and(happened) {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        wait_for(|race| race.writes > 0);
        self.state().inodes[inode].pending.clear();
        wait_for(|race| race.syncs > 0);
        self.state().race = None;
        true
    }

    /// From now on the process may not open a file, or may again.
    pub fn forbid(&self, path: &str, is_forbidden: bool) {
        let mut state = self.state();
        if is_forbidden {
            state.forbidden.insert(path.to_owned());
        } else {
            state.forbidden.remove(path);
        }
    }

    /// From now on no file or directory whose path begins so can be made, opened to be written, written
    /// or cut, whoever has it open: all that fails with a system error number.
    pub fn refuse_writes(&self, beginning: &str, errno: i32) {
        self.state().refusing = Some((beginning.to_owned(), errno));
    }

    /// How often that was met.
    pub fn refusals(&self) -> u64 {
        self.state().refusals
    }

    /// All can be written again.
    pub fn take_writes(&self) {
        self.state().refusing = None;
    }

    /// Fails all openings from the `n`th on with a system error number.
    pub fn fail_opens_from(&self, n: u64, errno: i32) {
        self.state().opens_fail_from = Some(Fault { at: n, errno });
    }

    /// Lets what was written to a file since its last sync be lost when the system writes it back:
    /// it is still seen, and only who has the file open now is told, by its next sync.
    pub fn fail_write_back(&self, path: &str) {
        let mut state = self.state();
        let inode = state.seen.files[path];
        state.inodes[inode].pending.clear();
        let now = state.openings;
        state.not_written_back.insert(inode, now);
    }

    /// How often files whose path ends so were opened.
    pub fn opened(&self, ending: &str) -> u64 {
        let state = self.state();
        state.opened.iter().filter(|(path, _)| path.ends_with(ending)).map(|(_, n)| n).sum()
    }

    /// From now on the medium does not give the bytes of a file back.
    pub fn make_unreadable(&self, path: &str) {
        let mut state = self.state();
        let inode = state.seen.files[path];
        state.unreadable.insert(inode);
    }

    /// The disk as the next process finds it after a crash now.
    #[must_use]
    pub fn crash(&self, keep: Freeze) -> Self {
        let state = self.state();
        let (mut random, kept) = match keep {
            Freeze::Lose => (None, 0),
            Freeze::Keep => return state.of_the_next_process(),
            Freeze::Tear(seed) => {
                let mut random = Random(seed | 1);
                let kept = random.below(state.pending.len() + 1);
                (Some(random), kept)
            }
        };
        let mut names = state.durable.clone();
        for naming in &state.pending[..kept] {
            naming.apply(&mut names);
        }
        let mut next = State::default();
        for (path, inode) in &names.files {
            let dir = super::parent(path);
            if dir.is_empty() || names.dirs.contains(dir) {
                let bytes = survivor(&state.inodes[*inode], random.as_mut());
                next.seen.files.insert(path.clone(), next.inodes.len());
                if state.unreadable.contains(inode) {
                    next.unreadable.insert(next.inodes.len());
                }
                let (seen, durable) = (bytes.clone(), bytes);
                let modified = state.inodes[*inode].modified;
                next.inodes.push(Inode { seen, durable, pending: Vec::new(), modified });
            }
        }
        next.seen.dirs = names.dirs;
        next.durable = next.seen.clone();
        Self(Arc::new(Mutex::new(next)))
    }
}

/// What a crash leaves of a file: with a generator some of the writes since the last sync.
fn survivor(inode: &Inode, random: Option<&mut Random>) -> Vec<u8> {
    let mut bytes = inode.durable.clone();
    let Some(random) = random else { return bytes };
    for change in &inode.pending {
        match random.below(3) {
            0 => {}
            1 => change.apply(&mut bytes, usize::MAX),
            _ => {
                let len = match change {
                    Change::Write { bytes, .. } => bytes.len(),
                    Change::Cut(_) => 0,
                };
                // Disks write whole sectors of 512 bytes.
                change.apply(&mut bytes, random.below(len / 512 + 1) * 512);
            }
        }
    }
    bytes
}

impl State {
    /// Every change begins here: frozen, or failing on request.
    fn change(&mut self) -> io::Result<()> {
        if self.frozen {
            return Err(io::Error::other("the simulated machine has stopped"));
        }
        self.calls += 1;
        assert!(self.panic_at != Some(self.calls), "on purpose, in call {}", self.calls);
        match self.fault {
            Some(fault) if fault.at == self.calls => Err(io::Error::from_raw_os_error(fault.errno)),
            _ => Ok(()),
        }
    }

    /// Every opening begins here, whether it lasts or not.
    fn open(&mut self) -> io::Result<()> {
        self.openings += 1;
        match self.open_fault {
            Some(fault) if fault.at == self.openings => {
                return Err(io::Error::from_raw_os_error(fault.errno));
            }
            _ => {}
        }
        if let Some(fault) = self.opens_fail_from.filter(|fault| self.openings >= fault.at) {
            return Err(io::Error::from_raw_os_error(fault.errno));
        }
        if self.most_open.is_some_and(|most| self.open >= most) {
            return Err(io::Error::from_raw_os_error(Errno::MFILE.raw_os_error()));
        }
        Ok(())
    }

    /// Fails if what is at this path cannot be written.
    fn may_write(&mut self, path: &str) -> io::Result<()> {
        match &self.refusing {
            Some((beginning, errno)) if path.starts_with(beginning) => {
                self.refusals += 1;
                Err(io::Error::from_raw_os_error(*errno))
            }
            _ => Ok(()),
        }
    }

    /// The same of a file that is open.
    fn may_write_to(&mut self, inode: usize) -> io::Result<()> {
        if self.refusing.is_none() {
            return Ok(());
        }
        self.seen.path_of(inode).map_or(Ok(()), |path| self.may_write(&path))
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.freeze_at_sync.is_some_and(|at| self.syncs >= at) {
            self.frozen = true;
        }
        self.change()?;
        self.syncs += 1;
        Ok(())
    }

    /// Arms the fault of a sync of `dir` if it is the one that was asked for.
    fn stop_behind_change(&mut self, dir: &str) {
        let is_change = |naming: &Naming| match naming {
            Naming::Rename(_, to, Some(_)) => super::parent(to) == dir,
            Naming::Remove(path) => {
                let is_records = path.rsplit_once('.').is_some_and(|(_, suffix)| suffix == "log");
                super::parent(path) == dir && is_records
            }
            Naming::File(..) | Naming::Dir(_) | Naming::Rename(_, _, None) => false,
        };
        let errno = match &self.stop_behind_change {
            Some((of, errno)) if of == dir && self.pending.iter().any(is_change) => *errno,
            _ => return,
        };
        self.stop_behind_change = None;
        match errno {
            Some(errno) => self.fault = Some(Fault { at: self.calls + 1, errno }),
            None => self.frozen = true,
        }
    }

    fn used(&self) -> u64 {
        self.seen.files.values().map(|inode| self.inodes[*inode].seen.len() as u64).sum()
    }

    /// The same machine, for a process that comes after one that died.
    fn of_the_next_process(&self) -> Simulated {
        let Self { inodes, seen, durable, pending, unreadable, forbidden, .. } = self;
        let (inodes, pending) = (inodes.clone(), pending.clone());
        let (seen, durable, unreadable) = (seen.clone(), durable.clone(), unreadable.clone());
        let forbidden = forbidden.clone();
        let next =
            Self { inodes, seen, durable, pending, unreadable, forbidden, ..Self::default() };
        Simulated(Arc::new(Mutex::new(next)))
    }

    /// Changes names, for now only as the process sees them.
    fn name(&mut self, naming: Naming) -> io::Result<()> {
        naming.check()?;
        if let (Naming::File(path, _) | Naming::Dir(path), Some(wanted)) =
            (&naming, &self.panic_for)
        {
            assert!(path != wanted, "on purpose, for {path}");
        }
        self.change()?;
        naming.apply(&mut self.seen);
        self.pending.push(naming);
        Ok(())
    }

    /// Refuses growth beyond the capacity.
    fn grow(&self, inode: usize, to: usize) -> io::Result<()> {
        let by = to.saturating_sub(self.inodes[inode].seen.len()) as u64;
        match self.capacity {
            Some(capacity) if by > 0 && self.used() + by > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }
}

impl Disk for Simulated {
    fn open(&self, path: &str, mode: Mode) -> io::Result<super::File> {
        let mut state = self.call();
        state.open()?;
        if state.forbidden.contains(path) {
            return Err(io::Error::from_raw_os_error(Errno::ACCESS.raw_os_error()));
        }
        if mode != Mode::Read {
            state.may_write(path)?;
        }
        *state.opened.entry(path.to_owned()).or_default() += 1;
        let inode = match (state.seen.files.get(path), mode) {
            (Some(inode), _) => *inode,
            (None, Mode::Create) => {
                let dir = super::parent(path);
                if !dir.is_empty() && !state.seen.dirs.contains(dir) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                let inode = state.inodes.len();
                state.name(Naming::File(path.to_owned(), inode))?;
                state.inodes.push(Inode::default());
                inode
            }
            (None, Mode::Read | Mode::Write) => return Err(io::ErrorKind::NotFound.into()),
        };
        state.open += 1;
        let opened = state.openings;
        Ok(super::File(FileKind::Simulated(File { disk: self.clone(), inode, opened })))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<Entry>> {
        let mut state = self.call();
        state.open()?;
        let files = state.seen.files.keys().map(|path| (path, false));
        let all = files.chain(state.seen.dirs.iter().map(|path| (path, true)));
        let inside = all.filter(|(path, _)| super::parent(path) == dir);
        let entry = |(path, is_dir): (&String, bool)| {
            let name = path.rsplit('/').next().unwrap_or(path).to_owned();
            Entry { name, is_dir }
        };
        let mut found: Vec<Entry> = inside.map(entry).collect();
        found.sort();
        Ok(found)
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        let mut state = self.call();
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            if !state.seen.dirs.contains(&path[..end]) {
                state.may_write(&path[..end])?;
                state.name(Naming::Dir(path[..end].to_owned()))?;
            }
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.call();
        if !state.seen.has(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.may_write(to)?;
        let inode = state.seen.files.get(from).copied();
        state.name(Naming::Rename(from.to_owned(), to.to_owned(), inode))
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        self.remove_dir(path)
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        let mut state = self.call();
        if state.seen.has(path) { state.name(Naming::Remove(path.to_owned())) } else { Ok(()) }
    }

    fn open_dir(&self, path: &str) -> io::Result<super::Directory> {
        let mut state = self.call();
        state.open()?;
        if !path.is_empty() && !state.seen.dirs.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.open += 1;
        let directory = Directory { disk: self.clone(), path: path.to_owned() };
        Ok(super::Directory(DirectoryKind::Simulated(directory)))
    }

    fn files(&self) -> Files {
        let state = self.state();
        Files { open: state.open, most: state.most_for_long.unwrap_or(usize::MAX) }
    }

    fn space(&self) -> io::Result<Space> {
        let state = self.state();
        let total = state.capacity.unwrap_or(1 << 40);
        Ok(Space { total, free: total.saturating_sub(state.used()) })
    }

    fn lock(&self) -> io::Result<Lock> {
        let mut state = self.state();
        if std::mem::replace(&mut state.locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Lock { _held: LockKind::Simulated(Locked(self.clone())) })
    }
}

/// Gives the disk back when dropped.
#[derive(Debug)]
pub(super) struct Locked(Simulated);

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.state().locked = false;
    }
}

/// An open directory.
#[derive(Debug)]
pub(super) struct Directory {
    disk: Simulated,
    path: String,
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.disk.state().open -= 1;
    }
}

impl Directory {
    pub(super) fn sync(&self) -> io::Result<()> {
        let path = self.path.as_str();
        self.disk.hang_on(Hang::Sync, |_| Some(path.to_owned()));
        let mut state = self.disk.call();
        state.stop_behind_change(path);
        if let Err(error) = state.sync() {
            if !state.frozen {
                state.pending.retain(|naming| !naming.is_in(path));
            }
            return Err(error);
        }
        let State { pending, durable, .. } = &mut *state;
        let mut gone = BTreeSet::new();
        for naming in std::mem::take(pending) {
            if !naming.is_in(path) {
                pending.push(naming);
                continue;
            }
            naming.apply(durable);
            *pending = pending.drain(..).filter_map(|one| one.behind(&naming)).collect();
            if let Naming::Rename(from, ..) = naming {
                gone.insert(from);
            }
        }
        pending.retain(|naming| !matches!(naming, Naming::File(path, _) if gone.contains(path)));
        Ok(())
    }
}

/// An open file: the bytes stay reachable through it when its name is gone.
#[derive(Debug)]
pub(super) struct File {
    disk: Simulated,
    inode: usize,
    /// Which opening it came of.
    opened: u64,
}

impl Drop for File {
    fn drop(&mut self) {
        self.disk.state().open -= 1;
    }
}

impl File {
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.hang_on(Hang::Read, |state| state.seen.path_of(self.inode));
        self.read(&self.disk.call(), buffer, offset)
    }

    fn read(&self, state: &State, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if state.unreadable.contains(&self.inode) {
            return Err(io::Error::from_raw_os_error(Errno::IO.raw_os_error()));
        }
        let bytes = &state.inodes[self.inode].seen;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let read = buffer.len().min(bytes.len() - from);
        buffer[..read].copy_from_slice(&bytes[from..from + read]);
        Ok(read)
    }

    /// As [`read_at`](Self::read_at), which is never asked to wait.
    pub(super) fn read_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.disk.state().watched.is_cold {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.read(&self.disk.state(), buffer, offset)
    }

    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.call();
        state.change()?;
        state.may_write_to(self.inode)?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        state.grow(self.inode, offset + bytes.len())?;
        let change = Change::Write { offset, bytes: bytes.to_vec() };
        if let Some(race) = state.race.as_mut().filter(|race| race.inode == self.inode) {
            race.writes += u64::from(race.began);
        }
        let time = state.time.unwrap_or(i64::MAX);
        let inode = &mut state.inodes[self.inode];
        change.apply(&mut inode.seen, usize::MAX);
        inode.pending.push(change);
        inode.modified = time;
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "the same face as the real file")]
    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(self.disk.call().inodes[self.inode].seen.len() as u64)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the same face as the real file")]
    pub(super) fn modified(&self) -> io::Result<i64> {
        Ok(self.disk.call().inodes[self.inode].modified)
    }

    pub(super) fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.call();
        state.change()?;
        state.may_write_to(self.inode)?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        state.grow(self.inode, len)?;
        let change = Change::Cut(len);
        let time = state.time.unwrap_or(i64::MAX);
        let inode = &mut state.inodes[self.inode];
        change.apply(&mut inode.seen, 0);
        inode.pending.push(change);
        inode.modified = time;
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        if self.disk.race(self.inode) {
            return Err(io::Error::from_raw_os_error(Errno::IO.raw_os_error()));
        }
        self.disk.hang_on(Hang::Sync, |state| state.seen.path_of(self.inode));
        let mut state = self.disk.call();
        let lost = state.not_written_back.get(&self.inode).is_some_and(|at| self.opened <= *at);
        let synced = match state.sync() {
            Ok(()) if lost => Err(io::Error::from_raw_os_error(Errno::IO.raw_os_error())),
            synced => synced,
        };
        if let Some(race) = state.race.as_mut().filter(|race| race.inode == self.inode) {
            race.syncs += u64::from(synced.is_ok());
        }
        let stopped = state.frozen;
        let Inode { durable, pending, .. } = &mut state.inodes[self.inode];
        match synced {
            Ok(()) => {
                for change in pending.drain(..) {
                    change.apply(durable, usize::MAX);
                }
            }
            Err(_) if stopped => {}
            Err(_) => pending.clear(),
        }
        synced
    }
}

#[cfg(test)]
mod tests;
