//! Sequences of events as servers write them, and the transactions they make.

use bytes::Bytes;

use super::*;
use crate::binlog::{EventHeader, EventType};
use crate::change::{ColumnSet, Flavor, RowsKind, TableVersion};

/// Feeds events one after the other; each takes 100 bytes of the file.
struct Script {
    assembler: Assembler,
    tracker: Tracker,
    pieces: Vec<Piece>,
    size: usize,
}

fn table(name: &str) -> Arc<Table> {
    Arc::new(Table {
        version: TableVersion(1),
        name: TableName::new("db", name),
        columns: Vec::new(),
        primary_key: Vec::new(),
        hidden: 0,
    })
}

fn gtid(gno: u64) -> Gtid {
    Gtid::MySql { sid: crate::change::Sid([7; 16]), tag: None, gno }
}

impl Script {
    fn new() -> Self {
        Self::knowing(Vec::new())
    }

    fn knowing(hints: Vec<Hint>) -> Self {
        let mut known = Hints::default();
        for hint in hints {
            assert!(known.learn(hint));
        }
        Self {
            assembler: Assembler::new(None, known),
            tracker: Tracker::by_file(Arc::from("s"), Arc::from("b.000001"), 1000),
            pieces: Vec::new(),
            size: 100,
        }
    }

    fn try_step(&mut self, input: Input) -> Result<(), Fault> {
        let header = EventHeader {
            timestamp: 7,
            event_type: EventType::Xid,
            server_id: 1,
            event_size: 100,
            log_pos: 0,
            flags: 0,
        };
        let place = self.tracker.advance(&header).unwrap();
        self.pieces.extend(self.assembler.step(input, &place, self.size, &self.tracker)?);
        Ok(())
    }

    fn step(mut self, input: Input) -> Self {
        self.try_step(input).unwrap();
        self
    }

    fn gtid(self, gno: u64) -> Self {
        self.step(Input::Gtid { gtid: Some(gtid(gno)), form: GtidForm::Announces })
    }

    fn rows(self, name: &str) -> Self {
        let input = self.rows_input(name);
        self.step(input)
    }

    fn rows_input(&self, name: &str) -> Input {
        let offset = self.tracker.offset();
        Input::Rows {
            change: RowsChange {
                kind: RowsKind::Insert,
                table: table(name),
                columns: ColumnSet(Bytes::new()),
                after_columns: None,
                images: Bytes::new(),
                place: EventPlace { file: Arc::from("b.000001"), offset, time: 7 },
                parked: None,
            },
            ends_statement: true,
        }
    }

    fn statement(self, sql: &str) -> Self {
        let place = EventPlace { file: Arc::from("b.000001"), offset: 0, time: 7 };
        self.step(Input::Statement(vec![Change::Statement(StatementChange {
            kind: StatementKind::Create,
            is_ddl: true,
            schema: "db".to_owned(),
            table: "t".to_owned(),
            sql: sql.to_owned(),
            place,
            subject: TableName::new("db", "t"),
            parked: None,
        })]))
    }

    fn statement_of(self, table: &str) -> Self {
        let message = self.message(StatementKind::Insert, "db", table, &format!("of {table}"));
        self.step(Input::Statement(vec![Change::Statement(message)]))
    }

    /// What is logged beside the rows that follow.
    fn beside_rows(self, table: &str) -> Self {
        let message = self.message(StatementKind::Query, "", table, &format!("beside {table}"));
        self.step(Input::RowsQuery(Box::new(message), TableName::new("db", table)))
    }

    fn message(
        &self,
        kind: StatementKind,
        schema: &str,
        table: &str,
        sql: &str,
    ) -> StatementChange {
        let (schema, table, sql) = (schema.to_owned(), table.to_owned(), sql.to_owned());
        let offset = self.tracker.offset();
        let place = EventPlace { file: Arc::from("b.000001"), offset, time: 7 };
        let subject = TableName::new(&*schema, &*table);
        StatementChange { kind, is_ddl: false, schema, table, sql, place, subject, parked: None }
    }

