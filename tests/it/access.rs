//! Who is let in, over what, and what is said to who is not: by both kinds of connections, which
//! must answer alike.

mod certificates;
mod clear_text;
mod errors;
mod secrets;

use std::path::Path;

use sluice::mysql::replica::{Replica, ReplicaSettings};
use sluice::mysql::{Ask, Credentials, Endpoint, Error, Session, TlsMode};
use tempfile::TempDir;

use crate::harness::Server;
use crate::harness::servers::{self, run};
use certificates::{Authority, Kind, Pair};

const MODES: [TlsMode; 5] = [
    TlsMode::Disabled,
    TlsMode::Preferred,
    TlsMode::Required,
    TlsMode::VerifyCa,
    TlsMode::VerifyIdentity,
];

/// How the two kinds of connections ended: encrypted or not, or why not.
async fn both(endpoint: &Endpoint) -> [Result<bool, Error>; 2] {
    let settings = ReplicaSettings {
        server_id: 0,
        uuid: String::new(),
        heartbeat: std::time::Duration::from_secs(1),
        read_timeout: std::time::Duration::from_secs(30),
        first_event_timeout: std::time::Duration::from_secs(30),
    };
    let session = match Session::connect(endpoint).await {
        Ok(mut session) => {
            let cipher = session.query("SHOW SESSION STATUS LIKE 'Ssl_cipher'").await.unwrap();
            Ok(cipher.first().and_then(|row| row.text_at(1)).is_some_and(|name| !name.is_empty()))
        }
        Err(error) => Err(error),
    };
    let replica = Replica::connect(endpoint, settings).await;
    [session, replica.map(|replica| replica.is_encrypted())]
}

/// Asserts that both ended alike: encrypted or not, or with an error that says so.
async fn expect(endpoint: &Endpoint, awaited: Result<bool, &str>, what: &str) {
    for (ended, which) in both(endpoint).await.into_iter().zip(["session", "dump"]) {
        match (ended, awaited) {
            (Ok(encrypted), Ok(awaited)) => assert_eq!(encrypted, awaited, "{what}, {which}"),
            (Err(error), Err(words)) => {
                let text = error.to_string();
                assert!(text.contains(words), "{what}, {which}: {text}");
                assert!(!text.contains("wrong-password"), "{text}");
            }
            (ended, awaited) => panic!("{what}, {which}: {ended:?}, awaited {awaited:?}"),
        }
    }
}

/// An endpoint whose credentials are asked for.
fn endpoint(server: &Server, user: &str, mode: TlsMode, presented: &Presented<'_>) -> Endpoint {
    let mut endpoint = Endpoint::new("localhost", server.port, user, user);
    endpoint.tls = mode;
    let credentials = Credentials {
        user: user.to_owned(),
        password: user.to_owned(),
        authorities: presented.authority.map(Authority::pem).unwrap_or_default(),
        identity: presented.identity.map(|pair| pair.archive().into()),
    };
    endpoint.ask = Some(Ask::new(move || {
        let credentials = credentials.clone();
        Box::pin(async move { Ok(credentials) })
    }));
    endpoint
}

/// What is presented beside the password.
#[derive(Default)]
struct Presented<'a> {
    authority: Option<&'a Authority>,
    identity: Option<&'a Pair>,
}

/// A server with certificates of ours, and what makes it take others while it runs.
struct Certified {
    server: Server,
    folder: TempDir,
    reload: &'static str,
}

impl Certified {
    fn mysql(authority: &Authority) -> Option<Self> {
        Self::start(authority, servers::private_mysql, "ALTER INSTANCE RELOAD TLS")
    }

    fn mariadb(authority: &Authority) -> Option<Self> {
        Self::start(authority, servers::private_mariadb, "FLUSH SSL")
    }

    fn start(
        authority: &Authority,
        server: impl Fn(&[&str]) -> Option<Server>,
        reload: &'static str,
    ) -> Option<Self> {
        let folder = TempDir::with_prefix("sluice-tls-").unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        authority.sign(Kind::Named).write(folder.path());
        let option = |name: &str, file: &str| format!("--{name}={}", in_folder(&folder, file));
        let options = [
            option("ssl-ca", "ca.pem"),
            option("ssl-cert", "cert.pem"),
            option("ssl-key", "key.pem"),
        ];
        let server = server(&options.each_ref().map(String::as_str))?;
        Some(Self { server, folder, reload })
    }

    /// MySQL takes no certificate that its own authority did not sign.
    async fn show(&self, authority: &Authority, kind: Kind) {
        std::fs::write(self.folder.path().join("ca.pem"), authority.pem()).unwrap();
        authority.sign(kind).write(self.folder.path());
        let mut admin = self.server.connect().await;
        run(&mut admin, self.reload).await;
    }
}

fn in_folder(folder: &TempDir, file: &str) -> String {
    Path::display(&folder.path().join(file)).to_string()
}

