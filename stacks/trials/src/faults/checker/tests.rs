//! Histories that are wrong in one way each, beside one that is right.

mod signals;

use super::*;
use crate::faults::history::{Attempt, Backlog, Email, Order, Recovery};

const ADA: &str = "o1@canary.example";
const BEN: &str = "o2@canary.example";

fn operation(recipient: &str, amount: &str, now: Instant, answers: Vec<Answer>) -> Operation {
    let attempt =
        |answer| Attempt { sent: now, ended: now + Duration::from_millis(5), answer, failed_trace: None };
    Operation {
        recipient: recipient.into(),
        amount: amount.into(),
        currency: "USD",
        wanted: Outcome::Paid,
        attempts: answers.into_iter().map(attempt).collect(),
        altered: Vec::new(),
    }
}

fn email(to: &str, order: &str, amount: &str, at: Instant) -> Email {
    let text = format!("Thank you! We have received {amount} USD.\r\n\r\nYour order {order}:");
    Email { to: vec![to.into()], message_id: format!("<{order}>"), order: order.into(), text, at }
}

fn paid(order: &str) -> Answer {
    Answer::Settled(Outcome::Paid, order.into())
}

/// Ada was told nothing at first and paid order a; Ben paid order b; a third was refused.
fn right() -> History {
    let now = Instant::now();
    let later = now + Duration::from_secs(1);
    let order = |amount: &str| Order {
        outcome: Outcome::Paid,
        amount: amount.into(),
        currency: "USD".into(),
        published: true,
    };
    History {
        operations: vec![
            operation(ADA, "1.00", now, vec![Answer::Unclear("reset".into()), paid("a"), paid("a")]),
            operation(BEN, "2.00", now, vec![paid("b")]),
            operation(
                "o3@canary.example",
                "3.00",
                now,
                vec![Answer::Refused("/problems/unavailable".into())],
            ),
        ],
        orders: [("a".to_owned(), order("1.00")), ("b".to_owned(), order("2.00"))].into(),
        emails: vec![email(ADA, "a", "1.00", later), email(BEN, "b", "2.00", later)],
        declared: BTreeMap::new(),
        kills: Vec::new(),
        unfailed: BTreeSet::new(),
        alarms: Vec::new(),
        dead_letters: BTreeSet::new(),
        poison: vec![b"x".to_vec(), b"y".to_vec()],
        parked: vec![b"y".to_vec(), b"x".to_vec()],
        leaks: Vec::new(),
        bad_endings: Vec::new(),
        footprints: vec![Footprint { service: "payment", threads: 12, files: 60, memory: 50 << 20 }],
        signals: vec!["up == 0 (payment)".into()],
        explained: BTreeSet::new(),
        hidden: None,
        clients: 16,
        asking: 8,
        at_rest: vec![Footprint { service: "payment", threads: 12, files: 40, memory: 40 << 20 }],
        cores: 2,
        recovery: Recovery {
            healed: later,
            first_order: Some(Duration::from_millis(200)),
            backlog: Backlog::default(),
        },
    }
}

fn order_a(history: &mut History) -> &mut Order {
    history.orders.get_mut("a").unwrap()
}

/// The invariants that are violated after this change, with the counts of lost and doubled.
fn broken(change: impl FnOnce(&mut History)) -> (Vec<&'static str>, usize, usize) {
    let mut history = right();
    change(&mut history);
    let verdict = check(&history);
    let violated: BTreeSet<_> = verdict.violations.iter().map(|violation| violation.invariant).collect();
    (violated.into_iter().collect(), verdict.lost, verdict.doubled)
}

#[test]
fn a_right_history_has_no_violations() {
    assert_eq!(check(&right()), Verdict { accepted: 2, ..Verdict::default() });
}

#[test]
fn an_accepted_order_without_a_record_is_lost() {
    let forgotten = broken(|history| {
        history.orders.remove("a");
        history.emails.remove(0);
    });
    assert_eq!(forgotten, (vec!["K1", "K6"], 1, 0));
}

#[test]
fn another_amount_or_outcome_is_a_violation() {
    let over_another = |history: &mut History| order_a(history).amount = "1.01".into();
    assert_eq!(broken(over_another), (vec!["K1"], 0, 0));
    assert_eq!(broken(|history| history.operations[0].wanted = Outcome::Declined).0, ["K1", "K6"]);
}

#[test]
fn an_undocumented_answer_is_a_violation() {
    let answer = Answer::Undocumented("500".into());
    assert_eq!(broken(|history| history.operations[2].attempts[0].answer = answer).0, ["K1", "K14"]);
}

#[test]
fn an_effect_of_a_refused_order_is_a_violation() {
    let to_the_refused = |history: &mut History| {
        history.emails.push(email("o3@canary.example", "c", "3.00", history.recovery.healed))
    };
    assert_eq!(broken(to_the_refused), (vec!["K2"], 0, 0));
}

#[test]
fn an_email_to_an_unknown_address_is_a_violation() {
    let to_another = |history: &mut History| {
        history.emails.push(email("x@canary.example", "c", "3.00", history.recovery.healed))
    };
    assert_eq!(broken(to_another), (vec!["K2"], 0, 0));
}

