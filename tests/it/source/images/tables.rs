//! The tables: generated from the types and character sets of a server, and the values at the
//! edges of each.

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, MySqlConnection, Row as _};

use super::documents;
use crate::harness::servers::Flavor;
use crate::harness::{Random, Server};

/// What must be the same of a row that was read and one that was streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Same {
    /// The row image, and so the message.
    Image,
    /// The message.
    Message,
}

/// A table that was made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// Quoted where it has to be.
    pub(super) name: String,
    /// What its rows are in order by.
    pub(super) order: &'static str,
    pub(super) same: Same,
    /// What brings its rows instead of an update of rows that are there.
    pub(super) late: Option<String>,
}

/// A table to be made.
pub(super) struct Wanted {
    pub(super) made: Made,
    pub(super) statements: Vec<String>,
    /// Rows that not every server takes.
    pub(super) optional: Vec<String>,
}

/// A column: its type, and values of it as SQL.
#[derive(Clone, Debug)]
pub(super) struct Column {
    definition: String,
    values: Vec<String>,
}

pub(super) fn column(definition: impl Into<String>, values: &[&str]) -> Column {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Column { definition: definition.into(), values }
}

impl Column {
    pub(super) fn of(definition: &str, values: Vec<String>) -> Self {
        Self { definition: definition.to_owned(), values }
    }
}

impl Wanted {
    fn by_hand(name: &str, order: &'static str, statements: &[&str]) -> Self {
        let statements = statements.iter().map(|one| (*one).to_owned()).collect();
        let made = Made { name: name.to_owned(), order, same: Same::Image, late: None };
        Self { made, statements, optional: Vec::new() }
    }

    /// The last statement is run late.
    fn inserted(mut self) -> Self {
        self.made.late = self.statements.pop();
        self
    }

    fn only_message(mut self) -> Self {
        self.made.same = Same::Message;
        self
    }
}

/// A table of such columns: as many rows as the longest list of values has, the values of the others
/// again and again; and one row of NULLs.
pub(super) fn wanted(name: &str, columns: &[Column], options: &str) -> Wanted {
    let definitions: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(number, column)| format!("c{number} {}", column.definition))
        .collect();
    let create = format!(
        "CREATE TABLE {name} (id INT AUTO_INCREMENT PRIMARY KEY, {}, helper INT DEFAULT 0){options}",
        definitions.join(", ")
    );
    let names: Vec<String> = (0..columns.len()).map(|number| format!("c{number}")).collect();
    let into = format!("INSERT INTO {name} ({}) VALUES ", names.join(", "));
    let rows = columns.iter().map(|column| column.values.len()).max().unwrap_or(0);
    let value = |column: &Column, row: usize| column.values[row % column.values.len()].clone();
    let mut statements = vec![create];
    for row in 0..rows {
        let values: Vec<String> = columns.iter().map(|column| value(column, row)).collect();
        statements.push(format!("{into}({})", values.join(", ")));
    }
    statements.push(format!("{into}({})", vec!["NULL"; columns.len()].join(", ")));
    let made = Made { name: name.to_owned(), order: "id", same: Same::Image, late: None };
    Wanted { made, statements, optional: Vec::new() }
}

