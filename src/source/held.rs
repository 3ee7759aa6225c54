//! The XA branches that are held where the source is positioned, and what the server says of them.
//!
//! In: what was held at a committed position, what each transaction does to a branch, and where the
//! account may ask for it (XA_RECOVER_ADMIN on MySQL from 8.0 on) what is prepared on the server
//! when it is connected to. Out: which are held, and since where all of them are; for whoever
//! watches, which of them the server does not know, and which of the server's were prepared before
//! the begin.
//!
//! Always: nothing is dropped, and nothing is held, because of what the server says. Its answer is
//! of a moment, and what is in the binlog up to that moment may not have been read: so it is judged
//! when the source has come by the place that the binlog had then, and only of branches that nothing
//! was read of meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::change::{
    CountedSet, EventPlace, FileName, HeldBranch, MySqlPosition, Prepared, StateRecord, StateTopic,
    Xid,
};
use crate::mysql::probe;
use crate::mysql::{self, Session};

/// Which branches are held, and since where every branch that was prepared is.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Where each was prepared.
    branches: HashMap<Arc<Xid>, (FileName, u64)>,
    /// The server and the place; none when it is not known.
    since: Option<(Arc<str>, FileName, u64)>,
    asked: Option<Asked>,
    noticed: Noticed,
    /// What was prepared when the server that is read was first asked, and where its binlog was
    /// then: what is prepared behind that comes to be held, if it is in the binlog.
    first: Option<First>,
    /// The same, as it is kept.
    kept: Option<Arc<Prepared>>,
    /// Branches that ended since: one of the same xid that ends later is another.
    ended: HashSet<Arc<Xid>>,
}

#[derive(Debug)]
struct First {
    server: Arc<str>,
    prepared: HashSet<Arc<Xid>>,
    until: (FileName, u64),
}

impl First {
    /// What was kept of it; none of what cannot be read.
    fn of(kept: &Prepared) -> Option<Self> {
        let prepared = kept.xids.iter().map(|xid| xid.parse().ok().map(Arc::new));
        let until = (Arc::clone(&kept.file), kept.offset);
        Some(Self {
            server: Arc::clone(&kept.server),
            prepared: prepared.collect::<Option<_>>()?,
            until,
        })
    }

    fn kept(&self) -> Option<Arc<Prepared>> {
        let Self { server, prepared, until: (file, offset) } = self;
        let mut xids: Vec<String> = prepared.iter().map(ToString::to_string).collect();
        xids.sort_unstable();
        let (server, file) = (Arc::clone(server), Arc::clone(file));
        let kept = Prepared { server, file, offset: *offset, xids };
        (kept.xids.len() <= Prepared::MOST).then(|| Arc::new(kept))
    }

    /// Whether a branch of that xid may have been prepared. What XA RECOVER shows of bytes beyond
    /// ASCII may have been converted: then those count that are alike.
    fn has(&self, xid: &Xid) -> bool {
        let is_alike =
            |one: &Arc<Xid>| one.format == xid.format && one.gtrid.len() == xid.gtrid.len();
        let is_plain = xid.gtrid.is_ascii() && xid.bqual.is_ascii();
        self.prepared.contains(xid) || !is_plain && self.prepared.iter().any(is_alike)
    }
}

/// So many ends are remembered; beyond it each xid may be of one.
const MOST_ENDED: usize = 100_000;

/// What was prepared on the server at some moment.
#[derive(Debug)]
pub(super) struct Asked {
    prepared: HashSet<Arc<Xid>>,
    /// What was done until then lies before this place.
    until: (FileName, u64),
    /// Of these something was read meanwhile.
    touched: HashSet<Arc<Xid>>,
}

/// What there is to be said of branches. Texts for whoever watches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noticed {
    /// Held, and not known to the server: they were ended in a way that is not in its binlog, or
    /// it lost them. With where they were prepared.
    pub not_on_server: Vec<String>,
    /// Prepared on the server before the begin: what they changed is looked for in its binlogs when
    /// they are committed.
    pub before_begin: Vec<String>,
}

/// Asks what is prepared on the server; none if the account may not, or there is no binlog.
pub(super) async fn ask(session: &mut Session) -> Result<Option<Asked>, mysql::Error> {
    let Some(prepared) = probe::prepared_branches(session).await? else { return Ok(None) };
    let prepared = prepared.into_iter().map(Arc::new).collect();
    // Asked second: of a branch that is prepared the binlog says so before XA RECOVER does, and of
    // one that is not, that it has ended.
    let until = probe::binlog_place(session).await?;
    Ok(until.map(|until| Asked { prepared, until, touched: HashSet::new() }))
}

