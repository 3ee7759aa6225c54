//! `tests/README.md` names the environment variables of the tests: all that are read, no others.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

/// What the tests set for the program, for a script of it, or for a test that they run.
const OF_THE_PROGRAM: [&str; 5] = [
    "SLUICE_BINARY",
    "SLUICE_HOME",
    "SLUICE_LOG",
    "SLUICE_LOG_ACCEPT_DAMAGE",
    "SLUICE_TEST_ASKS_FOR_CONTAINER",
];

/// Where tests and what they run are read for names.
const SOURCES: [&str; 3] = ["tests", "benches", "src/log/tests"];

fn texts(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_text = path.extension().is_some_and(|ending| ending == "rs" || ending == "sh");
        if path.is_dir() {
            texts(&path, found);
        } else if is_text {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
}

/// The variables that texts name, each behind what `before` matches.
fn names<'a>(texts: impl IntoIterator<Item = &'a str>, before: &str) -> BTreeSet<String> {
    let name = Regex::new(&format!("{before}(SLUICE_[A-Z0-9_]*[A-Z0-9])\\b")).unwrap();
    let all = texts.into_iter().flat_map(|text| name.captures_iter(text));
    all.map(|captures| captures[1].to_owned()).collect()
}

#[test]
fn the_page_names_the_variables_that_tests_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for folder in SOURCES {
        texts(&root.join(folder), &mut sources);
    }
    let page = std::fs::read_to_string(root.join("tests/README.md")).unwrap();
    let on_page = names([page.as_str()], "");
    // A text in Rust, a substitution in a script.
    let mut read = names(sources.iter().map(|(_, text)| text.as_str()), "(?:\"|\\$\\{?)");
    read.retain(|name| !OF_THE_PROGRAM.contains(&name.as_str()));
    assert!(read.len() > 40, "{read:?}");
    let unnamed: Vec<&String> = read.difference(&on_page).collect();
    assert!(unnamed.is_empty(), "not in tests/README.md: {unnamed:?}");
    // Names that are put together stand in a comment at least.
    let anywhere = names(sources.iter().map(|(_, text)| text.as_str()), "");
    let unread: Vec<&String> = on_page.difference(&anywhere).collect();
    assert!(unread.is_empty(), "in tests/README.md only: {unread:?}");
}
