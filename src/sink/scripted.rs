//! A sink whose durability a test decides: receipts are settled by hand, in any order, and
//! what was appended and committed can be looked at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use bytes::Bytes;

use super::held::{Cutter, Joiner};
use super::{
    Closing, Committed, Error, HeldPieces, HeldPlace, Letters, Limits, Lost, Part, Receipt, Sink,
    TopicEnd,
};
use crate::change::{Position, StateRecord, StateTopic, Xid};

/// See the head of this file. Clones are the same sink.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scripted {
    script: Arc<Mutex<Script>>,
}

#[derive(Debug, Default)]
struct Script {
    receipts: Vec<oneshot::Sender<Result<(), Error>>>,
    open: Vec<Part>,
    /// What came of branches in the open append, by the texts of their xids.
    branches: BTreeMap<String, Cutter>,
    /// Pieces, and what the state record says.
    held: BTreeMap<String, (Vec<Vec<u8>>, Bytes)>,
    commits: Vec<(Position, Vec<Part>)>,
    aborts: usize,
    /// Of the topics that have one.
    limits: BTreeMap<String, usize>,
    /// Commits are durable at once.
    prompt: bool,
}

impl Scripted {
    /// A sink that makes everything durable at once.
    pub(crate) fn prompt() -> Self {
        let sink = Self::default();
        sink.script().prompt = true;
        sink
    }

    /// Sets the largest batch that a topic takes.
    pub(crate) fn limit(&self, topic: &str, bytes: usize) {
        self.script().limits.insert(topic.to_owned(), bytes);
    }

    /// The sizes of all batches that were committed.
    pub(crate) fn batches(&self) -> Vec<usize> {
        let script = self.script();
        let parts = script.commits.iter().flat_map(|(_, parts)| parts);
        parts.map(|part| part.records.len()).collect()
    }

    /// Settles the receipt at `place` among those that wait.
    pub(crate) fn settle(&self, place: usize, how: Result<(), Error>) {
        let receipt = self.script().receipts.remove(place);
        receipt.send(how).expect("someone waits for the receipt");
    }

    /// How many receipts wait.
    pub(crate) fn waiting(&self) -> usize {
        self.script().receipts.len()
    }

    /// How many commits were handed in.
    pub(crate) fn commits(&self) -> usize {
        self.script().commits.len()
    }

    /// The offset and the values of each commit, in order.
    pub(crate) fn committed(&self) -> Vec<(u64, Vec<String>)> {
        let script = self.script();
        let commits = script.commits.iter();
        commits.map(|(position, parts)| (position.offset(), values(parts))).collect()
    }

    /// That header of each committed record, by topic within each commit.
    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        let script = self.script();
        let parts = script.commits.iter().flat_map(|(_, parts)| parts);
        let records = parts.flat_map(|part| part.records.records());
        records
            .map(|record| {
                let mut headers = record.expect("built here").headers;
                let header = headers.find(|(found, _)| *found == name.as_bytes());
                let (_, value) = header.expect("each has it");
                String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
            })
            .collect()
    }

    /// The values and headers of the committed records of a topic.
    pub(crate) fn records(&self, topic: &str) -> Vec<(String, BTreeMap<String, String>)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let script = self.script();
        let parts = script.commits.iter().flat_map(|(_, parts)| parts);
        let records = parts.filter(|part| *part.topic == *topic);
        let records = records.flat_map(|part| part.records.records());
        let shown = records.map(|record| {
            let record = record.expect("built here");
            let headers = record.headers;
            let headers =
                headers.map(|(name, value)| (text(name), text(value.unwrap_or_default())));
            (text(record.value.unwrap_or_default()), headers.collect())
        });
        shown.collect()
    }

    /// The xids that are held.
    pub(crate) fn held(&self) -> Vec<String> {
        self.script().held.keys().cloned().collect()
    }

    /// The values of the open append.
    pub(crate) fn open_values(&self) -> Vec<String> {
        values(&self.script().open)
    }

    /// How often an open append was rolled back.
    pub(crate) fn aborts(&self) -> usize {
        self.script().aborts
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().expect("no test panics while it holds the script")
    }
}

