//! A query session: statements in, rows out, each within a time limit.
//!
//! Wraps `mysql_async`. Rows are text as the server sends it; what they mean is the asker's
//! business. Never reconnects by itself: a session belongs to one server, and a broken one
//! stays broken. After a timeout the session is of no use any more (the late answer
//! would be taken for that of the next statement), and says so.

use std::future::Future;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::time::Duration;

pub use mysql_async::Value;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, DriverError, OptsBuilder, Params};
use tokio::sync::mpsc;

use super::attempts::{Attempts, Login};
use super::lookup::addresses;
use super::{Endpoint, Error, tls};

/// The largest packet either side may send: the largest the protocol knows.
const MAX_PACKET: usize = 1 << 30;

/// No row is left out of an answer.
pub(super) const ALL_ROWS: &str = "sql_select_limit = 18446744073709551615";

/// What every session sets of what each server has: a server's defaults, and its `init_connect`, are
/// those of its own clients, and each of these can cut, refuse or respell an answer.
///
/// Left alone, because no statement here depends on them: `time_zone` (the zone is asked for by
/// [`super::server_zone`], the clock is UTC), `group_concat_max_len`, `div_precision_increment`,
/// `default_week_format`, `lc_time_names`, `lc_messages` (errors are known by their codes),
/// `optimizer_switch` and sizes of other buffers; and `sql_safe_updates`, which is about the heartbeat's
/// own statement.
const SETTINGS: &[&str] = &[
    ALL_ROWS,
    // A reading that is thought to be long is refused otherwise (`max_join_size`).
    "sql_big_selects = 1",
    // Quoting of names and literals, in both directions, and types of MariaDB's other dialects.
    "sql_mode = ''",
    "sql_quote_show_create = 1",
    // Without it the first reading begins a transaction, and all later ones show what was then.
    "autocommit = 1",
    // A fixed one would be the server's clock.
    "timestamp = DEFAULT",
    // Rows are in order by that many bytes of a name.
    "max_sort_length = 1024",
    // Too small a one refuses to sort at all (1038); this is MariaDB's default, and more than MySQL's.
    "sort_buffer_size = 2097152",
    // A statement that changes a table holds its metadata lock until the change is visible;
    // the servers' own limits are a year and a day.
    "lock_wait_timeout = 5",
    // A session that waits for its next question, or its reader for the disk, is not at an end.
    "wait_timeout = 28800",
    "net_read_timeout = 600",
    "net_write_timeout = 600",
];

/// What is set of what some servers have, each by itself.
const SETTINGS_OF_SOME: &[&str] = &[
    // MySQL 8.0.30 and later; without it a generated invisible primary key, which row
    // images hold, is hidden.
    "show_gipk_in_create_table_and_information_schema = 1",
    // MySQL, MariaDB: how long a statement may take. Sessions here have a limit of their own, for
    // each row.
    "max_execution_time = 0",
    "max_statement_time = 0",
    // MySQL 5.6 and 5.7: a comment within the texts of types.
    "show_old_temporals = 0",
    // MySQL: FORCED refuses what only the first engine can answer.
    "use_secondary_engine = OFF",
    // MySQL: answers without the names of their columns.
    "resultset_metadata = FULL",
    // MariaDB: from so many names on a page of tables is read by opening every table.
    "in_predicate_conversion_threshold = 1000",
];

/// Unknown system variable.
const ER_UNKNOWN_SYSTEM_VARIABLE: u16 = 1193;

/// One connection for statements.
#[derive(Debug)]
pub struct Session {
    conn: Option<Conn>,
    address: String,
    timeout: Duration,
}

/// One row of an answer. Columns are found by name in any case, since servers differ.
#[derive(Debug)]
pub struct Row(mysql_async::Row);

impl Row {
    /// The bytes of a column; `None` when it is NULL or not there.
    pub fn bytes(&self, column: &str) -> Option<&[u8]> {
        let columns = self.0.columns_ref();
        let index = columns.iter().position(|c| c.name_str().eq_ignore_ascii_case(column))?;
        self.bytes_at(index)
    }

