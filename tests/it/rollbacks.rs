//! Parts of transactions that are rolled back, where a table that cannot roll back makes the server
//! log them all the same: what is published is what the server has.

use sqlx::{AssertSqlSafe, Row as _};

use crate::harness::servers::{self, Server, run, try_run};
use crate::harness::{Random, Sluice, asked, topics};

/// Letters of which some are one to one server and not to another: case, accents, `ß`, the dotless
/// and the dotted i, Kelvin, ligatures, Greek and Cyrillic, quotes and blanks.
const LETTERS: [&str; 34] = [
    "a", "A", "á", "Á", "ä", "b", "e", "E", "é", "É", "s", "S", "ß", "ẞ", "i", "I", "ı", "İ", "k",
    "K", "K", "ﬀ", "ω", "Ω", "ώ", "я", "Я", "ё", "中", "`", "\"", " ", "''", "ÿ",
];

/// `SLUICE_SAVEPOINT_SEED` repeats a run; `SLUICE_SAVEPOINT_TURNS` is how many transactions it has.
#[tokio::test]
async fn what_the_server_has_rolled_back_is_not_published_and_nothing_else_is_missing() {
    let seed = asked::seed("SLUICE_SAVEPOINT_SEED");
    let turns = asked::number_or("SLUICE_SAVEPOINT_TURNS", 60);
    let without_gtids = ["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"];
    let servers = [
        servers::private_mariadb(&[]),
        servers::private_newest_mariadb(&[]),
        servers::private_mysql(&without_gtids),
    ];
    for server in servers.into_iter().flatten() {
        play(&server, &mut Random::new(seed), turns).await;
    }
}

fn name(random: &mut Random) -> String {
    let length = 1 + random.below(2);
    let letters: String = (0..length).map(|_| *random.pick(&LETTERS)).collect();
    // A name may not end in a blank.
    if letters.ends_with(' ') { format!("{letters}x") } else { letters }
}

async fn play(server: &Server, random: &mut Random, turns: u64) {
    const LAST: u64 = 1_000_000;
    let mut source = server.database("rollbacks").await;
    run(
        &mut source,
        "CREATE TABLE i (id INT PRIMARY KEY, v LONGTEXT) ENGINE = InnoDB;
         CREATE TABLE m (id INT PRIMARY KEY AUTO_INCREMENT) ENGINE = MyISAM",
    )
    .await;
    let properties =
        [("canal.instance.filter.regex", r"rollbacks\.i"), ("canal.mq.topic", "rollbacks")];
    let mut sluice = Sluice::with_instance("rollbacks", server, &properties);
    sluice.start();
    let mut id = 0;
    for _ in 0..turns {
        let format = *random.pick(&["ROW", "ROW", "MIXED", "STATEMENT"]);
        let mode = *random.pick(&["", "ANSI_QUOTES"]);
        let quotes = *random.pick(&[0, 1]);
        let client = *random.pick(&["utf8mb4", "utf8mb4", "latin1"]);
        let mut script = vec![format!(
            "SET SESSION binlog_format = {format}, sql_mode = '{mode}', \
             sql_quote_show_create = {quotes}; SET NAMES {client}; BEGIN"
        )];
        let is_large = random.once_in(8);
        let mut names = Vec::new();
        for _ in 0..2 + random.below(10) {
            id += 1;
            let length = if is_large && random.once_in(2) { 2_500_000 } else { 3 };
            script.push(match random.below(8) {
                0..3 => format!("INSERT INTO i VALUES ({id}, REPEAT('x', {length}))"),
                3 => "INSERT INTO m VALUES ()".to_owned(),
                4 | 5 => {
                    names.push(name(random));
                    format!("SAVEPOINT {}", quoted(&names[names.len() - 1]))
                }
                _ => {
                    let other = name(random);
                    let name = if names.is_empty() { &other } else { random.pick(&names) };
                    let name = if random.once_in(3) { &name.to_uppercase() } else { name };
                    format!("ROLLBACK TO {}", quoted(name))
                }
            });
        }
        script.push(if random.once_in(4) { "ROLLBACK" } else { "COMMIT" }.to_owned());
        for sql in script {
            // One that names no savepoint does nothing.
            let _ = try_run(&mut source, &sql).await;
        }
    }
    run(&mut source, &format!("SET SESSION sql_mode = ''; INSERT INTO i VALUES ({LAST}, '')"))
        .await;
    let had = sqlx::raw_sql(AssertSqlSafe("SELECT id FROM i ORDER BY id"));
    let had: Vec<u64> = had
        .fetch_all(&mut source)
        .await
        .unwrap()
        .iter()
        .map(|row| u64::try_from(row.get::<i32, _>(0)).unwrap())
        .collect();
    let mut published = Vec::new();
    for wanted in 1.. {
        let records = topics::read_at_least(&sluice.bootstrap(), "rollbacks", wanted);
        published = records.iter().filter_map(|record| id_of(&record.json())).collect();
        if published.contains(&LAST) {
            break;
        }
    }
    published.sort_unstable();
    assert_eq!(published, had);
    sluice.stop();
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Of a row, or of the text of an INSERT.
fn id_of(message: &serde_json::Value) -> Option<u64> {
    if message["type"] != "INSERT" {
        return None;
    }
    if let Some(id) = message["data"][0]["id"].as_str() {
        return id.parse().ok();
    }
    let text = message["sql"].as_str()?.strip_prefix("INSERT INTO i VALUES (")?;
    text.split(',').next()?.parse().ok()
}
