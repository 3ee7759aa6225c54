//! Addresses: of the source, and of the listeners in Kafka's notation.

use std::fmt;

use super::reader::Reader;

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

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// An address that clients connect to, in plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name: what stands before `://`.
    pub name: String,
    /// What to bind; none for all addresses.
    pub host: Option<String>,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

/// The address that clients of a listener are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// The listener's name.
    pub name: String,
    /// The address.
    pub address: Address,
}

/// Reads `listeners`, without those of a controller, which is not needed here.
pub(super) fn listeners(reader: &mut Reader<'_>) -> Vec<Listener> {
    const KEY: &str = "listeners";
    let controllers = reader.list("controller.listener.names");
    let protocols = reader.list("listener.security.protocol.map");
    let mut found: Vec<Listener> = Vec::new();
    for text in reader.list(KEY) {
        let Some(listener) = parse_listener(&text) else {
            reader.refuse(KEY, format!("`{text}` is no listener: write PLAINTEXT://host:port"));
            continue;
        };
        if controllers.contains(&listener.name) {
            continue;
        }
        match protocol_of(&listener.name, &protocols) {
            Some("PLAINTEXT") => {}
            Some(other) => reader.refuse(
                KEY,
                format!("{} is {other}, which is not served yet: use PLAINTEXT", listener.name),
            ),
            None => reader.refuse(
                KEY,
                format!("listener.security.protocol.map has no protocol for {}", listener.name),
            ),
        }
        if found.iter().any(|other| other.port == listener.port && other.port != 0) {
            reader.refuse(KEY, format!("port {} stands there twice", listener.port));
        }
        found.push(listener);
    }
    if found.is_empty() {
        reader.refuse(KEY, "no listener: write PLAINTEXT://:9092");
    }
    found
}

/// Reads `advertised.listeners`.
pub(super) fn advertised(reader: &mut Reader<'_>, listeners: &[Listener]) -> Vec<Advertised> {
    const KEY: &str = "advertised.listeners";
    let controllers = reader.list("controller.listener.names");
    let mut found = Vec::new();
    for text in reader.list(KEY) {
        let parsed = parse_listener(&text).and_then(|parsed| {
            Some((parsed.name, Address { host: parsed.host?, port: parsed.port }))
        });
        match parsed {
            Some((name, _)) if controllers.contains(&name) => {}
            Some((_, address)) if address.host == "0.0.0.0" || address.host == "::" => reader.refuse(
                KEY,
                format!("{address} is no address that a client can connect to: write a name or address of this machine"),
            ),
            Some((name, address)) if listeners.iter().any(|one| one.name == name) => {
                found.push(Advertised { name, address });
            }
            Some((name, _)) => reader.refuse(KEY, format!("{name} is none of the listeners")),
            None => reader
                .refuse(KEY, format!("`{text}` is no address: write PLAINTEXT://host:port")),
        }
    }
    found
}

/// `NAME://host:port`, the host optional.
fn parse_listener(text: &str) -> Option<Listener> {
    let (name, address) = text.split_once("://")?;
    let legal = !name.is_empty()
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter));
    let name = name.to_uppercase();
    match address.strip_prefix(':') {
        _ if !legal => None,
        Some(port) => Some(Listener { name, host: None, port: port.parse().ok()? }),
        None => {
            address.rsplit_once(':')?.1.parse::<u16>().ok()?;
            let Address { host, port } = Address::parse(address, 0)?;
            Some(Listener { name, host: Some(host), port })
        }
    }
}

fn protocol_of<'a>(name: &str, map: &'a [String]) -> Option<&'a str> {
    let pairs = map.iter().filter_map(|pair| pair.split_once(':'));
    pairs.into_iter().find(|(listener, _)| listener.eq_ignore_ascii_case(name)).map(|(_, p)| p)
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
