//! From a frame to its answer: the request header, the version, and one exhaustive match.
//!
//! In: a frame's bytes. Out: the answer in pieces, header included; nothing for a Produce
//! with acks=0; or [`Refused`], which ends the connection. Always: a key or version that we
//! do not serve closes the connection, as in Kafka; only `ApiVersions` answers it, in its
//! version 0, so that a newer client can ask again.
//!
//! Request header v1: key i16, version i16, correlation id i32, client id nullable string
//! (with an i16 length in v2 too), and in v2, for the flexible versions, tagged fields.
//! Response header v0: correlation id; v1 adds tagged fields. `ApiVersions` is always v0.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use kafka_protocol::messages::{
    DescribeAclsRequest, ListPartitionReassignmentsRequest, RequestHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Broker;
use super::answers::{Held, Share};
use super::api::{
    acls, alter_configs, alter_replica_log_dirs, api_versions, create_partitions, create_topics,
    delete_groups, delete_records, delete_topics, describe_cluster, describe_configs,
    describe_groups, describe_log_dirs, describe_quorum, describe_topic_partitions, elect_leaders,
    fetch, find_coordinator, heartbeat, incremental_alter_configs, init_producer_id, join_group,
    leave_group, list_config_resources, list_groups, list_offsets, metadata, offset_commit,
    offset_delete, offset_fetch, offset_for_leader_epoch, produce, reassignments, sync_group,
};
use super::call::{Answered, Call, Peer, Refused};
use super::costs;
use super::frame::Pieces;
use super::versions::{self, Api, Served};

/// A request whose header was read.
#[derive(Debug)]
pub(crate) enum Request {
    /// One we serve.
    Served { served: &'static Served, call: Header, body: Bytes },
    /// An `ApiVersions` of a version we do not know.
    NewerApiVersions { correlation: i32 },
}

/// What of the header the answer depends on.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) version: i16,
    pub(crate) correlation: i32,
    pub(crate) client_id: String,
    /// Whether it may wait for records.
    pub(crate) may_wait: bool,
    /// How much of the room of all answers its own may take.
    pub(crate) share: Share,
}

impl Request {
    /// There is no room for it to wait in: it is answered with what there is.
    pub(crate) fn answer_at_once(&mut self) {
        match self {
            Self::Served { call, .. } => call.may_wait = false,
            Self::NewerApiVersions { .. } => {}
        }
    }

    /// Which API this is, if it is a regular request.
    pub(crate) fn api(&self) -> Option<Api> {
        match self {
            Self::Served { served, .. } => Some(served.api),
            Self::NewerApiVersions { .. } => None,
        }
    }
}

/// Reads the header of a request of a client that may take so much at once.
pub(crate) fn open(mut frame: Bytes, share: Share) -> Result<Request, Refused> {
    let head = frame.first_chunk::<8>().ok_or(Refused::NoHeader)?;
    let mut fixed = &head[..];
    let (key, version, correlation) = (fixed.get_i16(), fixed.get_i16(), fixed.get_i32());
    let unserved = Refused::Unserved { key, version };
    let Some(served) = versions::of_key(key) else { return Err(unserved) };
    if !served.answers(version) {
        return match served.api {
            Api::ApiVersions => Ok(Request::NewerApiVersions { correlation }),
            _ => Err(unserved),
        };
    }
    let header_version = served.key.request_header_version(version);
    let header = RequestHeader::decode(&mut frame, header_version).map_err(|error| {
        Refused::Unreadable { api: served.api, version, reason: error.to_string() }
    })?;
    let client_id = header.client_id.as_deref().unwrap_or_default().to_owned();
    let call = Header { version, correlation, client_id, may_wait: true, share };
    Ok(Request::Served { served, call, body: frame })
}

/// Refuses what is longer than any that a client has reason to send.
pub(crate) fn check_length(request: &Request, bytes: usize) -> Result<(), Refused> {
    match (request.api(), costs::longest(request.api())) {
        (Some(api), Some(most)) if bytes > most => Err(Refused::Long { api, bytes, most }),
        _ => Ok(()),
    }
}

/// Answers one request.
pub(crate) async fn answer(
    broker: Arc<Broker>,
    peer: Peer,
    request: Request,
    stop: CancellationToken,
    queued: Arc<Notify>,
) -> Result<Option<Pieces>, Refused> {
    let (served, header, body) = match request {
        Request::Served { served, call, body } => (served, call, body),
        Request::NewerApiVersions { correlation } => {
            let mut pieces = Pieces::default();
            pieces.encode().put_i32(correlation);
            api_versions::unsupported(pieces.encode());
            return Ok(Some(pieces));
        }
    };
    let Header { version, correlation, client_id, may_wait, share } = header;
    let call = Call { api: served.api, version, client_id, peer, stop, queued, may_wait, share };
    let mut pieces = Pieces::default();
    pieces.encode().put_i32(correlation);
    if served.key.response_header_version(version) >= 1 {
        pieces.encode().put_u8(0); // no tagged fields
    }
    tracing::trace!(api = ?call.api, version, client = call.client_id, correlation, "request");
    let answered = route(&broker, &call, body, &mut pieces).await?;
    tracing::trace!(api = ?call.api, correlation, answered, "answer");
    Ok(answered.then_some(pieces))
}

