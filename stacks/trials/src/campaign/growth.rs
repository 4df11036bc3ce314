//! The growth of the services at rest, between two faults: a process that leaks has more after each of them.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use stacks::process::Process;

use crate::faults::history::Footprint;

/// A new process fills its caches and pools first.
const WARM_UP: Duration = Duration::from_secs(30);
/// A slope of less time, or of fewer samples, says nothing.
const MIN_SPAN: Duration = Duration::from_secs(60);
const MIN_SAMPLES: usize = 5;

/// The bounds of a resource. Both must be exceeded: within minutes, a harmless step extrapolates to a large slope.
struct Bound {
    resource: &'static str,
    per_hour: f64,
    /// What one process has gained.
    gained: f64,
    amount: fn(&Footprint) -> f64,
}

const MEBIBYTE: f64 = (1 << 20) as f64;

const BOUNDS: [Bound; 3] = [
    // The allocator's fragments and the pages of larger databases take some; a leak of 64 bytes an order is 61 MiB.
    Bound { resource: "MiB", per_hour: 32.0, gained: 6.0, amount: |one| one.memory as f64 / MEBIBYTE },
    // At rest, threads do not vary; one for each of 200 faults an hour is far above.
    Bound { resource: "threads", per_hour: 6.0, gained: 2.0, amount: |one| one.threads as f64 },
    // Pooled connections vary by some.
    Bound { resource: "descriptors", per_hour: 12.0, gained: 4.0, amount: |one| one.files as f64 },
];

/// The samples of each process.
#[derive(Default)]
pub(super) struct Growth(BTreeMap<Identity, Vec<(Duration, Footprint)>>);

/// Service, pid and start time.
type Identity = (&'static str, i32, u64);

/// The steepest slope of one resource among the processes of a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Slope {
    pub(super) service: &'static str,
    /// The unit of the resource.
    pub(super) resource: &'static str,
    pub(super) per_hour: f64,
    /// What the process has gained by that slope over its samples.
    pub(super) gained: f64,
    /// Seconds from the first to the last of its samples.
    pub(super) seconds: u64,
    pub(super) samples: usize,
    pub(super) is_leak: bool,
}

impl Growth {
    /// Adds the footprints at rest, this long after the begin.
    pub(super) fn add(&mut self, at: Duration, footprints: Vec<(Process, Footprint)>) {
        for (process, footprint) in footprints {
            let key = (footprint.service, process.pid, process.started);
            self.0.entry(key).or_default().push((at, footprint));
        }
    }

    /// The steepest slopes, of processes that lived long enough.
    pub(super) fn slopes(&self) -> Vec<Slope> {
        let mut steepest: BTreeMap<(&str, &str), Slope> = BTreeMap::new();
        for ((service, ..), samples) in &self.0 {
            for bound in &BOUNDS {
                let Some(slope) = slope(service, samples, bound) else { continue };
                let known = steepest.entry((service, bound.resource)).or_insert_with(|| slope.clone());
                if (slope.is_leak, slope.per_hour) > (known.is_leak, known.per_hour) {
                    *known = slope;
                }
            }
        }
        steepest.into_values().collect()
    }
}

fn slope(service: &'static str, samples: &[(Duration, Footprint)], bound: &Bound) -> Option<Slope> {
    let born = samples.first()?.0;
    let warm: Vec<(f64, f64)> = samples
        .iter()
        .filter(|(at, _)| *at >= born + WARM_UP)
        .map(|(at, footprint)| (at.as_secs_f64(), (bound.amount)(footprint)))
        .collect();
    let span = warm.last()?.0 - warm.first()?.0;
    if warm.len() < MIN_SAMPLES || span < MIN_SPAN.as_secs_f64() {
        return None;
    }
    let per_second = theil_sen(&warm)?;
    let (per_hour, gained) = (per_second * 3600.0, per_second * span);
    Some(Slope {
        service,
        resource: bound.resource,
        per_hour,
        gained,
        seconds: span as u64,
        samples: warm.len(),
        is_leak: per_hour > bound.per_hour && gained > bound.gained,
    })
}

