//! `TABLE_MAP`: the table of the rows that follow, its column types, and what the server says of
//! its columns beside.
//!
//! Body: table id u48 (u32 in the first releases of 5.1), flags u16, database (length u8, name,
//! NUL), table (the same), count of columns (length-encoded), a type each, length of their
//! metadata and the metadata, a bit each for nullable; then optional fields: type u8, length
//! (length-encoded), value (`Table_map_event`, `libs/mysql/binlog/event/rows_event.h`).
//!
//! `binlog_row_metadata=FULL` fills all of it; MINIMAL gives signs and character sets; MySQL
//! before 8.0.1 and MariaDB by default give nothing.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::column::{code, is_character, is_numeric, metadata_length, resolve};
use super::cursor::Cursor;
use super::{Error, EventType, FormatDescription, charset};
use crate::change::{Charset, TableName};

/// The number by which rows events name a table map. A new file and a new connection void it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableMapId(pub u64);

impl TableMapId {
    /// In the event that ends a statement without rows (`Table_id` of a dummy event).
    pub const DUMMY: Self = Self(0x00ff_ffff);
}

/// A column as the table map has it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct WireColumn {
    /// The server's type code; ENUM (247) and SET (248) already found within STRING.
    pub code: u8,
    /// What the type needs: length of a string in bytes; digits of a fraction; bytes of an ENUM,
    /// a SET, or the length of a BLOB; bits of a BIT; precision in the high byte and scale in the
    /// low one of a DECIMAL.
    pub meta: u16,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Whether a number has no sign. `None`: the server does not say.
    pub unsigned: Option<bool>,
    /// Number of the collation of a string, ENUM or SET. `None`: the server does not say.
    pub collation: Option<u32>,
    /// The name (FULL metadata).
    pub name: Option<String>,
    /// Labels of an ENUM or SET (FULL metadata).
    pub labels: Vec<String>,
    /// Whether `SELECT *` shows it (FULL metadata of MySQL since 8.0.23).
    pub visible: Option<bool>,
    /// The kind of geometry: 0 any, 1 POINT, ... 7 GEOMETRYCOLLECTION.
    pub geometry: Option<u32>,
    /// Dimensions of a VECTOR.
    pub dimensions: Option<u32>,
}

impl WireColumn {
    /// The character set; `None` where the server does not say.
    pub fn charset(&self) -> Result<Option<Charset>, Error> {
        let charset = |id| Charset::from_collation(id).ok_or(Error::Collation(u64::from(id)));
        self.collation.map(charset).transpose()
    }
}

/// A column of the primary key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    /// Its index.
    pub column: usize,
    /// How many characters of it count; 0: all.
    pub prefix: u32,
}

/// A table map, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMap {
    /// How rows events name it.
    pub id: TableMapId,
    /// The table.
    pub name: TableName,
    /// Its columns, in the order of row images.
    pub columns: Vec<WireColumn>,
    /// The primary key in key order (FULL metadata); empty when there is none or it is not known.
    pub primary_key: Vec<KeyColumn>,
}