impl Held {
    /// Those of a committed position. Whatever is prepared behind it comes to be held, and what
    /// was prepared between the instance's begin and it is.
    pub(super) fn at(position: &MySqlPosition, branches: Vec<HeldBranch>) -> Self {
        let MySqlPosition { server_uuid, file, offset, .. } = position;
        let since = (Arc::clone(server_uuid), Arc::clone(file), *offset);
        let since = Some(since).filter(|(server, file, _)| !server.is_empty() && !file.is_empty());
        let branches = branches.into_iter().map(|branch| (branch.xid, branch.place)).collect();
        let first = position.prepared.as_deref().and_then(First::of);
        let kept = position.prepared.clone().filter(|_| first.is_some());
        Self { branches, since, first, kept, ..Self::default() }
    }

    pub(super) fn contains(&self, xid: &Xid) -> bool {
        self.branches.contains_key(xid)
    }

    pub(super) fn insert(&mut self, xid: Arc<Xid>, place: (FileName, u64)) {
        self.touch(&xid);
        self.branches.insert(xid, place);
    }

    pub(super) fn remove(&mut self, xid: &Arc<Xid>) {
        self.touch(xid);
        self.branches.remove(xid);
        self.note_end(xid);
    }

    /// A branch of that xid has ended.
    pub(super) fn note_end(&mut self, xid: &Arc<Xid>) {
        if self.ended.len() < MOST_ENDED {
            self.ended.insert(Arc::clone(xid));
        }
        if let Some(first) = &mut self.first
            && first.prepared.remove(xid)
        {
            self.kept = first.kept();
        }
    }

    /// What was prepared when the server that is read was first asked, to be kept with the position.
    pub(super) fn prepared(&self) -> Option<Arc<Prepared>> {
        self.kept.clone()
    }

    /// Whether a branch of that xid ended since the begin. Where too many did, it may have been.
    pub(super) fn has_ended(&self, xid: &Xid) -> bool {
        self.ended.len() >= MOST_ENDED || self.ended.contains(xid)
    }

    /// Whether a branch that is not held, and ends at `end`, was certainly prepared behind the place
    /// from which on all is read: then it is not in the binlog (`sql_log_bin=0`; MariaDB writes the
    /// end of such a branch all the same, where another session ends it).
    pub(super) fn was_never_logged(&self, xid: &Xid, server: &str, end: &EventPlace) -> bool {
        let is_known = |first: &First| {
            *first.server == *server
                && is_behind((&end.file, end.offset), &first.until)
                // Surely ended, not that it may have.
                && (!first.has(xid) || self.ended.contains(xid))
        };
        !self.contains(xid) && self.first.as_ref().is_some_and(is_known)
    }

    /// Something was read of a branch.
    pub(super) fn touch(&mut self, xid: &Arc<Xid>) {
        if let Some(asked) = &mut self.asked {
            asked.touched.insert(Arc::clone(xid));
        }
        let text = xid.to_string();
        let Noticed { not_on_server, before_begin } = &mut self.noticed;
        for noticed in [not_on_server, before_begin] {
            noticed.retain(|one| one.split(' ').next() != Some(&text));
        }
    }

    /// What the server says now. It is judged later, by [`Held::judge`].
    pub(super) fn asked(&mut self, server: &Arc<str>, asked: Option<Asked>) {
        if self.first.as_ref().is_some_and(|first| first.server != *server) {
            (self.first, self.kept) = (None, None);
        }
        if let (None, Some(Asked { prepared, until, .. })) = (&self.first, &asked) {
            let (server, prepared) = (Arc::clone(server), prepared.clone());
            let first = First { server, prepared, until: until.clone() };
            self.kept = first.kept();
            self.first = Some(first);
        }
        self.asked = asked;
    }

    /// Whether there is something to judge.
    pub(super) fn waits(&self) -> bool {
        self.asked.is_some()
    }

    /// What there is to be said, as far as it is known.
    pub(super) fn noticed(&self) -> &Noticed {
        &self.noticed
    }

