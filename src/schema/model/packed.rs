//! What is known of a table in few bytes: there may be 100,000 of them.
//!
//! In: an [`Entry`]. Out: one allocation that says the same, about as long as the names and types
//! of its columns; the entry with its strings takes seven times as much. Lives in memory only: the
//! history is stored as JSON.
//!
//! Numbers are of seven bits a byte, the lowest first; texts have their length before them. A
//! column's character set is spelt out where it is not its table's.

use std::sync::Arc;

use super::definition::{ColumnDefinition, Counter, Definition};
use super::{Entry, Lost, Read};
use crate::schema::Place;

/// An entry, packed. Two are equal if what they hold is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed(Box<[u8]>);

/// Bits of an entry's first byte.
const NOW: u8 = 1;
const READ: u8 = 2;
const LOST: u8 = 4;
const ABSENT: u8 = 8;

/// Of a definition's.
const CHARSET: u8 = 1;
const VERSIONED: u8 = 2;
const ENGINE: u8 = 4;
const PARTITIONED: u8 = 8;
const UNIQUES: u8 = 16;

/// Of a column's.
const TABLES_CHARSET: u8 = 1;
const OWN_CHARSET: u8 = 2;
const UNSETTLED: u8 = 4;
const VISIBLE_COUNTER: u8 = 8;
const INVISIBLE_COUNTER: u8 = 16;

impl Packed {
    pub(crate) fn pack(entry: &Entry) -> Self {
        let mut packer = Packer(Vec::with_capacity(512));
        packer.entry(entry);
        // Copied: cut to its length, the buffer would keep its size.
        Self(Box::from(&*packer.0))
    }

    pub(crate) fn unpack(&self) -> Entry {
        let mut rest = Unpacker(&self.0);
        rest.entry().expect("what was packed here holds an entry")
    }
}

struct Packer(Vec<u8>);

impl Packer {
    fn entry(&mut self, entry: &Entry) {
        let Entry { now, read, lost, absent } = entry;
        self.flags(&[
            (now.is_some(), NOW),
            (read.is_some(), READ),
            (lost.is_some(), LOST),
            (*absent, ABSENT),
        ]);
        if let Some(now) = now {
            self.definition(now);
        }
        if let Some(Read { definition, lo, hi, server, stay }) = read {
            self.definition(definition);
            self.place(lo);
            self.place(hi);
            self.text(server);
            self.number(u64::from(*stay));
        }
        if let Some(Lost { place, why }) = lost {
            self.place(place);
            self.text(why);
        }
    }

    fn definition(&mut self, definition: &Definition) {
        let Definition { columns, primary_key, charset, versioned, engine, partitioned, uniques } =
            definition;
        self.flags(&[
            (charset.is_some(), CHARSET),
            (*versioned, VERSIONED),
            (engine.is_some(), ENGINE),
            (*partitioned, PARTITIONED),
            (*uniques != 0, UNIQUES),
        ]);
        if *uniques != 0 {
            self.number(u64::from(*uniques));
        }
        for text in [charset, engine].into_iter().flatten() {
            self.text(text);
        }
        self.number(columns.len() as u64);
        for column in columns {
            self.column(column, charset.as_deref());
        }
        self.number(primary_key.len() as u64);
        for name in primary_key {
            self.text(name);
        }
    }

    fn column(&mut self, column: &ColumnDefinition, of_table: Option<&str>) {
        let ColumnDefinition { name, mysql_type, charset, unsettled, counter } = column;
        let own = charset.as_deref().filter(|charset| Some(*charset) != of_table);
        self.flags(&[
            (charset.is_some() && own.is_none(), TABLES_CHARSET),
            (own.is_some(), OWN_CHARSET),
            (*unsettled, UNSETTLED),
            (*counter == Some(Counter::Visible), VISIBLE_COUNTER),
            (*counter == Some(Counter::Invisible), INVISIBLE_COUNTER),
        ]);
        self.text(name);
        self.text(mysql_type);
        if let Some(own) = own {
            self.text(own);
        }
    }

    fn place(&mut self, place: &Place) {
        self.text(&place.file);
        self.number(place.offset);
    }

    fn flags(&mut self, flags: &[(bool, u8)]) {
        self.0.push(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }
}

/// `None` everywhere: these bytes were not packed here.
struct Unpacker<'a>(&'a [u8]);

impl<'a> Unpacker<'a> {
    fn entry(&mut self) -> Option<Entry> {
        let flags = self.byte()?;
        let now = if flags & NOW != 0 { Some(Arc::new(self.definition()?)) } else { None };
        let read = if flags & READ != 0 { Some(self.read()?) } else { None };
        let lost = if flags & LOST != 0 {
            Some(Lost { place: self.place()?, why: self.text()?.to_owned() })
        } else {
            None
        };
        Some(Entry { now, read, lost, absent: flags & ABSENT != 0 })
    }

    fn read(&mut self) -> Option<Read> {
        let definition = Arc::new(self.definition()?);
        let (lo, hi) = (self.place()?, self.place()?);
        let server = self.text()?.into();
        Some(Read { definition, lo, hi, server, stay: u32::try_from(self.number()?).ok()? })
    }

