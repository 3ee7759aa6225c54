//! A flat message as a consumer reads it, with the columns in their order.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};

/// A flat message.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    pub(crate) data: Option<Vec<Members<Option<String>>>>,
    pub(crate) database: String,
    pub(crate) is_ddl: bool,
    pub(crate) mysql_type: Option<Members<String>>,
    pub(crate) old: Option<Vec<Members<Option<String>>>>,
    pub(crate) pk_names: Option<Vec<String>>,
    pub(crate) sql: String,
    pub(crate) sql_type: Option<Members<i64>>,
    pub(crate) table: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// The members of an object in their order, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Members<T>(pub(crate) Vec<(String, T)>);

impl<T> Members<T> {
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find_map(|(one, value)| (one == name).then_some(value))
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Members<T>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<T>, A::Error> {
                let mut all: Vec<(String, T)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, T>()? {
                    if all.iter().any(|(one, _)| *one == name) {
                        return Err(de::Error::custom(format!("{name} twice")));
                    }
                    all.push((name, value));
                }
                Ok(Members(all))
            }
        }
        from.deserialize_map(InOrder(std::marker::PhantomData))
    }
}
