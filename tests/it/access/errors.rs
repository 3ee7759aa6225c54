//! What a server refuses a connection with, made by real servers: whether it is tried again, and
//! what the user is told to do.

use std::time::Duration;

use sluice::mysql::replica::{Replica, ReplicaSettings};
use sluice::mysql::{Endpoint, Error, Session, TlsMode};

use super::both;
use crate::harness::Server;
use crate::harness::servers::{self, Flavor, run};

/// Another address of this machine than the one that is called localhost.
const ELSEWHERE: &str = "127.0.0.2";

/// A situation: how it is made, how it ends, and what it leads to.
struct Case {
    make: &'static str,
    end: &'static str,
    user: &'static str,
    /// MySQL's and MariaDB's; 0: the words count.
    code: [u16; 2],
    is_transient: bool,
    says: &'static str,
}

const CASES: &[Case] = &[
    Case {
        make: "CREATE USER u1@'%' IDENTIFIED BY 'u1'; ALTER USER u1@'%' ACCOUNT LOCK",
        end: "",
        user: "u1",
        code: [3118, 4151],
        is_transient: false,
        says: "ACCOUNT UNLOCK",
    },
    Case {
        make: "CREATE USER u2@'%' IDENTIFIED BY 'u2' PASSWORD EXPIRE",
        end: "",
        user: "u2",
        code: [1862, 1862],
        is_transient: false,
        says: "the password has expired",
    },
    Case {
        // MySQL may ask an account that it does not have for a method that is not known here.
        make: "CREATE USER u3@'10.9.8.7' IDENTIFIED BY 'u3'",
        end: "",
        user: "u3",
        code: [0, 1045],
        is_transient: false,
        says: "allowed in from this machine",
    },
    Case {
        make: "CREATE USER u4@'%' IDENTIFIED BY 'u4' WITH MAX_CONNECTIONS_PER_HOUR 1",
        end: "DROP USER u4@'%'",
        user: "u4",
        code: [1226, 1226],
        is_transient: true,
        says: "max_connections_per_hour",
    },
];

const OF_MYSQL: &[Case] = &[
    // MariaDB answers with 1045, as to an account that demands TLS.
    Case {
        make: "SET GLOBAL require_secure_transport = ON",
        end: "SET GLOBAL require_secure_transport = OFF",
        user: "canal",
        code: [3159, 0],
        is_transient: false,
        says: "sslMode",
    },
    Case {
        make: "SET GLOBAL offline_mode = ON",
        end: "SET GLOBAL offline_mode = OFF",
        user: "canal",
        code: [3032, 0],
        is_transient: true,
        says: "offline mode",
    },
    Case {
        make: "CREATE USER u5@'%' IDENTIFIED BY 'other' FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME UNBOUNDED",
        end: "",
        user: "u5",
        code: [3955, 0],
        is_transient: false,
        says: "too many wrong passwords",
    },
];

const OF_MARIADB: &[Case] = &[Case {
    make: "SET GLOBAL max_password_errors = 1; CREATE USER u6@'%' IDENTIFIED BY 'other'",
    end: "",
    user: "u6",
    code: [0, 4150],
    is_transient: false,
    says: "too many wrong passwords",
}];

fn account(server: &Server, user: &str) -> Endpoint {
    Endpoint::new(&server.host, server.port, user, user)
}

fn assert_is(error: &Error, code: u16, is_transient: bool, says: &str) {
    let text = format!("{error}; {}", error.advice());
    assert!(code == 0 || error.code() == Some(code), "{text}");
    assert_eq!(error.is_transient(), is_transient, "{text}");
    assert!(text.contains(says), "{text}");
}

#[tokio::test]
async fn each_refusal_of_a_real_server_is_tried_again_or_says_what_to_do() {
    for server in private_servers() {
        let flavor = server.flavor;
        let own = if flavor == Flavor::MySql { OF_MYSQL } else { OF_MARIADB };
        let mut admin = server.connect().await;
        for case in CASES.iter().chain(own) {
            run(&mut admin, case.make).await;
            let endpoint = account(&server, case.user);
            // The first may come in, or be the one too many.
            let _ = Session::connect(&endpoint).await;
            let code = case.code[usize::from(flavor == Flavor::MariaDb)];
            for ended in both(&endpoint).await {
                let error = ended.expect_err(case.make);
                assert_is(&error, code, case.is_transient, case.says);
            }
            if !case.end.is_empty() {
                run(&mut admin, case.end).await;
            }
        }
        if flavor == Flavor::MySql {
            full(&server).await;
            without_rights(&server).await;
            unknown_host(&server).await;
        }
    }
}

fn private_servers() -> impl Iterator<Item = Server> {
    let options =
        ["--bind-address=0.0.0.0", "--max-connect-errors=1", "--disconnect-on-expired-password=ON"];
    let mysql = servers::private_mysql(&options);
    mysql.into_iter().chain(servers::private_mariadb(&options))
}

/// No connection is left, for all or for one.
async fn full(server: &Server) {
    let mut admin = server.connect().await;
    let endpoint = account(server, "canal");
    run(&mut admin, "SET GLOBAL max_user_connections = 3").await;
    let mut held = vec![Session::connect(&endpoint).await.unwrap()];
    for (setting, code) in [("", 1203), ("max_connections = 12", 1040)] {
        if !setting.is_empty() {
            run(&mut admin, "SET GLOBAL max_user_connections = 0").await;
            run(&mut admin, &format!("SET GLOBAL {setting}")).await;
        }
        let error = loop {
            match Session::connect(&endpoint).await {
                Ok(session) if held.len() < 20 => held.push(session),
                ended => break ended.expect_err("the limit"),
            }
        };
        assert_is(&error, code, true, "connections");
        let error = both(&endpoint).await.into_iter().next_back().unwrap().unwrap_err();
        assert_is(&error, code, true, "connections");
    }
    for session in held {
        session.close().await;
    }
    run(&mut admin, "SET GLOBAL max_connections = 151").await;
}

/// The login is good, the account may not replicate.
async fn without_rights(server: &Server) {
    let mut admin = server.connect().await;
    run(&mut admin, "CREATE USER poor@'%' IDENTIFIED BY 'poor'").await;
    let settings = ReplicaSettings {
        server_id: 7700,
        uuid: "7f1c8e6a-0000-4000-8000-000000007700".to_owned(),
        heartbeat: Duration::from_secs(1),
        read_timeout: Duration::from_secs(30),
        first_event_timeout: Duration::from_secs(30),
    };
    let error = Replica::connect(&account(server, "poor"), settings).await.err().unwrap();
    let code = error.code().unwrap();
    assert_is(&error, code, false, "GRANT SELECT, REPLICATION SLAVE");
}

/// The server wants nothing of this host.
async fn unknown_host(server: &Server) {
    let mut admin = server.connect().await;
    let mut endpoint = account(server, "canal");
    ELSEWHERE.clone_into(&mut endpoint.host);
    run(&mut admin, "DROP USER canal@'%', root@'%', u1@'%', u2@'%', poor@'%'").await;
    run(&mut admin, "DROP USER IF EXISTS u5@'%'; DROP USER IF EXISTS u6@'%'").await;
    // It may ask for a method that is not known here instead of answering 1130.
    let code = 0;
    for mode in [TlsMode::Disabled, TlsMode::Required] {
        endpoint.tls = mode;
        for ended in both(&endpoint).await {
            assert_is(&ended.unwrap_err(), code, false, "this machine");
        }
    }
}
