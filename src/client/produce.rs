//! Writing records.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};

use super::error::refusal;
use super::{Connection, Error};

/// A record to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Produced {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; none deletes the key in a compacted topic.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Writes into one topic; failures are gathered as they are learnt.
pub struct Producer {
    producer: ThreadedProducer<Failures>,
    topic: String,
}

#[derive(Clone, Default)]
struct Failures(Arc<Mutex<Vec<String>>>);

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else { return };
        let reason = match error.rdkafka_error_code() {
            Some(code) => refusal(message.topic(), code),
            None => error.to_string(),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(reason);
    }
}

impl Producer {
    /// A producer of `topic`.
    pub fn new(connection: &Connection, topic: &str) -> Result<Self, Error> {
        let producer = connection.config().create_with_context(Failures::default())?;
        Ok(Self { producer, topic: topic.to_owned() })
    }

    /// Hands a record over; waits while the queue is full.
    pub fn send(&self, record: &Produced) -> Result<(), Error> {
        let mut wanted = BaseRecord::to(&self.topic);
        if let Some(key) = &record.key {
            wanted = wanted.key(key.as_slice());
        }
        if let Some(value) = &record.value {
            wanted = wanted.payload(value.as_slice());
        }
        if !record.headers.is_empty() {
            let headers = record.headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
                all.insert(Header { key, value: Some(value) })
            });
            wanted = wanted.headers(headers);
        }
        loop {
            match self.producer.send(wanted) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    wanted = back;
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    /// What failed since the last call.
    pub fn failures(&self) -> Vec<String> {
        let failures = &self.producer.context().0;
        std::mem::take(&mut *failures.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until everything was acknowledged or given up.
    pub fn flush(&self) -> Result<(), Error> {
        self.producer.flush(Duration::from_hours(1))?;
        Ok(())
    }
}
