//! Many syncs, one behind the other or several at once.
//!
//! A file system makes durable together what comes to it together: with several syncs under way at
//! once many cost little more than one, but all others wait for the disk meanwhile. So nothing is
//! hurried unless somebody waits for it.
//!
//! What holds: behind a failure no other sync is begun; all that were begun have ended when this
//! returns.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

use super::appender::Failure;

/// So many syncs are under way at once where somebody waits.
const AT_ONCE: usize = 16;

/// Whether somebody waits: asked before each sync.
pub(super) type Hurry<'a> = &'a (dyn Fn() -> bool + Sync);

/// Carries `work` out for each of `all`. Of several failures one that leaves nobody who can say
/// what is durable is told.
pub(super) fn each<T: Sync>(
    all: &[T],
    hurry: Hurry<'_>,
    work: impl Fn(&T) -> Result<(), Failure> + Sync,
) -> Result<(), Failure> {
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<Failure>> = Mutex::default();
    let fail = |failure: Failure| {
        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*failed, Some(Failure::Lost(_))) {
            *failed = Some(failure);
        }
    };
    // False when there is nothing left to do.
    let step = || {
        if failed.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return false;
        }
        let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) else { return false };
        work(one).unwrap_or_else(fail);
        true
    };
    std::thread::scope(|scope| {
        let mut others = Vec::new();
        loop {
            let left = all.len().saturating_sub(next.load(Ordering::Relaxed));
            if others.is_empty() && left > 1 && hurry() {
                let begin = |_| Builder::new().spawn_scoped(scope, || while step() {});
                // The system may have fewer threads to give, or none.
                others.extend((1..AT_ONCE.min(left)).map_while(|n| begin(n).ok()));
            }
            if !step() {
                break;
            }
        }
        for other in others {
            if other.join().is_err() {
                fail(Failure::Lost("a thread that synced files panicked".to_owned()));
            }
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_is_done_once_and_none_behind_a_failure() {
        for hurries in [false, true] {
            let all: Vec<usize> = (0..100).collect();
            let done = Mutex::new(Vec::new());
            let work = |one: &usize| {
                done.lock().unwrap().push(*one);
                Ok(())
            };
            each(&all, &|| hurries, work).unwrap();
            let seen: BTreeSet<usize> = done.lock().unwrap().iter().copied().collect();
            assert_eq!((seen.len(), done.lock().unwrap().len()), (100, 100));

            let count = AtomicUsize::new(0);
            let failing = each(&all, &|| hurries, |one| {
                count.fetch_add(1, Ordering::Relaxed);
                let why = || "on purpose".to_owned();
                match *one {
                    3 => Err(Failure::Lost(why())),
                    4 => Err(Failure::Refused(why())),
                    _ => Ok(()),
                }
            });
            assert!(matches!(failing, Err(Failure::Lost(_))), "{failing:?}");
            assert!(count.into_inner() < 4 + 2 * AT_ONCE);
        }
    }
}
