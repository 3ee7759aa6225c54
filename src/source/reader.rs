//! Reads one dump: events to what they mean, tables to their versions, pieces to chunks.
//!
//! In: what the replica connection receives. Out: chunks on the channel, and the position
//! behind the last whole transaction. Every type of event is met by name: applied, left out
//! with a reason, or the end of the session with a place and advice.
//!
//! Always: the filter is asked before a definition is; a table map is looked up again when
//! its bytes or the schema's epoch differ; the read timeout runs only while this waits for
//! the server, not while the channel is full.

mod events;
mod idle;
pub(super) mod overlap;
mod payload;
mod published;
mod quest;
mod rest;
mod savepoint;
pub(super) mod sessions;
mod snapshot;
mod tables;
mod xa;
mod zone;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::idle::Idle;
use self::overlap::{Named, Overlap};
use self::payload::{Payload, Proof};
use self::quest::Quest;
use self::sessions::Begun;
use self::tables::Tables;
use self::zone::KeptZone;
use super::assemble::{Assembler, End, Fault, Hint, Hints, Input, Piece};
use super::channel::Sender;
use super::held::Held;
use super::progress::Progress;
use super::rest::Found;
use super::snapshot::Windows;
use super::trail::Tracer;
use super::{Error, Parking, Settings};
use crate::binlog::{
    AlterPhase, ChecksumAlgorithm, EventHeader, EventType, FormatDescription, Fragments,
    HEADER_LENGTH, Tracker,
};
use crate::change::{
    Chunk, ChunkEnd, EventPlace, FileName, Generation, MySqlPosition, Published, TableName, Trail,
};
use crate::clock;
use crate::filter::Verdicts;
use crate::mysql;
use crate::mysql::replica::{Dump, Incoming};
use crate::mysql::{Session, probe};
use crate::schema::{Place, Schema};

/// One buffer of the replica connection and what it was grown by: what a slice of it may
/// keep alive beside itself.
const PINNED_BY_A_SLICE: usize = 1 << 20;

/// How a reading ended, if not by an error.
#[derive(Debug)]
pub(super) enum Ended {
    /// As asked.
    Stopped,
    /// A transaction has to be read again, knowing this.
    Again(Box<Hint>),
}

/// A statement that is logged beside its rows.
struct RowsQuery {
    sql: String,
    place: EventPlace,
    /// The table it names: that of the first table map behind it. Rows of others, which a foreign
    /// key changes, may come before its own.
    table: Option<TableName>,
}

/// What holds for the transaction that is being read: with each GTID, and each file, all of it
/// begins anew.
#[derive(Default)]
struct Current {
    /// What its GTID says of an ALTER TABLE.
    alter: Option<AlterPhase>,
    /// The collation of what its client sends.
    client: Option<u16>,
    /// The statement of the rows that follow, until they are handed over.
    rows_query: Option<RowsQuery>,
    /// It was accepted as lost, and comes after all.
    was_published: bool,
}

/// As many bytes of small chunks go over the channel together, if they come at once.
const PARCEL_BYTES: usize = 64 * 1024;

/// Where chunks go, and what ends it.
#[derive(Clone, Copy)]
struct Outlet<'a> {
    chunks: &'a Sender,
    generation: Generation,
    stop: &'a CancellationToken,
}

/// One event, or one inside a compressed transaction.
struct Event<'e> {
    header: EventHeader,
    /// The buffer that `body` lies in.
    bytes: &'e Bytes,
    /// Without checksum.
    body: &'e [u8],
    /// Where it is; an inner one where the outer does.
    place: &'e EventPlace,
    /// How many bytes were received for it.
    size: usize,
}

/// What an event has to wait for before it can be applied: it has done nothing yet.
enum Wait {
    /// A statement: it may need to ask the server.
    Query,
    /// A table map whose table has to be looked up.
    TableMap,
    /// LOAD DATA.
    LoadData,
}

