//! The loop against a sink whose durability the test decides.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::change::{
    BranchEnd, BranchStep, Change, Column, ColumnSet, ColumnType, EventPlace, KeptEvent,
    MySqlPosition, RowsChange, RowsKind, StatementChange, StatementKind, Table, TableName,
    TableVersion, TransactionHead, Xid,
};
use crate::instance::park::tables::{Cause, ParkedTables};
use crate::instance::plan::tests::publication;
use crate::sink::scripted::Scripted;
use crate::source::channel::{Sender, channel};

const SESSION: Generation = Generation(1);

fn statement(text: &str) -> Change {
    Change::Statement(StatementChange {
        kind: StatementKind::Query,
        is_ddl: true,
        schema: "db".to_owned(),
        table: text.to_owned(),
        sql: text.to_owned(),
        place: EventPlace { file: "binlog.000001".into(), offset: 4, time: 0 },
        subject: TableName::new("db", text),
        parked: None,
    })
}

fn chunk(text: &str, end: ChunkEnd) -> Chunk {
    let changes = if text.is_empty() { Vec::new() } else { vec![statement(text)] };
    Chunk { generation: SESSION, head: Arc::new(TransactionHead::default()), changes, end }
}

fn commit(text: &str, offset: u64) -> Chunk {
    let commit = Commit {
        server_uuid: "server".into(),
        by_gtid: false,
        file: "binlog.000001".into(),
        offset,
        file_created: 0,
        event_time: 0,
        server_time: 0,
        gtid: None,
        filtered: Vec::new(),
        state: Vec::new(),
        branch: None,
        trail: None,
        prepared: None,
    };
    chunk(text, ChunkEnd::Commit(Box::new(commit)))
}

fn start() -> Position {
    Position::MySql(MySqlPosition {
        file: "binlog.000001".into(),
        offset: 4,
        server_uuid: "server".into(),
        ..MySqlPosition::default()
    })
}

/// The statements in the values that a sink was given.
fn texts(values: &[String]) -> Vec<String> {
    let text = |value: &String| {
        let json: serde_json::Value = serde_json::from_str(value).unwrap();
        json["sql"].as_str().unwrap().to_owned()
    };
    values.iter().map(text).collect()
}

/// Offset and statements of each commit.
fn committed(sink: &Scripted) -> Vec<(u64, Vec<String>)> {
    sink.committed().iter().map(|(offset, values)| (*offset, texts(values))).collect()
}

struct Outcome {
    /// The offsets that were reported durable.
    reported: Vec<u64>,
    /// How many transactions were reported durable.
    transactions: u64,
    result: Result<(), Error>,
}

/// Runs `chunks` through, with `script` beside it; the source stays connected until the
/// script drops its sender.
async fn run(
    sink: &Scripted,
    chunks: Vec<Chunk>,
    script: impl AsyncFnOnce(Sender, CancellationToken),
) -> Outcome {
    let (sender, mut receiver) = channel(1 << 20);
    for chunk in chunks {
        sender.send(chunk, 0).await.unwrap();
    }
    let (shutdown, mut reported, mut own) = (CancellationToken::new(), Vec::new(), sink.clone());
    let mut transactions = 0;
    let encoder = Encoder::new(publication(), own.limits());
    let pipeline = Pipeline::new(&mut own, encoder, SESSION, start());
    let running = pipeline.run(&mut receiver, &shutdown, |progress| {
        reported.push(progress.position.offset());
        transactions += progress.done.transactions;
    });
    let (result, ()) = tokio::join!(running, script(sender, shutdown.clone()));
    Outcome { reported, transactions, result }
}

async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_receipt_moves_nothing_before_an_earlier_one() {
    let sink = Scripted::default();
    let two = vec![commit("a", 10), commit("b", 20)];
    let outcome = run(&sink, two, async |_sender, _shutdown| {
        until(|| sink.waiting() == 2).await;
        sink.settle(1, Ok(()));
        tokio::task::yield_now().await;
        sink.settle(0, Err(sink::Error::Fenced));
    })
    .await;
    assert!(matches!(outcome.result, Err(Error::Sink(sink::Error::Fenced))));
    assert!(outcome.reported.is_empty(), "{:?}", outcome.reported);
}

