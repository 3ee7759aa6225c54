//! White and black list of columns. Names are exact, whatever the case; no patterns.

use std::collections::HashMap;

use crate::change::{Table, TableName};

use super::{Error, List};

/// Decides which columns of a table are published.
#[derive(Clone, Debug, Default)]
pub struct FieldFilter {
    /// Upper-case column names by upper-case `SCHEMA.TABLE`.
    white: HashMap<String, Vec<String>>,
    black: HashMap<String, Vec<String>>,
}

impl FieldFilter {
    /// Reads `canal.instance.filter.field` and `canal.instance.filter.black.field`:
    /// `schema.table:c1/c2,schema2.t2:c3`. All items that are wrong come at once.
    pub fn new(white: &str, black: &str) -> Result<Self, Vec<(List, Error)>> {
        let mut errors = Vec::new();
        let mut read = |of: List, list: &str| {
            let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
            items.filter_map(|item| parse(item).map_err(|e| errors.push((of, e))).ok()).collect()
        };
        let filter = Self { white: read(List::White, white), black: read(List::Black, black) };
        if errors.is_empty() { Ok(filter) } else { Err(errors) }
    }

    /// Indexes of the columns that are left of `table`, ascending, without the server's own. Where
    /// a white list names the table, the black one does not count.
    pub fn columns(&self, table: &Table) -> Vec<usize> {
        let TableName { schema, table: name } = &table.name;
        let key = format!("{schema}.{name}").to_uppercase();
        let (list, keep) = match (self.white.get(&key), self.black.get(&key)) {
            (Some(white), _) => (white.as_slice(), true),
            (None, Some(black)) => (black.as_slice(), false),
            (None, None) => (&[][..], false),
        };
        let listed = |name: &str| {
            let name = name.to_uppercase();
            list.contains(&name)
        };
        let visible = table.columns.len().saturating_sub(table.hidden);
        let columns = table.columns.iter().take(visible).enumerate();
        columns.filter(|(_, column)| listed(&column.name) == keep).map(|(place, _)| place).collect()
    }
}

fn parse(item: &str) -> Result<(String, Vec<String>), Error> {
    let wrong = || Error::Fields(item.to_owned());
    let (table, columns) = item.split_once(':').ok_or_else(wrong)?;
    let table = table.trim();
    let columns = columns.split('/').map(str::trim).filter(|column| !column.is_empty());
    let columns: Vec<String> = columns.map(str::to_uppercase).collect();
    if columns.is_empty() || !table.contains('.') {
        return Err(wrong());
    }
    Ok((table.to_uppercase(), columns))
}
