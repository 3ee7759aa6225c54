//! Publishes what is kept of a parked table, and unparks the table.
//!
//! In: an instance that does not run, and its sink. Out: one append with the letters of the table
//! as messages, in their order, and the record that the table is parked no more, at the position
//! that is committed. So all of it is published or nothing, once, before whatever comes next; a
//! process that ends in between leaves the table parked as it was.
//!
//! The messages have the headers of their events, and are numbered within what of each source
//! transaction was parked; a header `retried` distinguishes them from others.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::letter::{Content, Letter, Reading};
use super::tables;
use crate::change::{
    Change, EventPlace, ParkedTable, Position, ServerZone, TableName, TransactionHead,
};
use crate::format::Zone;
use crate::instance::Plan;
use crate::instance::encode::{self, Encoder};
use crate::instance::reaction;
use crate::instance::supervisor::{self, Opened};
use crate::sink::{self, LetterRecord, Sink};
use crate::source::failover::Servers;
use crate::source::{self, Kept};

/// As many bytes of messages wait before they are handed over.
const HAND_OVER_BYTES: usize = sink::BATCH_BYTES;

/// Why a table stays parked. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such table, or it is not parked.
    #[error("{table} is not parked; {parked}")]
    NotParked {
        /// What was asked for.
        table: String,
        /// What is.
        parked: String,
    },
    /// Prepared XA branches hold rows of it.
    #[error(
        "XA branches that are prepared and have not ended hold changes of {table} ({branches}): \
         commit them or roll them back on the source, then try again"
    )]
    Branches {
        /// The table.
        table: TableName,
        /// Their xids.
        branches: String,
    },
    /// An event was not kept, and cannot be read again.
    #[error(
        "the event of {table} at {}:{} was not kept, since it has {size} bytes, more than \
         sluice.parked.max.bytes; and the source does not have it there any more: its binlog was \
         purged, or it is another server; copy the table anew, then `bin/sluice instance \
         drop-parked` gives up what is kept",
        .place.file, .place.offset
    )]
    NotKept {
        /// The table.
        table: TableName,
        /// Where it is.
        place: EventPlace,
        /// How large it is.
        size: u64,
    },
    /// A letter cannot be read.
    #[error("{0}")]
    Letter(String),
    /// The server, or the rows.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// A row cannot be published.
    #[error(transparent)]
    Encode(#[from] encode::Error),
    /// The sink.
    #[error(transparent)]
    Sink(#[from] sink::Error),
    /// The sink's records cannot be read.
    #[error(transparent)]
    Open(#[from] reaction::Error),
}

impl Error {
    /// Whether the bytes of an event are at fault.
    fn is_of_bytes(&self) -> bool {
        match self {
            Self::Encode(encode::Error::Unreadable { .. })
            | Self::Source(source::Error::Rows { .. } | source::Error::Event { .. }) => true,
            Self::Encode(encode::Error::TooLarge { .. } | encode::Error::ManyNames { .. })
            | Self::NotParked { .. }
            | Self::Branches { .. }
            | Self::NotKept { .. }
            | Self::Letter(_)
            | Self::Source(_)
            | Self::Sink(_)
            | Self::Open(_) => false,
        }
    }
}

/// Which bodies of rows events are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bodies {
    /// Those that were kept.
    Kept,
    /// Those that the source still has, where it has them.
    Fetched,
}

/// Publishes what is kept of `table` (`db.table`); which tables are parked then.
pub async fn retry<S: Sink>(
    plan: &Plan,
    sink: &mut S,
    table: &str,
) -> Result<Vec<ParkedTable>, Error> {
    let (opened, position, parked) = parked_table(sink, table).await?;
    // Whichever is read: the first one may be gone.
    let mut servers = Servers::new(&plan.source);
    let Position::MySql(at) = &position;
    servers.choose(Some(at)).await;
    let mut published = publish(plan, &servers, sink, &parked, Bodies::Kept).await;
    if let Err(error) = &published
        && error.is_of_bytes()
    {
        tracing::warn!(table = %parked.name(), %error,
            "what was kept cannot be read; it may have been damaged on the way, and is read again");
        sink.abort().await?;
        published = publish(plan, &servers, sink, &parked, Bodies::Fetched).await;
    }
    if let Err(error) = published {
        // Whatever becomes of it: the session that follows opens the sink again.
        let _ = sink.abort().await;
        return Err(error);
    }
    let mut rest = opened.parked;
    rest.retain(|one| one.name() != parked.name());
    unpark(sink, &position, &parked, &rest).await?;
    tracing::warn!(table = %parked.name(), events = parked.events, "the table is parked no more: \
        its changes were published");
    Ok(rest)
}

/// Drops what is kept of `table` (`db.table`); which tables are parked then.
pub async fn drop_parked<S: Sink>(sink: &mut S, table: &str) -> Result<Vec<ParkedTable>, Error> {
    let (opened, position, parked) = parked_table(sink, table).await?;
    let mut rest = opened.parked;
    rest.retain(|one| one.name() != parked.name());
    unpark(sink, &position, &parked, &rest).await?;
    tracing::warn!(table = %parked.name(), events = parked.events, file = parked.file,
        offset = parked.offset, "the table is parked no more: ITS CHANGES WERE DROPPED");
    Ok(rest)
}

/// Opens the sink and finds a parked table that no branch holds.
async fn parked_table<S: Sink>(
    sink: &mut S,
    table: &str,
) -> Result<(Opened, Position, ParkedTable), Error> {
    let opened = supervisor::open(sink).await?;
    let found = opened.parked.iter().find(|one| has_name(one, table)).cloned();
    let (Some(parked), Some(position)) = (found, opened.committed.position.clone()) else {
        let names = opened.parked.iter().flat_map(ParkedTable::all_names);
        let names: Vec<String> = names.map(|name| name.to_string()).collect();
        let parked = match &names[..] {
            [] => "no table of the instance is".to_owned(),
            names => format!("of the instance are {}", names.join(", ")),
        };
        return Err(Error::NotParked { table: table.to_owned(), parked });
    };
    // Others were forgotten with the place that they were held at.
    let held: Vec<String> = opened.committed.held.iter().map(|(xid, _)| xid.to_string()).collect();
    let branches: Vec<_> = parked.branches.iter().filter(|xid| held.contains(xid)).collect();
    if !branches.is_empty() {
        let branches: Vec<&str> = branches.into_iter().map(String::as_str).collect();
        return Err(Error::Branches { table: parked.name(), branches: branches.join(", ") });
    }
    Ok((opened, position, parked))
}

/// Whether the table is called `name` (`db.table`), by its own name or one that it has since.
fn has_name(parked: &ParkedTable, name: &str) -> bool {
    parked.all_names().any(|one| one.to_string() == name)
}

/// Ends the append: the table is parked no more.
async fn unpark<S: Sink>(
    sink: &mut S,
    position: &Position,
    parked: &ParkedTable,
    rest: &[ParkedTable],
) -> Result<(), Error> {
    sink.commit(position, vec![tables::record(&parked.name(), None)]).await?.await?;
    if rest.is_empty() {
        sink.remove_letters().await?;
    }
    Ok(())
}

/// Appends the messages of all letters of the table.
async fn publish<S: Sink>(
    plan: &Plan,
    servers: &Servers,
    sink: &mut S,
    parked: &ParkedTable,
    bodies: Bodies,
) -> Result<(), Error> {
    let mut kept = Kept::new(servers);
    let mut publication = plan.publication.clone();
    if let Some(zone) = zone(servers).await? {
        publication.format.zone = Zone::of_changes(&zone.changes);
    }
    let mut encoder = Encoder::late(publication, sink.limits());
    let (mut reading, mut transaction, mut offset) =
        (Reading::default(), None, parked.first_offset());
    let keys = Keys::of(parked);
    loop {
        let letters = sink.read_letters(offset).await?;
        if letters.next == offset {
            break;
        }
        offset = letters.next;
        for record in letters.records.iter().filter(|record| keys.has(&record.key)) {
            let letter = reading.push(&record.value);
            let letter = letter.map_err(|error| Error::Letter(error.to_string()))?;
            let is_of_it = |letter: &Letter| {
                parked.from_of(&letter.table).is_some_and(|from| from <= record.offset)
            };
            let Some(letter) = letter.filter(is_of_it) else { continue };
            if transaction.as_ref().is_some_and(|open| *open != letter.transaction) {
                encoder.end_transaction();
            }
            transaction = Some(letter.transaction.clone());
            let (head, change) = change(&mut kept, letter, record, bodies).await?;
            encoder.encode(&head, &[change])?;
            if encoder.bytes() >= HAND_OVER_BYTES {
                hand_over(sink, &mut encoder).await?;
            }
        }
    }
    if transaction.is_some() {
        encoder.end_transaction();
    }
    hand_over(sink, &mut encoder).await
}

/// The time zone of the server that is read, or of another that answers.
async fn zone(servers: &Servers) -> Result<Option<ServerZone>, source::Error> {
    let failed = match source::zone(servers.settings()).await {
        Err(error) if error.is_transient() => error,
        found => return found,
    };
    for settings in servers.all() {
        if let Ok(found) = source::zone(settings).await {
            return Ok(found);
        }
    }
    Err(failed)
}

/// The keys of records that may be pieces of a table's letters.
struct Keys {
    names: HashSet<Bytes>,
    /// The databases of which all is parked.
    databases: Vec<String>,
}

impl Keys {
    fn of(parked: &ParkedTable) -> Self {
        let names = parked.all_names().map(|name| Bytes::from(name.to_string())).collect();
        let all_of =
            parked.all_names().filter(|name| name.covers(&TableName::new(&*name.schema, "?")));
        Self { names, databases: all_of.map(|name| name.to_string()).collect() }
    }

    fn has(&self, key: &Bytes) -> bool {
        self.names.contains(key)
            || self.databases.iter().any(|database| key.starts_with(database.as_bytes()))
    }
}

async fn hand_over<S: Sink>(sink: &mut S, encoder: &mut Encoder) -> Result<(), Error> {
    for part in encoder.take() {
        sink.append(part).await?;
    }
    Ok(())
}

/// What a letter keeps, as it would have come.
async fn change(
    kept: &mut Kept<'_>,
    letter: Letter,
    record: &LetterRecord,
    bodies: Bodies,
) -> Result<(TransactionHead, Change), Error> {
    let Letter { table, place, executed, content, .. } = letter;
    // Of a change of an XA branch: where the branch was committed.
    let named = record.binlog.rsplit_once(':');
    let named = named.and_then(|(file, offset)| Some((file, offset.parse().ok()?)));
    let named = named.map(|(file, offset)| EventPlace { file: file.into(), offset, ..place });
    let head = TransactionHead {
        gtid: record.gtid.clone(),
        executed: executed.map(Arc::from),
        ..TransactionHead::default()
    };
    let place_of = |place: EventPlace| named.unwrap_or(place);
    let change = match content {
        Content::NotKept { size, event } => {
            let Some(event) = kept.fetch(&event, size, &place).await? else {
                return Err(Error::NotKept { table, place, size });
            };
            let mut rows = kept.rows(&event, &place).await?;
            rows.place = place_of(place);
            Change::Rows(rows)
        }
        Content::Rows(mut event) => {
            if bodies == Bodies::Fetched
                && let Some(fetched) = kept.fetch(&event, event.body.len() as u64, &place).await?
            {
                event = fetched;
            }
            let mut rows = kept.rows(&event, &place).await?;
            rows.place = place_of(place);
            Change::Rows(rows)
        }
        Content::Statement(mut statement) => {
            statement.place = place_of(place);
            Change::Statement(statement)
        }
    };
    Ok((head, change))
}