#[tokio::test(start_paused = true)]
async fn transactions_gather_while_two_commits_are_on_their_way() {
    let sink = Scripted::default();
    let four = vec![commit("a", 10), commit("b", 20), commit("c", 30), commit("d", 40)];
    let outcome = run(&sink, four, async |sender, _shutdown| {
        until(|| sink.waiting() == 2).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(sink.commits(), 2);
        sink.settle(0, Ok(()));
        until(|| sink.commits() == 3).await;
        drop(sender);
        sink.settle(0, Ok(()));
        sink.settle(0, Ok(()));
    })
    .await;
    outcome.result.unwrap();
    assert_eq!(outcome.reported, [10, 20, 40]);
    let all = [(10, vec!["a".into()]), (20, vec!["b".into()]), (40, vec!["c".into(), "d".into()])];
    assert_eq!(committed(&sink), all);
}

#[tokio::test(start_paused = true)]
async fn transactions_that_come_together_are_committed_together() {
    let sink = Scripted::default();
    let outcome = run(&sink, Vec::new(), async |sender, _shutdown| {
        let three = vec![commit("a", 10), commit("b", 20), commit("c", 30)];
        sender.send_all(three, 0).await.unwrap();
        until(|| sink.commits() == 1).await;
        drop(sender);
        sink.settle(0, Ok(()));
    })
    .await;
    outcome.result.unwrap();
    let all = [(30, vec!["a".into(), "b".into(), "c".into()])];
    assert_eq!(committed(&sink), all);
}

