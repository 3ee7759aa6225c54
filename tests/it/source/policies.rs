//! What becomes of each type of event that is not applied: a real event is said to be of that
//! type on its way.

use sluice::binlog::{EventHeader, EventType, Policy};
use sluice::mysql::TlsMode;
use sluice::source::{Before, Settings};

use super::{Running, settings};
use crate::harness::proxy::{Fault, Proxy};
use crate::harness::servers::{private_mysql, run};

/// An event that nothing depends on, behind each BEGIN.
const ROWS_QUERY: u8 = 29;
/// No server knows it.
const FUTURE: u8 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn each_event_that_is_not_applied_is_left_out_or_stops_as_its_policy_says() {
    let options = ["--binlog-checksum=NONE", "--binlog-rows-query-log-events=ON"];
    let Some(server) = private_mysql(&options) else { return };
    let mut admin = server.database("policies").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT)").await;
    let proxy = Proxy::to(&server);
    let through = || {
        let mut through: Settings = settings(&server, "policies");
        through.endpoint.port = proxy.port();
        through.endpoint.tls = TlsMode::Disabled;
        through.statements.rows_query = false;
        through
    };
    let (mut left_out, mut stops) = (Vec::new(), Vec::new());
    for code in 1..=u8::MAX {
        match EventType::from(code).policy() {
            Policy::Apply | Policy::Statement => {}
            Policy::Skip(_) => left_out.push((code, 0)),
            Policy::Stop(reason) => stops.push((code, reason)),
            Policy::ByFlag => assert_eq!(EventType::from(code), EventType::Unknown(code)),
        }
    }
    left_out.push((FUTURE, EventHeader::IGNORABLE));
    stops.push((FUTURE, "its type is unknown"));

    let mut source = Running::start(through(), Before::default()).await;
    for (to, flags) in left_out {
        proxy.set(Fault::Retype { from: ROWS_QUERY, to, flags });
        run(&mut admin, "INSERT INTO t VALUES (NULL)").await;
        assert_eq!(source.next().await.texts(), ["+t"], "type {to}");
        assert_eq!(proxy.fault(), Fault::None);
    }
    source.stop().await;
    for (to, reason) in stops {
        let source = Running::start(through(), Before::default()).await;
        proxy.set(Fault::Retype { from: ROWS_QUERY, to, flags: 0 });
        run(&mut admin, "INSERT INTO t VALUES (NULL)").await;
        let error = source.error().await.to_string();
        assert!(error.contains(reason) && error.contains("binlog.0"), "type {to}: {error}");
    }
}
