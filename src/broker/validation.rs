//! Where batches that producers send are looked into, and how much of that goes on at once.
//!
//! In: batches whose heads and checksums are right, and the rules of their topics. Out: what is
//! stored of each, or what is wrong with its records. Always: only what is small when it is
//! inflated is looked into on the threads that all requests share. All else has threads of its
//! own: a few over all connections, which bounds the bytes that are inflated, and one batch of a
//! request at a time, so that requests take turns. Who drops a request's future, or stops the
//! server, waits for no more than the batch that is looked into then.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::record::{Arrived, BatchView, Compression, Error, MOST_INFLATED, Rules, Unfit};
use crate::shutdown::Tasks;

/// What is small: no more bytes, as they came and inflated.
const SMALL: usize = 256 << 10;
/// The most bytes that are inflated where several batches are looked into at once.
const MEDIUM: usize = 16 << 20;
/// As many at most.
const SEVERAL: usize = 8;
/// Requests at once whose batches are written anew in another compression.
const REWRITING: usize = 4;
/// What one of those requests may hold of such batches.
const MOST_ANEW: usize = MOST_INFLATED;
/// After so many bytes the shared threads are left to others.
const SHARE: usize = 1 << 20;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Validation {
    tasks: Tasks,
    several: Arc<Semaphore>,
    one: Arc<Semaphore>,
    rewriting: Arc<Semaphore>,
}

/// Why a batch is not stored.
#[derive(Debug)]
pub(crate) enum Rejected {
    /// Its records.
    Unfit(Unfit),
    /// The batches of its request, written anew, are too many bytes.
    TooMuch,
    /// The server stops.
    Stopped,
}

/// The batches of one request.
#[derive(Debug)]
pub(crate) struct Looking<'a> {
    validation: &'a Validation,
    stop: &'a CancellationToken,
    rewriting: Option<OwnedSemaphorePermit>,
    anew: usize,
    since_break: usize,
}

impl Validation {
    /// The work is that of `tasks`.
    pub(crate) fn new(tasks: Tasks) -> Self {
        let several = available_parallelism().map_or(1, NonZero::get).div_ceil(2).min(SEVERAL);
        let places = |count| Arc::new(Semaphore::new(count));
        let (several, one, rewriting) = (places(several), places(1), places(REWRITING));
        Self { tasks, several, one, rewriting }
    }

    /// For one request. What it holds is given back when this is dropped.
    pub(crate) fn begin<'a>(&'a self, stop: &'a CancellationToken) -> Looking<'a> {
        Looking { validation: self, stop, rewriting: None, anew: 0, since_break: 0 }
    }
}

impl Looking<'_> {
    /// Looks into a batch. Cancel safe.
    pub(crate) async fn arrive(
        &mut self,
        batch: &BatchView<'_>,
        bytes: &Bytes,
        rules: &Rules,
    ) -> Result<Arrived, Rejected> {
        let compression = batch.head().compression();
        let rewrites = rules.compression.is_some_and(|target| target != compression);
        if rewrites && self.rewriting.is_none() {
            self.rewriting = Some(self.place(&self.validation.rewriting).await?);
        }
        let found = self.look(batch, bytes, rules, compression, rewrites).await?;
        match &found {
            Arrived::Anew(anew) if rewrites => {
                let before = self.anew;
                self.anew += anew.len();
                if before > 0 && self.anew > MOST_ANEW {
                    return Err(Rejected::TooMuch);
                }
            }
            Arrived::Anew(_) | Arrived::AsItCame => {}
        }
        Ok(found)
    }

    async fn look(
        &mut self,
        batch: &BatchView<'_>,
        bytes: &Bytes,
        rules: &Rules,
        compression: Compression,
        rewrites: bool,
    ) -> Result<Arrived, Rejected> {
        let compressed = compression != Compression::None;
        if bytes.len() <= SMALL && !rewrites {
            self.since_break += if compressed { SMALL } else { bytes.len() };
            if self.since_break > SHARE {
                self.since_break = 0;
                tokio::task::yield_now().await;
            }
            match batch.arrive(rules, SMALL) {
                Err(Unfit::Malformed(Error::Inflated { .. })) => {}
                looked => return looked.map_err(Rejected::Unfit),
            }
        }
        if compressed || bytes.len() <= MEDIUM {
            let place = self.place(&self.validation.several).await?;
            match self.look_apart(place, bytes, rules, MEDIUM).await {
                Err(Rejected::Unfit(Unfit::Malformed(Error::Inflated { .. }))) => {}
                looked => return looked,
            }
        }
        let place = self.place(&self.validation.one).await?;
        self.look_apart(place, bytes, rules, MOST_INFLATED).await
    }

    async fn place(&self, places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Rejected> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Rejected::Stopped),
            place = Arc::clone(places).acquire_owned() => place.map_err(|_| Rejected::Stopped),
        }
    }

    /// On a thread of its own, which holds `place` for as long as it works.
    async fn look_apart(
        &self,
        place: OwnedSemaphorePermit,
        bytes: &Bytes,
        rules: &Rules,
        most: usize,
    ) -> Result<Arrived, Rejected> {
        let (bytes, rules) = (bytes.clone(), *rules);
        let work = move || {
            let _place = place;
            BatchView::parse(&bytes).map_err(Unfit::from)?.arrive(&rules, most)
        };
        let looked = self.validation.tasks.spawn_blocking("look into a batch", work).await;
        looked.map_err(|_| Rejected::Stopped)?.map_err(Rejected::Unfit)
    }
}