/// The state of one dump.
pub(super) struct Reader<'a> {
    settings: &'a Settings,
    schema: &'a mut Schema,
    reached: &'a mut MySqlPosition,
    /// The XA branches that are held there.
    held: &'a mut Held,
    progress: &'a Progress,
    assembler: Assembler,
    tracker: Tracker,
    format: FormatDescription,
    /// Its body, as it came.
    format_body: Bytes,
    parking: &'a mut Parking,
    tables: Tables,
    fragments: Fragments,
    verdicts: Verdicts,
    current: Current,
    /// For definitions and engines; opened again when it broke.
    session: Option<Session>,
    idle: Idle,
    /// A format description was compared with the position's.
    is_same_file: bool,
    /// Bytes received since the last chunk, dropped ones too: its slices may keep them alive.
    unclaimed: usize,
    /// Whether the bytes that are being applied are known to be those that the server wrote.
    proof: Proof,
    /// Of an event inside a compressed transaction, how many are before it there.
    inner: Option<u32>,
    /// Chunks that were handed over, and leave with the next parcel, and what they weigh.
    parcel: (Vec<Chunk>, usize),
    /// When the last packet came.
    now: Instant,
    /// When `progress` last heard of one.
    heard: Option<Instant>,
    /// Set while one branch is read to be held, and all else is of no interest.
    quest: Option<Quest>,
    /// Where to begin, while what comes lies before it.
    begin: Option<Place>,
    /// Notes what gives the place on another server without GTIDs.
    tracer: Option<Tracer>,
    /// Where files were left out, until it was judged which sessions from before are still there.
    begun: Option<Begun>,
    /// The server whose files these are, by its `server_id`.
    written_by: u32,
    /// What was executed before, and may come again.
    overlap: Option<Overlap>,
    /// By the heartbeat before.
    named: Option<Named>,
    /// What was accepted as lost.
    published: Published,
    /// What values are written in, where that is the server's.
    zone: Option<KeptZone>,
    /// Tables that the survey left over, as they are read.
    rest: Option<mpsc::Receiver<Found>>,
    /// What is touched of tables that are copied.
    windows: Option<Windows>,
}