fn values(parts: &[Part]) -> Vec<String> {
    let records = parts.iter().flat_map(|part| part.records.records());
    records
        .map(|record| {
            let value = record.expect("built here").value.unwrap_or_default();
            String::from_utf8_lossy(value).into_owned()
        })
        .collect()
}

impl Sink for Scripted {
    async fn open(
        &mut self,
        _each: &mut (dyn FnMut(StateRecord) + Send),
    ) -> Result<Committed, Error> {
        let script = self.script();
        let position = script.commits.last().map(|(position, _)| position.clone());
        let held = script.held.iter();
        let held =
            held.map(|(xid, (_, about))| (Arc::new(xid.parse().expect("an xid")), about.clone()));
        Ok(Committed { position, held: held.collect(), letters_end: 0, moved: None })
    }

    fn limits(&self) -> Limits {
        let sink = self.clone();
        Limits::new(move |topic| sink.script().limits.get(topic).copied().unwrap_or(usize::MAX))
    }

    async fn append(&mut self, part: Part) -> Result<(), Error> {
        let mut script = self.script();
        if let Some(xid) = &part.branch {
            let cutter = script.branches.entry(xid.to_string()).or_default();
            assert!(cutter.push(part).is_empty(), "tests have small branches");
        } else {
            let limit = script.limits.get(&*part.topic).copied().unwrap_or(usize::MAX);
            assert!(part.records.len() <= limit, "{} takes {limit} bytes", part.topic);
            script.open.push(part);
        }
        Ok(())
    }

    async fn append_state(&mut self, _: StateRecord) -> Result<(), Error> {
        Ok(())
    }

    async fn read_held(&mut self, xid: &Xid, _: HeldPlace) -> Result<HeldPieces, Error> {
        let script = self.script();
        let (pieces, _) = script.held.get(&xid.to_string()).expect("it is held");
        let pieces = pieces.iter().cloned().map(Bytes::from).collect();
        Ok(HeldPieces { pieces, next: None })
    }

    async fn topic_ends(&mut self, _: Vec<Arc<str>>) -> Result<Vec<TopicEnd>, Error> {
        Ok(Vec::new())
    }

    async fn publish_held(&mut self, xid: &Xid, closing: &Closing<'_>) -> Result<Bytes, Error> {
        let mut script = self.script();
        let (pieces, about) = script.held.get(&xid.to_string()).expect("it is held").clone();
        let mut joiner = Joiner::default();
        for piece in pieces {
            joiner.push(&piece);
            while let Some(part) = joiner.next(closing).expect("cut here") {
                script.open.push(part);
            }
        }
        assert!(joiner.is_empty());
        Ok(about)
    }

    async fn append_loss_notices(&mut self, _: &Lost) -> Result<Vec<String>, Error> {
        Err(Error::Failed("no source of these tests loses anything".to_owned()))
    }

    async fn commit(
        &mut self,
        position: &Position,
        state: Vec<StateRecord>,
    ) -> Result<Receipt, Error> {
        let mut script = self.script();
        let parts = std::mem::take(&mut script.open);
        for StateRecord { key, value, .. } in
            state.into_iter().filter(|record| record.topic == StateTopic::Xa)
        {
            let xid = String::from_utf8(key.to_vec()).expect("the text of an xid");
            match value {
                Some(about) => {
                    let pieces = script.branches.remove(&xid).and_then(Cutter::finish);
                    script.held.insert(xid, (pieces.into_iter().collect(), about));
                }
                None => drop(script.held.remove(&xid)),
            }
        }
        assert!(script.branches.is_empty(), "a branch was begun and not held");
        script.commits.push((position.clone(), parts));
        if script.prompt {
            return Ok(Box::pin(async { Ok(()) }));
        }
        let (settle, settled) = oneshot::channel();
        script.receipts.push(settle);
        Ok(Box::pin(async move { settled.await.unwrap_or(Err(Error::Fenced)) }))
    }

    async fn abort(&mut self) -> Result<(), Error> {
        let mut script = self.script();
        script.open.clear();
        script.branches.clear();
        script.aborts += 1;
        Ok(())
    }
    fn letters(&self) -> Arc<str> {
        "letters".into()
    }

    async fn read_letters(&mut self, offset: i64) -> Result<Letters, Error> {
        Ok(Letters { records: Vec::new(), next: offset })
    }

    async fn remove_letters(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
