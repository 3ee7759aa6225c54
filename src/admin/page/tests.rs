//! The files of the page as a browser gets them.

use super::*;

/// Gzipped, and all of it: what a browser loads at first.
const MOST: usize = 100_000;

#[test]
fn the_page_loads_in_under_100_kb() {
    let sizes: Vec<(&str, usize)> =
        FILES.iter().map(|file| (file.path, file.gzipped().len())).collect();
    let all: usize = sizes.iter().map(|(_, size)| size).sum();
    assert!(all < MOST, "{all} bytes: {sizes:?}");
    assert!(all > 10_000, "{sizes:?}");
}

#[test]
fn each_file_that_the_page_names_is_there_and_none_comes_from_elsewhere() {
    let paths: Vec<&str> = FILES.iter().map(|file| file.path).collect();
    let mut named = 0;
    for file in &FILES {
        if file.path.contains("/vendor/") {
            continue;
        }
        let text = std::str::from_utf8(file.bytes).unwrap();
        for quote in ['"', '\''] {
            for piece in text.split(quote).filter(|piece| piece.starts_with("./")) {
                let path = format!("/page/{}", &piece[2..]);
                assert!(paths.contains(&&*path), "{}: {piece}", file.path);
                named += 1;
            }
            for piece in text.split(quote).filter(|piece| piece.starts_with("/page/")) {
                assert!(paths.contains(&piece), "{}: {piece}", file.path);
                named += 1;
            }
            let foreign = text.split(quote).find(|piece| piece.starts_with("http"));
            let foreign = foreign.filter(|piece| *piece != "http://www.w3.org/2000/svg");
            assert_eq!(foreign, None, "{}", file.path);
        }
    }
    assert!(named > 20, "{named}");
}

/// The policy of the page forbids both.
#[test]
fn nothing_is_written_inline() {
    for file in FILES.iter().filter(|file| !file.path.contains("/vendor/")) {
        let text = std::str::from_utf8(file.bytes).unwrap();
        for inline in [" style=", "<style", " onclick=", "javascript:", "eval(", "innerHTML"] {
            assert!(!text.contains(inline), "{}: {inline}", file.path);
        }
    }
}

#[test]
fn both_languages_have_the_same_words() {
    let file = FILES.iter().find(|file| file.path == "/page/words.js").unwrap();
    let text = std::str::from_utf8(file.bytes).unwrap();
    let (_, rest) = text.split_once("const EN = {").unwrap();
    let (english, rest) = rest.split_once("\n}\n").unwrap();
    let (_, rest) = rest.split_once("const ZH = {").unwrap();
    let (chinese, _) = rest.split_once("\n}\n").unwrap();
    let word = regex::Regex::new(r"(?:^|[{,\n]\s*)([A-Za-z_]+): ['(`]").unwrap();
    let keys = |text: &str| -> std::collections::BTreeSet<String> {
        word.captures_iter(text).map(|found| found[1].to_owned()).collect()
    };
    assert_eq!(keys(english), keys(chinese));
    assert!(keys(english).len() > 80, "{}", keys(english).len());
}
