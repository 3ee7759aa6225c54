//! What a statement changes in the schema, as its text says it: the language between
//! the readers of DDL and the model. Names carry their database; nothing here knows
//! whether a table exists.

use crate::change::{StatementKind, TableName};

/// What a statement is published as, before the filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it does.
    pub kind: StatementKind,
    /// False for DML in statement format.
    pub is_ddl: bool,
    /// The database named in the message; empty when unknown.
    pub schema: String,
    /// The table named in the message; empty when it concerns a database.
    pub table: String,
}

/// All there is to know of a statement's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// What to publish; `None` for what Canal says nothing of.
    pub(crate) message: Option<Message>,
    /// Every table that it names as changed, the message's first.
    pub(crate) tables: Vec<TableName>,
    /// What it changes, in order.
    pub(crate) effects: Vec<Effect>,
    /// What it does by the word TEMPORARY.
    pub(crate) temporary: Vec<TemporaryTable>,
    /// It has OR REPLACE: where a table is replaced, MariaDB marks the statement as one of its thread.
    pub(crate) replaces: bool,
    /// It is a RENAME TABLE of a server where that can mean temporary tables: MariaDB.
    pub(crate) renames_temporary: bool,
    /// Further tables of an UPDATE or DELETE of several.
    pub(crate) others: Vec<TableName>,
    /// The word that the statement begins with, if no server is known to log such.
    pub(crate) unknown: Option<String>,
}

impl Reading {
    /// The table that it makes for certain, and that was not there before or is no more.
    pub(crate) fn made(&self) -> Option<&TableName> {
        match &*self.effects {
            [Effect::CreateTable { name, keep: false, .. }] => Some(name),
            _ => None,
        }
    }

    /// What it would change is not known behind it: it may be about another table.
    pub(crate) fn void(&mut self, why: &str) {
        let stale = |name: TableName| Effect::Stale { name, why: why.to_owned() };
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::AlterTable { name, .. } | Effect::Stale { name, .. } => {
                    self.effects.push(stale(name));
                }
                Effect::RenameTable { from, to, .. } => {
                    self.effects.extend([stale(from), stale(to)]);
                }
                other @ (Effect::CreateDatabase { .. }
                | Effect::AlterDatabase { .. }
                | Effect::DropDatabase { .. }
                | Effect::CreateTable { .. }
                | Effect::PartitionToTable { .. }
                | Effect::DropTable { .. }) => self.effects.push(other),
            }
        }
    }
}

/// A table of one session comes or goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TemporaryTable {
    /// CREATE TEMPORARY TABLE.
    Made(TableName),
    /// DROP TEMPORARY TABLE.
    Dropped(TableName),
}

/// One change of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// CREATE DATABASE.
    CreateDatabase { name: String, charset: CharsetChoice, keep: bool },
    /// ALTER DATABASE.
    AlterDatabase { name: String, charset: CharsetChoice },
    /// DROP DATABASE, with all its tables.
    DropDatabase { name: String },
    /// CREATE TABLE; `keep`: not if it is there (IF NOT EXISTS).
    CreateTable { name: TableName, keep: bool, body: Body },
    /// ALTER TABLE, save its renaming; `lenient`: only if it is there (IF EXISTS).
    AlterTable { name: TableName, lenient: bool, alteration: Alteration },
    /// RENAME TABLE, one pair.
    RenameTable { from: TableName, to: TableName, lenient: bool },
    /// MariaDB's CONVERT PARTITION TO TABLE: `to` is a table like one partition of `from`.
    PartitionToTable { from: TableName, to: TableName },
    /// DROP TABLE, or the name was taken by something without rows.
    DropTable { name: TableName },
    /// It changed in a way that the text does not say, for this reason.
    Stale { name: TableName, why: String },
}

/// Where the columns of a new table come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// The list of the statement.
    Columns {
        columns: Vec<ColumnText>,
        primary_key: Vec<String>,
        /// How many other unique keys.
        uniques: u32,
        options: TableOptions,
    },
    /// LIKE another table.
    Like(TableName),
    /// A SELECT, or what could not be read: why.
    Unknown(String),
}

/// What of the options of CREATE TABLE matters to its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TableOptions {
    pub(crate) charset: CharsetChoice,
    pub(crate) versioning: Versioning,
    /// In lower case, as `information_schema` names it; `None`: the text does not say. `?`: one
    /// that the server may have replaced.
    pub(crate) engine: Option<String>,
    pub(crate) partitioned: bool,
}

/// MariaDB's WITH SYSTEM VERSIONING.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Versioning {
    /// None, or by columns that the statement names (PERIOD FOR SYSTEM_TIME).
    #[default]
    Visible,
    /// By two columns behind all others that nobody sees but in rows.
    Hidden,
}

