//! How many connections each address has: `max.connections.per.ip`.
//!
//! In: the address of a client that was just accepted. Out: a count that is given back when its
//! connection ends, or nothing where the address has as many as it may: Kafka closes such a
//! connection at once (`SocketServer.scala`, `ConnectionQuotas`). Always: an address without
//! connections takes no memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// See the head of this file. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection of an address.
#[derive(Debug)]
pub(crate) struct Counted {
    of: Connections,
    address: IpAddr,
}

impl Connections {
    /// Counts one more, unless the address has `most` already. An address of IPv4 is the same
    /// on a socket of IPv6.
    pub(crate) fn count(&self, address: IpAddr, most: usize) -> Option<Counted> {
        let address = address.to_canonical();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(&address).copied().unwrap_or(0) >= most {
            return None;
        }
        *all.entry(address).or_default() += 1;
        drop(all);
        Some(Counted { of: self.clone(), address })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut all = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_as_many_connections_as_it_may_and_gets_them_back() {
        let connections = Connections::default();
        let [one, other]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        let first = connections.count(one, 2).unwrap();
        let second = connections.count(mapped, 2).unwrap();
        assert!(connections.count(one, 2).is_none());
        assert!(connections.count(other, 2).is_some(), "that is another's");
        drop(first);
        assert!(connections.count(one, 2).is_some());
        drop(second);
        assert!(connections.0.lock().unwrap().is_empty());
        assert!(connections.count(one, 0).is_none());
    }
}
