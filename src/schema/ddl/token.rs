//! SQL text to tokens, as the source's lexer cuts it.
//!
//! In: the statement's text and the [`Dialect`] it was written in. Out: words, quoted
//! identifiers, literals and symbols; comments are left out, and what is in an executed
//! comment (`/*!80023 ... */`, MariaDB's `/*M! ... */`) is there as if it were outside,
//! when the server's version reaches the comment's. Tokens are cut as they are asked
//! for, so that a bulk INSERT costs no more than its first words.
//!
//! Any text gives tokens: what the server would refuse never reaches the binlog, and an
//! open quote ends with the text. Rules: "Comments", "String Literals" and "Schema
//! Object Names" of the MySQL manual, `sql/sql_lex.cc` of the servers.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::Dialect;

/// A piece of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A keyword or an identifier without quotes, or a number with its digits only.
    Word(String),
    /// An identifier in back quotes, or in double quotes under `ANSI_QUOTES`.
    Quoted(String),
    /// A string, its escapes undone.
    Text(String),
    /// `x'..'`, `b'..'`: its bytes, if they are whole. What they stand for depends on where they
    /// are.
    Bits(Option<Vec<u8>>),
    /// Any other character.
    Symbol(char),
}

/// Walks a statement's text.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// An executed comment is open: the next `*/` closes it, and all that were begun in it.
    executed: bool,
    /// No comment is executed from here on.
    skips_executed: bool,
    dialect: &'a Dialect,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, dialect: &'a Dialect) -> Self {
        Self { text, at: 0, executed: false, skips_executed: false, dialect }
    }

    /// From here on executed comments are plain ones.
    pub(super) fn skip_executed_comments(&mut self) {
        self.skips_executed = true;
    }

    /// The next token, or `None` at the end of the text.
    pub(super) fn next(&mut self) -> Option<Token> {
        self.skip_blank();
        let first = self.rest().chars().next()?;
        match first {
            '`' => Some(Token::Quoted(self.quoted_name('`'))),
            '"' if self.dialect.ansi_quotes() => Some(Token::Quoted(self.quoted_name('"'))),
            '\'' | '"' => Some(Token::Text(self.quoted(first, self.dialect.escapes()))),
            letter if self.is_word(letter) => Some(self.word()),
            symbol => {
                self.at += symbol.len_utf8();
                Some(Token::Symbol(symbol))
            }
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches(|letter| self.is_blank(letter));
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with('#') || self.is_dash_comment(trimmed) {
                self.at += trimmed.find('\n').map_or(trimmed.len(), |end| end + 1);
            } else if trimmed.starts_with("/*") {
                self.comment();
            } else if self.executed && trimmed.starts_with("*/") {
                self.executed = false;
                self.at += 2;
            } else {
                return;
            }
        }
    }

    /// Steps into an executed comment, or over any other (`MY_LEX_LONG_COMMENT`,
    /// sql/sql_lex.cc of both servers).
    fn comment(&mut self) {
        let rest = self.rest();
        let (head, ours) = match rest.as_bytes() {
            [_, _, b'!', ..] => (3, true),
            [_, _, b'M', b'!', ..] => (4, self.dialect.is_mariadb()),
            _ => (2, false),
        };
        if !ours || self.skips_executed {
            self.at += comment_length(rest, false);
            return;
        }
        let digits = self.version_digits(rest.get(head..).unwrap_or(""));
        let version = rest.get(head..head + digits).and_then(|digits| digits.parse().ok());
        if version.is_none_or(|version| self.executes(head, version)) {
            self.executed = true;
            self.at += head + digits;
        } else {
            self.at += comment_length(rest, true);
        }
    }

    /// How many digits of a version `text` begins with; 0 if it is none. A sixth digit is part
    /// of it in MariaDB, in MySQL only before a blank.
    fn version_digits(&self, text: &str) -> usize {
        let count = text.bytes().take(6).take_while(u8::is_ascii_digit).count();
        let sixth = self.dialect.is_mariadb()
            || text.chars().nth(6).is_some_and(|letter| self.is_blank(letter));
        match count {
            6 if sixth => 6,
            5 | 6 => 5,
            _ => 0,
        }
    }

    /// MariaDB skips what is meant for the MySQL versions it has never been.
    fn executes(&self, head: usize, version: u32) -> bool {
        let foreign =
            self.dialect.is_mariadb() && head == 3 && (50_700..100_000).contains(&version);
        version <= self.dialect.version && !foreign
    }

    fn word(&mut self) -> Token {
        let rest = self.rest();
        let length = rest.find(|letter| !self.is_word(letter)).unwrap_or(rest.len());
        let word = rest.get(..length).unwrap_or("");
        self.at += length;
        if self.rest().starts_with('\'') {
            if word.eq_ignore_ascii_case("n") {
                return Token::Text(self.quoted('\'', self.dialect.escapes()));
            }
            if word.eq_ignore_ascii_case("x") || word.eq_ignore_ascii_case("b") {
                let digits = self.quoted('\'', false);
                return Token::Bits(bytes_of(&digits, !word.eq_ignore_ascii_case("b")));
            }
        }
        // A keyword is a name directly before `.` and a letter (`MY_LEX_IDENT`, sql/sql_lex.cc).
        let names_more =
            self.rest().strip_prefix('.').is_some_and(|rest| rest.starts_with(|l| self.is_word(l)));
        if names_more && !word.starts_with(|letter: char| letter.is_ascii_digit()) {
            return Token::Quoted(self.as_name(word.to_owned()));
        }
        Token::Word(self.as_name(word.to_owned()))
    }

    /// A name as the server keeps it: MySQL's are of the character set `utf8mb3`, which has no
    /// more than the letters of Unicode's first plane; any other becomes `?` without a word
    /// (`system_charset_info`, sql/mysqld.cc).
    fn as_name(&self, name: String) -> String {
        let is_kept = |letter: char| u32::from(letter) <= 0xffff;
        if self.dialect.is_mariadb() || name.chars().all(is_kept) {
            return name;
        }
        name.chars().map(|letter| if is_kept(letter) { letter } else { '?' }).collect()
    }

    fn quoted_name(&mut self, quote: char) -> String {
        let name = self.quoted(quote, false);
        self.as_name(name)
    }

    fn is_word(&self, letter: char) -> bool {
        letter.is_ascii_alphanumeric()
            || matches!(letter, '_' | '$')
            || !letter.is_ascii() && !self.is_blank(letter)
    }

    /// What separates words: the ASCII part of `my_isspace`, with the vertical tab, the NUL that
    /// may be at the end, and the no-break space of some character sets.
    fn is_blank(&self, letter: char) -> bool {
        matches!(letter, '\t'..='\r' | ' ' | '\0') || letter == '\u{a0}' && self.dialect.wide_blank
    }

    /// `--` begins a comment only before a blank, a control character or the end.
    fn is_dash_comment(&self, text: &str) -> bool {
        text.strip_prefix("--").is_some_and(|rest| {
            let next = rest.chars().next();
            next.is_none_or(|next| self.is_blank(next) || next.is_ascii_control())
        })
    }

    /// What is between two quotes; the quote itself is written twice inside.
    fn quoted(&mut self, quote: char, escapes: bool) -> String {
        let mut inside = String::new();
        let mut letters = self.rest().char_indices().skip(1).peekable();
        let mut end = self.rest().len();
        while let Some((place, letter)) = letters.next() {
            if letter == quote {
                if letters.next_if(|(_, next)| *next == quote).is_none() {
                    end = place + quote.len_utf8();
                    break;
                }
                inside.push(quote);
            } else if letter == '\\' && escapes {
                match letters.next() {
                    Some((_, escaped)) => push_escaped(escaped, &mut inside),
                    None => break,
                }
            } else {
                inside.push(letter);
            }
        }
        self.at += end;
        inside
    }
}

