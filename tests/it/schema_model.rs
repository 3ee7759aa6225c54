//! What a table looked like before a statement, and the statement, give what it looks like
//! after: the model follows the binlog's own texts of a real server, and is compared with that
//! server's `information_schema` after each.

use sluice::config::Adopt;
use sluice::mysql::{Endpoint, Session};
use sluice::schema::{Definition, Schema};

use crate::harness::servers::run;
use crate::harness::{self, Server};
use crate::random_ddl::follow::{Feed, definitions, describe, with_uniques_of};

/// One a line; `--` before those that only one flavour knows. Of a table called `unknown_..` the
/// text does not say enough.
const STATEMENTS: &str = "
-- mysql CREATE TABLE rows_of_others (x LONGTEXT)
-- mysql SET SESSION binlog_transaction_compression = ON
-- mysql INSERT INTO rows_of_others VALUES (REPEAT('x', 100000))
CREATE TABLE n (a1 TINYINT(1), a2 TINYINT(1) UNSIGNED, a3 TINYINT(1) ZEROFILL, a4 INT(5) ZEROFILL, a5 BOOL, a6 INT ZEROFILL, a7 MEDIUMINT ZEROFILL, a8 BIGINT ZEROFILL, a9 SMALLINT ZEROFILL, a10 TINYINT ZEROFILL, a11 TINYINT(2), a12 INT SIGNED, a13 INT1, a14 INT2, a15 INT3, a16 INT4, a17 INT8, a18 MIDDLEINT, a19 INTEGER(11))
CREATE TABLE f (f1 FLOAT(10), f2 FLOAT(25), f3 FLOAT(7,3), f4 DOUBLE(7,3) UNSIGNED, f5 REAL, f6 DOUBLE PRECISION, f7 FLOAT4, f8 FLOAT8 ZEROFILL, f9 FLOAT ZEROFILL, f10 FLOAT UNSIGNED, d1 DECIMAL, d2 DEC(5), d3 NUMERIC(0), d4 FIXED(6,3) ZEROFILL, d5 DECIMAL(0,0) UNSIGNED, b1 BIT, b8 BIT(8))
CREATE TABLE x (t1 TEXT(60), t2 TEXT(100), t3 TEXT(20000), t4 TEXT(5000000), b1 BLOB(255), b2 BLOB(256), b3 BLOB(70000), l1 LONG, l2 LONG VARBINARY, l3 LONG CHAR VARYING, l4 LONG VARCHAR, c1 CHAR BYTE, c2 VARCHAR(10) BYTE, c3 TEXT BYTE, c4 CHAR(4) CHARACTER SET binary, c5 VARCHAR(300) CHARACTER SET binary, c6 TINYTEXT CHARACTER SET binary, c7 ENUM('a ','b') CHARACTER SET binary)
CREATE TABLE y (n1 NCHAR, n2 NATIONAL CHARACTER VARYING(4), n3 NCHAR VARYING(3), n4 NVARCHAR(3), n5 NATIONAL VARCHARACTER(3), n6 NCHAR VARCHARACTER(3), u1 CHAR(3) ASCII, u2 CHAR(3) UNICODE, u3 CHAR(3) BINARY, u4 VARCHAR(3) CHARACTER SET latin1 BINARY, u6 VARCHAR(9) COLLATE latin2_bin, u7 VARBINARY(3), u8 BINARY, u9 CHARACTER VARYING(5), u10 CHARACTER(2))
CREATE TABLE z (y1 YEAR, ti TIME(0), ti3 TIME(3), dt DATETIME(6), ts TIMESTAMP, ts3 TIMESTAMP(3) NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3), dd DATE, g1 GEOMETRYCOLLECTION, g3 POINT, g4 MULTIPOLYGON, g5 GEOMETRY, j JSON)
CREATE TABLE e (e1 ENUM('it''s','b\\\\c','x\\ny','q\"z  ',''), s1 SET('a','ü') CHARACTER SET utf8mb4)
CREATE TABLE lacking (a ENUM('a','é','中','ж') CHARACTER SET latin1, b SET('é','x€','中 x ') CHARACTER SET ascii, c ENUM('中','éж') CHARACTER SET koi8r, d ENUM('éß','À[','[') CHARACTER SET swe7)
-- mysql CREATE TABLE lacking2 (a ENUM('x😀','中') CHARACTER SET ucs2, b SET('x😀','中') CHARACTER SET utf8mb3)
CREATE TABLE big (v1 VARCHAR(70000), v2 VARBINARY(70000), c0 CHAR(0), s SERIAL, v4 VARCHAR(20000) CHARACTER SET latin1)
CREATE TABLE t (id BIGINT(20) UNSIGNED NOT NULL AUTO_INCREMENT COMMENT 'pk', name VARCHAR(64) CHARACTER SET utf8mb4 NOT NULL DEFAULT '' COMMENT 'it''s', st ENUM('a','b\\'c'), PRIMARY KEY (id), UNIQUE KEY uk (name(10)) USING BTREE, KEY k (st) COMMENT 'x') DEFAULT CHARSET=latin1
ALTER TABLE t ADD COLUMN c1 INT NOT NULL DEFAULT 0 COMMENT 'x' AFTER id
ALTER TABLE t ADD COLUMN c0 INT FIRST, ADD COLUMN (c2 INT, c3 VARCHAR(10)), DROP COLUMN c1
ALTER TABLE t ADD COLUMN p INT FIRST, ADD COLUMN q INT FIRST, RENAME COLUMN c0 TO c2, RENAME COLUMN c2 TO c0, MODIFY c3 TEXT AFTER p
ALTER TABLE t MODIFY COLUMN c2 BIGINT UNSIGNED NOT NULL FIRST, CHANGE COLUMN c0 neu VARCHAR(10) CHARACTER SET latin2 AFTER id
ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (id, c2), ADD INDEX (id)
ALTER TABLE t CHANGE id ident BIGINT NOT NULL AUTO_INCREMENT
CREATE TABLE again (a INT, b INT, c INT, PRIMARY KEY (b, c))
ALTER TABLE again DROP b, ADD B INT NOT NULL FIRST
ALTER TABLE again DROP c, ADD (d INT, c INT UNSIGNED NOT NULL)
ALTER TABLE again ADD b CHAR(9) NOT NULL FIRST, CHANGE b e INT NOT NULL
ALTER TABLE again CHANGE c f INT NOT NULL AFTER b, ADD c INT NOT NULL
ALTER TABLE again RENAME COLUMN e TO a, RENAME COLUMN a TO e, CHANGE f d INT NOT NULL FIRST, CHANGE d f INT
-- mysql ALTER TABLE t DROP COLUMN c2
-- mariadb ALTER TABLE t DROP COLUMN c2, DROP PRIMARY KEY, ADD PRIMARY KEY (ident)
ALTER TABLE t DEFAULT CHARACTER SET utf8mb4, ADD COLUMN late TEXT
ALTER TABLE t ENGINE=InnoDB COMMENT='a, comment' CHARSET=latin1, ADD COLUMN later VARCHAR(3)
ALTER TABLE t ADD COLUMN g INT GENERATED ALWAYS AS (neu + 1) VIRTUAL, ADD h VARCHAR(5) AS (CONCAT(neu, 'x, y')) STORED
-- mysql ALTER TABLE t ALTER COLUMN neu SET DEFAULT 'x', ALTER INDEX k INVISIBLE
-- mariadb ALTER TABLE t ALTER COLUMN neu SET DEFAULT 'x', ALTER INDEX k IGNORED
CREATE TABLE c (a TINYTEXT, b TEXT, c MEDIUMTEXT, e VARCHAR(100), f LONGTEXT, g CHAR(10), h ENUM('a'), k TEXT(100), l BLOB, m VARCHAR(5) CHARACTER SET binary) CHARACTER SET latin1
ALTER TABLE c CONVERT TO CHARACTER SET utf8mb4, ADD COLUMN zz TEXT, ADD COLUMN yy TINYTEXT CHARACTER SET latin1
ALTER TABLE c CONVERT TO CHARACTER SET latin1
CREATE TABLE d (a CHAR(4), b TEXT, c ENUM('x'), v VARCHAR(7)) CHARACTER SET latin1
ALTER TABLE d CONVERT TO CHARACTER SET binary
CREATE TABLE wide (a CHAR(5), b VARCHAR(7), c TINYTEXT, d TEXT, e MEDIUMTEXT, f LONGTEXT, g ENUM('x'), h CHAR(100)) CHARACTER SET gbk
ALTER TABLE wide CONVERT TO CHARACTER SET utf8mb4
ALTER TABLE wide CONVERT TO CHARACTER SET binary, ADD i VARCHAR(3)
CREATE TABLE con1 (x INT, s VARCHAR(10), j JSON) CHARACTER SET latin1
ALTER TABLE con1 CONVERT TO CHARACTER SET binary, MODIFY s VARCHAR(300) COLLATE utf8mb4_bin, ADD t VARCHAR(20) CHARACTER SET gbk, ADD v TEXT(100) CHARACTER SET utf8mb4, ADD w VARCHAR(20000), ADD e ENUM('a') CHARACTER SET gbk
CREATE TABLE con2 (x INT, s VARCHAR(10)) CHARACTER SET latin1
ALTER TABLE con2 CONVERT TO CHARACTER SET latin1, MODIFY s VARCHAR(30000) COLLATE utf8mb4_bin, ADD v TEXT(100) CHARACTER SET utf8mb4, ADD w VARCHAR(20000) CHARACTER SET utf8mb4, ADD y VARCHAR(9) CHARACTER SET binary
CREATE TABLE con3 (x INT, s VARCHAR(10)) CHARACTER SET latin1
ALTER TABLE con3 CONVERT TO CHARACTER SET utf8mb4, MODIFY s VARCHAR(30000) COLLATE latin1_bin, ADD v TEXT(100) CHARACTER SET latin1, ADD n NCHAR(5)
CREATE TABLE grown (a VARCHAR(20000)) CHARACTER SET latin1
ALTER TABLE grown CONVERT TO CHARACTER SET utf8mb4
-- mariadb CREATE TABLE comp (a VARCHAR(10) COMPRESSED, b TEXT COMPRESSED, c VARBINARY(300) COMPRESSED=zlib NOT NULL, d LONGBLOB COMPRESSED, e VARCHAR(300) CHARACTER SET utf8mb4 COMPRESSED DEFAULT 'x') CHARACTER SET latin1
-- mariadb ALTER TABLE comp MODIFY a VARCHAR(10), ADD f TEXT COMPRESSED AFTER a
-- mariadb ALTER TABLE comp CONVERT TO CHARACTER SET utf8mb4
-- mariadb ALTER TABLE comp CONVERT TO CHARACTER SET binary
-- mariadb CREATE TABLE comp2 (a VARCHAR(16382) COMPRESSED) CHARACTER SET latin1
-- mariadb CREATE TABLE comp3 (a VARCHAR(16383) COMPRESSED) CHARACTER SET latin1
-- mariadb CREATE TABLE comp4 (a VARCHAR(16383)) CHARACTER SET latin1
-- mariadb CREATE TABLE comp5 (a VARCHAR(16384)) CHARACTER SET latin1
-- mariadb ALTER TABLE comp2 CONVERT TO CHARACTER SET utf8mb4
-- mariadb ALTER TABLE comp3 CONVERT TO CHARACTER SET utf8mb4
-- mariadb ALTER TABLE comp4 CONVERT TO CHARACTER SET utf8mb4
-- mariadb ALTER TABLE comp5 CONVERT TO CHARACTER SET utf8mb4
-- mariadb SET SESSION sql_mode='ORACLE'
-- mariadb CREATE TABLE ora (id NUMBER(10) PRIMARY KEY, d DATE, v VARCHAR2(20), n NUMBER, c CLOB, r RAW(16), b BLOB, b2 BLOB(10), n2 NUMBER(5,2), d2 mariadb_schema.date, ts TIMESTAMP, \"q q\" INT)
-- mariadb CREATE TABLE unknown_ora AS SELECT id, d, n, r, b, n2 FROM ora
-- mariadb SET SESSION sql_mode='MAXDB'
-- mariadb CREATE TABLE maxdb (a TIMESTAMP NULL, b maxdb_schema.timestamp, c mariadb_schema.timestamp NULL, d oracle_schema.date, e mariadb_schema.varchar(3))
-- mariadb SET SESSION sql_mode=''
-- mariadb CREATE TABLE parts (a INT) PARTITION BY RANGE (a) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)
-- mariadb ALTER TABLE parts CONVERT PARTITION p0 TO TABLE part_out
-- mariadb ALTER TABLE parts ADD b INT
CREATE TABLE k (a INT KEY, b INT UNIQUE KEY, c INT UNIQUE)
CREATE TABLE k2 LIKE k
CREATE TABLE IF NOT EXISTS k2 (zzz INT)
CREATE TABLE k3 (LIKE t)
CREATE TABLE sel SELECT ident, neu FROM t
CREATE TABLE sel2 (extra INT) SELECT a FROM k
RENAME TABLE k TO stmp, k2 TO k, stmp TO k2
ALTER TABLE k3 RENAME TO k4, ADD COLUMN another INT
ALTER TABLE k4 RENAME AS k5
CREATE TABLE `a-b``c` (`列` INT, `key` INT, `Quoted Col` INT, PRIMARY KEY (`key`)) ENGINE=InnoDB
/*!40000 ALTER TABLE `a-b``c` DISABLE KEYS */
/*!50003 ALTER TABLE `a-b``c` ADD invis INT */
CREATE TABLE ch (a INT CHECK (a>0), b INT, c BINARY(16), CONSTRAINT cc CHECK (a<b), CONSTRAINT fkk FOREIGN KEY (b) REFERENCES k2 (a) ON DELETE CASCADE)
ALTER TABLE ch DROP FOREIGN KEY fkk
CREATE TABLE part (id INT NOT NULL, d DATE NOT NULL, PRIMARY KEY (id, d)) PARTITION BY RANGE (YEAR(d)) (PARTITION p0 VALUES LESS THAN (2020), PARTITION p1 VALUES LESS THAN (2030))
ALTER TABLE part ADD PARTITION (PARTITION p2 VALUES LESS THAN (2040))
ALTER TABLE part DROP PARTITION p0
ALTER TABLE part TRUNCATE PARTITION p1
ALTER TABLE part REMOVE PARTITIONING
ALTER TABLE part ADD COLUMN after_it INT, ORDER BY id, d
ALTER TABLE part DROP INDEX `PRIMARY`
CREATE INDEX i ON part (id)
CREATE UNIQUE INDEX ui ON part (id, d)
DROP INDEX i ON part
create /* gh-ost */ table `_t_ghc` (id bigint unsigned auto_increment, last_update timestamp not null DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, hint varchar(64) charset ascii not null, value varchar(4096) charset ascii not null, primary key(id), unique key hint_uidx(hint)) auto_increment=256 comment='tracking_revision'
/* leading comment */ ALTER TABLE k5 /* inner */ ADD COLUMN cmt INT COMMENT 'it''s; a \"comment\"' -- trailing
ALTER DATABASE schema_model CHARACTER SET latin1
CREATE TABLE latin (a VARCHAR(5), b TEXT)
TRUNCATE TABLE latin
DROP TABLE IF EXISTS not_there, latin
CREATE VIEW v AS SELECT 1
DROP VIEW v
-- mysql CREATE TABLE vec (id INT PRIMARY KEY, v VECTOR, v3 VECTOR(3), p POINT SRID 4326, c INT CHECK (c < 10) NOT ENFORCED)
-- mysql ALTER TABLE vec ADD COLUMN inv INT DEFAULT 42 INVISIBLE, ADD COLUMN geo GEOMCOLLECTION
-- mysql CREATE TABLE fx (j JSON, id INT, KEY fx ((id + 1)), UNIQUE KEY fy ((CAST(j->'$.a' AS UNSIGNED))))
-- mysql SET SESSION sql_generate_invisible_primary_key=1
-- mysql CREATE TABLE gipk (a INT)
-- mysql SET SESSION sql_generate_invisible_primary_key=0
CREATE TABLE pa (id INT NOT NULL, comment INT, first INT, after INT, type INT, data INT, date DATE, time TIME, year YEAR, text TEXT, status INT, level INT, visible INT, period INT, `sequence` INT, engine INT, PRIMARY KEY USING BTREE (id DESC))
ALTER TABLE pa ADD no INT FIRST, MODIFY comment TEXT COMMENT 'key' AFTER after, CHANGE type kind INT AFTER id, DROP COLUMN first
ALTER TABLE pa ADD versioning INT, ADD vector INT AFTER versioning, ADD value INT DEFAULT (1 + 1), ADD action INT DEFAULT -1 AFTER value
ALTER TABLE pa ADD COLUMN parted INT PARTITION BY KEY (id) PARTITIONS 2
ALTER TABLE pa ADD COLUMN again INT REMOVE PARTITIONING
ALTER TABLE pa ENGINE=InnoDB PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)
ALTER TABLE pa REORGANIZE PARTITION p1 INTO (PARTITION p1 VALUES LESS THAN (20), PARTITION p2 VALUES LESS THAN MAXVALUE)
ALTER TABLE pa PARTITION BY LINEAR KEY () PARTITIONS 3
ALTER TABLE pa COALESCE PARTITION 1
CREATE TABLE cd (a INT DEFAULT NULL, d INT DEFAULT '1', e TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, f CHAR(3) DEFAULT 'key', g INT NOT NULL UNIQUE, CONSTRAINT PRIMARY KEY (d))
-- mysql CREATE TABLE cf (a INT COLUMN_FORMAT DEFAULT, b INT STORAGE DEFAULT, c INT COLUMN_FORMAT FIXED STORAGE DISK)
-- mysql ALTER TABLE cf ADD d INT COLUMN_FORMAT DEFAULT, ADD e INT STORAGE DEFAULT FIRST
ALTER TABLE cd ADD r INT REFERENCES cd (d) ON DELETE SET NULL, ADD s INT
ALTER TABLE cd ADD CONSTRAINT uq UNIQUE KEY (a), ADD UNIQUE uq2 USING BTREE (a), ADD FULLTEXT (f), ADD CONSTRAINT chk CHECK (a > 0 OR a IN (1, 2)), ADD t INT
ALTER TABLE cd DROP CONSTRAINT chk, DROP KEY uq, DROP INDEX uq2, ADD u INT
ALTER TABLE cd
ALTER TABLE cd ADD v1 INT, RENAME TO cd2, ADD v2 INT
ALTER TABLE schema_model.cd2 RENAME schema_model.cd
ALTER TABLE cd MODIFY a BIGINT FIRST, ADD w INT AFTER a, ADD x INT AFTER w, MODIFY s INT AFTER x
ALTER TABLE cd ADD `q``q` INT, ADD `a,b` INT, ADD `c)d` INT COMMENT 'e, f) /* g */ -- h'
/*!50000 ALTER TABLE cd ADD vc1 INT */
ALTER TABLE cd /*!50000 ADD vc2 INT, */ /*!999999 ADD vc3 INT, */ ADD vc4 INT # trailing
ALTER TABLE cd ADD vc5 INT /* ADD vc6 INT, */, /*!50000 ADD vc7 INT */
CREATE TABLE co (a VARCHAR(3) COLLATE utf8_general_ci, b VARCHAR(3) CHARACTER SET utf8, c VARCHAR(3) COLLATE binary, d TEXT COLLATE latin1_bin, e CHAR CHARSET 'latin2') COLLATE = cp1251_bin
ALTER TABLE co ADD g TEXT, COLLATE gbk_bin, ADD h TEXT
ALTER DATABASE schema_model DEFAULT COLLATE = utf8mb4_bin
CREATE TABLE co2 (a VARCHAR(5), b TEXT)
ALTER TABLE co2 CONVERT TO CHARACTER SET latin1 COLLATE latin1_german1_ci
CREATE TABLE IF NOT EXISTS co3 LIKE schema_model.co2
CREATE TABLE gen (a INT NOT NULL, b INT AS (a + 1) VIRTUAL UNIQUE KEY COMMENT 'stored', c VARCHAR(9) GENERATED ALWAYS AS (CONCAT(a, ')')) STORED, PRIMARY KEY (a))
CREATE TABLE many (a INT, PRIMARY KEY (a)) ENGINE InnoDB, COMMENT 'x, y', MAX_ROWS = 5 CHARSET = latin1
DROP TABLE co2, schema_model.co3
RENAME TABLE schema_model.many TO `many 2`, `many 2` TO many3
CREATE TABLE gone1 (a INT)
CREATE TABLE gone2 (a INT)
DROP TABLES gone1, gone2 RESTRICT
CREATE TEMPORARY TABLE tem (a INT)
ALTER TABLE tem ADD b INT
DROP TEMPORARY TABLE tem
CREATE TABLE tem (z INT)
-- mysql CREATE TABLE fromtable TABLE k2
-- mysql CREATE TABLE ja (j JSON, KEY mv ((CAST(j->'$[*]' AS UNSIGNED ARRAY))))
-- mysql ALTER TABLE gipk ADD COLUMN n BIGINT UNSIGNED NOT NULL FIRST
-- mysql CREATE TABLE gipk2 LIKE gipk
-- mysql ALTER TABLE gipk2 MODIFY a BIGINT FIRST, CHANGE n m INT FIRST, ADD q INT FIRST
-- mysql ALTER TABLE gipk2 DROP COLUMN my_row_id, ADD z INT FIRST
-- mysql CREATE TABLE own1 (my_row_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, b INT)
-- mysql ALTER TABLE own1 ADD z INT FIRST
-- mysql CREATE TABLE own2 (My_Row_ID BIGINT UNSIGNED NOT NULL AUTO_INCREMENT INVISIBLE PRIMARY KEY, b INT)
-- mysql ALTER TABLE own2 ADD z INT FIRST
-- mysql CREATE TABLE own3 (my_row_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT INVISIBLE, b INT, PRIMARY KEY (my_row_id, b))
-- mysql ALTER TABLE own3 ADD z INT FIRST
-- mysql CREATE TABLE own4 (my_row_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT INVISIBLE PRIMARY KEY, b INT) ENGINE=MyISAM
-- mysql CREATE TABLE own5 (my_row_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT INVISIBLE PRIMARY KEY, b INT) PARTITION BY KEY () PARTITIONS 2
-- mysql ALTER TABLE own5 ADD z INT FIRST
-- mysql ALTER TABLE gipk ALTER COLUMN my_row_id SET VISIBLE
-- mysql ALTER TABLE gipk ADD COLUMN y INT FIRST
-- mysql ALTER TABLE gipk DROP COLUMN y, ALTER COLUMN my_row_id SET INVISIBLE
-- mysql ALTER TABLE gipk ADD COLUMN y INT FIRST
-- mysql ALTER TABLE gipk ADD COLUMN i1 INT, ADD COLUMN i2 INT AFTER my_row_id, ALGORITHM=INSTANT
-- mysql ALTER TABLE gipk DROP COLUMN i1, ALGORITHM=INSTANT
-- mysql ALTER TABLE vec ALTER CHECK vec_chk_1 ENFORCED, ADD last INT
-- mysql ALTER TABLE vec ALTER COLUMN inv SET VISIBLE, ALTER c SET DEFAULT (3), ADD last2 INT
-- mariadb CREATE TABLE ver (a INT PRIMARY KEY, b INT) WITH SYSTEM VERSIONING CHARACTER SET latin1
-- mariadb CREATE TABLE ver2 LIKE ver
-- mariadb ALTER TABLE ver2 DROP SYSTEM VERSIONING
-- mariadb ALTER TABLE ver2 ADD SYSTEM VERSIONING, ADD c INT AFTER a
-- mariadb CREATE TABLE mm (a INT, b VARCHAR(10), c TEXT, PRIMARY KEY (a))
-- mariadb ALTER TABLE IF EXISTS mm WAIT 5 RENAME COLUMN IF EXISTS b TO bb, CHANGE COLUMN IF EXISTS zz zzz INT, MODIFY COLUMN IF EXISTS c LONGTEXT, DROP INDEX IF EXISTS nope, ADD INDEX IF NOT EXISTS ia (a)
-- mariadb ALTER TABLE mm ADD COLUMN IF NOT EXISTS n1 INT AFTER a, ADD COLUMN IF NOT EXISTS a BIGINT, ADD COLUMN n2 INT INVISIBLE DEFAULT 3
-- mariadb RENAME TABLE IF EXISTS nope TO nope2, mm TO mm2
-- mariadb CREATE OR REPLACE TABLE mm3 LIKE mm2
-- mariadb CREATE OR REPLACE TABLE mm3 SELECT * FROM mm2
-- mariadb ALTER TABLE mm3 /*M!100301 ADD m1 INT, */ /*!80000 ADD m2 INT, */ ADD m3 UUID, ADD m4 VARCHAR(5) COLLATE utf8mb4_uca1400_ai_ci
-- mariadb CREATE OR REPLACE TABLE k5 (id INT, u UUID, i6 INET6)
-- mariadb ALTER TABLE k5 ADD COLUMN IF NOT EXISTS y INT, ADD COLUMN IF NOT EXISTS id INT, DROP COLUMN IF EXISTS x
-- mariadb ALTER ONLINE TABLE k5 ADD COLUMN z INT
/* from src/*.sql */ CREATE TABLE cm (id INT PRIMARY KEY, a INT, b INT)
/* a /* b */ ALTER TABLE cm RENAME COLUMN a TO b, RENAME COLUMN b TO a
ALTER TABLE cm /*!999999 ADD x1 INT, /* ADD x2 INT, */ ADD x3 INT, */ ADD x4 INT /**/ AFTER /*/ id */ b
/*!50503 ALTER TABLE cm /*!50503 ADD x5 INT */ AFTER id
-- mysql ALTER TABLE cm /*!080000 ADD x6 INT, */ /*!100100 ADD x7 INT, */ /*M! ADD x8 INT, */ ADD x9 INT
-- mariadb ALTER TABLE cm /*!080000 ADD x6 INT, */ /*!100100 ADD x7 INT, */ /*M! ADD x8 INT, */ /*!050000ADD x9 INT, */ ADD x10 INT
create\u{b}table\u{b}vt\u{c}(id\tint\u{b}primary\u{b}key,\u{b}a\u{b}int,\rb\u{b}int)
alter\u{b}table\u{b}vt\u{b}rename\u{b}column\u{b}a\u{b}to\u{b}b,\u{b}rename\u{b}column\u{b}b\u{b}to\u{b}a
-- mariadb CREATE TABLE qc (qc.id INT PRIMARY KEY, .qc INT, schema_model.qc.foo INT, `bar` INT)
-- mariadb ALTER TABLE qc DROP qc.foo
-- mariadb ALTER TABLE qc ADD qc.baz INT FIRST, CHANGE schema_model.qc.bar qc.bar2 BIGINT, MODIFY COLUMN qc . qc BIGINT AFTER bar2
-- mariadb CREATE TABLE `check` (a INT, check.json DOUBLE(7,3), check.b INT)
-- mariadb ALTER TABLE `check` ADD check.c INT, DROP check.a
-- mariadb ALTER TABLE qc CHANGE schema_model.qc.baz .baz2 INT, CHANGE .id qc.id INT
CREATE TABLE mv (id INT, b INT, s INT, x INT)
ALTER TABLE mv MODIFY b BIGINT AFTER s, MODIFY s INT AFTER id
ALTER TABLE mv MODIFY b BIGINT AFTER s, MODIFY s INT FIRST
ALTER TABLE mv ADD z INT AFTER x, MODIFY x INT FIRST, CHANGE s ss INT AFTER z, ADD y INT AFTER ss
ALTER TABLE mv CHANGE b bb INT AFTER x, MODIFY x BIGINT AFTER z, ADD first INT AFTER bb, MODIFY z INT FIRST
CREATE TABLE refers (a INT) ENGINE=MyISAM
ALTER TABLE refers ADD b INT REFERENCES refers (a) ON DELETE SET DEFAULT FIRST
ALTER TABLE refers ADD c INT REFERENCES refers (a) ON UPDATE SET NULL ON DELETE SET DEFAULT AFTER b, ADD d INT REFERENCES refers (a) MATCH FULL ON UPDATE CASCADE FIRST
-- mariadb CREATE SEQUENCE sq
-- mariadb CREATE TABLE dv (a INT, first INT DEFAULT 1, `key` INT, end INT)
-- mariadb ALTER TABLE dv ADD y1 INT DEFAULT CASE WHEN first > 1 THEN 1 ELSE 2 END, ADD y2 INT DEFAULT CASE first WHEN 1 THEN 2 END NOT NULL FIRST
-- mariadb ALTER TABLE dv ADD y3 INT DEFAULT CASE a WHEN first THEN CASE WHEN end THEN end ELSE 3 END WHEN 4 THEN (2) END AFTER a, ADD y4 VARCHAR(9) DEFAULT CONCAT('a', first) FIRST
-- mariadb ALTER TABLE dv ADD y5 INT DEFAULT first, ADD y6 INT DEFAULT `key` AFTER a, ADD y7 DATE DEFAULT DATE'2020-01-01' FIRST, ADD y8 DATE DEFAULT {d '2020-01-01'} AFTER a
-- mariadb ALTER TABLE dv ADD y9 VARCHAR(5) DEFAULT _latin1'first' FIRST, ADD y10 VARCHAR(5) DEFAULT _latin1 x'61' FIRST, ADD y11 VARCHAR(5) DEFAULT _latin1 0x61 FIRST, ADD y12 INT DEFAULT dv.first AFTER a
-- mariadb ALTER TABLE dv ADD y13 BIGINT DEFAULT NEXT VALUE FOR schema_model.sq FIRST, ADD y14 BIGINT DEFAULT PREVIOUS VALUE FOR sq AFTER a, ADD y15 BIGINT DEFAULT NEXTVAL(sq) FIRST, ADD y16 DOUBLE DEFAULT -1.5 FIRST
-- mariadb CREATE TABLE vc (a INT WITH SYSTEM VERSIONING, b INT)
-- mariadb CREATE TABLE vc2 (a INT WITHOUT SYSTEM VERSIONING, b INT) WITH SYSTEM VERSIONING
-- mysql CREATE TABLE `t?😀` (`a😀` INT, b😀 INT)
-- mysql ALTER TABLE `t??` RENAME TO `u😀`, CHANGE `a?` `c😀` INT
SET SESSION sql_mode='NO_BACKSLASH_ESCAPES'
CREATE TABLE back (e ENUM('\\','\\\\','a'))
CREATE TABLE unknown_back SELECT * FROM back
SET SESSION sql_mode='ANSI'
CREATE TABLE ansi (\"a\" VARCHAR(3)) CHARACTER SET latin1
-- mariadb CREATE TABLE unknown_ansi CHARACTER SET utf8mb4 SELECT CONVERT(a USING utf8mb4) AS x FROM ansi
SET SESSION sql_mode=''
-- mariadb ALTER TABLE qc DROP COLUMN IF EXISTS qc.bar2, ADD COLUMN IF NOT EXISTS (qc.c INT, d INT), ALTER qc.c SET DEFAULT 3
";

#[tokio::test]
async fn the_model_follows_mysql() {
    if let Some(server) = harness::servers::mysql() {
        follow(server, "mysql").await;
    }
}

#[tokio::test]
async fn the_model_follows_mariadb() {
    if let Some(server) = harness::servers::mariadb() {
        follow(server, "mariadb").await;
    }
}

async fn follow(server: &Server, flavor: &str) {
    let mut source = server.database("schema_model").await;
    run(&mut source, "SET SESSION sql_mode=''").await;
    run(&mut source, "SET NAMES utf8mb4").await;
    let endpoint = Endpoint::new(&server.host, server.port, "canal", "canal");
    let mut session = Session::connect(&endpoint).await.unwrap();
    let description = describe(&mut session).await;
    let mut model = Schema::new(description.clone(), Adopt::Never);
    let mut feed = Feed::new(endpoint);
    feed.begin(model.capture_all(&mut session).await.unwrap());

    let mut stale = Vec::new();
    for line in STATEMENTS.lines().filter(|line| !line.is_empty()) {
        let statement = match line.strip_prefix("-- ").and_then(|rest| rest.split_once(' ')) {
            Some((only, statement)) if only == flavor => statement,
            Some(_) => continue,
            None => line,
        };
        run(&mut source, statement).await;
        feed.feed_all(&mut model).await;

        for (name, expected) in definitions(&mut session, &["schema_model"]).await {
            match model.definition(&name) {
                Some(found) => {
                    let has_engine = found.engine.as_deref().is_some_and(|engine| engine != "?");
                    let engine = if has_engine { expected.engine } else { found.engine.clone() };
                    let partitioned = found.partitioned;
                    // What is added later is asked for when rows come.
                    let charset = found.charset.as_ref().and(expected.charset);
                    let expected = Definition { engine, partitioned, charset, ..expected };
                    let expected = with_uniques_of(&found, expected, flavor == "mariadb");
                    assert_eq!(*found, expected, "{name} after {statement}");
                }
                // The text does not say: it is read again when rows come.
                None if name.table.starts_with("unknown_") => {}
                None => stale.push(name.table.to_string()),
            }
        }
    }
    stale.sort();
    stale.dedup();
    assert!(stale.is_empty(), "no definition of {stale:?}");

    let mut captured = Schema::new(description, Adopt::Never);
    captured.capture_all(&mut session).await.unwrap();
    for (name, expected) in definitions(&mut session, &["schema_model"]).await {
        // Of MariaDB it is not asked, and does not matter.
        let partitioned = expected.partitioned && flavor == "mysql";
        let mut expected = Definition { partitioned, ..expected };
        if flavor == "mysql" {
            expected.uniques = 0;
        }
        assert_eq!(captured.definition(&name).as_deref(), Some(&expected), "{name}, captured");
    }
}
