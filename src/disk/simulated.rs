//! A disk in memory that behaves as badly as a real one may.
//!
//! Owns: the model of what a crash keeps. Each file has its bytes as the process sees
//! them and as they were at the last `sync`, plus the writes since; each directory has
//! its names as seen and as they were at the last `sync_dir`. [`Simulated::crash`]
//! answers the disk as the next process finds it: of what was not synced nothing, a
//! random part, or a torn last write.
//!
//! What holds: what was synced is never lost; a frozen disk refuses every change, so that
//! what runs on after the freeze cannot be mistaken for durable. One rule is kinder than
//! a real disk: removals and renames are taken back or kept one name at a time.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, Entry, FileKind, Lock, LockKind, Mode, Space};

/// What a crash keeps of that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freeze {
    /// Nothing.
    Lose,
    /// Everything, as when only the process died.
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
    /// Path to inode, as seen and as durable.
    seen: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    dirs: BTreeMap<String, bool>,
    calls: u64,
    syncs: u64,
    freeze_at_sync: Option<u64>,
    frozen: bool,
    fault: Option<Fault>,
    capacity: Option<u64>,
    locked: bool,
}

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

    /// Gives the disk a size in bytes.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Turns one bit of a file over, as bad media do: seen and durable alike.
    pub fn flip_bit(&self, path: &str, offset: u64) {
        let mut state = self.state();
        let inode = state.seen[path];
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let inode = &mut state.inodes[inode];
        inode.seen[at] ^= 1;
        if let Some(byte) = inode.durable.get_mut(at) {
            *byte ^= 1;
        }
    }

    /// The disk as the next process finds it after a crash now.
    pub fn crash(&self, keep: Freeze) -> Self {
        let state = self.state();
        let mut random = match keep {
            Freeze::Tear(seed) => Random(seed | 1),
            Freeze::Lose | Freeze::Keep => Random(1),
        };
        let mut next = State { dirs: state.dirs.clone(), ..State::default() };
        let mut names: BTreeMap<&String, usize> = BTreeMap::new();
        let all = state.durable.iter().chain(state.seen.iter());
        for (path, _) in all {
            let (old, new) = (state.durable.get(path), state.seen.get(path));
            let chosen = match keep {
                Freeze::Lose => old,
                Freeze::Keep => new,
                Freeze::Tear(_) if old == new => old,
                Freeze::Tear(_) => [old, new][random.below(2)],
            };
            if let Some(inode) = chosen {
                names.entry(path).or_insert(*inode);
            }
        }
        for (path, inode) in names {
            let bytes = survivor(&state.inodes[inode], keep, &mut random);
            next.seen.insert(path.clone(), next.inodes.len());
            next.durable.insert(path.clone(), next.inodes.len());
            next.inodes.push(Inode { seen: bytes.clone(), durable: bytes, pending: Vec::new() });
        }
        Self(Arc::new(Mutex::new(next)))
    }
}

/// What a crash leaves of a file.
fn survivor(inode: &Inode, keep: Freeze, random: &mut Random) -> Vec<u8> {
    let mut bytes = inode.durable.clone();
    match keep {
        Freeze::Lose => {}
        Freeze::Keep => bytes.clone_from(&inode.seen),
        Freeze::Tear(_) => {
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
        }
    }
    bytes
}

/// A small generator (xorshift), so that a seed replays.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap_or(0)
    }
}

impl State {
    /// Every change begins here: frozen, or failing on request.
    fn change(&mut self) -> io::Result<()> {
        if self.frozen {
            return Err(io::Error::other("the simulated machine has stopped"));
        }
        self.calls += 1;
        match self.fault {
            Some(fault) if fault.at == self.calls => Err(io::Error::from_raw_os_error(fault.errno)),
            _ => Ok(()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.freeze_at_sync.is_some_and(|at| self.syncs >= at) {
            self.frozen = true;
        }
        self.change()?;
        self.syncs += 1;
        Ok(())
    }

    fn used(&self) -> u64 {
        self.seen.values().map(|inode| self.inodes[*inode].seen.len() as u64).sum()
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
        let mut state = self.state();
        let inode = match (state.seen.get(path), mode) {
            (Some(inode), _) => *inode,
            (None, Mode::Create) => {
                if !super::parent(path).is_empty() && !state.dirs.contains_key(super::parent(path))
                {
                    return Err(io::ErrorKind::NotFound.into());
                }
                state.change()?;
                let inode = state.inodes.len();
                state.inodes.push(Inode::default());
                state.seen.insert(path.to_owned(), inode);
                inode
            }
            (None, Mode::Read | Mode::Write) => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(super::File(FileKind::Simulated(File { disk: self.clone(), inode })))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<Entry>> {
        let state = self.state();
        let mut found: Vec<Entry> = Vec::new();
        let files = state.seen.keys().map(|path| (path, false));
        for (path, is_dir) in files.chain(state.dirs.keys().map(|path| (path, true))) {
            if super::parent(path) == dir {
                let name = path.rsplit('/').next().unwrap_or(path).to_owned();
                found.push(Entry { name, is_dir });
            }
        }
        found.sort();
        Ok(found)
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            state.dirs.insert(path[..end].to_owned(), true);
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        if let Some(inode) = state.seen.remove(from) {
            state.seen.insert(to.to_owned(), inode);
            return Ok(());
        }
        if state.dirs.remove(from).is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.dirs.insert(to.to_owned(), true);
        let under = format!("{from}/");
        let State { seen, durable, .. } = &mut *state;
        // The rename of a directory takes what is in it along, durable names included.
        for names in [seen, durable] {
            let moved: Vec<String> =
                names.keys().filter(|path| path.starts_with(&under)).cloned().collect();
            for path in moved {
                if let Some(inode) = names.remove(&path) {
                    names.insert(format!("{to}/{}", &path[under.len()..]), inode);
                }
            }
        }
        Ok(())
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.seen.remove(path);
        Ok(())
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        let under = format!("{path}/");
        state.seen.retain(|name, _| !name.starts_with(&under));
        state.dirs.retain(|name, _| name != path && !name.starts_with(&under));
        Ok(())
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        state.sync()?;
        let State { seen, durable, .. } = &mut *state;
        durable.retain(|name, _| super::parent(name) != path);
        for (name, inode) in seen.iter().filter(|(name, _)| super::parent(name) == path) {
            durable.insert(name.clone(), *inode);
        }
        Ok(())
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

/// An open file: the bytes stay reachable through it when its name is gone.
#[derive(Debug)]
pub(super) struct File {
    disk: Simulated,
    inode: usize,
}

impl File {
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let bytes = &state.inodes[self.inode].seen;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let read = buffer.len().min(bytes.len() - from);
        buffer[..read].copy_from_slice(&bytes[from..from + read]);
        Ok(read)
    }

    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.change()?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        state.grow(self.inode, offset + bytes.len())?;
        let change = Change::Write { offset, bytes: bytes.to_vec() };
        let inode = &mut state.inodes[self.inode];
        change.apply(&mut inode.seen, usize::MAX);
        inode.pending.push(change);
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "the same face as the real file")]
    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().inodes[self.inode].seen.len() as u64)
    }

    pub(super) fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.change()?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        state.grow(self.inode, len)?;
        let change = Change::Cut(len);
        let inode = &mut state.inodes[self.inode];
        change.apply(&mut inode.seen, 0);
        inode.pending.push(change);
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.sync()?;
        let Inode { seen, durable, pending } = &mut state.inodes[self.inode];
        for change in pending.drain(..) {
            change.apply(durable, usize::MAX);
        }
        debug_assert_eq!(seen, durable);
        Ok(())
    }
}