    /// Each piece as `names of what it holds end`.
    fn texts(&self) -> Vec<String> {
        let text_of = |piece: &Piece| {
            let changes = piece.changes.iter().map(|change| match change {
                Change::Rows(rows) => rows.table.name.table.to_string(),
                Change::Statement(statement) => format!("[{}]", statement.sql),
                Change::Together(_) => panic!("nothing is parked"),
            });
            let end = match &piece.end {
                End::More => "more".to_owned(),
                End::Commit(commit) => format!("commit@{}", commit.offset),
                End::Abort => "abort".to_owned(),
            };
            changes.chain([end]).collect::<Vec<_>>().join(" ")
        };
        self.pieces.iter().map(text_of).collect()
    }
}

fn kept(names: &[&str]) -> HashSet<TableName> {
    names.iter().map(|name| TableName::new("db", *name)).collect()
}

#[test]
fn a_transaction_ends_with_its_commit_and_is_positioned_behind_it() {
    let script = Script::new().gtid(5).step(Input::Begin).rows("a").rows("b").step(Input::Commit);
    assert_eq!(script.texts(), ["a b commit@1500"]);
    let piece = &script.pieces[0];
    assert_eq!(piece.head.gtid.as_deref(), Some("07070707-0707-0707-0707-070707070707:5"));
    let End::Commit(commit) = &piece.end else { panic!("{piece:?}") };
    assert_eq!(commit.gtid, Some(gtid(5)));
    assert!(script.assembler.is_between());
}

#[test]
fn a_statement_between_transactions_is_one_of_its_own() {
    let script = Script::new().gtid(5).statement("CREATE").gtid(6).statement("ALTER");
    assert_eq!(script.texts(), ["[CREATE] commit@1200", "[ALTER] commit@1400"]);
}

#[test]
fn a_statement_inside_a_transaction_does_not_end_it() {
    // CREATE TABLE ... SELECT since 8.0.21.
    let script = Script::new().gtid(5).step(Input::Begin).statement("CREATE").rows("a");
    assert!(script.pieces.is_empty());
    assert_eq!(script.step(Input::Commit).texts(), ["[CREATE] a commit@1500"]);
}

#[test]
fn mariadb_opens_by_gtid_or_announces_a_single_event() {
    let gtid = Gtid::MariaDb { domain: 0, server: 2, seq: 9 };
    let event = |form| Input::Gtid { gtid: Some(gtid.clone()), form };
    let script = Script::new().step(event(GtidForm::Opens)).rows("a").step(Input::Commit);
    let script = script.step(event(GtidForm::Standalone)).statement("CREATE");
    assert_eq!(script.texts(), ["a commit@1300", "[CREATE] commit@1500"]);
    assert_eq!(script.pieces[0].head.gtid.as_deref(), Some("0-2-9"));
}

#[test]
fn a_gtid_with_nothing_behind_it_still_enters_the_set() {
    let script = Script::new().gtid(5).gtid(6).statement("CREATE");
    assert_eq!(script.texts(), ["commit@1100", "[CREATE] commit@1300"]);
    let End::Commit(commit) = &script.pieces[0].end else { panic!() };
    assert_eq!(commit.gtid, Some(gtid(5)));
}

#[test]
fn rollback_to_drops_what_is_behind_the_mark_but_not_of_tables_that_cannot() {
    let script = Script::new()
        .gtid(5)
        .step(Input::Begin)
        .rows("a")
        .step(Input::Savepoint("s".to_owned()))
        .rows("b")
        .rows("myisam")
        .step(Input::RollbackTo { mark: Some(0), kept: kept(&["myisam"]) })
        .rows("c")
        .step(Input::Commit);
    assert_eq!(script.texts(), ["a myisam c commit@1900"]);
}

#[test]
fn the_same_savepoint_again_moves_the_mark() {
    let mark = || Input::Savepoint("s".to_owned());
    let script = Script::new().gtid(5).step(Input::Begin).step(mark()).rows("a").step(mark());
    let back = Input::RollbackTo { mark: Some(0), kept: kept(&[]) };
    let script = script.rows("b").step(back).step(Input::Commit);
    assert_eq!(script.texts(), ["a commit@1800"]);
}

#[test]
fn a_rolled_back_transaction_leaves_only_what_cannot_be() {
    let script = Script::new().gtid(5).step(Input::Begin).rows("a").rows("myisam");
    let script = script.step(Input::Rollback { kept: kept(&["myisam"]) });
    assert_eq!(script.texts(), ["myisam commit@1500"]);
}

