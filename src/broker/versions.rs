//! The APIs we serve, and the versions of each that we say we serve.
//!
//! Out: [`Api`], a closed enum (a new API does not compile before `dispatch` has its arm),
//! and [`TABLE`], written by hand. It is not `ApiKey::valid_versions`: that holds unstable
//! versions too, and is only an upper bound of what the codec can read.
//!
//! Always: each API stands in the table once. Fetch starts at 4 and all others at the floor
//! of Kafka 4 clients (KIP-896); old librdkafka finds every exact version its feature map
//! looks for inside these ranges.

use kafka_protocol::messages::ApiKey;

/// An API we serve.
#[expect(clippy::enum_variant_names, reason = "ApiVersions is the protocol's name")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Produce,
    Fetch,
    ListOffsets,
    Metadata,
    OffsetCommit,
    OffsetFetch,
    FindCoordinator,
    JoinGroup,
    Heartbeat,
    LeaveGroup,
    SyncGroup,
    DescribeGroups,
    ListGroups,
    ApiVersions,
    CreateTopics,
    DeleteTopics,
    DeleteRecords,
    InitProducerId,
    OffsetForLeaderEpoch,
    DescribeAcls,
    CreateAcls,
    DeleteAcls,
    DescribeConfigs,
    AlterConfigs,
    DescribeLogDirs,
    CreatePartitions,
    DeleteGroups,
    IncrementalAlterConfigs,
    OffsetDelete,
    DescribeCluster,
    AlterReplicaLogDirs,
    ElectLeaders,
    AlterPartitionReassignments,
    ListPartitionReassignments,
    DescribeQuorum,
    ListConfigResources,
    DescribeTopicPartitions,
}

impl Api {
    /// Whether what it asks for is carried through once it has begun, also if its client goes
    /// away. The append of a Produce is the log's affair; who joins or syncs asks for one step; of
    /// replicas and leaders nothing is ever changed.
    pub(crate) fn is_carried_through(self) -> bool {
        match self {
            Self::OffsetCommit
            | Self::LeaveGroup
            | Self::CreateTopics
            | Self::DeleteTopics
            | Self::DeleteRecords
            | Self::CreateAcls
            | Self::DeleteAcls
            | Self::AlterConfigs
            | Self::CreatePartitions
            | Self::DeleteGroups
            | Self::IncrementalAlterConfigs
            | Self::OffsetDelete => true,
            Self::Produce
            | Self::Fetch
            | Self::ListOffsets
            | Self::Metadata
            | Self::OffsetFetch
            | Self::FindCoordinator
            | Self::JoinGroup
            | Self::Heartbeat
            | Self::SyncGroup
            | Self::DescribeGroups
            | Self::ListGroups
            | Self::ApiVersions
            | Self::InitProducerId
            | Self::OffsetForLeaderEpoch
            | Self::DescribeAcls
            | Self::DescribeConfigs
            | Self::DescribeLogDirs
            | Self::DescribeCluster
            | Self::AlterReplicaLogDirs
            | Self::ElectLeaders
            | Self::AlterPartitionReassignments
            | Self::ListPartitionReassignments
            | Self::DescribeQuorum
            | Self::ListConfigResources
            | Self::DescribeTopicPartitions => false,
        }
    }
}

/// A row of the table: an API, its key on the wire, and the versions we say we serve.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) api: Api,
    pub(crate) key: ApiKey,
    pub(crate) min: i16,
    pub(crate) max: i16,
}

/// The lowest Produce version that carries batches of version 2, and so the lowest we can
/// answer. We *advertise* 0, as Kafka 4 does: librdkafka before 2.11.1 otherwise switches
/// off gzip, snappy and lz4 (KAFKA-18659).
pub(crate) const PRODUCE_FLOOR: i16 = 3;

