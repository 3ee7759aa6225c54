//! The numbers that a server's version text begins with.

/// Major, minor and patch; ordered as versions are. What is not a number counts as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion(pub u32, pub u32, pub u32);

impl ServerVersion {
    /// Reads a text such as `8.0.26-log` or `10.11.14-MariaDB-deb12`.
    pub fn read(text: &str) -> Self {
        let mut parts = text.split(|letter: char| !letter.is_ascii_digit()).map(str::parse);
        let mut next = || parts.next().and_then(Result::ok).unwrap_or(0);
        Self(next(), next(), next())
    }

    /// As the head of an executed comment has it: 90704 for 9.7.4.
    pub fn number(self) -> u32 {
        let Self(major, minor, patch) = self;
        major.saturating_mul(10_000).saturating_add(minor.saturating_mul(100)).saturating_add(patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        let each =
            ["garbage", "5.6.24", "5.7.44", "8.0.26-log", "9.7.4-debian", "10.11.14-MariaDB"];
        let read = each.map(ServerVersion::read);
        assert!(read.is_sorted(), "{read:?}");
        assert_eq!(read.map(ServerVersion::number), [0, 50624, 50744, 80026, 90704, 101_114]);
    }
}
