//! K12, K13 and K15: what the services say, and what they take.

use super::*;

#[test]
fn leaks_and_large_footprints_are_violations() {
    assert_eq!(broken(|history| history.leaks.push("an address in a log".into())).0, ["K12"]);
    assert_eq!(broken(|history| history.footprints[0].memory = 1 << 30).0, ["K13"]);
}

#[test]
fn descriptors_that_stay_are_a_violation() {
    let at_rest = |files| broken(|history| history.at_rest[0].files = files).0;
    // Payment keeps two for each of 16 clients.
    assert_eq!((at_rest(74), at_rest(74 + 22)), (vec![], vec!["K13"]));
}

#[test]
fn a_leak_every_eight_seconds_of_three_minutes_is_a_violation() {
    const LEAKED: usize = 3 * 60 / 8;
    // The peaks of a run without a leak.
    let peak =
        |history: &mut History| (history.footprints[0].threads, history.footprints[0].files) = (12, 68);
    assert_eq!(broken(peak), (vec![], 0, 0));
    let threads = |history: &mut History| {
        peak(history);
        history.footprints[0].threads += LEAKED;
    };
    assert_eq!(broken(threads), (vec!["K13"], 0, 0));
    let files = |history: &mut History| {
        peak(history);
        history.footprints[0].files += LEAKED;
    };
    assert_eq!(broken(files), (vec!["K13"], 0, 0));
}

#[test]
fn the_gateway_may_have_a_thread_for_each_core() {
    let threads = |history: &mut History| history.footprints[0].threads = 50;
    assert_eq!(broken(threads).0, ["K13"]);
    let on_many_cores = |history: &mut History| {
        threads(history);
        history.cores = 32;
    };
    assert_eq!(broken(on_many_cores), (vec![], 0, 0));
}

#[test]
fn a_fault_that_no_signal_shows_is_a_violation() {
    let unseen = |history: &mut History| history.signals.clear();
    assert_eq!(broken(unseen), (vec!["K15"], 0, 0));
    let by_design = |history: &mut History| {
        unseen(history);
        history.hidden = Some("nothing is broken");
    };
    assert_eq!(broken(by_design), (vec![], 0, 0));
}

#[test]
fn a_failure_without_a_line_about_its_trace_is_a_violation() {
    let failed = |history: &mut History| history.operations[2].attempts[0].failed_trace = Some("t".into());
    assert_eq!(broken(failed), (vec!["K15"], 0, 0));
    let explained = |history: &mut History| {
        failed(history);
        history.explained.insert("t".into());
    };
    assert_eq!(broken(explained), (vec![], 0, 0));
}

#[test]
fn the_line_of_the_last_answer_of_a_killed_process_may_be_missing() {
    let killed_after = |milliseconds| {
        move |history: &mut History| {
            let last = &mut history.operations[2].attempts[0];
            last.failed_trace = Some("t".into());
            history.kills = vec![last.ended + Duration::from_millis(milliseconds)];
        }
    };
    assert_eq!(broken(killed_after(100)), (vec![], 0, 0));
    assert_eq!(broken(killed_after(1000)), (vec!["K15"], 0, 0));
}

#[test]
fn a_failure_whose_root_span_did_not_fail_is_a_violation() {
    let failed = |history: &mut History| {
        history.operations[2].attempts[0].failed_trace = Some("t".into());
        history.explained.insert("t".into());
        history.unfailed.insert("u".into());
    };
    assert_eq!(broken(failed), (vec![], 0, 0));
    let hidden = |history: &mut History| {
        failed(history);
        history.unfailed.insert("t".into());
    };
    assert_eq!(broken(hidden), (vec!["K15"], 0, 0));
}

/// 200 orders that wait for their e-mails for so long, and a metric that moves at these seconds.
fn piled_up(seconds: u64, alarms: &'static [u64]) -> (Vec<&'static str>, usize, usize) {
    broken(move |history| {
        let now = Instant::now();
        for number in 0..200 {
            let (to, id) = (format!("p{number}@canary.example"), format!("p{number}"));
            let amount = format!("{number}.77");
            history.operations.push(operation(&to, &amount, now, vec![paid(&id)]));
            history.emails.push(email(&to, &id, &amount, now + Duration::from_secs(seconds)));
            let order = Order { outcome: Outcome::Paid, amount, currency: "USD".into(), published: true };
            history.orders.insert(id, order);
        }
        history.alarms = alarms.iter().map(|second| now + Duration::from_secs(*second)).collect();
    })
}

#[test]
fn work_that_piles_up_without_a_signal_is_a_violation() {
    assert_eq!(piled_up(6, &[]), (vec![], 0, 0));
    assert_eq!(piled_up(8, &[]), (vec!["K15"], 0, 0));
    assert_eq!(piled_up(11, &[6, 10]), (vec![], 0, 0));
    assert_eq!(piled_up(14, &[3, 4, 5]), (vec!["K15"], 0, 0));
    assert_eq!(piled_up(8, &[1, 20]), (vec!["K15"], 0, 0));
}