#[test]
fn a_large_transaction_goes_out_while_it_comes() {
    let mut script = Script::new().gtid(5).step(Input::Begin);
    script.size = CHUNK_BYTES;
    let script = script.rows("a").rows("b").step(Input::Commit);
    assert_eq!(script.texts(), ["a more", "b more", "commit@1500"]);
    assert!(!script.pieces[2].whole);
}

#[test]
fn rows_rolled_back_after_they_went_out_are_left_out_in_the_second_reading() {
    let play = |hints| {
        let mut script = Script::knowing(hints).gtid(5).step(Input::Begin).rows("a");
        script = script.step(Input::Savepoint("s".to_owned()));
        script.size = CHUNK_BYTES;
        script = script.rows("b").rows("myisam").rows("c");
        script.step(Input::RollbackTo { mark: Some(0), kept: kept(&["myisam"]) }).rows("d")
    };
    let mut first = play(Vec::new());
    assert_eq!(first.texts(), ["a b more", "myisam more", "c more"], "nothing behind the rollback");
    let Err(Fault::Again(hint)) = first.try_step(Input::Commit) else { panic!() };
    let second = play(vec![*hint]).step(Input::Commit);
    let texts = second.texts().join(" ");
    let names: Vec<&str> = texts.split(' ').filter(|word| *word != "more").collect();
    assert_eq!(names, ["a", "myisam", "d", "commit@2000"]);
}

/// However many rollbacks a large transaction has, also nested ones, and ones of what was not
/// sent: one reading shows them all.
#[test]
fn a_transaction_is_read_twice_at_most() {
    let play = |hints: Vec<Hint>| {
        let mut script = Script::knowing(hints).gtid(5).step(Input::Begin);
        script = script.rows("k0").step(Input::Savepoint("outer".to_owned()));
        for turn in 0..40 {
            script.size = if turn % 3 == 0 { CHUNK_BYTES } else { 100 };
            let mark = Input::Savepoint("s".to_owned());
            script = script.rows(if turn < 20 { "dropped" } else { "kept" }).step(mark);
            script = script.rows("dropped").rows("myisam").statement_of("dropped");
            let back = Input::RollbackTo { mark: Some(1), kept: kept(&["myisam"]) };
            script = script.step(back);
            if turn == 19 {
                let back = Input::RollbackTo { mark: Some(0), kept: kept(&["myisam"]) };
                script = script.step(back);
            }
        }
        script
    };
    let mut first = play(Vec::new());
    let Err(Fault::Again(hint)) = first.try_step(Input::Commit) else { panic!() };
    let second = play(vec![*hint]).step(Input::Commit);
    let texts = second.texts().join(" ");
    let names = texts.split(' ').filter(|word| *word != "more");
    let mut expected = vec!["k0"];
    expected.extend(["myisam"; 20]);
    expected.extend([["kept", "myisam"]; 20].concat());
    let names: Vec<&str> = names.collect();
    assert_eq!(names[..names.len() - 1], expected);
    assert!(names.last().is_some_and(|end| end.starts_with("commit")));
}

/// What is remembered of rollbacks is bounded: those of what lies together are one, and those behind
/// changes that stay are as many as there may be.
#[test]
fn rollbacks_are_remembered_in_bounded_memory() {
    let mut script = Script::new().gtid(5).step(Input::Begin);
    script.size = CHUNK_BYTES;
    for turn in 0..200 {
        script = script.step(Input::Savepoint("s".to_owned())).rows("dropped").rows("myisam");
        script = script.step(Input::RollbackTo { mark: Some(0), kept: kept(&["myisam"]) });
        script.size = if turn == 0 { CHUNK_BYTES } else { 10 };
    }
    let Err(Fault::Again(hint)) = script.try_step(Input::Commit) else { panic!() };
    assert_eq!((hint.rolled_back.len(), hint.rolled_back[0].to), (1, 400));

    let mut ranges = Vec::new();
    let mut add = |from, to| hints::add_rolled_back(&mut ranges, (from, to), kept(&["myisam"]));
    for number in 0..hints::MOST_ROLLED_BACK as u64 {
        assert!(add(3 * number, 3 * number + 1) && add(3 * number + 2, 3 * number + 2));
    }
    assert!(!add(3_000_000, 3_000_001), "one too many");
    assert!(add(0, 3_000_002), "it covers them all");
    assert_eq!(ranges.len(), 1);
}