#[tokio::test]
async fn each_mode_looks_at_what_it_says_in_both_connections() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let unknown = Err("signed by no authority");
    // The certificate, and what VERIFY_CA and VERIFY_IDENTITY make of it.
    let certificates = [
        (&ours, Kind::Version1, Ok(true), Ok(true)),
        (&ours, Kind::CommonName, Ok(true), Ok(true)),
        (&ours, Kind::Named, Ok(true), Ok(true)),
        (&ours, Kind::NamedOtherwise, Ok(true), Err("not for `localhost`")),
        (&ours, Kind::Expired, Err("expired"), Err("expired")),
        (&other, Kind::Named, unknown, unknown),
    ];
    for server in [Certified::mysql(&ours), Certified::mariadb(&ours)].into_iter().flatten() {
        for (authority, kind, by_authority, by_identity) in certificates {
            server.show(authority, kind).await;
            if kind == Kind::Expired {
                tokio::time::sleep(certificates::SHORT).await;
            }
            for mode in MODES {
                let awaited = match mode {
                    TlsMode::Disabled => Ok(false),
                    TlsMode::Preferred | TlsMode::Required => Ok(true),
                    TlsMode::VerifyCa => by_authority,
                    TlsMode::VerifyIdentity => by_identity,
                };
                let presented = Presented { authority: Some(&ours), identity: None };
                let endpoint = endpoint(&server.server, "canal", mode, &presented);
                let what = format!("{:?}, {kind:?}, {mode:?}", server.server.flavor);
                expect(&endpoint, awaited, &what).await;
            }
        }
        // Without a store it is the system's authorities that count.
        server.show(&ours, Kind::Named).await;
        let endpoint = endpoint(&server.server, "canal", TlsMode::VerifyCa, &Presented::default());
        expect(&endpoint, Err("the system trusts"), "without a store").await;
    }
}

#[tokio::test]
async fn what_an_account_demands_is_met_or_reported() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (mine, foreign) = (ours.sign(Kind::Named), other.sign(Kind::Named));
    for server in [Certified::mysql(&ours), Certified::mariadb(&ours)].into_iter().flatten() {
        let mut admin = server.server.connect().await;
        for (user, demand) in [("by_tls", "SSL"), ("by_cert", "X509")] {
            let account = format!("CREATE USER {user}@'%' IDENTIFIED BY '{user}' REQUIRE {demand}");
            run(&mut admin, &account).await;
            let rights = format!("GRANT REPLICATION SLAVE ON *.* TO {user}@'%'");
            run(&mut admin, &rights).await;
        }
        let demands_tls = Err("over TLS only");
        let nothing = Presented::default();
        let with_ours = Presented { authority: None, identity: Some(&mine) };
        let with_other = Presented { authority: None, identity: Some(&foreign) };
        let cases = [
            ("by_tls", TlsMode::Disabled, &nothing, demands_tls),
            ("by_tls", TlsMode::Preferred, &nothing, Ok(true)),
            ("by_tls", TlsMode::Required, &nothing, Ok(true)),
            ("by_cert", TlsMode::Disabled, &nothing, Err("refuses user `by_cert`")),
            ("by_cert", TlsMode::Disabled, &with_ours, demands_tls),
            ("by_cert", TlsMode::Required, &nothing, Err("REQUIRE X509")),
            ("by_cert", TlsMode::Required, &with_ours, Ok(true)),
            ("by_cert", TlsMode::Required, &with_other, Err("the server refuses our certificate")),
            ("canal", TlsMode::Disabled, &nothing, Ok(false)),
        ];
        for (user, mode, presented, awaited) in cases {
            let endpoint = endpoint(&server.server, user, mode, presented);
            let what = format!("{:?}, {user}, {mode:?}", server.server.flavor);
            expect(&endpoint, awaited, &what).await;
        }
        let mut wrong = Endpoint::new("localhost", server.server.port, "by_tls", "wrong-password");
        for mode in [TlsMode::Disabled, TlsMode::Required] {
            wrong.tls = mode;
            expect(&wrong, Err("set canal.instance.dbUsername"), "a wrong password").await;
        }
        run(&mut admin, "SET GLOBAL require_secure_transport = ON").await;
        let endpoint = endpoint(&server.server, "canal", TlsMode::Disabled, &nothing);
        expect(&endpoint, demands_tls, "require_secure_transport").await;
    }
}

#[tokio::test]
async fn preferred_does_without_where_a_server_has_no_tls() {
    let servers = [
        servers::private_mysql(&["--tls-version="]),
        servers::private_mariadb(&["--skip-ssl"]),
        servers::private_mysql_56(&[]),
    ];
    for server in servers.into_iter().flatten() {
        for mode in MODES {
            let awaited = match mode {
                TlsMode::Disabled | TlsMode::Preferred => Ok(false),
                _ => Err("does not offer it"),
            };
            let endpoint = endpoint(&server, "canal", mode, &Presented::default());
            expect(&endpoint, awaited, &format!("{:?}, {mode:?}", server.flavor)).await;
        }
    }
}
