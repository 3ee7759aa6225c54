//! Parking follows names: what a statement on a parked table names is kept with it, and comes back
//! in one order. Two instances read the same server, one with small topics that parks and one
//! without: the second says what each step makes, and where.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::harness::wire;

/// A table, or `db.` for all of a database.
type Name = String;

/// Which of the two: `example` with small topics, or `free` with large ones.
#[derive(Clone, Copy)]
enum Instance {
    Parking,
    Free,
}

/// What a script does, and what of it concerns whom.
#[derive(Debug, Default)]
struct Step {
    sql: String,
    /// A row that the small topic does not take.
    large: bool,
    /// Rows of this table.
    rows: Option<Name>,
    changed: Vec<Name>,
    read: Vec<Name>,
    /// A database that is made.
    database: Option<Name>,
    /// A database that is dropped.
    dropped: Option<Name>,
}

const A: &str = "park_names_a";
const B: &str = "park_names_b";
const TABLES: [&str; 4] = ["t", "n", "x", "y"];
const DONE: &str = "park_names_done";

/// A row that fits.
fn insert(table: &str, id: usize) -> Step {
    row(table, id, 1)
}

/// A row that the small topic does not take.
fn insert_large(table: &str, id: usize) -> Step {
    Step { large: true, ..row(table, id, 6000) }
}

fn row(table: &str, id: usize, length: usize) -> Step {
    let sql = format!("INSERT INTO {table} (id, pad) VALUES ({id}, REPEAT('x', {length}))");
    Step { sql, rows: Some(table.to_owned()), ..Step::default() }
}

fn ddl(sql: String, changed: &[&str], read: &[&str]) -> Step {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Step { sql, changed: names(changed), read: names(read), ..Step::default() }
}

fn create(table: &str) -> Step {
    ddl(format!("CREATE TABLE {table} (id INT PRIMARY KEY, pad TEXT)"), &[table], &[])
}

fn like(table: &str, other: &str) -> Step {
    ddl(format!("CREATE TABLE {table} LIKE {other}"), &[table], &[other])
}

fn rename(pairs: &[(&str, &str)]) -> Step {
    let all: Vec<String> = pairs.iter().map(|(from, to)| format!("{from} TO {to}")).collect();
    let names: Vec<&str> = pairs.iter().flat_map(|(from, to)| [*from, *to]).collect();
    ddl(format!("RENAME TABLE {}", all.join(", ")), &names, &[])
}

fn alter_rename(from: &str, to: &str) -> Step {
    ddl(format!("ALTER TABLE {from} RENAME TO {to}"), &[from, to], &[])
}

fn drop_table(table: &str) -> Step {
    ddl(format!("DROP TABLE {table}"), &[table], &[])
}

fn add_column(table: &str, id: usize) -> Step {
    ddl(format!("ALTER TABLE {table} ADD COLUMN c{id} INT"), &[table], &[])
}

fn drop_database(name: &str) -> Step {
    let dropped = Some(format!("{name}."));
    Step { sql: format!("DROP DATABASE {name}"), dropped, ..Step::default() }
}

fn create_database(name: &str) -> Step {
    let database = Some(format!("{name}."));
    Step { sql: format!("CREATE DATABASE {name}"), database, ..Step::default() }
}

/// Whether it is one of them, or its database is.
fn is_in(names: &BTreeSet<Name>, name: &str) -> bool {
    let database = name.split_once('.').map(|(database, _)| format!("{database}."));
    names.contains(name) || database.is_some_and(|database| names.contains(&database))
}

/// Which of the steps are kept, by the rule that README states.
fn kept(steps: &[Step]) -> Vec<bool> {
    let mut parked: BTreeSet<Name> = BTreeSet::new();
    let mut all = Vec::new();
    for step in steps {
        let mut concerned = step.changed.iter().chain(&step.read).chain(&step.database);
        let mut is_kept = concerned.any(|name| is_in(&parked, name));
        if let Some(table) = &step.rows {
            is_kept = is_in(&parked, table) || step.large;
            if step.large {
                parked.insert(table.clone());
            }
        }
        if let Some(database) = &step.dropped {
            is_kept = parked.iter().any(|name| name.starts_with(database.as_str()));
        }
        if is_kept {
            parked.extend(step.changed.iter().chain(&step.dropped).cloned());
        }
        all.push(is_kept);
    }
    all
}