/// In the format MIXED.
#[test]
fn statements_are_rolled_back_as_rows_are() {
    for is_large in [false, true] {
        let play = |hints: Vec<Hint>| {
            let mut script = Script::knowing(hints).gtid(5).step(Input::Begin);
            script = script.statement_of("a").step(Input::Savepoint("s".to_owned()));
            script.size = if is_large { CHUNK_BYTES } else { 100 };
            script = script.statement_of("b").statement_of("myisam").statement("CREATE");
            script = script.beside_rows("c").rows("c").beside_rows("myisam").rows("myisam");
            assert_eq!(script.assembler.tables(), kept(&["a", "b", "c", "myisam"]));
            script.step(Input::RollbackTo { mark: Some(0), kept: kept(&["myisam"]) })
        };
        let mut script = play(Vec::new());
        let texts = match script.try_step(Input::Commit) {
            Ok(()) => script.texts(),
            Err(Fault::Again(hint)) => play(vec![*hint]).step(Input::Commit).texts(),
            Err(fault) => panic!("{fault}"),
        };
        let texts = texts.join(" ").replace("more ", "");
        let expected = "[of a] [of myisam] [CREATE] [beside myisam] myisam commit@2300";
        assert_eq!(texts, expected, "large: {is_large}");
    }
}

#[test]
fn a_transaction_cut_by_a_crash_of_the_server_is_void() {
    let mut script = Script::new().gtid(5).step(Input::Begin);
    script.size = CHUNK_BYTES;
    let script = script.rows("a").step(Input::NewFile).gtid(5).statement("CREATE");
    assert_eq!(script.texts(), ["a more", "abort", "[CREATE] commit@1600"]);
    let quiet = Script::new().gtid(5).step(Input::Begin).rows("a").step(Input::NewFile);
    assert!(quiet.pieces.is_empty(), "nothing had been sent");
}

#[test]
fn rows_outside_of_a_transaction_are_an_error() {
    let mut script = Script::new();
    let input = script.rows_input("a");
    let fault = script.try_step(input).unwrap_err();
    assert!(fault.to_string().contains("no transaction boundary"), "{fault}");
}

fn xid(name: &str) -> Arc<Xid> {
    Arc::new(Xid { format: 1, gtrid: name.as_bytes().to_vec(), bqual: Vec::new() })
}

/// The branch of the head of each piece, and what becomes of one at its end.
fn branches(script: &Script) -> Vec<(Option<Arc<Xid>>, Option<BranchEnd>)> {
    let text_of = |piece: &Piece| {
        let end = match &piece.end {
            End::Commit(commit) => commit.branch.as_ref().map(|step| step.end),
            End::More | End::Abort => None,
        };
        (piece.head.branch.clone(), end)
    };
    script.pieces.iter().map(text_of).collect()
}

#[test]
fn a_branch_is_two_transactions_of_their_own() {
    let script = Script::new().gtid(5).step(Input::Start(xid("x"))).rows("a");
    let script = script.step(Input::Prepare(xid("x"))).gtid(6).step(Input::Begin).rows("b");
    let script = script.step(Input::Commit).gtid(7);
    let script = script.step(Input::End(xid("x"), BranchEnd::Committed));
    assert_eq!(script.texts(), ["a commit@1400", "b commit@1800", "commit@2000"]);
    let [prepared, committed] = [BranchEnd::Prepared, BranchEnd::Committed].map(Some);
    assert_eq!(branches(&script), [(Some(xid("x")), prepared), (None, None), (None, committed)]);
    let End::Commit(commit) = &script.pieces[2].end else { panic!() };
    assert_eq!(commit.branch.as_ref().unwrap().place.offset, 1900);
    assert_eq!(commit.gtid, Some(gtid(7)));
}

#[test]
fn mariadbs_gtid_begins_a_branch_and_a_single_one_ends_it() {
    let gtid = || Some(Gtid::MariaDb { domain: 0, server: 1, seq: 5 });
    for form in [GtidForm::Standalone, GtidForm::Opens] {
        let script = Script::new().step(Input::GtidOfBranch { gtid: gtid(), xid: xid("x") });
        let script = script.rows("a").rows("b").step(Input::Prepare(xid("x")));
        let script = script.step(Input::Gtid { gtid: gtid(), form });
        let script = script.step(Input::End(xid("x"), BranchEnd::RolledBack));
        assert_eq!(script.texts(), ["a b commit@1400", "commit@1600"], "{form:?}");
        let [prepared, ended] = [BranchEnd::Prepared, BranchEnd::RolledBack].map(Some);
        assert_eq!(branches(&script), [(Some(xid("x")), prepared), (None, ended)]);
    }
}

