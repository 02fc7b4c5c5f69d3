//! The small tables: `[director]`, `[log]`, `[affinity]`, `[ticket]`, `[limits]` and `[[peer]]`.

use std::collections::BTreeMap;
use std::time::Duration;

use maitred_core::ids::{DatacenterName, DirectorName};

use super::files::FileKind;
use super::model::{
    AffinitySettings, DirectorSettings, KeyLog, Limits, LogFormat, LogSettings, Peer, StartLog, TicketAlgorithm,
    TicketSettings,
};
use super::reader::{Section, integer, one_of, parsed};
use super::tree::Spot;
use super::values::{duration, size};
use super::words::{Origin, Scheme};

/// Most `[[peer]]`: a full mesh of that many is 2016 links.
const PEERS_MAX: usize = 64;
/// The longest that a stopping director goes on.
const STOP_DELAY_MAX: Duration = Duration::from_secs(3600);

/// Who this director is.
pub(super) struct Director {
    pub(super) name: Option<DirectorName>,
    pub(super) name_spot: Spot,
    pub(super) datacenter: Option<DatacenterName>,
    pub(super) datacenter_spot: Option<Spot>,
    pub(super) settings: DirectorSettings,
}

pub(super) fn director(root: &Section<'_>) -> Director {
    let section = root.table_or_empty("director");
    if !section.has("name") {
        section.missing("name", "is missing: set it here or by MAITRED__DIRECTOR__NAME");
    }
    let directory = section.path("state_dir");
    if directory.as_ref().is_some_and(|directory| directory.exists() && !directory.is_dir()) {
        section.refuse("state_dir", "is there and is no directory");
    }
    let director = Director {
        name: section.optional("name", parsed(DirectorName::parse)),
        name_spot: section.spot_of("name"),
        datacenter: section.optional("datacenter", parsed(DatacenterName::parse)),
        datacenter_spot: section.has("datacenter").then(|| section.spot_of("datacenter")),
        settings: DirectorSettings {
            state_dir: directory,
            stop_delay: section.or(
                "stop_delay",
                DirectorSettings::default().stop_delay,
                duration(Duration::ZERO..=STOP_DELAY_MAX),
            ),
        },
    };
    section.finish();
    director
}

pub(super) fn log(root: &Section<'_>) -> LogSettings {
    let section = root.table_or_empty("log");
    let default = LogSettings::default();
    let log = LogSettings {
        format: section.or("format", default.format, one_of(&[("text", LogFormat::Text), ("json", LogFormat::Json)])),
        starts: section.or("starts", default.starts, one_of(&[("all", StartLog::All), ("changes", StartLog::Changes)])),
        keys: section.or("keys", default.keys, one_of(&[("hash", KeyLog::Hash), ("clear", KeyLog::Clear)])),
    };
    section.finish();
    log
}

pub(super) fn affinity(root: &Section<'_>) -> AffinitySettings {
    let section = root.table_or_empty("affinity");
    let key_file = section.file("key_file", FileKind::AffinityKeys);
    if !section.has("key_file") {
        let reason = "is not set: cookies are encrypted by a key made at start, and worth nothing after a restart or at another director";
        section.warn("key_file", reason);
    }
    section.finish();
    AffinitySettings { key_file }
}

pub(super) fn ticket(root: &Section<'_>) -> TicketSettings {
    const ALGORITHMS: &[(&str, TicketAlgorithm)] =
        &[("EdDSA", TicketAlgorithm::EdDsa), ("ES256", TicketAlgorithm::Es256)];
    let section = root.table_or_empty("ticket");
    let ticket = TicketSettings {
        algorithm: section.or("algorithm", TicketAlgorithm::default(), one_of(ALGORITHMS)),
        key_file: section.file("key_file", FileKind::TicketKeys),
    };
    section.finish();
    ticket
}

pub(super) fn limits(root: &Section<'_>) -> Limits {
    const TIME: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
    let section = root.table_or_empty("limits");
    let default = Limits::default();
    let count = |key, default: usize, range| {
        let number = section.optional(key, integer(range));
        number.and_then(|number| usize::try_from(number).ok()).unwrap_or(default)
    };
    let limits = Limits {
        header_block: section.or("header_block", default.header_block, size(1 << 10..=1 << 20)),
        headers: count("headers", default.headers, 16..=1000),
        url: section.or("url", default.url, size(256..=1 << 20)),
        body: section.or("body", default.body, size(1 << 10..=64 << 20)),
        beat: section.or("beat", default.beat, size(1 << 10..=64 << 20)),
        json_depth: count("json_depth", default.json_depth, 4..=120),
        idle: section.or("idle", default.idle, duration(TIME)),
        header_timeout: section.or("header_timeout", default.header_timeout, duration(TIME)),
        body_timeout: section.or("body_timeout", default.body_timeout, duration(TIME)),
        connections: count("connections", default.connections, 16..=1_000_000),
    };
    section.finish();
    limits
}

/// A peer and where its name stands.
pub(super) struct ReadPeer {
    pub(super) peer: Peer,
    pub(super) spot: Spot,
}

/// All `[[peer]]`, this director included, one per name.
pub(super) fn peers(root: &Section<'_>) -> BTreeMap<DirectorName, ReadPeer> {
    let mut peers: BTreeMap<DirectorName, ReadPeer> = BTreeMap::new();
    for section in root.tables("peer", PEERS_MAX) {
        let name = section.required("name", parsed(DirectorName::parse));
        let datacenter = section.required("datacenter", parsed(DatacenterName::parse));
        let url = section.required("url", parsed(Origin::parse));
        section.finish();
        if url.as_ref().is_some_and(|url| url.scheme() != Scheme::Https) {
            section.refuse("url", "must begin with https://: directors speak mutual TLS only");
        }
        let (Some(name), Some(datacenter), Some(url)) = (name, datacenter, url) else { continue };
        if let Some(first) = peers.get(&name) {
            section.refuse("name", format!("{name} is already a peer at {}", section.place(first.spot)));
            continue;
        }
        let spot = section.spot_of("name");
        peers.insert(name.clone(), ReadPeer { peer: Peer { name, datacenter, url }, spot });
    }
    peers
}