/// The median of the slopes of all pairs: up to a quarter of the points may be far off.
fn theil_sen(points: &[(f64, f64)]) -> Option<f64> {
    let mut slopes = Vec::new();
    for (index, (x, y)) in points.iter().enumerate() {
        slopes.extend(
            points[..index].iter().filter(|(before, _)| before < x).map(|(x0, y0)| (y - y0) / (x - x0)),
        );
    }
    let middle = slopes.len() / 2;
    (!slopes.is_empty()).then(|| *slopes.select_nth_unstable_by(middle, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60;

    /// The growth of one process of payment, with a sample every fifteen seconds.
    fn growth(seconds: u64, footprint: impl Fn(u64) -> (usize, usize, u64)) -> Growth {
        let mut growth = Growth::default();
        for second in (0..seconds).step_by(15) {
            let (threads, files, mebibytes) = footprint(second);
            let footprint = Footprint { service: "payment", threads, files, memory: mebibytes << 20 };
            growth.add(Duration::from_secs(second), vec![(Process { pid: 7, started: 9 }, footprint)]);
        }
        growth
    }

    fn leaks(growth: &Growth) -> Vec<&'static str> {
        growth.slopes().into_iter().filter(|slope| slope.is_leak).map(|slope| slope.resource).collect()
    }

    #[test]
    fn a_process_that_stays_as_it_is_has_no_slope() {
        let growth = growth(13 * MINUTE, |second| (11, 50 + (second as usize * 7) % 9, 30));
        assert_eq!(leaks(&growth), Vec::<&str>::new());
        let slopes = growth.slopes();
        assert_eq!(slopes.len(), 3);
        assert!(slopes.iter().all(|slope| slope.per_hour.abs() < 12.0), "{slopes:?}");
    }

    #[test]
    fn a_leak_of_each_resource_is_found() {
        assert_eq!(leaks(&growth(13 * MINUTE, |second| (11 + second as usize / 60, 50, 30))), ["threads"]);
        assert_eq!(
            leaks(&growth(13 * MINUTE, |second| (11, 50 + second as usize / 60, 30))),
            ["descriptors"]
        );
        assert_eq!(leaks(&growth(13 * MINUTE, |second| (11, 50, 30 + second / 60))), ["MiB"]);
    }

    #[test]
    fn warming_up_and_one_burst_are_no_leaks() {
        let warming = growth(13 * MINUTE, |second| (4 + second.min(25) as usize, 50, 10 + second.min(25)));
        assert_eq!(leaks(&warming), Vec::<&str>::new());
        let burst = growth(13 * MINUTE, |second| if second == 300 { (60, 400, 90) } else { (11, 50, 30) });
        assert_eq!(leaks(&burst), Vec::<&str>::new());
        assert!(burst.slopes().iter().all(|slope| slope.per_hour == 0.0));
    }

    #[test]
    fn a_harmless_step_of_a_short_life_is_no_leak() {
        assert_eq!(leaks(&growth(3 * MINUTE, |second| (11, 50, 30 + second / 60))), Vec::<&str>::new());
    }

    #[test]
    fn processes_are_not_joined_and_the_steepest_counts() {
        let mut growth = growth(13 * MINUTE, |_| (11, 50, 30));
        for second in (0..13 * MINUTE).step_by(15) {
            let memory = (90 + second / 60) << 20;
            let footprint = Footprint { service: "payment", threads: 11, files: 50, memory };
            let at = Duration::from_secs(13 * MINUTE + second);
            growth.add(at, vec![(Process { pid: 8, started: 99 }, footprint)]);
        }
        let slopes = growth.slopes();
        let memory = slopes.iter().find(|slope| slope.resource == "MiB").unwrap();
        assert!((55.0..65.0).contains(&memory.per_hour), "{memory:?}");
        assert_eq!(leaks(&growth), ["MiB"]);
    }

    #[test]
    fn a_short_life_has_no_slope() {
        assert_eq!(growth(80, |_| (11, 50, 30)).slopes(), []);
    }
}
