//! Each bug that can be planted now is found: a simulator that finds none of them would prove nothing.

use maitred_core::fault::Fault;

/// Seeds that are tried for each bug.
const SEEDS: u64 = 80;

fn found(fault: Fault) {
    let first = (1..=SEEDS).find_map(|seed| maitred_sim::run(seed, Some(fault)).err());
    assert!(first.is_some(), "{} was not found in {SEEDS} seeds", fault.as_str());
}

#[test]
fn clamp_on_read_is_found() {
    found(Fault::ClampOnRead);
}

#[test]
fn records_dropped_by_sequence_are_found() {
    found(Fault::DropBySequence);
}

#[test]
fn a_freeze_without_a_second_opinion_is_found() {
    found(Fault::FreezeAlone);
}

#[test]
fn a_link_as_a_veto_is_found() {
    found(Fault::LinkVeto);
}

#[test]
fn an_order_by_generation_first_is_found() {
    found(Fault::GenerationFirst);
}

#[test]
fn a_fall_counter_that_is_off_by_one_is_found() {
    found(Fault::FallEarly);
}

#[test]
fn a_failover_without_delay_is_found() {
    found(Fault::NoDelay);
}

#[test]
fn a_confirm_that_moves_the_stamp_is_found() {
    found(Fault::ConfirmStamps);
}

#[test]
fn a_director_that_sleepwalks_is_found() {
    found(Fault::Sleepwalk);
}

#[test]
fn a_director_that_hears_no_beats_of_others_is_found() {
    found(Fault::HearNoBeats);
}
