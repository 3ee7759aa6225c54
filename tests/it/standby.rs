//! Several processes with the same instances, into one Kafka cluster: one runs an instance, the
//! others stand by, and go on whatever becomes of it.
//!
//! Members of a group are found dead after [`SESSION`]; the harness lets its nodes take so short
//! ones.

use std::time::{Duration, Instant};

use crate::harness::gate::{Gate, Way};
use crate::harness::kafka::{kafka, private_kafka};
use crate::harness::servers::{mysql, run};
use crate::harness::{Kafka, PATIENCE, Random, Record, Server, Sluice, asked, say, wait_for};

/// How long a process may not be heard.
const SESSION: Duration = Duration::from_millis(1500);

/// A process with these instances of the databases that have their names.
fn process(kafka: &Kafka, mysql: &Server, instances: &[&str]) -> Sluice {
    let mut sluice = Sluice::new();
    for name in instances {
        let filter = format!(r"{name}\..*");
        sluice.instance(name, mysql, &[("canal.instance.filter.regex", &filter)]);
    }
    sluice.use_cluster(kafka);
    sluice.canal("kafka.session.timeout.ms", &SESSION.as_millis().to_string());
    sluice
}

/// What `/health` says of an instance: its state, and who runs it.
fn state(sluice: &Sluice, instance: &str) -> Option<(String, Option<String>)> {
    let health: serde_json::Value = serde_json::from_str(&sluice.health()?.1).ok()?;
    let all = health["instances"].as_array()?;
    let one = all.iter().find(|one| one["name"] == instance)?;
    let active = one["active"].as_str().map(str::to_owned);
    Some((one["state"].as_str()?.to_owned(), active))
}

/// Waits until one of the processes runs the instance, and all others stand by: which one it is.
fn active(processes: &[Sluice], instance: &str) -> usize {
    wait_for(&format!("one process to run {instance}"), PATIENCE, || {
        let states: Vec<_> = processes.iter().map(|one| state(one, instance)).collect();
        let is = |wanted: &'static str| {
            move |state: &Option<(String, _)>| {
                state.as_ref().is_some_and(|(word, _)| word == wanted)
            }
        };
        let standby = states.iter().filter(|state| is("standby")(state)).count();
        let running = states.iter().position(is("running"))?;
        (standby == states.len() - 1).then_some(running)
    })
}

