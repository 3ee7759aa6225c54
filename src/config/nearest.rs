//! Which known name a misspelt one is probably meant to be.

/// The candidate nearest to `name`, if one is near enough to be worth saying: at most a
/// quarter of its letters differ.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let bound = (name.chars().count() / 4).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance; a letter in the wrong case counts nothing, so that
/// `canal.mq.dynamictopic` is nearer to its key than to any other.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().flat_map(char::to_lowercase).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, letter) in left.chars().flat_map(char::to_lowercase).enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (place, other) in right.iter().enumerate() {
            let replace = diagonal + usize::from(letter != *other);
            diagonal = row[place + 1];
            row[place + 1] = replace.min(row[place] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_the_one_that_was_meant() {
        let known = ["canal.mq.partition", "canal.mq.partitionHash", "canal.mq.topic"];
        // The case of Canal's issue 2225, ignored without a word there.
        assert_eq!(nearest("canal.mq.partitiionHash", known), Some("canal.mq.partitionHash"));
        assert_eq!(nearest("canal.mq.partitionhash", known), Some("canal.mq.partitionHash"));
        assert_eq!(nearest("my.own.name", known), None);
    }
}
