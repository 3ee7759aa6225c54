//! Who is admitted, request by request.

#![expect(clippy::disallowed_methods, reason = "a file of users that is gone with the test")]

use std::time::Duration;

use axum::http::HeaderValue;

use super::*;

const TOKEN: &str = "0123456789abcdef";

struct Asked {
    access: Arc<Access>,
    home: tempfile::TempDir,
}

impl Asked {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("users");
        let access = Access::new(Some(TOKEN.to_owned()), file, &["Cdc.example.com".to_owned()]);
        Self { access: Arc::new(access), home }
    }

    fn write(&self, users: &Users) {
        // As another file, as it is written in earnest.
        let new = self.home.path().join("new");
        std::fs::write(&new, users.text()).unwrap();
        std::fs::rename(new, self.home.path().join("users")).unwrap();
    }

    /// Alice logs in from elsewhere: her session, and its CSRF token.
    async fn log_in(&self) -> (String, String) {
        let peer = Peer(ELSEWHERE.parse().unwrap());
        let password = "correct horse".to_owned();
        let (id, who) = self.access.log_in(peer, "alice", password).await.unwrap();
        let By::Session { csrf, .. } = who.by else { panic!("{who:?}") };
        (id, csrf)
    }

    fn status(
        &self,
        from: &str,
        method: &Method,
        headers: &[(&'static str, &str)],
        need: Need,
    ) -> u16 {
        let mut all = HeaderMap::new();
        all.insert("host", HeaderValue::from_static("127.0.0.1:11112"));
        for (name, value) in headers {
            all.insert(*name, value.parse().unwrap());
        }
        let peer = Peer(from.parse().unwrap());
        match self.access.admit(peer, method, &all, need) {
            Ok(_) => 200,
            Err(refusal) => refusal.status.as_u16(),
        }
    }
}

fn alice(role: Role) -> Users {
    let mut users = Users::default();
    users.set("alice", role, "correct horse", [1; 16]).unwrap();
    users
}

const HERE: &str = "127.0.0.1";
const ELSEWHERE: &str = "10.0.0.9";

#[tokio::test]
async fn loopback_is_no_login_and_the_token_is_none_from_elsewhere() {
    let asked = Asked::new();
    let token = format!("Bearer {TOKEN}");
    let with = [("authorization", &*token)];
    for need in [Need::View, Need::Admin, Need::Machine] {
        assert_eq!(asked.status(HERE, &Method::GET, &[], need), 401, "{need:?}");
        assert_eq!(asked.status(HERE, &Method::POST, &with, need), 200, "{need:?}");
        assert_eq!(asked.status(ELSEWHERE, &Method::POST, &with, need), 401, "{need:?}");
        for wrong in ["Bearer ", "Bearer 0123456789abcdee", "Basic x", TOKEN] {
            let with = [("authorization", wrong)];
            assert_eq!(asked.status(HERE, &Method::POST, &with, need), 401, "{wrong}");
        }
    }
    asked.write(&alice(Role::Admin));
    assert_eq!(asked.status(ELSEWHERE, &Method::POST, &with, Need::View), 401);
}

#[tokio::test]
async fn from_elsewhere_nothing_is_answered_until_there_is_a_user() {
    let asked = Asked::new();
    assert_eq!(asked.status(HERE, &Method::GET, &[], Need::Nobody), 200);
    assert_eq!(asked.status(ELSEWHERE, &Method::GET, &[], Need::Nobody), 401);
    asked.write(&alice(Role::View));
    assert_eq!(asked.status(ELSEWHERE, &Method::GET, &[], Need::Nobody), 200);
    assert_eq!(asked.status(ELSEWHERE, &Method::GET, &[], Need::View), 401);
}

#[tokio::test]
async fn foreign_hosts_and_pages_are_refused_for_every_need() {
    let asked = Asked::new();
    let token = format!("Bearer {TOKEN}");
    for need in [Need::Nobody, Need::View, Need::Admin, Need::Machine] {
        for (host, status) in [
            ("evil.example", 403),
            ("evil.example:11112", 403),
            ("127.0.0.1.evil.example:11112", 403),
            ("localhost:11112", 200),
            ("LOCALHOST", 200),
            ("[::1]:11112", 200),
            ("[::1]", 200),
            ("::1", 200),
            ("10.1.2.3:80", 200),
            ("cdc.example.com:443", 200),
            ("x.cdc.example.com:443", 403),
        ] {
            let headers = [("host", host), ("authorization", &token)];
            assert_eq!(asked.status(HERE, &Method::POST, &headers, need), status, "{host}");
        }
        for (origin, status) in [
            ("http://evil.example", 403),
            ("null", 403),
            ("http://127.0.0.1:3000", 403),
            ("http://127.0.0.1:11112", 200),
            ("https://127.0.0.1:11112", 200),
        ] {
            let headers = [("origin", origin), ("authorization", &*token)];
            assert_eq!(asked.status(HERE, &Method::POST, &headers, need), status, "{origin}");
        }
    }
}

#[tokio::test]
async fn a_stolen_cookie_without_the_csrf_token_changes_nothing() {
    let asked = Asked::new();
    asked.write(&alice(Role::Admin));
    let (id, csrf) = asked.log_in().await;
    let cookie = format!("a=b; sluice_session_11112={id}");
    let with = [("cookie", &*cookie)];
    assert_eq!(asked.status(ELSEWHERE, &Method::GET, &with, Need::Admin), 200);
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        for need in [Need::View, Need::Admin] {
            assert_eq!(asked.status(ELSEWHERE, &method, &with, need), 403);
            for (wrong, status) in [("", 403), (&*"0".repeat(64), 403), (&*csrf, 200)] {
                let with = [("cookie", &*cookie), (CSRF_HEADER, wrong)];
                assert_eq!(asked.status(ELSEWHERE, &method, &with, need), status);
            }
        }
    }
    let with = [("cookie", &*cookie), (CSRF_HEADER, &*csrf)];
    assert_eq!(asked.status(ELSEWHERE, &Method::POST, &with, Need::Machine), 403);
    let other_port = format!("sluice_session_11113={id}");
    let with = [("cookie", &*other_port)];
    assert_eq!(asked.status(ELSEWHERE, &Method::GET, &with, Need::View), 401);
}