    /// The bytes of the column at `index`; `None` when it is NULL or not there.
    pub fn bytes_at(&self, index: usize) -> Option<&[u8]> {
        match self.0.as_ref(index)? {
            mysql_async::Value::Bytes(bytes) => Some(bytes),
            _ => None, // the text protocol sends bytes or NULL
        }
    }

    /// The text of a column; `None` when it is NULL, not there, or no UTF-8.
    pub fn text(&self, column: &str) -> Option<&str> {
        self.bytes(column).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The text of the column at `index`, as [`Row::text`].
    pub fn text_at(&self, index: usize) -> Option<&str> {
        self.bytes_at(index).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The value of the column at `index`, as a prepared statement gives it; `None` when it is not
    /// there.
    #[inline]
    pub fn value_at(&self, index: usize) -> Option<&Value> {
        self.0.as_ref(index)
    }

    /// A column that is an unsigned number.
    pub fn number(&self, column: &str) -> Option<u64> {
        self.text(column)?.parse().ok()
    }
}

impl Session {
    /// Connects, authenticates, and makes the session ready for reading metadata.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, Error> {
        let mut attempts = Attempts::at(endpoint).await?;
        let conn = loop {
            match Self::open(&attempts.login()).await {
                Ok(conn) => break attempts.came_in(conn)?,
                Err(error) => attempts = attempts.failed(error)?,
            }
        };
        let mut session =
            Self { conn: Some(conn), address: endpoint.address(), timeout: endpoint.query_timeout };
        session.settle().await?;
        Ok(session)
    }

    /// Makes answers independent of the server's defaults.
    async fn settle(&mut self) -> Result<(), Error> {
        // What `init_connect` may have begun.
        self.run("ROLLBACK").await?;
        let settings: Vec<String> =
            SETTINGS.iter().map(|setting| format!("SESSION {setting}")).collect();
        // Names and texts come as UTF-8 and are compared as such, whatever the server makes of the
        // client's wish (`character_set_client_handshake`).
        self.run(&format!("SET NAMES utf8mb4, {}", settings.join(", "))).await?;
        // Neither uncommitted definitions nor locks.
        self.run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
        for setting in SETTINGS_OF_SOME {
            match self.run(&format!("SET SESSION {setting}")).await {
                Err(error) if error.code() == Some(ER_UNKNOWN_SYSTEM_VARIABLE) => {}
                other => other?,
            }
        }
        Ok(())
    }

    async fn open(login: &Login<'_>) -> Result<Conn, Error> {
        let limit = login.endpoint.connect_timeout;
        let opened = async {
            let found = addresses(&login.endpoint.host).await;
            let found =
                found.map_err(|source| Error::Connect { address: login.address(), source })?;
            Conn::new(options(login, found)).await.map_err(|error| refused(error, login))
        };
        match tokio::time::timeout(limit, opened).await {
            Ok(opened) => opened,
            Err(_) => {
                Err(Error::Timeout { address: login.address(), what: "connecting", after: limit })
            }
        }
    }

    /// Whether a statement did not end: no other can be run.
    pub fn is_broken(&self) -> bool {
        self.conn.is_none()
    }

    /// `host:port` of the server.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The rows that a statement returns. Not cancel safe: dropped half-way, the session is
    /// broken.
    pub async fn query(&mut self, statement: &str) -> Result<Vec<Row>, Error> {
        let (rows, conn) = self
            .bounded(statement, |mut conn| async move {
                (conn.query::<mysql_async::Row, _>(statement).await, conn)
            })
            .await?;
        self.conn = Some(conn);
        rows.map(|rows| rows.into_iter().map(Row).collect())
    }

    /// Shows each row that a statement returns to `each`, as it comes: none is kept. The time
    /// limit is for every row. Not cancel safe, as [`Session::query`].
    pub async fn stream(
        &mut self,
        statement: &str,
        mut each: impl FnMut(&Row),
    ) -> Result<(), Error> {
        let limit = self.timeout;
        let Some(mut conn) = self.conn.take() else { return Err(self.ended()) };
        let late = |_| self.late();
        let streamed = match tokio::time::timeout(limit, conn.query_iter(statement)).await {
            Err(elapsed) => return Err(late(elapsed)),
            Ok(Err(error)) => Err(error),
            Ok(Ok(mut rows)) => loop {
                match tokio::time::timeout(limit, rows.next()).await.map_err(late)? {
                    Ok(Some(row)) => each(&Row(row)),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            },
        };
        self.put_back(conn, streamed, statement)
    }

    /// As [`Session::stream`], by a prepared statement, which is kept: the values of its rows are of
    /// their types ([`Row::value_at`]). Goes on with the next row while `each` is true; the rows
    /// behind are read over.
    pub async fn stream_prepared(
        &mut self,
        statement: &str,
        parameters: Vec<Value>,
        mut each: impl FnMut(&Row) -> bool,
    ) -> Result<(), Error> {
        let limit = self.timeout;
        let Some(mut conn) = self.conn.take() else { return Err(self.ended()) };
        let late = |_| self.late();
        let parameters =
            if parameters.is_empty() { Params::Empty } else { Params::Positional(parameters) };
        let begun = tokio::time::timeout(limit, conn.exec_iter(statement, parameters)).await;
        let mut is_wanted = true;
        let streamed = match begun {
            Err(elapsed) => return Err(late(elapsed)),
            Ok(Err(error)) => Err(error),
            Ok(Ok(mut rows)) => loop {
                match tokio::time::timeout(limit, rows.next()).await.map_err(late)? {
                    Ok(Some(row)) => is_wanted = is_wanted && each(&Row(row)),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            },
        };
        self.put_back(conn, streamed, statement)
    }

    /// As [`Session::stream_prepared`], where what `each` makes of the rows is waited for until
    /// somebody takes it: the server waits meanwhile. The time limit is for every row. What follows
    /// a break is not read over, as it may be much: then the session is broken.
    pub async fn stream_into<T>(
        &mut self,
        statement: &str,
        taker: &mpsc::Sender<T>,
        mut each: impl FnMut(&Row) -> ControlFlow<(), Option<T>>,
    ) -> Result<(), Error> {
        let limit = self.timeout;
        let Some(mut conn) = self.conn.take() else { return Err(self.ended()) };
        let late = |_| self.late();
        let begun = tokio::time::timeout(limit, conn.exec_iter(statement, Params::Empty)).await;
        let streamed = match begun {
            Err(elapsed) => return Err(late(elapsed)),
            Ok(Err(error)) => Err(error),
            Ok(Ok(mut rows)) => loop {
                let next = tokio::time::timeout(limit, rows.next()).await.map_err(late)?;
                let made = match next {
                    Ok(Some(row)) => each(&Row(row)),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                };
                match made {
                    ControlFlow::Continue(None) => {}
                    ControlFlow::Continue(Some(made)) => {
                        if taker.send(made).await.is_err() {
                            return Err(self.ended());
                        }
                    }
                    ControlFlow::Break(()) => return Err(self.ended()),
                }
            },
        };
        self.put_back(conn, streamed, statement)
    }

    /// Another statement can be run behind one that ended, unless its error has ended all.
    fn put_back(
        &mut self,
        conn: Conn,
        streamed: Result<(), mysql_async::Error>,
        statement: &str,
    ) -> Result<(), Error> {
        if !streamed.as_ref().is_err_and(mysql_async::Error::is_fatal) {
            self.conn = Some(conn);
        }
        streamed.map_err(|error| translate(error, &self.address, statement))
    }

    fn ended(&self) -> Error {
        Error::Lost {
            address: self.address.clone(),
            what: "querying",
            reason: "an earlier statement did not end".to_owned(),
        }
    }

    fn late(&self) -> Error {
        Error::Timeout { address: self.address.clone(), what: "querying", after: self.timeout }
    }

    /// Runs a statement whose rows do not matter. Not cancel safe, as [`Session::query`].
    pub async fn run(&mut self, statement: &str) -> Result<(), Error> {
        let (done, conn) = self
            .bounded(statement, |mut conn| async move { (conn.query_drop(statement).await, conn) })
            .await?;
        self.conn = Some(conn);
        done
    }

    /// Lends the connection to `work` for as long as a statement may take. The connection
    /// comes back only from an answer, so whatever else happens leaves the session broken.
    async fn bounded<T, F: Future<Output = (mysql_async::Result<T>, Conn)>>(
        &mut self,
        statement: &str,
        work: impl FnOnce(Conn) -> F,
    ) -> Result<(Result<T, Error>, Conn), Error> {
        let Some(conn) = self.conn.take() else { return Err(self.ended()) };
        match tokio::time::timeout(self.timeout, work(conn)).await {
            Ok((Ok(value), conn)) => Ok((Ok(value), conn)),
            Ok((Err(error), conn)) => {
                let fatal = error.is_fatal();
                let error = translate(error, &self.address, statement);
                if fatal { Err(error) } else { Ok((Err(error), conn)) }
            }
            Err(_) => Err(self.late()),
        }
    }

    /// Says goodbye. Dropping a session without it is allowed.
    pub async fn close(mut self) {
        if let Some(conn) = self.conn.take() {
            // A server that does not answer a goodbye changes nothing.
            let _ = tokio::time::timeout(Duration::from_secs(2), conn.disconnect()).await;
        }
    }
}

fn options(login: &Login<'_>, found: Vec<IpAddr>) -> OptsBuilder {
    OptsBuilder::default()
        .ip_or_hostname(login.endpoint.host.clone())
        .resolved_ips(Some(found))
        .tcp_port(login.endpoint.port)
        .user(Some(login.credentials.user.clone()))
        .pass(Some(login.credentials.password.clone()))
        .ssl_opts(login.encrypted.then(|| tls::options(login)))
        // It shows the password to who listens.
        .enable_cleartext_plugin(login.encrypted)
        // On by default, and then it may reconnect through a socket to another server.
        .prefer_socket(false)
        .max_allowed_packet(Some(MAX_PACKET))
        // Asked from the server otherwise; only a pool would use it.
        .wait_timeout(Some(28_800))
        .tcp_keepalive(Some(Duration::from_secs(30)))
}

/// Why nobody was let in.
fn refused(error: mysql_async::Error, login: &Login<'_>) -> Error {
    let address = login.address();
    let error = match error {
        mysql_async::Error::Server(error) => {
            return login.refusal(error.code, error.message, "the login");
        }
        mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            return tls::not_offered(login);
        }
        mysql_async::Error::Driver(DriverError::UnknownAuthPlugin { name }) => {
            return login.refuse_method(&name);
        }
        mysql_async::Error::Driver(DriverError::CleartextPluginDisabled) => {
            return login.refuse_clear_text();
        }
        mysql_async::Error::Io(mysql_async::IoError::Tls(error)) => {
            return tls::failure(login, &error.to_string());
        }
        mysql_async::Error::Io(mysql_async::IoError::Io(source)) => {
            Error::Connect { address, source }
        }
        other => Error::Lost { address, what: "connecting", reason: other.to_string() },
    };
    tls::lost_on_the_way_in(login, error)
}

/// Why a statement was not answered.
fn translate(error: mysql_async::Error, address: &str, statement: &str) -> Error {
    let address = address.to_owned();
    match error {
        mysql_async::Error::Server(error) => Error::Server {
            address,
            what: shorten(statement),
            code: error.code,
            message: error.message,
        },
        other => Error::Lost { address, what: "querying", reason: other.to_string() },
    }
}

/// A string literal; every session has `sql_mode=''`.
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A name, quoted.
pub(crate) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Statements can be long; a message needs their beginning.
fn shorten(statement: &str) -> String {
    const LONGEST: usize = 80;
    match statement.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("`{}…`", &statement[..end]),
        None => format!("`{statement}`"),
    }
}