/// What a record is of, in the order of the binlog.
fn place(record: &Record) -> (String, u64) {
    let (file, offset) = record.headers["binlog"].rsplit_once(':').unwrap();
    (file.to_owned(), offset.parse().unwrap())
}

/// What a message says, but for when it was made.
fn words(record: &Record) -> String {
    let json = record.json();
    let said: Vec<String> = ["database", "table", "type", "sql", "data", "old", "mysqlType"]
        .iter()
        .map(|member| json[member].to_string())
        .collect();
    said.join(" ")
}

struct Rig {
    sluice: Sluice,
    source: MySqlConnection,
    rounds: usize,
}

impl Rig {
    async fn new(server: &Server) -> Self {
        let mut source = server.database(DONE).await;
        run(&mut source, "CREATE TABLE done (id INT PRIMARY KEY)").await;
        for database in [A, B] {
            run(&mut source, &format!("DROP DATABASE IF EXISTS {database}")).await;
        }
        let mut sluice = example(server, "park_names.*", &[]);
        let topic = ("sluice.topic", "free.{schema}.{table}");
        let filter = ("canal.instance.filter.regex", r"park_names.*\..*");
        sluice.instance("free", server, &[filter, topic]);
        sluice.start();
        let tables = TABLES.iter().flat_map(|table| [A, B].map(|one| format!("{one}.{table}")));
        wire::make_limited(&sluice.bootstrap(), &tables.collect::<Vec<_>>(), 4096).await;
        Self { sluice, source, rounds: 0 }
    }

    /// All records of an instance's topics, by topic; those of `free` without the word.
    fn records(&self, of: Instance) -> BTreeMap<String, Vec<Record>> {
        let bootstrap = self.sluice.bootstrap();
        let own = |topic: &str| match (of, topic) {
            (Instance::Free, "free") | (Instance::Parking, "example") => {
                Some("instance".to_owned())
            }
            (Instance::Free, _) => topic.strip_prefix("free.").map(str::to_owned),
            (Instance::Parking, _) => topic.starts_with("park_names").then(|| topic.to_owned()),
        };
        let all: BTreeMap<String, String> = topics::list(&bootstrap)
            .into_keys()
            .filter_map(|topic| Some((own(&topic)?, topic)))
            .collect();
        let topics: Vec<&str> = all.values().map(String::as_str).collect();
        let mut read = topics::read_all(&bootstrap, &topics);
        // Statements on databases have one topic for all, and an order in each database only.
        let mut found: BTreeMap<String, Vec<Record>> = BTreeMap::new();
        for (own, topic) in all {
            for record in read.remove(&topic).unwrap_or_default() {
                let database = record.json()["database"].as_str().unwrap().to_owned();
                // What other tests do to databases and accounts is sent too.
                if database.starts_with("park_names") {
                    found.entry(format!("{own} of {database}")).or_default().push(record);
                }
            }
        }
        found
    }