    /// The source has come by `file` and `offset`, between two transactions. Whether there is
    /// something to be said now.
    pub(super) fn judge(&mut self, file: &str, offset: u64) -> bool {
        let has_come = |asked: &mut Asked| is_behind((file, offset), &asked.until);
        let Some(asked) = self.asked.take_if(has_come) else { return false };
        let Asked { prepared, touched, .. } = asked;
        let missing = self.branches.iter();
        let missing =
            missing.filter(|(xid, _)| !prepared.contains(*xid) && !touched.contains(*xid));
        let not_on_server =
            missing.map(|(xid, (file, offset))| format!("{xid} since {file}:{offset}"));
        let before = prepared.iter();
        let before = before.filter(|xid| !self.contains(xid) && !touched.contains(*xid));
        let before_begin = before.map(ToString::to_string);
        let mut noticed = Noticed {
            not_on_server: not_on_server.collect(),
            before_begin: before_begin.collect(),
        };
        noticed.not_on_server.sort_unstable();
        noticed.before_begin.sort_unstable();
        self.noticed = noticed;
        true
    }

    /// Before which place a branch was prepared that is not held, and ends at `end`.
    pub(super) fn prepared_before(&self, server: &str, end: &EventPlace) -> (FileName, u64) {
        match &self.since {
            Some((of, file, offset)) if **of == *server => (Arc::clone(file), *offset),
            Some(_) | None => (Arc::clone(&end.file), end.offset),
        }
    }
}

/// Files of one binlog are numbered; the number grows by a digit when it has to.
fn is_behind((file, offset): (&str, u64), until: &(FileName, u64)) -> bool {
    let order = |file: &str, offset| (file.len(), file.to_owned(), offset);
    order(file, offset) >= order(&until.0, until.1)
}

