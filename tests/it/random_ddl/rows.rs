//! A row written behind each change of a table, and the message that it must become.

use sluice::change::TableName;
use sluice::schema::{Definition, Place};
use sqlx::MySqlConnection;

use super::{DATABASES, changed_rows, with_plain_letters};
use crate::harness::message::Message;
use crate::harness::{Server, Sluice, topics};

/// What a message must say: database, table, columns with their types, key.
type Head = (String, String, Vec<(String, String)>, Option<Vec<String>>);

/// The rows of one run, and an instance that follows them.
pub(super) struct Rows {
    live: Sluice,
    written: Vec<Head>,
}

impl Rows {
    pub(super) fn new(server: &Server, first: &Place) -> Self {
        let mut live = instance(server, first);
        live.start();
        Self { live, written: Vec::new() }
    }

    /// A row of default values, if the table takes one.
    pub(super) async fn write(
        &mut self,
        writer: &mut MySqlConnection,
        name: &TableName,
        definition: &Definition,
    ) {
        let [schema, table] =
            [&name.schema, &name.table].map(|part| format!("`{}`", part.replace('`', "``")));
        let insert = format!("INSERT IGNORE INTO {schema}.{table} () VALUES ()");
        if changed_rows(writer, &insert).await != Some(1) {
            return;
        }
        let mut columns: Vec<_> = definition
            .columns
            .iter()
            .map(|column| (column.name.clone(), with_plain_letters(&column.mysql_type)))
            .collect();
        let mut key: Vec<String> = columns
            .iter()
            .map(|(name, _)| name.clone())
            .filter(|name| {
                definition.primary_key.iter().any(|key| key.to_lowercase() == name.to_lowercase())
            })
            .collect();
        if definition.versioned {
            let hidden = ["row_start", "row_end"];
            columns.extend(hidden.map(|name| (name.to_owned(), "timestamp(6)".to_owned())));
            if !key.is_empty() {
                key.push(hidden[1].to_owned());
            }
        }
        let key = (!key.is_empty()).then_some(key);
        self.written.push((name.schema.to_string(), name.table.to_string(), columns, key));
    }

    /// The instance has sent all.
    pub(super) fn compare(mut self, server: &Server, seed: u64) {
        assert_messages(&self.live, &self.written, &format!("live, {:?} {seed}", server.flavor));
        self.live.stop();
    }
}

fn instance(server: &Server, first: &Place) -> Sluice {
    let filter = DATABASES.map(|name| format!("{}\\..*", name.replace('.', "\\.")));
    Sluice::with_instance(
        "ddl",
        server,
        &[
            ("canal.mq.topic", "all"),
            ("canal.instance.filter.regex", &filter.join(",")),
            ("canal.instance.master.journal.name", &first.file),
            ("canal.instance.master.position", &first.offset.to_string()),
            ("canal.instance.filter.query.ddl", "true"),
        ],
    )
}

fn assert_messages(sluice: &Sluice, written: &[Head], which: &str) {
    let records = topics::read_at_least(&sluice.bootstrap(), "all", written.len());
    let messages: Vec<Message> = records
        .iter()
        .map(|record| serde_json::from_str(&record.value).unwrap())
        .filter(|message: &Message| message.kind == "INSERT")
        .collect();
    for (place, (message, wanted)) in messages.iter().zip(written).enumerate() {
        let Message { database, table, mysql_type, pk_names, data, .. } = message;
        let types = mysql_type.iter().flat_map(|types| &types.0);
        let types = types.map(|(name, text)| (name.clone(), with_plain_letters(text))).collect();
        let found = (database.clone(), table.clone(), types, pk_names.clone());
        assert_eq!(found, *wanted, "row {place}, {which}");
        let names: Vec<_> = wanted.2.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(data.as_ref().unwrap()[0].names(), names, "row {place}, {which}");
    }
    assert_eq!(messages.len(), written.len(), "{which}: {}", sluice.said());
}
