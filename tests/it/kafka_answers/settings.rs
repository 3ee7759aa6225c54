//! The settings of a topic: each of Kafka's with values around every limit it has, of every
//! wrong type, and null, asked of `CreateTopics` and `IncrementalAlterConfigs` with
//! `validate_only`.

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{CreateTopicsRequest, IncrementalAlterConfigsRequest};

use super::{Judged, text};
use crate::harness::wire::{Client, name};

/// Kafka's own table of settings: name, type, default, and what values it takes.
const KEYS: &str = include_str!("../../golden/kafka/keys.txt");
/// Settings that Kafka had, never had, or does not let be seen.
const UNKNOWN: &[&str] = &[
    "",
    "no.such.setting",
    "Segment.bytes",
    " segment.bytes",
    "message.downconversion.enable",
    "message.format.version",
    "message.timestamp.difference.max.ms",
    "log.retention.ms",
];
/// Settings that are judged together.
const TOGETHER: &[&[(&str, &str)]] = &[
    &[("min.compaction.lag.ms", "2"), ("max.compaction.lag.ms", "1")],
    &[("min.compaction.lag.ms", "1"), ("max.compaction.lag.ms", "1")],
    &[("min.compaction.lag.ms", "9223372036854775807")],
    &[("retention.ms", "1"), ("local.retention.ms", "2")],
    &[("retention.ms", "2"), ("local.retention.ms", "1")],
    &[("retention.bytes", "1"), ("local.retention.bytes", "2")],
    &[("retention.bytes", "1"), ("local.retention.bytes", "-1")],
    &[("segment.bytes", "1048576"), ("max.message.bytes", "2097152")],
    &[("segment.bytes", "1048576"), ("segment.index.bytes", "2147483647")],
    &[("segment.ms", "1"), ("segment.jitter.ms", "2")],
    &[("cleanup.policy", "compact"), ("remote.storage.enable", "true")],
    &[("cleanup.policy", "compact"), ("retention.ms", "abc")],
    &[("retention.ms", "abc"), ("cleanup.policy", "compact")],
    &[("compression.type", "gzip"), ("compression.gzip.level", "0")],
    &[("compression.type", "lz4"), ("compression.gzip.level", "0")],
    &[("no.such.setting", "1"), ("retention.ms", "1")],
    &[("retention.ms", "1"), ("retention.ms", "2")],
];

/// A value longer than this is given by its length.
const LONG: usize = 1000;
const CREATE: &str = "create";
/// `AlterConfigOp.OpType`, and the topic that is asked of: one without settings, and one with
/// both policies.
const ALTERATIONS: &[(&str, i8, &str)] = &[
    ("set", 0, "settings-plain"),
    ("delete", 1, "settings-plain"),
    ("append", 2, "settings-plain"),
    ("append to both", 2, "settings-both"),
    ("subtract", 3, "settings-plain"),
    ("subtract from both", 3, "settings-both"),
];

type Setting = (String, Option<String>);

struct Question {
    asked: &'static str,
    settings: Vec<Setting>,
}

impl Question {
    fn text(&self) -> String {
        let texts = self.settings.iter().map(|(key, value)| match value {
            Some(value) if value.len() > LONG => format!("{key}={} times x", value.len()),
            Some(value) => format!("{key}={value:?}"),
            None => format!("{key}=null"),
        });
        format!("{} {}", self.asked, texts.collect::<Vec<_>>().join(" "))
    }
}

/// Values for a setting, from its type and from each number or word that its limits name.
fn values(kind: &str, limits: &str, default: &str) -> Vec<String> {
    let own = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    let mut values: Vec<String> = match kind {
        "BOOLEAN" => own(&["true", "false", "TRUE", "False", " true ", "yes", "1", "0", "on"]),
        "DOUBLE" => own(&[
            "0",
            "1",
            "0.5",
            "-0.0",
            "-0.1",
            "1.1",
            "1.0000001",
            "NaN",
            "Infinity",
            "1e-3",
            ".5",
            "5.",
            " 0.5 ",
            "+0.5",
            "0,5",
            "0x1p-1",
            "0.5d",
            "0.5f",
            "1e400",
            "1e-400",
        ]),
        "INT" | "LONG" => {
            let mut numbers: Vec<i128> =
                vec![i32::MIN.into(), i32::MAX.into(), i64::MIN.into(), i64::MAX.into(), 0];
            let digits = |c: char| !(c.is_ascii_digit() || c == '-');
            let named = limits.split(digits).chain([default]);
            numbers.extend(named.filter_map(|number| number.parse::<i128>().ok()));
            let around = numbers.into_iter().flat_map(|number| [number - 1, number, number + 1]);
            let mut around: Vec<i128> = around.collect();
            around.sort_unstable();
            around.dedup();
            let mut values: Vec<String> = around.iter().map(i128::to_string).collect();
            values.extend(own(&[
                "1.5", "1e3", " 5 ", "\t5\n", "+5", "-0", "007", "0x10", "5L", "5ms", "1_000",
            ]));
            values
        }
        _ => {
            let words = limits.split(|c: char| !c.is_ascii_alphanumeric());
            let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
            let mut values: Vec<String> = own(&words);
            values.extend(words.iter().map(|word| word.to_uppercase()));
            values.extend(words.iter().map(|word| format!(" {word} ")));
            let all = words.join(",");
            values.push(format!("{all},{all}"));
            values.push(format!("{all}, "));
            values.push(format!(",{all}"));
            values.push(format!("{},brotli", words.first().copied().unwrap_or("x")));
            values.extend([all, words.join(" , "), words.join(";")]);
            values.extend(own(&[
                "none", "*", "0:1", "0:1,1:1", "0:1,0:1", "0:-1", "0:1:2", "0", ",",
            ]));
            values.push("x".repeat(32_000));
            values
        }
    };
    values.extend(own(&["", " ", "abc", "null", "\u{661}"]));
    values
}