/// "Special Character Escape Sequences" of the manual.
fn push_escaped(letter: char, out: &mut String) {
    match letter {
        '0' => out.push('\0'),
        'b' => out.push('\u{8}'),
        'n' => out.push('\n'),
        'r' => out.push('\r'),
        't' => out.push('\t'),
        'Z' => out.push('\u{1a}'),
        '%' | '_' => out.extend(['\\', letter]),
        other => out.push(other),
    }
}

/// The bytes of a number written as `0x61` or `0b01100001`.
pub(super) fn number_bytes(word: &str) -> Option<Vec<u8>> {
    match word.split_at_checked(2)? {
        ("0x", digits) if !digits.is_empty() => bytes_of(digits, true),
        ("0b", digits) if !digits.is_empty() => bytes_of(digits, false),
        _ => None,
    }
}

/// Bytes written in hexadecimal or binary digits, the first byte perhaps with fewer.
fn bytes_of(digits: &str, hexadecimal: bool) -> Option<Vec<u8>> {
    let (a_byte, radix) = if hexadecimal { (2, 16) } else { (8, 2) };
    let digits: Vec<u8> = digits
        .chars()
        .map(|digit| digit.to_digit(radix)?.try_into().ok())
        .collect::<Option<_>>()?;
    let bits = if hexadecimal { 4 } else { 1 };
    let fold = |digits: &[u8]| digits.iter().fold(0, |byte: u8, digit| (byte << bits) | digit);
    let (first, rest) = digits.split_at_checked(digits.len() % a_byte)?;
    let first = (!first.is_empty()).then(|| fold(first));
    Some(first.into_iter().chain(rest.chunks(a_byte).map(fold)).collect())
}

