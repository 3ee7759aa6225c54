//! Identifiers of XA transactions.

use std::fmt;
use std::str::FromStr;

/// The identifier of a branch of an XA transaction: equal only if all three parts are.
///
/// Its text is the server's: `X'7831',X'',1`, as it is written behind XA COMMIT in the binlog.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Xid {
    /// `formatID`, its lower 32 bits: `XA_PREPARE` has no more.
    pub format: i32,
    /// The global part.
    pub gtrid: Vec<u8>,
    /// The branch.
    pub bqual: Vec<u8>,
}

/// A text is no identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no XA identifier: it should look like X'7831',X'',1")]
pub struct XidError(pub String);

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.gtrid, &self.bqual] {
            f.write_str("X'")?;
            part.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            f.write_str("',")?;
        }
        write!(f, "{}", self.format)
    }
}

impl FromStr for Xid {
    type Err = XidError;

    /// Reads the text that servers write (`XID::serialize`, sql/xa.h): the number is a `long`
    /// there, printed unsigned.
    fn from_str(text: &str) -> Result<Self, XidError> {
        let read = || {
            let mut parts = text.split(',').map(str::trim);
            let [gtrid, bqual] = [parts.next()?, parts.next()?].map(bytes);
            let format: i128 = parts.next()?.parse().ok()?;
            let (gtrid, bqual) = (gtrid?, bqual?);
            #[expect(clippy::cast_possible_truncation, reason = "the event has 32 bits of it")]
            parts.next().is_none().then_some(Self { format: format as i32, gtrid, bqual })
        };
        read().ok_or_else(|| XidError(text.to_owned()))
    }
}

/// The bytes of `X'7831'`.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix(['X', 'x'])?.strip_prefix('\'')?.strip_suffix('\'')?.as_bytes();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let pair = |pair: &[u8]| match *pair {
        [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
        _ => None,
    };
    digits.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_servers() {
        for (text, format, gtrid, bqual) in [
            ("X'7831',X'',1", 1, "x1", ""),
            ("X'612c27',X'62',7", 7, "a,'", "b"),
            ("X'61',X'',4294967295", -1, "a", ""),
            ("X'61',X'',18446744073709551615", -1, "a", ""),
        ] {
            let xid: Xid = text.parse().unwrap();
            let (gtrid, bqual) = (gtrid.as_bytes().to_vec(), bqual.as_bytes().to_vec());
            assert_eq!(xid, Xid { format, gtrid, bqual });
            assert_eq!(xid.to_string().parse(), Ok(xid));
        }
        for text in ["", "X'7831'", "X'783',X'',1", "X'7831',X'',1 ONE PHASE", "'a','b',1"] {
            assert!(text.parse::<Xid>().is_err(), "{text}");
        }
    }
}
