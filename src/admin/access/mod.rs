//! Who asks, and whether they may.
//!
//! In: the head of a request and where it comes from. Out: who it is, or a refusal in words.
//!
//! Always:
//! - loopback is no login. A process of this machine proves itself by the token in
//!   `$SLUICE_HOME/run/token`, which only its owner can read; a browser by a session, begun with a
//!   password of `conf/users` or with a one-time link that such a process asked for;
//! - while no user is configured, nobody but processes of this machine gets an answer;
//! - a request names a host that is ours, and comes from no other page: a foreign `Host` is a name
//!   that somebody lets point here, a foreign `Origin` a page of somebody else's;
//! - a session changes something only with its CSRF token beside its cookie.

mod attempts;
mod sessions;
mod users;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, Method, StatusCode, header};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::attempts::Attempts;
use self::sessions::Sessions;
use self::users::User;
pub use self::users::{Role, SHORTEST_PASSWORD, Users, UsersError};
use super::Peer;
use crate::shutdown::Tasks;

/// The header in which a page sends the CSRF token of its session.
pub(super) const CSRF_HEADER: &str = "x-csrf-token";

/// Passwords that are checked at a time: each takes 19 MiB.
const CHECKED_AT_ONCE: usize = 2;

/// The largest file of users that is read.
const LARGEST_FILE: u64 = 4 << 20;

/// What a route wants of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// No login: the page and what logs in. But nobody from elsewhere while there is no user.
    Nobody,
    /// To be logged in.
    View,
    /// To be an administrator.
    Admin,
    /// To be a process of this machine: it names files there.
    Machine,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) by: By,
    pub(super) role: Role,
    pub(super) address: IpAddr,
}

/// How it proved that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// By the token.
    Token,
    /// By a session: its name, its CSRF token, and its user, if it was begun with a password.
    Session { id: String, csrf: String, user: Option<String> },
}

impl Who {
    /// As the audit names it.
    pub(super) fn name(&self) -> String {
        match &self.by {
            By::Token => "a command on the machine".to_owned(),
            By::Session { user: None, .. } => "a one-time link".to_owned(),
            By::Session { user: Some(user), .. } => format!("user {user}"),
        }
    }
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) text: String,
    /// When to try again.
    pub(super) wait: Option<Duration>,
}

fn refuse<T>(status: StatusCode, text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { status, text: text.into(), wait: None })
}

/// Who may log in, as the file says now.
#[derive(Debug)]
enum Known {
    /// There is no file, or nobody in it.
    Nobody,
    Users(Users),
    /// Nobody gets in until it is mended.
    Unreadable(String),
}

/// A version of the file: when it was written, how long it is, and which it is.
type Version = Option<(Option<SystemTime>, u64, u64)>;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Access {
    token: Option<String>,
    file: PathBuf,
    hosts: Vec<String>,
    sessions: Mutex<Sessions>,
    attempts: Mutex<Attempts>,
    read: Mutex<Option<(Version, Arc<Known>)>>,
    checking: Arc<Semaphore>,
}

impl Access {
    /// `token`: what processes of this machine prove themselves by, if it could be written.
    /// `file`: `conf/users`. `hosts`: names of ours beside addresses and `localhost`.
    pub(super) fn new(token: Option<String>, file: PathBuf, hosts: &[String]) -> Self {
        Self {
            token,
            file,
            hosts: hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            sessions: Mutex::default(),
            attempts: Mutex::default(),
            read: Mutex::default(),
            checking: Arc::new(Semaphore::new(CHECKED_AT_ONCE)),
        }
    }

    /// Who asks, if that is known, where they may.
    pub(super) fn admit(
        &self,
        peer: Peer,
        method: &Method,
        headers: &HeaderMap,
        need: Need,
    ) -> Result<Option<Who>, Refusal> {
        let host = self.host(headers)?;
        same_origin(headers, host)?;
        let known = self.known();
        if !peer.is_here() && matches!(*known, Known::Nobody) {
            return refuse(
                StatusCode::UNAUTHORIZED,
                "no user is configured, so that only the machine itself is answered: \
                 `bin/sluice user add NAME` there adds one",
            );
        }
        let who = self.who(peer, headers, host, &known)?;
        let Some(who) = who else {
            return match need {
                Need::Nobody => Ok(None),
                Need::View | Need::Admin | Need::Machine => refuse(
                    StatusCode::UNAUTHORIZED,
                    "this wants a login: the page asks for it; commands of bin/sluice send the \
                     token of SLUICE_HOME/run/token",
                ),
            };
        };
        let enough = match need {
            Need::Nobody => true,
            Need::View => who.role >= Role::View,
            Need::Admin => who.role >= Role::Admin,
            Need::Machine => who.by == By::Token,
        };
        if !enough {
            return refuse(
                StatusCode::FORBIDDEN,
                match need {
                    Need::Machine => "this names files of the machine: use bin/sluice there",
                    Need::Nobody | Need::View | Need::Admin => {
                        "this wants a user with the role admin"
                    }
                },
            );
        }
        if let By::Session { csrf, .. } = &who.by
            && need != Need::Nobody
            && !method.is_safe()
            && !headers.get(CSRF_HEADER).is_some_and(|sent| same(sent.as_bytes(), csrf.as_bytes()))
        {
            let text =
                format!("a change wants the session's CSRF token in the header {CSRF_HEADER}");
            return refuse(StatusCode::FORBIDDEN, text);
        }
        Ok(Some(who))
    }