#[tokio::test(start_paused = true)]
async fn shutdown_commits_what_is_whole_and_awaits_it() {
    let sink = Scripted::default();
    let three = vec![commit("a", 10), commit("b", 20), commit("c", 30)];
    let outcome = run(&sink, three, async |sender, shutdown| {
        until(|| sink.waiting() == 2).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        shutdown.cancel();
        drop(sender);
        until(|| sink.waiting() == 3).await;
        (0..3).for_each(|_| sink.settle(0, Ok(())));
    })
    .await;
    outcome.result.unwrap();
    assert_eq!(outcome.reported, [10, 20, 30]);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_ended_is_rolled_back() {
    let sink = Scripted::prompt();
    let cut = vec![
        chunk("lost", ChunkEnd::More),
        chunk("", ChunkEnd::Abort),
        chunk("first", ChunkEnd::More),
        chunk("second", ChunkEnd::More),
        commit("third", 10),
        chunk("cut", ChunkEnd::More),
        chunk("off", ChunkEnd::More),
    ];
    let outcome = run(&sink, cut, async |_sender, shutdown| {
        until(|| texts(&sink.open_values()).contains(&"cut".to_owned())).await;
        shutdown.cancel();
    })
    .await;
    outcome.result.unwrap();
    assert_eq!(outcome.reported, [10]);
    let whole = vec!["first".to_owned(), "second".to_owned(), "third".to_owned()];
    assert_eq!(committed(&sink), [(10, whole)]);
    assert_eq!(sink.aborts(), 2);
    assert!(sink.open_values().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_ends_within_a_transaction_leaves_nothing_of_it() {
    let sink = Scripted::prompt();
    let cut = vec![commit("whole", 10), chunk("cut", ChunkEnd::More), chunk("off", ChunkEnd::More)];
    let outcome = run(&sink, cut, async |sender, _shutdown| drop(sender)).await;
    outcome.result.unwrap();
    assert_eq!(outcome.reported, [10]);
    assert_eq!(committed(&sink), [(10, vec!["whole".to_owned()])]);
    assert_eq!(sink.aborts(), 1);
    assert!(sink.open_values().is_empty());
}

#[tokio::test(start_paused = true)]
async fn messages_after_an_abort_are_numbered_anew() {
    let sink = Scripted::prompt();
    let again = vec![
        chunk("first", ChunkEnd::More),
        chunk("second", ChunkEnd::More),
        chunk("", ChunkEnd::Abort),
        chunk("first", ChunkEnd::More),
        commit("second", 10),
    ];
    let outcome = run(&sink, again, async |sender, _shutdown| drop(sender)).await;
    outcome.result.unwrap();
    assert_eq!(sink.headers("tx"), ["0", "1/end"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_commit_ends_the_pipeline_with_its_reason_though_later_ones_are_fenced() {
    let sink = Scripted::default();
    let three = vec![commit("a", 10), commit("b", 20), commit("c", 30)];
    let outcome = run(&sink, three, async |_sender, _shutdown| {
        until(|| sink.waiting() == 2).await;
        sink.settle(1, Err(sink::Error::Fenced));
        sink.settle(0, Err(sink::Error::Full));
    })
    .await;
    assert!(matches!(outcome.result, Err(Error::Sink(sink::Error::Full))));
    assert!(outcome.reported.is_empty(), "{:?}", outcome.reported);
}

#[tokio::test(start_paused = true)]
async fn a_position_without_records_is_committed_at_the_end_and_before_a_large_transaction() {
    let sink = Scripted::prompt();
    let chunks = vec![commit("", 10), chunk("large", ChunkEnd::More), commit("end", 20)];
    let ended = run(&sink, chunks, async |sender, _shutdown| {
        sender.send(commit("", 30), 0).await.unwrap();
        drop(sender);
    })
    .await;
    ended.result.unwrap();
    assert_eq!(ended.reported, [10, 20, 30]);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_in_pieces_is_a_commit_of_its_own() {
    let sink = Scripted::prompt();
    let chunks = vec![
        commit("small", 10),
        chunk("large", ChunkEnd::More),
        commit("end", 20),
        commit("next", 30),
    ];
    let outcome = run(&sink, chunks, async |sender, _shutdown| drop(sender)).await;
    outcome.result.unwrap();
    let each = [
        (10, vec!["small".into()]),
        (20, vec!["large".into(), "end".into()]),
        (30, vec!["next".into()]),
    ];
    assert_eq!(committed(&sink), each);
}

#[tokio::test(start_paused = true)]
async fn a_position_without_records_waits_a_second() {
    let sink = Scripted::prompt();
    let outcome = run(&sink, vec![commit("", 10), commit("", 20)], async |_sender, shutdown| {
        tokio::time::sleep(Pace::LOG.idle_after / 2).await;
        assert_eq!(sink.commits(), 0);
        tokio::time::sleep(Pace::LOG.idle_after).await;
        assert_eq!(sink.commits(), 1);
        shutdown.cancel();
    })
    .await;
    outcome.result.unwrap();
    assert_eq!((outcome.reported, outcome.transactions), (vec![20], 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_durable_late_is_reported_once() {
    let sink = Scripted::default();
    let outcome = run(&sink, vec![commit("row", 10)], async |_sender, shutdown| {
        tokio::time::sleep(10 * Pace::LOG.idle_after).await;
        sink.settle(0, Ok(()));
        tokio::time::sleep(10 * Pace::LOG.idle_after).await;
        shutdown.cancel();
    })
    .await;
    outcome.result.unwrap();
    assert_eq!((outcome.reported, outcome.transactions), (vec![10], 1));
}

#[tokio::test(start_paused = true)]
async fn what_a_source_leaves_behind_when_all_stops_is_committed() {
    let sink = Scripted::prompt();
    let outcome = run(&sink, vec![commit("row", 10)], async |sender, shutdown| {
        until(|| sink.commits() == 1).await;
        shutdown.cancel();
        tokio::time::sleep(GOODBYE / 2).await;
        sender.send(commit("", 20), 0).await.unwrap();
    })
    .await;
    outcome.result.unwrap();
    assert_eq!(outcome.reported, [10, 20]);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_does_not_end_does_not_hold_up_a_stop() {
    let sink = Scripted::prompt();
    let outcome = run(&sink, vec![commit("row", 10)], async |sender, shutdown| {
        until(|| sink.commits() == 1).await;
        shutdown.cancel();
        tokio::time::sleep(GOODBYE * 2).await;
        assert!(sender.send(commit("", 20), 0).await.is_ok(), "the receiver is the test's");
    })
    .await;
    outcome.result.unwrap();
    assert_eq!(outcome.reported, [10]);
}

/// A row of a table of one INT: `images` are its null bitmap and its bytes.
fn row(images: &'static [u8]) -> Change {
    let column = Column {
        name: "id".to_owned(),
        mysql_type: "int".to_owned(),
        kind: ColumnType::Long { unsigned: false },
        labels: Vec::new(),
    };
    Change::Rows(RowsChange {
        kind: RowsKind::Insert,
        table: Arc::new(Table {
            version: TableVersion(1),
            name: TableName::new("db", "t"),
            columns: vec![column],
            primary_key: Vec::new(),
            hidden: 0,
        }),
        columns: ColumnSet(Bytes::from_static(&[1])),
        after_columns: None,
        images: Bytes::from_static(images),
        place: EventPlace { file: "binlog.000001".into(), offset: 4, time: 0 },
        parked: None,
    })
}

/// A transaction that ends with a row that is cut short.
fn unreadable(offset: u64) -> Chunk {
    let mut chunk = commit("lost", offset);
    chunk.changes.push(row(&[0, 1, 2]));
    chunk
}

#[tokio::test(start_paused = true)]
async fn whole_transactions_before_one_that_cannot_be_encoded_are_committed() {
    let sink = Scripted::default();
    // The first two are on their way while the others gather.
    let chunks = vec![
        commit("a", 10),
        commit("b", 20),
        commit("c", 30),
        commit("d", 40),
        unreadable(50),
        commit("never", 60),
    ];
    let outcome = run(&sink, chunks, async |_sender, _shutdown| {
        until(|| sink.waiting() == 3).await;
        (0..3).for_each(|_| sink.settle(0, Ok(())));
    })
    .await;
    assert!(matches!(outcome.result, Err(Error::Encode(_))), "{:?}", outcome.result);
    assert_eq!((outcome.reported, outcome.transactions), (vec![10, 20, 40], 4));
    let all = [(10, vec!["a".into()]), (20, vec!["b".into()]), (40, vec!["c".into(), "d".into()])];
    assert_eq!(committed(&sink), all);
    assert_eq!(sink.headers("tx"), ["0/end"; 4]);
    assert!(sink.open_values().is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_transaction_in_pieces_that_cannot_be_encoded_stays() {
    for bad in [0, 1] {
        let sink = Scripted::prompt();
        let mut pieces = vec![chunk("first", ChunkEnd::More), commit("second", 20)];
        pieces[bad].changes.push(row(&[0]));
        pieces.insert(0, commit("whole", 10));
        let outcome = run(&sink, pieces, async |_sender, _shutdown| {}).await;
        assert!(matches!(outcome.result, Err(Error::Encode(_))), "{:?}", outcome.result);
        assert_eq!(outcome.reported, [10]);
        assert_eq!(committed(&sink), [(10, vec!["whole".to_owned()])]);
        assert_eq!(sink.aborts(), 1);
        assert!(sink.open_values().is_empty());
    }
}

/// Forty rows.
const FORTY: &[u8] = [[0, 1, 0, 0, 0]; 40].as_flattened();

#[tokio::test(start_paused = true)]
async fn rows_that_a_topic_does_not_take_at_once_are_in_several_messages_of_their_transaction() {
    let sink = Scripted::prompt();
    sink.limit("db.t", 500);
    let mut chunk = commit("statement", 10);
    chunk.changes.push(row(FORTY));
    chunk.changes.push(row(&FORTY[..5]));
    let outcome = run(&sink, vec![chunk], async |sender, _shutdown| drop(sender)).await;
    outcome.result.unwrap();
    let commits = sink.committed();
    let [(10, values)] = &commits[..] else { panic!("{commits:?}") };
    let rows = |value: &String| {
        let json: serde_json::Value = serde_json::from_str(value).unwrap();
        json["data"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(values.iter().map(rows).sum::<usize>(), 41);
    assert!(values.len() > 3, "{values:?}");
    assert!(sink.batches().len() > 2, "{:?}", sink.batches());
    let last = values.len() - 1;
    let wanted = (0..last).map(|n| n.to_string()).chain([format!("{last}/end")]);
    let mut found = sink.headers("tx");
    found.sort_by_key(|tx| tx.trim_end_matches("/end").parse::<usize>().unwrap());
    assert_eq!(found, wanted.collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn changes_of_parked_tables_become_letters_and_the_others_are_numbered_without_them() {
    let name = TableName::new("db", "p");
    let parked_row = || {
        let Change::Rows(mut rows) = row(&FORTY[..5]) else { panic!("rows") };
        let table = Table { name: TableName::new("db", "p"), ..Table::clone(&rows.table) };
        rows.table = Arc::new(table);
        let bytes = Bytes::from_static(b"event");
        let event = KeptEvent {
            server: None,
            format: bytes.clone(),
            map: bytes.clone(),
            code: 30,
            body: bytes,
            inner: None,
            definition: None,
        };
        rows.parked = Some(Arc::new(event));
        Change::Rows(rows)
    };
    let sink = Scripted::prompt();
    let mut transaction = commit("first", 10);
    transaction.changes.extend([row(&FORTY[..5]), parked_row(), row(&FORTY[..5])]);
    let Change::Statement(mut ddl) = statement("ddl") else { panic!("a statement") };
    ddl.parked = Some(name.clone());
    transaction.changes.extend([Change::Statement(ddl), parked_row(), row(&FORTY[..5])]);
    let mut lost = unreadable(20);
    lost.changes.insert(0, parked_row());

    let (sender, mut receiver) = channel(1 << 20);
    sender.send_all(vec![transaction, lost], 0).await.unwrap();
    let mut own = sink.clone();
    let mut encoder = Encoder::new(publication(), own.limits());
    let cause = Cause {
        place: EventPlace { file: "binlog.000001".into(), offset: 4, time: 0 },
        reason: "because".to_owned(),
    };
    let causes = [(name, cause)].into_iter().collect();
    encoder.parks(ParkedTables::new(Vec::new(), causes, 7), own.letters());
    let pipeline = Pipeline::new(&mut own, encoder, SESSION, start());
    let (mut parked, shutdown) = (Vec::new(), CancellationToken::new());
    let ended = pipeline.run(&mut receiver, &shutdown, |progress| parked.extend(progress.parked));
    assert!(matches!(ended.await, Err(Error::Encode(_))));

    let of = |name: &str| {
        let records = sink.records("db.t");
        records.iter().map(|(_, headers)| headers.get(name).cloned()).collect::<Vec<_>>()
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(of("tx"), [text("1"), text("2"), text("3/end")]);
    assert_eq!(of("parked"), [None, text("1"), text("3")]);
    let letters = sink.records("letters");
    assert_eq!(letters.len(), 3, "none of the transaction that never was: {letters:?}");
    assert!(letters.iter().all(|(value, _)| value.contains("because")), "{letters:?}");
    let [tables] = &parked[..] else { panic!("{parked:?}") };
    assert_eq!((tables.len(), tables[0].events, tables[0].from), (1, 3, 7));
}

#[tokio::test(start_paused = true)]
async fn a_row_that_a_topic_never_takes_is_named_and_what_is_whole_before_it_is_committed() {
    let sink = Scripted::prompt();
    sink.limit("db.t", 300);
    let mut large = commit("lost", 20);
    large.changes.push(row(&FORTY[..5]));
    let chunks = vec![commit("whole", 10), large];
    let outcome = run(&sink, chunks, async |_sender, _shutdown| {}).await;
    let error = outcome.result.unwrap_err().to_string();
    let words = ["binlog.000001:4", "db.t", "takes 300", "max.message.bytes=1048576"];
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
    assert_eq!(committed(&sink), [(10, vec!["whole".to_owned()])]);
}

#[tokio::test(start_paused = true)]
async fn a_chunk_of_an_older_session_is_refused() {
    let sink = Scripted::prompt();
    let mut stale = commit("stale", 10);
    stale.generation = Generation(0);
    let outcome = run(&sink, vec![stale], async |_sender, _shutdown| {}).await;
    assert!(matches!(outcome.result, Err(Error::Generation)));
    assert_eq!(sink.commits(), 0);
}

fn xid(name: &str) -> Arc<Xid> {
    Arc::new(Xid { format: 1, gtrid: name.as_bytes().to_vec(), bqual: Vec::new() })
}

/// A transaction that does this to a branch, at the offset before its end.
fn branch(name: &str, end: BranchEnd, text: &str, offset: u64) -> Chunk {
    let mut chunk = commit(text, offset);
    let is_of_branch = end == BranchEnd::Prepared;
    chunk.head = Arc::new(TransactionHead {
        gtid: Some(format!("g:{offset}").into()),
        executed: Some(format!("g:1-{offset}").into()),
        branch: is_of_branch.then(|| xid(name)),
        snapshot: None,
    });
    let place = EventPlace { file: "binlog.000001".into(), offset: offset - 1, time: 0 };
    let ChunkEnd::Commit(commit) = &mut chunk.end else { unreachable!() };
    commit.branch = Some(Box::new(BranchStep { xid: xid(name), end, place }));
    chunk
}

#[tokio::test(start_paused = true)]
async fn a_branch_is_published_at_its_commit_with_its_place_and_dropped_at_its_rollback() {
    use BranchEnd::{Committed, Prepared, RolledBack};
    let sink = Scripted::prompt();
    let mut first = branch("x", Prepared, "held", 10);
    first.changes.push(statement("held too"));
    let chunks = vec![
        first,
        branch("y", Prepared, "dropped", 20),
        branch("z", Prepared, "left", 30),
        commit("between", 40),
        branch("x", Committed, "", 50),
        branch("y", RolledBack, "", 60),
        commit("behind", 70),
    ];
    let outcome = run(&sink, chunks, async |sender, _shutdown| drop(sender)).await;
    outcome.result.unwrap();
    assert_eq!(outcome.transactions, 3);
    let all: Vec<String> = committed(&sink).into_iter().flat_map(|(_, texts)| texts).collect();
    assert_eq!(all, ["between", "held", "held too", "behind"]);
    assert_eq!(sink.headers("tx"), ["0/end", "0", "1/end", "0/end"]);
    assert_eq!(sink.headers("binlog")[1..3], ["binlog.000001:49", "binlog.000001:49"]);
    let values: Vec<String> = sink.committed().into_iter().flat_map(|(_, values)| values).collect();
    for value in &values[1..3] {
        let json: serde_json::Value = serde_json::from_str(value).unwrap();
        assert_eq!(json["gtid"], "g:1-50");
        assert!(json["ts"].as_i64() > Some(0) && json["id"].as_i64() > Some(0));
    }
    assert_eq!(sink.held(), [xid("z").to_string()]);
}

/// The sink promises nothing of a branch that an append touches twice.
#[tokio::test(start_paused = true)]
async fn what_ends_a_branch_is_in_a_later_append_than_what_held_it() {
    use BranchEnd::{Committed, Prepared, RolledBack};
    let sink = Scripted::prompt();
    let chunks = vec![
        branch("x", Prepared, "first", 10),
        branch("x", RolledBack, "", 20),
        branch("x", Prepared, "second", 30),
        branch("x", Committed, "", 40),
    ];
    let outcome = run(&sink, Vec::new(), async |sender, _shutdown| {
        sender.send_all(chunks, 0).await.unwrap();
        until(|| sink.commits() == 4).await;
        drop(sender);
    })
    .await;
    outcome.result.unwrap();
    let all: Vec<(u64, Vec<String>)> = committed(&sink);
    let second = vec!["second".to_owned()];
    assert_eq!(all, [(10, vec![]), (20, vec![]), (30, vec![]), (40, second)]);
    assert!(sink.held().is_empty());
}

/// Larger than a chunk, it is held piece by piece; and of one that is cut off nothing is.
#[tokio::test(start_paused = true)]
async fn a_branch_in_chunks_is_held_whole_or_not_at_all() {
    use BranchEnd::{Committed, Prepared};
    let sink = Scripted::prompt();
    let more = |name: &str, text: &str| {
        let last = branch(name, Prepared, text, 10);
        Chunk { end: ChunkEnd::More, ..last }
    };
    let chunks = vec![
        commit("before", 5),
        more("x", "first"),
        chunk("", ChunkEnd::Abort),
        more("x", "first"),
        more("x", "second"),
        branch("x", Prepared, "third", 10),
        branch("x", Committed, "", 20),
        more("y", "cut off"),
    ];
    let outcome = run(&sink, chunks, async |sender, _shutdown| drop(sender)).await;
    outcome.result.unwrap();
    let all: Vec<String> = committed(&sink).into_iter().flat_map(|(_, texts)| texts).collect();
    assert_eq!(all, ["before", "first", "second", "third"]);
    assert_eq!(sink.headers("tx")[1..], ["0", "1", "2/end"]);
    assert!(sink.held().is_empty());
}
