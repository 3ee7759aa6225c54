//! Who is logged in: sessions of browsers, and the one-time links that begin one.
//!
//! Kept in memory: a restart ends them all. Always: their number is bounded, the oldest gives way;
//! a link serves once.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::users::{Role, User};

/// A session ends so long after its begin, and after its last request.
const LONGEST: Duration = Duration::from_hours(12);
const IDLE: Duration = Duration::from_hours(2);
/// A link has to be opened within this time.
pub(super) const LINK_TIME: Duration = Duration::from_mins(5);
/// As many there are at most.
const MOST_SESSIONS: usize = 1000;
const MOST_LINKS: usize = 100;

/// A browser that has logged in.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// The user, as he was then; none: who opened a one-time link.
    pub(super) user: Option<(String, User)>,
    pub(super) role: Role,
    /// What each change has to bring, so that no other page can make the browser send it.
    pub(super) csrf: String,
    begun: Instant,
    used: Instant,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now - self.begun >= LONGEST || now - self.used >= IDLE
    }
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    sessions: HashMap<String, Session>,
    links: HashMap<String, Instant>,
}

impl Sessions {
    /// Begins a session under a name that nobody can guess.
    pub(super) fn begin(
        &mut self,
        id: String,
        csrf: String,
        user: Option<(String, User)>,
        role: Role,
        now: Instant,
    ) {
        self.sessions.retain(|_, session| !session.is_over(now));
        if self.sessions.len() >= MOST_SESSIONS {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.used);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                self.sessions.remove(&oldest);
            }
        }
        self.sessions.insert(id, Session { user, role, csrf, begun: now, used: now });
    }

    /// The session of that name, which is used now.
    pub(super) fn find(&mut self, id: &str, now: Instant) -> Option<Session> {
        let session = self.sessions.get_mut(id)?;
        if session.is_over(now) {
            self.sessions.remove(id);
            return None;
        }
        session.used = now;
        Some(session.clone())
    }

    /// Ends a session.
    pub(super) fn end(&mut self, id: &str) {
        self.sessions.remove(id);
    }

    /// Makes a link.
    pub(super) fn link(&mut self, link: String, now: Instant) {
        self.links.retain(|_, made| now - *made < LINK_TIME);
        if self.links.len() >= MOST_LINKS {
            self.links.clear();
        }
        self.links.insert(link, now);
    }

    /// Whether that is a link, which then is one no more.
    pub(super) fn redeem(&mut self, link: &str, now: Instant) -> bool {
        self.links.remove(link).is_some_and(|made| now - made < LINK_TIME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_by_idleness_and_by_age() {
        let mut sessions = Sessions::default();
        let begin = Instant::now();
        let mut now = begin;
        sessions.begin("a".to_owned(), "c".to_owned(), None, Role::Admin, now);
        while now - begin + IDLE / 2 < LONGEST {
            now += IDLE / 2;
            assert!(sessions.find("a", now).is_some());
        }
        assert!(sessions.find("a", begin + LONGEST).is_none(), "by age");
        sessions.begin("b".to_owned(), "c".to_owned(), None, Role::Admin, now);
        assert!(sessions.find("b", now + IDLE).is_none(), "by idleness");
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_serves_once_and_not_for_long() {
        let mut sessions = Sessions::default();
        let now = Instant::now();
        sessions.link("l".to_owned(), now);
        sessions.link("late".to_owned(), now);
        assert!(!sessions.redeem("other", now));
        assert!(sessions.redeem("l", now) && !sessions.redeem("l", now));
        assert!(!sessions.redeem("late", now + LINK_TIME));
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_are_bounded_and_the_oldest_gives_way() {
        let mut sessions = Sessions::default();
        let now = Instant::now();
        for number in 0..1010_u32 {
            let at = now + Duration::from_millis(number.into());
            sessions.begin(number.to_string(), String::new(), None, Role::View, at);
        }
        assert_eq!(sessions.sessions.len(), MOST_SESSIONS);
        let later = now + Duration::from_secs(9);
        assert!(sessions.find("0", later).is_none() && sessions.find("1009", later).is_some());
    }
}
