//! The grammar of Java's `.properties` files (`java.util.Properties.load`), with line
//! numbers.
//!
//! In: the bytes of a file. They are UTF-8 if they read as such (editors write that
//! today), else ISO-8859-1 as Java has it. Out: entries in file order, each with the line
//! it begins on; values are trimmed, as Canal does.
//!
//! ```text
//! file    = { comment | blank | entry }
//! comment = blanks ( "#" | "!" ) ... end of line            (never continued)
//! entry   = blanks key [ blanks ] [ "=" | ":" ] blanks value end
//! blanks  = { " " | tab | form feed }
//! ```
//!
//! An odd number of `\` at the end of a line continues it; the blanks that begin the next
//! line are dropped. `\t \n \r \f` and `\uXXXX` (UTF-16 units) mean what they mean
//! elsewhere; any other escaped character stands for itself, so `\\.` is `\.`, and `\.` is
//! just `.`.

use std::iter::Peekable;
use std::str::Chars;

/// One `key = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The key, unescaped.
    pub(super) key: String,
    /// The value, unescaped and trimmed.
    pub(super) value: String,
    /// The line the entry begins on, from 1.
    pub(super) line: usize,
    /// Whether blanks at the value's end were left out.
    pub(super) is_cut: bool,
}

/// What Java refuses: an escape that is no `\uXXXX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadEscape {
    /// The line the entry begins on.
    pub(super) line: usize,
}

/// Reads a file. Entries with a bad escape are left out, and listed.
pub(super) fn parse(bytes: &[u8]) -> (Vec<Entry>, Vec<BadEscape>) {
    let text = decode(bytes);
    let mut entries = Vec::new();
    let mut bad = Vec::new();
    for (line, text) in logical_lines(&text) {
        match split(&text) {
            Some((key, value)) => {
                let is_cut = value.trim_end() != value;
                let value = value.trim().to_owned();
                entries.push(Entry { key, value, line, is_cut });
            }
            None => bad.push(BadEscape { line }),
        }
    }
    (entries, bad)
}

/// The keys and values of a file that is not one of ours: a client's `--command-config`.
/// Of duplicates the last comes last.
pub fn properties(bytes: &[u8]) -> Vec<(String, String)> {
    let (entries, _) = parse(bytes);
    entries.into_iter().map(|entry| (entry.key, entry.value)).collect()
}

fn decode(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text).to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\u{c}')
}

/// The lines that hold entries, continuations joined, escapes untouched.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut continued = false;
    for (line, natural) in natural_lines(text).into_iter().enumerate() {
        let content = natural.trim_start_matches(is_blank);
        if !continued && (content.is_empty() || content.starts_with(['#', '!'])) {
            continue;
        }
        let slashes = content.len() - content.trim_end_matches('\\').len();
        let more = slashes % 2 == 1;
        let content = &content[..content.len() - usize::from(more)];
        match found.last_mut() {
            Some((_, whole)) if continued => whole.push_str(content),
            _ => found.push((line + 1, content.to_owned())),
        }
        continued = more;
    }
    found
}

/// Lines end with `\n`, `\r` or `\r\n`.
fn natural_lines(text: &str) -> Vec<&str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')).collect()
}

/// Key and value of a logical line, untrimmed; `None` on a bad escape.
fn split(line: &str) -> Option<(String, String)> {
    let mut letters = line.chars().peekable();
    let key = unescape(&mut letters, |letter| is_blank(letter) || matches!(letter, '=' | ':'))?;
    while letters.next_if(|letter| is_blank(*letter)).is_some() {}
    if letters.next_if(|letter| matches!(letter, '=' | ':')).is_some() {
        while letters.next_if(|letter| is_blank(*letter)).is_some() {}
    }
    let value = unescape(&mut letters, |_| false)?;
    Some((key, value))
}

