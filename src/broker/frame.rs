//! Frames of the Kafka protocol: a big-endian i32 length, then that many bytes.
//!
//! In: any byte stream. Out: one request's bytes at a time, and answers in pieces.
//! Always: memory grows with the bytes that arrived, never with the length announced, and takes
//! room among all connections (`inboxes`); one that sends nothing holds no buffer; a
//! length that is negative or above the limit ends the connection (a TLS hello or an HTTP
//! request read as a length is).
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::answers::{Answers, Held};
use super::inboxes::{FREE, Inboxes, Room};

/// Bytes before a frame's content.
const LENGTH_BYTES: usize = 4;
/// The room for a read when some of a frame's length has come.
const FIRST_BYTES: usize = 512;
/// The least room made before any other read, and what the room grows by at first.
const READ_BYTES: usize = 16 * 1024;
/// How long nothing may come of a request that holds room.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may come as slowly as it likes, whoever waits.
const BEGINNING: Duration = Duration::from_secs(2);
/// How often a request that nothing comes of is looked at, or an answer of which nothing goes.
const LOOK: Duration = Duration::from_secs(1);
/// Slices handed to one vectored write; Linux takes at most 1024.
const WRITE_SLICES: usize = 64;

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "frame of {0} bytes, the limit is {1}: not a Kafka client, or raise socket.request.max.bytes"
    )]
    Length(i32, usize),
    #[error("the connection ended within a frame")]
    Cut,
    #[error("there was no room for its request among those of all connections")]
    NoRoom,
    #[error(
        "nothing came of the rest of its request for {PATIENCE:?}, or too little while others waited for its room"
    )]
    Slow,
    #[error("read or write")]
    Io(#[from] io::Error),
}

/// What was read of a connection and not yet taken.
#[derive(Debug)]
pub(crate) struct Inbox {
    buffer: BytesMut,
    limit: usize,
    inboxes: Inboxes,
    room: Room,
    /// How long was waited for the bytes of the frame that holds room.
    reading: Duration,
}

/// A frame's content, and its room until it is worked on.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Bytes,
    pub(crate) room: Room,
}

impl Inbox {
    /// Frames of up to `limit` bytes.
    pub(crate) fn new(limit: usize, inboxes: Inboxes) -> Self {
        let (room, reading) = (Room::default(), Duration::ZERO);
        Self { buffer: BytesMut::new(), limit, inboxes, room, reading }
    }

    /// The next frame's content; `None` when the client closed between frames.
    ///
    /// Cancel safe: all progress is in the buffer.
    pub(crate) async fn next(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<Option<Frame>, Error> {
        self.read(stream, false).await
    }

    /// As [`Inbox::next`]; with `only_small` a frame that needs room is not read on.
    pub(crate) async fn read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        only_small: bool,
    ) -> Result<Option<Frame>, Error> {
        loop {
            if let Some(frame) = self.whole()? {
                return Ok(Some(frame));
            }
            // Twice what arrived: a long frame is copied a few times while it grows, and a
            // client that announces much and sends little gets little.
            let has = self.buffer.len();
            if has == 0 {
                if first_bytes(stream, &mut self.buffer).await? == 0 {
                    return Ok(None);
                }
                continue;
            }
            let more = match self.missing() {
                // So a small request never waits for the room that larger ones hold.
                Some(missing) if has + missing <= FREE => missing,
                Some(_) if only_small => std::future::pending().await,
                Some(_) => READ_BYTES.max(has).min(self.limit),
                None => FIRST_BYTES,
            };
            let grown = Box::pin(self.inboxes.grow(&mut self.room, has + more)).await;
            grown.map_err(|_| Error::NoRoom)?;
            self.buffer.reserve(more);
            // Who holds room has to come on.
            let read = if has > FREE {
                Box::pin(self.come_on(stream)).await?
            } else {
                stream.read_buf(&mut self.buffer).await?
            };
            if read == 0 {
                return Err(Error::Cut);
            }
        }
    }

