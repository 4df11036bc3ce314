//! Places orders on a schedule: at a rate, whether the earlier ones are answered or not, or one after the other.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::sleep_until};

use super::{
    client::{Answered, Client},
    mix::Sort,
};

/// Orders that may be unanswered at once: a bound for this process, far above what a gateway lets in.
pub const MAX_UNDER_WAY: usize = 10_000;

/// When orders are placed.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// So many each second (an open loop). A slow answer does not delay the next order, and latencies count from the
    /// time at which the order was due.
    Rate(u32),
    /// By so many clients, each of which waits for its answer first (a closed loop).
    Clients(usize),
}

/// How many orders are placed, and when.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// When orders are placed.
    pub pace: Pace,
    /// The number of orders; none for no bound.
    pub count: Option<u64>,
}

impl Schedule {
    /// Places orders until the schedule is through or `stop` completes, and waits for those that are under way. Returns
    /// the time from the first order to the last one placed.
    ///
    /// `place` gets the time at which the order is due and the number of those under way; `seen` gets what it returns.
    /// Dropping the future abandons what is under way.
    pub async fn run<P, T>(
        self,
        mut place: impl FnMut(Instant, usize) -> P,
        stop: impl Future<Output = ()>,
        mut seen: impl FnMut(T),
    ) -> Duration
    where
        P: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let begun = Instant::now();
        let mut stop = pin!(stop);
        let mut took = Duration::ZERO;
        let mut under_way = JoinSet::new();
        let (mut placed, mut last) = (0, self.count.unwrap_or(u64::MAX));
        while placed < last || !under_way.is_empty() {
            let (due, has_room) = match self.pace {
                Pace::Rate(rate) => (begun + Duration::from_secs_f64(placed as f64 / f64::from(rate)), true),
                Pace::Clients(clients) => (Instant::now(), under_way.len() < clients),
            };
            tokio::select! {
                biased;
                () = &mut stop, if placed < last => last = placed,
                // Before the next order: a client that is late must still see what has been answered.
                Some(answered) = under_way.join_next(), if !under_way.is_empty() => {
                    // A task that panicked has no answer.
                    answered.into_iter().for_each(&mut seen);
                }
                () = until(due), if placed < last && has_room => {
                    placed += 1;
                    took = begun.elapsed();
                    under_way.spawn(place(due, under_way.len()));
                }
            }
        }
        took
    }
}

impl Client {
    /// Places an order of the sort that `sort` returns at each turn of the schedule, see [`Schedule::run`].
    pub async fn run(
        &self,
        schedule: Schedule,
        mut sort: impl FnMut() -> Sort,
        stop: impl Future<Output = ()>,
        seen: impl FnMut(Answered),
    ) -> Duration {
        let place = |due: Instant, under_way| {
            let (client, sort) = (self.clone(), sort());
            async move {
                if under_way < MAX_UNDER_WAY {
                    return client.place(sort, due).await;
                }
                let outcome = Err(format!("not sent: {MAX_UNDER_WAY} orders are unanswered"));
                Answered { sort, latency: due.elapsed(), at: Instant::now(), outcome }
            }
        };
        schedule.run(place, stop, seen).await
    }
}

/// Waits for a time that is not yet over: tokio's timers round up to a millisecond, and a closed loop would place no more
/// than one order in each.
async fn until(due: Instant) {
    if due > Instant::now() {
        sleep_until(due.into()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future;

    use axum::{Json, Router, http::StatusCode, routing::post};
    use serde_json::json;
    use tokio::{net::TcpListener, time::sleep};

    use super::*;

    /// A gateway that answers every order after this time, counted from the first request or from each.
    async fn gateway(stall: impl Fn() -> Duration + Clone + Send + Sync + 'static) -> Client {
        let answer = async move || {
            sleep(stall()).await;
            (StatusCode::CREATED, Json(json!({"orderId": "o", "traceId": "t"})))
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let pages = Router::new().route("/create-order", post(answer));
        tokio::spawn(async move { axum::serve(listener, pages).await });
        Client::new(url, "test").unwrap()
    }

    #[tokio::test]
    async fn a_stalled_order_counts_from_when_it_was_due() {
        const STALL: Duration = Duration::from_millis(600);
        let begun = Instant::now();
        // Every answer comes when the stall is over.
        let client = gateway(move || STALL.saturating_sub(begun.elapsed())).await;
        let mut answers = Vec::new();
        let schedule = Schedule { pace: Pace::Rate(100), count: Some(100) };
        client.run(schedule, || Sort::Good, future::pending(), |answered| answers.push(answered)).await;
        assert_eq!(answers.iter().filter(|answered| answered.outcome.is_ok()).count(), 100, "{answers:?}");
        // Those that were due in the first half of the stall, at least; a closed loop would have sent one of them.
        let late = answers.iter().filter(|answered| answered.latency >= STALL / 2).count();
        assert!(late >= 25, "{late} orders were late");
    }

    #[tokio::test]
    async fn clients_place_more_than_one_order_in_a_millisecond() {
        let client = gateway(|| Duration::from_millis(500)).await;
        let schedule = Schedule { pace: Pace::Clients(200), count: Some(200) };
        let took = client.run(schedule, || Sort::Sample, future::pending(), |_| {}).await;
        assert!(took < Duration::from_millis(100), "the last order was placed after {took:?}");
    }

    #[tokio::test]
    async fn a_stop_ends_the_schedule_and_waits_for_answers() {
        let client = gateway(|| Duration::from_millis(200)).await;
        let mut answers = 0;
        let schedule = Schedule { pace: Pace::Clients(3), count: None };
        client.run(schedule, || Sort::Sample, sleep(Duration::from_millis(100)), |_| answers += 1).await;
        assert_eq!(answers, 3);
    }
}
