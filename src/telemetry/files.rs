//! Log files, one for the server and one an instance, each written by a thread of its own.
//!
//! In: events of `tracing`. Out: lines appended to `server.log` or
//! `<instance>/<instance>.log`, which are rolled ([`rolling`]), and to the standard output where that
//! is wanted.
//!
//! What holds: who logs never waits for a disk, not even for a file to be opened. Lines that
//! the thread does not get rid of in time, or that the file refuses, are dropped; they are
//! counted, and the file says how many are missing as soon as it takes lines again. What is
//! wrong with a file is told once to whoever is at the terminal, and stands in
//! [`Trouble::list`] as long as it lasts.

mod line;
mod rolling;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tracing::{Event, Subscriber, span};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use line::{Origin, Said};
use rolling::Rolling;

pub use line::Style;
pub use rolling::Limits;

/// The span that names an instance (see [`super::instance_span`]).
const INSTANCE_SPAN: &str = "instance";

/// How many lines may wait for a file's thread. Their places are made at once: 32 KiB a file.
const WAITING_LINES: usize = 1024;

/// Tells a sentence to whoever is at the terminal.
pub type Complain = fn(&str);

/// Writes what is pending when it is dropped, if that takes no longer than a second a file.
#[derive(Debug, Default)]
pub struct FlushLogs {
    workers: Arc<Mutex<Vec<WorkerGuard>>>,
}

impl Drop for FlushLogs {
    fn drop(&mut self) {
        lock(&self.workers).clear();
    }
}

/// What is wrong with the log files; clones show the same.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<BTreeMap<PathBuf, Arc<State>>>>);

/// What became of the lines of a file.
#[derive(Debug, Default)]
struct State {
    /// Why it takes no lines at present.
    refuses: Mutex<Option<String>>,
    /// How many lines it refused.
    refused: AtomicUsize,
    /// Counts the lines that did not even come to its thread.
    overflow: OnceLock<ErrorCounter>,
}

impl State {
    fn missing(&self) -> usize {
        let overflow = self.overflow.get().map_or(0, ErrorCounter::dropped_lines);
        overflow + self.refused.load(Ordering::Relaxed)
    }
}

impl Trouble {
    /// A sentence for each file that takes no lines, or that lacks some.
    pub fn list(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (path, state) in &*lock(&self.0) {
            let path = path.display();
            if let Some(reason) = &*lock(&state.refuses) {
                all.push(format!("{path} cannot be written: {reason}"));
            }
            match state.missing() {
                0 => {}
                1 => all.push(format!("{path} lacks 1 line, which its disk did not take")),
                more => all.push(format!("{path} lacks {more} lines, which its disk did not take")),
            }
        }
        all
    }
}

/// How lines are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// How a line is written.
    pub style: Style,
    /// How much is kept.
    pub limits: Limits,
    /// Whether lines go to the standard output too.
    pub console: bool,
}

/// The layer that routes events to files.
#[derive(Debug)]
pub struct LogFiles {
    folder: PathBuf,
    keeping: Keeping,
    console: Option<Mutex<NonBlocking>>,
    /// By instance name; the empty name is the server.
    writers: Mutex<HashMap<String, NonBlocking>>,
    workers: Arc<Mutex<Vec<WorkerGuard>>>,
    trouble: Trouble,
    complain: Complain,
}

/// The name a span carries for the events in it.
struct InstanceName(String);

impl LogFiles {
    /// Files under `folder`, each made when its first line comes.
    pub fn new(folder: &Path, keeping: Keeping, complain: Complain) -> (Self, FlushLogs) {
        let workers: Arc<Mutex<Vec<WorkerGuard>>> = Arc::default();
        let guard = FlushLogs { workers: Arc::clone(&workers) };
        let console = keeping.console.then(|| {
            let (writer, worker) = thread().finish(std::io::stdout());
            lock(&workers).push(worker);
            Mutex::new(writer)
        });
        let (writers, trouble) = (Mutex::default(), Trouble::default());
        let folder = folder.to_owned();
        (Self { folder, keeping, console, writers, workers, trouble, complain }, guard)
    }

