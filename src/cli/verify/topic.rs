//! The records of a topic, up to where it ends now.

use std::collections::BTreeMap;
use std::future::pending;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::bail;

use crate::client::{self, Connection, From, Selection};
use crate::verify::{Comparison, Error, Record};

use super::table::{Place, Places};

/// No record for so long: what is behind the last are marks of transactions.
const SILENCE: Duration = Duration::from_secs(5);

/// Hands all records to the comparison.
pub(super) async fn read(
    connection: &Connection,
    topic: &str,
    places: &Places,
    comparison: &mut Comparison,
) -> anyhow::Result<()> {
    let Some(extents) = client::extents(connection, topic)? else {
        bail!("there is no topic {topic}");
    };
    // What a partition has of its end.
    let mut left: BTreeMap<i32, i64> = extents
        .iter()
        .filter(|extent| extent.first < extent.end)
        .map(|extent| (extent.partition, extent.end))
        .collect();
    if left.is_empty() {
        return Ok(());
    }
    let mut failed: Option<Error> = None;
    let selection = Selection::Topic(topic.to_owned());
    let each = |record: &client::Record<'_>| {
        let Some(end) = left.get(&record.partition).copied() else {
            return Ok(ControlFlow::Continue(()));
        };
        if record.offset + 1 >= end {
            left.remove(&record.partition);
        }
        if record.offset < end
            && let Err(error) = take(record, places, comparison)
        {
            failed = Some(error);
            return Ok(ControlFlow::Break(()));
        }
        Ok(if left.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    client::consume(
        connection,
        None,
        &selection,
        From::Beginning,
        Some(SILENCE),
        pending::<()>(),
        each,
    )
    .await?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}

fn take(
    record: &client::Record<'_>,
    places: &Places,
    comparison: &mut Comparison,
) -> Result<(), Error> {
    // A compacted topic may have records without one.
    let Some(value) = record.value else { return Ok(()) };
    let header = |name: &str| {
        let found = record.headers.iter().find(|(header, _)| *header == name);
        found.and_then(|(_, value)| std::str::from_utf8((*value)?).ok())
    };
    let place = header("binlog").and_then(|text| {
        let (file, offset) = text.rsplit_once(':')?;
        Some(Place::new(file, offset.parse().ok()?))
    });
    let number = header("tx").and_then(|text| text.split('/').next()?.parse::<u64>().ok());
    let when = places.when(place.as_ref(), header("gtid"));
    comparison.take_record(&Record {
        at: (record.partition, record.offset),
        place: place.as_ref().map(|place| {
            let (file, offset) = place.numbers();
            (file, offset, number.unwrap_or(0))
        }),
        when,
        is_copy: header("snapshot").is_some(),
        value,
    })
}
