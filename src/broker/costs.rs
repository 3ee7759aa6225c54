//! What answers cost in memory that may be much larger than what asks for them.
//!
//! In: a request that was read, and what there is of what it names. Out: room among all such
//! answers, which is held until the answer is sent; or [`Refused`], if one alone would be above
//! [`MOST`]. Always: it is reckoned before anything is built, in bytes of what is built, not of
//! what is sent; what says little about what there is costs nothing.
//!
//! Kafka builds each of them, however often something is named: the sizes here are far above
//! what its own clients ask for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{
    CreateTopicsRequest, DescribeConfigsRequest, DescribeGroupsRequest, DescribeLogDirsRequest,
    FindCoordinatorRequest, MetadataRequest, OffsetFetchRequest,
};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Broker;
use super::answers::{Held, UNIT};
use super::call::{Call, Refused};
use super::versions::Api;
use crate::log::Topic;

/// What all of them hold together.
const ROOM: usize = 32 << 20;
/// What one answer may cost, but for what there is once.
const MOST: usize = ROOM;
/// What needs no room.
const SMALL: usize = 16 << 10;
/// How long an answer waits for room.
const PATIENCE: Duration = Duration::from_secs(15);

/// Of anything that is named.
const NAMED: usize = 256;
/// Of a partition in Metadata, with its two lists of nodes.
const PARTITION: usize = 192;
/// Of a partition in `DescribeLogDirs`, with its place in the set of those asked for.
const LOG_DIR: usize = 128;
/// Of an offset of a group, beside its topic and metadata.
const OFFSET: usize = 256;
/// Of a setting, with its synonyms.
const SETTING: usize = 448;
/// More settings than a topic or the broker has.
const SETTINGS: usize = 48;

/// The longest request of a kind, in bytes: many times what a client sends that names all that
/// there is. `None` for what carries records.
pub(super) fn longest(api: Option<Api>) -> Option<usize> {
    match api {
        Some(Api::Produce) => None,
        Some(
            Api::Fetch
            | Api::ListOffsets
            | Api::Metadata
            | Api::OffsetCommit
            | Api::OffsetFetch
            | Api::JoinGroup
            | Api::SyncGroup
            | Api::CreateTopics,
        ) => Some(4 << 20),
        Some(_) | None => Some(2 << 20),
    }
}

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Costs(Arc<Semaphore>);

impl Default for Costs {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM / UNIT)))
    }
}

impl Costs {
    /// Room for an answer that costs so much, after a wait if there is none.
    pub(super) async fn room(&self, call: &Call, bytes: usize) -> Result<Option<Held>, Refused> {
        let (api, most) = (call.api, MOST);
        if bytes > MOST {
            return Err(Refused::Costly { api, bytes, most });
        }
        self.room_of_once(call, bytes).await
    }

    /// As [`Costs::room`], for what names each thing once: one that is larger than all of the room
    /// takes all of it.
    pub(super) async fn room_of_once(
        &self,
        call: &Call,
        bytes: usize,
    ) -> Result<Option<Held>, Refused> {
        if bytes <= SMALL {
            return Ok(None);
        }
        let units = u32::try_from(bytes.min(ROOM).div_ceil(UNIT)).unwrap_or(0);
        let room = timeout(PATIENCE, Arc::clone(&self.0).acquire_many_owned(units)).await;
        match room {
            Ok(Ok(room)) => Ok(Some(Held::of(room))),
            Ok(Err(_)) | Err(_) => Err(Refused::NoRoom { api: call.api }),
        }
    }
}

/// Of an answer to a Metadata request that names each topic once.
pub(super) fn of_metadata(broker: &Broker, request: &MetadataRequest) -> usize {
    let of_topic = |partitions: i32| NAMED + usize::try_from(partitions).unwrap_or(0) * PARTITION;
    let Some(asked) = &request.topics else {
        return broker.log.topics().iter().map(|topic| of_topic(topic.partitions())).sum();
    };
    let of_asked = asked.iter().map(|asked| {
        let topic = match &asked.name {
            Some(name) => broker.log.topic(name),
            None => broker.log.topic_by_id(asked.topic_id),
        };
        of_topic(topic.map_or(broker.settings.num_partitions, |topic| topic.partitions()))
    });
    of_asked.sum()
}

pub(super) fn of_configs(request: &DescribeConfigsRequest) -> usize {
    let of_resource = |asked: &DescribeConfigsResource| {
        let keys = asked.configuration_keys.as_ref().filter(|keys| !keys.is_empty());
        NAMED + SETTING * keys.map_or(SETTINGS, |keys| keys.len().min(SETTINGS))
    };
    request.resources.iter().map(of_resource).sum()
}

/// The settings of what was made, or would be.
pub(super) fn of_topics(call: &Call, request: &CreateTopicsRequest) -> usize {
    let settings = if call.version >= 5 { SETTINGS * SETTING / 4 } else { 0 };
    request.topics.len() * (NAMED + settings)
}

/// Of an answer that lists all groups, or those in some states. Each is there once.
pub(super) fn of_all_groups(broker: &Broker) -> usize {
    broker.groups.size_of_list(NAMED)
}

/// Of an answer about the sizes of partitions, each of which is there once.
pub(super) fn of_log_dirs(broker: &Broker, request: &DescribeLogDirsRequest) -> usize {
    let of_topic = |name: &str, partitions: usize| NAMED + name.len() + LOG_DIR * partitions;
    match &request.topics {
        None => {
            let all = broker.log.topics();
            let partitions = |topic: &Topic| usize::try_from(topic.partitions()).unwrap_or(0);
            all.iter().map(|topic| of_topic(topic.name(), partitions(topic))).sum()
        }
        Some(asked) => {
            asked.iter().map(|asked| of_topic(&asked.topic, asked.partitions.len())).sum()
        }
    }
}