fn ids(records: &[Record]) -> Vec<String> {
    let rows = records.iter().flat_map(|record| record.json()["data"].as_array().unwrap().clone());
    rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// Writes a row and waits until it is published: how long that took.
async fn publish(
    source: &mut sqlx::MySqlConnection,
    kafka: &Kafka,
    topic: &str,
    wanted: &mut Vec<String>,
) -> Duration {
    let id = wanted.len() + 1;
    run(source, &format!("INSERT INTO t VALUES ({id})")).await;
    wanted.push(id.to_string());
    let begun = Instant::now();
    let seen = kafka.read_at_least(topic, wanted.len());
    assert_eq!(ids(&seen), *wanted);
    begun.elapsed()
}

#[tokio::test]
async fn whatever_becomes_of_the_active_process_another_goes_on_and_it_publishes_nothing() {
    let (Some(mysql), Some(kafka)) = (mysql(), kafka()) else { return };
    let (name, topic) = ("standby_one", "standby_one.t");
    let mut source = mysql.database(name).await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut two = [process(kafka, mysql, &[name]), process(kafka, mysql, &[name])];
    let mut wanted = Vec::new();
    two[0].start();
    publish(&mut source, kafka, topic, &mut wanted).await;
    two[1].start();
    for what in ["kill -9", "SIGTERM", "SIGSTOP"] {
        let is = active(&two, name);
        publish(&mut source, kafka, topic, &mut wanted).await;
        // The other says who it waits for.
        let other = 1 - is;
        let named = format!("process {}", two[is].id());
        wait_for("the active process to be named", PATIENCE, || {
            state(&two[other], name)?.1.filter(|active| active.ends_with(&named))
        });
        assert_eq!(two[other].health().unwrap().0, 200);
        let said = two[other].command(&["health"]);
        assert!(said.said.contains(&format!("{named}, runs it")), "{}", said.said);
        let begun = Instant::now();
        match what {
            "kill -9" => two[is].kill(),
            "SIGTERM" => two[is].stop(),
            _ => two[is].signal("STOP"),
        }
        let ended = begun.elapsed();
        publish(&mut source, kafka, topic, &mut wanted).await;
        say(&format!("{what}: ended after {ended:?}, published after {:?}", begun.elapsed()));
        until_it_runs(&two[other], name);
        match what {
            "SIGSTOP" => two[is].signal("CONT"),
            _ => two[is].start(),
        }
    }
    active(&two, name);
    publish(&mut source, kafka, topic, &mut wanted).await;
    for sluice in &mut two {
        sluice.stop();
    }
}

/// Two processes, of which each reaches its source through a gate of its own, and the first the
/// cluster, too.
struct Cut {
    processes: [Sluice; 2],
    sources: [Gate; 2],
}

impl Cut {
    fn new(kafka: &Kafka, mysql: &Server, name: &str) -> Self {
        let sources = [Gate::to(mysql.port), Gate::to(mysql.port)];
        let filter = format!(r"{name}\..*");
        let processes = [0, 1].map(|number: usize| {
            let address = format!("127.0.0.1:{}", sources[number].port());
            let mut sluice = process(kafka, mysql, &[]);
            let properties = [
                ("canal.instance.filter.regex", &*filter),
                ("canal.instance.master.address", &*address),
            ];
            sluice.instance(name, mysql, &properties);
            sluice.canal("sluice.standby.source.timeout", "1");
            sluice
        });
        let mut new = Self { processes, sources };
        let far = format!("127.0.0.1:{}", kafka.gate().port());
        new.processes[0].canal("kafka.bootstrap.servers", &far);
        new
    }

    /// Lets the instance be run by the first.
    fn to_the_first(&self, name: &str) {
        if active(&self.processes, name) == 1 {
            self.sources[1].set(Way::Shut);
            until_it_runs(&self.processes[0], name);
            self.sources[1].set(Way::Open);
            active(&self.processes, name);
        }
    }
}

fn until_it_runs(sluice: &Sluice, name: &str) {
    wait_for("the instance to run", PATIENCE, || {
        state(sluice, name).filter(|(word, _)| word == "running").map(drop)
    });
}

#[tokio::test]
async fn one_that_is_cut_off_from_its_source_or_from_the_cluster_is_replaced() {
    let Some(mysql) = mysql() else { return };
    let Some(kafka) = private_kafka("") else { return };
    let (name, topic) = ("standby_cut", "standby_cut.t");
    let mut source = mysql.database(name).await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut cut = Cut::new(&kafka, mysql, name);
    cut.processes.iter_mut().for_each(Sluice::start);
    let mut wanted = Vec::new();
    // Only the source of the active one.
    let is = active(&cut.processes, name);
    publish(&mut source, &kafka, topic, &mut wanted).await;
    cut.sources[is].set(Way::Shut);
    publish(&mut source, &kafka, topic, &mut wanted).await;
    until_it_runs(&cut.processes[1 - is], name);
    cut.sources[is].set(Way::Open);
    assert_eq!(active(&cut.processes, name), 1 - is, "it comes back behind the other");
    // Only its way to the cluster.
    for way in [Way::Shut, Way::Silent] {
        cut.to_the_first(name);
        publish(&mut source, &kafka, topic, &mut wanted).await;
        kafka.gate().set(way);
        publish(&mut source, &kafka, topic, &mut wanted).await;
        until_it_runs(&cut.processes[1], name);
        wait_for("the first to say what it waits for", PATIENCE, || {
            let (code, body) = cut.processes[0].health()?;
            (code == 503 && body.contains("has not said which process")).then_some(())
        });
        kafka.gate().set(Way::Open);
    }
    // The cluster for both.
    active(&cut.processes, name);
    kafka.kill();
    run(&mut source, "INSERT INTO t VALUES (1000)").await;
    kafka.start();
    wanted.push("1000".to_owned());
    assert_eq!(ids(&kafka.read_at_least(topic, wanted.len())), wanted);
    active(&cut.processes, name);
    cut.processes.iter_mut().for_each(Sluice::stop);
}

/// The process that is to run an instance, as the sorted ids of members say.
fn first(processes: &[Sluice], instance: &str) -> usize {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let text = |sluice: &Sluice| {
        let home = sluice.folder("").display().to_string();
        format!("{host}\0{}\0{instance}", home.trim_end_matches('/'))
    };
    let of = |sluice: &Sluice| openssl::sha::sha256(text(sluice).as_bytes());
    (0..processes.len()).min_by_key(|number| of(&processes[*number])).unwrap()
}

#[tokio::test]
async fn instances_are_spread_over_the_processes_and_a_check_beside_them_moves_nothing() {
    let (Some(mysql), Some(kafka)) = (mysql(), kafka()) else { return };
    let mut three = [(); 3].map(|()| process(kafka, mysql, &[]));
    // One instance for each.
    let mut names: [Option<String>; 3] = [None, None, None];
    for number in 0.. {
        let name = format!("standby_share{number}");
        names[first(&three, &name)].get_or_insert(name);
        if names.iter().all(Option::is_some) {
            break;
        }
    }
    let names = names.map(Option::unwrap);
    let mut sources = Vec::new();
    for name in &names {
        let mut source = mysql.database(name).await;
        run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
        sources.push(source);
        for sluice in &mut three {
            let filter = format!(r"{name}\..*");
            sluice.instance(name, mysql, &[("canal.instance.filter.regex", &filter)]);
        }
    }
    three.iter_mut().for_each(Sluice::start);
    let each_has_its_own = |three: &[Sluice]| {
        wait_for("each process to run its instance", PATIENCE, || {
            let own = |(number, name): (usize, &String)| active(three, name) == number;
            names.iter().enumerate().all(own).then_some(())
        });
    };
    each_has_its_own(&three);
    // Loaded, with checks beside.
    let since = |three: &[Sluice]| three.iter().map(runs_since).collect::<Vec<_>>();
    let before = since(&three);
    for id in 0..5 {
        run(&mut sources[0], &format!("INSERT INTO t VALUES ({id})")).await;
        let checked = three[1].command(&["check"]).said;
        assert!(checked.contains("is in 3 processes now"), "{checked}");
    }
    kafka.read_at_least(&format!("{}.t", names[0]), 5);
    assert_eq!(since(&three), before, "a check has moved something");
    // One dies: its instance is run by another, and comes back with it.
    three[2].kill();
    wait_for("another process to run what the third had", PATIENCE, || {
        let runs = |one: &Sluice| state(one, &names[2]).is_some_and(|(word, _)| word == "running");
        three[..2].iter().any(runs).then_some(())
    });
    three[2].start();
    each_has_its_own(&three);
    three.iter_mut().for_each(Sluice::stop);
}

/// The instances that a process runs, and since when it does. Since when one stands by is no
/// matter: whom it waits for is learnt later.
fn runs_since(sluice: &Sluice) -> Vec<(String, i64)> {
    let health: serde_json::Value = serde_json::from_str(&sluice.health().unwrap().1).unwrap();
    let all = health["instances"].as_array().unwrap().iter();
    let running = all.filter(|one| one["state"] == "running");
    let of = |one: &serde_json::Value| {
        (one["name"].as_str().unwrap().to_owned(), one["since_ms"].as_i64().unwrap())
    };
    running.map(of).collect()
}

/// What happens in a turn, to one of the two processes or to what it needs; it passes.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Killed,
    Ended,
    Stopped,
    /// Its way to the source.
    NoSource(Way),
    /// The way of the first to the cluster.
    NoCluster(Way),
    /// The node of Kafka is killed, and comes back.
    NoBroker,
}

