//! One client connection: frames in, answers out, in the order of the requests.
//!
//! In: any stream of bytes, and the broker. Out: answers, first in, first out, as the
//! protocol demands. Always: one request at a time is worked on, save that Produce requests
//! in a row are handed to the log one after the other and awaited together (a pipelining
//! producer shares its syncs); whatever a client sends ends at most its own connection. While
//! a request is worked on the next one is read, so that a client that goes away is noticed;
//! one that takes nothing of its answer for [`PATIENCE`] is closed, or too little of it while
//! others wait for its room (`answers`). A request that changes something is carried through once
//! it has begun, whether or not its client stays. A connection that is silent takes little memory:
//! what works on a request, or sends an answer, is in a box of its own.
//!
//! Select priorities: an answer that is ready, the stop of the server, the next frame, the
//! end of patience with a silent client.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesOrdered, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Broker;
use super::answers::Share;
use super::call::{Peer, Refused};
use super::dispatch::{self, Request};
use super::frame::{self, Frame, Inbox, Pieces};
use super::inboxes::Room;
use super::versions::Api;

/// Produce requests of one connection that may always wait for the log at once. Java and
/// idempotent librdkafka send five at most.
const OWN_PRODUCES: usize = 8;
/// Those that may, as long as all connections together have room for them (`inboxes`): librdkafka
/// sends a request for each partition, without a limit, and they share their syncs.
const MOST_PRODUCES: usize = 512;
/// How long a client may take nothing of an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client may take to accept its last answer once the server stops.
const STOP_GRACE: Duration = Duration::from_secs(2);

type Answer = Result<Option<Pieces>, Refused>;
type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Why a connection ended before the client closed it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Frame(#[from] frame::Error),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("send an answer")]
    Send(#[source] std::io::Error),
    #[error("the client did not take its answer while the server stops")]
    Stopped,
    #[error("the client went away while its request was worked on")]
    Gone,
    #[error("silent for {0:?}")]
    Idle(Duration),
}

enum Event {
    Answer(Answer),
    Frame(Option<Frame>),
    Stop,
}

/// Serves one client until it closes, errs, is silent for too long, or `stop`.
pub(crate) fn serve<S>(
    stream: S,
    peer: Peer,
    broker: Arc<Broker>,
    stop: CancellationToken,
) -> impl Future<Output = Result<(), Error>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let inbox = Inbox::new(broker.settings.max_request_bytes, broker.inboxes.clone());
    let (answers, share) = (FuturesOrdered::new(), Share::default());
    let mut connection =
        Connection { stream, peer, broker, stop, inbox, answers, ahead: None, share };
    async move { connection.run().await }
}

struct Connection<S> {
    stream: S,
    peer: Peer,
    broker: Arc<Broker>,
    stop: CancellationToken,
    inbox: Inbox,
    /// Produce requests that wait for the log.
    answers: FuturesOrdered<Answering>,
    /// What was read while a request was worked on; nothing more is read then.
    ahead: Option<Frame>,
    /// How much the next answer may carry.
    share: Share,
}

