//! `conf/users`: who may log in, as what, and the hashes of their passwords.
//!
//! Format: a line for each user, `name:role:hash`; `role` is `view` or `admin`, `hash` is one of
//! argon2 in its PHC form. Empty lines and those that begin with `#` mean nothing. Always: a file
//! with a line that cannot be read lets nobody in, rather than somebody whom that line takes out.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use argon2::password_hash::{self, PasswordHash, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Argon2, password_hash::SaltString};

/// The shortest password.
pub const SHORTEST_PASSWORD: usize = 8;
/// The longest password, and name.
const LONGEST_PASSWORD: usize = 1024;
const LONGEST_NAME: usize = 64;

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look at everything.
    View,
    /// Change everything, too.
    Admin,
}

impl Role {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Admin => "admin",
        }
    }

    /// What a word means.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "view" => Some(Self::View),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }
}

/// Why users, or a user, are none.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// A line of the file.
    #[error(
        "line {0} of conf/users is no name:role:hash; take it out, and write users by `bin/sluice user add`"
    )]
    Line(usize),
    /// A name.
    #[error("a user's name is 1 to 64 letters, digits, `.`, `_`, `-` and `@`")]
    Name,
    /// A password.
    #[error("a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} bytes")]
    Password,
    /// The hash function.
    #[error("the password cannot be hashed: {0}")]
    Hash(password_hash::Error),
}

/// A user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// What it may do.
    pub role: Role,
    hash: String,
}

impl User {
    /// Whether both have the same password, set at the same time.
    pub(super) fn has_password_of(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("role", &self.role).finish_non_exhaustive()
    }
}

/// All users, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users(BTreeMap<String, User>);

impl Users {
    /// Those of a file.
    pub fn parse(text: &str) -> Result<Self, UsersError> {
        let mut users = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = || UsersError::Line(number + 1);
            let mut parts = line.splitn(3, ':');
            let mut part = || parts.next().ok_or_else(wrong);
            let (name, role, hash) = (part()?, part()?, part()?);
            let role = Role::of(role).ok_or_else(wrong)?;
            if !is_name(name) || PasswordHash::new(hash).is_err() {
                return Err(wrong());
            }
            users.insert(name.to_owned(), User { role, hash: hash.to_owned() });
        }
        Ok(Self(users))
    }

    /// The file of them.
    pub fn text(&self) -> String {
        let mut text =
            String::from("# Written by `bin/sluice user`: name:role:hash of the password.\n");
        for (name, user) in &self.0 {
            let _ = writeln!(text, "{name}:{}:{}", user.role.word(), user.hash);
        }
        text
    }

    /// Adds a user, or gives one another password and role. `salt` are 16 random bytes.
    pub fn set(
        &mut self,
        name: &str,
        role: Role,
        password: &str,
        salt: [u8; 16],
    ) -> Result<(), UsersError> {
        if !is_name(name) {
            return Err(UsersError::Name);
        }
        if !(SHORTEST_PASSWORD..=LONGEST_PASSWORD).contains(&password.len()) {
            return Err(UsersError::Password);
        }
        let salt = SaltString::encode_b64(&salt).map_err(UsersError::Hash)?;
        let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
        let hash = hash.map_err(UsersError::Hash)?.to_string();
        self.0.insert(name.to_owned(), User { role, hash });
        Ok(())
    }

    /// Removes a user; false if there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and roles.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Role)> {
        self.0.iter().map(|(name, user)| (&**name, user.role))
    }

    /// A user.
    pub fn get(&self, name: &str) -> Option<&User> {
        self.0.get(name)
    }

    /// Whether that is the password of that user. It takes as long, some ten milliseconds and 19
    /// MiB, where there is no such user.
    pub fn check(&self, name: &str, password: &str) -> Option<&User> {
        /// Nobody's.
        const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
             AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let found = self.0.get(name);
        let hash = PasswordHash::new(found.map_or(NOBODY, |user| &user.hash)).ok()?;
        if password.len() > LONGEST_PASSWORD {
            return None;
        }
        let checked = Argon2::default().verify_password(password.as_bytes(), &hash);
        found.filter(|_| checked.is_ok())
    }
}

fn is_name(name: &str) -> bool {
    let legal = |letter: char| letter.is_ascii_alphanumeric() || ".-_@".contains(letter);
    (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_users_is_read_as_it_was_written_and_holds_no_password() {
        let mut users = Users::default();
        users.set("alice", Role::Admin, "correct horse", [7; 16]).unwrap();
        users.set("bob@example.com", Role::View, "battery staple", [8; 16]).unwrap();
        let text = users.text();
        assert!(!text.contains("horse") && !text.contains("staple"), "{text}");
        let read = Users::parse(&text).unwrap();
        assert_eq!(read, users);
        assert_eq!(read.check("alice", "correct horse").map(|user| user.role), Some(Role::Admin));
        assert_eq!(read.check("alice", "battery staple"), None);
        assert_eq!(read.check("carol", "correct horse"), None);
        assert!(!format!("{users:?}").contains("argon2"));
    }

    #[test]
    fn a_line_that_cannot_be_read_lets_nobody_in() {
        let mut users = Users::default();
        users.set("alice", Role::Admin, "correct horse", [7; 16]).unwrap();
        for line in ["alice", "alice:root:x", "a b:view:x", "bob:view:secret", ":view:"] {
            let text = format!("{}{line}\n", users.text());
            assert!(matches!(Users::parse(&text), Err(UsersError::Line(3))), "{line}");
        }
    }

    #[test]
    fn names_and_passwords_have_bounds() {
        let mut users = Users::default();
        for (name, password) in
            [("", "long enough"), ("a:b", "long enough"), ("a\n", "long enough")]
        {
            assert!(matches!(
                users.set(name, Role::View, password, [0; 16]),
                Err(UsersError::Name)
            ));
        }
        for password in ["", "seven!!", &"x".repeat(1025)] {
            let set = users.set("a", Role::View, password, [0; 16]);
            assert!(matches!(set, Err(UsersError::Password)));
        }
        assert!(users.is_empty());
    }
}