/// All that a server can have.
pub(super) async fn all(server: &Server, admin: &mut MySqlConnection) -> Vec<Wanted> {
    let version = text(admin, "SELECT VERSION()").await;
    let is_5_6 = version.starts_with("5.6");
    let mut all = vec![
        wanted("integers", &integers(), ""),
        wanted("floats", &floats(), ""),
        wanted("decimals", &decimals(), ""),
        wanted("bits", &bits(), ""),
        wanted("times", &times(server.flavor), ""),
        wanted("dates", &dates(), ""),
        wanted("bytes", &bytes(), ""),
        wanted("labels", &labels(), ""),
        wanted("geometries", &geometries(), ""),
    ];
    all.extend(charsets(admin).await);
    all.push(wide(server.flavor == Flavor::MySql && !is_5_6));
    all.push(named());
    match server.flavor {
        Flavor::MySql if is_5_6 => {}
        Flavor::MySql => all.extend(of_mysql()),
        Flavor::MariaDb => all.extend(of_mariadb()),
    }
    if server.flavor == Flavor::MariaDb && !version.starts_with("10.") {
        let short = ["x'0000803f000000c00000003f'", "VEC_FromText('[1.5,-2e-8,3e38]')"];
        let long = ["REPEAT(x'0000803f', 100)"];
        let columns = [column("VECTOR(3)", &short), column("VECTOR(100)", &long)];
        all.push(wanted("vectors", &columns, ""));
    }
    all
}

async fn text(admin: &mut MySqlConnection, sql: &str) -> String {
    let row = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_one(admin).await.unwrap();
    row.get(0)
}

fn integers() -> Vec<Column> {
    let mut values = vec!["0".to_owned(), "1".to_owned(), "-1".to_owned()];
    for bits in [7, 8, 15, 16, 23, 24, 31, 32, 63, 64] {
        let edge = 1_i128 << bits;
        values.extend([edge, edge - 1, edge / 3, -edge, 1 - edge].map(|edge| edge.to_string()));
    }
    let mut columns = Vec::new();
    for name in ["TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT"] {
        for sign in ["", " UNSIGNED", " UNSIGNED ZEROFILL"] {
            columns.push(Column { definition: format!("{name}{sign}"), values: values.clone() });
        }
    }
    columns.push(Column { definition: "BOOL".to_owned(), values: values.clone() });
    columns.push(Column { definition: "INT(3) ZEROFILL".to_owned(), values });
    columns
}

fn floats() -> Vec<Column> {
    let values = [
        "0",
        "-0e0",
        "1",
        "-1.5",
        "0.1",
        "3.4028234e38",
        "-3.4028234e38",
        "1.17549435e-38",
        "1.4e-45",
        "1.7976931348623157e308",
        "2.2250738585072014e-308",
        "5e-324",
        "16777217",
        "0.30000000000000004",
        "123456.789",
        "1e22",
        "9007199254740993",
    ];
    let types = [
        "FLOAT",
        "DOUBLE",
        "FLOAT UNSIGNED",
        "FLOAT(7,2)",
        "DOUBLE(12,3) ZEROFILL",
        "FLOAT(30)",
        "FLOAT(5,3) UNSIGNED ZEROFILL",
        "REAL",
    ];
    types.iter().map(|name| column(*name, &values)).collect()
}

/// Every number of digits beyond whole groups of nine, before and behind the point.
fn decimals() -> Vec<Column> {
    let mut random = Random::new(65);
    let mut columns = Vec::new();
    for whole in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 18, 35, 65] {
        for fraction in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 27, 30] {
            if (1..=65).contains(&(whole + fraction)) {
                columns.push(decimal(whole, fraction, &mut random));
            }
        }
    }
    columns.push(column("DECIMAL(10,2) UNSIGNED ZEROFILL", &["0", "1.5", "99999999.99"]));
    columns
}

fn decimal(whole: usize, fraction: usize, random: &mut Random) -> Column {
    let mut some = |count: usize| -> String {
        (0..count)
            .map(|_| char::from_digit(u32::try_from(random.below(10)).unwrap(), 10).unwrap())
            .collect()
    };
    let nines = format!("{}.{}", "9".repeat(whole), "9".repeat(fraction));
    let last = format!("0.{}1", "0".repeat(fraction.saturating_sub(1)));
    let any = format!("{}.{}", some(whole), some(fraction));
    let few = format!("1.{}", some(1));
    let numbers = ["0".to_owned(), nines, last, any, few, some(3)];
    let values = numbers.iter().flat_map(|number| [number.clone(), format!("-{number}")]);
    // Texts: a literal of 65 digits with a point is none.
    let values = values.map(|number| format!("'{number}'")).collect();
    Column { definition: format!("DECIMAL({},{fraction})", whole + fraction), values }
}