#[tokio::test]
async fn a_role_that_is_taken_back_counts_at_once_and_so_does_a_removed_user() {
    let asked = Asked::new();
    asked.write(&alice(Role::Admin));
    let (id, csrf) = asked.log_in().await;
    let cookie = format!("sluice_session_11112={id}");
    let with = [("cookie", &*cookie), (CSRF_HEADER, &*csrf)];
    assert_eq!(asked.status(ELSEWHERE, &Method::POST, &with, Need::Admin), 200);
    asked.write(&alice(Role::View));
    assert_eq!(asked.status(ELSEWHERE, &Method::POST, &with, Need::Admin), 403);
    assert_eq!(asked.status(ELSEWHERE, &Method::GET, &with, Need::View), 200);
    let mut again = Users::default();
    again.set("alice", Role::View, "another password", [1; 16]).unwrap();
    asked.write(&again);
    assert_eq!(asked.status(ELSEWHERE, &Method::GET, &with, Need::View), 401, "a new password");
    asked.write(&alice(Role::View));
    assert_eq!(asked.status(ELSEWHERE, &Method::GET, &with, Need::View), 200);
    let mut bob = Users::default();
    bob.set("bob", Role::Admin, "battery staple", [2; 16]).unwrap();
    asked.write(&bob);
    assert_eq!(asked.status(ELSEWHERE, &Method::GET, &with, Need::View), 401);
    std::fs::write(asked.home.path().join("users"), "nonsense").unwrap();
    assert_eq!(asked.status(ELSEWHERE, &Method::GET, &with, Need::View), 401);
}

#[tokio::test]
async fn wrong_passwords_are_slowed_down_and_the_right_one_is_not_heard_meanwhile() {
    let asked = Asked::new();
    asked.write(&alice(Role::Admin));
    let peer = Peer(ELSEWHERE.parse().unwrap());
    let mut statuses = Vec::new();
    for _ in 0..20 {
        let answer = asked.access.log_in(peer, "alice", "wrong password".to_owned()).await;
        statuses.push(answer.unwrap_err().status.as_u16());
    }
    assert_eq!(statuses[0], 401);
    assert!(statuses.contains(&429), "{statuses:?}");
    let right = asked.access.log_in(peer, "alice", "correct horse".to_owned()).await;
    let refusal = right.unwrap_err();
    assert_eq!(refusal.status.as_u16(), 429);
    assert!(refusal.wait.is_some_and(|wait| wait > Duration::ZERO));
    let neighbour = Peer("10.0.0.10".parse().unwrap());
    assert!(asked.access.log_in(neighbour, "alice", "correct horse".to_owned()).await.is_ok());
}

#[tokio::test]
async fn a_link_begins_one_session() {
    let asked = Asked::new();
    let (link, _) = asked.access.link().unwrap();
    let peer = Peer(HERE.parse().unwrap());
    assert!(asked.access.open_link(peer, "guessed").is_err());
    let (_, who) = asked.access.open_link(peer, &link).unwrap();
    assert_eq!((who.role, &*who.name()), (Role::Admin, "a one-time link"));
    assert_eq!(asked.access.open_link(peer, &link).unwrap_err().status.as_u16(), 401);
}