/// Length of the comment that `text` begins with. It ends at the first `*/`; one that would be
/// executed by another version may hold one more comment (`consume_comment`, sql/sql_lex.cc).
fn comment_length(text: &str, may_hold_one: bool) -> usize {
    let bytes = text.as_bytes();
    let mut at = 2;
    while let Some(pair) = bytes.get(at..at + 2) {
        match pair {
            b"*/" => return at + 2,
            b"/*" if may_hold_one => {
                at += comment_length(text.get(at..).unwrap_or(""), false);
            }
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Flavor;

    fn tokens(text: &str, dialect: &Dialect) -> Vec<Token> {
        let mut lexer = Lexer::new(text, dialect);
        std::iter::from_fn(|| lexer.next()).collect()
    }

    fn words(text: &str, dialect: &Dialect) -> String {
        let said = tokens(text, dialect).into_iter().map(|token| match token {
            Token::Word(word) => word,
            Token::Quoted(name) => format!("`{name}`"),
            Token::Text(text) => format!("'{text}'"),
            Token::Bits(bytes) => format!("bits {bytes:?}"),
            Token::Symbol(symbol) => symbol.to_string(),
        });
        said.collect::<Vec<_>>().join(" ")
    }

    fn mysql() -> Dialect {
        Dialect { flavor: Flavor::MySql, version: 90_704, sql_mode: 0, wide_blank: false }
    }

    #[test]
    fn quotes_are_undone_by_the_sql_mode() {
        let text = r#"'it''s' "a\"b" `q``t` 'c\nd\_e'"#;
        assert_eq!(words(text, &mysql()), "'it's' 'a\"b' `q`t` 'c\nd\\_e'");
        let ansi = Dialect { sql_mode: 0x4, ..mysql() };
        assert_eq!(words(r#""a""b" 'c'"#, &ansi), "`a\"b` 'c'");
        let plain = Dialect { sql_mode: 0x10_0000, ..mysql() };
        assert_eq!(words(r"'a\' b", &plain), r"'a\' b");
    }

    /// Each was tried on a MySQL 9.7 and a MariaDB 10.11 server.
    #[test]
    fn comments_are_skipped_and_executed_ones_are_not() {
        let mariadb =
            Dialect { flavor: Flavor::MariaDb, version: 101_106, sql_mode: 0, wide_blank: false };
        for (text, on_mysql, on_mariadb) in [
            ("/* a /* b */ c", "c", "c"),
            ("a /* from src/*.sql */ b /**/ c /*/ d */ e", "a b c e", "a b c e"),
            ("a -- b\n# c\n--d --\u{1} e\n--\u{b}f\ng --", "a - - d g", "a - - d g"),
            ("/*!50003 a (b /*!50023 c */ ) d", "a ( b c ) d", "a ( b c ) d"),
            ("/*!50003 a /* b */ c */ d", "a c d", "a c d"),
            ("/*!50003 a -- */\n b */ c", "a b c", "a b c"),
            ("a /*!999999 b /* c */ d */ e", "a e", "a e"),
            ("a /*!999999 b /* c /* d */ e */ f", "a f", "a f"),
            ("a /* 999999 b (* c *) d */ e", "a e", "a e"),
            ("a /*!99999 b */ c", "a c", "a c"),
            ("a /*!50503b */ c", "a b c", "a b c"),
            ("/*! a */ b", "a b", "a b"),
            ("/*!9999 a */ b", "9999 a b", "9999 a b"),
            ("/*!80000 a */ b", "a b", "b"),
            ("/*!080000 a */ b", "a b", "b"),
            ("/*!050000, a */ b", "0 , a b", ", a b"),
            ("/*!100100 a */ b", "b", "a b"),
            ("/*M!100301 a */ b", "b", "a b"),
            ("/*M! a */ b", "b", "a b"),
        ] {
            assert_eq!(words(text, &mysql()), on_mysql, "{text}");
            assert_eq!(words(text, &mariadb), on_mariadb, "{text}");
        }
    }

    #[test]
    fn each_blank_of_the_server_separates_words() {
        let text = "a\tb\nc\u{b}d\u{c}e\rf g\0";
        assert_eq!(words(text, &mysql()), "a b c d e f g");
        assert_eq!(words("a\u{a0}b c\u{3000}d", &mysql()), "a\u{a0}b c\u{3000}d", "letters");
        let latin1 = Dialect { wide_blank: true, ..mysql() };
        assert_eq!(words("a\u{a0}b --\u{a0}c\n'd\u{a0}' é", &latin1), "a b 'd\u{a0}' é");
    }

    #[test]
    fn literals_are_distinguished_from_names() {
        assert_eq!(
            words("n'a' x'006F' B'101100001' x'0g' _utf8mb4'b' n x1", &mysql()),
            "'a' bits Some([0, 111]) bits Some([1, 97]) bits None _utf8mb4 'b' n x1"
        );
        assert_eq!(words("表.`列` 1.5", &mysql()), "表 . `列` 1 . 5");
        assert_eq!(words("key.a key .a key. a", &mysql()), "`key` . a key . a key . a");
        assert_eq!(number_bytes("0x6162"), Some(b"ab".to_vec()));
        assert_eq!(number_bytes("0b1100001"), Some(b"a".to_vec()));
        assert_eq!(number_bytes("0xg"), None);
    }

    #[test]
    fn a_letter_that_names_cannot_have_becomes_a_question_mark_in_mysql() {
        let mariadb = Dialect { flavor: Flavor::MariaDb, ..mysql() };
        let text = "a😀 `b😀列` a😀.c '😀'";
        assert_eq!(words(text, &mysql()), "a? `b?列` `a?` . c '😀'");
        assert_eq!(words(text, &mariadb), "a😀 `b😀列` `a😀` . c '😀'");
    }

    #[test]
    fn an_open_quote_or_comment_ends_with_the_text() {
        for text in ["'a", "`a", "'a\\", "/* a", "/*! a", "/*!5", "\"", "/*M!", "x'"] {
            tokens(text, &mysql());
        }
    }
}
