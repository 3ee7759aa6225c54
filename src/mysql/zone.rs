//! The server's time zone, as the server itself converts by it.
//!
//! No zone is guessed from a name or from today's offset: `SYSTEM` says nothing, an abbreviation
//! (`CST`) names several zones, and a server's tables need not be those of this machine. What
//! `FROM_UNIXTIME` prints under the global zone, less the UTC text of the same moment, is the
//! offset at that moment, exactly: where clocks go back a local text stands for two moments, but
//! a moment has one text, and the way back is never taken.
//!
//! In: a session. Out: every change of the offset, to the second, over all that a TIMESTAMP can
//! hold. The server is asked for a moment of each week, and where two weeks differ the change
//! between them is found by bisection, all changes at once: some 30 statements.

use std::time::Duration;

use super::probe::Probe;
use super::{Error, Session};
use crate::change::{Flavor, ServerZone};

/// Seconds between two moments that are asked for at first. Offsets that lasted less and led
/// back to where they were are not seen; no zone ever had one.
const STEP: u32 = 7 * 24 * 3600;

/// The first moment of a TIMESTAMP. The one before is no TIMESTAMP (it stands for the zero date), and
/// newer MariaDB has no local time for it.
const BEGIN: u32 = 1;

/// The last moments of a TIMESTAMP: of 32 bits with a sign, and without (MariaDB 11.5 and later).
const ENDS: [u32; 2] = [i32::MAX as u32, u32::MAX];

/// Moments in one statement: fewer than the columns that an answer may have (4096).
const MOST_COLUMNS: usize = 1000;

/// As often a server is asked that leaves out a local time, and the pause between.
const ATTEMPTS: u32 = 3;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(500);

/// The zone of sessions that set none (`@@global.time_zone`). Leaves the session in it.
pub async fn server_zone(session: &mut Session, probe: &Probe) -> Result<ServerZone, Error> {
    session.run("SET time_zone = @@global.time_zone").await?;
    // As it is asked for later, to see whether it has changed.
    let name = zone_name(session).await?.unwrap_or_else(|| name(probe));
    let moments = moments(probe);
    for attempt in 1..=ATTEMPTS {
        if let Some(changes) = changes(session, &moments).await? {
            return Ok(ServerZone { name, changes });
        }
        if attempt < ATTEMPTS {
            tokio::time::sleep(BETWEEN_ATTEMPTS).await;
        }
    }
    Err(Error::Zone { address: session.address().to_owned(), zone: name })
}

/// What the server calls the zone of sessions that set none, now. Asks nothing else of it.
pub(crate) async fn zone_name(session: &mut Session) -> Result<Option<String>, Error> {
    let rows = session.query("SELECT @@GLOBAL.time_zone, @@GLOBAL.system_time_zone").await?;
    Ok(rows.first().and_then(|row| Some(name_of(row.text_at(0)?, row.text_at(1)))))
}

/// Every change of the offset, the first offset as one; `None` where the server left out a local
/// time that it has to have.
async fn changes(session: &mut Session, moments: &[u32]) -> Result<Option<Vec<(u32, i32)>>, Error> {
    let offsets = ask_all(session, moments).await?;
    let Some(mut search) = known(moments, &offsets).as_deref().and_then(Search::new) else {
        return Ok(None);
    };
    while let Some(asked) = search.next() {
        let answers = ask_all(session, &asked).await?;
        let Some(answers) = answers.into_iter().collect::<Option<Vec<i32>>>() else {
            return Ok(None);
        };
        search.take(&answers);
    }
    Ok(Some(search.changes()))
}

/// The moments with an offset; `None` where one lacks that every server has. The range of some
/// ends before the other's, and behind its end there is none.
fn known(moments: &[u32], offsets: &[Option<i32>]) -> Option<Vec<(u32, i32)>> {
    let pairs = moments.iter().zip(offsets);
    let known: Vec<_> = pairs.map_while(|(at, offset)| Some((*at, (*offset)?))).collect();
    let ends = moments.get(known.len()).is_none_or(|first| *first > ENDS[0]);
    let goes_on = offsets.iter().skip(known.len()).any(Option::is_some);
    (ends && !goes_on).then_some(known)
}

/// The moments to ask for at first.
fn moments(probe: &Probe) -> Vec<u32> {
    // `+08:00` is the same at each.
    if probe.variable("time_zone").is_some_and(|zone| zone.starts_with(['+', '-'])) {
        return vec![BEGIN];
    }
    let ends: &[u32] = match probe.flavor {
        Flavor::MySql => &ENDS[..1],
        Flavor::MariaDb => &ENDS,
    };
    let last = ends.last().copied().unwrap_or(u32::MAX);
    let mut moments: Vec<u32> =
        (BEGIN..=last).step_by(STEP as usize).chain(ends.to_vec()).collect();
    moments.sort_unstable();
    moments
}

fn name(probe: &Probe) -> String {
    let name = probe.variable("time_zone").unwrap_or("SYSTEM");
    name_of(name, probe.variable("system_time_zone"))
}

fn name_of(name: &str, system: Option<&str>) -> String {
    match system {
        Some(system) if name == "SYSTEM" => format!("SYSTEM ({system})"),
        _ => name.to_owned(),
    }
}

/// As [`ask`], for as many as there are.
async fn ask_all(session: &mut Session, moments: &[u32]) -> Result<Vec<Option<i32>>, Error> {
    let mut answers = Vec::with_capacity(moments.len());
    for asked in moments.chunks(MOST_COLUMNS) {
        answers.extend(ask(session, asked).await?);
    }
    Ok(answers)
}