impl<'a> Reader<'a> {
    #[expect(clippy::too_many_arguments, reason = "the parts of a session, put together once")]
    pub(super) fn new(
        settings: &'a Settings,
        schema: &'a mut Schema,
        (reached, held, parking): (&'a mut MySqlPosition, &'a mut Held, &'a mut Parking),
        progress: &'a Progress,
        assembler: Assembler,
        tracker: Tracker,
        session: Session,
        (checksums, version): (bool, String),
    ) -> Self {
        let published = reached.published();
        Self {
            settings,
            schema,
            reached,
            held,
            progress,
            assembler,
            tracker,
            format: FormatDescription::expected(&version, checksums),
            format_body: Bytes::new(),
            parking,
            tables: Tables::default(),
            fragments: Fragments::default(),
            verdicts: Verdicts::default(),
            current: Current::default(),
            session: Some(session),
            idle: Idle::new(),
            is_same_file: false,
            unclaimed: 0,
            proof: Proof::Given,
            inner: None,
            parcel: (Vec::new(), 0),
            now: Instant::now(),
            heard: None,
            quest: None,
            begin: None,
            tracer: None,
            begun: None,
            written_by: 0,
            overlap: None,
            named: None,
            published,
            zone: None,
            rest: None,
            windows: None,
        }
    }

    /// Leaves out what comes before a place in the file: it is read from its head.
    pub(super) fn begin_at(&mut self, place: Place) {
        self.begin = Some(place);
    }

    /// What was executed may come again.
    pub(super) fn leave_out(&mut self, overlap: Option<Overlap>) {
        self.overlap = overlap;
    }

    /// Files may have been left out.
    pub(super) fn begun(&mut self, begun: Option<Begun>) {
        self.begun = begun;
    }

    /// Notes with each position what gives it on another server.
    pub(super) fn trace(&mut self, tracer: Option<Tracer>) {
        self.tracer = tracer;
    }

    /// What is known of transactions that may have to be read again.
    pub(super) fn into_hints(self) -> Hints {
        self.assembler.into_hints()
    }

    fn trail(&self) -> Option<Arc<Trail>> {
        self.tracer.as_ref().and_then(Tracer::trail)
    }

    /// Reads until `stop`, an error, or something that has to be read again.
    pub(super) async fn read(
        &mut self,
        dump: Dump,
        generation: Generation,
        chunks: &Sender,
        stop: &CancellationToken,
    ) -> Result<Ended, Error> {
        let outlet = Outlet { chunks, generation, stop };
        let ended = tokio::select! {
            biased;
            ended = self.read_on(dump, outlet) => ended,
            // It may be asking about a table, of a server that does not answer.
            () = overdue(stop) => return Ok(Ended::Stopped),
        };
        // What was handed over goes out, however the reading ended.
        match ended {
            Ok(Ended::Stopped) => self.stop(outlet).await,
            Ok(Ended::Again(_)) | Err(_) => self.send_parcel(outlet).await.and(ended),
        }
    }

    async fn read_on(&mut self, mut dump: Dump, outlet: Outlet<'_>) -> Result<Ended, Error> {
        let mut payload: Option<Payload> = None;
        if let Some(session) = &mut self.session
            && self.format.is_mariadb()
        {
            tokio::select! {
                biased;
                () = outlet.stop.cancelled() => return Ok(Ended::Stopped),
                begun = dump.more() => begun?,
                never = mysql::end_former_dumps(session, self.settings.replica.heartbeat) => {
                    match never {}
                }
            }
        }
        loop {
            match self.apply_all(&mut dump, &mut payload, outlet).await {
                Ok(()) => {}
                Err(Stop::Asked) => return Ok(Ended::Stopped),
                Err(Stop::Again(hint)) => return Ok(Ended::Again(hint)),
                Err(Stop::Error(error)) => return Err(*error),
            }
            if self.held.waits() {
                self.judge_branches();
            }
            if self.idle.was_due(self.now) {
                self.flush_idle(outlet)?;
            }
            if !self.publish_chunks(outlet).await? {
                return Ok(Ended::Stopped);
            }
            self.send_parcel(outlet).await?;
            self.look_at_zone().await?;
            tokio::select! {
                biased;
                () = outlet.stop.cancelled() => return Ok(Ended::Stopped),
                Some(found) = rest::next(&mut self.rest), if self.may_take_rest() => {
                    self.take_rest(found, outlet)?;
                }
                Some(request) = snapshot::next(&mut self.windows), if self.may_take_rest() => {
                    self.take_request(request, outlet).await?;
                }
                more = dump.more() => {
                    more?;
                    self.note_heard();
                }
                () = self.idle.is_due() => self.now = Instant::now(),
            }
        }
    }

    fn note_heard(&mut self) {
        self.now = Instant::now();
        if self.heard.is_none_or(|heard| self.now.duration_since(heard).as_millis() >= 500) {
            self.heard = Some(self.now);
            self.progress.heard(clock::now_millis());
        }
    }

    /// Applies what came with one read. Between two events nothing is waited for, nor looked at:
    /// it would cost more than most of them do.
    async fn apply_all(
        &mut self,
        dump: &mut Dump,
        payload: &mut Option<Payload>,
        outlet: Outlet<'_>,
    ) -> Result<(), Stop> {
        let mut place = self.place();
        while let Some(incoming) = dump.take().map_err(Error::from)? {
            match incoming {
                Incoming::Event(bytes) => {
                    self.received(bytes.len());
                    if let Some(event) = self.event(&bytes, &mut place)?
                        && let Some(wait) = self.apply_at_once(&event, outlet)?
                    {
                        Box::pin(self.apply_later(&event, wait, outlet)).await?;
                    }
                }
                Incoming::Piece { bytes, last } => {
                    self.received(bytes.len());
                    Box::pin(self.piece(payload, &bytes, last, outlet)).await?;
                }
                Incoming::End => {
                    let address = self.settings.endpoint.address();
                    return Err(Error::from(mysql::Error::Ended { address }).into());
                }
            }
            if self.has_full_parcel() {
                self.send_parcel(outlet).await?;
            }
        }
        Ok(())
    }

    /// Leaves the position of filtered traffic behind, if somebody still takes it.
    async fn stop(&mut self, outlet: Outlet<'_>) -> Result<Ended, Error> {
        const GOODBYE: Duration = Duration::from_secs(1);
        let goodbye = async {
            self.flush_idle(outlet)?;
            self.send_parcel(outlet).await
        };
        match tokio::time::timeout(GOODBYE, goodbye).await {
            Ok(Ok(()) | Err(Error::Closed)) | Err(_) => Ok(Ended::Stopped),
            Ok(Err(error)) => Err(error),
        }
    }

    fn received(&mut self, bytes: usize) {
        self.progress.packet(bytes);
        self.unclaimed += bytes;
    }

    /// One whole event, as it came; `None` for a format description, which is taken here, and for
    /// what lies before the begin.
    fn event<'e>(
        &mut self,
        bytes: &'e Bytes,
        place: &'e mut EventPlace,
    ) -> Result<Option<Event<'e>>, Stop> {
        let header = EventHeader::parse(bytes).map_err(|e| self.odd("an event", e))?;
        if header.event_size as usize != bytes.len() {
            return Err(Stop::broken(format!(
                "an event at {} says that it has {} bytes, and has {}",
                self.here(),
                header.event_size,
                bytes.len()
            )));
        }
        if header.event_type == EventType::FormatDescription {
            self.format_description(&header, bytes)?;
            return Ok(None);
        }
        let end = self.strip(&header, bytes)?;
        let body = bytes.get(HEADER_LENGTH..end).unwrap_or_default();
        self.note_moved(&header);
        self.tracker.advance_from(place, &header).map_err(|gap| Stop::broken(gap.to_string()))?;
        if header.is_in_file()
            && header.event_type != EventType::Rotate
            && self.is_before_begin(place)
        {
            return Ok(None);
        }
        if self.was_executed(&header, body, place)? {
            return Ok(None);
        }
        Ok(Some(Event { header, bytes, body, place, size: bytes.len() }))
    }

    fn is_before_begin(&mut self, place: &EventPlace) -> bool {
        let is_before = |begin: &Place| place.file == begin.file && place.offset < begin.offset;
        self.begin = self.begin.take().filter(is_before);
        self.begin.is_some()
    }

    /// Where the checksum of an event begins. The first artificial ROTATE comes before a format
    /// description: it has one if the server said that its events have
    /// (`get_binlog_checksum_value_at_connect`, `Binlog_sender::init_checksum_alg`), and may have
    /// one else, which its bytes show.
    fn strip(&self, header: &EventHeader, event: &Bytes) -> Result<usize, Stop> {
        let is_first = header.event_type == EventType::Rotate
            && header.is_artificial()
            && self.tracker.created() == 0;
        let algorithm = match self.format.checksum {
            ChecksumAlgorithm::Off if is_first && crate::binlog::verify_checksum(event) => {
                ChecksumAlgorithm::Crc32
            }
            known @ (ChecksumAlgorithm::Off | ChecksumAlgorithm::Crc32) => known,
        };
        let stripped = algorithm.strip(event).map_err(|e| self.odd("an event", e))?;
        Ok(stripped.len().max(HEADER_LENGTH))
    }

    fn format_description(&mut self, header: &EventHeader, event: &Bytes) -> Result<(), Stop> {
        const WHAT: &str = "FORMAT_DESCRIPTION";
        let body = event.get(HEADER_LENGTH..).unwrap_or_default();
        let format = FormatDescription::parse(body).map_err(|e| self.odd(WHAT, e))?;
        format.checksum.strip(event).map_err(|e| self.odd(WHAT, e))?;
        self.format = format;
        self.format_body = Bytes::copy_from_slice(body);
        self.advance(header)?;
        self.tracker.describe(header.timestamp);
        self.written_by = header.server_id;
        // What is read once more, from its head or to look for a branch, was counted before.
        if self.format.created != 0 && self.begin.is_none() && self.quest.is_none() {
            self.schema.server_started(header.server_id);
        }
        if !self.is_same_file {
            self.is_same_file = true;
            let expected = self.reached.file_created;
            if self.is_on_its_server()
                && *self.reached.file == **self.tracker.file()
                && expected != 0
                && header.timestamp != expected
            {
                return Err(Stop::from(Error::Reset {
                    file: Arc::clone(self.tracker.file()),
                    position: Box::new(self.reached.clone()),
                    made: header.timestamp,
                    expected,
                }));
            }
        }
        self.note_idle(0);
        Ok(())
    }

    /// Gives one event to the assembler, and what comes of it to the parcel.
    fn step(&mut self, input: Input, event: &Event<'_>, outlet: Outlet<'_>) -> Result<(), Stop> {
        self.step_of(input, event.place, event.size, outlet)
    }

    fn step_of(
        &mut self,
        input: Input,
        place: &EventPlace,
        size: usize,
        outlet: Outlet<'_>,
    ) -> Result<(), Stop> {
        let input = if self.current.was_published { self.of_published(input) } else { input };
        match self.assembler.step(input, place, size, &self.tracker)? {
            Some(piece) => self.hand_over_or_hold(piece, outlet),
            None => Ok(()),
        }
    }

    /// What would make a compressed transaction visible waits for the proof that it came whole.
    fn hand_over_or_hold(&mut self, piece: Piece, outlet: Outlet<'_>) -> Result<(), Stop> {
        match (&mut self.proof, &piece.end) {
            (Proof::Pending { held }, End::Commit(_)) => {
                *held = Some(Box::new(piece));
                Ok(())
            }
            (Proof::Pending { .. }, End::More | End::Abort) | (Proof::Given, _) => {
                self.hand_over(piece, outlet)
            }
        }
    }

    fn hand_over(&mut self, piece: Piece, outlet: Outlet<'_>) -> Result<(), Stop> {
        if self.quest.is_some() {
            return self.take_of_quest(piece, outlet);
        }
        self.note_of_windows(&piece);
        let Piece { head, changes, end, bytes, whole } = piece;
        let pinned = changes.iter().map(weight).sum();
        let bytes = bytes.max(self.unclaimed).min(pinned);
        self.unclaimed = 0;
        let end = match end {
            End::More => ChunkEnd::More,
            End::Abort => {
                self.schema.rollback();
                ChunkEnd::Abort
            }
            End::Commit(mut commit) => {
                commit.state = self.schema.commit().map_err(Error::from)?;
                commit.state.extend(self.records_of_tables()?);
                let is_idle = commit.state.is_empty() && commit.branch.is_none();
                if whole && changes.is_empty() && is_idle {
                    self.idle.note_filtered(*commit);
                    return Ok(());
                }
                commit.filtered = self.idle.take_filtered();
                commit.trail = self.trail();
                commit.prepared = self.held.prepared();
                self.reached.advance(&commit);
                self.assembler.reached();
                self.note_branch(commit.branch.as_deref());
                ChunkEnd::Commit(commit)
            }
        };
        self.post(Chunk { generation: outlet.generation, head, changes, end }, bytes);
        Ok(())
    }

    fn post(&mut self, chunk: Chunk, bytes: usize) {
        self.parcel.0.push(chunk);
        self.parcel.1 += bytes;
    }

    fn has_full_parcel(&self) -> bool {
        self.parcel.1 >= PARCEL_BYTES
    }

    async fn send_parcel(&mut self, outlet: Outlet<'_>) -> Result<(), Error> {
        if self.parcel.0.is_empty() {
            return Ok(());
        }
        // The next one will be about as long.
        let next = Vec::with_capacity(self.parcel.0.len());
        let (chunks, bytes) = std::mem::replace(&mut self.parcel, (next, 0));
        outlet.chunks.send_all(chunks, bytes).await.map_err(|_| Error::Closed)
    }

    /// Hands over the position behind what had nothing to publish.
    fn flush_idle(&mut self, outlet: Outlet<'_>) -> Result<(), Error> {
        let Some(mut commit) = self.idle.take() else { return Ok(()) };
        // A transaction is open, or its end waits for proof: its own commit takes the filtered
        // GTIDs along.
        if !self.is_between() || !matches!(self.proof, Proof::Given) {
            self.idle.put_back(commit);
            return Ok(());
        }
        // That a server has started, say.
        commit.state = self.schema.commit()?;
        commit.trail = self.trail();
        commit.prepared = self.held.prepared();
        let chunk = Chunk {
            generation: outlet.generation,
            head: Arc::default(),
            changes: Vec::new(),
            end: ChunkEnd::Commit(Box::new(commit.clone())),
        };
        self.reached.advance(&commit);
        self.assembler.reached();
        self.parcel.0.push(chunk);
        Ok(())
    }

    /// Between transactions, the source is positioned behind what it has read.
    fn note_idle(&mut self, time: u32) {
        let is_between = self.is_between() && matches!(self.proof, Proof::Given);
        if self.quest.is_none() && is_between && self.tracker.created() != 0 {
            let tracker = &self.tracker;
            let is_news = !self.is_on_its_server()
                || *self.reached.file != **tracker.file()
                || self.reached.offset < tracker.offset();
            if is_news {
                self.idle.note_place(tracker, time);
            }
        }
    }

    /// Whether the position is of the server that is read.
    fn is_on_its_server(&self) -> bool {
        *self.reached.server_uuid == **self.tracker.server()
    }

    fn advance(&mut self, header: &EventHeader) -> Result<EventPlace, Stop> {
        self.note_moved(header);
        self.tracker.advance(header).map_err(|gap| Stop::broken(gap.to_string()))
    }

    fn note_moved(&self, header: &EventHeader) {
        if header.is_in_file() {
            self.settings.remembered.lag().moved();
        }
    }

    /// Tables of the open transaction whose engine cannot roll back: by the history, else as the
    /// server has them now.
    async fn kept(&mut self) -> Result<HashSet<TableName>, Stop> {
        let (mut kept, mut unknown) = (HashSet::new(), Vec::new());
        for name in self.assembler.tables() {
            match self.schema.rolls_back(&name) {
                Some(true) => {}
                Some(false) => drop(kept.insert(name)),
                None => unknown.push(name),
            }
        }
        if unknown.is_empty() {
            return Ok(kept);
        }
        let session = session(&mut self.session, self.settings).await?;
        let found = probe::without_rollback(session, unknown).await.map_err(Error::from)?;
        kept.extend(found);
        Ok(kept)
    }

    fn here(&self) -> String {
        format!("{}:{}", self.tracker.file(), self.tracker.offset())
    }

    fn place(&self) -> EventPlace {
        let file = Arc::clone(self.tracker.file());
        EventPlace { file, offset: self.tracker.offset(), time: 0 }
    }

    fn odd(&self, what: &str, source: crate::binlog::Error) -> Stop {
        odd(&self.place(), what, source)
    }
}

