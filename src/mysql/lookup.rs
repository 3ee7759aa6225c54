//! The addresses of a server that is named.
//!
//! The system's resolver blocks, and nothing breaks it off: where a name server does not answer, it
//! keeps its thread for as long as the system has patience, which is minutes. So a name is asked for
//! on a thread of its own, never on the runtime's pool, which also reads and writes files; and whoever
//! asks for a name that is being asked for waits for the same answer.
//! Always: who waits can leave at any time, and a name holds [`MOST`] threads at most.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// As long an answer is awaited before the name is asked for once more: the resolver may hang where
/// the next one does not.
const STALE: Duration = Duration::from_secs(30);

/// As many threads ask for one name at most.
const MOST: usize = 4;

/// What the system says of a name. Cancel safe.
pub(crate) async fn addresses(host: &str) -> io::Result<Vec<IpAddr>> {
    static LOOKUPS: LazyLock<Arc<Lookups>> = LazyLock::new(Arc::default);
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    LOOKUPS.ask(host, resolve).await
}

fn resolve(host: &str) -> io::Result<Vec<IpAddr>> {
    Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

/// An answer, for several: an error is copied.
type Answer = Result<Vec<IpAddr>, (io::ErrorKind, String)>;

/// One that is awaited.
#[derive(Debug)]
struct Lookup {
    number: u64,
    begun: Instant,
    answer: watch::Receiver<Option<Answer>>,
}

/// The names that are being asked for.
#[derive(Debug, Default)]
struct Lookups {
    names: Mutex<HashMap<String, Vec<Lookup>>>,
}

impl Lookups {
    async fn ask(
        self: &Arc<Self>,
        host: &str,
        resolve: impl FnOnce(&str) -> io::Result<Vec<IpAddr>> + Send + 'static,
    ) -> io::Result<Vec<IpAddr>> {
        let mut answer = self.join_or_begin(host, resolve)?;
        let answer = answer.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
        match answer {
            Some(Ok(addresses)) if addresses.is_empty() => {
                Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")))
            }
            Some(Ok(addresses)) => Ok(addresses),
            Some(Err((kind, text))) => Err(io::Error::new(kind, text)),
            None => Err(io::Error::other("the system's resolver ended without an answer")),
        }
    }

    fn join_or_begin(
        self: &Arc<Self>,
        host: &str,
        resolve: impl FnOnce(&str) -> io::Result<Vec<IpAddr>> + Send + 'static,
    ) -> io::Result<watch::Receiver<Option<Answer>>> {
        let mut names = self.names();
        let lookups = names.entry(host.to_owned()).or_default();
        if let Some(newest) = lookups.last()
            && (newest.begun.elapsed() < STALE || lookups.len() >= MOST)
        {
            return Ok(newest.answer.clone());
        }
        let number = lookups.last().map_or(0, |newest| newest.number + 1);
        let (sender, answer) = watch::channel(None);
        let (all, name) = (Arc::clone(self), host.to_owned());
        let thread = std::thread::Builder::new().name("lookup".to_owned()).spawn(move || {
            // Dropped whatever ends the thread, and before there is an answer: nobody joins an old one.
            let ended = Ended { all, name: name.clone(), number };
            let found = resolve(&name).map_err(|error| (error.kind(), error.to_string()));
            drop(ended);
            sender.send_replace(Some(found));
        });
        if let Err(error) = thread {
            if lookups.is_empty() {
                names.remove(host);
            }
            return Err(error);
        }
        lookups.push(Lookup { number, begun: Instant::now(), answer: answer.clone() });
        Ok(answer)
    }

    fn names(&self) -> MutexGuard<'_, HashMap<String, Vec<Lookup>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a lookup out when its thread is done with it.
struct Ended {
    all: Arc<Lookups>,
    name: String,
    number: u64,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let mut names = self.all.names();
        if let Some(lookups) = names.get_mut(&self.name) {
            lookups.retain(|lookup| lookup.number != self.number);
            if lookups.is_empty() {
                names.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const FOUND: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));

    /// A name server that answers when it is told to, and counts who asks.
    struct Silent {
        asked: Arc<AtomicUsize>,
        release: Arc<Mutex<mpsc::Receiver<()>>>,
    }

    impl Silent {
        fn new() -> (Self, mpsc::Sender<()>) {
            let (release, held) = mpsc::channel();
            (Self { asked: Arc::default(), release: Arc::new(Mutex::new(held)) }, release)
        }

        fn resolver(&self) -> impl FnOnce(&str) -> io::Result<Vec<IpAddr>> + Send + 'static {
            let (asked, release) = (Arc::clone(&self.asked), Arc::clone(&self.release));
            move |_| {
                asked.fetch_add(1, Ordering::Relaxed);
                let _ = release.lock().unwrap().recv();
                Ok(vec![FOUND])
            }
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn while_a_name_server_is_silent_one_thread_waits_and_nobody_else() {
        let (silent, release) = Silent::new();
        let lookups = Arc::new(Lookups::default());
        let brief = Duration::from_millis(1);
        for _ in 0..100 {
            // As a stop, or the limit of a connect, leaves it.
            let left = tokio::time::timeout(brief, lookups.ask("db", silent.resolver())).await;
            assert!(left.is_err());
        }
        let other = lookups.ask("other", |_| Ok(vec![FOUND])).await;
        assert_eq!(other.unwrap(), [FOUND], "another name has an answer meanwhile");
        let mut waiting = std::pin::pin!(lookups.ask("db", silent.resolver()));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(release);
        assert_eq!(waiting.await.unwrap(), [FOUND]);
        assert_eq!(silent.asked(), 1);
        while !lookups.names().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_hangs_for_long_is_tried_again_a_few_times() {
        let (silent, release) = Silent::new();
        let lookups = Arc::new(Lookups::default());
        for _ in 0..3 * MOST {
            drop(lookups.join_or_begin("db", silent.resolver()));
            tokio::time::advance(STALE).await;
        }
        assert_eq!(lookups.names()["db"].len(), MOST);
        drop(release);
        assert_eq!(lookups.ask("db", silent.resolver()).await.unwrap(), [FOUND]);
    }

    #[tokio::test]
    async fn errors_are_the_systems_and_addresses_are_taken_as_they_are() {
        let lookups = Arc::new(Lookups::default());
        let refused = |_: &str| Err(io::Error::other("no such host"));
        let error = lookups.ask("db", refused).await.unwrap_err();
        assert_eq!(error.to_string(), "no such host");
        let error = lookups.ask("db", |_| Ok(Vec::new())).await.unwrap_err();
        assert_eq!(error.to_string(), "db has no address");
        let error = lookups.ask("db", |_| panic!("on purpose")).await.unwrap_err();
        assert!(error.to_string().contains("without an answer"), "{error}");
        assert_eq!(addresses("::1").await.unwrap(), ["::1".parse::<IpAddr>().unwrap()]);
        assert!(addresses("localhost").await.unwrap().iter().all(IpAddr::is_loopback));
    }
}