/// Forgets the branches that `position` has lost, where it goes on at a server that lacks what was
/// published: what such a branch changed is nowhere any more, and one of the same xid that comes to
/// be committed there is another. Those whose XA PREPARE both servers have stay. The records that
/// make it so.
pub(super) fn forget_lost(
    held: &mut Vec<HeldBranch>,
    position: &MySqlPosition,
) -> Vec<StateRecord> {
    let kept = position.gtid_set.counted().map(CountedSet::whole);
    let is_lost = |branch: &mut HeldBranch| !kept.as_ref().is_some_and(|kept| branch.is_of(kept));
    let forgotten = held.extract_if(.., is_lost).map(|branch| {
        let HeldBranch { xid, gtid, place: (file, offset) } = branch;
        tracing::warn!(%xid, ?gtid, %file, offset, "a held XA branch is lost too: the server that \
            is failed over to does not have it as it was prepared");
        StateRecord { topic: StateTopic::Xa, key: Bytes::from(xid.to_string()), value: None }
    });
    forgotten.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Position;

    fn xid(name: &str) -> Arc<Xid> {
        Arc::new(Xid { format: 1, gtrid: name.as_bytes().to_vec(), bqual: Vec::new() })
    }

    #[test]
    fn what_the_server_says_is_judged_behind_the_place_it_had_and_of_what_nothing_was_read_of() {
        let place = |offset: u64| (FileName::from("b.000009"), offset);
        let mut held = Held::default();
        for name in ["kept", "ended", "lost", "again"] {
            held.insert(xid(name), place(7));
        }
        let prepared = ["kept", "old", "old ended", "new"].map(xid).into_iter().collect();
        let until = (FileName::from("b.000010"), 500);
        let asked = Asked { prepared, until, touched: HashSet::new() };
        held.asked(&Arc::from("server"), Some(asked));
        for (file, offset) in [("b.000009", 900), ("b.000010", 499)] {
            assert!(!held.judge(file, offset), "{file}:{offset}");
        }
        held.remove(&xid("ended"));
        held.touch(&xid("old ended"));
        held.insert(xid("new"), place(8));
        held.insert(xid("again"), place(9));
        assert!(held.judge("b.000010", 500) && !held.waits());
        let texts = |names: &[(&str, &str)]| -> Vec<String> {
            names.iter().map(|(name, since)| format!("{}{since}", xid(name))).collect()
        };
        assert_eq!(held.noticed().not_on_server, texts(&[("lost", " since b.000009:7")]));
        assert_eq!(held.noticed().before_begin, texts(&[("old", "")]));
        assert!(held.contains(&xid("lost")), "nothing is dropped");
        held.remove(&xid("lost"));
        held.touch(&xid("old"));
        assert_eq!(*held.noticed(), Noticed::default());
    }

    #[test]
    fn what_was_prepared_while_all_was_read_and_was_not_seen_is_not_in_the_binlog() {
        let place = |file: &str, offset| EventPlace { file: file.into(), offset, time: 0 };
        let mut held = Held::default();
        let server: Arc<str> = "server".into();
        let asked = |prepared: &[&str], offset| Asked {
            prepared: prepared.iter().map(|name| xid(name)).collect(),
            until: (FileName::from("b.000010"), offset),
            touched: HashSet::new(),
        };
        assert!(
            !held.was_never_logged(&xid("new"), "server", &place("b.000011", 4)),
            "nobody asked"
        );
        held.asked(&server, Some(asked(&["old", "again"], 500)));
        // It is there when the connection is made again.
        held.asked(&server, Some(asked(&["old", "again", "new"], 900)));
        held.insert(xid("seen"), (FileName::from("b.000010"), 600));
        held.remove(&xid("again"));
        for (name, on, at, wanted) in [
            ("new", "server", place("b.000010", 500), true),
            ("new", "server", place("b.000011", 4), true),
            ("new", "server", place("b.000010", 499), false),
            ("new", "other", place("b.000010", 700), false),
            ("old", "server", place("b.000010", 700), false),
            ("again", "server", place("b.000010", 700), true),
            ("seen", "server", place("b.000010", 700), false),
        ] {
            assert_eq!(held.was_never_logged(&xid(name), on, &at), wanted, "{name} {on} {at:?}");
        }
        for number in 0..MOST_ENDED {
            held.note_end(&xid(&format!("e{number}")));
        }
        let end = place("b.000010", 700);
        assert!(!held.was_never_logged(&xid("old"), "server", &end), "too many ended to know");
        assert!(held.was_never_logged(&xid("new"), "server", &end));
        held.asked(&"other".into(), None);
        assert!(!held.was_never_logged(&xid("new"), "server", &place("b.000011", 4)));
    }

    #[test]
    fn what_was_prepared_at_first_is_known_behind_a_start() {
        let xids: Vec<Arc<Xid>> = (0..3).map(|number| xid(&format!("p{number}"))).collect();
        let asked = |xids: &[Arc<Xid>]| Asked {
            prepared: xids.iter().cloned().collect(),
            until: ("b.000007".into(), 500),
            touched: HashSet::new(),
        };
        let mut held = Held::default();
        assert_eq!(held.prepared(), None);
        held.asked(&"server".into(), Some(asked(&xids)));
        held.note_end(&xids[1]);
        let kept = held.prepared().unwrap();
        assert_eq!(kept.xids, [xids[0].to_string(), xids[2].to_string()]);
        assert_eq!((&*kept.file, kept.offset), ("b.000007", 500));

        let json = r#"{"kind":"mysql","file":"b.000008","offset":4,"server_uuid":"server",
            "file_created":0,"event_time":0}"#;
        let Position::MySql(position) = serde_json::from_str(json).unwrap();
        let position = MySqlPosition { prepared: Some(kept), ..position };
        let mut again = Held::at(&position, Vec::new());
        assert_eq!(again.prepared(), position.prepared);
        // One that was prepared meanwhile is there too, and was never logged.
        let more = [&xids[..], &[xid("new")]].concat();
        again.asked(&"server".into(), Some(asked(&more)));
        let end = EventPlace { file: "b.000010".into(), offset: 700, time: 0 };
        assert!(again.was_never_logged(&xid("new"), "server", &end));
        assert!(again.was_never_logged(&xids[1], "server", &end), "the one of that name has ended");
        assert!(!again.was_never_logged(&xids[2], "server", &end));
        again.asked(&"other".into(), None);
        assert_eq!(again.prepared(), None);
        // More would be written with each commit.
        let many: Vec<Arc<Xid>> = (0..=Prepared::MOST).map(|n| xid(&format!("m{n}"))).collect();
        again.asked(&"other".into(), Some(asked(&many)));
        assert_eq!(again.prepared(), None);
    }

    #[test]
    fn a_file_of_more_digits_is_a_later_one() {
        let until = (FileName::from("b.999999"), 4);
        assert!(is_behind(("b.1000000", 4), &until) && !is_behind(("b.999998", 9), &until));
    }
}