impl TableMap {
    /// Reads id, database and table only: enough for a filter, and allocates nothing.
    pub fn peek<'a>(
        format: &FormatDescription,
        body: &'a [u8],
    ) -> Result<(TableMapId, &'a str, &'a str), Error> {
        let mut cursor = Cursor::new("TABLE_MAP", body);
        read_head(format, &mut cursor)
    }

    /// Reads the body.
    pub fn parse(format: &FormatDescription, body: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new("TABLE_MAP", body);
        let (id, schema, table) = read_head(format, &mut cursor)?;
        let count = cursor.lenenc()?;
        let types = cursor.take_long(count)?;
        let mut metadata = Cursor::new("the metadata of a TABLE_MAP", cursor.lenenc_bytes()?);
        let nullable = cursor.take(types.len().div_ceil(8))?;

        let mut columns = Vec::with_capacity(types.len());
        for (place, wire_code) in types.iter().enumerate() {
            let raw = metadata.take(metadata_length(*wire_code))?;
            let (code, meta) = resolve(*wire_code, raw);
            let nullable = nullable.get(place / 8).is_some_and(|b| b >> (place % 8) & 1 == 1);
            columns.push(WireColumn { code, meta, nullable, ..WireColumn::default() });
        }
        let name = TableName::new(schema, table);
        let mut map = Self { id, name, columns, primary_key: Vec::new() };
        map.read_optional(format.is_mariadb(), cursor)?;
        Ok(map)
    }

    fn read_optional(&mut self, mariadb: bool, mut cursor: Cursor<'_>) -> Result<(), Error> {
        const WHAT: &str = "the optional metadata of a TABLE_MAP";
        let character = |column: &WireColumn| is_character(column.code, mariadb);
        let labelled = |column: &WireColumn| matches!(column.code, code::ENUM | code::SET);
        // Labels are in the character set of their column, which may be given after them.
        let mut labels: Vec<(u8, &[u8])> = Vec::new();
        while !cursor.is_empty() {
            let field = cursor.u8()?;
            let value = cursor.lenenc_bytes()?;
            let mut cursor = Cursor::new(WHAT, value);
            match field {
                1 => self.set_bits(
                    value,
                    |column| is_numeric(column.code),
                    |column, set| column.unsigned = Some(set),
                ),
                2 => self.read_default_collations(cursor, character)?,
                3 => self.read_each(cursor, character, set_collation)?,
                4 => {
                    for column in &mut self.columns {
                        let name = cursor.lenenc_bytes()?;
                        let name = std::str::from_utf8(name);
                        let name = name.map_err(|_| Error::NotUtf8 { what: WHAT })?;
                        column.name = Some(name.to_owned());
                    }
                }
                5 => labels.push((code::SET, value)),
                6 => labels.push((code::ENUM, value)),
                7 => self.read_each(
                    cursor,
                    |column| column.code == code::GEOMETRY,
                    |column, value| column.geometry = Some(value),
                )?,
                8 | 9 => self.read_primary_key(cursor, field == 9)?,
                10 => self.read_default_collations(cursor, labelled)?,
                11 => self.read_each(cursor, labelled, set_collation)?,
                12 => self.set_bits(value, |_| true, |column, set| column.visible = Some(set)),
                13 => self.read_each(
                    cursor,
                    |column| column.code == code::VECTOR,
                    |column, value| column.dimensions = Some(value),
                )?,
                _ => {} // younger than this program, and optional
            }
        }
        for (code, value) in labels {
            self.read_labels(Cursor::new(WHAT, value), code)?;
        }
        Ok(())
    }

    /// One bit for each column of a kind, from the highest bit of the first byte on.
    fn set_bits(
        &mut self,
        bits: &[u8],
        kind: impl Fn(&WireColumn) -> bool,
        set: impl Fn(&mut WireColumn, bool),
    ) {
        for (place, column) in self.columns.iter_mut().filter(|c| kind(c)).enumerate() {
            if let Some(byte) = bits.get(place / 8) {
                set(column, byte << (place % 8) & 0x80 != 0);
            }
        }
    }

    /// One number for each column of a kind.
    fn read_each(
        &mut self,
        mut cursor: Cursor<'_>,
        kind: impl Fn(&WireColumn) -> bool,
        set: impl Fn(&mut WireColumn, u32),
    ) -> Result<(), Error> {
        for column in self.columns.iter_mut().filter(|column| kind(column)) {
            if cursor.is_empty() {
                break;
            }
            set(column, read_u32(&mut cursor)?);
        }
        Ok(())
    }

    /// A collation for all columns of a kind, then (index among them, collation) of exceptions.
    fn read_default_collations(
        &mut self,
        mut cursor: Cursor<'_>,
        kind: impl Fn(&WireColumn) -> bool,
    ) -> Result<(), Error> {
        let default = read_u32(&mut cursor)?;
        let mut columns: Vec<&mut WireColumn> =
            self.columns.iter_mut().filter(|column| kind(column)).collect();
        for column in &mut columns {
            column.collation = Some(default);
        }
        while !cursor.is_empty() {
            let place = cursor.lenenc()?;
            let collation = read_u32(&mut cursor)?;
            let column = usize::try_from(place).ok().and_then(|place| columns.get_mut(place));
            column.ok_or_else(|| cursor.impossible(place))?.collation = Some(collation);
        }
        Ok(())
    }

    fn read_primary_key(&mut self, mut cursor: Cursor<'_>, prefixes: bool) -> Result<(), Error> {
        while !cursor.is_empty() {
            let place = cursor.lenenc()?;
            let prefix = if prefixes { read_u32(&mut cursor)? } else { 0 };
            let column = usize::try_from(place).ok().filter(|place| *place < self.columns.len());
            let column = column.ok_or_else(|| cursor.impossible(place))?;
            self.primary_key.push(KeyColumn { column, prefix });
        }
        Ok(())
    }

    /// For each column of a type: count of labels, then length and bytes of each.
    fn read_labels(&mut self, mut cursor: Cursor<'_>, code: u8) -> Result<(), Error> {
        for column in self.columns.iter_mut().filter(|column| column.code == code) {
            if cursor.is_empty() {
                break;
            }
            let charset = column.charset()?.unwrap_or(Charset::Utf8Mb4);
            for _ in 0..cursor.lenenc()? {
                column.labels.push(charset::to_string(charset, cursor.lenenc_bytes()?));
            }
        }
        Ok(())
    }
}

fn read_head<'a>(
    format: &FormatDescription,
    cursor: &mut Cursor<'a>,
) -> Result<(TableMapId, &'a str, &'a str), Error> {
    let id = TableMapId(cursor.uint(format.table_id_length(EventType::TableMap))?);
    cursor.u16()?;
    let mut name = || {
        let length = usize::from(cursor.u8()?);
        let name = cursor.text(length)?;
        cursor.u8()?;
        Ok::<_, Error>(name)
    };
    let (schema, table) = (name()?, name()?);
    Ok((id, schema, table))
}

fn set_collation(column: &mut WireColumn, collation: u32) {
    column.collation = Some(collation);
}

fn read_u32(cursor: &mut Cursor<'_>) -> Result<u32, Error> {
    let value = cursor.lenenc()?;
    u32::try_from(value).map_err(|_| cursor.impossible(value))
}
