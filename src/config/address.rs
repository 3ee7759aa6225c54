//! `host:port`, as it is written in any of the files.

use std::fmt;

/// `host:port`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// A name or an address; IPv6 without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// Reads `host:port`, `host`, `[::1]:port`; without a port it is `default_port`.
    pub fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(bracketed) => {
                let (host, rest) = bracketed.split_once(']')?;
                (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok()?,
            None => default_port,
        };
        let legal = !host.is_empty() && !host.contains([' ', '/']);
        legal.then(|| Self { host: host.to_owned(), port })
    }
}

impl Address {
    /// Reads a list of addresses by comma; at least one.
    pub fn list(text: &str, default_port: u16) -> Option<Vec<Self>> {
        text.split(',').map(|one| Self::parse(one.trim(), default_port)).collect()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_all_kinds_are_read_and_written_back() {
        for (text, host, port) in [
            ("db1:3307", "db1", 3307),
            ("127.0.0.1", "127.0.0.1", 3306),
            ("[::1]:3306", "::1", 3306),
            ("[fe80::1]", "fe80::1", 3306),
        ] {
            let address = Address::parse(text, 3306).unwrap();
            assert_eq!((&*address.host, address.port), (host, port));
            assert_eq!(Address::parse(&address.to_string(), 0), Some(address));
        }
        for wrong in ["", ":3306", "db1:port", "db1:99999", "[::1", "::1", "mysql://db1:1"] {
            assert_eq!(Address::parse(wrong, 3306), None, "{wrong}");
        }
    }
}
