//! Reading tokens one after the other: look ahead, accept, skip balanced parentheses.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::collections::VecDeque;

use super::Dialect;
use super::token::{Lexer, Token};

/// The position of a reader in a statement.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    lexer: Lexer<'a>,
    ahead: VecDeque<Token>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str, dialect: &'a Dialect) -> Self {
        Self { lexer: Lexer::new(text, dialect), ahead: VecDeque::new() }
    }

    /// From here on executed comments are plain ones.
    pub(super) fn skip_executed_comments(&mut self) {
        self.lexer.skip_executed_comments();
    }

    /// The token `distance` further on; `None` behind the end of the statement.
    pub(super) fn peek_at(&mut self, distance: usize) -> Option<&Token> {
        while self.ahead.len() <= distance {
            let token = self.lexer.next()?;
            self.ahead.push_back(token);
        }
        self.ahead.get(distance)
    }

    pub(super) fn peek(&mut self) -> Option<&Token> {
        self.peek_at(0)
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        self.peek()?;
        self.ahead.pop_front()
    }

    /// Whether the token `distance` further on is this keyword.
    pub(super) fn is_word_at(&mut self, distance: usize, keyword: &str) -> bool {
        matches!(self.peek_at(distance), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword))
    }

    pub(super) fn is_word(&mut self, keyword: &str) -> bool {
        self.is_word_at(0, keyword)
    }

    /// Whether the token `distance` further on is this symbol.
    pub(super) fn is_symbol_at(&mut self, distance: usize, symbol: char) -> bool {
        matches!(self.peek_at(distance), Some(Token::Symbol(found)) if *found == symbol)
    }

    pub(super) fn is_symbol(&mut self, symbol: char) -> bool {
        self.is_symbol_at(0, symbol)
    }

    /// Takes these keywords if all of them come next.
    pub(super) fn accept(&mut self, keywords: &[&str]) -> bool {
        let all = keywords.iter().enumerate().all(|(place, word)| self.is_word_at(place, word));
        if all {
            self.ahead.drain(..keywords.len());
        }
        all
    }

    /// Takes one of these keywords if it comes next.
    pub(super) fn accept_any(&mut self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.accept(&[keyword]))
    }

    pub(super) fn accept_symbol(&mut self, symbol: char) -> bool {
        let found = self.is_symbol(symbol);
        if found {
            self.next();
        }
        found
    }

    /// An identifier, quoted or not.
    pub(super) fn name(&mut self) -> Option<String> {
        match self.peek()? {
            Token::Word(name) | Token::Quoted(name) => {
                let name = name.clone();
                self.next();
                Some(name)
            }
            Token::Text(_) | Token::Bits(_) | Token::Symbol(_) => None,
        }
    }

    /// A column's name. MariaDB, and MySQL before 8.0, take it with its table and database
    /// (`field_ident`, sql/sql_yacc.yy).
    pub(super) fn column_name(&mut self) -> Option<String> {
        if self.accept_symbol('.') {
            return self.name();
        }
        let mut name = self.name()?;
        // A fourth part would be the next name: CHANGE d.t.old .new INT
        for _ in 0..2 {
            if self.accept_symbol('.') {
                name = self.name()?;
            }
        }
        Some(name)
    }

    /// An identifier or a string: where the grammar takes either, as for charsets.
    pub(super) fn name_or_text(&mut self) -> Option<String> {
        if let Some(Token::Text(text)) = self.peek() {
            let text = text.clone();
            self.next();
            return Some(text);
        }
        self.name()
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let Some(Token::Word(word)) = self.peek() else { return None };
        let number = word.parse().ok()?;
        self.next();
        Some(number)
    }

    /// The words from here to the end of the clause, to be shown: without texts, which may hold
    /// values. Consumes them.
    pub(super) fn clause_text(&mut self) -> String {
        let mut shown = Vec::new();
        while shown.len() < 12 && !self.is_clause_end() {
            match self.next() {
                Some(Token::Word(word) | Token::Quoted(word)) => shown.push(word),
                Some(Token::Symbol(symbol)) => shown.push(symbol.to_string()),
                Some(Token::Text(_) | Token::Bits(_)) => shown.push("'..'".to_owned()),
                None => break,
            }
        }
        shown.join(" ")
    }

    /// Steps over a group in parentheses, if one begins here.
    pub(super) fn skip_group(&mut self) -> bool {
        if !self.accept_symbol('(') {
            return false;
        }
        let mut depth = 1_usize;
        while depth > 0 {
            match self.next() {
                Some(Token::Symbol('(')) => depth += 1,
                Some(Token::Symbol(')')) => depth -= 1,
                Some(_) => {}
                None => break,
            }
        }
        true
    }

    /// Steps over a token, or the whole group that begins here.
    pub(super) fn skip_one(&mut self) {
        if !self.skip_group() {
            self.next();
        }
    }

    /// Whether a clause of a list ends here: comma, closing parenthesis, semicolon, end.
    pub(super) fn is_clause_end(&mut self) -> bool {
        matches!(self.peek(), None | Some(Token::Symbol(',' | ')' | ';')))
    }

    /// Steps to the end of the clause, over all groups in it.
    pub(super) fn skip_clause(&mut self) {
        while !self.is_clause_end() {
            self.skip_one();
        }
    }
}
