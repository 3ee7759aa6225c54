//! The attempts that one connect may take, in both kinds of connections alike: which
//! credentials, with TLS or without.
//!
//! In: an endpoint, and how each attempt ended. Out: the next attempt, or the error that the
//! user gets. A step function: who connects does the connecting.
//!
//! - PREFERRED: if TLS cannot be had, once more without it.
//! - Refused over a plain connection: once more over TLS, only to find out whether the account
//!   demands it. A server says the same to that as to a wrong password (`acl_authenticate`,
//!   sql/auth/sql_authentication.cc: `acl_check_ssl` fails with `ER_ACCESS_DENIED_ERROR`).

use super::error::ACCESS_DENIED;
use super::{Credentials, Endpoint, Error, TlsMode};

/// One attempt: what is presented to whom, and over what.
#[derive(Clone, Copy)]
pub(super) struct Login<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) credentials: &'a Credentials,
    /// Whether the connection is to be encrypted.
    pub(super) encrypted: bool,
}

impl Login<'_> {
    /// The same server in a message.
    pub(super) fn address(&self) -> String {
        self.endpoint.address()
    }

    /// It asks for a method that is not known here. MySQL asks accounts that it does not have for
    /// one of three by chance, so that nobody learns which it has (`decoy_user`,
    /// sql/auth/sql_authentication.cc).
    pub(super) fn refuse_method(&self, name: &str) -> Error {
        if name == "sha256_password" {
            return self.refuse(
                "the server asks for the method `sha256_password`, which is not supported: give \
                 the account caching_sha2_password; MySQL asks so also in the name of accounts \
                 that it does not have, so look whether it has this one, allowed in from this \
                 machine",
            );
        }
        self.refuse(&format!(
            "the server asks for the method `{name}`, which is not supported; \
             give the account caching_sha2_password, or mysql_native_password on MariaDB"
        ))
    }

    /// It asks for the password itself over a plain connection.
    pub(super) fn refuse_clear_text(&self) -> Error {
        self.refuse(
            "the server asks for the method `mysql_clear_password`, which shows the password to \
             whoever listens; set canal.instance.master.sslMode to REQUIRED",
        )
    }

    pub(super) fn refuse(&self, reason: &str) -> Error {
        Error::Authentication {
            address: self.address(),
            user: self.credentials.user.clone(),
            reason: reason.to_owned(),
        }
    }

    /// What an error of the server means before anybody is let in.
    pub(super) fn refusal(&self, code: u16, message: String, what: &'static str) -> Error {
        Error::refusal(self, code, message, what)
    }
}

/// What the attempt that is under way is for.
enum Stage {
    /// As the mode has it.
    First,
    /// Without TLS, which could not be had for this reason.
    Plain { no_tls: String },
    /// Over TLS, to find out why a plain one was refused.
    FindOut { refusal: Box<Error> },
}

/// The attempts of one connect.
pub(super) struct Attempts<'a> {
    endpoint: &'a Endpoint,
    credentials: Credentials,
    stage: Stage,
}

impl<'a> Attempts<'a> {
    /// Asks for the credentials.
    pub(super) async fn at(endpoint: &'a Endpoint) -> Result<Self, Error> {
        let credentials = match &endpoint.ask {
            None => Credentials {
                user: endpoint.user.clone(),
                password: endpoint.password.clone(),
                ..Credentials::default()
            },
            Some(ask) => ask
                .answer()
                .await
                .map_err(|reason| Error::Credentials { address: endpoint.address(), reason })?,
        };
        Ok(Self { endpoint, credentials, stage: Stage::First })
    }

