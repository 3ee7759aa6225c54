//! Binlog bytes to events, events to row views, rows to values. Pure: no input or output.
//!
//! In: the bytes of one event as the dump connection joined them (or the pieces of a compressed
//! transaction). Out: typed events that borrow or share those bytes, and values that are decoded
//! in place. Always: no bytes make it panic, and nothing is allocated that the input's own length
//! does not account for (inflation has caps). All integers are little-endian unless said.
//!
//! The way of one event:
//!
//! ```text
//! bytes ─ EventHeader::parse ─ EventType::policy ─ verify_checksum
//!   └ body ─ TableMap::parse ─ column_type per column ─▶ change::Table
//!          └ RowsEvent::parse ─▶ change::RowsChange ─ Images ─ Value ─ writers into a Vec<u8>
//! ```

pub mod charset;
mod checksum;
mod column;
mod compressed;
mod control;
mod cursor;
mod decimal;
pub(crate) mod digits;
mod error;
mod event;
mod fragment;
mod gtid_event;
pub(crate) mod hires;
mod image;
pub mod json;
pub mod payload;
mod place;
mod plugin_type;
mod query;
mod rows_event;
mod table_map;
mod temporal;
mod value;
mod xa;

#[cfg(test)]
mod tests;

pub use checksum::{ChecksumAlgorithm, ChecksumOfPieces, verify_checksum};
pub(crate) use column::code;
pub use column::column_type;
pub(crate) use compressed::deflate_cell;
pub use control::{FormatDescription, Heartbeat, Rotate};
pub use decimal::Decimal;
pub use error::Error;
pub use event::{EventHeader, EventType, HEADER_LENGTH, Policy};
pub use fragment::{Fragment, Fragments};
pub use gtid_event::{AlterPhase, GtidEvent, GtidFlags, gtid_list, previous_gtids};
pub(crate) use image::count_present;
pub use image::{Cell, CellSpans, Images};
pub(crate) use place::{FIRST_EVENT, Tracker};
pub use plugin_type::PluginValue;
pub use query::{Query, Status, rows_query};
pub use rows_event::RowsEvent;
pub use table_map::{KeyColumn, TableMap, TableMapId, WireColumn};
pub use temporal::{Date, DateTime, Time, Timestamp};
pub(crate) use value::prefix_length;
pub use value::{Compressed, Value};
pub use xa::XaPrepare;