/// Reads up to an unescaped letter that `ends`, which stays.
fn unescape(letters: &mut Peekable<Chars<'_>>, ends: fn(char) -> bool) -> Option<String> {
    // UTF-16 units, so that two escapes can make one surrogate pair.
    let mut units: Vec<u16> = Vec::new();
    while let Some(letter) = letters.next_if(|letter| !ends(*letter)) {
        let letter = match letter {
            '\\' => match letters.next() {
                Some('u') => {
                    units.push(hex_unit(letters)?);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some(other) => other,
                None => break,
            },
            plain => plain,
        };
        units.extend_from_slice(letter.encode_utf16(&mut [0; 2]));
    }
    Some(String::from_utf16_lossy(&units))
}

fn hex_unit(letters: &mut Peekable<Chars<'_>>) -> Option<u16> {
    let digits: String = letters.take(4).collect();
    if digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        u16::from_str_radix(&digits, 16).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let (entries, bad) = parse(text.as_bytes());
        assert_eq!(bad, []);
        entries.into_iter().map(|entry| (entry.key, entry.value)).collect()
    }

    fn one(text: &str) -> (String, String) {
        let found = pairs(text);
        assert_eq!(found.len(), 1, "{found:?}");
        found.into_iter().next().unwrap()
    }

    // The first seven are the examples of java.util.Properties.load's documentation.
    #[test]
    fn the_examples_of_javas_documentation_read_as_it_says() {
        let truth = ("Truth".to_owned(), "Beauty".to_owned());
        assert_eq!(one("Truth = Beauty"), truth);
        assert_eq!(one(" Truth:Beauty"), truth);
        assert_eq!(one("Truth                    :Beauty"), truth);
        let fruits = one("fruits                           apple, banana, pear, \\\n      \
                          cantaloupe, watermelon, \\\n   kiwi, mango");
        assert_eq!(fruits.1, "apple, banana, pear, cantaloupe, watermelon, kiwi, mango");
        assert_eq!(one("cheeses"), ("cheeses".to_owned(), String::new()));
        assert_eq!(one(r"\:\="), (":=".to_owned(), String::new()));
        assert_eq!(one("a\\ b = c").0, "a b");
    }

    #[test]
    fn a_back_slash_keeps_only_what_is_escaped() {
        assert_eq!(one(r"filter = .*\\..*").1, r".*\..*");
        assert_eq!(one(r"filter = .*\..*").1, ".*..*");
        assert_eq!(one(r"k = \t|\u00e9\uD83D\uDE00").1, "|é😀".trim());
        assert_eq!(one(r"path = C:\\new").1, r"C:\new");
    }

    #[test]
    fn comments_are_never_continued_and_continuations_are_never_comments() {
        let text = "# a comment \\\nreal = 1\n! another\n  \t\nlong = a,\\\n   #b,\\\n\nlast = 3";
        assert_eq!(
            pairs(text),
            [("real", "1"), ("long", "a,#b,"), ("last", "3")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        let (entries, _) = parse(b"a=1\r\nb=2\rc=3\n\n# x\nd=4\\\n  5\ne=6");
        let lines: Vec<_> = entries.iter().map(|entry| (&*entry.key, entry.line)).collect();
        assert_eq!(lines, [("a", 1), ("b", 2), ("c", 3), ("d", 6), ("e", 8)]);
    }

    #[test]
    fn bytes_that_are_no_utf8_are_iso_8859_1() {
        assert_eq!(parse(b"k = caf\xe9").0[0].value, "café");
        assert_eq!(parse("k = café".as_bytes()).0[0].value, "café");
        assert_eq!(parse("\u{feff}k = v".as_bytes()).0[0].key, "k");
    }

    #[test]
    fn a_bad_escape_is_named_by_its_line_and_the_rest_is_read() {
        let (entries, bad) = parse(b"a = 1\nb = \\u12g4\nc = 3");
        assert_eq!(bad, [BadEscape { line: 2 }]);
        assert_eq!(entries.len(), 2);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            parse(&bytes);
        }
    }
}
