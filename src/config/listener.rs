//! The broker's listeners, in Kafka's notation.

use super::address::Address;
use super::reader::Reader;

/// An address that clients connect to, in plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name: what is before `://`.
    pub name: String,
    /// What to bind; none for all addresses.
    pub host: Option<String>,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

/// The address that clients of a listener are given.
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
            reader.refuse(KEY, format!("port {} is there twice", listener.port));
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
