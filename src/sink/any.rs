//! The sinks that an instance can have: one of a closed set.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{
    Closing, Committed, Embedded, Error, HeldPieces, HeldPlace, Kafka, Letters, Limits, Lost,
    Newest, Pace, Part, Receipt, Sink, TopicEnd, Turn, Waiting, Waits,
};
use crate::change::{Position, StateRecord, Xid};

/// Whichever sink was configured.
#[derive(Debug)]
pub enum AnySink {
    /// The bundled log.
    Embedded(Box<Embedded>),
    /// A Kafka cluster.
    Kafka(Box<Kafka>),
}

/// The same verb of whichever it is.
macro_rules! of {
    ($any:expr, $sink:ident => $verb:expr) => {
        match $any {
            AnySink::Embedded($sink) => $verb,
            AnySink::Kafka($sink) => $verb,
        }
    };
}

impl Sink for AnySink {
    async fn turn(&mut self, waiting: &mut (dyn FnMut(Waiting) + Send)) -> Result<Turn, Error> {
        of!(self, sink => sink.turn(waiting).await)
    }

    fn gives_way_after(&self) -> Option<Duration> {
        of!(self, sink => sink.gives_way_after())
    }

    async fn give_way(&mut self, stands_by: bool) -> Result<(), Error> {
        of!(self, sink => sink.give_way(stands_by).await)
    }

    async fn open(
        &mut self,
        each: &mut (dyn FnMut(StateRecord) + Send),
    ) -> Result<Committed, Error> {
        of!(self, sink => sink.open(each).await)
    }

    fn limits(&self) -> Limits {
        of!(self, sink => sink.limits())
    }

    fn loses_both_together(&self) -> bool {
        of!(self, sink => sink.loses_both_together())
    }

    async fn newest_of(&mut self, topics: Vec<Arc<str>>) -> Result<Option<Newest>, Error> {
        of!(self, sink => sink.newest_of(topics).await)
    }

    fn waits(&self) -> Waits {
        of!(self, sink => sink.waits())
    }

    fn pace(&self) -> Pace {
        of!(self, sink => sink.pace())
    }

    async fn append(&mut self, part: Part) -> Result<(), Error> {
        of!(self, sink => sink.append(part).await)
    }

    async fn append_state(&mut self, record: StateRecord) -> Result<(), Error> {
        of!(self, sink => sink.append_state(record).await)
    }

    async fn read_held(&mut self, xid: &Xid, place: HeldPlace) -> Result<HeldPieces, Error> {
        of!(self, sink => sink.read_held(xid, place).await)
    }

    async fn topic_ends(&mut self, names: Vec<Arc<str>>) -> Result<Vec<TopicEnd>, Error> {
        of!(self, sink => sink.topic_ends(names).await)
    }

    async fn publish_held(&mut self, xid: &Xid, closing: &Closing<'_>) -> Result<Bytes, Error> {
        of!(self, sink => sink.publish_held(xid, closing).await)
    }

    async fn append_loss_notices(&mut self, lost: &Lost) -> Result<Vec<String>, Error> {
        of!(self, sink => sink.append_loss_notices(lost).await)
    }

    async fn commit(
        &mut self,
        position: &Position,
        state: Vec<StateRecord>,
    ) -> Result<Receipt, Error> {
        of!(self, sink => sink.commit(position, state).await)
    }

    async fn abort(&mut self) -> Result<(), Error> {
        of!(self, sink => sink.abort().await)
    }

    fn letters(&self) -> Arc<str> {
        of!(self, sink => sink.letters())
    }

    async fn read_letters(&mut self, offset: i64) -> Result<Letters, Error> {
        of!(self, sink => sink.read_letters(offset).await)
    }

    async fn remove_letters(&mut self) -> Result<(), Error> {
        of!(self, sink => sink.remove_letters().await)
    }
}