/// Of an answer that lists all topics.
pub(super) fn of_resources(broker: &Broker) -> usize {
    broker.log.topics().iter().map(|topic| NAMED + topic.name().len()).sum()
}

/// The sizes of groups, each reckoned once.
struct Sizes<F> {
    known: HashMap<StrBytes, usize>,
    size: F,
}

impl<F: Fn(&str) -> usize> Sizes<F> {
    fn new(size: F) -> Self {
        Self { known: HashMap::new(), size }
    }

    fn of(&mut self, group: &StrBytes) -> usize {
        *self.known.entry(group.clone()).or_insert_with(|| (self.size)(group))
    }
}

pub(super) fn of_offsets(broker: &Broker, request: &OffsetFetchRequest) -> usize {
    let mut all = Sizes::new(|group| broker.groups.size_of_offsets(group, OFFSET));
    let mut of_group = |group: &StrBytes, named: Option<usize>| {
        NAMED + named.map_or_else(|| all.of(group), |named| named * OFFSET)
    };
    if request.groups.is_empty() {
        let topics = request.topics.as_ref();
        let named = topics.map(|all| all.iter().map(|one| 1 + one.partition_indexes.len()).sum());
        return of_group(&request.group_id, named);
    }
    let of_asked = request.groups.iter().map(|asked| {
        let topics = asked.topics.as_ref();
        let named = topics.map(|all| all.iter().map(|one| 1 + one.partition_indexes.len()).sum());
        of_group(&asked.group_id, named)
    });
    of_asked.sum()
}

pub(super) fn of_groups(broker: &Broker, request: &DescribeGroupsRequest) -> usize {
    let mut members = Sizes::new(|group| broker.groups.size_of_members(group));
    request.groups.iter().map(|group| NAMED + members.of(group)).sum()
}

pub(super) fn of_coordinators(call: &Call, request: &FindCoordinatorRequest) -> usize {
    let host = call.peer.endpoint.host.len();
    request.coordinator_keys.iter().map(|key| NAMED + key.len() + host).sum()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use bytes::{Bytes, BytesMut};
    use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
    use kafka_protocol::messages::{
        JoinGroupRequest, ListConfigResourcesRequest, ListGroupsRequest, RequestHeader,
    };
    use kafka_protocol::protocol::{Encodable, Request};
    use tokio::sync::Notify;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::broker::answers::Share;
    use crate::broker::call::Peer;
    use crate::broker::frame::Pieces;
    use crate::broker::{BrokerSettings, Endpoint, dispatch};
    use crate::log::simulated::Simulated;
    use crate::log::{Log, LogSettings, NewTopic};
    use crate::shutdown::Tasks;

    fn frame<R: Request>(version: i16, request: &R) -> Bytes {
        let mut frame = BytesMut::new();
        let header =
            RequestHeader::default().with_request_api_key(R::KEY).with_request_api_version(version);
        header.encode(&mut frame, R::header_version(version)).unwrap();
        request.encode(&mut frame, version).unwrap();
        frame.freeze()
    }

    async fn ask(broker: &Arc<Broker>, frame: Bytes) -> Pieces {
        let remote: SocketAddr = ([127, 0, 0, 1], 1).into();
        let peer = Peer { remote, endpoint: Endpoint { host: "h".to_owned(), port: 1 } };
        let request = dispatch::open(frame, Share::default()).unwrap();
        let (broker, stop, queued) =
            (Arc::clone(broker), CancellationToken::new(), Arc::new(Notify::new()));
        dispatch::answer(broker, peer, request, stop, queued).await.unwrap().unwrap()
    }

    /// Who asks for all that there is with a few bytes holds room until the answer is sent.
    #[tokio::test]
    async fn answers_about_all_that_there_is_hold_room_until_they_are_sent() {
        let tasks = Tasks::new();
        let disk = Arc::new(Simulated::new());
        let log = Log::open(disk, LogSettings::default(), &tasks).await.unwrap();
        for number in 0..40 {
            let name = format!("{number:0200}");
            let new = NewTopic { name, partitions: 100, ..NewTopic::default() };
            log.create_topic(new).await.unwrap();
        }
        let broker = Broker::open(log, BrokerSettings::default(), &tasks).await.unwrap();
        for number in 0..40 {
            let protocol = JoinGroupRequestProtocol::default().with_name("range".into());
            let request = JoinGroupRequest::default()
                .with_group_id(StrBytes::from_string(format!("{number:01000}")).into())
                .with_session_timeout_ms(300_000)
                .with_protocol_type("consumer".into())
                .with_protocols(vec![protocol]);
            ask(&broker, frame(4, &request)).await;
        }
        let all = || broker.costs.0.available_permits() * UNIT;
        let requests = [
            ("Metadata", frame(9, &MetadataRequest::default().with_topics(None))),
            ("DescribeLogDirs", frame(2, &DescribeLogDirsRequest::default().with_topics(None))),
            ("ListGroups", frame(3, &ListGroupsRequest::default())),
            ("ListConfigResources", frame(1, &ListConfigResourcesRequest::default())),
        ];
        for (name, request) in requests {
            assert!(request.len() < 64, "{name}");
            let mut answer = ask(&broker, request).await;
            let bytes = answer.encode().len();
            assert!(bytes > 5000, "{name}: {bytes}");
            assert!(ROOM - all() >= bytes, "{name}: {bytes} bytes, {} held", ROOM - all());
            drop(answer);
            assert_eq!(all(), ROOM, "{name}");
        }
    }
}
