//! Which signals of the services show a fault: metrics while it lasts, as a scraper gets them, and log lines.

mod expressions;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use stacks::{
    address::url,
    http,
    local::layout::{Component, Layout},
};
use testkit::exposition::Samples;
use tokio::{task::JoinSet, time::interval};

use self::expressions::{
    Does::{Exceed, Grow, Last, Vanish},
    EXPRESSIONS,
};

/// Between two scrapes: some faults last for less than a second.
const PERIOD: Duration = Duration::from_millis(250);
/// A service that answers later is down for its scraper.
const MAX_SCRAPE: Duration = Duration::from_millis(900);

type Shared = Arc<Mutex<Seen>>;

#[derive(Default)]
struct Seen {
    /// By expression, the sum at the scrape before.
    sums: BTreeMap<usize, f64>,
    /// By expression, the durations at the scrape before: their sum, and their number.
    durations: BTreeMap<usize, (f64, f64)>,
    shown: BTreeSet<usize>,
    down: BTreeSet<Component>,
    /// The scrapes at which an expression was true, or a service was down.
    alarms: Vec<Instant>,
}

/// Scrapes the services. Dropping it ends that.
pub(crate) struct Watch {
    // A set of one task for each service: they end when the set is dropped.
    _scraping: JoinSet<()>,
    seen: Shared,
}

impl Watch {
    /// Starts to scrape the services of this stack.
    pub(crate) fn start(layout: &Layout) -> anyhow::Result<Self> {
        let seen = Shared::default();
        let mut scraping = JoinSet::new();
        for service in Component::SERVICES {
            let metrics = url(layout.listens(service)[0].0) + "/metrics";
            let (client, seen) = (http::client()?, seen.clone());
            scraping.spawn(async move {
                let mut ticks = interval(PERIOD);
                loop {
                    ticks.tick().await;
                    let page = async { client.get(&metrics).timeout(MAX_SCRAPE).send().await?.text().await };
                    let page = page.await.ok();
                    lock(&seen).judge(service, page.as_deref());
                }
            });
        }
        Ok(Self { _scraping: scraping, seen })
    }

    /// The expressions that were true at any scrape, those that name a cause first; and the scrapes at which one was.
    pub(crate) fn stop(self) -> (Vec<String>, Vec<Instant>) {
        let mut seen = lock(&self.seen);
        let alarms = std::mem::take(&mut seen.alarms);
        let shown = seen.shown.iter().map(|index| EXPRESSIONS[*index].text.to_owned());
        let down = seen.down.iter().map(|service| format!("up == 0 ({service})"));
        (shown.chain(down).collect(), alarms)
    }
}

impl Seen {
    /// Judges the page of a service, or that there is none.
    fn judge(&mut self, service: Component, page: Option<&str>) {
        let Some(samples) = page.and_then(|page| Samples::parse(page).ok()) else {
            self.down.insert(service);
            self.alarms.push(Instant::now());
            return;
        };
        for (index, expression) in EXPRESSIONS.iter().enumerate().filter(|(_, one)| one.service == service) {
            let (name, part) = expression.series;
            let total = |name: &str| -> f64 {
                let is_meant = |series: &str| series.split('{').next() == Some(name) && series.contains(part);
                samples.iter().filter(|(series, _)| is_meant(series)).map(|(_, value)| value).sum()
            };
            let sum = total(name);
            let before = self.sums.insert(index, sum);
            let is_shown = match expression.does {
                // A counter that fell is that of a new process.
                Grow => before.is_some_and(|before| sum > before || (sum < before && sum > 0.0)),
                Exceed(bound) => sum > bound,
                Vanish => sum == 0.0,
                Last(bound) => {
                    let (time, number) = (total(&format!("{name}_sum")), total(&format!("{name}_count")));
                    let before = self.durations.insert(index, (time, number));
                    before.is_some_and(|(t, n)| number > n && (time - t) / (number - n) > bound)
                }
            };
            if is_shown {
                self.shown.insert(index);
                self.alarms.push(Instant::now());
            }
        }
    }
}

fn lock(seen: &Shared) -> MutexGuard<'_, Seen> {
    // A panic cannot leave these values inconsistent.
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use stacks::local::layout::Component::Mailer;

    use super::*;

    fn shown(pages: &[Option<&str>]) -> Vec<&'static str> {
        let mut seen = Seen::default();
        pages.iter().for_each(|page| seen.judge(Mailer, *page));
        assert_eq!(seen.down.contains(&Mailer), pages.contains(&None));
        seen.shown.iter().map(|index| EXPRESSIONS[*index].text).collect()
    }

    const REST: &str = "# HELP broker_connected a\n# TYPE broker_connected gauge\nbroker_connected 1\n\
         # HELP emails_sent_total a\n# TYPE emails_sent_total counter\nemails_sent_total{outcome=\"retried\"} 4\n";

    #[test]
    fn a_value_at_rest_shows_nothing() {
        assert_eq!(shown(&[Some(REST), Some(REST)]), Vec::<&str>::new());
    }

    #[test]
    fn a_counter_that_grows_and_a_gauge_at_zero_are_shown() {
        let retried = REST.replace("\"} 4", "\"} 5");
        assert_eq!(shown(&[Some(REST), Some(&retried)]), ["emails_sent_total{outcome=\"retried\"} grows"]);
        let apart = REST.replace("connected 1", "connected 0");
        assert_eq!(shown(&[Some(&apart)]), ["broker_connected == 0 (mailer)"]);
    }

    #[test]
    fn durations_are_averaged_between_two_scrapes() {
        let page = |sum: f64, count: u32| {
            format!(
                "# HELP broker_connected a\n# TYPE broker_connected gauge\nbroker_connected 1\n\
                 # HELP email_send_duration_seconds a\n# TYPE email_send_duration_seconds histogram\n\
                 email_send_duration_seconds_bucket{{le=\"+Inf\"}} {count}\n\
                 email_send_duration_seconds_sum {sum}\nemail_send_duration_seconds_count {count}\n"
            )
        };
        let [first, quick, slow] = [page(1.0, 100), page(1.1, 110), page(5.1, 114)];
        assert_eq!(shown(&[Some(&first), Some(&quick)]), Vec::<&str>::new());
        assert_eq!(
            shown(&[Some(&first), Some(&quick), Some(&slow)]),
            ["email_send_duration_seconds > 0.3 on average"]
        );
    }

    #[test]
    fn a_counter_of_a_new_process_is_no_growth_unless_it_counts() {
        let new = REST.replace("\"} 4", "\"} 0");
        assert_eq!(shown(&[Some(REST), None, Some(&new)]), Vec::<&str>::new());
        let one = REST.replace("\"} 4", "\"} 1");
        assert_eq!(shown(&[Some(REST), None, Some(&one)]), ["emails_sent_total{outcome=\"retried\"} grows"]);
    }
}
