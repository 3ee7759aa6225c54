//! The group of an instance's lock: the right to it, and who is a member.
//!
//! In: its name. Out: findings. Always: it is described only, never joined.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{DescribeGroupsRequest, FindCoordinatorRequest, GroupId};
use kafka_protocol::protocol::StrBytes;

use super::answers::{operations, sentence};
use super::{COORDINATOR_PAUSE, COORDINATOR_TRIES, Probe, Wanted, address};
use crate::client::wire::Wire;

/// A group that nobody has joined.
const NOBODY: [ResponseError; 1] = [ResponseError::GroupIdNotFound];

impl Probe<'_> {
    /// Whether this process may be elected to run the instance, and which processes have it now.
    pub(super) fn lock(&mut self, first: &mut Wire, one: &Wanted) -> Result<(), String> {
        let (instance, group) = (&one.instance, &one.lock);
        let denied = format!(
            "instance {instance}: the right Read on consumer group {group} is missing: allow it to the user of kafka.sasl.jaas.config"
        );
        let key = StrBytes::from_string(group.clone());
        let request = FindCoordinatorRequest::default().with_key(key.clone()).with_key_type(0);
        let mut found = first.ask(&request, 3)?;
        for _ in 0..COORDINATOR_TRIES {
            if found.error_code != ResponseError::CoordinatorNotAvailable.code() {
                break;
            }
            std::thread::sleep(COORDINATOR_PAUSE);
            found = first.ask(&request, 3)?;
        }
        let error = match ResponseError::try_from_code(found.error_code) {
            None => {
                let address = address(&found.host, found.port);
                let mut coordinator = Wire::connect(&address, &self.config.client)?;
                let request = DescribeGroupsRequest::default()
                    .with_groups(vec![GroupId(key)])
                    .with_include_authorized_operations(true);
                let answer = coordinator.ask(&request, 5)?;
                let Some(group) = answer.groups.first() else { return Ok(()) };
                let hosts: Vec<&str> = group
                    .members
                    .iter()
                    .map(|member| member.client_host.as_str().trim_start_matches('/'))
                    .collect();
                if !hosts.is_empty() {
                    self.fact(format!(
                        "instance {instance} is in {} processes now ({})",
                        hosts.len(),
                        hosts.join(", ")
                    ));
                }
                if !operations(group.authorized_operations, &["Read"]).is_empty() {
                    self.refuse(denied);
                    return Ok(());
                }
                ResponseError::try_from_code(group.error_code)
            }
            error => error,
        };
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