fn odd(place: &EventPlace, what: &str, source: crate::binlog::Error) -> Stop {
    Stop::from(Error::Event { place: place.clone(), what: what.to_owned(), source })
}

/// How many bytes a change keeps alive, at most.
fn weight(change: &crate::change::Change) -> usize {
    match change {
        crate::change::Change::Rows(rows) => {
            let kept = rows.parked.as_ref().map_or(0, |kept| kept.body.len());
            rows.images.len().max(kept) + PINNED_BY_A_SLICE
        }
        crate::change::Change::Statement(statement) => statement.sql.len() + 512,
        crate::change::Change::Together(_) => 512,
    }
}

/// When an orderly end has had its time.
async fn overdue(stop: &CancellationToken) {
    const TIME: Duration = Duration::from_secs(2);
    stop.cancelled().await;
    tokio::time::sleep(TIME).await;
}

/// The session for questions, opened again when it broke.
async fn session<'s>(
    session: &'s mut Option<Session>,
    settings: &Settings,
) -> Result<&'s mut Session, Error> {
    let usable = session.take().filter(|session| !session.is_broken());
    let opened = match usable {
        Some(usable) => usable,
        None => Session::connect(&settings.endpoint).await?,
    };
    Ok(session.insert(opened))
}

/// Why an event ends the reading. Boxed: it is in the result of each event.
#[derive(Debug)]
enum Stop {
    Asked,
    Again(Box<Hint>),
    Error(Box<Error>),
}

impl Stop {
    fn broken(text: String) -> Self {
        Self::from(Error::Broken(text))
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(Box::new(error))
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Again(hint) => Self::Again(hint),
            Fault::Outside { .. } => Self::from(Error::Start(fault.to_string())),
            Fault::OtherBranch { .. } => Self::broken(fault.to_string()),
            Fault::ManyRollbacks { ref file, transaction }
            | Fault::ManySavepoints { ref file, transaction } => Self::from(Error::Unsupported {
                place: EventPlace { file: FileName::clone(file), offset: transaction, time: 0 },
                what: "a transaction".to_owned(),
                reason: fault.to_string(),
                advice: "leave its tables out (canal.instance.filter.black.regex), or set the \
                         position behind it (`bin/sluice position set`) and copy them anew",
            }),
        }
    }
}