    /// What is wrong with the files, now and later.
    pub fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }

    fn write(&self, instance: &str, line: &str) {
        if let Some(console) = &self.console {
            // It takes the line, or drops it.
            let _ = lock(console).write_all(line.as_bytes());
        }
        let mut writers = lock(&self.writers);
        if !writers.contains_key(instance) {
            writers.insert(instance.to_owned(), self.start(instance));
        }
        if let Some(writer) = writers.get_mut(instance) {
            // It takes the line, or counts it.
            let _ = writer.write_all(line.as_bytes());
        }
    }

    /// Starts the thread of a file, which opens it.
    fn start(&self, instance: &str) -> NonBlocking {
        let (folder, stem) = if instance.is_empty() {
            (self.folder.clone(), "server".to_owned())
        } else {
            (self.folder.join(instance), instance.to_owned())
        };
        let state = Arc::new(State::default());
        let path = folder.join(format!("{stem}.log"));
        lock(&self.trouble.0).insert(path.clone(), Arc::clone(&state));
        let file = LogFile {
            folder,
            stem,
            path,
            keeping: self.keeping,
            file: None,
            state: Arc::clone(&state),
            told: 0,
            complain: self.complain,
        };
        let (writer, worker) = thread().finish(file);
        let _ = state.overflow.set(writer.error_counter()); // nobody else sets it
        lock(&self.workers).push(worker);
        writer
    }
}

/// A thread that writes what is handed to it, and drops what is too much.
fn thread() -> NonBlockingBuilder {
    NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("log file")
}

/// A file as its thread writes it. It never fails: what it cannot write is counted.
struct LogFile {
    folder: PathBuf,
    stem: String,
    path: PathBuf,
    keeping: Keeping,
    file: Option<Rolling>,
    state: Arc<State>,
    /// How many missing lines the file has told of.
    told: usize,
    complain: Complain,
}

impl LogFile {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let today = today();
        let file = if let Some(file) = self.file.take() {
            self.file.insert(file)
        } else {
            let limits = self.keeping.limits;
            self.file.insert(Rolling::open(&self.folder, &self.stem, limits, today)?)
        };
        let missing = self.state.missing();
        if missing > self.told {
            let text =
                format!("{} lines are missing: the disk did not take them", missing - self.told);
            let origin =
                Origin { thread: "log file", level: "WARN", target: module_path!(), instance: "" };
            let told = self.keeping.style.line(&origin, Said::message(text));
            file.append(told.as_bytes(), today)?;
            self.told = missing;
        }
        file.append(line, today)
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let refuses = match self.append(line) {
            Ok(()) => None,
            Err(error) => {
                self.file = None;
                self.state.refused.fetch_add(1, Ordering::Relaxed);
                Some(error.to_string())
            }
        };
        let mut known = lock(&self.state.refuses);
        if let Some(reason) = refuses.as_ref().filter(|_| known.is_none()) {
            (self.complain)(&format!(
                "cannot write the log file {}: {reason}; lines are dropped until it can be written",
                self.path.display()
            ));
        }
        *known = refuses;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn today() -> jiff::civil::Date {
    let now = jiff::Timestamp::from_millisecond(crate::clock::now_millis()).unwrap_or_default();
    now.to_zoned(jiff::tz::TimeZone::system()).date()
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogFiles {
    fn on_new_span(
        &self,
        attributes: &span::Attributes<'_>,
        id: &span::Id,
        context: Context<'_, S>,
    ) {
        if attributes.metadata().name() != INSTANCE_SPAN {
            return;
        }
        let mut text = Said::default();
        attributes.record(&mut text);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(InstanceName(text.name));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let thread = std::thread::current();
        let metadata = event.metadata();
        let instance = context.event_scope(event).and_then(|scope| {
            scope.from_root().find_map(|span| {
                span.extensions().get::<InstanceName>().map(|InstanceName(name)| name.clone())
            })
        });
        let instance = instance.as_deref().unwrap_or_default();
        let origin = Origin {
            thread: thread.name().unwrap_or("-"),
            level: metadata.level().as_str(),
            target: metadata.target(),
            instance,
        };
        let line = self.keeping.style.line(&origin, said);
        self.write(instance, &line);
    }
}

#[cfg(test)]
mod tests;
