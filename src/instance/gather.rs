//! Gathers the records of whole transactions by topic and partition until they are
//! handed to the sink.
//!
//! In: messages in the order of the binlog. Out: [`Part`]s. Each record gets the headers
//! `binlog` (file and offset of its event), `gtid` where there is one, and `tx`: its number
//! within its source transaction over all topics, `/end` behind that of the last. Since
//! only the next message, or the commit, shows whether one is the last, the newest record
//! stays open.
//!
//! The records of an XA branch gather by themselves ([`Gathering::of_branches`]): their headers
//! `binlog` and `gtid` are those of the XA COMMIT, and stay open until then.
//!
//! No batch is larger than its topic takes, headers included: the writer of a message is given how
//! long it may be, and a record that no longer fits into a batch begins another. What a branch
//! lacks until its XA COMMIT is reckoned with beforehand.
//!
//! The records of a chunk of a snapshot have a header `snapshot` in place of `gtid`: the table, and
//! which of its chunks they are.
//!
//! Letters of parked tables ([`Gathering::letter`]) are no messages, and are not numbered: the
//! messages behind them have a header `parked`, which says how many changes of the transaction
//! are kept before it; the last message counts them all.
//!
//! Always holds: at most one record is open, and a part with an open record is not handed on.
//! As long as nothing of the transaction at hand was taken, it can be rolled back alone, and
//! whole ones before it stay ([`Gathering::roll_back`]).

use std::collections::HashMap;
use std::sync::Arc;

use super::park::letter::{self, Letter};
use crate::change::{EventPlace, TransactionHead, Xid};
use crate::record::{BatchBuilder, Mark, headers_length, value_room};
use crate::sink::held::{self, OpenPlaces};
use crate::sink::{BATCH_BYTES, Limits, Part, RaisedBy};

/// What the headers of a record that is held for a branch may grow by: `binlog` and `gtid` of its
/// XA COMMIT, with the longest name of a file, tag and numbers.
const LATER_HEADERS: usize = 1024;

/// Room for the record that exceeds [`BATCH_BYTES`], so that the buffer need not grow for it.
const LAST_RECORD: usize = BATCH_BYTES / 16;

/// Slots that are kept when all of them are empty: beyond it they are found anew.
const MOST_SLOTS: usize = 16_384;

/// Where messages of one topic and partition gather. Found once per table version, and again
/// when the gathering no longer [has](Gathering::has) it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    place: usize,
    /// How often slots had been forgotten when it was given.
    epoch: u32,
}

/// How large a message may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Bytes of its value.
    pub(crate) value: usize,
    /// What its topic takes in one batch, in bytes.
    pub(crate) limit: usize,
    /// What raises that.
    pub(crate) raised_by: RaisedBy,
}

/// See the head of this file.
pub(crate) struct Gathering {
    limits: Limits,
    slots: Vec<Place>,
    epoch: u32,
    found: HashMap<(Arc<str>, i32), Slot>,
    /// Slots that hold records, in the order of their first.
    used: Vec<Slot>,
    /// Batches that were cut at [`BATCH_BYTES`].
    cut: Vec<Cut>,
    /// Slots with records of the transaction at hand.
    touched: Vec<Slot>,
    open: Option<Slot>,
    open_binlog: Vec<u8>,
    open_gtid: Option<Arc<str>>,
    open_snapshot: Option<Arc<str>>,
    /// How many changes of the transaction were parked before it.
    open_parked: u64,
    /// Where the value of the open record stays open, if it is one of a branch.
    open_places: OpenPlaces,
    holds: bool,
    /// Its messages were parked before.
    is_late: bool,
    /// Messages of the transaction at hand so far.
    messages: u64,
    /// Changes of it that are parked.
    parked: u64,
    /// Tables are parked, so that there may be more.
    may_park: bool,
    bytes: usize,
    /// Those of whole transactions.
    whole_bytes: usize,
    scratch: Vec<u8>,
}

struct Place {
    topic: Arc<str>,
    partition: i32,
    partitions: i32,
    /// Only while there are records: an idle table costs no memory.
    builder: Option<BatchBuilder>,
    /// What the topic took when the batch began, in bytes.
    limit: usize,
    /// What its records grow by until their branch is published, in bytes.
    later: usize,
    /// A little more than the last batch had: a guess at the next.
    last: usize,
    /// Where the records of the transaction at hand begin, if it has any here.
    begun: Option<Mark>,
}

