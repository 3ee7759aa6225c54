//! Where a source is positioned behind a heartbeat: what gives its place on another server that
//! replicates from the same one, where there are no GTIDs to do so.
//!
//! Always: a trail is that of the transaction boundary it is kept beside.

use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::FileName;

/// A checksum of transactions that two servers agree on when they have the same: SHA-256, cut.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest(pub [u8; 16]);

/// The transactions since a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    /// The transaction that wrote the heartbeat.
    pub beat: Digest,
    /// When it was made, by the clock of the server that made it, in seconds since 1970.
    pub beat_time: u32,
    /// How many transactions have come behind it.
    pub count: u64,
    /// All of them, in their order.
    pub digest: Digest,
    /// The last of them, oldest first.
    pub last: VecDeque<Step>,
    /// 0 in what builds before stored, which do not say in which of two ways their digests are made.
    #[serde(default)]
    version: u8,
    /// Of a trail that an older build began: `digest`, were it made in the older way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older: Option<Digest>,
}

/// One transaction behind a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The file that it was read in.
    pub file: FileName,
    /// Where it ends, in bytes.
    pub offset: u64,
    /// All transactions up to it.
    pub digest: Digest,
}

impl Trail {
    /// As many of the last transactions are kept one by one.
    const KEPT: usize = 8;

    /// What says the way of its digests.
    const VERSION: u8 = 1;

    /// At a heartbeat.
    pub fn at(beat: Digest, beat_time: u32) -> Self {
        Self {
            beat,
            beat_time,
            count: 0,
            digest: Digest::default(),
            last: VecDeque::new(),
            version: Self::VERSION,
            older: None,
        }
    }

    /// As this build goes on with it: one of a build before, with the digests of both ways. Only the
    /// way in which its heartbeat is found is the right one.
    #[must_use]
    pub fn upgraded(self) -> Self {
        match self.version {
            0 => Self { version: Self::VERSION, older: Some(self.digest), ..self },
            _ => self,
        }
    }

    /// Moves behind a transaction; `digest` is that of all, with it.
    pub fn push(&mut self, file: FileName, offset: u64, digest: Digest) {
        self.count += 1;
        self.digest = digest;
        if self.last.len() == Self::KEPT {
            self.last.pop_front();
        }
        self.last.push_back(Step { file, offset, digest });
    }

    /// The steps behind the first `count` transactions, if these had `digest` and all steps are
    /// still kept.
    pub fn behind(&self, count: u64, digest: Digest) -> Option<impl Iterator<Item = &Step>> {
        let lacking = usize::try_from(self.count.checked_sub(count)?).ok()?;
        let first = self.last.len().checked_sub(lacking)?;
        let before = match first.checked_sub(1) {
            Some(index) => self.last.get(index).map(|step| step.digest),
            None => (count == 0).then(Digest::default),
        };
        (before? == digest).then(|| self.last.iter().skip(first))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:?}"))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = u128::from_str_radix(&text, 16).ok().filter(|_| text.len() == 32);
        let number = number.ok_or_else(|| serde::de::Error::custom("not 32 hexadecimal digits"))?;
        Ok(Self(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u8) -> Digest {
        Digest([number; 16])
    }

    #[test]
    fn what_a_server_lacks_is_known_while_it_is_among_the_last() {
        let mut trail = Trail::at(digest(99), 1);
        for number in 1..=10 {
            trail.push("f".into(), u64::from(number), digest(number));
        }
        let lacking = |count, digest| {
            let steps = trail.behind(count, digest)?;
            Some(steps.map(|step| step.offset).collect::<Vec<_>>())
        };
        assert_eq!(lacking(10, digest(10)), Some(vec![]));
        assert_eq!(lacking(8, digest(8)), Some(vec![9, 10]));
        assert_eq!(lacking(8, digest(7)), None, "another order");
        assert_eq!(lacking(3, digest(3)).map(|steps| steps.len()), Some(7));
        assert_eq!(lacking(1, digest(1)), None, "too long ago");
        let mut young = Trail::at(digest(99), 1);
        young.push("f".into(), 5, digest(1));
        assert_eq!(young.behind(0, Digest::default()).map(Iterator::count), Some(1));
        assert!(young.behind(2, digest(1)).is_none());
    }

    #[test]
    fn a_trail_is_stored_and_read_again() {
        let mut trail = Trail::at(digest(0xab), 7);
        trail.push("binlog.000001".into(), 4711, digest(0));
        let stored = serde_json::to_string(&trail).unwrap();
        assert!(stored.contains(&"ab".repeat(16)), "{stored}");
        assert_eq!(serde_json::from_str::<Trail>(&stored).unwrap(), trail);
        assert!(serde_json::from_str::<Digest>("\"ab\"").is_err());
    }

    #[test]
    fn a_trail_of_an_older_build_goes_on_in_both_ways() {
        let stored = format!(
            r#"{{"beat":"{0}","beat_time":7,"count":0,"digest":"{1}","last":[]}}"#,
            "ab".repeat(16),
            "00".repeat(16)
        );
        let read = || serde_json::from_str::<Trail>(&stored).unwrap();
        let upgraded = read().upgraded();
        assert_eq!(upgraded.older, Some(Digest::default()));
        assert_ne!(upgraded, read(), "it is upgraded once");
        let again = Trail { older: None, ..upgraded };
        assert_eq!(again.clone().upgraded(), again);
        assert_eq!(Trail::at(digest(1), 7).upgraded().older, None, "of this build");
    }
}
