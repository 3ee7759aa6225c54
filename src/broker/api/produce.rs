//! Produce (key 0): appends one batch to each partition named.
//!
//! Behaviour: each partition's records must be exactly one batch of version 2; it is checked
//! (magic, lengths, CRC-32C), its records are looked into as its topic's settings ask
//! (`record::Rules`; where, is said in `validation`), and it goes to the log as it came, or written
//! anew where a setting or its own largest time asks for it. The answer comes when all are durable,
//! whatever acks asks for; with acks=0 there is none, and an error closes the connection instead.
//! Idempotent producers are checked by the log. Transactional ones are refused: transactions are
//! not served yet. What Kafka answers, and where we differ: `tests/it/kafka_answers/batches.rs`.
//!
//! Versions: advertised from 0, served from 3 (see `versions::PRODUCE_FLOOR`); 5 log start
//! offset; 7 zstd allowed; 8 record errors and messages; 9 flexible; 10, 11 as 9 here.

use std::collections::VecDeque;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use super::repeated;
use crate::broker::call::{Call, Refused};
use crate::broker::validation::{Looking, Rejected};
use crate::broker::{Broker, access};
use crate::clock::now_millis;
use crate::log::{AppendError, Appended, Produce};
use crate::record::{self, Arrived, BatchView, Compression, Unfit};

/// The first version whose clients know zstd.
const ZSTD_SINCE: i16 = 7;

/// Why a partition's records are not appended.
#[derive(Debug)]
struct Fault {
    error: ResponseError,
    message: String,
    /// The records at fault, by their place in the batch.
    records: Vec<i32>,
}

impl Fault {
    fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Self { error, message: message.into(), records: Vec::new() }
    }
}

/// `None` for acks=0.
pub(crate) async fn answer(
    broker: &Broker,
    call: &Call,
    request: ProduceRequest,
) -> Result<Option<ProduceResponse>, Refused> {
    let acks = request.acks;
    let mut batches = Vec::new();
    let mut judged = Vec::with_capacity(request.topic_data.len());
    let mut looking = broker.validation.begin(&call.stop);
    for topic in request.topic_data {
        let mut partitions = Vec::with_capacity(topic.partition_data.len());
        // What is said of a partition last holds, as in Kafka.
        for data in repeated::merge(topic.partition_data, |data| data.index) {
            let fault =
                match check_batch(broker, call, &mut looking, acks, &topic.name, &data).await {
                    Ok(batch) => {
                        batches.push(batch);
                        None
                    }
                    Err(fault) => Some(fault),
                };
            partitions.push((data.index, fault));
        }
        judged.push((topic.name, partitions));
    }
    let queued = broker.log.enqueue(batches).await;
    drop(looking);
    call.queued.notify_one();
    let mut appended: VecDeque<_> = queued.await.into();
    let mut worst = None;
    let mut responses = Vec::with_capacity(judged.len());
    for (name, partitions) in judged {
        let mut told = Vec::with_capacity(partitions.len());
        for (index, fault) in partitions {
            let outcome = match fault {
                Some(fault) => Err(fault),
                None => outcome(appended.pop_front()),
            };
            if let Err(fault) = &outcome {
                worst.get_or_insert_with(|| fault.message.clone());
            }
            told.push(tell(index, outcome));
        }
        responses
            .push(TopicProduceResponse::default().with_name(name).with_partition_responses(told));
    }
    match (acks, worst) {
        (0, Some(message)) => Err(Refused::Unacknowledged(message)),
        (0, None) => Ok(None),
        _ => Ok(Some(ProduceResponse::default().with_responses(responses))),
    }
}