/// What one ALTER TABLE asks for. The server does all of it at once, by the names from
/// before, whatever the order of the clauses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Alteration {
    /// Columns added and changed, in the order written.
    pub(crate) columns: Vec<ColumnChange>,
    /// Columns dropped, and whether they need not be there (IF EXISTS).
    pub(crate) dropped: Vec<(String, bool)>,
    /// The primary key goes.
    pub(crate) drop_primary_key: bool,
    /// The primary key that comes.
    pub(crate) primary_key: Option<Vec<String>>,
    /// It does not if there is one (IF NOT EXISTS, also of the column that it is of).
    pub(crate) keeps_primary_key: bool,
    /// How many other unique keys come.
    pub(crate) uniques: u32,
    /// CONVERT TO CHARACTER SET: all text columns.
    pub(crate) convert: Option<CharsetChoice>,
    /// The default for columns to come.
    pub(crate) charset: CharsetChoice,
    /// ADD or DROP SYSTEM VERSIONING.
    pub(crate) versioning: Option<Versioning>,
    /// ENGINE, as in [`TableOptions`].
    pub(crate) engine: Option<String>,
    /// PARTITION BY, REMOVE PARTITIONING.
    pub(crate) partitioned: Option<bool>,
    /// ALTER COLUMN .. SET VISIBLE or INVISIBLE, in the order written.
    pub(crate) visibility: Vec<(String, bool)>,
}

/// One column of an ALTER TABLE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ColumnChange {
    pub(crate) action: ColumnAction,
    pub(crate) place: ColumnPlace,
}

/// What happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ColumnAction {
    /// ADD; `keep`: not if it is there.
    Add { column: ColumnText, keep: bool },
    /// MODIFY, CHANGE; `lenient`: only if it is there.
    Change { old: String, column: ColumnText, lenient: bool },
    /// RENAME COLUMN; `lenient`: only if it is there.
    Rename { old: String, new: String, lenient: bool },
}

/// Where it is to be put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ColumnPlace {
    /// Where it was, or last.
    Unsaid,
    First,
    After(String),
}

/// A column as the text defines it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ColumnText {
    pub(crate) name: String,
    pub(crate) data_type: TypeText,
    /// Defined with PRIMARY KEY.
    pub(crate) is_key: bool,
    /// 1 if it is defined with UNIQUE.
    pub(crate) uniques: u32,
    /// `AUTO_INCREMENT`.
    pub(crate) counts: bool,
    /// INVISIBLE.
    pub(crate) invisible: bool,
    /// WITH SYSTEM VERSIONING: in CREATE TABLE, enough for the table to be versioned.
    pub(crate) versioning: Versioning,
}

/// A data type as the text spells it, with aliases resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TypeText {
    pub(crate) base: Base,
    /// The first number in parentheses.
    pub(crate) length: Option<u64>,
    /// The second.
    pub(crate) decimals: Option<u64>,
    pub(crate) unsigned: bool,
    pub(crate) zerofill: bool,
    /// Labels of ENUM and SET.
    pub(crate) labels: Vec<String>,
    pub(crate) label_form: LabelForm,
    pub(crate) charset: CharsetChoice,
    /// MariaDB's COMPRESSED.
    pub(crate) compressed: bool,
}

/// How labels are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LabelForm {
    /// All as texts.
    #[default]
    Texts,
    /// Some as bytes of the column's character set.
    Bytes,
}

/// The data types, aliases resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    TinyInt,
    SmallInt,
    MediumInt,
    Int,
    BigInt,
    Float,
    Double,
    Decimal,
    Bit,
    Char,
    VarChar,
    Binary,
    VarBinary,
    Text(LobSize),
    Blob(LobSize),
    Enum,
    Set,
    Json,
    Vector,
    /// Spelt without a length: `date`, `point`, `uuid`.
    Plain(&'static str),
    /// Spelt with the digits of its fraction: `time(3)`.
    Temporal(&'static str),
    Year,
}

impl Base {
    /// Whether it has a character set: its own, or the table's.
    pub(crate) fn has_charset(self) -> bool {
        matches!(self, Self::Char | Self::VarChar | Self::Text(_) | Self::Enum | Self::Set)
    }
}

/// TINY, none, MEDIUM, LONG.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LobSize {
    Tiny,
    Plain,
    Medium,
    Long,
}

/// What a CHARACTER SET or COLLATE says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum CharsetChoice {
    /// Nothing: what is above decides.
    #[default]
    Unsaid,
    /// DEFAULT: what the database has.
    Default,
    /// There is one that the text does not say.
    Unknown,
    /// This one, in lower case.
    Named(String),
}