/// Every API we serve.
pub(crate) const TABLE: &[Served] = &[
    row(Api::Produce, ApiKey::Produce, 0, 11), // 12 would mean implicit AddPartitionsToTxn
    row(Api::Fetch, ApiKey::Fetch, 4, 16),
    row(Api::ListOffsets, ApiKey::ListOffsets, 1, 8),
    row(Api::Metadata, ApiKey::Metadata, 0, 12),
    row(Api::OffsetCommit, ApiKey::OffsetCommit, 2, 8), // 9 is KIP-848
    row(Api::OffsetFetch, ApiKey::OffsetFetch, 1, 8),   // 9 is KIP-848
    row(Api::FindCoordinator, ApiKey::FindCoordinator, 0, 4),
    row(Api::JoinGroup, ApiKey::JoinGroup, 0, 9),
    row(Api::Heartbeat, ApiKey::Heartbeat, 0, 4),
    row(Api::LeaveGroup, ApiKey::LeaveGroup, 0, 5),
    row(Api::SyncGroup, ApiKey::SyncGroup, 0, 5),
    row(Api::DescribeGroups, ApiKey::DescribeGroups, 0, 5),
    row(Api::ListGroups, ApiKey::ListGroups, 0, 5),
    row(Api::ApiVersions, ApiKey::ApiVersions, 0, 4),
    row(Api::CreateTopics, ApiKey::CreateTopics, 2, 7),
    row(Api::DeleteTopics, ApiKey::DeleteTopics, 1, 6),
    row(Api::DeleteRecords, ApiKey::DeleteRecords, 0, 2),
    row(Api::InitProducerId, ApiKey::InitProducerId, 0, 4), // every Java producer since 3.0
    row(Api::OffsetForLeaderEpoch, ApiKey::OffsetForLeaderEpoch, 2, 4), // librdkafka asks for 2
    row(Api::DescribeAcls, ApiKey::DescribeAcls, 1, 3),
    row(Api::CreateAcls, ApiKey::CreateAcls, 1, 3),
    row(Api::DeleteAcls, ApiKey::DeleteAcls, 1, 3),
    row(Api::DescribeConfigs, ApiKey::DescribeConfigs, 1, 4),
    row(Api::AlterConfigs, ApiKey::AlterConfigs, 0, 2),
    row(Api::DescribeLogDirs, ApiKey::DescribeLogDirs, 1, 4),
    row(Api::CreatePartitions, ApiKey::CreatePartitions, 0, 3),
    row(Api::DeleteGroups, ApiKey::DeleteGroups, 0, 2),
    row(Api::IncrementalAlterConfigs, ApiKey::IncrementalAlterConfigs, 0, 1),
    row(Api::OffsetDelete, ApiKey::OffsetDelete, 0, 0),
    row(Api::DescribeCluster, ApiKey::DescribeCluster, 0, 1),
    row(Api::AlterReplicaLogDirs, ApiKey::AlterReplicaLogDirs, 1, 2),
    row(Api::ElectLeaders, ApiKey::ElectLeaders, 0, 2),
    row(Api::AlterPartitionReassignments, ApiKey::AlterPartitionReassignments, 0, 1),
    row(Api::ListPartitionReassignments, ApiKey::ListPartitionReassignments, 0, 0),
    row(Api::DescribeQuorum, ApiKey::DescribeQuorum, 0, 2),
    row(Api::ListConfigResources, ApiKey::ListConfigResources, 0, 1),
    row(Api::DescribeTopicPartitions, ApiKey::DescribeTopicPartitions, 0, 0),
];

const fn row(api: Api, key: ApiKey, min: i16, max: i16) -> Served {
    Served { api, key, min, max }
}

/// The row of the API with this key, if we serve it at all.
pub(crate) fn of_key(key: i16) -> Option<&'static Served> {
    TABLE.iter().find(|served| served.key as i16 == key)
}

impl Served {
    /// Whether a request of `version` gets an answer.
    pub(crate) fn answers(&self, version: i16) -> bool {
        let floor = if self.api == Api::Produce { PRODUCE_FLOOR } else { self.min };
        (floor..=self.max).contains(&version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_answered_lies_within_what_the_codec_can_read() {
        for served in TABLE {
            let codec = served.key.valid_versions();
            for version in (served.min..=served.max).filter(|version| served.answers(*version)) {
                assert!(
                    (codec.min..=codec.max).contains(&version),
                    "{:?} {version} is outside {codec:?}",
                    served.api
                );
            }
        }
    }

    #[test]
    fn each_api_has_one_row_and_each_key_is_its_own() {
        for (place, served) in TABLE.iter().enumerate() {
            for other in &TABLE[place + 1..] {
                assert_ne!(served.api, other.api);
                assert_ne!(served.key as i16, other.key as i16);
            }
            assert!(served.min <= served.max);
        }
    }

    /// The exact versions in librdkafka's feature map (`rdkafka_feature.c`, before 2.11.1);
    /// with one missing it switches the feature off.
    #[test]
    fn old_librdkafka_finds_every_feature() {
        for (key, version) in [
            (ApiKey::Produce, 0),
            (ApiKey::Produce, 3),
            (ApiKey::Produce, 7),
            (ApiKey::Fetch, 4),
            (ApiKey::Fetch, 10),
            (ApiKey::ListOffsets, 1),
            (ApiKey::OffsetCommit, 2),
            (ApiKey::OffsetFetch, 1),
            (ApiKey::FindCoordinator, 0),
            (ApiKey::JoinGroup, 0),
            (ApiKey::SyncGroup, 0),
            (ApiKey::Heartbeat, 0),
            (ApiKey::LeaveGroup, 0),
            (ApiKey::InitProducerId, 0),
            (ApiKey::OffsetForLeaderEpoch, 2),
        ] {
            let served = of_key(key as i16).unwrap();
            assert!((served.min..=served.max).contains(&version), "{key:?} {version}");
        }
    }
}
