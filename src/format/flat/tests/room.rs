//! Rows that one message has no room for.

use super::*;

/// The messages of `rows` of `change` where each has room for `room` bytes, with how many rows
/// each has; or the length of the one that has no room.
fn messages(
    change: &RowsChange,
    rows: Rows<'_>,
    room: usize,
) -> Result<Vec<(usize, String)>, usize> {
    let included: Vec<usize> = (0..change.table.columns.len()).collect();
    let plan = FlatPlan::new(Arc::clone(&change.table), &included, &settings());
    let (mut left, mut work) = (Unwritten::of(change, rows), Workspace::default());
    let mut all = Vec::new();
    loop {
        let mut out = b"before".to_vec();
        match plan.write(&mut left, room, &STAMP, &mut work, &mut out) {
            Ok((count, places)) => {
                let text =
                    String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned();
                assert_eq!((&text[places.id], &text[places.ts]), ("7", "42"));
                all.push((count, text));
            }
            Err(Error::TooLarge { length, .. }) => return Err(length),
            Err(error) => panic!("{error}"),
        }
        if left.is_empty() {
            return Ok(all);
        }
    }
}

/// Rows of several lengths, the types of whose column `n` vary.
fn rows_of(kind: RowsKind) -> (Arc<Table>, Vec<Vec<u8>>) {
    let unsigned = ColumnType::LongLong { unsigned: true };
    let columns = vec![column("n", "bigint unsigned", unsigned), column("name", "text", VARCHAR)];
    let table = table(columns, vec![0]);
    let row = |index: usize, suffix: &str| {
        let number = if index.is_multiple_of(2) { u64::MAX } else { index as u64 };
        let text = format!("{}{suffix}", "x\n".repeat(index * 37 % 11));
        image(&[Some(number.to_le_bytes().to_vec()), varchar(&text)])
    };
    let rows = (0..9).map(|index| match kind {
        RowsKind::Update => [row(index, "before"), row(index + 1, "")].concat(),
        RowsKind::Insert | RowsKind::Delete => row(index, ""),
    });
    (table, rows.collect())
}

fn joined(messages: &[(usize, String)], name: &str) -> Vec<serde_json::Value> {
    let each = messages.iter().map(|(_, text)| serde_json::from_str(text).unwrap());
    each.flat_map(|message: serde_json::Value| {
        message[name].as_array().cloned().unwrap_or_default()
    })
    .collect()
}

#[test]
fn whatever_the_room_all_rows_are_in_messages_once_in_order_and_as_many_as_fit() {
    for kind in [RowsKind::Insert, RowsKind::Update, RowsKind::Delete] {
        let (table, rows) = rows_of(kind);
        let change = event(&table, kind, &rows);
        let whole = messages(&change, Rows::All, usize::MAX).unwrap();
        let [(count, text)] = &whole[..] else { panic!("{whole:?}") };
        assert_eq!((*count, text), (9, &message(&change, Rows::All, &settings())));
        for room in 0..=text.len() {
            let parts = match messages(&change, Rows::All, room) {
                Ok(parts) => parts,
                Err(length) => {
                    let alone = rows.iter().map(|row| {
                        let change = event(&table, kind, std::slice::from_ref(row));
                        message(&change, Rows::All, &settings()).len()
                    });
                    let first = alone.clone().find(|length| *length > room);
                    assert_eq!(Some(length), first, "{kind:?} with room for {room}");
                    continue;
                }
            };
            assert_eq!(joined(&parts, "data"), joined(&whole, "data"));
            assert_eq!(joined(&parts, "old"), joined(&whole, "old"));
            let mut begin = 0;
            for (count, text) in &parts {
                let own = event(&table, kind, &rows[begin..begin + count]);
                assert_eq!(*text, message(&own, Rows::All, &settings()), "its own rows alone");
                assert!(text.len() <= room);
                begin += count;
                if begin < rows.len() {
                    let more = event(&table, kind, &rows[begin - count..=begin]);
                    let longer = message(&more, Rows::All, &settings()).len();
                    assert!(longer > room, "{kind:?} with room for {room}: another row fits");
                }
            }
            assert_eq!(parts.len() == 1, room == text.len());
        }
    }
}

#[test]
fn chosen_rows_are_divided_as_all_are() {
    for kind in [RowsKind::Insert, RowsKind::Update] {
        let (table, rows) = rows_of(kind);
        let change = event(&table, kind, &rows);
        for chosen in [&[0, 1, 2, 5][..], &[1, 3, 8], &[4], &[8]] {
            let whole = messages(&change, Rows::Chosen(chosen), usize::MAX).unwrap();
            assert_eq!(whole.len(), 1);
            for room in 0..=whole[0].1.len() {
                let Ok(parts) = messages(&change, Rows::Chosen(chosen), room) else { continue };
                assert!(parts.iter().all(|(_, text)| text.len() <= room));
                assert_eq!(joined(&parts, "data"), joined(&whole, "data"));
                assert_eq!(joined(&parts, "old"), joined(&whole, "old"));
                assert_eq!(parts.iter().map(|(count, _)| count).sum::<usize>(), chosen.len());
            }
        }
    }
}

#[test]
fn a_value_that_can_never_fit_is_not_written() {
    let kind = ColumnType::Blob { length_bytes: 4 };
    let table = table(vec![column("b", "longblob", kind)], Vec::new());
    let bytes = 8 << 20;
    let value = [&u32::try_from(bytes).unwrap().to_le_bytes(), &vec![b'x'; bytes][..]].concat();
    let small = [&3u32.to_le_bytes(), &b"abc"[..]].concat();
    let plan = FlatPlan::new(Arc::clone(&table), &[0], &settings());
    for images in [vec![value.clone()], vec![small.clone(), value.clone()], vec![value, small]] {
        let images: Vec<_> = images.into_iter().map(|value| image(&[Some(value)])).collect();
        let is_update = images.len() == 2 && images[0].len() > images[1].len();
        let kind = if is_update { RowsKind::Update } else { RowsKind::Insert };
        let change = event(&table, kind, &images);
        let (mut left, mut work) = (Unwritten::of(&change, Rows::All), Workspace::default());
        let mut out = Vec::new();
        let error = loop {
            match plan.write(&mut left, 1 << 20, &STAMP, &mut work, &mut out) {
                Ok(_) => assert!(!left.is_empty()),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::TooLarge { length, .. } if length >= bytes), "{error}");
        assert!(out.capacity() < 1 << 20, "{} bytes were taken", out.capacity());
    }
}