    /// How many bytes were read and not taken.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Reads more of a frame that holds room; an error if that comes too slowly.
    async fn come_on(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Result<usize, Error> {
        let (began, before) = (Instant::now(), self.reading);
        let has = u64::try_from(self.buffer.len()).unwrap_or(u64::MAX);
        let is_slow = |inboxes: &Inboxes| {
            let took = before + began.elapsed();
            let demanded = inboxes.demanded().saturating_mul(took.as_secs());
            began.elapsed() >= PATIENCE || took >= BEGINNING && has < demanded
        };
        let mut read = std::pin::pin!(stream.read_buf(&mut self.buffer));
        let read = loop {
            if is_slow(&self.inboxes) {
                return Err(Error::Slow);
            }
            tokio::select! {
                biased;
                read = &mut read => break read?,
                () = sleep(LOOK) => {}
            }
        };
        self.reading = before + began.elapsed();
        Ok(read)
    }

    /// How many bytes of the frame have not come; `None` before its length has.
    fn missing(&self) -> Option<usize> {
        let head = self.buffer.first_chunk::<LENGTH_BYTES>()?;
        let length = usize::try_from(i32::from_be_bytes(*head)).ok()?;
        Some((LENGTH_BYTES + length).saturating_sub(self.buffer.len()))
    }

    fn whole(&mut self) -> Result<Option<Frame>, Error> {
        let Some(head) = self.buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let announced = i32::from_be_bytes(*head);
        let length = usize::try_from(announced)
            .ok()
            .filter(|length| *length <= self.limit)
            .ok_or(Error::Length(announced, self.limit))?;
        if self.buffer.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(LENGTH_BYTES);
        self.reading = Duration::ZERO;
        let bytes = self.buffer.split_to(length).freeze();
        // What is left of the memory belongs to the frame.
        match self.buffer.len() {
            0 => self.buffer = BytesMut::new(),
            rest if rest <= FREE && length > FREE => {
                self.buffer = BytesMut::from(self.buffer.as_ref());
            }
            _ => {}
        }
        let room = self.room.leave(self.buffer.len());
        Ok(Some(Frame { bytes, room }))
    }
}

/// Puts what comes first into an empty buffer, which has no memory until it has come. Cancel safe.
async fn first_bytes(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> io::Result<usize> {
    poll_fn(|context| {
        let mut space = [MaybeUninit::uninit(); FREE];
        let mut read = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut *stream).poll_read(context, &mut read))?;
        buffer.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    })
    .await
}

/// A frame to send, in pieces: what was encoded, and bytes of the log as they are stored.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    encoded: BytesMut,
    done: VecDeque<Bytes>,
    bytes: usize,
    /// The room of the answer among all, given back when it is sent.
    held: Option<Held>,
}

impl Pieces {
    /// Where to encode what comes next.
    pub(crate) fn encode(&mut self) -> &mut BytesMut {
        &mut self.encoded
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.bytes + self.encoded.len()
    }

    /// Holds room until it is sent or dropped.
    pub(crate) fn hold(&mut self, held: Option<Held>) {
        self.held = held;
    }

    /// Puts stored bytes behind all so far, without copying them.
    pub(crate) fn push(&mut self, stored: Bytes) {
        self.seal();
        self.bytes += stored.len();
        self.done.push_back(stored);
    }

    fn seal(&mut self) {
        if !self.encoded.is_empty() {
            self.bytes += self.encoded.len();
            self.done.push_back(self.encoded.split().freeze());
        }
    }

    /// All bytes in one; for tests and small frames.
    #[cfg(test)]
    pub(crate) fn joined(mut self) -> Bytes {
        self.seal();
        self.done.into_iter().flatten().collect::<Vec<u8>>().into()
    }

