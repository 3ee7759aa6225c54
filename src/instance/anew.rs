//! Whether an instance without a position has published before.
//!
//! In: its sink, and the tables that the source has now. Out: nothing, or where what was published
//! ends. Always: an instance whose position was lost does not begin at the source's current end as
//! if it were new: what was written between would be missing, and nobody would know.
//!
//! What it costs: the list of tables, and one record or a few of each partition that is there; at
//! a start without a position alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::reaction::Error;
use crate::route::Router;
use crate::sink::{self, Newest, Sink};
use crate::source::{self, Settings};

/// Fails if topics of the tables that there are hold records of ours.
pub(super) async fn must_be_new<S: Sink>(
    sink: &mut S,
    router: &Router,
    settings: &Settings,
) -> Result<(), Error> {
    let mut topics = BTreeSet::<Arc<str>>::new();
    let each = |schema: &str, table: &str| {
        topics.insert(router.statement(schema, table).topic);
    };
    source::tables(settings, None, each).await?;
    let newest = sink.newest_of(topics.into_iter().collect()).await?;
    let Some(Newest { topic, partition, offset, binlog, positions }) = newest else {
        return Ok(());
    };
    let (file, place) = binlog.rsplit_once(':').unwrap_or((&binlog, "4"));
    Err(sink::Error::Begun(format!(
        "the instance has no position (topic {positions} holds none), and yet changes of its tables \
         were published: the newest that was found is in topic {topic}, partition {partition}, \
         offset {offset}, of the source's binlog {binlog}. If the instance or sluice.group was \
         renamed, or its own topics were lost, give it their old name, or bring them back. To begin \
         anew set sluice.start.anew = true: with canal.instance.master.journal.name = {file} and \
         canal.instance.master.position = {place}, or an earlier place, what follows it comes \
         again; without a place nothing written up to the start is published"
    ))
    .into())
}
