//! Statuses of an answer that count as good.

use std::fmt;

use super::{WordError, refuse};

/// Most ranges in one `expect`.
const STATUS_RANGES_MAX: usize = 16;

/// HTTP statuses that count as good: `2xx`, `200`, `200-204`, or several with commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusSet(Vec<(u16, u16)>);

impl StatusSet {
    /// Parses a list of classes, statuses and ranges between 100 and 599.
    ///
    /// # Errors
    /// Another form, a status outside the range, or more than 16 parts.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        const FORMS: &str = "is no status: write 2xx, 200, 200-204, or several with commas";
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let range = match part.trim().split_once('-') {
                Some((low, high)) => status(low.trim()).zip(status(high.trim())),
                None => class(part.trim()).or_else(|| status(part.trim()).map(|status| (status, status))),
            };
            match range {
                Some((low, high)) if low <= high && ranges.len() < STATUS_RANGES_MAX => ranges.push((low, high)),
                _ => return refuse(FORMS),
            }
        }
        Ok(Self(ranges))
    }

    /// Whether `status` is one of them.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|&(low, high)| (low..=high).contains(&status))
    }
}

impl Default for StatusSet {
    /// Any success.
    fn default() -> Self {
        Self(vec![(200, 299)])
    }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, &(low, high)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match (low, high) {
                (low, high) if low == high => write!(f, "{low}")?,
                (low, high) if low % 100 == 0 && high == low + 99 => write!(f, "{}xx", low / 100)?,
                (low, high) => write!(f, "{low}-{high}")?,
            }
        }
        Ok(())
    }
}

fn status(text: &str) -> Option<u16> {
    let number = text.parse::<u16>().ok()?;
    (text.len() == 3 && (100..=599).contains(&number)).then_some(number)
}

fn class(text: &str) -> Option<(u16, u16)> {
    let digit = text.strip_suffix("xx")?.parse::<u16>().ok()?;
    (text.len() == 3 && (1..=5).contains(&digit)).then(|| (digit * 100, digit * 100 + 99))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_come_as_classes_ranges_and_lists() {
        for text in ["2xx", "200", "200-204", "2xx,401", "200,301-303"] {
            assert_eq!(StatusSet::parse(text).map(|set| set.to_string()), Ok(text.to_owned()));
        }
        let set = StatusSet::parse("2xx, 401").unwrap();
        assert!(set.contains(200) && set.contains(299) && set.contains(401) && !set.contains(302));
        for bad in ["", "xx", "6xx", "99", "600", "204-200", "200,", "+20", "2xxx", "20x", &["200"; 17].join(",")] {
            assert!(StatusSet::parse(bad).is_err(), "{bad}");
        }
    }
}