    /// Does a script, and holds what comes of it against what has to, before and behind a retry.
    async fn holds(&mut self, what: &str, steps: &[Step], kill: bool) {
        let mut setup = vec![create_database(A), create_database(B)];
        for table in ["t", "n"] {
            setup.push(create(&format!("{A}.{table}")));
            setup.push(insert(&format!("{A}.{table}"), 1));
        }
        let already = self.records(Instance::Free).values().map(Vec::len).sum::<usize>();
        for step in setup.iter().chain(steps) {
            run(&mut self.source, &step.sql).await;
        }
        self.settle().await;
        if kill {
            self.sluice.kill();
            self.sluice.start();
        }
        let kept: Vec<bool> =
            vec![false; setup.len()].into_iter().chain(kept(steps)).chain([false]).collect();
        let free = self.records(Instance::Free);
        let mut all: Vec<_> = free.values().flatten().map(place).collect();
        all.sort();
        let made = &all[already..];
        assert_eq!(made.len(), kept.len(), "{what}: each step makes a message: {made:?}");
        let kept: BTreeSet<_> =
            made.iter().zip(kept).filter(|(_, kept)| *kept).map(|(place, _)| place).collect();
        let names = |records: &BTreeMap<String, Vec<Record>>,
                     all: bool|
         -> Vec<(String, Vec<String>)> {
            let shown = |record: &&Record| all || !kept.contains(&place(record));
            let said = |records: &Vec<Record>| records.iter().filter(shown).map(words).collect();
            let named = records.iter().map(|(topic, records)| (topic.clone(), said(records)));
            named.filter(|(_, said): &(String, Vec<String>)| !said.is_empty()).collect()
        };
        let shown = names(&self.records(Instance::Parking), true);
        assert_eq!(shown, names(&free, false), "{what}: before the retry");
        let mut large = BTreeSet::new();
        for one in parked(&self.sluice) {
            let events = one["events"].as_u64().unwrap();
            assert!(events > 0, "{what}: {one}");
            let more = one["names"].as_array().into_iter().flatten().map(names_of);
            large.extend(more.chain([names_of(&one)]));
        }
        // Only those whose rows may be kept.
        let topics = TABLES.iter().flat_map(|table| [A, B].map(|one| format!("{one}.{table}")));
        let topics: Vec<String> = topics.filter(|topic| is_in(&large, topic)).collect();
        wire::limit(&self.sluice.bootstrap(), &topics, 1 << 20).await;
        // One may be asked for by any of its names.
        while let Some(one) = parked(&self.sluice).pop() {
            let more = one["names"].as_array().and_then(|names| names.last()).cloned();
            let one = names_of(&more.unwrap_or(one));
            instance(&self.sluice, &["retry", "example", &one], 0);
        }
        assert_eq!(
            names(&self.records(Instance::Parking), true),
            names(&free, true),
            "{what}: behind it"
        );
        wire::limit(&self.sluice.bootstrap(), &topics, 4096).await;
        for database in [A, B] {
            run(&mut self.source, &format!("DROP DATABASE IF EXISTS {database}")).await;
        }
        self.settle().await;
    }

    /// Waits until both instances are behind what was done.
    async fn settle(&mut self) {
        self.rounds += 1;
        run(&mut self.source, &format!("INSERT INTO {DONE}.done VALUES ({})", self.rounds)).await;
        for topic in [format!("{DONE}.done"), format!("free.{DONE}.done")] {
            topics::read_at_least(&self.sluice.bootstrap(), &topic, self.rounds);
        }
    }
}

fn names_of(one: &Value) -> String {
    names(std::slice::from_ref(one)).remove(0)
}

async fn parking_follows_names(server: &Server) {
    let mut rig = Rig::new(server).await;
    let [t, n, x, y] = TABLES.map(|table| format!("{A}.{table}"));
    let (t, n, x, y) = (&*t, &*n, &*x, &*y);
    let elsewhere = &*format!("{B}.t");
    let large = || insert_large(t, 2);
    let scripts: Vec<(&str, bool, Vec<Step>)> = vec![
        ("a rename", true, vec![large(), rename(&[(t, x)]), insert(x, 3), insert(n, 3)]),
        (
            "a swap, as tools do that change tables online",
            true,
            vec![
                like(y, t),
                add_column(y, 1),
                large(),
                insert(y, 1),
                rename(&[(t, x), (y, t)]),
                insert(t, 4),
                insert(x, 5),
                drop_table(x),
                insert(t, 6),
                insert(n, 6),
            ],
        ),
        (
            "chains, and the old name made again",
            false,
            vec![
                large(),
                alter_rename(t, x),
                rename(&[(x, y)]),
                insert(y, 4),
                like(x, y),
                insert(x, 5),
                create(t),
                insert(t, 6),
            ],
        ),
        (
            "dropped and made again",
            false,
            vec![large(), drop_table(t), create(t), insert(t, 3), insert(n, 3)],
        ),
        (
            "the database dropped and made again",
            true,
            vec![
                large(),
                drop_database(A),
                create_database(A),
                create(x),
                insert(x, 1),
                create(t),
                insert(t, 1),
            ],
        ),
        (
            "two that are parked change names",
            true,
            vec![
                large(),
                insert_large(n, 2),
                insert(t, 3),
                rename(&[(t, x), (n, t), (x, n)]),
                insert(t, 4),
                insert(n, 5),
            ],
        ),
        (
            "into another database and back",
            false,
            vec![
                large(),
                rename(&[(t, elsewhere)]),
                insert(elsewhere, 3),
                rename(&[(n, t)]),
                insert(t, 4),
                rename(&[(t, n)]),
                insert(n, 5),
            ],
        ),
    ];
    for (what, kill, steps) in scripts {
        rig.holds(what, &steps, kill).await;
    }
    let seed = asked::seed("SLUICE_PARK_NAMES_SEED");
    let rounds = asked::number_or("SLUICE_PARK_NAMES", 3);
    let mut random = Random::new(seed);
    for round in 0..rounds {
        let steps = any_steps(&mut random);
        let sql: Vec<&str> =
            steps.iter().map(|step| &step.sql[..step.sql.len().min(100)]).collect();
        let what = format!("seed {seed}, round {round}: {}", sql.join("; "));
        rig.holds(&what, &steps, round % 2 == 0).await;
    }
    rig.sluice.stop();
}