/// A batch that is full.
struct Cut {
    slot: Slot,
    builder: BatchBuilder,
    /// As in [`Place`].
    begun: Option<Mark>,
}

impl Gathering {
    /// An empty one, for topics of these limits.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            slots: Vec::new(),
            epoch: 0,
            found: HashMap::new(),
            used: Vec::new(),
            cut: Vec::new(),
            touched: Vec::new(),
            open: None,
            open_binlog: Vec::new(),
            open_gtid: None,
            open_snapshot: None,
            open_parked: 0,
            open_places: OpenPlaces::default(),
            holds: false,
            is_late: false,
            messages: 0,
            parked: 0,
            may_park: false,
            bytes: 0,
            whole_bytes: 0,
            scratch: Vec::new(),
        }
    }

    /// One for messages that were parked before: they have a header `retried`.
    pub(crate) fn late(limits: Limits) -> Self {
        Self { is_late: true, ..Self::new(limits) }
    }

    /// Tables are parked: headers have room for how many changes are.
    pub(crate) fn may_park(&mut self) {
        self.may_park = true;
    }

    /// One for the records of XA branches.
    pub(crate) fn of_branches(limits: Limits) -> Self {
        Self { holds: true, ..Self::new(limits) }
    }

    /// The slot of a topic's partition; `partitions` is how many the topic should have.
    pub(crate) fn slot(&mut self, topic: &Arc<str>, partition: i32, partitions: i32) -> Slot {
        *self.found.entry((Arc::clone(topic), partition)).or_insert_with(|| {
            let topic = Arc::clone(topic);
            self.slots.push(Place {
                topic,
                partition,
                partitions,
                builder: None,
                limit: 0,
                later: 0,
                last: 0,
                begun: None,
            });
            Slot { place: self.slots.len() - 1, epoch: self.epoch }
        })
    }

    /// Whether the slot may still be used.
    pub(crate) fn has(&self, slot: Slot) -> bool {
        slot.epoch == self.epoch
    }

    /// Bytes of records that have not been taken.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a message of a transaction, whose value `write` appends to what it is given, no longer than it is
    /// allowed. When it fails, there is no message. `later` is what the value of one of a branch
    /// may grow by, in bytes.
    pub(crate) fn message<E>(
        &mut self,
        slot: Slot,
        place: &EventPlace,
        of: &TransactionHead,
        later: usize,
        write: impl FnOnce(&mut Vec<u8>, Room) -> Result<OpenPlaces, E>,
    ) -> Result<(), E> {
        self.close(false);
        self.cut_if_large(slot);
        self.open_binlog.clear();
        self.open_binlog.extend_from_slice(place.file.as_bytes());
        self.open_binlog.push(b':');
        put_number(&mut self.open_binlog, place.offset);
        self.open_gtid.clone_from(&of.gtid);
        self.open_snapshot.clone_from(&of.snapshot);
        self.open_parked = self.parked;
        let headers = self.longest_headers();
        let later = if self.holds { later + LATER_HEADERS } else { 0 };
        let home = &mut self.slots[slot.place];
        if home.builder.is_none() {
            self.used.push(slot);
            home.limit = self.limits.of(&home.topic);
            home.later = 0;
        }
        let capacity = home.last.min(BATCH_BYTES + LAST_RECORD);
        let spares = self.limits.spares();
        let begin = || BatchBuilder::within(spares.take(capacity));
        let builder = home.builder.get_or_insert_with(begin);
        if home.begun.is_none() {
            home.begun = Some(builder.mark());
            self.touched.push(slot);
        }
        let limit = home.limit;
        let value = value_room(limit, headers).saturating_sub(later);
        let room = Room { value, limit, raised_by: self.limits.raised_by() };
        let before = builder.len();
        let places = &mut self.open_places;
        builder.open(None, |out| {
            *places = write(out, room)?;
            Ok(())
        })?;
        self.bytes += builder.len() - before;
        home.later += later;
        if builder.len() + headers + home.later > limit && builder.count() > 1 {
            self.begin_batch(slot, later);
        }
        self.open = Some(slot);
        Ok(())
    }

    /// Adds a letter about a change of the transaction at hand; of its rows event no more than
    /// `largest` bytes. How many bytes it has.
    pub(crate) fn letter(
        &mut self,
        slot: Slot,
        gtid: Option<&Arc<str>>,
        letter: &Letter,
        largest: u64,
    ) -> u64 {
        let key = letter.table.to_string();
        let binlog = format!("{}:{}", letter.place.file, letter.place.offset);
        let mut bytes = 0;
        letter.each_piece(largest, |piece| {
            bytes += piece.len() as u64;
            self.piece(slot, key.as_bytes(), piece, (&binlog, gtid));
        });
        self.parked += 1;
        bytes
    }

    fn piece(
        &mut self,
        slot: Slot,
        key: &[u8],
        piece: &[u8],
        (binlog, gtid): (&str, Option<&Arc<str>>),
    ) {
        self.cut_if_large(slot);
        let home = &mut self.slots[slot.place];
        if home.builder.is_none() {
            self.used.push(slot);
        }
        let builder = home.builder.get_or_insert_default();
        if home.begun.is_none() {
            home.begun = Some(builder.mark());
            self.touched.push(slot);
        }
        let before = builder.len();
        if self.holds {
            let opened: Result<usize, std::convert::Infallible> = builder.open(Some(key), |out| {
                out.extend_from_slice(piece);
                Ok(())
            });
            let Ok(_) = opened;
            held::leave_open(builder, b"parked", None, &letter::open_places(piece));
        } else {
            let mut headers = vec![("binlog", binlog.as_bytes())];
            headers.extend(gtid.map(|gtid| ("gtid", gtid.as_bytes())));
            builder.push(Some(key), Some(piece), &headers);
        }
        self.bytes += builder.len() - before;
    }

    /// Bytes of the headers that the open record has at most.
    fn longest_headers(&self) -> usize {
        /// Of the number of parked changes, of which more may come.
        const DIGITS: usize = 10;
        let tx = self.messages.max(1).ilog10() as usize + 1 + "/end".len();
        let gtid = self.open_gtid.as_ref().map_or(0, |gtid| gtid.len());
        let all =
            [("binlog".len(), self.open_binlog.len()), ("tx".len(), tx), ("gtid".len(), gtid)];
        let usual = headers_length(if self.open_gtid.is_some() { &all } else { &all[..2] });
        let unusual = [("parked".len(), DIGITS), ("retried".len(), 1)];
        let has_unusual = self.parked > 0 || self.is_late || self.may_park;
        let snapshot = self.open_snapshot.as_ref();
        let snapshot = snapshot.map_or(0, |text| headers_length(&[("snapshot".len(), text.len())]));
        usual + snapshot + if has_unusual { headers_length(&unusual) } else { 0 }
    }

    /// Moves the open record to a batch of its own.
    #[cold]
    fn begin_batch(&mut self, slot: Slot, later: usize) {
        let home = &mut self.slots[slot.place];
        let Some(mut full) = home.builder.take() else { return };
        let value = full.open_record().and_then(|record| record.value).unwrap_or_default();
        let mut builder = BatchBuilder::with_capacity(value.len() + LAST_RECORD);
        let begun = builder.mark();
        let copied: Result<usize, std::convert::Infallible> = builder.open(None, |out| {
            out.extend_from_slice(value);
            Ok(())
        });
        let Ok(_) = copied;
        full.discard();
        self.cut.push(Cut { slot, builder: full, begun: home.begun.replace(begun) });
        (home.builder, home.later) = (Some(builder), later);
    }

    /// The transaction is whole: its last message learns that it is the last. How many there
    /// were.
    pub(crate) fn end_transaction(&mut self) -> u64 {
        self.close(true);
        self.forget_begin();
        self.whole_bytes = self.bytes;
        self.parked = 0;
        std::mem::take(&mut self.messages)
    }

    /// Rolls back the transaction at hand, of which nothing has been taken: it never was.
    pub(crate) fn roll_back(&mut self) {
        self.open = None;
        (self.messages, self.parked) = (0, 0);
        for Cut { builder, begun, .. } in &mut self.cut {
            begun.take().into_iter().for_each(|mark| builder.truncate(mark));
        }
        self.cut.retain(|cut| !cut.builder.is_empty());
        for slot in std::mem::take(&mut self.touched) {
            let home = &mut self.slots[slot.place];
            if let (Some(mark), Some(builder)) = (home.begun.take(), &mut home.builder) {
                builder.truncate(mark);
            }
            if home.builder.as_ref().is_none_or(BatchBuilder::is_empty) {
                home.builder = None;
                self.used.retain(|used| *used != slot);
            }
        }
        self.bytes = self.whole_bytes;
    }

    /// Forgets everything gathered and not taken, with the transaction at hand.
    pub(crate) fn clear(&mut self) {
        for slot in self.used.drain(..) {
            self.slots[slot.place].builder = None;
        }
        self.cut.clear();
        self.forget_begin();
        (self.open, self.messages, self.parked) = (None, 0, 0);
        (self.bytes, self.whole_bytes) = (0, 0);
    }

    /// Takes what may be handed on: all, save the part whose last record is open.
    ///
    /// `branch`: the one that the records are of, where they are of one.
    pub(crate) fn take(&mut self, branch: Option<&Arc<Xid>>) -> Vec<Part> {
        self.forget_begin();
        let cut = std::mem::take(&mut self.cut).into_iter();
        let mut parts: Vec<Part> =
            cut.map(|cut| self.slots[cut.slot.place].part(cut.builder)).collect();
        let open = self.open;
        let (kept, ready): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.used).into_iter().partition(|slot| Some(*slot) == open);
        self.used = kept;
        parts.extend(ready.into_iter().filter_map(|slot| self.slots[slot.place].finish()));
        self.bytes = self.used.iter().map(|slot| self.slots[slot.place].len()).sum();
        self.whole_bytes = self.bytes;
        if self.slots.len() > MOST_SLOTS && self.used.is_empty() {
            self.slots.clear();
            self.found.clear();
            self.epoch = self.epoch.wrapping_add(1);
        }
        for part in &mut parts {
            part.branch = branch.cloned();
        }
        parts
    }

    fn close(&mut self, end: bool) {
        let Some(slot) = self.open.take() else { return };
        self.scratch.clear();
        put_number(&mut self.scratch, self.messages);
        self.scratch.extend_from_slice(if end { b"/end" } else { b"" });
        self.messages += 1;
        let parked = if end { self.parked } else { self.open_parked };
        let parked = (parked > 0).then(|| parked.to_string());
        let parked = parked.as_ref().map(String::as_bytes);
        if self.holds {
            if let Some(builder) = &mut self.slots[slot.place].builder {
                held::leave_open(builder, &self.scratch, parked, &self.open_places);
            }
            return;
        }
        if parked.is_some() || self.is_late || self.open_snapshot.is_some() {
            let mut headers = vec![("binlog", &*self.open_binlog), ("tx", &*self.scratch)];
            headers.extend(self.open_gtid.as_ref().map(|gtid| ("gtid", gtid.as_bytes())));
            let snapshot = self.open_snapshot.as_ref();
            headers.extend(snapshot.map(|text| ("snapshot", text.as_bytes())));
            headers.extend(parked.map(|parked| ("parked", parked)));
            headers.extend(self.is_late.then_some(("retried", &b"1"[..])));
            if let Some(builder) = &mut self.slots[slot.place].builder {
                builder.close(&headers);
            }
            return;
        }
        let mut headers: [(&str, &[u8]); 3] =
            [("binlog", &self.open_binlog), ("tx", &self.scratch), ("gtid", &[])];
        let headers = match &self.open_gtid {
            Some(gtid) => {
                headers[2].1 = gtid.as_bytes();
                &headers[..]
            }
            None => &headers[..2],
        };
        if let Some(builder) = &mut self.slots[slot.place].builder {
            builder.close(headers);
        }
    }

    fn cut_if_large(&mut self, slot: Slot) {
        let home = &mut self.slots[slot.place];
        if home.len() >= BATCH_BYTES {
            let begun = home.begun.take();
            self.cut.extend(home.builder.take().map(|builder| Cut { slot, builder, begun }));
            self.used.retain(|used| *used != slot);
        }
    }

    fn forget_begin(&mut self) {
        for slot in self.touched.drain(..) {
            self.slots[slot.place].begun = None;
        }
        self.cut.iter_mut().for_each(|cut| cut.begun = None);
    }
}

fn put_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

impl Place {
    fn len(&self) -> usize {
        self.builder.as_ref().map_or(0, BatchBuilder::len)
    }

    fn finish(&mut self) -> Option<Part> {
        let builder = self.builder.take()?;
        Some(self.part(builder))
    }

    fn part(&mut self, builder: BatchBuilder) -> Part {
        self.last = builder.len() + builder.len() / 16;
        Part {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            partitions: self.partitions,
            records: builder.finish(),
            branch: None,
        }
    }
}

#[cfg(test)]
mod tests;
