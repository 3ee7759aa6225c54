//! Many syncs, one behind the other or several at once.
//!
//! A file system makes durable together what comes to it together: with several syncs under way at
//! once many cost little more than one, but all others wait for the disk meanwhile. So nothing is
//! hurried unless somebody waits for it.
//!
//! What holds: behind a failure no other sync is begun; all that were begun have ended when this
//! returns. However long one takes, that somebody waits meanwhile is seen.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use super::appender::Failure;

/// So many syncs are under way at once where somebody waits.
const AT_ONCE: usize = 16;

/// How often it is looked whether somebody waits.
const LOOK: Duration = Duration::from_millis(10);

/// Whether somebody waits: asked again and again.
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
    let work_on = || while step() {};
    if all.len() > 1 {
        std::thread::scope(|scope| {
            // Gone when the first of the threads has nothing left to do.
            let (first_works, first_ends) = channel::<()>();
            let first = move || {
                work_on();
                drop(first_works);
            };
            let mut threads: Vec<_> =
                Builder::new().spawn_scoped(scope, first).into_iter().collect();
            let mut helps = threads.is_empty();
            while !helps {
                helps = hurry();
                if helps {
                    let left = all.len().saturating_sub(next.load(Ordering::Relaxed));
                    let begin = |_| Builder::new().spawn_scoped(scope, work_on);
                    // Beside the first and this one. The system may have fewer threads, or none.
                    let more = left.saturating_sub(1).min(AT_ONCE - 2);
                    threads.extend((0..more).map_while(|n| begin(n).ok()));
                } else if first_ends.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
            if helps {
                work_on();
            }
            for thread in threads {
                if thread.join().is_err() {
                    fail(Failure::Lost("a thread that synced files panicked".to_owned()));
                }
            }
        });
    } else {
        work_on();
    }
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::{Duration, Instant};

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

    /// The first may hang for long: that others wait is seen beside it.
    #[test]
    fn one_that_hangs_keeps_none_of_the_others_back_when_somebody_waits() {
        let all: Vec<usize> = (0..100).collect();
        let (begun, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let began = Instant::now();
        each(&all, &|| begun.load(Ordering::Relaxed) > 0, |one| {
            begun.fetch_add(1, Ordering::Relaxed);
            while *one == 0 && done.load(Ordering::Relaxed) < 99 {
                assert!(began.elapsed() < Duration::from_secs(20), "they wait for it");
                std::thread::sleep(Duration::from_millis(1));
            }
            done.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
        assert_eq!(done.into_inner(), 100);
    }
}
