//! VECTOR values: the server itself reads the published text back to the bytes it stored.

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, MySqlConnection, Row};

use crate::harness::servers::{self, run};
use crate::harness::{Random, Sluice, topics};

/// Numbers of each vector, and rows of them: as many as one event holds.
const NUMBERS: usize = 64;
const ROWS: usize = 24;

#[tokio::test]
async fn the_server_reads_a_published_vector_back_to_the_bytes_it_stored() {
    let Some(server) = servers::mysql() else { return };
    let mut random = Random::seeded("SLUICE_VECTORS_SEED");
    let mut source = server.database("vectors").await;
    run(&mut source, &format!("CREATE TABLE v (id INT PRIMARY KEY, v VECTOR({NUMBERS}))")).await;
    let filter = [("canal.instance.filter.regex", r"vectors\.v")];
    let mut sluice = Sluice::with_instance("vectors", server, &filter);
    sluice.start();

    let stored: Vec<String> = (0..ROWS).map(|row| hexadecimal(row, &mut random)).collect();
    let values: Vec<String> =
        stored.iter().enumerate().map(|(row, digits)| format!("({row}, x'{digits}')")).collect();
    run(&mut source, &format!("INSERT INTO v VALUES {}", values.join(","))).await;

    let message = topics::read_at_least(&sluice.bootstrap(), "vectors.v", 1)[0].json();
    let rows = message["data"].as_array().unwrap();
    assert_eq!(rows.len(), ROWS);
    for (row, digits) in rows.iter().zip(&stored) {
        let text = row["v"].as_str().unwrap();
        let numbers: Vec<f32> = serde_json::from_str::<Vec<f64>>(text)
            .unwrap_or_else(|error| panic!("{text} is no JSON: {error}"))
            .into_iter()
            .map(|number| {
                #[expect(clippy::cast_possible_truncation, reason = "it was one of 32 bits")]
                {
                    number as f32
                }
            })
            .collect();
        assert_eq!(&read_back(&mut source, text).await, digits, "{numbers:?}");
    }
    sluice.stop();
}

/// The bits of the numbers of a row: each class of them, its edges, and any.
fn hexadecimal(row: usize, random: &mut Random) -> String {
    let edges = [0, 1, 2, 0x007f_ffff, 0x0080_0000, 0x0080_0001, 0x3f80_0000, 0x7f7f_ffff];
    let mut digits = String::new();
    for nth in 0..NUMBERS {
        let any = u32::try_from(random.bits() >> 32).unwrap();
        let bits = match row % 4 {
            0 => edges[nth % edges.len()] | (any & 0x8000_0000),
            1 => any & 0x807f_ffff, // subnormal
            2 => (any & 0x807f_ffff) | (112 + (any >> 23) % 32) << 23, // of usual sizes
            _ => any,
        };
        // What is infinite or no number, the server refuses.
        let bits = if f32::from_bits(bits).is_finite() { bits } else { bits & 0xbfff_ffff };
        for byte in bits.to_le_bytes() {
            write!(digits, "{byte:02X}").unwrap();
        }
    }
    digits
}

async fn read_back(source: &mut MySqlConnection, text: &str) -> String {
    let statement = format!("SELECT HEX(STRING_TO_VECTOR('{text}'))");
    let row = sqlx::raw_sql(AssertSqlSafe(statement)).fetch_one(source).await;
    row.unwrap_or_else(|error| panic!("{text}: {error}")).get(0)
}