    /// Begins a session with a password: its name, and what it is.
    pub(super) async fn log_in(
        self: &Arc<Self>,
        peer: Peer,
        name: &str,
        password: String,
    ) -> Result<(String, Who), Refusal> {
        let now = Instant::now();
        if let Some(wait) = self.attempts().wait(peer.0, now) {
            return Err(Refusal {
                status: StatusCode::TOO_MANY_REQUESTS,
                text: format!("too many wrong passwords: try again in {} s", wait.as_secs() + 1),
                wait: Some(wait),
            });
        }
        self.attempts().begin(peer.0, now);
        // Closed by nobody.
        let _one_of_few = Arc::clone(&self.checking).acquire_owned().await;
        let (known, asked) = (self.known(), name.to_owned());
        let check = move || match &*known {
            Known::Nobody => Ok(Users::default().check(&asked, &password).cloned()),
            Known::Users(users) => Ok(users.check(&asked, &password).cloned()),
            Known::Unreadable(reason) => Err(reason.clone()),
        };
        let checked = Tasks::new().spawn_blocking("check a password", check).await;
        let user = match checked {
            Ok(Ok(Some(user))) => user,
            Ok(Ok(None)) => {
                tracing::warn!(address = %peer.0, "a login with a wrong name or password");
                return refuse(
                    StatusCode::UNAUTHORIZED,
                    "that is not the name and password of a user",
                );
            }
            Ok(Err(reason)) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, reason),
            Err(_) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, "sluice is stopping"),
        };
        self.attempts().right(peer.0);
        tracing::info!(user = name, address = %peer.0, "logged in");
        let role = user.role;
        self.begin(peer, Some((name.to_owned(), user)), role)
    }

    /// Begins a session with a one-time link.
    pub(super) fn open_link(&self, peer: Peer, link: &str) -> Result<(String, Who), Refusal> {
        if !self.sessions().redeem(link, Instant::now()) {
            let text =
                "this link was opened before, or is too old: `bin/sluice login` makes another";
            return refuse(StatusCode::UNAUTHORIZED, text);
        }
        self.begin(peer, None, Role::Admin)
    }

    /// Makes a one-time link: its secret, and how long it can be opened.
    pub(super) fn link(&self) -> Result<(String, Duration), Refusal> {
        let link = secret()?;
        self.sessions().link(link.clone(), Instant::now());
        Ok((link, sessions::LINK_TIME))
    }

    /// Ends a session.
    pub(super) fn log_out(&self, id: &str) {
        self.sessions().end(id);
    }

    fn begin(
        &self,
        peer: Peer,
        user: Option<(String, User)>,
        role: Role,
    ) -> Result<(String, Who), Refusal> {
        let (id, csrf) = (secret()?, secret()?);
        let now = Instant::now();
        self.sessions().begin(id.clone(), csrf.clone(), user.clone(), role, now);
        let by = By::Session { id: id.clone(), csrf, user: user.map(|(name, _)| name) };
        Ok((id, Who { by, role, address: peer.0.to_canonical() }))
    }

    fn who(
        &self,
        peer: Peer,
        headers: &HeaderMap,
        host: &str,
        known: &Known,
    ) -> Result<Option<Who>, Refusal> {
        let address = peer.0.to_canonical();
        // What a proxy in front asks for is not for us.
        let sent = headers.get(header::AUTHORIZATION).and_then(|sent| sent.to_str().ok());
        if let Some(sent) = sent.and_then(|text| text.strip_prefix("Bearer ")) {
            let own = self.token.as_ref();
            let is_ours = own.is_some_and(|own| same(sent.as_bytes(), own.as_bytes()));
            if !is_ours || !peer.is_here() {
                let text = "the token is not that of this process, or is sent from another machine";
                return refuse(StatusCode::UNAUTHORIZED, text);
            }
            return Ok(Some(Who { by: By::Token, role: Role::Admin, address }));
        }
        let Some(id) = cookie(headers, &cookie_name(host)) else { return Ok(None) };
        let Some(session) = self.sessions().find(id, Instant::now()) else { return Ok(None) };
        let role = match (&session.user, known) {
            (None, _) => session.role,
            // Whose role was changed has the new one; who was removed is out, and who has another
            // password: the one before may have been stolen.
            (Some((name, then)), Known::Users(users)) => match users.get(name) {
                Some(user) if user.has_password_of(then) => user.role,
                Some(_) | None => return Ok(None),
            },
            (Some(_), Known::Nobody | Known::Unreadable(_)) => return Ok(None),
        };
        let user = session.user.map(|(name, _)| name);
        let by = By::Session { id: id.to_owned(), csrf: session.csrf, user };
        Ok(Some(Who { by, role, address }))
    }

    /// The host that is asked, if it is ours.
    fn host<'a>(&self, headers: &'a HeaderMap) -> Result<&'a str, Refusal> {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let Some(host) = host else {
            return refuse(StatusCode::FORBIDDEN, "the request names no host");
        };
        let name = name_of(host).to_ascii_lowercase();
        // No name that somebody else may let point here.
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let own = rustix::system::uname();
        let is_own = own.nodename().to_str().is_ok_and(|own| own.eq_ignore_ascii_case(&name));
        if is_address || name == "localhost" || is_own || self.hosts.contains(&name) {
            return Ok(host);
        }
        let text = format!(
            "`{name}` is no name of this sluice: use an address of the machine, or write the name \
             into sluice.admin.hosts (conf/canal.properties)"
        );
        refuse(StatusCode::FORBIDDEN, text)
    }

    /// Who may log in now. The file is read again when it has changed.
    fn known(&self) -> Arc<Known> {
        let version = std::fs::metadata(&self.file);
        let version = version.ok().map(|about| (about.modified().ok(), about.len(), about.ino()));
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match &*read {
            Some((before, known)) if *before == version => Arc::clone(known),
            _ => {
                let known = Arc::new(read_users(&self.file));
                if let Known::Unreadable(reason) = &*known {
                    tracing::error!("nobody can log in: {reason}");
                }
                *read = Some((version, Arc::clone(&known)));
                known
            }
        }
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_users(file: &Path) -> Known {
    let unreadable = |reason: &dyn std::fmt::Display| {
        Known::Unreadable(format!("{} cannot be read: {reason}", file.display()))
    };
    match std::fs::metadata(file) {
        Ok(about) if about.len() > LARGEST_FILE => return unreadable(&"it is too large"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Known::Nobody,
        Ok(_) | Err(_) => {}
    }
    match std::fs::read_to_string(file) {
        Err(error) => unreadable(&error),
        Ok(text) => match Users::parse(&text) {
            Ok(users) if users.is_empty() => Known::Nobody,
            Ok(users) => Known::Users(users),
            Err(error) => unreadable(&error),
        },
    }
}

/// A page that sends its `Origin` has to be of the host that it asks. The scheme may be that of a
/// proxy in front.
fn same_origin(headers: &HeaderMap, host: &str) -> Result<(), Refusal> {
    for origin in headers.get_all(header::ORIGIN) {
        let from = origin.to_str().ok().and_then(|text| text.split_once("://")).map(|(_, at)| at);
        if !from.is_some_and(|from| from.eq_ignore_ascii_case(host)) {
            return refuse(StatusCode::FORBIDDEN, "the request comes from another page");
        }
    }
    Ok(())
}

/// The name in `name:port`.
fn name_of(host: &str) -> &str {
    if host.parse::<IpAddr>().is_ok() {
        return host;
    }
    if host.parse::<SocketAddr>().is_ok() || !host.starts_with('[') {
        return host.rsplit_once(':').map_or(host, |(name, _)| name);
    }
    host
}

/// The name of a session's cookie. Cookies know no ports, and two of us may be on one machine.
pub(super) fn cookie_name(host: &str) -> String {
    let port =
        host.rsplit_once(':').map(|(_, port)| port).filter(|port| port.parse::<u16>().is_ok());
    format!("sluice_session_{}", port.unwrap_or("80"))
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    all.flat_map(|line| line.split(';')).find_map(|pair| {
        let (found, value) = pair.trim().split_once('=')?;
        (found == name).then_some(value)
    })
}

/// Whether both are equal; how long that takes says nothing but their lengths.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && openssl::memcmp::eq(one, other)
}

/// 256 bits that nobody can guess, in hex.
pub fn new_secret() -> Result<String, openssl::error::ErrorStack> {
    let mut bytes = [0; 32];
    openssl::rand::rand_bytes(&mut bytes)?;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

fn secret() -> Result<String, Refusal> {
    new_secret().or_else(|error| {
        refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("no random bytes can be had: {error}"))
    })
}
