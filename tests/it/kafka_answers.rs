//! What a real Apache Kafka 4.3 answers, and that we answer the same.
//!
//! The questions are generated here, and so are asked of both: of Kafka by
//! `tests/golden/kafka/make.sh`, which sets `SLUICE_KAFKA` to its address and so lets these
//! tests write the answers to `tests/golden/kafka`; of us by every other run, which compares.

mod batches;
mod settings;

use std::fmt::Write;
use std::path::Path;

/// The address of a real Kafka whose answers are to be stored.
fn kafka() -> Option<String> {
    std::env::var("SLUICE_KAFKA").ok()
}

/// Stores what Kafka answered, or compares what we did with it. A line is a question, a tab, and
/// the answer. `differing` says what we answer on purpose where Kafka does otherwise.
fn judge(
    name: &str,
    answers: &[(String, String)],
    of_kafka: bool,
    differing: impl Fn(&str, &str) -> Option<&'static str>,
) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kafka").join(name);
    if of_kafka {
        let mut lines = String::new();
        for (question, answer) in answers {
            writeln!(lines, "{question}\t{answer}").unwrap();
        }
        std::fs::write(path, lines).unwrap();
        return;
    }
    let stored = std::fs::read_to_string(path).unwrap();
    let stored: Vec<(&str, &str)> =
        stored.lines().map(|line| line.rsplit_once('\t').unwrap()).collect();
    let asked: Vec<&str> = answers.iter().map(|(question, _)| question.as_str()).collect();
    let known: Vec<&str> = stored.iter().map(|(question, _)| *question).collect();
    assert_eq!(asked, known, "the questions are others than those stored in {name}");
    let mut wrong = String::new();
    for ((question, ours), (_, kafkas)) in answers.iter().zip(stored) {
        let wanted = differing(question, kafkas).unwrap_or(kafkas);
        if ours != wanted {
            writeln!(wrong, "{question}: wanted {wanted} (Kafka {kafkas}), got {ours}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{wrong}", wrong.lines().count());
}
