//! How many members support each protocol, so that nobody has to ask all of them.
//!
//! In: the protocols of members that come and go, each named once. Out: who supports what. As
//! Kafka's `ClassicGroup.incrementSupportedProtocols`.

use std::collections::HashMap;

use bytes::Bytes;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Supported(HashMap<String, usize>);

impl Supported {
    pub(super) fn add(&mut self, protocols: &[(String, Bytes)]) {
        for (name, _) in protocols {
            *self.0.entry(name.clone()).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, protocols: &[(String, Bytes)]) {
        for (name, _) in protocols {
            if let Some(count) = self.0.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(name);
                }
            }
        }
    }

    /// How many members support it.
    pub(super) fn by(&self, name: &str) -> usize {
        self.0.get(name).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_supports_any_more_is_forgotten() {
        let named = |names: &[&str]| -> Vec<_> {
            names.iter().map(|name| ((*name).to_owned(), Bytes::new())).collect()
        };
        let mut supported = Supported::default();
        supported.add(&named(&["range", "sticky"]));
        supported.add(&named(&["sticky"]));
        assert_eq!(["range", "sticky", "other"].map(|name| supported.by(name)), [1, 2, 0]);
        supported.remove(&named(&["range", "sticky"]));
        assert_eq!(["range", "sticky"].map(|name| supported.by(name)), [0, 1]);
        assert_eq!(supported.0.len(), 1);
    }
}
