//! The group of an instance's lock: the right to it, and who is a member.
//!
//! In: its name. Out: findings. Always: it is described only, never joined.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{DescribeGroupsRequest, FindCoordinatorRequest, GroupId};
use kafka_protocol::protocol::StrBytes;

use super::answers::{operations, sentence};
use super::{COORDINATOR_PAUSE, COORDINATOR_TRIES, Probe, Wanted, address};
use crate::client::wire::Wire;
use crate::config::ClusterConfig;

/// A group that nobody has joined.
const NOBODY: [ResponseError; 1] = [ResponseError::GroupIdNotFound];

/// What a coordinator says of a group.
struct Group {
    /// Where its members are.
    hosts: Vec<String>,
    /// Rights as bits, as Kafka has them.
    rights: i32,
    error: Option<ResponseError>,
}

/// The hosts of the members that a group has now; the error is a sentence.
pub fn members(config: &ClusterConfig, group: &str) -> Result<Vec<String>, String> {
    let mut failures = Vec::new();
    for address in config.bootstrap.split(',') {
        let asked = Wire::connect(address, &config.client)
            .and_then(|mut first| coordinator(&mut first, config, group))
            .and_then(|found| {
                found.map_or(Ok(None), |mut one| describe(&mut one, group).map(Some))
            });
        match asked {
            Ok(Some(Group { hosts, error: None, .. })) => return Ok(hosts),
            Ok(Some(Group { error: Some(error), .. })) if NOBODY.contains(&error) => {
                return Ok(Vec::new());
            }
            Ok(Some(Group { error: Some(error), .. })) => {
                failures.push(format!("group {group}: {}", sentence(error)));
            }
            Ok(None) => failures.push(format!("{address}: group {group} has no coordinator")),
            Err(failure) => failures.push(failure),
        }
    }
    Err(failures.join("; "))
}

/// The broker that coordinates a group; none where `first` names none.
fn coordinator(
    first: &mut Wire,
    config: &ClusterConfig,
    group: &str,
) -> Result<Option<Wire>, String> {
    let key = StrBytes::from_string(group.to_owned());
    let request = FindCoordinatorRequest::default().with_key(key).with_key_type(0);
    let mut found = first.ask(&request, 3)?;
    for _ in 0..COORDINATOR_TRIES {
        if found.error_code != ResponseError::CoordinatorNotAvailable.code() {
            break;
        }
        std::thread::sleep(COORDINATOR_PAUSE);
        found = first.ask(&request, 3)?;
    }
    match ResponseError::try_from_code(found.error_code) {
        None => Wire::connect(&address(&found.host, found.port), &config.client).map(Some),
        Some(ResponseError::GroupAuthorizationFailed) => Ok(None),
        Some(error) => Err(format!("group {group}: {}", sentence(error))),
    }
}

fn describe(coordinator: &mut Wire, group: &str) -> Result<Group, String> {
    let request = DescribeGroupsRequest::default()
        .with_groups(vec![GroupId(StrBytes::from_string(group.to_owned()))])
        .with_include_authorized_operations(true);
    let answer = coordinator.ask(&request, 5)?;
    let Some(found) = answer.groups.first() else {
        return Ok(Group { hosts: Vec::new(), rights: i32::MIN, error: None });
    };
    let hosts = found.members.iter();
    let hosts = hosts.map(|one| one.client_host.as_str().trim_start_matches('/').to_owned());
    Ok(Group {
        hosts: hosts.collect(),
        rights: found.authorized_operations,
        error: ResponseError::try_from_code(found.error_code),
    })
}

impl Probe<'_> {
    /// Whether this process may be elected to run the instance, and which processes have it now.
    pub(super) fn lock(&mut self, first: &mut Wire, one: &Wanted) -> Result<(), String> {
        let (instance, group) = (&one.instance, &one.lock);
        let denied = format!(
            "instance {instance}: the right Read on consumer group {group} is missing: allow it to the user of kafka.sasl.jaas.config"
        );
        let mut coordinator = match coordinator(first, self.config, group) {
            Ok(Some(coordinator)) => coordinator,
            Ok(None) => {
                self.refuse(denied);
                return Ok(());
            }
            Err(error) => return Err(format!("instance {instance}: {error}")),
        };
        let Group { hosts, rights, error } = describe(&mut coordinator, group)?;
        if !hosts.is_empty() {
            let (count, hosts) = (hosts.len(), hosts.join(", "));
            self.fact(format!("instance {instance} is in {count} processes now ({hosts})"));
        }
        if !operations(rights, &["Read"]).is_empty() {
            self.refuse(denied);
            return Ok(());
        }
        match error {
            None => {}
            Some(error) if NOBODY.contains(&error) => {}
            Some(ResponseError::GroupAuthorizationFailed) => self.refuse(denied),
            Some(error) => {
                self.refuse(format!("instance {instance}: group {group}: {}", sentence(error)));
            }
        }
        Ok(())
    }
}
