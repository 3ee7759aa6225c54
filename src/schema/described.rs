//! A table as a definition alone says it: of one that no rows have come of yet.
//!
//! In: a definition. Out: the [`Table`] that its rows would have. Always: what the text of a type
//! does not say for certain makes no table: the bytes of its rows would be guessed.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::binlog::{TableMap, TableMapId, WireColumn, code};
use crate::change::{Charset, Flavor, Table, TableName, TableVersion};

use super::model::{ColumnDefinition, Definition};
use super::resolve::VERSIONS;
use super::table::{self, Parts};
use super::{Place, Schema};

impl Schema {
    /// The table as it is known to be at a place; none if its definition is not known. `Err` says
    /// why its rows cannot be.
    pub(crate) fn described(
        &self,
        name: &TableName,
        place: &Place,
    ) -> Option<Result<Arc<Table>, String>> {
        let definition = self.definition_at(name, place).or_else(|| self.definition(name))?;
        Some(describe(name, &definition, self.server.flavor))
    }

    /// Whether the table is known not to be there.
    pub(crate) fn is_absent(&self, name: &TableName) -> bool {
        self.model.table(name).is_some_and(|entry| entry.absent)
    }
}

/// The table of a definition. `Err` says why its rows cannot be read.
pub(super) fn describe(
    name: &TableName,
    definition: &Definition,
    flavor: Flavor,
) -> Result<Arc<Table>, String> {
    if definition.has_unsettled_text() {
        return Err("the default character set of its database is not known".to_owned());
    }
    let of_rows = definition.of_rows();
    let columns = of_rows.columns.iter().map(|column| {
        wire(column).ok_or_else(|| {
            format!("column `{}` is `{}`, which is not known here", column.name, column.mysql_type)
        })
    });
    let map = TableMap {
        id: TableMapId(0),
        name: name.clone(),
        columns: columns.collect::<Result<_, _>>()?,
        primary_key: Vec::new(),
    };
    let parts = table::from_definition(&map, definition, flavor);
    let Parts { columns, primary_key, hidden, .. } = parts.map_err(|error| error.to_string())?;
    let version = TableVersion(VERSIONS.fetch_add(1, Ordering::Relaxed));
    Ok(Arc::new(Table { version, name: name.clone(), columns, primary_key, hidden }))
}

/// The column as a table map would have it: the other way round than the table's own reading of a
/// table map, which is held against it.
fn wire(column: &ColumnDefinition) -> Option<WireColumn> {
    let text = column.mysql_type.as_str();
    let end = text.find(['(', ' ']).unwrap_or(text.len());
    let (base, rest) = text.split_at(end);
    let within = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let number = || within.and_then(|(number, _)| number.parse::<u16>().ok());
    let charset = column.charset.as_deref().and_then(Charset::from_name);
    let bytes = || number()?.checked_mul(charset?.max_char_bytes());
    let labels = || table::labels(text).len();
    let old = text.contains("/* mariadb-5.3 */") || text.contains("/* 5.5 binary format */");
    let time = |new, before| if old { (before, 0) } else { (new, number().unwrap_or(0)) };
    let (code, meta) = match base {
        "tinyint" => (code::TINY, 0),
        "smallint" => (code::SHORT, 0),
        "mediumint" => (code::INT24, 0),
        "int" => (code::LONG, 0),
        "bigint" => (code::LONGLONG, 0),
        "float" => (code::FLOAT, 4),
        "double" => (code::DOUBLE, 8),
        "decimal" => {
            let (precision, scale) = within?.0.split_once(',')?;
            let bytes = [precision.trim().parse().ok()?, scale.trim().parse().ok()?];
            (code::NEWDECIMAL, u16::from_be_bytes(bytes))
        }
        "bit" => (code::BIT, number()?),
        "year" => (code::YEAR, 0),
        "date" => (code::DATE, 0),
        "time" => time(code::TIME2, code::TIME),
        "datetime" => time(code::DATETIME2, code::DATETIME),
        "timestamp" => time(code::TIMESTAMP2, code::TIMESTAMP),
        "char" => (code::STRING, bytes()?),
        "varchar" => (code::VARCHAR, bytes()?),
        "binary" => (code::STRING, number()?),
        "varbinary" => (code::VARCHAR, number()?),
        "tinytext" | "tinyblob" => (code::BLOB, 1),
        "text" | "blob" => (code::BLOB, 2),
        "mediumtext" | "mediumblob" => (code::BLOB, 3),
        "longtext" | "longblob" => (code::BLOB, 4),
        "enum" => (code::ENUM, if labels() > 255 { 2 } else { 1 }),
        "set" => {
            let bytes = labels().div_ceil(8);
            (code::SET, if bytes > 4 { 8 } else { u16::try_from(bytes).ok()? })
        }
        "json" => (code::JSON, 4),
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geometrycollection" | "geomcollection" => (code::GEOMETRY, 4),
        "vector" => (code::VECTOR, 4),
        "uuid" | "inet6" => (code::STRING, 16),
        "inet4" => (code::STRING, 4),
        _ => return None,
    };
    Some(WireColumn { code, meta, ..WireColumn::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::ColumnType;

    fn column(name: &str, mysql_type: &str, charset: Option<&str>) -> ColumnDefinition {
        ColumnDefinition {
            name: name.to_owned(),
            mysql_type: mysql_type.to_owned(),
            charset: charset.map(str::to_owned),
            ..ColumnDefinition::default()
        }
    }

    #[test]
    fn a_definition_gives_what_its_rows_would() {
        let definition = Definition {
            columns: vec![
                column("id", "bigint(20) unsigned", None),
                column("name", "varchar(20)", Some("utf8mb4")),
                column("fixed", "char(3)", Some("latin1")),
                column("price", "decimal(10,2)", None),
                column("at", "timestamp(3)", None),
                column("kind", "enum('a','b')", Some("utf8mb4")),
                column("body", "longblob", None),
            ],
            primary_key: vec!["id".to_owned()],
            ..Definition::default()
        };
        let name = TableName::new("db", "t");
        let table = describe(&name, &definition, Flavor::MySql).unwrap();
        let kinds: Vec<_> = table.columns.iter().map(|column| column.kind).collect();
        assert_eq!(
            kinds,
            [
                ColumnType::LongLong { unsigned: true },
                ColumnType::VarChar { max_bytes: 80, charset: Charset::Utf8Mb4 },
                ColumnType::Char { max_bytes: 3, charset: Charset::Latin1 },
                ColumnType::Decimal { precision: 10, scale: 2 },
                ColumnType::Timestamp { fsp: 3 },
                ColumnType::Enum { bytes: 1 },
                ColumnType::Blob { length_bytes: 4 },
            ]
        );
        assert_eq!(table.primary_key, [0]);
        let labels = table.columns.get(5).map(|column| column.labels.clone());
        assert_eq!(labels.unwrap(), ["a", "b"]);
    }

    #[test]
    fn a_type_that_is_not_known_makes_no_table() {
        let definition =
            Definition { columns: vec![column("x", "xmltype", None)], ..Definition::default() };
        let error = describe(&TableName::new("db", "t"), &definition, Flavor::MySql).unwrap_err();
        assert!(error.contains("xmltype"), "{error}");
    }
}