fn bits() -> Vec<Column> {
    (1..=64)
        .map(|bits| {
            let all = u64::MAX >> (64 - bits);
            let values = [0, 1, all, all / 3, all / 2 + 1].map(|bits| format!("b'{bits:b}'"));
            Column { definition: format!("BIT({bits})"), values: values.to_vec() }
        })
        .collect()
}

fn times(flavor: Flavor) -> Vec<Column> {
    let (mut all, mut moments, mut stamps) = (Vec::new(), Vec::new(), Vec::new());
    let fractions = ["", ".5", ".000001", ".999999", ".123456", ".100000", ".010000"];
    for fraction in fractions {
        for time in ["00:00:00", "01:02:03", "23:59:59", "837:59:58", "838:59:59", "100:00:00"] {
            all.extend([format!("'{time}{fraction}'"), format!("'-{time}{fraction}'")]);
        }
        for moment in [
            "0000-00-00 00:00:00",
            "1000-01-01 00:00:00",
            "9999-12-31 23:59:59",
            "2024-00-00 00:00:00",
            "2024-02-30 01:02:03",
            "0001-01-01 10:20:30",
            "2024-02-29 23:59:59",
            "0000-01-01 00:00:00",
        ] {
            moments.push(format!("'{moment}{fraction}'"));
        }
        for moment in [
            "0000-00-00 00:00:00",
            "1970-01-01 00:00:01",
            "2038-01-19 03:14:07",
            "2000-02-29 12:00:00",
            "1999-12-31 23:59:59",
            "2024-03-31 02:30:00",
            "2000-03-01 00:00:00",
            "2036-02-29 00:00:00",
        ] {
            stamps.push(format!("'{moment}{fraction}'"));
        }
    }
    if flavor == Flavor::MariaDb {
        stamps.push("'2106-02-07 06:28:15.999999'".to_owned());
        stamps.push("'1970-01-01 00:00:00.5'".to_owned());
    }
    let mut columns = Vec::new();
    for digits in 0..=6 {
        let of = |name: &str, null: &str, values: &Vec<String>| Column {
            definition: format!("{name}({digits}){null}"),
            values: values.clone(),
        };
        columns.push(of("TIME", "", &all));
        columns.push(of("DATETIME", "", &moments));
        columns.push(of("TIMESTAMP", " NULL", &stamps));
    }
    columns
}

fn dates() -> Vec<Column> {
    let dates = [
        "'0000-00-00'",
        "'1000-01-01'",
        "'9999-12-31'",
        "'2024-00-00'",
        "'2024-02-31'",
        "'0001-01-01'",
        "'0000-01-00'",
        "'2000-02-29'",
        "'1582-10-10'",
    ];
    let years = ["0", "1901", "2155", "2000", "1999", "'0'", "69", "70", "'00'", "1900", "2156"];
    vec![column("DATE", &dates), column("YEAR", &years), column("YEAR(4)", &years)]
}

fn bytes() -> Vec<Column> {
    let values = [
        "x''",
        "x'00'",
        "x'0000'",
        "x'ff'",
        "x'ff00'",
        "x'00ff'",
        "x'20'",
        "'a '",
        "x'c3a4'",
        "x'61000000'",
        "REPEAT('q', 255)",
        "REPEAT(x'00', 255)",
        "REPEAT('q', 256)",
        "REPEAT(x'0001', 128)",
        "REPEAT('z', 70000)",
        "x'f09f9880'",
    ];
    let types = [
        "BINARY(0)",
        "BINARY(1)",
        "BINARY(16)",
        "BINARY(255)",
        "VARBINARY(1)",
        "VARBINARY(255)",
        "VARBINARY(256)",
        "VARBINARY(3000)",
        "TINYBLOB",
        "BLOB",
        "MEDIUMBLOB",
        "LONGBLOB",
        "BLOB(70000)",
        "CHAR(9) CHARACTER SET binary",
        "TEXT CHARACTER SET binary",
    ];
    types.iter().map(|name| column(*name, &values)).collect()
}

