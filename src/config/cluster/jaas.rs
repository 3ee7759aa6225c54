//! A line of `sasl.jaas.config`, read as Kafka's own client reads it: the grammar of
//! `org.apache.kafka.common.security.JaasConfig` over `java.io.StreamTokenizer`.
//!
//! ```text
//! line    = module flag { name "=" value } ";"                    (one module, no more)
//! flag    = "required" | "requisite" | "sufficient" | "optional"  (in any case)
//! module, flag, name, value = word | quoted
//! word    = letter { letter | digit | "." | "-" }    letters are also _ $ - and all from U+00A0 on
//! quoted  = '"' .. '"' | "'" .. "'"                  on one line, with \n \t \377 and so on
//! blanks  = controls, " ", "/*" .. "*/", and what is behind any other "/" up to the end of the line
//! ```
//!
//! A number is a token too, but has no text: a value that begins with a digit needs quotes. A name
//! that is one counts for nothing. Of a name that is there twice the last value counts.
//! Always: what is wrong is said without any of the line, which holds a password.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// What a line says.
#[derive(PartialEq, Eq)]
pub(super) struct Login {
    /// The Java class that would log in.
    pub(super) module: String,
    /// Its options.
    pub(super) options: BTreeMap<String, String>,
}

const FLAG: &str = "`required` is missing behind the login module";
const VALUE: &str =
    "an option has no value: one that begins with a digit or holds other letters needs quotes";

/// Reads a line; what is wrong with it comes back as a sentence without its end.
pub(super) fn parse(line: &str) -> Result<Login, &'static str> {
    let mut tokens = Tokens { letters: line.chars().peekable() };
    let first = tokens.next();
    if first == Token::End {
        return Err("it names no login module");
    }
    let module = first.text().ok_or("it does not begin with a login module")?;
    let flag = tokens.next().text().ok_or(FLAG)?;
    if !["required", "requisite", "sufficient", "optional"].contains(&&*flag.to_lowercase()) {
        return Err(FLAG);
    }
    let mut options = BTreeMap::new();
    loop {
        let name = match tokens.next() {
            Token::End => return Err("the semicolon at its end is missing"),
            Token::Sign(';') => break,
            token => token.text(),
        };
        if tokens.next() != Token::Sign('=') {
            return Err("an option has no `=` behind its name (or the semicolon is missing)");
        }
        let value = tokens.next().text().ok_or(VALUE)?;
        if let Some(name) = name {
            options.insert(name, value);
        }
    }
    match tokens.next() {
        Token::End => Ok(Login { module, options }),
        _ => Err("something follows its semicolon: one login module is allowed"),
    }
}

/// A token.
#[derive(PartialEq, Eq)]
enum Token {
    Text(String),
    Number,
    Sign(char),
    End,
}

impl Token {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number | Self::Sign(_) | Self::End => None,
        }
    }
}

/// `java.io.StreamTokenizer` as `JaasConfig` sets it up.
struct Tokens<'a> {
    letters: Peekable<Chars<'a>>,
}

