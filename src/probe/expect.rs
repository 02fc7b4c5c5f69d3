//! Which statuses count as good: `"2xx"`, `"200"`, `"200-299"`, `"2xx,401"`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use thiserror::Error;

/// Most ranges of one expectation; more is a mistake.
const RANGES_MAX: usize = 16;

/// The statuses that count as good. The default is any 2xx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    text: String,
    ranges: Vec<RangeInclusive<u16>>,
}

/// Why a text is no expectation.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExpectError {
    /// A part that is neither a class, a status nor a range.
    #[error("\"{0}\" is not a status (200), a class (2xx) or a range (200-299)")]
    Part(String),
    /// The first status of a range lies above the last.
    #[error("\"{0}\" is an empty range")]
    Backwards(String),
    /// More than 16 parts.
    #[error("has more than {RANGES_MAX} parts")]
    TooMany,
}

impl Expect {
    /// Parses statuses, classes and ranges separated by commas.
    ///
    /// # Errors
    /// When a part is none of these, a range is empty, or there are more than 16 parts.
    pub fn parse(text: &str) -> Result<Self, ExpectError> {
        let ranges = text.split(',').map(|part| parse_part(part.trim())).collect::<Result<Vec<_>, _>>()?;
        if ranges.len() > RANGES_MAX {
            return Err(ExpectError::TooMany);
        }
        Ok(Self { text: text.trim().to_owned(), ranges })
    }

    /// Whether `status` is good.
    #[must_use]
    pub fn accepts(&self, status: u16) -> bool {
        self.ranges.iter().any(|range| range.contains(&status))
    }
}

impl Default for Expect {
    fn default() -> Self {
        Self { text: "2xx".to_owned(), ranges: vec![200..=299] }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Expect {
    type Err = ExpectError;
    fn from_str(text: &str) -> Result<Self, ExpectError> {
        Self::parse(text)
    }
}

fn parse_part(part: &str) -> Result<RangeInclusive<u16>, ExpectError> {
    let wrong = || ExpectError::Part(part.to_owned());
    if let [class @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] = part.as_bytes() {
        let first = u16::from(class - b'0') * 100;
        return Ok(first..=first + 99);
    }
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let (first, last) = (status(first.trim()).ok_or_else(wrong)?, status(last.trim()).ok_or_else(wrong)?);
    if first > last { Err(ExpectError::Backwards(part.to_owned())) } else { Ok(first..=last) }
}

fn status(text: &str) -> Option<u16> {
    let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|status| digits && (100..=599).contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_statuses_and_ranges_are_understood() {
        let expect = Expect::parse("2xx, 401,300-303").unwrap();
        for good in [200, 204, 299, 401, 300, 303] {
            assert!(expect.accepts(good), "{good}");
        }
        for bad in [199, 304, 400, 402, 500] {
            assert!(!expect.accepts(bad), "{bad}");
        }
        assert!(Expect::default().accepts(204) && !Expect::default().accepts(302));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in ["", "ok", "20", "2000", "6xx", "099", "+20", "2xx,", "299-200", "200-", &["200"; 17].join(",")] {
            assert!(Expect::parse(bad).is_err(), "{bad:?}");
        }
    }
}