fn labels() -> Vec<Column> {
    let list = |count: usize| (1..=count).map(|n| format!("'l{n}'")).collect::<Vec<_>>().join(",");
    let mut columns: Vec<Column> = [1, 2, 255, 256, 300]
        .into_iter()
        .map(|count| {
            let values = [1, count, count / 2 + 1].map(|n| format!("'l{n}'"));
            // A label that is none becomes the number 0.
            let values = values.into_iter().chain(["'none'".to_owned()]).collect();
            Column { definition: format!("ENUM({})", list(count)), values }
        })
        .collect();
    columns.push(column("ENUM('','x','y''z','a,b')", &["''", "'none'", "'x'", "'y''z'", "'a,b'"]));
    columns.push(column("ENUM('é','漢','x') CHARACTER SET utf8", &["'é'", "'漢'", "3"]));
    columns.push(column("ENUM('é','x') CHARACTER SET ucs2", &["'é'", "'x'"]));
    for count in [1, 2, 7, 8, 9, 15, 16, 17, 24, 25, 32, 33, 40, 41, 48, 53, 54, 56, 57, 63, 64] {
        let all = u64::MAX >> (64 - count);
        let values = [0, 1, all, all / 3, all / 2 + 1].map(|mask| mask.to_string()).to_vec();
        columns.push(Column { definition: format!("SET({})", list(count)), values });
    }
    columns
}

fn geometries() -> Vec<Column> {
    let of = |name: &str, texts: &[&str]| Column {
        definition: name.to_owned(),
        values: texts.iter().map(|text| format!("ST_GeomFromText('{text}')")).collect(),
    };
    let polygon = "POLYGON((0 0,0 4,4 4,4 0,0 0),(1 1,1 2,2 2,2 1,1 1))";
    let mut any = of("GEOMETRY", &["POINT(1 -2)", "LINESTRING(0 0,1e10 -1.5)", polygon]);
    any.values.push("ST_GeomFromText('POINT(1 2)', 4326)".to_owned());
    vec![
        any,
        of("POINT", &["POINT(0 0)", "POINT(-1.5 1e300)"]),
        of("LINESTRING", &["LINESTRING(0 0,1 1,2 0.1)"]),
        of("POLYGON", &[polygon]),
        of("MULTIPOINT", &["MULTIPOINT(1 1,2 2)"]),
        of("MULTILINESTRING", &["MULTILINESTRING((0 0,1 1),(2 2,3 3))"]),
        of("MULTIPOLYGON", &["MULTIPOLYGON(((0 0,0 1,1 1,0 0)))"]),
        of("GEOMETRYCOLLECTION", &["GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))"]),
    ]
}

/// Letters of many scripts, some of which a character set lacks.
const LETTERS: &str = "aZ09 _-~\u{1}\u{7f}äöÜßéñ€ŁšžđПриветԱբΩψשלוםمرحباไทย中文简体繁體漢字日本語ひらカタ한국어ｱ①😀𠮷";

/// A table of each character set that the server has.
async fn charsets(admin: &mut MySqlConnection) -> Vec<Wanted> {
    let ask = "SELECT CONVERT(character_set_name USING utf8) AS name, CAST(maxlen AS SIGNED) AS most \
               FROM information_schema.character_sets ORDER BY 1";
    let rows = sqlx::raw_sql(ask).fetch_all(admin).await.unwrap();
    let sets = rows.iter().map(|row| (row.get::<String, _>(0), row.get::<i64, _>(1)));
    sets.filter(|(name, _)| name != "binary").map(|(name, most)| charset(&name, most)).collect()
}

