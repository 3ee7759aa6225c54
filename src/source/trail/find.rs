//! Finds the place that a trail leads to in the binlog of another server.
//!
//! The heartbeat is looked for from the newest file back; then as many transactions are read
//! behind it as the trail has. They must be the same, in the same order: then what comes next is
//! what comes next here. Always: right, or refused in words; nothing is guessed by time.

use std::sync::Arc;

use super::{Ended, Step, Transactions, chained};
use crate::binlog::{EventType, FIRST_EVENT};
use crate::change::{Digest, Executed, FileName, MySqlPosition, TableName, Trail};
use crate::mysql::probe::{self, Probe};
use crate::mysql::{Scan, Scanned, Session};
use crate::source::{Error, Settings};

/// Clocks of two servers may differ by this much, in seconds: files that were begun so long before
/// a heartbeat do not have it.
const CLOCKS_DIFFER: u32 = 24 * 3600;

/// Where a transaction ends.
struct Found {
    file: FileName,
    offset: u64,
    created: u32,
    is_exact: bool,
    way: Way,
}

/// How the digests of a trail are made: only builds before took the older way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Newer,
    Older,
}

impl Way {
    fn digest(self, ended: &Ended) -> Option<Digest> {
        match self {
            Self::Newer => ended.digest,
            Self::Older => ended.older,
        }
    }
}

/// What was found behind a heartbeat.
struct Followed {
    /// Behind the last transaction.
    end: Found,
    count: u64,
    digest: Digest,
    /// How many of them the server made itself.
    own: u64,
}

/// The same place on this server, which another one's `position` is behind; or why it is not known.
pub(in crate::source) async fn find(
    settings: &Settings,
    session: &mut Session,
    probe: &Probe,
    position: &MySqlPosition,
) -> Result<Option<MySqlPosition>, Error> {
    let beats = settings.heartbeat.as_ref().and_then(|heartbeat| heartbeat.table.clone());
    let (Some(trail), Some(beats)) = (&position.trail, beats) else { return Ok(None) };
    let trail = &Trail::clone(trail).upgraded();
    let refuse = |reason: String| Error::NoPlace {
        position: Box::new(position.clone()),
        address: settings.endpoint.address(),
        reason,
    };
    let beat = heartbeat(settings, session, &beats, trail, &refuse).await?;
    let server_id = probe.variable("server_id").and_then(|id| id.parse().ok());
    let digest = match beat.way {
        Way::Newer => Some(trail.digest),
        Way::Older => trail.older,
    };
    let followed = follow(settings, &beats, beat, trail.count, server_id, &refuse).await?;
    if followed.count < trail.count {
        return Err(lacks(settings, trail, &followed));
    }
    if Some(followed.digest) != digest {
        let own = match followed.own {
            0 => String::new(),
            own => format!(" ({own} are of its own)"),
        };
        return Err(refuse(format!(
            "the {} transactions behind the heartbeat of {} are not the same there, or in another \
             order{own}",
            trail.count, trail.beat_time
        )));
    }
    let Found { file, offset, created, .. } = followed.end;
    tracing::warn!(
        was = %position, is = %format_args!("{file}:{offset}"),
        server = settings.endpoint.address(),
        transactions = trail.count,
        "goes on at another server without GTIDs: its binlog has the same transactions since the \
         last heartbeat"
    );
    Ok(Some(MySqlPosition {
        file,
        offset,
        gtid_set: Executed::Absent,
        server_uuid: Arc::clone(&probe.uuid),
        by_gtid: false,
        file_created: created,
        event_time: position.event_time,
        server_time: 0,
        lost: position.lost.clone(),
        trail: Some(Arc::new(trail.clone())),
        prepared: None,
    }))
}

/// The one place of the heartbeat.
async fn heartbeat(
    settings: &Settings,
    session: &mut Session,
    beats: &TableName,
    trail: &Trail,
    refuse: &impl Fn(String) -> Error,
) -> Result<Found, Error> {
    let files = probe::binlog_files(session).await?;
    let mut found: Vec<Found> = Vec::new();
    for file in files.iter().rev() {
        // Where only the second of a heartbeat is known, the file before may have its twin.
        let is_known = found.first().map(|found| found.is_exact);
        if is_known == Some(true) {
            break;
        }
        let (more, created) = beats_of(settings, &file.name, beats, trail, refuse).await?;
        found.extend(more);
        if is_known.is_some() || created.saturating_add(CLOCKS_DIFFER) < trail.beat_time {
            break;
        }
    }
    let only = found.pop();
    if !found.is_empty() {
        return Err(refuse("the heartbeat is there more than once".to_owned()));
    }
    only.ok_or_else(|| Error::Lacks {
        address: settings.endpoint.address(),
        lacking: format!(
            "the heartbeat of {} (seconds since 1970) and all behind it, {} transactions",
            trail.beat_time, trail.count
        ),
    })
}