/// As a line of `keys.txt` has it.
fn keys() -> impl Iterator<Item = (&'static str, bool, Vec<String>)> {
    KEYS.lines().map(|line| {
        let parts: Vec<&str> = line.split('\t').collect();
        let [key, kind, default, limits] = parts[..] else { panic!("{line}") };
        (key, kind == "LIST", values(kind, limits, default))
    })
}

fn questions() -> Vec<Question> {
    let mut questions = Vec::new();
    let one = |key: &str, value: Option<&str>| vec![(key.to_owned(), value.map(str::to_owned))];
    let asked = || [CREATE].into_iter().chain(ALTERATIONS.iter().map(|(asked, ..)| *asked));
    for (key, is_list, values) in keys() {
        for (number, value) in
            values.iter().map(|value| Some(value.as_str())).chain([None]).enumerate()
        {
            // Lists alone are added to; and a long text is for the judge of the value.
            let long = value.is_some_and(|value| value.len() > LONG);
            let all = (is_list && !long) || number == 1 || value.is_none();
            for asked in asked().take(if all { usize::MAX } else { 2 }) {
                questions.push(Question { asked, settings: one(key, value) });
            }
        }
    }
    for key in UNKNOWN {
        for asked in asked() {
            questions.push(Question { asked, settings: one(key, Some("1")) });
        }
    }
    for together in TOGETHER {
        for asked in [CREATE, "set"] {
            let own = |(key, value): &(&str, &str)| ((*key).to_owned(), Some((*value).to_owned()));
            questions.push(Question { asked, settings: together.iter().map(own).collect() });
        }
    }
    questions
}

/// What Java reads as a number, and we do not: digits of other scripts, numbers of 16 digits, and
/// what is no number between 0 and 1.
fn differing(question: &str, kafkas: &str) -> Option<&'static str> {
    let odd = ["\u{661}", "0x1p-1", "NaN"].iter().any(|value| question.contains(value));
    let judged = ["create ", "set ", "append "].iter().any(|asked| question.starts_with(asked));
    (kafkas == "0" && odd && judged).then_some("40")
}

/// The codes of the answers to all that is asked of `CreateTopics`, in one request.
async fn create(client: &mut Client, questions: &[Question]) -> Vec<i16> {
    let topics = questions.iter().enumerate().map(|(number, question)| {
        let config = |(key, value): &Setting| {
            CreatableTopicConfig::default()
                .with_name(text(key))
                .with_value(value.as_deref().map(text))
        };
        CreatableTopic::default()
            .with_name(name(&format!("new-{number}")))
            .with_num_partitions(1)
            .with_replication_factor(1)
            .with_configs(question.settings.iter().map(config).collect())
    });
    let request = CreateTopicsRequest::default()
        .with_topics(topics.collect())
        .with_timeout_ms(30_000)
        .with_validate_only(true);
    let answer = client.ask(7, &request).await;
    questions
        .iter()
        .enumerate()
        .map(|(number, _)| {
            let made = name(&format!("new-{number}"));
            answer.topics.iter().find(|topic| topic.name == made).unwrap().error_code
        })
        .collect()
}

async fn alter(client: &mut Client, question: &Question) -> i16 {
    let (_, operation, topic) = ALTERATIONS.iter().find(|one| one.0 == question.asked).unwrap();
    let config = |(key, value): &Setting| {
        AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(*operation)
            .with_value(value.as_deref().map(text))
    };
    let resource = AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(topic))
        .with_configs(question.settings.iter().map(config).collect());
    let request = IncrementalAlterConfigsRequest::default()
        .with_resources(vec![resource])
        .with_validate_only(true);
    client.ask(1, &request).await.responses[0].error_code
}

#[tokio::test(flavor = "multi_thread")]
async fn every_setting_is_judged_as_kafka_judges_it() {
    let mut judged = Judged::connect().await;
    judged.make_topic("settings-plain", &[]).await;
    judged.make_topic("settings-both", &[("cleanup.policy", "compact,delete")]).await;
    let mut answers = Vec::new();
    let (creations, alterations): (Vec<Question>, Vec<Question>) =
        questions().into_iter().partition(|question| question.asked == CREATE);
    let codes = create(&mut judged.client, &creations).await;
    answers.extend(creations.iter().map(Question::text).zip(codes));
    for question in &alterations {
        answers.push((question.text(), alter(&mut judged.client, question).await));
    }
    let answers: Vec<(String, String)> =
        answers.into_iter().map(|(question, code)| (question, code.to_string())).collect();
    judged.end("settings.txt", &answers, differing).await;
}
