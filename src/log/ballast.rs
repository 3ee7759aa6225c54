//! A file that is there to be deleted: room for what frees room.
//!
//! Owns: the file `ballast`. When the disk is full it is given up, so that retention,
//! deletions, checkpoints and offset commits still go through; it is rebuilt before
//! anything else is taken again.

use std::io;
use std::sync::Arc;

use crate::disk::{Disk, Mode};

const PATH: &str = "ballast";
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

#[derive(Debug)]
pub(super) struct Ballast {
    disk: Arc<dyn Disk>,
    bytes: u64,
    held: bool,
}

impl Ballast {
    /// The ballast of a disk, as it was left.
    pub(super) fn new(disk: &Arc<dyn Disk>, bytes: u64) -> Self {
        let length = disk.open(PATH, Mode::Read).and_then(|file| file.len());
        let held = length.is_ok_and(|length| length >= bytes);
        Self { disk: Arc::clone(disk), bytes, held }
    }

    /// Gives it up. False if there is none to give.
    pub(super) fn release(&mut self) -> bool {
        if !std::mem::take(&mut self.held) {
            return false;
        }
        tracing::warn!("the disk is full: only what frees room is taken now");
        give_up(&*self.disk)
    }

    /// Makes sure that it is there; fails where it has no room beside what else is to come.
    pub(super) fn hold(&mut self) -> io::Result<()> {
        if self.held {
            return Ok(());
        }
        if self.disk.space()?.free < self.bytes * 2 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = self.disk.open(PATH, Mode::Create)?;
        let mut at = file.len()?;
        while at < self.bytes {
            let part = usize::try_from(self.bytes - at).unwrap_or(ZEROS.len()).min(ZEROS.len());
            file.write_at(&ZEROS[..part], at)?;
            at += part as u64;
        }
        file.sync()?;
        self.held = true;
        Ok(())
    }
}

/// Deletes the ballast of a disk that has no room to open its log.
pub(super) fn give_up(disk: &dyn Disk) -> bool {
    disk.remove_file(PATH).is_ok()
}