fn charset(name: &str, most: i64) -> Wanted {
    let letters: Vec<String> = LETTERS.chars().map(String::from).collect();
    let mut values: Vec<String> =
        ["''", "'a'", "'a  '", "'  '", "'\\\\'"].map(str::to_owned).to_vec();
    values.extend(letters.chunks(9).map(|some| format!("'{}'", some.concat())));
    values.extend([format!("'{LETTERS}'"), format!("REPEAT('{LETTERS}', 40)")]);
    values.extend(["REPEAT('ß漢', 20000)".to_owned(), "REPEAT('x', 256)".to_owned()]);
    let types = [
        "CHAR(0)",
        "CHAR(1)",
        "CHAR(20)",
        "CHAR(255)",
        "VARCHAR(1)",
        "VARCHAR(63)",
        "VARCHAR(64)",
        "VARCHAR(300)",
        "TINYTEXT",
        "TEXT",
        "MEDIUMTEXT",
        "LONGTEXT",
    ];
    let columns: Vec<Column> = types
        .iter()
        .map(|kind| Column {
            definition: format!("{kind} CHARACTER SET {name}"),
            values: values.clone(),
        })
        .collect();
    let mut table = wanted(&format!("charset_{name}"), &columns, "");
    let all = (0..=255).fold(String::new(), |mut digits, byte: u8| {
        write!(digits, "{byte:02x}").unwrap();
        digits
    });
    if most == 1 {
        let insert = format!(
            "INSERT INTO charset_{name} (c7, c9) VALUES (_{name} x'{all}', _{name} x'{all}')"
        );
        table.optional.push(insert);
    }
    table
}

/// As many columns as a table can have, or nearly.
fn wide(is_newer: bool) -> Wanted {
    let count = if is_newer { 3990 } else { 1500 };
    let columns: Vec<Column> = (0..count)
        .map(|n| column("TINYINT", if n % 3 == 0 { &["1", "NULL"] } else { &["NULL", "2"] }))
        .collect();
    wanted("wide", &columns, " ENGINE=MyISAM")
}

fn named() -> Wanted {
    Wanted::by_hand(
        "`select, ``x`` from`",
        "id",
        &[
            "CREATE TABLE `select, ``x`` from` (id INT PRIMARY KEY, `a``b` INT, `c,d` SET('x','y'), `é 漢` INT, \
             `' \" \\\\` INT, `?` ENUM('a'), helper INT DEFAULT 0)",
            "INSERT INTO `select, ``x`` from` VALUES (1, 2, 3, 4, 5, 1, 0), (2, NULL, 0, NULL, 6, NULL, 0)",
        ],
    )
}

fn of_mysql() -> Vec<Wanted> {
    let vectors = ["x'00000000'", "x'0000803f000000c0'", "STRING_TO_VECTOR('[1.5,-2e-8,3e38]')"];
    vec![
        wanted("documents", &[documents::plain()], ""),
        wanted("typed_documents", &[documents::typed()], "").only_message(),
        wanted("vectors", &[column("VECTOR(3)", &vectors), column("VECTOR", &vectors)], ""),
        Wanted::by_hand(
            "computed",
            "id",
            &[
                "CREATE TABLE computed (id INT PRIMARY KEY, j JSON INVISIBLE, v INT AS (j->'$.a') VIRTUAL, \
                 s VARCHAR(20) AS (CONCAT('x', j->'$.a')) STORED, helper INT DEFAULT 0, \
                 INDEX functional ((v + 1)))",
                "INSERT INTO computed (id, j) VALUES (1, '{\"a\":1}'), (2, NULL), (3, '{\"a\":-7}')",
            ],
        ),
        Wanted::by_hand(
            "keyless",
            "my_row_id",
            &[
                "SET sql_generate_invisible_primary_key = 1",
                "CREATE TABLE keyless (a INT, helper INT DEFAULT 0)",
                "SET sql_generate_invisible_primary_key = 0",
                "INSERT INTO keyless (a) VALUES (1), (NULL), (3)",
            ],
        ),
    ]
}

