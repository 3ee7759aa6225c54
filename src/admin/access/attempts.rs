//! How soon an address may try again after wrong passwords.
//!
//! Each wrong one doubles the time, from a quarter of a second to a minute; a right one, or an hour
//! without any, ends it. An IPv6 client has a whole /64, which counts as one. Always bounded.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_mins(1);
const FORGOTTEN: Duration = Duration::from_hours(1);
/// As many addresses are remembered.
const MOST: usize = 4096;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Attempts(HashMap<IpAddr, Failed>);

#[derive(Clone, Copy, Debug)]
struct Failed {
    times: u32,
    last: Instant,
}

impl Failed {
    fn until(self) -> Instant {
        self.last + FIRST.saturating_mul(1 << (self.times - 1).min(10)).min(LONGEST)
    }
}

impl Attempts {
    /// How long that address has to wait yet; none: it may try.
    pub(super) fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let until = self.0.get(&network(address))?.until();
        (until > now).then(|| until - now)
    }

    /// A try begins: it counts as wrong until it is known to be right, so that many at once are
    /// slowed down too.
    pub(super) fn begin(&mut self, address: IpAddr, now: Instant) {
        self.0.retain(|_, failed| now - failed.last < FORGOTTEN);
        if self.0.len() >= MOST
            && let Some(oldest) = self.0.iter().min_by_key(|(_, one)| one.last).map(|(at, _)| *at)
        {
            self.0.remove(&oldest);
        }
        let failed = self.0.entry(network(address)).or_insert(Failed { times: 0, last: now });
        (failed.times, failed.last) = (failed.times.saturating_add(1), now);
    }

    /// It was right.
    pub(super) fn right(&mut self, address: IpAddr) {
        self.0.remove(&network(address));
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => IpAddr::V6((u128::from(six) >> 64 << 64).into()),
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thousand_wrong_passwords_take_most_of_a_day() {
        let address: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        let mut attempts = Attempts::default();
        let begin = Instant::now();
        let mut now = begin;
        for number in 0_u32..1000 {
            let asks = if number % 2 == 0 { address } else { neighbour };
            now += attempts.wait(asks, now).unwrap_or_default();
            attempts.begin(asks, now);
        }
        assert!(now - begin > Duration::from_hours(16), "{:?}", now - begin);
        assert!(attempts.wait("10.0.0.1".parse().unwrap(), now).is_none());
        attempts.right(address);
        assert!(attempts.wait(neighbour, now).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let mut attempts = Attempts::default();
        for number in 0_u32..10_000 {
            attempts.begin(IpAddr::V4(number.into()), Instant::now());
        }
        assert_eq!(attempts.0.len(), MOST);
    }
}
