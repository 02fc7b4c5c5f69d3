//! A bounded number of seeds, new for nobody: the long run takes others.

const SEEDS: u64 = 120;

#[test]
fn no_seed_breaks_an_invariant() {
    let broken: Vec<String> =
        (1..=SEEDS).filter_map(|seed| maitred_sim::run(seed, None).err()).map(|broken| broken.to_string()).collect();
    assert!(broken.is_empty(), "{} of {SEEDS} seeds broke:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn a_seed_replays_to_the_letter() {
    let history = |seed| {
        let mut world = maitred_sim::world::World::new(maitred_sim::plan::Plan::of(seed));
        let mut history = String::new();
        while world.step() {
            for seen in world.seen() {
                history.push_str(&format!("{} {seen:?}\n", world.now));
            }
        }
        history
    };
    assert!(history(5) == history(5));
}