/// Everything that can be said of the records before they are appended.
async fn check_batch(
    broker: &Broker,
    call: &Call,
    looking: &mut Looking<'_>,
    acks: i16,
    topic: &str,
    data: &PartitionProduceData,
) -> Result<Produce, Fault> {
    if !(-1..=1).contains(&acks) {
        let message = format!("acks is {acks}; it has to be -1, 0 or 1");
        return Err(Fault::new(ResponseError::InvalidRequiredAcks, message));
    }
    let topic = broker
        .partition(topic, data.index)
        .map_err(|error| Fault::new(error, "there is no such partition"))?;
    access::may_produce(&topic)
        .map_err(|why| Fault::new(ResponseError::TopicAuthorizationFailed, why))?;
    let batch = data.records.clone().unwrap_or_default();
    let view = BatchView::parse(&batch).map_err(|error| malformed(&error))?;
    let head = view.head();
    if head.base_offset != 0 {
        let message = format!("the base offset is {}, and has to be 0", head.base_offset);
        return Err(Fault::new(ResponseError::InvalidRecord, message));
    }
    if head.is_transactional() {
        let message = "transactions are not served yet: produce without transactional.id";
        return Err(Fault::new(ResponseError::TransactionalIdAuthorizationFailed, message));
    }
    if head.is_control() {
        let message = "clients may not write control batches";
        return Err(Fault::new(ResponseError::InvalidRecord, message));
    }
    if head.producer_id >= 0 && (head.base_sequence < 0 || head.producer_epoch < 0) {
        let message = "a batch of a producer needs its epoch and a sequence number";
        return Err(Fault::new(ResponseError::InvalidRecord, message));
    }
    if head.compression() == Compression::Zstd && call.version < ZSTD_SINCE {
        let message = "zstd needs version 7 of Produce";
        return Err(Fault::new(ResponseError::UnsupportedCompressionType, message));
    }
    if let Compression::Unknown(codec) = head.compression() {
        let message = format!("compression codec {codec} is unknown");
        return Err(Fault::new(ResponseError::UnsupportedCompressionType, message));
    }
    let max = topic.config().max_message_bytes;
    check_size(batch.len(), max)?;
    let rules = topic.config().rules(now_millis());
    let arrived = looking.arrive(&view, &batch, &rules).await;
    let batch = match arrived.map_err(|rejected| refused(&rejected))? {
        Arrived::AsItCame => batch,
        Arrived::Anew(bytes) => {
            check_size(bytes.len(), max)?;
            bytes.into()
        }
    };
    Ok(Produce { topic, partition: data.index, batch })
}

fn check_size(size: usize, max: usize) -> Result<(), Fault> {
    if size <= max {
        return Ok(());
    }
    let error = AppendError::TooLarge { size, max };
    Err(Fault::new(ResponseError::MessageTooLarge, error.to_string()))
}

fn malformed(error: &record::Error) -> Fault {
    let code = match error {
        record::Error::Length(_) | record::Error::Crc { .. } => ResponseError::CorruptMessage,
        // Of the formats before the one there is, Kafka says that they are not taken any more.
        record::Error::Magic(magic) if !(0..=1).contains(magic) => ResponseError::CorruptMessage,
        record::Error::Cut { .. }
        | record::Error::Trailing(_)
        | record::Error::Magic(_)
        | record::Error::Count { .. }
        | record::Error::Compressed(_)
        | record::Error::Inflate { .. }
        | record::Error::Inflated { .. }
        | record::Error::Record { .. } => ResponseError::InvalidRecord,
    };
    Fault::new(code, error.to_string())
}

fn refused(rejected: &Rejected) -> Fault {
    match rejected {
        Rejected::Unfit(unfit) => unfit_for(unfit),
        Rejected::TooMuch => {
            let message = "the batches of this request are too large when they are written in the \
                           compression of their topics: send fewer in one";
            Fault::new(ResponseError::RecordListTooLarge, message)
        }
        Rejected::Stopped => Fault::new(ResponseError::NotLeaderOrFollower, "the server stops"),
    }
}

fn unfit_for(unfit: &Unfit) -> Fault {
    let message = unfit.to_string();
    match unfit {
        Unfit::Malformed(error) => malformed(error),
        Unfit::NoKey(records) => {
            Fault { records: records.clone(), ..Fault::new(ResponseError::InvalidRecord, message) }
        }
        Unfit::Time(records) => Fault {
            records: records.clone(),
            ..Fault::new(ResponseError::InvalidTimestamp, message)
        },
    }
}

fn outcome(appended: Option<Result<Appended, AppendError>>) -> Result<Appended, Fault> {
    match appended {
        Some(Ok(appended)) => Ok(appended),
        Some(Err(error)) => Err(Fault::new(access::of_append(&error), error.to_string())),
        None => Err(Fault::new(ResponseError::UnknownServerError, "the log gave no answer")),
    }
}

fn tell(index: i32, outcome: Result<Appended, Fault>) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default().with_index(index);
    match outcome {
        Ok(appended) => response
            .with_base_offset(appended.base_offset)
            .with_log_append_time_ms(appended.log_append_time.unwrap_or(-1))
            .with_log_start_offset(appended.log_start),
        Err(fault) => {
            let records = fault.records.iter().map(|place| {
                BatchIndexAndErrorMessage::default()
                    .with_batch_index(*place)
                    .with_batch_index_error_message(Some(fault.message.clone().into()))
            });
            response
                .with_error_code(fault.error.code())
                .with_base_offset(-1)
                .with_log_append_time_ms(-1)
                .with_log_start_offset(-1)
                .with_record_errors(records.collect())
                .with_error_message(Some(fault.message.into()))
        }
    }
}
