//! What lets us in: an account, its password, and certificates.
//!
//! Asked for anew at each connect, where the configuration names a file or a command in place
//! of a text: secrets are rotated, and tokens of a cloud live for minutes. Who reads the
//! configuration makes the asking, and sees to it that it does not block and comes to an end.
//! Always: `Debug` shows nothing of them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// What a server is given at one connect.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The account.
    pub user: String,
    /// Its password; empty for none.
    pub password: String,
    /// Certificates of the authorities that may have signed the server's, as PEM; empty: those
    /// that the system trusts.
    pub authorities: Vec<u8>,
    /// Our own certificate and its key, as a PKCS #12 archive without a password.
    pub identity: Option<Arc<[u8]>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The credentials, or why there are none: key, place and reason.
pub type Answer = Pin<Box<dyn Future<Output = Result<Credentials, String>> + Send>>;

/// What asks for credentials.
#[derive(Clone)]
pub struct Ask(Arc<dyn Fn() -> Answer + Send + Sync>);

impl Ask {
    /// Takes what asks.
    pub fn new(ask: impl Fn() -> Answer + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    pub(super) async fn answer(&self) -> Result<Credentials, String> {
        (self.0)().await
    }
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ask")
    }
}

impl PartialEq for Ask {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Ask {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_text_never_holds_a_secret() {
        let credentials = Credentials {
            user: "canal".to_owned(),
            password: "s3cret".to_owned(),
            authorities: b"s3cret".to_vec(),
            identity: Some(Arc::from(&b"s3cret"[..])),
        };
        let text = format!("{credentials:?}");
        assert!(text.contains("canal") && !text.contains("s3cret"), "{text}");
        assert!(!text.contains(&format!("{:?}", b's')), "{text}");
    }
}
