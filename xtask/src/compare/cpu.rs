//! CPU time of processes, as Linux accounts it (proc(5)): of a group to 10 ms, which over seconds of load is enough.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

/// User and system time so far of all living processes of a group, with those of their ended children that were waited for.
///
/// # Errors
/// When `/proc` cannot be read.
pub(crate) fn of_group(group: u32) -> anyhow::Result<Duration> {
    let per_second = rustix::param::clock_ticks_per_second();
    let ticks: u64 = fs::read_dir("/proc")?
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok())
        .filter_map(|stat| ticks(&stat, group))
        .sum();
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// Time so far of all threads of a process that live, to the nanosecond: for what takes less than the accounts above can show, where
/// no thread ends meanwhile.
///
/// # Errors
/// When `/proc` cannot be read.
pub(crate) fn of_threads(process: u32) -> anyhow::Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += text.split(' ').next().context("schedstat is empty")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// Fields 14 to 17 of a process whose field 5 is the group. The name in field 2 may hold anything, so it is skipped as a whole.
fn ticks(stat: &str, group: u32) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    (fields.get(2)?.parse::<u32>() == Ok(group)).then_some(())?;
    fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_is_no_field() {
        let stat = "7 (a) b (c)) S 1 42 42 0 -1 0 0 0 0 0 100 20 3 1 20 0 1";
        assert_eq!((ticks(stat, 42), ticks(stat, 41)), (Some(124), None));
    }
}
