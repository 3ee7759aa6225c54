//! What README and docs print is what the program does: the commands and options that they name are
//! there, and a block that shows a command with its output (` ```console `) shows the real one.
//!
//! In such a block a line `$ sluice ..` is run in an empty home, `? 1` behind it is its exit code (0 if
//! there is none), `[..]` stands for anything within a line, a line `...` for any lines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

use crate::harness::process::free_port;
use crate::harness::say;

/// Their blocks show what is in files.
const OF_FILES: [&str; 2] = ["log-format.md", "export-format.md"];

/// All pages that users read for commands.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let top = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root.join(name));
    let pages = top.into_iter().chain(docs).filter(|path| path.extension() == Some("md".as_ref()));
    let pages = pages.filter(|path| !OF_FILES.iter().any(|name| path.ends_with(name)));
    pages.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

fn sluice(home: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    // What runs on this machine is none of its business.
    let [http, kafka] = [free_port(), free_port()];
    command
        .args(arguments)
        .env("SLUICE_HOME", home)
        .env("CANAL_METRICS_PULL_PORT", http.to_string())
        .env("LISTENERS", format!("PLAINTEXT://127.0.0.1:{kafka}"));
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

/// The commands of a page, from its spans of code and its indented lines.
fn commands(page: &str) -> Vec<String> {
    let text = page.replace("\\\n", " ");
    let mut found = Vec::new();
    let mut is_fenced = false;
    for line in text.lines() {
        if line.starts_with("```") {
            is_fenced = !is_fenced;
        }
        // What is fenced is run below.
        let indented = line.strip_prefix("    ").filter(|_| !is_fenced);
        found.extend(indented.map(|one| one.trim().to_owned()));
    }
    let spans = Regex::new("`([^`]+)`").unwrap();
    let prose = text.replace('\n', " ");
    found.extend(spans.captures_iter(&prose).map(|span| span[1].trim().to_owned()));
    let is_ours = |text: &String| text.starts_with("sluice ") || text.starts_with("bin/sluice ");
    found.retain(is_ours);
    found
}

#[test]
fn every_command_and_option_that_the_pages_name_is_there() {
    let home = tempfile::tempdir().unwrap();
    let (_, list) = sluice(home.path(), &["man", "list"]);
    let known: BTreeSet<&str> = list.lines().collect();
    assert!(known.contains("run"), "{list}");
    let mut helps: BTreeMap<Vec<String>, String> = BTreeMap::new();
    let mut count = 0;
    for (path, page) in pages() {
        for command in commands(&page) {
            // What the shell takes is not ours; several are named as `a | b`.
            let command = command.split(['>', ';']).next().unwrap().to_owned();
            let is_list = command.contains(" | ");
            let words: Vec<&str> = command.split_whitespace().skip(1).collect();
            for (place, word) in words.iter().enumerate() {
                let is_name = word.chars().all(|one| one.is_ascii_lowercase() || one == '-');
                let begins = place == 0 || is_list;
                if begins && is_name && !word.starts_with('-') {
                    assert!(known.contains(word), "{}: `{command}`: no {word}", path.display());
                    count += 1;
                }
            }
            let options = words.iter().filter(|word| word.starts_with("--") && word.len() > 2);
            for option in options {
                let option =
                    option.trim_matches(|one: char| !one.is_ascii_alphanumeric() && one != '-');
                let option = option.split('=').next().unwrap();
                if option == "--help" {
                    continue;
                }
                let of_command = |depth: usize| words.iter().take(depth).map(|w| (*w).to_owned());
                let told = (0..=2).any(|depth| {
                    let key: Vec<String> = of_command(depth).chain(["--help".to_owned()]).collect();
                    let help = helps.entry(key.clone()).or_insert_with(|| {
                        let arguments: Vec<&str> = key.iter().map(String::as_str).collect();
                        sluice(home.path(), &arguments).1
                    });
                    help.contains(option)
                });
                assert!(told, "{}: `{command}`: no {option}", path.display());
            }
        }
    }
    say(&format!("{count} commands"));
    assert!(count > 20, "{count}");
}

/// Whether `said` is what `shown` shows of it.
fn is_shown(shown: &[&str], said: &[&str]) -> bool {
    let Some((first, rest)) = shown.split_first() else { return said.is_empty() };
    if *first == "..." {
        return (0..=said.len()).any(|skipped| is_shown(rest, &said[skipped..]));
    }
    let Some((line, more)) = said.split_first() else { return false };
    let pattern: Vec<String> = first.split("[..]").map(regex::escape).collect();
    let pattern = Regex::new(&format!("^{}$", pattern.join(".*"))).unwrap();
    pattern.is_match(line.trim_end()) && is_shown(rest, more)
}

#[test]
fn what_is_shown_of_a_command_is_what_it_prints() {
    let mut count = 0;
    for (path, page) in pages() {
        let home = tempfile::tempdir().unwrap();
        for block in page.split("```console\n").skip(1) {
            let block = block.split("\n```").next().unwrap();
            for case in block.split("$ ").skip(1) {
                let mut shown: Vec<&str> = case.trim_end().lines().collect();
                let command = shown.remove(0);
                let mut code = 0;
                if let Some(line) = shown.first().and_then(|line| line.strip_prefix("? ")) {
                    code = line.parse().unwrap();
                    shown.remove(0);
                }
                let words: Vec<&str> = command.split_whitespace().skip(1).collect();
                let (ended, said) = sluice(home.path(), &words);
                let lines: Vec<&str> = said.trim_end().lines().collect();
                let place = path.display();
                assert_eq!(ended, Some(code), "{place}: `{command}` said\n{said}");
                assert!(is_shown(&shown, &lines), "{place}: `{command}` says\n{said}");
                count += 1;
            }
        }
    }
    say(&format!("{count} commands with what they print"));
    assert!(count >= 5, "{count}");
}

#[test]
fn a_line_that_differs_is_not_shown() {
    assert!(is_shown(&["a", "...", "z [..]"], &["a", "b", "c", "z 9"]));
    assert!(is_shown(&[], &[]) && is_shown(&["..."], &["x"]));
    assert!(!is_shown(&["a"], &["b"]) && !is_shown(&["a"], &["a", "b"]) && !is_shown(&["a"], &[]));
}