impl Blow {
    const KINDS: u64 = 6;

    fn of(kind: u64, random: &mut Random) -> Self {
        let way = if random.below(2) == 0 { Way::Shut } else { Way::Silent };
        match kind {
            0 => Self::Killed,
            1 => Self::Ended,
            2 => Self::Stopped,
            3 => Self::NoSource(way),
            4 => Self::NoCluster(way),
            _ => Self::NoBroker,
        }
    }

    fn falls(self, cut: &mut Cut, kafka: &Kafka, which: usize) {
        let Cut { processes, sources } = cut;
        match self {
            Self::Killed => processes[which].kill(),
            Self::Ended => {
                // Before it hears signals they are the system's.
                wait_for("it to answer", PATIENCE, || processes[which].health());
                processes[which].stop();
            }
            Self::Stopped => processes[which].signal("STOP"),
            Self::NoSource(way) => sources[which].set(way),
            Self::NoCluster(way) => kafka.gate().set(way),
            Self::NoBroker => kafka.kill(),
        }
    }

    fn passes(self, cut: &mut Cut, kafka: &Kafka, which: usize) {
        let Cut { processes, sources } = cut;
        match self {
            Self::Killed | Self::Ended => processes[which].launch(),
            Self::Stopped => processes[which].signal("CONT"),
            Self::NoSource(_) => sources[which].set(Way::Open),
            Self::NoCluster(_) => kafka.gate().set(Way::Open),
            Self::NoBroker => kafka.start(),
        }
    }
}

