//! A machine that sleeps with the director on it: row 11. The kernel cannot be suspended here, so its clocks are imitated.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::sites::Sites;
use crate::support::wait;

const BOTH: [&str; 2] = ["east-1", "west-1"];
/// More than what a director takes for a late tick, less than a difference of clocks that peers settle (R2).
const SLEPT: i64 = 45;

/// The clocks of a machine, told to one process.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/reliability/suspended.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(folder.path().join("clocks.so"))
            .arg(source)
            .status();
        assert!(built.unwrap().success());
        fs::write(folder.path().join("slept"), 0_i64.to_ne_bytes()).unwrap();
        Self(folder)
    }

    /// Shell commands that put a process on it.
    fn preparation(&self) -> String {
        let folder = self.0.path().display();
        format!("export MAITRED_TEST_SLEPT={folder}/slept LD_PRELOAD={folder}/clocks.so")
    }

    /// It was suspended for so many seconds, in which nothing ran.
    fn was_suspended_for(&self, seconds: i64) {
        // The file stays as long as it is: the process looks into it all the time.
        let mut file = OpenOptions::new().write(true).open(self.0.path().join("slept")).unwrap();
        file.write_all(&seconds.to_ne_bytes()).unwrap();
    }
}

#[test]
fn row_11_a_director_whose_machine_was_suspended_is_cold_until_it_has_heard_of_its_peers() {
    let machine = Machine::new();
    let mut sites = Sites::without_directors(|plan| plan);
    sites.add("east-1", |plan| plan.prepared_by(&machine.preparation()));
    sites.add("west-1", |plan| plan);
    sites.wait_until_whole();
    sites.crowd(&BOTH, "before", 12);
    sites.wait_until_all_are_known(&BOTH);
    let director = sites.director("east-1");
    let lost_time = |at: &str| sites.director(at).lines_with(&["event=\"time_lost\""]);
    let links = || sites.director("west-1").lines_with(&["event=\"peer_up\"", "peer=east-1"]).len();
    let (lost_before, links_before) = (lost_time("east-1"), links());
    assert_eq!(lost_before, Vec::<String>::new());

    machine.was_suspended_for(SLEPT);
    wait::for_equal("it says that it lost time", &1, || lost_time("east-1").len());
    // Links that stood may say what is long past, so they were closed and opened anew.
    wait::until("it is linked anew", || links() > links_before);
    wait::for_equal("it is ready", &200, || director.client().get(&director.url("/health/ready")).status);
    // Its own clock slept no longer than the machine's.
    assert_eq!(director.metric("maitred_clock_jump_seconds"), Some(0.0));

    sites.wait_until_whole();
    BOTH.iter().for_each(|at| sites.nobody_moves(at));
    sites.crowd(&BOTH, "after", 6);
    sites.wait_until_all_are_known(&BOTH);
    for at in BOTH {
        assert_eq!(sites.all_moves(at), Vec::<String>::new(), "{at}");
        assert_eq!(sites.director(at).lines_with(&["event=\"server_down\""]), Vec::<String>::new(), "{at}");
    }
    assert_eq!(sites.director("west-1").lines_with(&["event=\"time_lost\""]), Vec::<String>::new());
}