/// The heartbeats of that digest in one file, in either way; and when the file was begun.
async fn beats_of(
    settings: &Settings,
    name: &str,
    beats: &TableName,
    trail: &Trail,
    refuse: &impl Fn(String) -> Error,
) -> Result<(Vec<Found>, u32), Error> {
    let name: FileName = Arc::from(name);
    let Settings { endpoint, replica, .. } = settings;
    let mut scan = Scan::open(endpoint, replica, Arc::clone(&name), FIRST_EVENT).await?;
    let mut transactions = Transactions::new(beats.clone(), trail.older.is_some());
    let mut found = Vec::new();
    while let Some(event) = scan.next().await? {
        if event.header.event_type == EventType::Rotate || event.place.file != name {
            break;
        }
        // What cannot be compared is no heartbeat; behind one it is met again.
        if let Step::Ended(ended) = step(&mut transactions, &scan, &event, refuse)? {
            let is_of = |way: &Way| way.digest(&ended) == Some(trail.beat);
            let way = [Way::Newer, Way::Older].into_iter().find(is_of);
            found.extend(way.map(|way| end_of(&scan, &event, ended.is_exact, way)));
        }
    }
    Ok((found, scan.created()))
}

/// Reads `count` transactions behind `begin`, or as many as there are.
async fn follow(
    settings: &Settings,
    beats: &TableName,
    begin: Found,
    count: u64,
    server_id: Option<u32>,
    refuse: &impl Fn(String) -> Error,
) -> Result<Followed, Error> {
    let Settings { endpoint, replica, .. } = settings;
    let mut followed = Followed { end: begin, count: 0, digest: Digest::default(), own: 0 };
    if count == 0 {
        return Ok(followed);
    }
    let (mut file, offset) = (Arc::clone(&followed.end.file), followed.end.offset);
    let mut scan = Scan::open(endpoint, replica, Arc::clone(&file), offset).await?;
    let way = followed.end.way;
    let mut transactions = Transactions::new(beats.clone(), way == Way::Older);
    while let Some(event) = scan.next().await? {
        if event.place.file != file {
            file = Arc::clone(&event.place.file);
            transactions.new_file();
        }
        // A scan begins earlier where the command has no room for the offset.
        if event.place.file == followed.end.file && event.place.offset < followed.end.offset {
            continue;
        }
        let ended = match step(&mut transactions, &scan, &event, refuse)? {
            Step::Goes => continue,
            Step::Incomparable => None,
            Step::Ended(ended) => way.digest(&ended).map(|digest| (digest, ended)),
        };
        let Some((digest, ended)) = ended else {
            return Err(refuse(format!(
                "behind the heartbeat, at {}:{}, it has a transaction that cannot be compared \
                 (LOAD DATA in statement format, a server that does not say when it commits)",
                event.place.file, event.place.offset
            )));
        };
        followed.count += 1;
        followed.own += u64::from(Some(ended.server_id) == server_id);
        followed.digest = chained(followed.digest, digest);
        followed.end = end_of(&scan, &event, ended.is_exact, way);
        if followed.count == count {
            break;
        }
    }
    Ok(followed)
}

fn step(
    transactions: &mut Transactions,
    scan: &Scan,
    event: &Scanned,
    refuse: &impl Fn(String) -> Error,
) -> Result<Step, Error> {
    let Scanned { header, place, body, .. } = event;
    transactions.event(header, body, scan.format()).map_err(|error| {
        refuse(format!("it cannot be read at {}:{}: {error}", place.file, place.offset))
    })
}

fn end_of(scan: &Scan, event: &Scanned, is_exact: bool, way: Way) -> Found {
    Found {
        file: Arc::clone(&event.place.file),
        offset: event.place.offset + u64::from(event.header.event_size),
        created: scan.created(),
        is_exact,
        way,
    }
}

/// What a server lacks of the transactions behind a heartbeat that it has.
fn lacks(settings: &Settings, trail: &Trail, followed: &Followed) -> Error {
    let count = trail.count - followed.count;
    let of = "transactions of the server that was read before";
    let lacking = match trail.behind(followed.count, followed.digest) {
        Some(steps) => {
            let ends: Vec<String> =
                steps.map(|step| format!("{}:{}", step.file, step.offset)).collect();
            format!("{count} {of}, that end at {}", ends.join(", "))
        }
        None => format!("{count} {of}, of the {} since the last heartbeat", trail.count),
    };
    Error::Lacks { address: settings.endpoint.address(), lacking }
}
