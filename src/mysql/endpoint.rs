//! Where a server is and how to be let in: address, account, TLS, and how long to wait.
//!
//! Plain data, made by whoever reads the configuration; secrets that lie elsewhere are what
//! [`Ask`] brings. `Debug` never shows the password.

use std::fmt;
use std::time::Duration;

use super::Ask;

/// A server and the account to use there.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The account.
    pub user: String,
    /// Its password; empty for none.
    pub password: String,
    /// What to ask for account, password and certificates at each connect, in place of the two
    /// above.
    pub ask: Option<Ask>,
    /// Whether to encrypt, and what to look at.
    pub tls: TlsMode,
    /// Bounds connecting, TLS and authentication together.
    pub connect_timeout: Duration,
    /// Bounds each statement of a query session.
    pub query_timeout: Duration,
    /// Whether to ask the server for its RSA key when the password has to cross an
    /// unencrypted connection (`caching_sha2_password`). An attacker between the two could
    /// hand out a key of his own; Canal and the command line clients of MariaDB ask too.
    pub ask_for_public_key: bool,
}

/// How much encryption is demanded: the modes of MySQL's own `--ssl-mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// None.
    #[default]
    Disabled,
    /// If it can be had.
    Preferred,
    /// Always.
    Required,
    /// Always, with a server whose certificate a known authority has signed.
    VerifyCa,
    /// The same, and the certificate is for the host that we connect to.
    VerifyIdentity,
}

impl Endpoint {
    /// A server with the account, without encryption, with ordinary patience.
    pub fn new(host: &str, port: u16, user: &str, password: &str) -> Self {
        Self {
            host: host.to_owned(),
            port,
            user: user.to_owned(),
            password: password.to_owned(),
            ask: None,
            tls: TlsMode::default(),
            connect_timeout: Duration::from_secs(10),
            query_timeout: Duration::from_secs(30),
            ask_for_public_key: true,
        }
    }

    /// The same account on another server.
    #[must_use]
    pub fn at(&self, host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port, ..self.clone() }
    }

    /// `host:port`, as messages name the server.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("address", &self.address())
            .field("user", &self.user)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_text_never_holds_the_password() {
        let text = format!("{:?}", Endpoint::new("db1", 3306, "canal", "s3cret"));
        assert!(text.contains("db1:3306") && text.contains("canal"), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}
