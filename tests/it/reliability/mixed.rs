//! Everything at once, from a seed: row 36. And the crowd that returns after a failover: rows 22 and 23.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::sites::{DIRECTORS, EAST, Sites, WEST, names_of};
use crate::support::wait;

const ALL: [&str; 4] = ["east-1", "east-2", "west-1", "west-2"];
const SERVERS: [&str; 6] = ["ua1", "ua2", "ua3", "ua4", "ua5", "ua6"];
const HOSTS: [&str; 6] = ["east-1", "east-2", "east-servers", "west-1", "west-2", "west-servers"];
const ROUNDS: usize = 10;
const KEYS: usize = 24;

/// A small generator: the same seed, the same faults.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// What is broken now.
#[derive(Default)]
struct Broken {
    directors_dead: BTreeSet<&'static str>,
    directors_frozen: BTreeSet<&'static str>,
    servers_frozen: BTreeSet<&'static str>,
}

impl Broken {
    /// One more fault, or one less.
    fn act(&mut self, sites: &mut Sites, random: &mut Random) -> String {
        match random.below(10) {
            0 => {
                sites.network().cut(&EAST, &WEST);
                "the sites are cut".into()
            }
            1 => {
                sites.network().drop_from_to(&WEST, &EAST);
                "the east does not hear the west".into()
            }
            2 => {
                let (one, others) = (random.of(&ALL), HOSTS);
                let others: Vec<&'static str> = others.into_iter().filter(|other| *other != one).collect();
                sites.network().cut(&[one], &others);
                format!("{one} is cut off")
            }
            3 => {
                sites.network().lose(&EAST, &WEST, 150);
                sites.network().lose(&WEST, &EAST, 150);
                "15 % of the packets between the sites are lost".into()
            }
            4 | 5 => {
                let name = random.of(&ALL);
                // A frozen one is killed all the same.
                self.directors_frozen.remove(name);
                if self.directors_dead.insert(name) {
                    sites.director_mut(name).kill();
                }
                format!("{name} is killed")
            }
            6 => {
                let name = random.of(&ALL);
                if !self.directors_dead.contains(name) && self.directors_frozen.insert(name) {
                    sites.director(name).freeze();
                }
                format!("{name} is stopped")
            }
            7 => {
                let name = random.of(&SERVERS);
                self.servers_frozen.remove(name);
                sites.server_mut(name).kill();
                format!("{name} is killed")
            }
            8 => {
                let name = random.of(&SERVERS);
                if sites.server(name).lives() && self.servers_frozen.insert(name) {
                    sites.server(name).freeze();
                }
                format!("{name} is stopped")
            }
            _ => {
                self.mend(sites);
                "all is mended".into()
            }
        }
    }

    fn mend(&mut self, sites: &mut Sites) {
        sites.network().heal();
        for name in std::mem::take(&mut self.directors_frozen) {
            sites.director(name).thaw();
        }
        for name in std::mem::take(&mut self.servers_frozen) {
            sites.server(name).thaw();
        }
        ["east", "west"].iter().for_each(|site| sites.start_servers(site));
        for name in std::mem::take(&mut self.directors_dead) {
            sites.director_mut(name).start_again();
        }
    }

    fn answering(&self) -> Vec<&'static str> {
        let away = |name: &&str| self.directors_dead.contains(name) || self.directors_frozen.contains(name);
        ALL.into_iter().filter(|name| !away(name)).collect()
    }
}

/// A start that may be refused, but only as it should be: with a moment at which to come again.
fn ask(sites: &Sites, at: &str, key: &str) -> Option<(String, String)> {
    let answer = sites.ask(at, key);
    if answer.status == 503 || answer.status == 429 {
        assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{key} at {at}: {answer:?}");
        return None;
    }
    assert!(answer.status == 200 || answer.status == 201, "{key} at {at}: {answer:?}");
    let seat = answer.json();
    Some((seat["session"].as_str()?.to_owned(), seat["server"]["name"].as_str()?.to_owned()))
}