impl Tokens<'_> {
    fn take(&mut self) -> Option<char> {
        self.letters.next()
    }

    fn peek(&mut self) -> Option<char> {
        self.letters.peek().copied()
    }

    fn next(&mut self) -> Token {
        loop {
            let Some(letter) = self.take() else { return Token::End };
            match letter {
                '\0'..=' ' => {}
                '/' if self.peek() == Some('*') => {
                    self.take();
                    if !self.skip_comment() {
                        return Token::End;
                    }
                }
                // Java takes one letter before it looks for the end, were it that end.
                '/' => {
                    self.take();
                    self.skip_line();
                }
                '0'..='9' | '.' => {
                    self.skip_number(letter == '.');
                    return Token::Number;
                }
                '-' => match self.peek() {
                    Some(digit @ ('0'..='9' | '.')) => {
                        self.take();
                        self.skip_number(digit == '.');
                        return Token::Number;
                    }
                    _ => return Token::Sign('-'),
                },
                '"' | '\'' => return Token::Text(self.quoted(letter)),
                letter if is_word(letter) => {
                    let mut word = String::from(letter);
                    while let Some(more) = self.peek().filter(|more| is_within_word(*more)) {
                        self.take();
                        word.push(more);
                    }
                    return Token::Text(word);
                }
                sign => return Token::Sign(sign),
            }
        }
    }

    /// Up to the end of the line.
    fn skip_line(&mut self) {
        while self.peek().is_some_and(|letter| letter != '\n' && letter != '\r') {
            self.take();
        }
    }

    /// Up to `*/`; false if there is none. As in Java, the letter behind the end of a line never
    /// closes a comment.
    fn skip_comment(&mut self) -> bool {
        let mut before = '\0';
        loop {
            let Some(mut letter) = self.take() else { return false };
            if letter == '/' && before == '*' {
                return true;
            }
            if letter == '\r' {
                let Some(more) = self.take() else { return false };
                letter = more;
            }
            if letter == '\n' {
                let Some(more) = self.take() else { return false };
                letter = more;
            }
            before = letter;
        }
    }

    fn skip_number(&mut self, mut has_point: bool) {
        while let Some(letter) = self.peek() {
            match letter {
                '.' if !has_point => has_point = true,
                '0'..='9' => {}
                _ => break,
            }
            self.take();
        }
    }

    /// What is between two quotes, or up to the end of the line.
    fn quoted(&mut self, quote: char) -> String {
        let mut text = String::new();
        loop {
            match self.peek() {
                None | Some('\n' | '\r') => return text,
                Some('\\') => {
                    self.take();
                    let escaped = self.escaped();
                    text.extend(escaped);
                }
                Some(letter) => {
                    self.take();
                    if letter == quote {
                        return text;
                    }
                    text.push(letter);
                }
            }
        }
    }

    /// The letter that is behind a back-slash.
    fn escaped(&mut self) -> Option<char> {
        let letter = self.take()?;
        Some(match letter {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '0'..='7' => {
                // Up to \377, so a third digit only behind a first of up to 3.
                let most = if letter <= '3' { 2 } else { 1 };
                let mut code = letter.to_digit(8).unwrap_or_default();
                for _ in 0..most {
                    let Some(digit) = self.peek().and_then(|digit| digit.to_digit(8)) else {
                        break;
                    };
                    self.take();
                    code = code * 8 + digit;
                }
                char::from_u32(code).unwrap_or_default()
            }
            other => other,
        })
    }
}

/// Whether a word may begin so. `-` is taken for the beginning of a number first.
fn is_word(letter: char) -> bool {
    letter.is_ascii_alphabetic() || matches!(letter, '_' | '$' | '\u{a0}'..)
}

fn is_within_word(letter: char) -> bool {
    is_word(letter) || letter.is_ascii_digit() || matches!(letter, '.' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the golden file shows as `\uXXXX`.
    fn unescaped(text: &str) -> String {
        let mut units = Vec::new();
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            if let Some(code) = rest.strip_prefix("\\u") {
                units.push(u16::from_str_radix(&code[..4], 16).unwrap());
                rest = &code[4..];
            } else {
                units.extend_from_slice(letter.encode_utf16(&mut [0; 2]));
                rest = &rest[letter.len_utf8()..];
            }
        }
        String::from_utf16(&units).unwrap()
    }

    /// Lines at random, and what Kafka's own client makes of each.
    #[test]
    fn a_line_is_read_as_the_java_client_reads_it() {
        let golden = include_str!("../../../tests/golden/kafka/jaas-lines.txt");
        let (mut read, mut refused) = (0, 0);
        for line in golden.lines() {
            let (text, answer) = line.split_once('\t').unwrap();
            let ours = parse(&unescaped(text));
            if answer == "refused" {
                assert!(ours.is_err(), "{text}");
                refused += 1;
                continue;
            }
            let mut parts = answer.split(' ').map(unescaped);
            let module = parts.next().unwrap();
            let options: BTreeMap<_, _> = parts
                .map(|part| {
                    let (name, value) = part.split_once('=').unwrap();
                    (name.to_owned(), value.to_owned())
                })
                .collect();
            let ours = ours.unwrap_or_else(|reason| panic!("{text}: {reason}"));
            assert_eq!((ours.module, ours.options), (module, options), "{text}");
            read += 1;
        }
        assert!(read > 700 && refused > 500, "{read} read, {refused} refused");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_a_panic_and_an_error_shows_none_of_it(text: String) {
            if let Err(reason) = parse(&format!("{text}Qz9")) {
                assert!(!reason.contains("Qz9"));
            }
        }
    }
}
