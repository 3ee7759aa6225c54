//! Everything that speaks MySQL's client protocol: query sessions, what a server says of
//! itself, and the replica connection that carries the binlog.
//!
//! Knows packets and result sets; the events inside the replica's packets are opaque bytes
//! here (`binlog` reads them).

mod endpoint;
mod error;
pub mod probe;
pub mod replica;
mod session;

pub use endpoint::{Endpoint, Tls, TlsMode};
pub(crate) use error::ERROR_READING_BINLOG;
pub use error::Error;
pub use session::{Row, Session};
