//! The time in which work piles up and no metric shows it: a gauge at rest lies then.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::faults::history::History;

/// An e-mail that comes later is late.
const LATE: Duration = Duration::from_secs(2);
/// Late e-mails at once: more than the number from which a gauge of a backlog counts as unusual.
const MANY: usize = 150;
/// For how long there may be so many before a metric shows it.
const MAX_SILENCE: Duration = Duration::from_secs(5);

/// The longest time, beyond what is allowed, in which the e-mails of many accepted orders were late while no metric showed
/// anything unusual.
pub(super) fn longest(history: &History) -> Option<Duration> {
    let (mut late, mut since, mut longest) = (0_usize, None, Duration::ZERO);
    let mut alarms = history.alarms.iter().peekable();
    for (at, change) in changes(history) {
        while let Some(alarm) = alarms.next_if(|alarm| **alarm <= at) {
            if let Some(begun) = since.filter(|begun| begun <= alarm) {
                longest = longest.max(*alarm - begun);
                since = Some(*alarm);
            }
        }
        late = late.saturating_add_signed(change);
        longest = longest.max(since.map_or(Duration::ZERO, |begun| at - begun));
        since = (late > MANY).then(|| since.unwrap_or(at));
    }
    Some(longest).filter(|longest| *longest > MAX_SILENCE)
}

/// When the number of late e-mails changed, and by how much.
fn changes(history: &History) -> Vec<(Instant, isize)> {
    let mut served: BTreeMap<&str, Instant> = BTreeMap::new();
    for email in &history.emails {
        for recipient in &email.to {
            served.entry(recipient).or_insert(email.at);
        }
    }
    let mut changes = Vec::new();
    for operation in &history.operations {
        let Some(due) = operation.settled_at().map(|settled| settled + LATE) else { continue };
        let served = served.get(&*operation.recipient).copied();
        if served.is_none_or(|served| served > due) {
            changes.push((due, 1));
            // One that never came is another violation.
            changes.extend(served.map(|served| (served, -1)));
        }
    }
    changes.sort_unstable();
    changes
}
