//! The answers that the load's clients got, by sort of order.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;

use crate::{
    latencies::Latencies,
    orders::{Answered, Sort},
    style::{self, Style},
    table::{Cell, Table},
};

/// All answers so far.
pub(super) struct Record {
    by_sort: BTreeMap<Sort, Answers>,
    /// Good orders since the last live line.
    recent: Latencies,
    /// Orders of every sort since the last live line.
    answered: u64,
    /// How often each unexpected answer came.
    unexpected: BTreeMap<String, u64>,
}

struct Answers {
    latencies: Latencies,
    unexpected: u64,
}

impl Record {
    /// An empty record.
    pub(super) fn new() -> Result<Self> {
        let recent = Latencies::new()?;
        let answers = |sort| (sort, Answers { latencies: recent.clone(), unexpected: 0 });
        let by_sort = Sort::MIXED.map(answers).into();
        Ok(Self { by_sort, recent, answered: 0, unexpected: BTreeMap::new() })
    }

    pub(super) fn add(&mut self, answered: Answered) {
        self.answered += 1;
        let Some(answers) = self.by_sort.get_mut(&answered.sort) else { return };
        // An unexpected answer takes its time, too: without it the quantiles would flatter the gateway.
        answers.latencies.record(answered.latency);
        if answered.sort == Sort::Good {
            self.recent.record(answered.latency);
        }
        if let Err(reason) = answered.outcome {
            answers.unexpected += 1;
            *self.unexpected.entry(reason).or_default() += 1;
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.by_sort.values().map(|answers| answers.latencies.count()).sum()
    }

    /// Whether every answer was the expected one.
    pub(super) fn is_clean(&self) -> bool {
        self.unexpected.is_empty()
    }

    /// A line about the answers of the last `period`, since the line before.
    pub(super) fn live(&mut self, period: Duration) -> String {
        let rate = self.answered as f64 / period.as_secs_f64();
        let unexpected: u64 = self.unexpected.values().sum();
        let [p50, p99] = [0.5, 0.99].map(|share| quantile(&self.recent, share));
        self.recent.clear();
        self.answered = 0;
        format!("s · {rate:.0} answers/s · p50 {p50} · p99 {p99} · {unexpected} unexpected")
    }

    /// The table of all answers, and the reason of each unexpected one.
    pub(super) fn summary(&self, rate: u32, took: Duration, style: Style) -> String {
        let columns = ["orders", ">sent", ">unexpected", ">p50", ">p90", ">p99", ">p99.9", ">max"];
        let mut table = Table::new(style, &columns);
        for (sort, Answers { latencies, unexpected }) in &self.by_sort {
            let times = [0.5, 0.9, 0.99, 0.999, 1.0].map(|share| Cell::plain(quantile(latencies, share)));
            let name = Cell::plain(format!("{} ({})", sort.name(), sort.expected().as_u16()));
            let unexpected = if *unexpected == 0 { Cell::plain(0) } else { Cell::bad(unexpected) };
            table.row([name, Cell::plain(latencies.count()), unexpected].into_iter().chain(times));
        }
        let seconds = took.as_secs_f64();
        let placed = self.count() as f64 / seconds;
        let mut text = table.text();
        text += &format!(
            "\n{placed:.1} orders/s over {seconds:.1} s, of {rate} asked for; latencies from when each was due\n"
        );
        for (reason, count) in &self.unexpected {
            text += &style.bad(&format!("{count} × {reason}\n"));
        }
        text
    }
}

/// The latency that this share of the orders kept to; a dash where there is none.
fn quantile(latencies: &Latencies, share: f64) -> String {
    latencies.quantile(share).map_or_else(|| "-".into(), style::duration)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn answered(sort: Sort, milliseconds: f64, outcome: Result<(), &str>) -> Answered {
        let latency = Duration::from_secs_f64(milliseconds / 1e3);
        let outcome = outcome.map(|()| None).map_err(str::to_owned);
        Answered { sort, latency, at: Instant::now(), outcome }
    }

    #[test]
    fn answers_are_summed_up_by_sort_with_unexpected_ones() {
        let mut record = Record::new().unwrap();
        for milliseconds in 1..=100 {
            record.add(answered(Sort::Good, f64::from(milliseconds), Ok(())));
        }
        record.add(answered(Sort::Invalid, 0.5, Ok(())));
        assert!(record.is_clean());
        record.add(answered(Sort::Good, 2000.0, Err("503: Unavailable")));
        assert!(!record.is_clean());
        assert_eq!(record.count(), 102);

        let summary = record.summary(50, Duration::from_secs(2), Style::PLAIN);
        let expected = "\
orders          sent  unexpected     p50     p90     p99   p99.9     max
good (201)       101           1   51 ms   91 ms  100 ms  2.00 s  2.00 s
declined (402)     0           0       -       -       -       -       -
invalid (422)      1           0  0.5 ms  0.5 ms  0.5 ms  0.5 ms  0.5 ms
repeated (201)     0           0       -       -       -       -       -

51.0 orders/s over 2.0 s, of 50 asked for; latencies from when each was due
1 × 503: Unavailable
";
        assert_eq!(summary, expected);
    }

    #[test]
    fn the_live_line_is_about_answers_since_the_last_one() {
        let mut record = Record::new().unwrap();
        record.add(answered(Sort::Good, 10.0, Ok(())));
        record.add(answered(Sort::Declined, 900.0, Err("503: Unavailable")));
        let line = record.live(Duration::from_secs(1));
        assert_eq!(line, "s · 2 answers/s · p50 10 ms · p99 10 ms · 1 unexpected");
        assert_eq!(record.live(Duration::from_secs(1)), "s · 0 answers/s · p50 - · p99 - · 1 unexpected");
    }
}