async fn route(broker: &Arc<Broker>, call: &Call, body: Bytes, out: &mut Pieces) -> Answered {
    // An answer, and one that holds room until it is sent.
    macro_rules! put {
        ($answer:expr) => {
            call.write(out, &$answer)
        };
        ($answer:expr, $held:ident) => {
            write_held(call, out, $held, &$answer)
        };
    }
    match call.api {
        Api::Produce => match produce::answer(broker, call, call.read_mixed(body)?).await? {
            Some(answer) => put!(answer),
            None => Ok(false),
        },
        Api::Fetch => {
            fetch::answer(broker, call, call.read(body)?, out).await;
            Ok(true)
        }
        Api::ListOffsets => put!(list_offsets::answer(broker, call, call.read(body)?).await),
        Api::Metadata => {
            let request = metadata::each_once(call.read(body)?);
            let cost = costs::of_metadata(broker, &request);
            let held = broker.costs.room_of_once(call, cost).await?;
            put!(metadata::answer(broker, call, request).await, held)
        }
        Api::OffsetCommit => put!(offset_commit::answer(broker, call.read(body)?).await),
        Api::OffsetFetch => {
            let request = call.read(body)?;
            let held = broker.costs.room(call, costs::of_offsets(broker, &request)).await?;
            put!(offset_fetch::answer(broker, call, request), held)
        }
        Api::FindCoordinator => {
            let request = call.read(body)?;
            let held = broker.costs.room(call, costs::of_coordinators(call, &request)).await?;
            put!(find_coordinator::answer(broker, call, request), held)
        }
        Api::JoinGroup => put!(join_group::answer(broker, call, call.read_mixed(body)?).await),
        Api::Heartbeat => put!(heartbeat::answer(broker, call.read(body)?).await),
        Api::LeaveGroup => put!(leave_group::answer(broker, call, call.read(body)?).await),
        Api::SyncGroup => put!(sync_group::answer(broker, call.read_mixed(body)?).await),
        Api::DescribeGroups => {
            let request = call.read(body)?;
            let held = broker.costs.room(call, costs::of_groups(broker, &request)).await?;
            put!(describe_groups::answer(broker, call, request), held)
        }
        Api::ListGroups => {
            let request = call.read(body)?;
            let held = broker.costs.room_of_once(call, costs::of_all_groups(broker)).await?;
            put!(list_groups::answer(broker, &request), held)
        }
        Api::ApiVersions => put!(api_versions::answer(call, &call.read(body)?)),
        Api::CreateTopics => {
            let request = call.read(body)?;
            let held = broker.costs.room(call, costs::of_topics(call, &request)).await?;
            put!(create_topics::answer(broker, call, request).await, held)
        }
        Api::DeleteTopics => put!(delete_topics::answer(broker, call, call.read(body)?).await),
        Api::DeleteRecords => put!(delete_records::answer(broker, call.read(body)?).await),
        Api::InitProducerId => put!(init_producer_id::answer(broker, &call.read(body)?).await),
        Api::OffsetForLeaderEpoch => {
            put!(offset_for_leader_epoch::answer(broker, call.read(body)?))
        }
        Api::DescribeAcls => {
            call.read::<DescribeAclsRequest>(body)?;
            put!(acls::describe())
        }
        Api::CreateAcls => put!(acls::create(&call.read(body)?)),
        Api::DeleteAcls => put!(acls::delete(&call.read(body)?)),
        Api::DescribeConfigs => {
            let request = call.read(body)?;
            let held = broker.costs.room(call, costs::of_configs(&request)).await?;
            put!(describe_configs::answer(broker, &request), held)
        }
        Api::AlterConfigs => put!(alter_configs::answer(broker, call.read(body)?).await),
        Api::DescribeLogDirs => {
            let request = call.read(body)?;
            let cost = costs::of_log_dirs(broker, &request);
            let held = broker.costs.room_of_once(call, cost).await?;
            put!(describe_log_dirs::answer(broker, request), held)
        }
        Api::CreatePartitions => put!(create_partitions::answer(broker, call.read(body)?).await),
        Api::DeleteGroups => put!(delete_groups::answer(broker, call.read(body)?).await),
        Api::IncrementalAlterConfigs => {
            put!(incremental_alter_configs::answer(broker, call.read(body)?).await)
        }
        Api::OffsetDelete => put!(offset_delete::answer(broker, call.read(body)?).await),
        Api::DescribeCluster => put!(describe_cluster::answer(broker, call, &call.read(body)?)),
        Api::AlterReplicaLogDirs => put!(alter_replica_log_dirs::answer(broker, call.read(body)?)),
        Api::ElectLeaders => put!(elect_leaders::answer(broker, call.read(body)?)),
        Api::AlterPartitionReassignments => put!(reassignments::alter(broker, call.read(body)?)),
        Api::ListPartitionReassignments => {
            call.read::<ListPartitionReassignmentsRequest>(body)?;
            put!(reassignments::list())
        }
        Api::DescribeQuorum => put!(describe_quorum::answer(broker, call, call.read(body)?)),
        Api::ListConfigResources => {
            let request = call.read(body)?;
            let held = broker.costs.room_of_once(call, costs::of_resources(broker)).await?;
            put!(list_config_resources::answer(broker, call, &request), held)
        }
        Api::DescribeTopicPartitions => {
            put!(describe_topic_partitions::answer(broker, &call.read(body)?))
        }
    }
}

/// Writes an answer that holds room until it is sent: from here on for what is sent of it.
fn write_held(
    call: &Call,
    out: &mut Pieces,
    mut held: Option<Held>,
    answer: &impl Encodable,
) -> Answered {
    let answered = call.write(out, answer)?;
    if let Some(held) = &mut held {
        held.shrink(out.encode().len());
    }
    out.hold(held);
    Ok(answered)
}
