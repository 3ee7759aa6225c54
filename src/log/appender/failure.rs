//! Why a group was refused, and what its writers are told.

use std::fmt;
use std::io;

use super::group::Chunk;
use crate::disk::{Concern, concern, was_not_begun};
use crate::log::error::{AppendError, WriterError};

/// Why a group was refused.
#[derive(Clone, Debug)]
pub(in crate::log) enum Failure {
    /// There is no room; the log goes on.
    Full,
    /// The disk refused; the log goes on.
    Refused(String),
    /// Nobody can say what is durable: read-only from now on.
    Lost(String),
}

impl Failure {
    pub(in crate::log) fn refused(place: &str, error: &io::Error) -> Self {
        match concern(error) {
            Concern::Room => Self::Full,
            Concern::File | Concern::Process | Concern::Disk => {
                Self::Refused(format!("write to {place}: {error}"))
            }
        }
    }

    pub(super) fn of_write(doing: &str, chunk: &Chunk, error: &io::Error) -> Self {
        Self::refused(&format!("{doing} {}", chunk.segment.path()), error)
    }

    /// Of a sync. One that was not even begun refuses what was to be made durable, no more.
    pub(in crate::log) fn of_sync(place: &str, error: &io::Error) -> Self {
        let place = if place.is_empty() { "the log directory" } else { place };
        if was_not_begun(error) {
            return Self::refused(place, error);
        }
        Self::Lost(format!("sync {place}: {error}"))
    }

    pub(super) fn to_append(&self) -> AppendError {
        match self {
            Self::Full => AppendError::Full,
            Self::Refused(reason) => AppendError::Failed(reason.clone()),
            Self::Lost(reason) => AppendError::ReadOnly(reason.clone()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_append().fmt(f)
    }
}

impl From<&Failure> for WriterError {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Full => Self::Full,
            Failure::Refused(_) | Failure::Lost(_) => Self::Failed(failure.to_string()),
        }
    }
}
