//! A document taken apart, to be changed and written again in its binary form. Only partial
//! updates need it; printing does not.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::{Container, DEEPEST, Node, WHAT, read};
use crate::binlog::Error;

/// A tree whose leaves are borrowed.
#[derive(Clone, Debug)]
pub(super) enum Document<'a> {
    /// In the order of the binary form: by length of the key, then by its bytes.
    Object(Vec<(Vec<u8>, Document<'a>)>),
    Array(Vec<Document<'a>>),
    Leaf(Node<'a>),
}

impl<'a> Document<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        Self::build(read(bytes)?, 0, &mut bytes.len())
    }

    /// `budget`: bytes that were not read yet, as for printing.
    fn build(node: Node<'a>, depth: u32, budget: &mut usize) -> Result<Self, Error> {
        let (container, keyed) = match node {
            Node::Object(container) => (container, true),
            Node::Array(container) => (container, false),
            leaf => return Ok(Self::Leaf(leaf)),
        };
        if depth >= DEEPEST {
            return Err(Error::JsonDepth);
        }
        spend(budget, container.head_length().unwrap_or(usize::MAX))?;
        if keyed {
            let mut members = Vec::with_capacity(container.count());
            for place in 0..container.count() {
                let key = container.key(place)?;
                spend(budget, key.len())?;
                members.push((key.to_vec(), Self::element(container, place, depth, budget)?));
            }
            return Ok(Self::Object(members));
        }
        let elements = (0..container.count())
            .map(|place| Self::element(container, place, depth, budget))
            .collect::<Result<_, _>>()?;
        Ok(Self::Array(elements))
    }

    fn element(
        container: Container<'a>,
        place: usize,
        depth: u32,
        budget: &mut usize,
    ) -> Result<Self, Error> {
        let (node, length) = container.value(place)?;
        if !matches!(node, Node::Object(_) | Node::Array(_)) {
            spend(budget, length)?;
        }
        Self::build(node, depth + 1, budget)
    }

    /// Appends the binary form, type byte first.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Encoded { kind, bytes } = self.encode();
        out.push(kind);
        out.extend_from_slice(&bytes);
    }

    fn encode(&self) -> Encoded {
        match self {
            Self::Leaf(node) => encode_leaf(*node),
            Self::Array(elements) => {
                let values: Vec<Encoded> = elements.iter().map(Self::encode).collect();
                encode_container(None, &values)
            }
            Self::Object(members) => {
                let keys: Vec<&[u8]> = members.iter().map(|(key, _)| &key[..]).collect();
                let values: Vec<Encoded> =
                    members.iter().map(|(_, value)| value.encode()).collect();
                encode_container(Some(&keys), &values)
            }
        }
    }
}

fn spend(budget: &mut usize, bytes: usize) -> Result<(), Error> {
    let left = budget.checked_sub(bytes);
    *budget = left.ok_or(Error::Impossible { what: WHAT, value: bytes as u64 })?;
    Ok(())
}

/// A value in its binary form.
struct Encoded {
    kind: u8,
    bytes: Vec<u8>,
}

impl Encoded {
    fn new(kind: u8, bytes: impl Into<Vec<u8>>) -> Self {
        Self { kind, bytes: bytes.into() }
    }

    /// Whether it is stored in its entry.
    fn is_inlined(&self, large: bool) -> bool {
        matches!(self.kind, 4..=6) || (large && matches!(self.kind, 7 | 8))
    }
}

/// Numbers take the smallest type that holds them.
fn encode_leaf(node: Node<'_>) -> Encoded {
    match node {
        // `Document::build` leaves no container behind.
        Node::Null | Node::Object(_) | Node::Array(_) => Encoded::new(4, [0]),
        Node::Bool(value) => Encoded::new(4, [if value { 1 } else { 2 }]),
        Node::Int(value) => {
            if let Ok(small) = i16::try_from(value) {
                Encoded::new(5, small.to_le_bytes())
            } else if let Ok(middle) = i32::try_from(value) {
                Encoded::new(7, middle.to_le_bytes())
            } else {
                Encoded::new(9, value.to_le_bytes())
            }
        }
        Node::UInt(value) => {
            if let Ok(small) = u16::try_from(value) {
                Encoded::new(6, small.to_le_bytes())
            } else if let Ok(middle) = u32::try_from(value) {
                Encoded::new(8, middle.to_le_bytes())
            } else {
                Encoded::new(10, value.to_le_bytes())
            }
        }
        Node::Double(value) => Encoded::new(11, value.to_le_bytes()),
        Node::String(text) => {
            let mut bytes = Vec::with_capacity(text.len() + 2);
            write_sized(text, &mut bytes);
            Encoded::new(12, bytes)
        }
        Node::Opaque { code, bytes: value } => {
            let mut bytes = vec![code];
            write_sized(value, &mut bytes);
            Encoded::new(15, bytes)
        }
    }
}

fn write_sized(bytes: &[u8], out: &mut Vec<u8>) {
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(low_byte(length) | 0x80);
        length >>= 7;
    }
    out.push(low_byte(length));
    out.extend_from_slice(bytes);
}

fn low_byte(value: usize) -> u8 {
    let [low, ..] = value.to_le_bytes();
    low
}

/// Small where it fits 64 KiB, else large.
fn encode_container(keys: Option<&[&[u8]]>, values: &[Encoded]) -> Encoded {
    let kind = if keys.is_some() { 0 } else { 2 };
    let small = layout(keys, values, false);
    if u16::try_from(small.size).is_ok() {
        Encoded::new(kind, write_container(keys, values, false, &small))
    } else {
        let large = layout(keys, values, true);
        Encoded::new(kind + 1, write_container(keys, values, true, &large))
    }
}

struct Layout {
    /// Where the first key, or else the first value is.
    head: usize,
    size: usize,
}

fn layout(keys: Option<&[&[u8]]>, values: &[Encoded], large: bool) -> Layout {
    let width = if large { 4 } else { 2 };
    let key_entry = if keys.is_some() { width + 2 } else { 0 };
    let head = 2 * width + values.len() * (key_entry + 1 + width);
    let keys: usize = keys.unwrap_or_default().iter().map(|key| key.len()).sum();
    let outside = values.iter().filter(|value| !value.is_inlined(large));
    Layout { head, size: head + keys + outside.map(|value| value.bytes.len()).sum::<usize>() }
}

fn write_container(
    keys: Option<&[&[u8]]>,
    values: &[Encoded],
    large: bool,
    layout: &Layout,
) -> Vec<u8> {
    let width = if large { 4 } else { 2 };
    let number = |value: usize, out: &mut Vec<u8>| {
        out.extend(value.to_le_bytes().into_iter().take(width));
    };
    let mut out = Vec::with_capacity(layout.size);
    number(values.len(), &mut out);
    number(layout.size, &mut out);
    let mut offset = layout.head;
    for key in keys.unwrap_or_default() {
        number(offset, &mut out);
        out.extend(key.len().to_le_bytes().into_iter().take(2));
        offset += key.len();
    }
    for value in values {
        out.push(value.kind);
        if value.is_inlined(large) {
            let padding = std::iter::repeat(&0);
            out.extend(value.bytes.iter().chain(padding).take(width));
        } else {
            number(offset, &mut out);
            offset += value.bytes.len();
        }
    }
    for key in keys.unwrap_or_default() {
        out.extend_from_slice(key);
    }
    for value in values.iter().filter(|value| !value.is_inlined(large)) {
        out.extend_from_slice(&value.bytes);
    }
    out
}
