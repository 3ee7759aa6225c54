//! The routes as clients see them, over a real socket.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::process::OPENAPI;
use super::*;
use crate::admin::tests::{Running, TOKEN, asks, running};

#[test]
fn the_description_has_every_route_and_no_other() {
    let description: Value = serde_json::from_str(OPENAPI).unwrap();
    let mut described = BTreeMap::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            described.insert((method.to_uppercase(), path.clone()), operation.clone());
        }
    }
    let routes: BTreeSet<(String, String)> =
        table().iter().map(|one| (one.method.to_string(), one.path.to_owned())).collect();
    assert_eq!(described.keys().cloned().collect::<BTreeSet<_>>(), routes);
    for route in table() {
        let operation = &described[&(route.method.to_string(), route.path.to_owned())];
        let said = operation["description"].as_str().unwrap();
        let wants = match route.need {
            Need::Nobody => "Wants no login.",
            Need::View => "Wants a login.",
            Need::Admin => "Wants the role admin;",
            Need::Machine => "Wants the token of",
        };
        assert!(said.starts_with(wants), "{} {}: {said}", route.method, route.path);
        let named = operation["parameters"].as_array().into_iter().flatten();
        let named = named.filter(|one| one["in"] == "path").count();
        assert_eq!(named, route.path.matches('{').count(), "{}", route.path);
    }
}

#[test]
fn what_the_description_refers_to_is_there() {
    let description: Value = serde_json::from_str(OPENAPI).unwrap();
    let referred = OPENAPI.split("\"#/components/schemas/").skip(1);
    let mut any = false;
    for name in referred.filter_map(|rest| rest.split('"').next()) {
        any = true;
        assert!(description["components"]["schemas"][name].is_object(), "{name}");
    }
    assert!(any);
}

fn line(route: &Route) -> String {
    let path =
        route.path.replace("{instance}", "a").replace("{topic}", "t").replace("{group}", "g");
    format!("{} {path}", route.method)
}

async fn status(running: &Running, line: &str, header: &str) -> (u16, String) {
    asks("127.0.0.1", running.port, line, header).await
}

#[tokio::test]
async fn without_a_login_no_route_answers_and_none_from_another_host_or_page() {
    let running = running().await;
    for route in table() {
        let line = line(&route);
        let expected = if route.need == Need::Nobody { 415 } else { 401 };
        let (found, answer) = status(&running, &line, "a: b").await;
        assert_eq!(found, expected, "{line}");
        assert!(answer.contains("content-security-policy: default-src 'none'"), "{answer}");
        let header = format!("origin: http://evil.example\r\nauthorization: Bearer {TOKEN}");
        assert_eq!(status(&running, &line, &header).await.0, 403, "{line}");
        let header = format!("authorization: Bearer {}", "0".repeat(64));
        assert_eq!(status(&running, &line, &header).await.0, 401, "{line}");
    }
}

#[tokio::test]
async fn a_one_time_link_logs_in_and_its_session_wants_the_csrf_token() {
    let running = running().await;
    let (link, seconds) = running.client.link().await.unwrap();
    assert!(seconds >= 60);
    let (_, secret) = link.split_once("#link=").unwrap();
    let body = format!(r#"{{"link":"{secret}"}}"#);
    let head =
        format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let (code, answer) = status(&running, "POST /api/v1/session", &head).await;
    assert_eq!(code, 200, "{answer}");
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let json: Value = serde_json::from_str(answer.rsplit("\r\n\r\n").next().unwrap()).unwrap();
    let csrf = json["csrf"].as_str().unwrap();
    assert_eq!(json["role"], "admin");
    let cookie = format!("cookie: {cookie}");
    assert_eq!(status(&running, "GET /api/v1/instances", &cookie).await.0, 200);
    assert_eq!(status(&running, "DELETE /api/v1/session", &cookie).await.0, 403);
    let with = format!("{cookie}\r\nx-csrf-token: {csrf}");
    assert_eq!(status(&running, "POST /api/v1/log/backup", &with).await.0, 403, "a session");
    assert_eq!(status(&running, "DELETE /api/v1/session", &with).await.0, 200);
    assert_eq!(status(&running, "GET /api/v1/instances", &cookie).await.0, 401);
    let (code, _) = status(&running, "POST /api/v1/session", &head).await;
    assert_eq!(code, 401, "the link was opened");
}

#[tokio::test]
async fn no_answer_holds_the_token_or_a_secret_of_a_session() {
    let running = running().await;
    running.board.instance("a", 1);
    let header = format!("authorization: Bearer {TOKEN}");
    for route in table() {
        let line = line(&route);
        if line.ends_with("/events") || route.need == Need::Machine || route.method != Method::GET {
            continue;
        }
        let (code, answer) = status(&running, &line, &header).await;
        assert!(code == 200 || code == 503, "{line}: {answer}");
        assert!(!answer.contains(TOKEN), "{line}");
    }
}

#[tokio::test]
async fn a_dry_run_of_a_position_changes_nothing() {
    let mut running = running().await;
    let reporter = running.board.instance("a", 1);
    let position = r#"{"kind":"mysql","file":"binlog.000007","offset":4711,"server_uuid":"u","file_created":1,"event_time":2}"#;
    reporter.position(Some(serde_json::from_str(position).unwrap()));
    for (place, means) in [
        (r#"{"file":"binlog.000007","offset":4000}"#, r#""again_bytes":711"#),
        (r#"{"file":"binlog.000006","offset":4}"#, r#""is_earlier":true"#),
        (r#"{"file":"binlog.1000000","offset":4}"#, r#""is_later":true"#),
    ] {
        let head = format!(
            "authorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{place}",
            place.len()
        );
        let line = "PUT /api/v1/instances/a/position?dry_run=true";
        let (code, answer) = status(&running, line, &head).await;
        assert_eq!(code, 200, "{answer}");
        assert!(answer.contains(means) && answer.contains("stop a first"), "{answer}");
    }
    let header = format!("authorization: Bearer {TOKEN}");
    let line = "DELETE /api/v1/instances/a/position?dry_run=true";
    assert_eq!(status(&running, line, &header).await.0, 200);
    assert!(running.asked.try_recv().is_err(), "nothing was asked");
}

#[tokio::test]
async fn what_changes_is_told_as_it_comes_and_the_end_does_not_wait_for_who_watches() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let running = running().await;
    running.board.instance("a", 1);
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", running.port)).await.unwrap();
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut told = String::new();
    let mut buffer = [0; 4096];
    while !told.contains(r#""name":"a""#) {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "{told}");
        told.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert!(told.contains("text/event-stream"), "{told}");
    running.board.remove("a");
    while !told.contains(r#""gone":["a"]"#) {
        let read = stream.read(&mut buffer).await.unwrap();
        told.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    let begun = std::time::Instant::now();
    running.tasks.cancel();
    assert!(running.tasks.join().await.is_empty());
    assert!(begun.elapsed() < connections::STOP_TIME, "{:?}", begun.elapsed());
}