#[test]
fn a_branch_in_one_phase_is_held_by_nobody_small_or_large() {
    let begin = |hints, size| {
        let mut script = Script::knowing(hints).gtid(5).step(Input::Start(xid("x")));
        script.size = size;
        script.rows("a").rows("b")
    };
    let small = begin(Vec::new(), 100).step(Input::Commit);
    assert_eq!(branches(&small), [(None, None)]);
    let mut large = begin(Vec::new(), CHUNK_BYTES);
    assert_eq!(branches(&large)[0], (Some(xid("x")), None));
    let Err(Fault::Again(hints)) = large.try_step(Input::Commit) else { panic!() };
    let again = begin(vec![*hints], CHUNK_BYTES).step(Input::Commit);
    assert_eq!(again.texts(), ["a more", "b more", "commit@1500"]);
    assert!(branches(&again).iter().all(|(branch, end)| branch.is_none() && end.is_none()));
}

#[test]
fn a_branch_is_prepared_under_its_own_xid() {
    for begin in [Input::Begin, Input::Start(xid("x"))] {
        let mut script = Script::new().gtid(5).step(begin).rows("a");
        let other = Xid { bqual: b"b".to_vec(), ..(*xid("x")).clone() };
        let fault = script.try_step(Input::Prepare(Arc::new(other))).unwrap_err();
        assert!(fault.to_string().contains("b.000001:1300"), "{fault}");
    }
}

#[test]
fn the_text_of_the_executed_set_is_made_only_where_asked_for() {
    let executed = GtidSet::parse(Flavor::MySql, "07070707-0707-0707-0707-070707070707:1-4");
    let mut script = Script::new();
    script.assembler = Assembler::new(Some(executed.unwrap()), Hints::default());
    let script = script.gtid(5).step(Input::Begin).rows("a").step(Input::Commit);
    let executed = script.pieces[0].head.executed.as_deref();
    assert_eq!(executed, Some("07070707-0707-0707-0707-070707070707:1-5"));
}

/// Two transactions in two files that have to be read again, behind one that nothing is published
/// of: as often as the reading ends, it gets one further.
#[test]
fn what_a_reading_has_found_is_known_until_the_position_is_behind_it() {
    for rolls_back in [true, false] {
        let play = |hints: &mut Hints| {
            hints.begin(&Arc::from("s"));
            let mut script = Script::new();
            script.assembler = Assembler::new(None, std::mem::take(hints));
            let filtered = |script: Script, gno| {
                let filtered = Input::FilteredRows { ends_statement: true };
                script.gtid(gno).step(Input::Begin).step(filtered).step(Input::Commit)
            };
            let mut ended = None;
            script = filtered(script, 1);
            for gno in 2..4 {
                let begin = if rolls_back { Input::Begin } else { Input::Start(xid("x")) };
                script = script.gtid(gno).step(begin);
                script.size = CHUNK_BYTES;
                script = script.rows("a").rows("b");
                script.size = 100;
                let end =
                    if rolls_back { Input::Rollback { kept: kept(&[]) } } else { Input::Commit };
                if let Err(Fault::Again(hint)) = script.try_step(end) {
                    ended = Some(*hint);
                    break;
                }
                script = script.step(Input::NewFile);
                assert!(script.tracker.rotate(&format!("b.00000{gno}")));
                script = filtered(script, 9);
            }
            *hints = script.assembler.into_hints();
            ended
        };
        let mut hints = Hints::default();
        for reading in 0..2 {
            let hint = play(&mut hints).expect("there is one more to be read again");
            assert!(hints.learn(hint), "reading {reading} was in vain");
        }
        assert_eq!(play(&mut hints), None, "all is known");
        hints.forget_what_was_read();
        assert!(play(&mut hints).is_some(), "nothing is known of what lies behind the position");
        hints.begin(&Arc::from("other"));
        assert!(play(&mut hints).is_some(), "a place says nothing on another server");
    }
}