    /// The attempt to make now.
    pub(super) fn login(&self) -> Login<'_> {
        let encrypted = match self.stage {
            Stage::First => self.endpoint.tls != TlsMode::Disabled,
            Stage::Plain { .. } => false,
            Stage::FindOut { .. } => true,
        };
        Login { endpoint: self.endpoint, credentials: &self.credentials, encrypted }
    }

    /// It came in; an error if it was only to find out.
    pub(super) fn came_in<T>(self, connection: T) -> Result<T, Error> {
        match self.stage {
            Stage::First | Stage::Plain { .. } => Ok(connection),
            Stage::FindOut { .. } => Err(Error::TlsDemanded {
                address: self.endpoint.address(),
                user: self.credentials.user,
            }),
        }
    }

    /// It failed: an error if no other attempt makes sense.
    pub(super) fn failed(self, error: Error) -> Result<Self, Error> {
        let Self { endpoint, credentials, stage } = self;
        let next = |stage| Ok(Self { endpoint, credentials, stage });
        match (stage, error) {
            (Stage::First, Error::Tls { reason, .. }) if endpoint.tls == TlsMode::Preferred => {
                next(Stage::Plain { no_tls: reason })
            }
            (Stage::First, error)
                if endpoint.tls == TlsMode::Disabled && error.code() == Some(ACCESS_DENIED) =>
            {
                next(Stage::FindOut { refusal: Box::new(error) })
            }
            // Both reasons: the account may demand the TLS that could not be had.
            (Stage::Plain { no_tls }, error) => Err(match error {
                Error::Denied { address, user, code, message, without_certificate, rotates } => {
                    let message = format!("{message} (over a plain connection: {no_tls})");
                    Error::Denied { address, user, code, message, without_certificate, rotates }
                }
                other => other,
            }),
            (Stage::FindOut { refusal }, _) => Err(*refusal),
            (Stage::First, error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls() -> Error {
        Error::Tls { address: "db:3306".to_owned(), reason: "too old".to_owned() }
    }

    fn denied(attempts: &Attempts<'_>) -> Error {
        attempts.login().refusal(ACCESS_DENIED, "Access denied".to_owned(), "the login")
    }

    /// What each mode tries, as a letter an attempt: `s` inside TLS, `p` plain.
    async fn tries(mode: TlsMode, fail: fn(&Attempts<'_>) -> Error) -> (String, Error) {
        let mut endpoint = Endpoint::new("db", 3306, "canal", "x");
        endpoint.tls = mode;
        let mut attempts = Attempts::at(&endpoint).await.unwrap();
        let mut tried = String::new();
        loop {
            tried.push(if attempts.login().encrypted { 's' } else { 'p' });
            let error = fail(&attempts);
            match attempts.failed(error) {
                Ok(next) => attempts = next,
                Err(error) => return (tried, error),
            }
        }
    }

    #[tokio::test]
    async fn only_preferred_falls_back_and_only_disabled_finds_out() {
        let modes = [
            (TlsMode::Disabled, "p", "ps"),
            (TlsMode::Preferred, "sp", "s"),
            (TlsMode::Required, "s", "s"),
            (TlsMode::VerifyCa, "s", "s"),
            (TlsMode::VerifyIdentity, "s", "s"),
        ];
        for (mode, without_tls, with_a_wrong_password) in modes {
            assert_eq!(tries(mode, |_| tls()).await.0, without_tls, "{mode:?}");
            let (tried, error) = tries(mode, denied).await;
            assert_eq!(tried, with_a_wrong_password, "{mode:?}");
            assert!(matches!(error, Error::Denied { .. }), "{error:?}");
        }
        let both = |attempts: &Attempts<'_>| {
            if attempts.login().encrypted { tls() } else { denied(attempts) }
        };
        let (_, error) = tries(TlsMode::Preferred, both).await;
        assert!(error.to_string().contains("too old"), "{error}");
    }

    #[tokio::test]
    async fn who_comes_in_over_tls_only_is_told_so() {
        let endpoint = Endpoint::new("db", 3306, "canal", "x");
        let attempts = Attempts::at(&endpoint).await.unwrap();
        let error = denied(&attempts);
        let error = attempts.failed(error).ok().unwrap().came_in(()).unwrap_err();
        assert!(error.to_string().contains("sslMode to REQUIRED"), "{error}");
    }
}