/// The offset at each moment, in seconds; `None` where the server has no local time for it.
async fn ask(session: &mut Session, moments: &[u32]) -> Result<Vec<Option<i32>>, Error> {
    let columns: Vec<String> = moments.iter().map(|at| format!("FROM_UNIXTIME({at})")).collect();
    let rows = session.query(&format!("SELECT {}", columns.join(","))).await?;
    let row = rows.first();
    let texts = (0..moments.len()).map(|index| row.and_then(|row| row.text_at(index)));
    Ok(texts.zip(moments).map(|(text, at)| offset(text?, *at)).collect())
}

/// How much later than `at` a text is, both taken for UTC.
fn offset(local: &str, at: u32) -> Option<i32> {
    let local: jiff::civil::DateTime = local.parse().ok()?;
    let local = local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    i32::try_from(local - i64::from(at)).ok()
}

/// Finds all changes between moments that are known, a step of each at once. Pure.
#[derive(Debug)]
struct Search {
    first: i32,
    open: Vec<Gap>,
    found: Vec<(u32, i32)>,
}

/// Two moments between which the offset changes: its last known and its first known.
#[derive(Clone, Copy, Debug)]
struct Gap {
    before: (u32, i32),
    behind: (u32, i32),
}

impl Search {
    /// `None` if no moment is known.
    fn new(known: &[(u32, i32)]) -> Option<Self> {
        let pairs = known.iter().zip(known.iter().skip(1));
        let gaps = pairs.map(|(before, behind)| Gap { before: *before, behind: *behind });
        let first = known.first()?.1;
        let mut new = Self { first, open: Vec::new(), found: Vec::new() };
        gaps.for_each(|gap| new.keep(gap));
        Some(new)
    }

    /// The moments to ask for now; none when all is found.
    fn next(&self) -> Option<Vec<u32>> {
        let middles = self.open.iter().map(Gap::middle).collect::<Vec<u32>>();
        (!middles.is_empty()).then_some(middles)
    }

    /// Takes the offsets at the moments asked for.
    fn take(&mut self, answers: &[i32]) {
        for (gap, offset) in std::mem::take(&mut self.open).into_iter().zip(answers) {
            let middle = (gap.middle(), *offset);
            self.keep(Gap { behind: middle, ..gap });
            self.keep(Gap { before: middle, ..gap });
        }
    }

    fn keep(&mut self, gap: Gap) {
        let Gap { before, behind } = gap;
        if before.1 == behind.1 {
            return;
        }
        if behind.0 - before.0 == 1 {
            self.found.push(behind);
        } else {
            self.open.push(gap);
        }
    }

    fn changes(mut self) -> Vec<(u32, i32)> {
        self.found.sort_unstable();
        self.found.insert(0, (0, self.first));
        self.found
    }
}

impl Gap {
    fn middle(&self) -> u32 {
        self.before.0 + (self.behind.0 - self.before.0) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_found_to_the_second() {
        // Two within one step, one at its edge, and one second by itself at the end.
        let zone = [(0, 3600), (1000, 7200), (1001, 5400), (STEP, 1800), (9 * STEP - 1, -1)];
        let at = |moment: u32| {
            let known = zone.iter().rev().find(|(from, _)| *from <= moment);
            known.map(|(_, offset)| *offset)
        };
        let moments = (0..10).map(|step| step * STEP);
        let known: Vec<(u32, i32)> = moments.map(|at_| (at_, at(at_).unwrap())).collect();
        let mut search = Search::new(&known).unwrap();
        let mut rounds = 0;
        while let Some(asked) = search.next() {
            let answers: Vec<i32> = asked.into_iter().map(|moment| at(moment).unwrap()).collect();
            search.take(&answers);
            rounds += 1;
        }
        assert_eq!(search.changes(), zone);
        assert!(rounds <= 20, "{rounds}");
    }

    /// Without the first one would take UTC, without another a change is not seen.
    #[test]
    fn a_moment_that_every_server_has_is_not_done_without() {
        let (before, behind) = (ENDS[0] - STEP, ENDS[0] + STEP);
        let moments = [0, before, ENDS[0], behind, u32::MAX];
        for (offsets, count) in [
            ([Some(1); 5], Some(5)),
            ([Some(1), Some(1), Some(1), None, None], Some(3)),
            ([Some(1), Some(1), Some(1), Some(2), None], Some(4)),
            ([None, Some(1), Some(1), Some(1), Some(1)], None),
            ([Some(1), Some(1), None, None, None], None),
            ([Some(1), Some(1), None, Some(1), Some(1)], None),
            ([Some(1), Some(1), Some(1), None, Some(1)], None),
            ([None; 5], None),
        ] {
            let known = known(&moments, &offsets);
            assert_eq!(known.map(|known| known.len()), count, "{offsets:?}");
        }
        assert_eq!(known(&[0], &[Some(28_800)]), Some(vec![(0, 28_800)]));
        assert_eq!(known(&[0], &[None]), None);
        assert!(Search::new(&[]).is_none());
    }

    #[test]
    fn an_offset_is_the_text_less_the_moment() {
        assert_eq!(offset("1970-01-01 01:00:00", 0), Some(3600));
        assert_eq!(offset("1969-12-31 19:00:00", 0), Some(-18_000));
        // Both of these are 02:30 on the night when clocks go back in Berlin.
        assert_eq!(offset("2024-10-27 02:30:00", 1_729_989_000), Some(7200));
        assert_eq!(offset("2024-10-27 02:30:00", 1_729_992_600), Some(3600));
        assert_eq!(offset("2106-02-07 06:28:15", u32::MAX), Some(0));
        assert_eq!(offset("gibberish", 0), None);
    }
}
