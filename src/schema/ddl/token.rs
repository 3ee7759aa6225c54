//! SQL text to tokens, as the source's lexer cuts it.
//!
//! In: the statement's text and the [`Dialect`] it was written in. Out: words, quoted
//! identifiers, literals and symbols; comments are gone, and what stands in an executed
//! comment (`/*!80023 ... */`, MariaDB's `/*M! ... */`) is there as if it stood outside,
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
    /// `x'..'`, `b'..'`: what it stands for depends on where it stands.
    Bits,
    /// Any other character.
    Symbol(char),
}

/// Walks a statement's text.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// How many executed comments are open.
    executed: usize,
    dialect: &'a Dialect,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, dialect: &'a Dialect) -> Self {
        Self { text, at: 0, executed: 0, dialect }
    }

    /// The next token, or `None` at the end of the text.
    pub(super) fn next(&mut self) -> Option<Token> {
        self.skip_blank();
        let first = self.rest().chars().next()?;
        match first {
            '`' => Some(Token::Quoted(self.quoted('`', false))),
            '"' if self.dialect.ansi_quotes() => Some(Token::Quoted(self.quoted('"', false))),
            '\'' | '"' => Some(Token::Text(self.quoted(first, self.dialect.escapes()))),
            letter if is_word(letter) => Some(self.word()),
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
            let trimmed = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\0');
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with('#') || is_dash_comment(trimmed) {
                self.at += trimmed.find('\n').map_or(trimmed.len(), |end| end + 1);
            } else if trimmed.starts_with("/*") {
                self.comment();
            } else if self.executed > 0 && trimmed.starts_with("*/") {
                self.executed -= 1;
                self.at += 2;
            } else {
                return;
            }
        }
    }

    /// Steps into an executed comment, or over any other.
    fn comment(&mut self) {
        let rest = self.rest();
        let (head, ours) = match rest.as_bytes() {
            [_, _, b'!', ..] => (3, true),
            [_, _, b'M', b'!', ..] => (4, self.dialect.is_mariadb()),
            _ => (2, false),
        };
        if ours {
            let digits = rest.get(head..).unwrap_or("");
            let count = digits.bytes().take(6).take_while(u8::is_ascii_digit).count();
            let version = digits.get(..count).filter(|_| count >= 5);
            let version = version.and_then(|digits| digits.parse().ok());
            if version.is_none_or(|version| self.executes(head, version)) {
                self.executed += 1;
                self.at += head + if version.is_some() { count } else { 0 };
                return;
            }
        }
        self.at += comment_length(rest);
    }

    /// MariaDB skips what is meant for the MySQL versions it has never been.
    fn executes(&self, head: usize, version: u32) -> bool {
        let foreign =
            self.dialect.is_mariadb() && head == 3 && (50_700..100_000).contains(&version);
        version <= self.dialect.version && !foreign
    }

    fn word(&mut self) -> Token {
        let rest = self.rest();
        let length = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
        let word = rest.get(..length).unwrap_or("");
        self.at += length;
        if self.rest().starts_with('\'') {
            if word.eq_ignore_ascii_case("n") {
                return Token::Text(self.quoted('\'', self.dialect.escapes()));
            }
            if word.eq_ignore_ascii_case("x") || word.eq_ignore_ascii_case("b") {
                self.quoted('\'', false);
                return Token::Bits;
            }
        }
        Token::Word(word.to_owned())
    }

    /// What stands between two quotes; the quote itself is written twice inside.
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

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '$') || !letter.is_ascii()
}

/// `--` begins a comment only before a blank, a control character or the end.
fn is_dash_comment(text: &str) -> bool {
    text.strip_prefix("--").is_some_and(|rest| {
        rest.bytes().next().is_none_or(|next| next.is_ascii_whitespace() || next.is_ascii_control())
    })
}

/// Length of the comment that `text` begins with, with those nested in it.
fn comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    let bytes = text.as_bytes();
    while let Some(pair) = bytes.get(at..at + 2) {
        match pair {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" if depth <= 1 => return at + 2,
            b"*/" => (depth, at) = (depth - 1, at + 2),
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
            Token::Bits => "bits".to_owned(),
            Token::Symbol(symbol) => symbol.to_string(),
        });
        said.collect::<Vec<_>>().join(" ")
    }

    fn mysql() -> Dialect {
        Dialect { flavor: Flavor::MySql, version: 90_704, sql_mode: 0 }
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

    #[test]
    fn comments_are_skipped_and_executed_ones_are_not() {
        let text =
            "/*!50003 a (b /*!80023 c */ ) */ /* d /* e */ f */ g -- h\n# i\n--j /*!990000 k */";
        assert_eq!(words(text, &mysql()), "a ( b c ) g - - j");
        let mariadb = Dialect { flavor: Flavor::MariaDb, version: 101_106, sql_mode: 0 };
        assert_eq!(
            words("/*M!100301 a */ /*!80000 b */ /*! c */ /*!50503 d */", &mariadb),
            "a c d"
        );
        assert_eq!(words("/*M!100301 a */ b", &mysql()), "b");
    }

    #[test]
    fn literals_are_told_from_names() {
        assert_eq!(
            words("n'a' x'00' B'1' _utf8mb4'b' n x1", &mysql()),
            "'a' bits bits _utf8mb4 'b' n x1"
        );
        assert_eq!(words("表.`列` 1.5", &mysql()), "表 . `列` 1 . 5");
    }

    #[test]
    fn an_open_quote_or_comment_ends_with_the_text() {
        for text in ["'a", "`a", "'a\\", "/* a", "/*! a", "/*!5", "\"", "/*M!", "x'"] {
            tokens(text, &mysql());
        }
    }
}
