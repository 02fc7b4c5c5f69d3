//! What the affinity cookie costs a start: to seal the new one, and to open the one that comes.
//!
//! `cargo bench --bench credentials`

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up must end")]

use std::time::Duration;

use divan::{Bencher, black_box};
use maitred::credentials::{Keyring, Seals};
use maitred_core::clock::{Stamp, Time};
use maitred_core::entry::{Life, SeatEntry};
use maitred_core::ids::{DirectorName, Generation, IncarnationTag, Key, PoolName, ServerName, SessionId};

fn main() {
    divan::main();
}

const NOW: Time = Time(1_700_000_000_000);
const TTL: Duration = Duration::from_hours(24);

fn seals() -> Seals {
    Seals::new(Keyring::ephemeral().unwrap())
}

fn seat() -> SeatEntry {
    SeatEntry {
        pool: PoolName::parse("agents").unwrap(),
        key: Key::parse("0f8fad5b-d9cb-469f-a165-70867728950e").unwrap(),
        session: SessionId([3; 16]),
        server: ServerName::parse("ua1.east.example").unwrap(),
        incarnation: IncarnationTag::from_bits(77),
        generation: Generation::FIRST,
        stamp: Stamp::at(NOW),
        writer: DirectorName::parse("east-1").unwrap(),
        life: Life::Live,
        seen: NOW,
        minted: false,
    }
}

#[divan::bench]
fn cookie_sealed(bencher: Bencher<'_, '_>) {
    let (seals, seat) = (seals(), seat());
    bencher.bench(|| seals.seal_cookie(black_box(&seat), true, NOW).unwrap());
}

#[divan::bench]
fn cookie_opened(bencher: Bencher<'_, '_>) {
    let (seals, seat) = (seals(), seat());
    let value = seals.seal_cookie(&seat, true, NOW).unwrap();
    bencher.bench(|| seals.open_cookie(&seat.pool, TTL, black_box(value.as_bytes()), NOW).unwrap());
}

/// Somebody's who has no key, or altered one: that is found out at no more cost.
#[divan::bench]
fn cookie_refused(bencher: Bencher<'_, '_>) {
    let (seals, seat) = (seals(), seat());
    let mut value = seals.seal_cookie(&seat, true, NOW).unwrap().into_bytes();
    let middle = value.len() / 2;
    value[middle] = if value[middle] == b'A' { b'B' } else { b'A' };
    bencher.bench(|| seals.open_cookie(&seat.pool, TTL, black_box(&value), NOW).unwrap_err());
}
