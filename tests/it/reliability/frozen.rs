//! A director that is stopped for longer than its peers wait for it, and goes on: row 11.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::sites::{Sites, site_of};
use crate::support::wait;

const OTHERS: [&str; 3] = ["east-2", "west-1", "west-2"];
const ALL: [&str; 4] = ["east-1", "east-2", "west-1", "west-2"];
/// More than what a director takes for a late tick.
const STOPPED: Duration = Duration::from_secs(12);

#[test]
fn row_11_a_director_that_goes_on_learns_what_happened_before_it_answers_whoever_waited() {
    let mut sites = Sites::build(|plan| plan.with("pool.failover", "failback = \"manual\""));
    sites.crowd(&ALL, "before", 8);
    sites.wait_until_all_are_known(&ALL);
    let stopped = Instant::now();
    sites.director("east-1").freeze();

    // The world goes on: its servers die, the role moves, everybody is somewhere else.
    sites.kill_servers("east");
    sites.wait_for_active(&OTHERS, "west");
    for (number, at) in (0..8).zip(OTHERS.iter().cycle()) {
        let now = sites.start(at, &format!("before-{number}"));
        assert_eq!((site_of(&now.server), now.generation), ("west", 2));
    }
    sites.wait_until_all_are_known(&OTHERS);
    let left = STOPPED.saturating_sub(stopped.elapsed());
    std::thread::sleep(left);

    // Agents whose connections it takes only when it goes on: with and without a key that it knows.
    let director = sites.director("east-1");
    let url = director.url("/maitred/v1/sessions");
    let answers: Vec<_> = std::thread::scope(|scope| {
        let ask = |body: serde_json::Value| {
            let url = &url;
            scope.spawn(move || director.client().post_json(url, &body))
        };
        let known = (0..8).map(|number| json!({"pool": "ua", "key": format!("before-{number}")}));
        let new = (0..4).map(|number| json!({"pool": "ua", "key": format!("fresh-{number}")}));
        let nameless = (0..4).map(|_| json!({"pool": "ua"}));
        let waiting: Vec<_> = known.chain(new).chain(nameless).map(ask).collect();
        // They are in its backlog, or will be a moment later: either way it must not answer from what it knew.
        std::thread::sleep(Duration::from_millis(300));
        director.thaw();
        waiting.into_iter().map(|waiting| waiting.join().unwrap()).collect()
    });
    for (number, answer) in answers.iter().enumerate() {
        assert!((200..300).contains(&answer.status), "{number}: {answer:?}");
        let seat = answer.json();
        assert_eq!(seat["server"]["datacenter"], "west", "{number}: {seat}");
        if let Some(told) = sites.told().get(&format!("before-{number}")) {
            assert_eq!((&seat["server"]["name"], &seat["affinity"]), (&json!(told.server), &json!("kept")), "{seat}");
        }
    }
    // It said what had happened to it, and it is one of them again.
    wait::for_equal("it has said that it lost time", &1, || director.lines_with(&["event=\"time_lost\""]).len());
    wait::for_equal("it is ready", &200, || director.client().get(&director.url("/health/ready")).status);
    sites.wait_for_active(&ALL, "west");
    let moves = |at: &str| ["isolated", "failback"].iter().map(|cause| sites.moves(at, cause)).sum::<usize>();
    assert_eq!(ALL.iter().map(|at| moves(at)).sum::<usize>(), 0, "nobody took it for a reason to move anything back");

    sites.start_servers("east");
    sites.wait_until_whole();
    sites.wait_until_all_are_known(&ALL);
    ALL.iter().for_each(|at| sites.nobody_moves(at));
    for at in OTHERS {
        assert_eq!(sites.director(at).lines_with(&["event=\"time_lost\""]), Vec::<String>::new(), "{at}");
    }
}
