//! Servers that replicate from each other, by GTID, and an instance that goes to another one.

use sqlx::{MySqlConnection, Row as _};

use super::servers::{Flavor, run};
use super::{PATIENCE, Server, Sluice, wait_for};

/// Waits until the position of the one instance is that server's.
pub(crate) async fn reads_from(sluice: &Sluice, server: &Server) {
    let mut connection = server.connect().await;
    let name = match server.flavor {
        Flavor::MySql => "SELECT @@server_uuid",
        Flavor::MariaDb => "SELECT CONCAT('server-id:', @@server_id)",
    };
    let row = sqlx::raw_sql(name).fetch_one(&mut connection).await.unwrap();
    let word = format!(r#""server_uuid":"{}""#, row.get::<String, _>(0));
    // Something to read, and to be committed behind.
    run(&mut connection, "CREATE DATABASE IF NOT EXISTS turn; DROP DATABASE turn").await;
    wait_for("the other server to be read", PATIENCE, || {
        sluice.health().filter(|(_, body)| {
            assert!(!body.contains(r#""state":"stopped""#), "stopped: {body}");
            body.contains(&word)
        })
    });
}

/// Lets `replica` replicate from `of`, by GTID.
pub(crate) async fn replicate(replica: &Server, of: &Server) {
    let mut connection = replica.connect().await;
    let port = of.port;
    let sql = match replica.flavor {
        Flavor::MySql => format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port},
             SOURCE_USER = 'canal', SOURCE_PASSWORD = 'canal', GET_SOURCE_PUBLIC_KEY = 1,
             SOURCE_AUTO_POSITION = 1; START REPLICA"
        ),
        Flavor::MariaDb => format!(
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port},
             MASTER_USER = 'canal', MASTER_PASSWORD = 'canal', MASTER_USE_GTID = current_pos;
             START SLAVE"
        ),
    };
    run(&mut connection, &sql).await;
}

/// Waits until `replica` has executed what `of` has.
pub(crate) async fn caught_up(replica: &Server, of: &Server) {
    let ask = async |server: &Server, sql: &str| -> String {
        let mut connection: MySqlConnection = server.connect().await;
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).fetch_one(&mut connection).await.unwrap().get(0)
    };
    let (set, wait) = match of.flavor {
        Flavor::MySql => {
            let set = ask(of, "SELECT @@GLOBAL.gtid_executed").await.replace('\n', "");
            (set.clone(), format!("SELECT CAST(WAIT_FOR_EXECUTED_GTID_SET('{set}', 60) AS CHAR)"))
        }
        Flavor::MariaDb => {
            let set = ask(of, "SELECT @@GLOBAL.gtid_binlog_pos").await;
            (set.clone(), format!("SELECT CAST(MASTER_GTID_WAIT('{set}', 60) AS CHAR)"))
        }
    };
    assert_eq!(ask(replica, &wait).await, "0", "{set} does not come to the replica");
}

/// Lets a server replicate from none.
pub(crate) async fn promote(server: &Server) {
    let sql = match server.flavor {
        Flavor::MySql => "STOP REPLICA; RESET REPLICA ALL",
        Flavor::MariaDb => "STOP SLAVE; RESET SLAVE ALL",
    };
    run(&mut server.connect().await, sql).await;
}
