//! The vocabulary that both the source and the sink of an instance speak: where the
//! source is positioned, what a table looks like, and what was changed in it.
//!
//! Pure data, without any input or output. Everything above names these types; they
//! name nothing of the program.

mod charset;
mod column;
mod gtid;
mod parked;
mod position;
mod prepared;
mod rows;
mod server_version;
mod table;
mod trail;
mod transaction;
mod xid;
mod zone;

pub use charset::Charset;
pub use column::{Column, ColumnType, PluginType};
pub use gtid::{
    CountedSet, Flavor, Gtid, GtidError, GtidSet, Interval, MariaDbGtids, MySqlGtids, Sid,
};
pub(crate) use gtid::{is_tag, read_signed, read_unsigned};
pub use parked::{HeldLetters, KeptEvent, ParkedName, ParkedTable};
pub use position::{Executed, FileName, Loss, MySqlPosition, Position, Published, Span};
pub use prepared::Prepared;
pub use rows::{ColumnSet, EventPlace, RowsChange, RowsKind};
pub use server_version::ServerVersion;
pub use table::{Table, TableName, TableVersion};
pub use trail::{Digest, Step, Trail};
pub use transaction::{
    BranchEnd, BranchStep, Change, Chunk, ChunkEnd, Commit, Generation, HeldBranch, ParkedTogether,
    StateRecord, StateTopic, StatementChange, StatementKind, TransactionHead,
};
pub use xid::{Xid, XidError};
pub use zone::ServerZone;