fn of_mariadb() -> Vec<Wanted> {
    let uuids = [
        "'00000000-0000-0000-0000-000000000000'",
        "'6ccd780c-baba-1026-9564-5b8c656024db'",
        "'6ccd780c-baba-2026-9564-5b8c65602400'",
        "'123e4567-e89b-42d3-a456-426614174000'",
        "'018f3b7c-5e2a-7cc0-98f1-2c2b1b1f0000'",
        "'1ec9414c-232a-6b00-b3c8-9e6bdeced846'",
        "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
        "'6ccd780c-baba-5026-1564-5b8c656024db'",
        "'6ccd780c-baba-0026-9564-5b8c656024db'",
        "'6ccd780c-baba-8026-9564-5b8c656024db'",
    ];
    let inet4 = ["'0.0.0.0'", "'255.255.255.255'", "'10.0.7.0'", "'127.0.0.1'"];
    let inet6 = [
        "'::'",
        "'::1'",
        "'2001:db8::'",
        "'::ffff:1.2.3.4'",
        "'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'",
    ];
    let texts = ["''", "'a'", "REPEAT('abc', 90)", "'é漢'", "REPEAT('ß', 140)"];
    let json = ["'{\"a\": 1}'", "'[]'", "'\"x\"'"];
    let columns = [column("UUID", &uuids), column("INET6", &inet6), column("JSON", &json)];
    let compressed = [
        "VARCHAR(300) COMPRESSED",
        "VARCHAR(200) COMPRESSED CHARACTER SET utf8mb4",
        "VARBINARY(400) COMPRESSED",
        "TINYTEXT COMPRESSED",
        "TEXT COMPRESSED CHARACTER SET gbk",
        "MEDIUMBLOB COMPRESSED",
        "LONGTEXT COMPRESSED CHARACTER SET utf8mb4",
    ];
    let compressed: Vec<Column> = compressed.iter().map(|name| column(*name, &texts)).collect();
    let years: Vec<String> = (0..100).map(|year| year.to_string()).collect();
    let years = Column { definition: "YEAR(2)".to_owned(), values: years };
    let mut all = vec![
        wanted("plugins", &columns, ""),
        wanted("inet4", &[column("INET4", &inet4)], ""),
        wanted("compressed", &compressed, "").only_message(),
        wanted("years", &[years], ""),
        Wanted::by_hand(
            "hashed",
            "id",
            &[
                "CREATE TABLE hashed (id INT PRIMARY KEY, t TEXT UNIQUE, b BLOB UNIQUE INVISIBLE, \
                 v INT AS (id + 1) VIRTUAL, p INT AS (id + 2) PERSISTENT, helper INT DEFAULT 0)",
                "INSERT INTO hashed (id, t, b) VALUES (1, 'x', 'y'), (2, NULL, NULL)",
            ],
        )
        // Its updates lack what is computed, its inserts have it.
        .inserted(),
        Wanted::by_hand(
            "versioned",
            "id",
            &[
                "CREATE TABLE versioned (id INT PRIMARY KEY, t TEXT, helper INT DEFAULT 0) \
                 WITH SYSTEM VERSIONING",
                "INSERT INTO versioned (id, t) VALUES (1, 'x'), (2, NULL)",
            ],
        ),
    ];
    // Dates and times of before 10.1.
    let mut old: Vec<Wanted> = vec![wanted("old_times", &times(Flavor::MySql), "")];
    for table in &mut old {
        table.statements.insert(0, "SET GLOBAL mysql56_temporal_format = OFF".to_owned());
        table.statements.insert(2, "SET GLOBAL mysql56_temporal_format = ON".to_owned());
    }
    all.extend(old);
    all
}