    /// Sends the pieces as one frame, its length first. `TimedOut` if the other side takes
    /// nothing of it for as long as `patience`, or too little while others want the room that it
    /// holds of `answers`. Not cancel safe: a cancelled frame is half sent, and the connection has
    /// to be closed.
    pub(crate) async fn send(
        mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        patience: Duration,
        answers: &Answers,
    ) -> io::Result<()> {
        self.seal();
        let length = i32::try_from(self.bytes).map_err(io::Error::other)?;
        let mut head = BytesMut::with_capacity(LENGTH_BYTES);
        head.put_i32(length);
        self.done.push_front(head.freeze());
        let mut queue = Queue { left: self.bytes + LENGTH_BYTES, pieces: self.done, sent: 0 };
        let mut pace = Pace::new();
        let demanded = |holds: bool| if holds { answers.demanded() } else { 0 };
        while queue.has_remaining() {
            let (held_before, until) = (queue.held(), Instant::now() + patience);
            let written = {
                let mut writing = std::pin::pin!(stream.write_buf(&mut queue));
                loop {
                    tokio::select! {
                        biased;
                        written = &mut writing => break written?,
                        () = sleep_until(until.min(pace.looked + LOOK)) => {}
                    }
                    if Instant::now() >= until || pace.is_below(demanded(self.held.is_some())) {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            pace.bytes += u64::try_from(written).unwrap_or(u64::MAX);
            if pace.looked.elapsed() >= LOOK && pace.is_below(demanded(self.held.is_some())) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let held = queue.held();
            if let Some(room) = self.held.as_mut().filter(|_| held < held_before) {
                room.shrink(held);
            }
        }
        let slow = |_| io::Error::from(io::ErrorKind::TimedOut);
        timeout(patience, stream.flush()).await.map_err(slow)?
    }
}

/// How fast an answer is taken: between the last look and the one before it, and since.
#[derive(Debug)]
struct Pace {
    began: Instant,
    looked: Instant,
    bytes: u64,
    before: (u64, Duration),
}

impl Pace {
    fn new() -> Self {
        let now = Instant::now();
        Self { began: now, looked: now, bytes: 0, before: (0, Duration::ZERO) }
    }

    /// Whether it is less than so many bytes a second: a look. What goes within [`BEGINNING`] may
    /// be as slow as it likes.
    fn is_below(&mut self, demanded: u64) -> bool {
        let now = Instant::now();
        let (bytes, time) = (std::mem::take(&mut self.bytes), now - self.looked);
        let taken = self.before.0 + bytes;
        let within = u64::try_from((self.before.1 + time).as_millis()).unwrap_or(u64::MAX);
        self.before = (bytes, time);
        self.looked = now;
        now - self.began >= BEGINNING && taken < demanded.saturating_mul(within) / 1000
    }
}

/// Pieces as a buffer that offers all its slices to one vectored write.
struct Queue {
    pieces: VecDeque<Bytes>,
    /// How many bytes of the first one are sent.
    sent: usize,
    left: usize,
}

impl Queue {
    /// How many bytes its pieces hold; the first one holds all of its own until it is sent.
    fn held(&self) -> usize {
        self.left + self.sent
    }
}

impl Buf for Queue {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces).take(WRITE_SLICES) {
            *slice = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        self.left -= count;
        while let Some(front) = self.pieces.front_mut() {
            if count < front.len() {
                front.advance(count);
                self.sent += count;
                return;
            }
            count -= front.len();
            self.pieces.pop_front();
            self.sent = 0;
        }
        debug_assert_eq!(count, 0, "advanced past the end");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::answers::Share;

    #[tokio::test]
    async fn frames_come_whole_however_the_bytes_are_cut() {
        let bytes = [&[0, 0, 0, 3][..], b"abc", &[0, 0, 0, 0], &[0, 0, 0, 1], b"d"].concat();
        for cut in 1..bytes.len() {
            let (mut near, mut far) = tokio::io::duplex(cut);
            let sent = bytes.clone();
            let ((), frames) =
                tokio::join!(async move { far.write_all(&sent).await.unwrap() }, async move {
                    let mut inbox = Inbox::new(10, Inboxes::default());
                    let mut frames = Vec::new();
                    while let Some(frame) = inbox.next(&mut near).await.unwrap() {
                        frames.push(frame.bytes);
                    }
                    frames
                });
            assert_eq!(frames, [&b"abc"[..], b"", b"d"]);
        }
    }

    #[tokio::test]
    async fn a_length_that_cannot_be_is_refused_before_any_memory_is_taken() {
        for hostile in [[0xff; 4], *b"GET ", [0x16, 3, 1, 2], [0x06, 0x40, 0, 1]] {
            let mut inbox = Inbox::new(100 * 1024 * 1024, Inboxes::default());
            let error = inbox.next(&mut &hostile[..]).await.unwrap_err();
            assert!(matches!(error, Error::Length(..)), "{error}");
            assert!(inbox.buffer.capacity() <= READ_BYTES);
        }
    }

    #[tokio::test]
    async fn an_announced_length_takes_no_memory() {
        let mut inbox = Inbox::new(100 * 1024 * 1024, Inboxes::default());
        let announced = [&(90 * 1024 * 1024_i32).to_be_bytes()[..], &[0; 1000]].concat();
        let error = inbox.next(&mut &announced[..]).await.unwrap_err();
        assert!(matches!(error, Error::Cut));
        assert!(inbox.buffer.capacity() < 64 * 1024);
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_request_needs_no_room_and_a_large_one_has_to_come_on() {
        let inboxes = Inboxes::default();
        let large = [&(90_i32 << 20).to_be_bytes()[..], &vec![0; 100_000]].concat();
        let mut inbox = Inbox::new(100 << 20, inboxes.clone());
        let (mut near, mut far) = tokio::io::duplex(1 << 20);
        far.write_all(&large).await.unwrap();
        // It holds nearly all the room there is.
        inboxes.grow(&mut inbox.room, 22 << 20).await.unwrap();
        let began = tokio::time::Instant::now();
        let waits = async move { inbox.next(&mut near).await };
        let small = async {
            let mut inbox = Inbox::new(100 << 20, inboxes.clone());
            let (mut near, mut far) = tokio::io::duplex(100);
            let sending = async move {
                far.write_i32(3000).await.unwrap();
                far.write_all(&[7; 3000]).await.unwrap();
            };
            let ((), frame) = tokio::join!(sending, inbox.next(&mut near));
            assert_eq!(frame.unwrap().unwrap().bytes.len(), 3000);
            assert_eq!(began.elapsed(), Duration::ZERO);
        };
        let (waited, ()) = tokio::join!(waits, small);
        assert!(matches!(waited.unwrap_err(), Error::Slow));
        assert_eq!(began.elapsed(), PATIENCE);
    }

    /// Uploads that never end: they hold all the room there is as long as nobody else wants it.
    #[tokio::test(start_paused = true)]
    async fn slow_requests_give_way_to_those_that_wait_and_fast_ones_do_not() {
        let inboxes = Inboxes::default();
        let upload = |bytes: usize, every: Duration| {
            let mut inbox = Inbox::new(100 << 20, inboxes.clone());
            let (mut near, mut far) = tokio::io::duplex(1 << 20);
            async move {
                far.write_i32(90 << 20).await.unwrap();
                far.write_all(&vec![0; 130_000]).await.unwrap();
                let drip = async {
                    loop {
                        tokio::time::sleep(every).await;
                        if far.write_all(&vec![0; bytes]).await.is_err() {
                            std::future::pending::<()>().await;
                        }
                    }
                };
                tokio::select! {
                    ended = inbox.next(&mut near) => ended.map(|_| ()),
                    () = drip => Ok(()),
                }
            }
        };
        let minute = Duration::from_mins(1);
        // 130 of them take it all.
        let slow = (0..130).map(|_| timeout(minute, upload(1, Duration::from_secs(4))));
        let slow = futures_util::future::join_all(slow);
        let fast = timeout(minute, upload(300_000, Duration::from_secs(1)));
        let newcomer = async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            let began = Instant::now();
            let mut room = Room::default();
            inboxes.grow(&mut room, 1 << 20).await.unwrap();
            began.elapsed()
        };
        let (slow, fast, took) = tokio::join!(slow, fast, newcomer);
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert!(fast.is_err(), "the fast one goes on: {fast:?}");
        let ended = slow.iter().filter(|one| matches!(one, Ok(Err(Error::Slow)))).count();
        assert!(ended > 10, "{ended} of the slow ones ended");
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_for_too_long_gets_no_more_and_who_is_slow_gets_all() {
        let answer = || {
            let mut pieces = Pieces::default();
            pieces.push(Bytes::from(vec![7; 10_000]));
            pieces
        };
        let (patience, answers) = (Duration::from_secs(10), Answers::default());
        let (mut near, mut far) = tokio::io::duplex(100);
        let slow = async move {
            let mut taken = vec![0; 50];
            for _ in 0..200 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                far.read_exact(&mut taken).await.unwrap();
            }
            far
        };
        let (sent, _far) = tokio::join!(answer().send(&mut near, patience, &answers), slow);
        sent.unwrap();
        let (mut near, _far) = tokio::io::duplex(100);
        let began = tokio::time::Instant::now();
        let error = answer().send(&mut near, patience, &answers).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), patience);
    }

    /// Who holds room takes by a rate, but only while others want it.
    #[tokio::test(start_paused = true)]
    async fn who_holds_room_and_is_slow_ends_once_others_want_it() {
        let second = Duration::from_secs(1);
        for (bytes, every, held, ends) in [
            (50, 9 * second, true, true),
            (10_000, second, true, true),
            (10_000, second, false, false),
            (1_000_000, second, true, false),
        ] {
            let answers = Answers::default();
            let mut pieces = Pieces::default();
            pieces.push(Bytes::from(vec![7; 100 << 20]));
            let held = held.then(|| answers.take(1 << 20, Share::default()).1.unwrap());
            pieces.hold(held);
            let (mut near, mut far) = tokio::io::duplex(bytes);
            let taking = async {
                let mut taken = vec![0; bytes];
                loop {
                    far.read_exact(&mut taken).await.unwrap();
                    sleep(every).await;
                }
            };
            let mut sending = std::pin::pin!(pieces.send(&mut near, 10 * second, &answers));
            let mut taking = std::pin::pin!(taking);
            let alone = async {
                tokio::select! {
                    sent = &mut sending => Some(sent),
                    () = &mut taking => None,
                    () = sleep(60 * second) => None,
                }
            };
            assert!(alone.await.is_none(), "{bytes} bytes every {every:?}: nobody else is there");
            let others = answers.wait(64 << 20, Share::default());
            let sent = tokio::select! {
                sent = &mut sending => Some(sent.unwrap_err().kind()),
                () = &mut taking => None,
                _ = others => None,
                () = sleep(7 * second) => None,
            };
            let wanted = ends.then_some(io::ErrorKind::TimedOut);
            assert_eq!(sent, wanted, "{bytes} bytes every {every:?}");
        }
    }

    #[tokio::test]
    async fn pieces_go_out_in_order_as_one_frame() {
        let mut pieces = Pieces::default();
        pieces.encode().put_slice(b"ab");
        pieces.push(Bytes::from_static(b"stored"));
        pieces.encode().put_slice(b"cd");
        let mut sent = Vec::new();
        pieces.send(&mut sent, Duration::from_secs(1), &Answers::default()).await.unwrap();
        assert_eq!(sent, b"\0\0\0\x0aabstoredcd");
    }
}