/// As many turns as `SLUICE_STANDBY_TURNS` says, or one of each kind.
#[tokio::test]
async fn over_many_random_turns_each_change_is_published_once_and_in_order() {
    let Some(mysql) = mysql() else { return };
    let Some(kafka) = private_kafka("") else { return };
    let turns = asked::number_or("SLUICE_STANDBY_TURNS", Blow::KINDS);
    let mut random = Random::seeded("SLUICE_STANDBY_SEED");
    let (name, topic) = ("standby_turns", "standby_turns.t");
    let mut source = mysql.database(name).await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY, pad LONGTEXT)").await;
    let mut cut = Cut::new(&kafka, mysql, name);
    cut.processes.iter_mut().for_each(Sluice::start);
    let mut next = 0;
    let pause = |random: &mut Random, most: u64| {
        std::thread::sleep(Duration::from_millis(random.below(most)));
    };
    let first_kind = random.below(Blow::KINDS);
    for turn in 0..turns {
        // A turn may come within a vote, an opening, or a transaction.
        let which = usize::try_from(random.below(2)).unwrap();
        let kind = if turn < Blow::KINDS { first_kind + turn } else { random.bits() };
        let blow = Blow::of(kind % Blow::KINDS, &mut random);
        say(&format!("turn {turn}: {blow:?} {which}"));
        let (first, rows) = (next, random.below(20) + 1);
        run(&mut source, "BEGIN").await;
        while next < first + rows {
            run(&mut source, &format!("INSERT INTO t VALUES ({next}, REPEAT('x', 60000))")).await;
            next += 1;
        }
        run(&mut source, "COMMIT").await;
        pause(&mut random, 300);
        blow.falls(&mut cut, &kafka, which);
        run(&mut source, &format!("INSERT INTO t VALUES ({next}, '')")).await;
        next += 1;
        // Shorter and longer than a session.
        pause(&mut random, 3500);
        blow.passes(&mut cut, &kafka, which);
        pause(&mut random, 1000);
    }
    let wanted: Vec<String> = (0..next).map(|id| id.to_string()).collect();
    assert_eq!(ids(&kafka.read_at_least(topic, wanted.len())), wanted);
    active(&cut.processes, name);
    std::thread::sleep(SESSION);
    assert_eq!(ids(&kafka.read(topic)), wanted);
    cut.processes.iter_mut().for_each(Sluice::stop);
}
