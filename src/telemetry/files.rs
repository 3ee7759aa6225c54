//! Log files, one for the server and one an instance, written by threads of their own.
//!
//! In: events of `tracing`. Out: lines appended to `server.log` or
//! `<instance>/<instance>.log`. Nothing is dropped when a disk is slow: the writer blocks.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, span};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// The span that names an instance (see [`super::instance_span`]).
const INSTANCE_SPAN: &str = "instance";

/// How many lines may wait for a file's thread. Their places are made at once: 32 KiB a file.
const WAITING_LINES: usize = 1024;

/// Writes what is pending when it is dropped.
#[derive(Debug, Default)]
pub struct FlushLogs {
    workers: Arc<Mutex<Vec<WorkerGuard>>>,
}

impl Drop for FlushLogs {
    fn drop(&mut self) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The layer that routes events to files.
#[derive(Debug)]
pub struct LogFiles {
    folder: PathBuf,
    /// By instance name; the empty name is the server.
    writers: Mutex<HashMap<String, NonBlocking>>,
    workers: Arc<Mutex<Vec<WorkerGuard>>>,
}

/// The name a span carries for the events in it.
struct InstanceName(String);

impl LogFiles {
    /// Files under `folder`, each made when its first line comes.
    pub fn new(folder: &Path) -> (Self, FlushLogs) {
        let workers = Arc::default();
        let guard = FlushLogs { workers: Arc::clone(&workers) };
        (Self { folder: folder.to_owned(), writers: Mutex::default(), workers }, guard)
    }

    fn write(&self, instance: &str, line: &str) {
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        if !writers.contains_key(instance) {
            let Some(writer) = self.open(instance) else { return };
            writers.insert(instance.to_owned(), writer);
        }
        if let Some(writer) = writers.get_mut(instance) {
            // A log line that cannot be written has nowhere to be reported.
            let _ = writer.write_all(line.as_bytes());
        }
    }

    fn open(&self, instance: &str) -> Option<NonBlocking> {
        let (folder, name) = if instance.is_empty() {
            (self.folder.clone(), "server.log".to_owned())
        } else {
            (self.folder.join(instance), format!("{instance}.log"))
        };
        let file = tracing_appender::rolling::RollingFileAppender::builder()
            .rotation(tracing_appender::rolling::Rotation::NEVER)
            .filename_prefix(name)
            .build(folder)
            .ok()?;
        let (writer, worker) = NonBlockingBuilder::default()
            .lossy(false)
            .buffered_lines_limit(WAITING_LINES)
            .finish(file);
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
        Some(writer)
    }
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
        let now = jiff::Timestamp::from_millisecond(crate::clock::now_millis()).unwrap_or_default();
        let now = now.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%.3f");
        let thread = std::thread::current();
        let line = format!(
            "{now} [{}] {:<5} {} - {}{}\n",
            thread.name().unwrap_or("-"),
            event.metadata().level(),
            event.metadata().target(),
            text.message,
            text.fields,
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
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn lines_of_an_instance_go_to_its_own_file() {
        let folder = tempfile::tempdir().unwrap();
        let (layer, guard) = LogFiles::new(folder.path());
        let subscriber = tracing_subscriber::Registry::default().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(port = 9092, "the server listens");
            crate::telemetry::instance_span("example").in_scope(|| {
                tracing::warn!("the position is old");
            });
        });
        drop(guard);
        let server = std::fs::read_to_string(folder.path().join("server.log")).unwrap();
        let example = std::fs::read_to_string(folder.path().join("example/example.log")).unwrap();
        assert!(server.ends_with("- the server listens port=9092\n"), "{server}");
        assert!(example.contains("] WARN  sluice::"), "{example}");
        assert!(example.ends_with("- the position is old\n"), "{example}");
    }
}
