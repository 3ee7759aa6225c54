//! The notice of a loss: a record in each partition that holds messages of transactions which the
//! source has lost since.
//!
//! In: which transactions. Out: records in the writer's open append, so that they become durable
//! with the position that goes on without these transactions. A notice is a message of the type
//! QUERY, as statements without rows are, whose text is a comment; its header `lost` has the GTIDs.
//! Always: what was published stays as it is; the messages concerned are found by their header
//! `gtid`, so that all records of the instance's topics are read once.

use crate::change::GtidSet;
use crate::clock;
use crate::log::{Log, Topic, Writer, WriterError};
use crate::record::{BatchBuilder, BatchView, batches};

use std::sync::Arc;

/// How much is read at once, in bytes.
const PIECE: usize = 1 << 20;

/// What is lost: what is in `gtids`, and was not kept. (Of a domain of MariaDB the last number
/// stands for all before it.)
#[derive(Clone, Debug)]
pub struct Lost {
    /// The transactions that were published and are lost.
    pub gtids: GtidSet,
    /// What the source still has of what was published.
    pub kept: GtidSet,
}

impl Lost {
    /// Whether that transaction is among them; `gtid` is a header's text.
    fn has(&self, gtid: &[u8]) -> bool {
        let text = std::str::from_utf8(gtid).unwrap_or_default();
        self.gtids.has(text) && !self.kept.has(text)
    }

    /// The value of a notice.
    fn message(&self) -> String {
        let now = clock::now_millis();
        let text = serde_json::Value::from(format!(
            "/* sluice: transactions that were published here are lost on the server that is read \
             from here on: {} */",
            self.gtids
        ));
        format!(
            r#"{{"data":null,"database":"","es":{now},"gtid":"","id":0,"isDdl":false,"mysqlType":null,"old":null,"pkNames":null,"sql":{text},"sqlType":null,"table":"","ts":{now},"type":"QUERY"}}"#
        )
    }
}

/// Adds the notices to the open append of an instance's writer, and names the topics.
pub(crate) async fn append(writer: &mut Writer, lost: &Lost) -> Result<Vec<String>, WriterError> {
    let log = writer.log().clone();
    let (text, message) = (lost.gtids.to_string(), lost.message());
    let mut topics = Vec::new();
    for topic in log.topics() {
        if topic.owner() != Some(writer.instance()) || topic.name().starts_with("__") {
            continue;
        }
        for partition in 0..topic.partitions() {
            if !holds(&log, &topic, partition, lost).await? {
                continue;
            }
            let mut batch = BatchBuilder::with_capacity(message.len() + text.len() + 128);
            batch.push(None, Some(message.as_bytes()), &[("lost", text.as_bytes())]);
            let name = Arc::from(topic.name());
            writer.append(&name, topic.partitions(), partition, batch.finish()).await?;
            if topics.last().map(String::as_str) != Some(&**topic.name()) {
                topics.push(topic.name().to_string());
            }
        }
    }
    Ok(topics)
}

async fn holds(
    log: &Log,
    topic: &Arc<Topic>,
    partition: i32,
    lost: &Lost,
) -> Result<bool, WriterError> {
    let unread = |error: crate::log::ReadError| WriterError::Failed(error.to_string());
    let Some(Ok(ends)) = log.ends(&[(Arc::clone(topic), partition)]).into_iter().next() else {
        return Ok(false);
    };
    let (mut offset, limit) = (ends.log_start, ends.high_watermark);
    while offset < limit {
        let read = log.read(topic, partition, offset, limit, PIECE, true).await;
        let piece = read.map_err(unread)?;
        let mut next = None;
        for batch in batches(&piece).map_while(Result::ok) {
            if has_any(&batch, lost) {
                return Ok(true);
            }
            next = Some(batch.head().last_offset() + 1);
        }
        let Some(next) = next else { return Ok(false) };
        offset = next;
    }
    Ok(false)
}

fn has_any(batch: &BatchView<'_>, lost: &Lost) -> bool {
    let Ok(plain) = batch.uncompressed() else { return false };
    batches(&plain).map_while(Result::ok).any(|batch| {
        batch.records().map_while(Result::ok).any(|record| {
            let gtid = { record.headers }.find(|(name, _)| *name == b"gtid");
            gtid.and_then(|(_, value)| value).is_some_and(|gtid| lost.has(gtid))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Flavor;

    #[test]
    fn a_transaction_is_lost_if_it_is_in_the_one_set_and_not_in_the_other() {
        const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let lost = |flavor, gtids: &str, kept: &str| {
            let set = |text| GtidSet::parse(flavor, text).unwrap();
            Lost { gtids: set(gtids), kept: set(kept) }
        };
        let mysql = lost(Flavor::MySql, &format!("{A}:8-9"), &format!("{A}:1-7"));
        let mariadb = lost(Flavor::MariaDb, "0-1-9", "0-1-7");
        for (number, is_lost) in [(7, false), (8, true), (9, true), (10, false)] {
            assert_eq!(mysql.has(format!("{A}:{number}").as_bytes()), is_lost, "{number}");
            assert_eq!(mariadb.has(format!("0-1-{number}").as_bytes()), is_lost, "{number}");
        }
        assert!(!mysql.has(b"") && !mysql.has(b"0-1-8") && !mariadb.has(b"1-1-8"));
        let message: serde_json::Value = serde_json::from_str(&mysql.message()).unwrap();
        assert_eq!(message["type"], "QUERY");
        assert!(message["sql"].as_str().unwrap().contains(&format!("{A}:8-9")));
    }
}
