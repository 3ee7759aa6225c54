//! TLS as the endpoint demands it, for both kinds of connections: one table of what is looked
//! at, and what a failed handshake means in words.
//!
//! Modes and what they look at are those of MySQL's own clients (`--ssl-mode`): REQUIRED looks
//! at nothing, VERIFY_CA at who signed the server's certificate, VERIFY_IDENTITY also at whom it
//! is for: the names in it (SAN), its common name if there are none, an address among its
//! addresses. Versions of TLS are those that OpenSSL allows.

use mysql_async::{ClientIdentity, SslOpts};
use tokio_native_tls::native_tls::{self, Certificate, Identity, TlsConnector};

use super::attempts::Login;
use super::{Error, TlsMode};

/// The password of the archive that holds our identity: it never leaves the process.
const NONE: &str = "";

/// What is looked at.
struct Demands {
    signature: bool,
    name: bool,
}

fn demands(mode: TlsMode) -> Demands {
    match mode {
        // Who may do without TLS may do without certificates; and who finds out whether an
        // account demands TLS was ready to do without.
        TlsMode::Disabled | TlsMode::Preferred | TlsMode::Required => {
            Demands { signature: false, name: false }
        }
        TlsMode::VerifyCa => Demands { signature: true, name: false },
        TlsMode::VerifyIdentity => Demands { signature: true, name: true },
    }
}

/// For the dump connection.
pub(super) fn connector(login: &Login<'_>) -> Result<TlsConnector, Error> {
    let build = || -> native_tls::Result<TlsConnector> {
        let demands = demands(login.endpoint.tls);
        let mut builder = TlsConnector::builder();
        builder
            .danger_accept_invalid_certs(!demands.signature)
            .danger_accept_invalid_hostnames(!demands.name);
        let authorities = &login.credentials.authorities;
        if !authorities.is_empty() {
            builder.disable_built_in_roots(true);
            for certificate in Certificate::stack_from_pem(authorities)? {
                builder.add_root_certificate(certificate);
            }
        }
        if let Some(archive) = &login.credentials.identity {
            builder.identity(Identity::from_pkcs12(archive, NONE)?);
        }
        builder.build()
    };
    build().map_err(|error| failure(login, &error.to_string()))
}

/// For query sessions.
pub(super) fn options(login: &Login<'_>) -> SslOpts {
    let demands = demands(login.endpoint.tls);
    let authorities = &login.credentials.authorities;
    let identity = login
        .credentials
        .identity
        .as_ref()
        .map(|archive| ClientIdentity::new(archive.to_vec().into()).with_password(NONE));
    let roots = if authorities.is_empty() { vec![] } else { vec![authorities.clone().into()] };
    SslOpts::default()
        .with_danger_accept_invalid_certs(!demands.signature)
        .with_danger_skip_domain_validation(!demands.name)
        .with_disable_built_in_roots(!authorities.is_empty())
        .with_root_certs(roots)
        .with_client_identity(identity)
}

/// The server cannot do it.
pub(super) fn not_offered(login: &Login<'_>) -> Error {
    Error::Tls {
        address: login.address(),
        reason: "the server does not offer it; set canal.instance.master.sslMode to DISABLED, \
                 or TLS up there"
            .to_owned(),
    }
}

/// A handshake that failed, in words and in OpenSSL's.
pub(super) fn failure(login: &Login<'_>, openssl: &str) -> Error {
    const STORE: &str = "canal.instance.master.trustCertificateKeyStoreUrl";
    let host = &login.endpoint.host;
    let says = |words: &str| openssl.contains(words);
    let words = if says("ostname mismatch") || says("IP address mismatch") {
        format!(
            "its certificate is not for `{host}`; connect by a name that it has, give it one \
             (subjectAltName), or set sslMode to VERIFY_CA"
        )
    } else if says("certificate has expired") {
        "its certificate, or that of its authority, has expired; renew it".to_owned()
    } else if says("not yet valid") {
        "its certificate is not valid yet; look at the clocks".to_owned()
    } else if says("self-signed")
        || says("self signed")
        || says("local issuer")
        || says("signature failure")
    {
        let authorities = if login.credentials.authorities.is_empty() {
            "the system trusts".to_owned()
        } else {
            format!("{STORE} holds")
        };
        format!(
            "its certificate is signed by no authority that {authorities}; \
             set {STORE} to the certificate of its authority (MySQL's own: ca.pem)"
        )
    } else if is_alert_about_us(openssl) {
        OUR_CERTIFICATE.to_owned()
    } else if says("unsupported protocol") || says("protocol version") || says("wrong version") {
        "the server's versions of TLS are too old for this machine's OpenSSL".to_owned()
    } else {
        return Error::Tls { address: login.address(), reason: openssl.to_owned() };
    };
    Error::Tls { address: login.address(), reason: format!("{words} ({openssl})") }
}

const OUR_CERTIFICATE: &str = "the server refuses our certificate; \
    set canal.instance.master.clientCertificateKeyStoreUrl to one that its authority signed";

/// Whether the server let us know, by an alert, what it thinks of our certificate. In TLS 1.3 that
/// comes behind the handshake, as an error of the first read.
fn is_alert_about_us(openssl: &str) -> bool {
    let about = [
        "unknown ca",
        "bad certificate",
        "certificate required",
        "certificate expired",
        "certificate unknown",
        "unsupported certificate",
        "decrypt error",
    ];
    openssl.contains("alert") && about.iter().any(|words| openssl.contains(words))
}

/// A connection that was lost on the way in, with our certificate presented. The alert about it is
/// heard if it comes before the next packet is sent; else the connection is only lost.
pub(super) fn lost_on_the_way_in(login: &Login<'_>, error: Error) -> Error {
    if !login.encrypted || login.credentials.identity.is_none() {
        return error;
    }
    let reason = match error {
        Error::Lost { reason, .. } => reason,
        Error::Connect { source, .. } => source.to_string(),
        other => return other,
    };
    if is_alert_about_us(&reason) {
        return failure(login, &reason);
    }
    let reason = format!("{reason}; if that stays so, {OUR_CERTIFICATE}");
    Error::Lost { address: login.address(), what: "logging in", reason }
}
