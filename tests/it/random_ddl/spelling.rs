//! How the words of a statement become a text: blanks, comments, cases.

use super::grammar::Grammar;

/// What separates two words, in both servers.
pub(crate) const BLANKS: &[&str] = &[
    " ",
    "\t",
    "\n",
    "\u{b}",
    "\u{c}",
    "\r\n",
    "  ",
    "/**/",
    " /* c */ ",
    "/* a /* b */",
    "/*/ */",
    " /* 'it */ ",
    " /* ) , ; */ ",
    " -- x ' /* \n",
    "--\t\"\n",
    "#y `\n",
    "\u{b}\u{b}",
    "/* from src/*.sql */",
    "/*!999999 , nothing INT */",
    "/*!99999 /* , n INT */ , n INT */",
];

impl Grammar<'_> {
    pub(super) fn spell(&mut self, words: &[String]) -> String {
        let is_create = words.first().is_some_and(|word| word == "CREATE");
        if is_create && words.iter().any(|word| word == "(") && self.once_in(3) {
            return self.lay_out(words);
        }
        let quiet = self.once_in(3);
        let mut text = String::new();
        if !quiet && self.once_in(4) {
            text.push_str(&self.pick(BLANKS));
        }
        let executed = if !quiet && self.once_in(4) && words.len() > 2 {
            let from = self.random.place(words.len() - 1);
            Some((from, from + self.random.place(words.len() - from)))
        } else {
            None
        };
        for (place, word) in words.iter().enumerate() {
            if place > 0 {
                text.push_str(&self.blank(quiet, &words[place - 1], word));
            }
            if executed.is_some_and(|(from, _)| from == place) {
                let opening = self.opening();
                text.push_str(&opening);
            }
            text.push_str(&self.cased(word));
            if executed.is_some_and(|(_, to)| to == place) {
                text.push_str(if self.once_in(2) { "*/" } else { " */" });
            }
        }
        match self.random.below(12) {
            0 => text.push_str(" -- trailing"),
            1 => text.push_str(" # trailing"),
            2 => text.push_str("\u{b}/* trailing */"),
            3 => text.push(';'),
            _ => {}
        }
        text
    }

    /// One element of the list a line, as schema files and mappers of objects do.
    fn lay_out(&mut self, words: &[String]) -> String {
        let line = self.pick(&["\n  ", "\n  ", "\n    ", "\n\t", "\r\n  ", "\r\n\t"]);
        let closing = line.trim_end_matches([' ', '\t']).to_owned();
        let commas_lead = self.once_in(6);
        let ends_in_line = self.once_in(4);
        let mut text = String::new();
        let mut depth = 0_usize;
        for word in words {
            match (word.as_str(), depth) {
                ("(", 0) => text.extend([" (", &line]),
                (")", 1) => text.extend([&*closing, ")"]),
                (",", 1) if commas_lead => text.extend([&*line, ", "]),
                (",", 1) => text.extend([",", &line]),
                _ => {
                    if !text.is_empty() && !text.ends_with([' ', '\n', '\t']) {
                        text.push(' ');
                    }
                    let cased = self.cased(word);
                    text.push_str(&cased);
                }
            }
            match word.as_str() {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        if ends_in_line {
            text.push_str(";\n");
        }
        text
    }

    /// What an executed comment begins with.
    fn opening(&mut self) -> String {
        let common = &["/*! ", "/*!50000 ", "/*!50503", "/*!40101\u{b}", "/*!50503 /*! "];
        let mysql = &["/*!80000 ", "/*!080000 ", "/*!90000\n"];
        let mariadb = &["/*M! ", "/*M!100100 ", "/*!100000 ", "/*!050000 "];
        match (self.once_in(2), self.is_mariadb()) {
            (true, _) => self.pick(common),
            (false, true) => self.pick(mariadb),
            (false, false) => self.pick(mysql),
        }
    }

    fn blank(&mut self, quiet: bool, before: &str, after: &str) -> String {
        let tight = |word: &str| matches!(word, "." | "," | "(" | ")");
        if (tight(before) || tight(after)) && self.once_in(2) {
            return String::new();
        }
        if quiet || !self.once_in(5) {
            return " ".to_owned();
        }
        let own: &[&str] = if self.is_mariadb() {
            &["/*!80000 x */", "/*!50701 y */"]
        } else {
            &["/*M! x */", "/*M!50000 y */"]
        };
        if self.once_in(8) { self.pick(own) } else { self.pick(BLANKS) }
    }

    /// Keywords in any case; names and texts as they are.
    fn cased(&mut self, word: &str) -> String {
        let is_keyword = word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase());
        match self.random.below(4) {
            0 if is_keyword && word != "MY_ROW_ID" => word.to_lowercase(),
            _ => word.to_owned(),
        }
    }
}
