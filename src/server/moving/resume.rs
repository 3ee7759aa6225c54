//! An instance that was exported, and is to go on where it was all the same.

use super::{Error, mark};
use crate::sink::{Committed, Sink};

/// Lets an instance start again here; a sentence that says what else has to be so.
pub async fn resume<S: Sink>(sink: &mut S, instance: &str) -> Result<String, Error> {
    let Committed { position, moved, .. } = sink.open(&mut |_| {}).await?;
    let position = position.ok_or_else(|| Error::NoPosition(instance.to_owned()))?;
    if moved.is_none() {
        return Err(Error::NotMoved(instance.to_owned()));
    }
    mark(sink, &position, None).await?;
    Ok(format!(
        "{instance} goes on here at {position} when it is started; what it was exported to must \
         not be imported any more"
    ))
}