    fn definition(&mut self) -> Option<Definition> {
        let flags = self.byte()?;
        let uniques = if flags & UNIQUES != 0 { u32::try_from(self.number()?).ok()? } else { 0 };
        let charset = if flags & CHARSET != 0 { Some(self.text()?.to_owned()) } else { None };
        let engine = if flags & ENGINE != 0 { Some(self.text()?.to_owned()) } else { None };
        let columns = self.number()?;
        let columns =
            (0..columns).map(|_| self.column(charset.as_deref())).collect::<Option<_>>()?;
        let key = self.number()?;
        let primary_key =
            (0..key).map(|_| self.text().map(str::to_owned)).collect::<Option<_>>()?;
        let (versioned, partitioned) = (flags & VERSIONED != 0, flags & PARTITIONED != 0);
        Some(Definition { columns, primary_key, charset, versioned, engine, partitioned, uniques })
    }

    fn column(&mut self, of_table: Option<&str>) -> Option<ColumnDefinition> {
        let flags = self.byte()?;
        let (name, mysql_type) = (self.text()?.to_owned(), self.text()?.to_owned());
        let own = if flags & OWN_CHARSET != 0 { Some(self.text()?.to_owned()) } else { None };
        let of_table = of_table.filter(|_| flags & TABLES_CHARSET != 0);
        let counter = match flags & (VISIBLE_COUNTER | INVISIBLE_COUNTER) {
            0 => None,
            VISIBLE_COUNTER => Some(Counter::Visible),
            _ => Some(Counter::Invisible),
        };
        Some(ColumnDefinition {
            name,
            mysql_type,
            charset: own.or(of_table.map(str::to_owned)),
            unsettled: flags & UNSETTLED != 0,
            counter,
        })
    }

    fn place(&mut self) -> Option<Place> {
        Some(Place { file: self.text()?.into(), offset: self.number()? })
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn a_text() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z]{0,9}", ".{0,300}"]
    }

    fn a_charset() -> impl Strategy<Value = Option<String>> {
        prop::option::of(prop_oneof!["latin1", "utf8mb4"])
    }

    fn a_column() -> impl Strategy<Value = ColumnDefinition> {
        let counter =
            prop::option::of(prop_oneof![Just(Counter::Visible), Just(Counter::Invisible)]);
        (a_text(), a_text(), a_charset(), any::<bool>(), counter).prop_map(
            |(name, mysql_type, charset, unsettled, counter)| ColumnDefinition {
                name,
                mysql_type,
                charset,
                unsettled,
                counter,
            },
        )
    }

    fn a_definition() -> impl Strategy<Value = Arc<Definition>> {
        let parts = (
            prop::collection::vec(a_column(), 0..12),
            prop::collection::vec(a_text(), 0..4),
            a_charset(),
            any::<[bool; 2]>(),
            prop::option::of(a_text()),
            prop_oneof![Just(0), any::<u32>()],
        );
        parts.prop_map(
            |(columns, primary_key, charset, [versioned, partitioned], engine, uniques)| {
                Arc::new(Definition {
                    columns,
                    primary_key,
                    charset,
                    versioned,
                    engine,
                    partitioned,
                    uniques,
                })
            },
        )
    }

    fn a_place() -> impl Strategy<Value = Place> {
        (a_text(), any::<u64>()).prop_map(|(file, offset)| Place { file: file.into(), offset })
    }

    fn an_entry() -> impl Strategy<Value = Entry> {
        let read = (a_definition(), a_place(), a_place(), a_text(), any::<u32>()).prop_map(
            |(definition, lo, hi, server, stay)| {
                let server = server.into();
                Read { definition, lo, hi, server, stay }
            },
        );
        let lost = (a_place(), a_text()).prop_map(|(place, why)| Lost { place, why });
        let parts = (
            prop::option::of(a_definition()),
            prop::option::of(read),
            prop::option::of(lost),
            any::<bool>(),
        );
        parts.prop_map(|(now, read, lost, absent)| Entry { now, read, lost, absent })
    }

    proptest! {
        #[test]
        fn an_entry_is_what_it_was(entry in an_entry()) {
            prop_assert_eq!(Packed::pack(&entry).unpack(), entry);
        }

        #[test]
        fn other_bytes_are_recognized(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            // Whatever they hold, there is an end.
            let _ = Unpacker(&bytes).entry();
        }
    }

    #[test]
    fn a_table_of_ten_columns_takes_few_bytes() {
        let column = |n: usize| ColumnDefinition {
            name: format!("column_{n}"),
            mysql_type: "varchar(255)".to_owned(),
            charset: Some("utf8mb4".to_owned()),
            ..ColumnDefinition::default()
        };
        let definition = Definition {
            columns: (0..10).map(column).collect(),
            charset: Some("utf8mb4".to_owned()),
            engine: Some("innodb".to_owned()),
            ..Definition::default()
        };
        let place = Place { file: "binlog.000001".into(), offset: 1 << 40 };
        let (definition, server) = (Arc::new(definition), "0".repeat(36).into());
        let read = Some(Read { definition, lo: place.clone(), hi: place, server, stay: 0 });
        let packed = Packed::pack(&Entry { read, ..Entry::default() });
        assert!(packed.0.len() < 350, "{}", packed.0.len());
    }
}
