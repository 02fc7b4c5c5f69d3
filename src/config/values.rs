//! Durations, sizes and shares, as people write them.
//!
//! Each has a range: a configuration is no place for a number that nobody can have meant.

use std::ops::RangeInclusive;
use std::time::Duration;

use maitred_core::settings::{Failback, MinUp};

use super::reader::{integer, text};
use super::tree::{Node, Value};

/// A duration: `"500ms"`, `"15s"`, `"1h 30m"`.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&Node) -> Result<Duration, String> {
    move |node| duration_in(text_with_unit(node, "15s")?, &range)
}

fn duration_in(given: &str, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    // The parser's own words are not passed on: they repeat what was given.
    let parsed =
        humantime::parse_duration(given).map_err(|_| "is no duration: write \"500ms\", \"15s\", \"5m\" or \"24h\"");
    let parsed = parsed.map_err(str::to_owned)?;
    let shown = |duration: &Duration| humantime::format_duration(*duration).to_string();
    if range.contains(&parsed) {
        return Ok(parsed);
    }
    Err(format!("must be {} to {}", shown(range.start()), shown(range.end())))
}

fn text_with_unit<'n>(node: &'n Node, example: &str) -> Result<&'n str, String> {
    match node.value {
        Value::Integer(_) | Value::Float(_) => Err(format!("needs a unit: {example:?}")),
        _ => text(node),
    }
}

/// A number of bytes: `16384` or `"16KiB"`.
pub(super) fn size(range: RangeInclusive<usize>) -> impl Fn(&Node) -> Result<usize, String> {
    move |node| {
        let bytes = match &node.value {
            Value::Integer(number) => number.and_then(|number| usize::try_from(number).ok()),
            _ => bytes_of(text(node)?).ok_or("is no size: write 16384, \"16KiB\" or \"1MiB\"")?,
        };
        let shown = |bytes: &usize| if *bytes < 1 << 20 { format!("{bytes}B") } else { format!("{}MiB", bytes >> 20) };
        let reason = || format!("must be {} to {}", shown(range.start()), shown(range.end()));
        bytes.filter(|bytes| range.contains(bytes)).ok_or_else(reason)
    }
}

/// `None`: no size at all; `Some(None)`: too large to count.
fn bytes_of(given: &str) -> Option<Option<usize>> {
    let digits = given.bytes().take_while(u8::is_ascii_digit).count();
    let shift = match given[digits..].trim() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    if digits == 0 {
        return None;
    }
    Some(given[..digits].parse::<usize>().ok().and_then(|number| number.checked_mul(1 << shift)))
}

/// A share: `"50%"`.
pub(super) fn percent(range: RangeInclusive<u8>) -> impl Fn(&Node) -> Result<u8, String> {
    move |node| percent_in(text_with_unit(node, "50%")?, &range)
}

fn percent_in(given: &str, range: &RangeInclusive<u8>) -> Result<u8, String> {
    let digits = given.strip_suffix('%').filter(|digits| (1..=3).contains(&digits.len()));
    let number =
        digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_digit())).and_then(|digits| digits.parse::<u8>().ok());
    match number {
        Some(share) if range.contains(&share) => Ok(share),
        _ => Err(format!("must be a share, \"{}%\" to \"{}%\"", range.start(), range.end())),
    }
}

/// `min_up`: servers, or a share of the configured ones.
pub(super) fn min_up(node: &Node) -> Result<MinUp, String> {
    match node.value {
        Value::Integer(_) => integer(1..=1_000_000)(node).map(MinUp::Servers),
        _ => percent_in(text(node)?, &(1..=100))
            .map(MinUp::Percent)
            .map_err(|_| "must be a number of servers (1 or more), or a share of them, \"1%\" to \"100%\"".to_owned()),
    }
}

/// `failback`: a duration or `"manual"`.
pub(super) fn failback(range: RangeInclusive<Duration>) -> impl Fn(&Node) -> Result<Failback, String> {
    move |node| match text_with_unit(node, "5m")? {
        "manual" => Ok(Failback::Manual),
        given => duration_in(given, &range).map(Failback::After).map_err(|reason| format!("{reason}, or \"manual\"")),
    }
}

/// A factor from 1 to 1000, in thousandths.
pub(super) fn factor_permille(node: &Node) -> Result<u32, String> {
    const RANGE: &str = "must be a number from 1.0 to 1000.0";
    let factor = match node.value {
        Value::Float(factor) => factor,
        Value::Integer(Some(factor)) => f64::from(i32::try_from(factor).map_err(|_| RANGE.to_owned())?),
        Value::Integer(None) => return Err(RANGE.to_owned()),
        ref other => return Err(format!("{RANGE}, not {}", other.kind())),
    };
    if !(1.0..=1000.0).contains(&factor) {
        return Err(RANGE.to_owned());
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 1,000 to 1,000,000 by the line above.
    Ok((factor * 1000.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::Spot;

    fn node(value: Value) -> Node {
        Node { spot: Spot::File { file: 0, line: 1 }, value, raw: None }
    }

    fn words(text: &str) -> Node {
        node(Value::Text(text.to_owned()))
    }

    #[test]
    fn durations_need_a_unit_and_a_sane_range() {
        let read = duration(Duration::from_millis(100)..=Duration::from_secs(3600));
        assert_eq!(read(&words("1s 500ms")), Ok(Duration::from_millis(1500)));
        assert_eq!(read(&node(Value::Integer(Some(15)))), Err("needs a unit: \"15s\"".to_owned()));
        for bad in ["", "15", "-1s", "1ms", "2h", "99999999999999999999s", "9999999999999999y", "\u{1b}[2J"] {
            assert!(read(&words(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_are_numbers_or_binary_units() {
        let read = size(1024..=1 << 20);
        assert_eq!(read(&words("16KiB")), Ok(16384));
        assert_eq!(read(&words("1 MiB")), Ok(1 << 20));
        assert_eq!(read(&node(Value::Integer(Some(2048)))), Ok(2048));
        for bad in ["", "KiB", "16kb", "1e3", "-1", "2MiB", "99999999999999999999GiB", "16é"] {
            assert!(read(&words(bad)).is_err(), "{bad:?}");
        }
        assert!(read(&node(Value::Integer(None))).is_err());
        assert!(read(&node(Value::Integer(Some(-1)))).is_err());
    }

    #[test]
    fn shares_and_factors_are_bounded() {
        assert_eq!(percent(1..=100)(&words("50%")), Ok(50));
        for bad in ["0%", "101%", "50", "%", "+5%", "1.5%", "1000%"] {
            assert!(percent(1..=100)(&words(bad)).is_err(), "{bad:?}");
        }
        assert_eq!(factor_permille(&node(Value::Float(1.25))), Ok(1250));
        assert_eq!(factor_permille(&node(Value::Integer(Some(2)))), Ok(2000));
        for bad in [0.99, f64::NAN, f64::INFINITY, 1e9] {
            assert!(factor_permille(&node(Value::Float(bad))).is_err(), "{bad}");
        }
        assert_eq!(min_up(&node(Value::Integer(Some(2)))), Ok(MinUp::Servers(2)));
        assert_eq!(min_up(&words("50%")), Ok(MinUp::Percent(50)));
        assert!(min_up(&node(Value::Integer(Some(0)))).is_err());
    }
}
