//! Everything that speaks MySQL's client protocol: query sessions, what a server says of
//! itself, and the replica connection that carries the binlog.
//!
//! The events inside the replica's packets are opaque bytes to the dump connection; only a
//! [`Scan`] looks at them, for their places.

mod attempts;
mod credentials;
mod endpoint;
mod error;
mod former_dump;
mod lookup;
pub mod probe;
pub mod replica;
mod savepoints;
mod scan;
mod session;
mod sight;
#[cfg(test)]
mod tests;
mod tls;
mod zone;

pub use credentials::{Answer, Ask, Credentials};
pub use endpoint::{Endpoint, TlsMode};
pub use error::Error;
pub(crate) use error::{DAMAGED, ERROR_READING_BINLOG};
pub(crate) use former_dump::end_former_dumps;
pub(crate) use lookup::addresses;
pub(crate) use savepoints::Savepoints;
pub(crate) use scan::{Scan, Scanned};
pub use session::{Row, Session, Value};
pub(crate) use session::{identifier, quote};
pub(crate) use sight::Sight;
pub use zone::server_zone;
pub(crate) use zone::zone_name;
