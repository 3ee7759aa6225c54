//! Where a server is and how to be let in: address, account, TLS, and how long to wait.
//!
//! Plain data, made by whoever reads the configuration. `Debug` never shows the password.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

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
    /// Whether and how to encrypt.
    pub tls: Tls,
    /// Bounds connecting, TLS and authentication together.
    pub connect_timeout: Duration,
    /// Bounds each statement of a query session.
    pub query_timeout: Duration,
    /// Whether to ask the server for its RSA key when the password has to cross an
    /// unencrypted connection (`caching_sha2_password`). An attacker between the two could
    /// hand out a key of his own; Canal and the command line clients of MariaDB ask too.
    pub ask_for_public_key: bool,
}

/// Encryption of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// How much of it is demanded.
    pub mode: TlsMode,
    /// PEM file of the authorities to trust beside the system's.
    pub authorities: Option<PathBuf>,
}

/// The modes of MySQL's own `--ssl-mode`, which Canal uses too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    #[default]
    Disabled,
    /// If the server can; its certificate is not looked at.
    Preferred,
    /// Always; the certificate is not looked at.
    Required,
    /// Always, and a trusted authority signed the certificate.
    VerifyCa,
    /// Always, a trusted authority signed it, and it names the host.
    VerifyIdentity,
}

impl TlsMode {
    /// Reads the names of Canal's `sslMode`, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "DISABLED" => Self::Disabled,
            "PREFERRED" => Self::Preferred,
            "REQUIRED" => Self::Required,
            "VERIFY_CA" => Self::VerifyCa,
            "VERIFY_IDENTITY" => Self::VerifyIdentity,
            _ => return None,
        })
    }

    /// Whether the certificate has to come from a trusted authority.
    pub(crate) fn verifies_authority(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyIdentity)
    }
}

impl Endpoint {
    /// A server with the account, without encryption, with ordinary patience.
    pub fn new(host: &str, port: u16, user: &str, password: &str) -> Self {
        Self {
            host: host.to_owned(),
            port,
            user: user.to_owned(),
            password: password.to_owned(),
            tls: Tls::default(),
            connect_timeout: Duration::from_secs(10),
            query_timeout: Duration::from_secs(30),
            ask_for_public_key: true,
        }
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

    #[test]
    fn canal_names_of_tls_modes_are_read_in_any_case() {
        assert_eq!(TlsMode::from_name("verify_ca"), Some(TlsMode::VerifyCa));
        assert_eq!(TlsMode::from_name("PREFERRED"), Some(TlsMode::Preferred));
        assert_eq!(TlsMode::from_name("on"), None);
    }
}
