//! Log files, one for the server and one an instance, each written by a thread of its own.
//!
//! In: events of `tracing`. Out: lines appended to `server.log` or
//! `<instance>/<instance>.log`.
//!
//! What holds: who logs never waits for a disk, not even for a file to be opened. Lines that
//! the thread does not get rid of in time, or that the file refuses, are dropped; they are
//! counted, and the file says how many are missing as soon as it takes lines again. What is
//! wrong with a file is told once to whoever is at the terminal, and stands in
//! [`Trouble::list`] as long as it lasts.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, span};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

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

/// The layer that routes events to files.
#[derive(Debug)]
pub struct LogFiles {
    folder: PathBuf,
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
    pub fn new(folder: &Path, complain: Complain) -> (Self, FlushLogs) {
        let workers = Arc::default();
        let guard = FlushLogs { workers: Arc::clone(&workers) };
        let (writers, trouble) = (Mutex::default(), Trouble::default());
        (Self { folder: folder.to_owned(), writers, workers, trouble, complain }, guard)
    }

    /// What is wrong with the files, now and later.
    pub fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }

    fn write(&self, instance: &str, line: &str) {
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
        let (folder, name) = if instance.is_empty() {
            (self.folder.clone(), "server.log".to_owned())
        } else {
            (self.folder.join(instance), format!("{instance}.log"))
        };
        let state = Arc::new(State::default());
        lock(&self.trouble.0).insert(folder.join(&name), Arc::clone(&state));
        let file = LogFile {
            folder,
            name,
            file: None,
            state: Arc::clone(&state),
            told: 0,
            complain: self.complain,
        };
        let (writer, worker) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(WAITING_LINES)
            .thread_name("log file")
            .finish(file);
        let _ = state.overflow.set(writer.error_counter()); // nobody else sets it
        lock(&self.workers).push(worker);
        writer
    }
}

/// A file as its thread writes it. It never fails: what it cannot write is counted.
struct LogFile {
    folder: PathBuf,
    name: String,
    file: Option<RollingFileAppender>,
    state: Arc<State>,
    /// How many missing lines the file has told of.
    told: usize,
    complain: Complain,
}

impl LogFile {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => self.file.insert(file),
            None => self.file.insert(open(&self.folder, &self.name)?),
        };
        let missing = self.state.missing();
        if missing > self.told {
            let text =
                format!("{} lines are missing: the disk did not take them", missing - self.told);
            file.write_all(line_of("log file", "WARN", module_path!(), &text).as_bytes())?;
            self.told = missing;
        }
        file.write_all(line)
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
            let path = self.folder.join(&self.name);
            (self.complain)(&format!(
                "cannot write the log file {}: {reason}; lines are dropped until it can be written",
                path.display()
            ));
        }
        *known = refuses;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open(folder: &Path, name: &str) -> io::Result<RollingFileAppender> {
    let builder = RollingFileAppender::builder().rotation(Rotation::NEVER).filename_prefix(name);
    builder.build(folder).map_err(|error| {
        // Its own words name no reason; what it wraps does.
        let reason = std::error::Error::source(&error).map(ToString::to_string);
        io::Error::other(reason.unwrap_or_else(|| error.to_string()))
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line in Canal's shape, at this moment.
fn line_of(thread: &str, level: &str, target: &str, text: &str) -> String {
    let now = jiff::Timestamp::from_millisecond(crate::clock::now_millis()).unwrap_or_default();
    let now = now.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%.3f");
    format!("{now} [{thread}] {level:<5} {target} - {text}\n")
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
        let mut text = Text::default();
        attributes.record(&mut text);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(InstanceName(text.name));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let thread = std::thread::current();
        let metadata = event.metadata();
        let line = line_of(
            thread.name().unwrap_or("-"),
            metadata.level().as_str(),
            metadata.target(),
            &(text.message + &text.fields),
        );
        let instance = context.event_scope(event).and_then(|scope| {
            scope.from_root().find_map(|span| {
                span.extensions().get::<InstanceName>().map(|InstanceName(name)| name.clone())
            })
        });
        self.write(instance.as_deref().unwrap_or_default(), &line);
    }
}

/// The message of an event, and its other fields behind it as ` key=value`.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
    name: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            "name" => value.clone_into(&mut self.name),
            name => {
                let _ = write!(self.fields, " {name}={value}");
            }
        }
    }
}

#[cfg(test)]
mod tests;