/// Statements that the server takes, one after the other.
fn any_steps(random: &mut Random) -> Vec<Step> {
    let mut there: BTreeSet<Name> = ["t", "n"].map(|table| format!("{A}.{table}")).into();
    let free = |there: &BTreeSet<Name>| -> Vec<Name> {
        let all = TABLES.iter().flat_map(|table| [A, B].map(|one| format!("{one}.{table}")));
        all.filter(|name| !there.contains(name)).collect()
    };
    let mut steps = Vec::new();
    for id in 10..35 {
        let tables: Vec<Name> = there.iter().cloned().collect();
        let gaps = free(&there);
        let make = tables.is_empty() || random.once_in(8);
        let step = match random.below(if make { 1 } else { 12 }) {
            0 if gaps.is_empty() => continue,
            0 if tables.is_empty() || random.once_in(2) => {
                let name = pick(random, &gaps);
                there.insert(name.to_owned());
                create(name)
            }
            0 => {
                let name = pick(random, &gaps);
                there.insert(name.to_owned());
                like(name, pick(random, &tables))
            }
            1 => {
                let name = pick(random, &tables);
                there.remove(name);
                drop_table(name)
            }
            2 | 3 if !gaps.is_empty() => {
                let (from, to) = (pick(random, &tables), pick(random, &gaps));
                there.remove(from);
                there.insert(to.to_owned());
                if random.once_in(2) { rename(&[(from, to)]) } else { alter_rename(from, to) }
            }
            4 if !gaps.is_empty() && tables.len() > 1 => {
                let (one, gap) = (pick(random, &tables), pick(random, &gaps));
                match tables.iter().find(|other| other.as_str() != one) {
                    Some(other) => rename(&[(one, gap), (other, one), (gap, other)]),
                    None => continue,
                }
            }
            5 => add_column(pick(random, &tables), id),
            6 if random.once_in(2) => {
                let database = *random.pick(&[A, B]);
                there.retain(|name| !name.starts_with(database));
                steps.push(drop_database(database));
                create_database(database)
            }
            7 => insert_large(pick(random, &tables), id),
            _ => insert(pick(random, &tables), id),
        };
        steps.push(step);
    }
    steps
}

#[tokio::test]
async fn what_a_statement_on_a_parked_table_names_comes_back_with_it() {
    let Some(mysql) = mysql() else { return };
    parking_follows_names(mysql).await;
}

#[tokio::test]
async fn what_a_statement_names_comes_back_with_its_table_from_mariadb_too() {
    let Some(mariadb) = mariadb() else { return };
    parking_follows_names(mariadb).await;
}

fn pick<'a>(random: &mut Random, names: &'a [Name]) -> &'a str {
    &names[random.place(names.len())]
}