#[test]
fn row_36_a_random_mix_of_faults_loses_nobody_and_ends_in_agreement() {
    let seed = std::env::var("MAITRED_MIX_SEED").map_or_else(
        |_| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() << 16 | u64::from(std::process::id()),
        |text| text.parse().expect("a seed"),
    );
    println!("MAITRED_MIX_SEED={seed}");
    let mut random = Random(seed | 1);
    let mut sites = Sites::build(|plan| plan);
    let keys: Vec<String> = (0..KEYS).map(|number| format!("agent-{number}")).collect();
    // Every server that a key was ever told, and its sessions.
    let mut book: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
    for (key, at) in keys.iter().zip(ALL.iter().cycle()) {
        book.entry(key).or_default().push(ask(&sites, at, key).expect("all is well"));
    }
    let mut broken = Broken::default();
    for round in 0..ROUNDS {
        let what = broken.act(&mut sites, &mut random);
        println!("{round}: {what}");
        for _ in 0..4 {
            let (key, answering) = (random.of(&keys.iter().collect::<Vec<_>>()), broken.answering());
            if !answering.is_empty()
                && let Some(told) = ask(&sites, random.of(&answering), key)
            {
                book.entry(key).or_default().push(told);
            }
        }
        thread::sleep(Duration::from_millis(200 + u64::try_from(random.below(1500)).unwrap()));
    }
    broken.mend(&mut sites);
    sites.wait_until_whole();
    for (key, told) in book {
        let agreed = wait::for_some(&format!("all agree about {key}, which was told {told:?}"), || {
            let views: BTreeSet<_> =
                ALL.iter().map(|at| sites.known(at, key)).map(|it| it.map(|it| (it.session, it.server))).collect();
            if views.len() == 1 { views.into_iter().next().flatten() } else { None }
        });
        assert!(told.contains(&agreed), "{key} was told {told:?} and is {agreed:?}");
        for at in ALL {
            assert_eq!(ask(&sites, at, key).as_ref(), Some(&agreed), "{key} at {at}");
        }
    }
    for (name, _) in DIRECTORS {
        wait::for_equal(&format!("the role at {name} in the end"), &"east".to_owned(), || sites.active(name));
    }
}

#[test]
fn rows_22_and_23_the_crowd_that_returns_after_a_failover_is_paced_and_spread() {
    const CROWD: usize = 150;
    const RATE: usize = 20;
    let mut sites =
        Sites::build(|plan| plan.with("pool.failover", &format!("failback = \"1h\"\nrelogin_rate = {RATE}")));
    sites.crowd(&ALL, "agent", CROWD);
    sites.wait_until_all_are_known(&["west-1"]);
    sites.kill_servers("east");
    sites.wait_for_active(&ALL, "west");
    let keys: Vec<String> = sites.told().keys().cloned().collect();
    // All at once at two directors, and who is sent away comes back at once, whatever it was told.
    let (begun, mut refused, mut seats) = (Instant::now(), 0_usize, BTreeMap::new());
    let mut waiting: Vec<&String> = keys.iter().collect();
    while !waiting.is_empty() {
        let mut again = Vec::new();
        for (number, key) in waiting.iter().enumerate() {
            match ask(&sites, ["west-1", "west-2"][number % 2], key) {
                Some((_, server)) => {
                    seats.insert(*key, server);
                }
                None => {
                    refused += 1;
                    again.push(*key);
                }
            }
        }
        waiting = again;
    }
    let homes: BTreeSet<&str> = names_of("west").collect();
    let mut spread: BTreeMap<&str, usize> = BTreeMap::new();
    for server in seats.values() {
        assert!(homes.contains(server.as_str()), "{server}");
        *spread.entry(server).or_default() += 1;
    }
    let took = begun.elapsed();
    println!("{refused} were told to come later; {took:?}; {spread:?}");
    // Each of the two lets half of the rate in, after a second's worth at once.
    let least = Duration::from_secs(u64::try_from((CROWD - RATE) / RATE).unwrap()) / 2;
    assert!(took > least, "{CROWD} in {took:?} at {RATE} a second");
    let most = CROWD * 5 / 4 / 3 + 8;
    assert!(spread.values().all(|sessions| *sessions <= most), "{spread:?}");
    for (number, (key, server)) in seats.iter().enumerate() {
        let again = ask(&sites, ALL[number % 4], key).map(|(_, server)| server);
        assert_eq!(again.as_ref(), Some(server), "who has come back is kept and not paced");
    }
}
