//! What the clients saw, in histograms of bounded size.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;

use super::mix::Sort;
use crate::style::{self, Style};

/// Microseconds: the shortest and the longest latency that are told apart, with three digits.
const BOUNDS: (u64, u64) = (1, 120_000_000);
const DIGITS: u8 = 3;

/// All answers so far.
pub(super) struct Record {
    by_sort: BTreeMap<Sort, Seen>,
    /// Good orders since the last look.
    recent: Histogram<u64>,
    /// Orders of every sort since the last look.
    answered: u64,
    /// How often each answer came that should not have.
    otherwise: BTreeMap<String, u64>,
}

struct Seen {
    latencies: Histogram<u64>,
    otherwise: u64,
}

impl Record {
    /// Nothing yet.
    pub(super) fn new() -> Result<Self> {
        let histogram = Histogram::new_with_bounds(BOUNDS.0, BOUNDS.1, DIGITS);
        let recent = histogram.context("a histogram can't have these bounds")?;
        let seen = |sort| (sort, Seen { latencies: recent.clone(), otherwise: 0 });
        let by_sort = Sort::ALL.map(seen).into();
        Ok(Self { by_sort, recent, answered: 0, otherwise: BTreeMap::new() })
    }

    /// Adds an answer, or why there is not the one that there must be.
    pub(super) fn add(&mut self, sort: Sort, took: Duration, answer: Result<(), String>) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.answered += 1;
        let Some(seen) = self.by_sort.get_mut(&sort) else { return };
        // A refusal takes its time, too: to leave it out would flatter the rest.
        seen.latencies.saturating_record(micros);
        if sort == Sort::Good {
            self.recent.saturating_record(micros);
        }
        if let Err(reason) = answer {
            seen.otherwise += 1;
            *self.otherwise.entry(reason).or_default() += 1;
        }
    }

    pub(super) fn sent(&self) -> u64 {
        self.by_sort.values().map(|seen| seen.latencies.len()).sum()
    }

    /// Whether everything was answered as it must be.
    pub(super) fn is_clean(&self) -> bool {
        self.otherwise.is_empty()
    }

    /// How many good orders took at least so long.
    #[cfg(test)]
    pub(super) fn slower_than(&self, took: Duration) -> u64 {
        let latencies = &self.by_sort[&Sort::Good].latencies;
        latencies.count_between(took.as_micros() as u64, latencies.high())
    }

    /// A line about what came since the last one, which was so long ago.
    pub(super) fn live(&mut self, period: Duration) -> String {
        let rate = self.answered as f64 / period.as_secs_f64();
        let otherwise: u64 = self.otherwise.values().sum();
        let [p50, p99] = [0.5, 0.99].map(|share| at(&self.recent, share));
        self.recent.reset();
        self.answered = 0;
        format!("s · {rate:.0} answers/s · p50 {p50} · p99 {p99} · {otherwise} not as expected")
    }

    /// What it comes to.
    pub(super) fn summary(&self, rate: u32, took: Duration, style: Style) -> String {
        let heads = ["p50", "p90", "p99", "p99.9", "max"].map(|head| format!("{head:>10}")).concat();
        let mut text = style.dim(&format!("{:14}{:>9}{:>11}{heads}", "orders", "sent", "otherwise")) + "\n";
        for (sort, Seen { latencies, otherwise }) in &self.by_sort {
            let times =
                [0.5, 0.9, 0.99, 0.999, 1.0].map(|share| format!("{:>10}", at(latencies, share))).concat();
            let name = format!("{} ({})", sort.name(), sort.expected().as_u16());
            let otherwise = match otherwise {
                0 => format!("{:>11}", 0),
                some => style.bad(&format!("{some:>11}")),
            };
            text += &format!("{name:14}{:>9}{otherwise}{times}\n", latencies.len());
        }
        let seconds = took.as_secs_f64();
        let begun = self.sent() as f64 / seconds;
        text += &format!(
            "\n{begun:.1} orders/s over {seconds:.1} s, of {rate} wanted; latencies from when each was due\n"
        );
        for (reason, count) in &self.otherwise {
            text += &style.bad(&format!("{count} × {reason}\n"));
        }
        text
    }
}

/// The latency that this share kept below; a dash where there is none.
fn at(latencies: &Histogram<u64>, share: f64) -> String {
    if latencies.is_empty() {
        return "-".into();
    }
    style::duration(Duration::from_micros(latencies.value_at_quantile(share)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_summed_up_by_sort_with_those_that_should_not_have_come() {
        let mut record = Record::new().unwrap();
        for milliseconds in 1..=100 {
            record.add(Sort::Good, Duration::from_millis(milliseconds), Ok(()));
        }
        record.add(Sort::Invalid, Duration::from_micros(500), Ok(()));
        assert!(record.is_clean());
        record.add(Sort::Good, Duration::from_secs(2), Err("503: Unavailable".into()));
        assert!(!record.is_clean());
        assert_eq!(record.sent(), 102);

        let summary = record.summary(50, Duration::from_secs(2), Style::PLAIN);
        let expected = "\
orders             sent  otherwise       p50       p90       p99     p99.9       max
good (201)          101          1     51 ms     91 ms    100 ms    2.00 s    2.00 s
declined (402)        0          0         -         -         -         -         -
invalid (422)         1          0    0.5 ms    0.5 ms    0.5 ms    0.5 ms    0.5 ms

51.0 orders/s over 2.0 s, of 50 wanted; latencies from when each was due
1 × 503: Unavailable
";
        assert_eq!(summary, expected);
    }

    #[test]
    fn the_live_line_is_about_what_came_since_the_one_before() {
        let mut record = Record::new().unwrap();
        record.add(Sort::Good, Duration::from_millis(10), Ok(()));
        record.add(Sort::Declined, Duration::from_millis(900), Err("503: Unavailable".into()));
        let line = record.live(Duration::from_secs(1));
        assert_eq!(line, "s · 2 answers/s · p50 10 ms · p99 10 ms · 1 not as expected");
        assert_eq!(
            record.live(Duration::from_secs(1)),
            "s · 0 answers/s · p50 - · p99 - · 1 not as expected"
        );
    }
}
