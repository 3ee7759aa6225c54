//! Why there is no definition for rows, with the advice for the case.

use std::sync::Arc;

use crate::change::TableName;

use super::model::Lost;
use super::{Adopt, Advice, Error, Place};

/// What was found when a table's definition was looked for.
#[derive(Debug)]
pub(super) enum Missing {
    /// A statement changed it between the rows and what the source has now.
    Changed { at: Place },
    /// The source has no such table now, or does not show it.
    NoTable,
    /// The account sees some of its columns only.
    PartlySeen,
    /// What the source has now is not what the rows are of.
    Misfit(String),
    /// A column has a type that is not known here.
    UnknownType(String),
    /// Its text columns have the default character set of a database that is not there.
    NoDatabase,
    /// A statement changed that default between the rows and now.
    DefaultChanged { at: Place },
    /// The rows say all themselves, and cannot be read.
    Unreadable(String),
}

impl Missing {
    /// The error, with what made the history lose the table.
    pub(super) fn error(
        self,
        table: TableName,
        place: Place,
        lost: Option<&Lost>,
        adopt: Adopt,
    ) -> Error {
        let advice = self.advice(&table, adopt);
        let schema = &table.schema;
        let found = match self {
            Self::Changed { at } => format!("a statement changed it since, at {at}"),
            Self::NoTable => "the source has no such table now, or does not show it".to_owned(),
            Self::PartlySeen => {
                "the account has privileges on some of its columns only, and the source shows it no \
                 others"
                    .to_owned()
            }
            Self::Misfit(mismatch) => format!("as it is now, {mismatch}"),
            Self::NoDatabase => format!(
                "the default character set of database {schema} is not known, because the source \
                 has no such database now, and text columns of the table have that one"
            ),
            Self::DefaultChanged { at } => format!(
                "the default character set of database {schema}, which text columns of the table \
                 have, was changed since, at {at}"
            ),
            Self::Unreadable(mismatch) | Self::UnknownType(mismatch) => mismatch,
        };
        let reason = match lost {
            Some(lost) => format!("{lost}; {found}"),
            None => found,
        };
        Error::Unknown { table, place: place.into(), reason: reason.into(), advice }
    }

    fn advice(&self, table: &TableName, adopt: Adopt) -> Advice {
        match (self, adopt) {
            (Self::Changed { .. } | Self::DefaultChanged { .. }, Adopt::Never) => Advice::Adopt,
            (Self::NoTable | Self::Misfit(_), _) => {
                Advice::Make { adopts: adopt == Adopt::Current }
            }
            (Self::PartlySeen, _) => Advice::Grant(Box::new(table.clone())),
            (Self::UnknownType(_), _) => Advice::Type,
            (Self::NoDatabase, _) => Advice::Database(Arc::clone(&table.schema)),
            (
                Self::Unreadable(_) | Self::Changed { .. } | Self::DefaultChanged { .. },
                Adopt::Never | Adopt::Current,
            ) => Advice::LeaveOut,
        }
    }
}