#[test]
fn two_orders_under_one_key_are_doubled() {
    let answered = |history: &mut History| history.operations[0].attempts[2].answer = paid("c");
    assert_eq!(broken(answered), (vec!["K3"], 0, 1));
    let mailed =
        |history: &mut History| history.emails.push(email(ADA, "c", "1.00", history.recovery.healed));
    assert_eq!(broken(mailed), (vec!["K6"], 0, 1));
}

#[test]
fn one_order_for_two_customers_is_a_violation() {
    let shared = broken(|history| history.operations[1].attempts[0].answer = paid("a"));
    assert_eq!(shared, (vec!["K1", "K3", "K6"], 1, 1));
}

#[test]
fn a_key_accepted_with_another_body_is_a_violation() {
    assert_eq!(broken(|history| history.operations[0].altered.push(paid("a"))), (vec!["K3"], 0, 0));
    let refused = Answer::Refused(KEY_REUSED.into());
    assert_eq!(broken(|history| history.operations[0].altered.push(refused)), (vec![], 0, 0));
}

#[test]
fn a_key_of_another_client_is_a_violation() {
    let taken = Answer::Refused(KEY_REUSED.into());
    assert_eq!(broken(|history| history.operations[2].attempts[0].answer = taken).0, ["K3"]);
}

#[test]
fn an_event_or_a_payment_alone_is_a_violation() {
    assert_eq!(broken(|history| drop(history.orders.remove("a"))), (vec!["K4"], 1, 0));
    assert_eq!(broken(|history| order_a(history).published = false), (vec!["K5"], 0, 0));
}

#[test]
fn a_backlog_is_named_by_its_place() {
    let left = |history: &mut History| history.recovery.backlog = Backlog([("outbox".into(), 3)].into());
    assert_eq!(broken(left), (vec!["K5"], 0, 0));
}

#[test]
fn parked_messages_equal_the_unreadable_ones() {
    assert_eq!(broken(|history| drop(history.parked.pop())), (vec!["K5"], 0, 0));
    assert_eq!(broken(|history| history.parked[0].push(0)), (vec!["K5"], 0, 0));
    assert_eq!(broken(|history| history.parked.push(b"z".to_vec())), (vec!["K5"], 0, 0));
}

#[test]
fn an_order_without_an_email_or_dead_letter_is_lost() {
    assert_eq!(broken(|history| drop(history.emails.remove(0))), (vec!["K6"], 1, 0));
    let held = |history: &mut History| {
        history.emails.remove(0);
        history.dead_letters.insert("a".into());
    };
    assert_eq!(broken(held), (vec!["K5"], 0, 0));
}

#[test]
fn a_second_email_needs_a_declaration() {
    let again = |history: &mut History| history.emails.push(history.emails[0].clone());
    assert_eq!(broken(again), (vec!["K6"], 0, 1));
    let declared = |history: &mut History| {
        again(history);
        history.declared.insert("a".into(), 1);
    };
    assert_eq!(broken(declared), (vec![], 0, 0));
    let too_often = |history: &mut History| {
        declared(history);
        again(history);
    };
    assert_eq!(broken(too_often), (vec!["K6"], 0, 1));
    let under_another_id = |history: &mut History| {
        declared(history);
        history.emails[2].message_id = "<other>".into();
    };
    assert_eq!(broken(under_another_id), (vec!["K6"], 0, 1));
}

#[test]
fn an_email_must_name_its_customer_and_amount() {
    let mixed_up = |history: &mut History| {
        let (ada, ben) = (history.emails[0].to.clone(), history.emails[1].to.clone());
        (history.emails[0].to, history.emails[1].to) = (ben, ada);
    };
    assert_eq!(broken(mixed_up), (vec!["K6"], 2, 2));
    let copied = |history: &mut History| history.emails[0].to.push(BEN.into());
    assert_eq!(broken(copied), (vec!["K6"], 1, 0));
    let wrong = |history: &mut History| history.emails[0].text = "We have received 9.00 USD.".into();
    assert_eq!(broken(wrong), (vec!["K6"], 0, 0));
}

#[test]
fn an_email_before_its_order_is_a_violation() {
    let early = |history: &mut History| {
        let sent = history.operations[0].attempts[0].sent;
        history.operations[0].attempts[0].sent = sent + Duration::from_secs(10);
    };
    assert_eq!(broken(early), (vec!["K7"], 0, 0));
}

#[test]
fn no_recovery_and_a_bad_ending_are_violations() {
    assert_eq!(broken(|history| history.recovery.first_order = None).0, ["K14"]);
    assert_eq!(broken(|history| history.recovery.first_order = Some(Duration::from_secs(60))).0, ["K14"]);
    assert_eq!(broken(|history| history.bad_endings.push("payment ended with 1".into())).0, ["K14"]);
    let unclear = Answer::Unclear("no answer".into());
    assert_eq!(broken(|history| history.operations[2].attempts[0].answer = unclear).0, ["K14"]);
}