/// Answers in a task of the broker, which goes on when the client has gone: a request that
/// changes several things is not left half done.
async fn carry_through(
    broker: Arc<Broker>,
    api: Api,
    answering: impl Future<Output = Answer> + Send + 'static,
) -> Answer {
    let unfinished = |reason: String| Refused::Unfinished { api, reason };
    let working = Arc::clone(&broker.working).acquire_owned().await;
    let working = working.map_err(|error| unfinished(error.to_string()))?;
    let work = async move {
        let _working = working;
        answering.await
    };
    let done = broker.work.spawn("carry a request through", work).await;
    done.unwrap_or_else(|error| Err(unfinished(error.to_string())))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn run(&mut self) -> Result<(), Error> {
        loop {
            match self.event().await? {
                Event::Answer(answer) => Box::pin(self.send(answer?)).await?,
                Event::Frame(Some(frame)) => Box::pin(self.take(frame)).await?,
                Event::Frame(None) | Event::Stop => return Box::pin(self.drain()).await,
            }
        }
    }

    /// Cancel safe: what waits is in `answers`, what was read is in `inbox`.
    async fn event(&mut self) -> Result<Event, Error> {
        let idle = Duration::from_millis(self.broker.settings.max_idle_ms);
        let waiting = self.answers.len();
        let takes_more = waiting < OWN_PRODUCES
            || (waiting < MOST_PRODUCES && self.broker.inboxes.may_produce());
        if takes_more && let Some(frame) = self.ahead.take() {
            return Ok(Event::Frame(Some(frame)));
        }
        tokio::select! {
            biased;
            Some(answer) = self.answers.next() => Ok(Event::Answer(answer)),
            () = self.stop.cancelled() => Ok(Event::Stop),
            frame = self.inbox.next(&mut self.stream), if takes_more => {
                Ok(Event::Frame(frame?))
            }
            () = tokio::time::sleep(idle), if waiting == 0 => Err(Error::Idle(idle)),
        }
    }

    async fn take(&mut self, frame: Frame) -> Result<(), Error> {
        let Frame { bytes, room } = frame;
        let length = bytes.len();
        let mut request = dispatch::open(bytes, self.share)?;
        dispatch::check_length(&request, length)?;
        let room = self.room_to_work(&mut request, length, room)?;
        let produces = request.api() == Some(Api::Produce);
        let beyond = if produces { self.room_to_wait().await? } else { None };
        let request_waits =
            matches!(request.api(), Some(Api::Fetch | Api::JoinGroup | Api::SyncGroup));
        let mut closed = false;
        let broker = Arc::clone(&self.broker);
        let queued = Arc::new(Notify::new());
        let (peer, stop) = (self.peer.clone(), self.stop.clone());
        let api = request.api().filter(|api| api.is_carried_through());
        let answering =
            dispatch::answer(Arc::clone(&broker), peer, request, stop, Arc::clone(&queued));
        let answering = async move {
            let _held = (room, beyond);
            answering.await
        };
        let mut answering: Answering = match api {
            Some(api) => Box::pin(carry_through(broker, api, answering)),
            None => Box::pin(answering),
        };
        if produces {
            // The order of the requests is to be the order of the appends: the next one is
            // worked on only when this one's batches have their place.
            loop {
                tokio::select! {
                    biased;
                    answer = &mut answering => {
                        self.answers.push_back(Box::pin(ready(answer)));
                        return Ok(());
                    }
                    () = queued.notified() => {
                        self.answers.push_back(answering);
                        return Ok(());
                    }
                    frame = self.inbox.next(&mut self.stream), if self.ahead.is_none() && !closed => match frame? {
                        Some(frame) => self.ahead = Some(frame),
                        None => closed = true,
                    }
                }
            }
        }
        self.drain().await?;
        let answer = loop {
            // What was read of the next ones is not worked on before this one has its answer.
            let ahead = self.ahead.as_ref().map_or(0, |frame| frame.bytes.len());
            let held = if request_waits { ahead + self.inbox.len() } else { 0 };
            tokio::select! {
                biased;
                answer = &mut answering => break answer?,
                () = self.broker.inboxes.wanted(held) => return Err(frame::Error::Slow.into()),
                frame = self.inbox.read(&mut self.stream, request_waits), if self.ahead.is_none() && !closed => match frame? {
                    Some(frame) => self.ahead = Some(frame),
                    // Nobody is there to take what it would wait for.
                    None if request_waits => return Err(Error::Gone),
                    None => closed = true,
                }
            }
        };
        self.send(answer).await
    }

    /// What a Produce request holds besides while it waits for the log.
    async fn room_to_wait(&mut self) -> Result<Option<OwnedSemaphorePermit>, Error> {
        if self.answers.len() < OWN_PRODUCES {
            return Ok(None);
        }
        let permit = self.broker.inboxes.produce();
        if permit.is_none() {
            // Another connection was faster.
            self.drain().await?;
        }
        Ok(permit)
    }

    /// The room that a request of `length` bytes has while it is worked on, in place of the room
    /// that it had when it arrived.
    fn room_to_work(
        &self,
        request: &mut Request,
        length: usize,
        arrived: Room,
    ) -> Result<Room, Error> {
        let inboxes = &self.broker.inboxes;
        match request.api() {
            // Its batches are what arrived until they lie in the log's queue.
            Some(Api::Produce) => Ok(arrived),
            Some(Api::Fetch) => Ok(inboxes.waiting(length).unwrap_or_else(|| {
                request.answer_at_once();
                arrived
            })),
            // What the group keeps of it is copied; nothing else waits.
            Some(Api::JoinGroup | Api::SyncGroup) => Ok(Room::default()),
            Some(_) | None => Ok(inboxes.work(length).ok_or(frame::Error::NoRoom)?),
        }
    }

    /// Answers all that waits.
    async fn drain(&mut self) -> Result<(), Error> {
        while let Some(answer) = self.answers.next().await {
            self.send(answer?).await?;
        }
        Ok(())
    }

    async fn send(&mut self, answer: Option<Pieces>) -> Result<(), Error> {
        let Some(pieces) = answer else { return Ok(()) }; // acks=0
        let (stop, answers) = (self.stop.clone(), &self.broker.answers);
        let (bytes, began) = (pieces.len(), Instant::now());
        tokio::select! {
            biased;
            sent = pieces.send(&mut self.stream, PATIENCE, answers) => sent.map_err(Error::Send)?,
            () = async { stop.cancelled().await; tokio::time::sleep(STOP_GRACE).await } => {
                return Err(Error::Stopped);
            }
        }
        self.share.learn(bytes, began.elapsed());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
