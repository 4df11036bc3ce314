//! The spool against a model of it, through any order of steps.

use std::collections::VecDeque;
use std::time::Duration;

use prometheus::Registry;
use proptest::prelude::*;
use prost::bytes::Bytes;

use super::{Limits, Next, Segment, Spool};
use crate::pipeline::PipelineMetrics;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many items are appended.
    Append(u8),
    /// The oldest segment is taken, sent and removed.
    Deliver,
    /// The oldest segment is taken; the process dies before there is an answer, and a new one begins.
    Crash,
    /// The process ends, and a new one begins.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..=4_u8).prop_map(Step::Append),
        2 => Just(Step::Deliver),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 0..60)
}

struct Bench {
    directory: tempfile::TempDir,
    spool: Option<Spool>,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self { directory: tempfile::tempdir().unwrap(), spool: None };
        bench.restart();
        bench
    }

    fn restart(&mut self) {
        // The lock of the old one has to go first.
        self.spool = None;
        let limits = Limits { batch: 5, memory: 5, bytes: 1 << 20, age: Duration::from_secs(3600) };
        let metrics = PipelineMetrics::register(&Registry::new()).unwrap().of("traces", 1);
        let spool = Spool::open(self.directory.path().to_owned(), limits, metrics.destinations[0].clone());
        self.spool = Some(spool.unwrap());
    }

    fn spool(&mut self) -> &mut Spool {
        self.spool.as_mut().unwrap()
    }

    fn take(&mut self) -> Option<(Segment, Bytes)> {
        let Next::Now(mut segment) = self.spool().take(Duration::ZERO) else { return None };
        let payload = self.spool().read(&mut segment);
        Some((segment, payload))
    }
}

proptest! {
    // Each case is some fifty system calls.
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn items_come_out_in_order_and_once_unless_unanswered(steps in steps()) {
        let (mut bench, mut model, mut next) = (Bench::new(), VecDeque::new(), 0_u8);
        for step in steps {
            match step {
                Step::Append(items) => {
                    let payload: Vec<u8> = (0..items).map(|number| next.wrapping_add(number)).collect();
                    next = next.wrapping_add(items);
                    model.extend(payload.iter().copied());
                    bench.spool().append(&payload.into(), items.into());
                }
                Step::Deliver => if let Some((segment, payload)) = bench.take() {
                    prop_assert!(payload.len() <= 5, "a request above its bound");
                    prop_assert_eq!(segment.items, payload.len() as u64);
                    let expected: Vec<u8> = model.drain(..payload.len()).collect();
                    prop_assert_eq!(payload, expected);
                    bench.spool().remove(segment);
                },
                Step::Crash => {
                    let unanswered = bench.take();
                    bench.restart();
                    drop(unanswered);
                }
                Step::Restart => bench.restart(),
            }
        }
        while let Some((segment, payload)) = bench.take() {
            let expected: Vec<u8> = model.drain(..payload.len()).collect();
            prop_assert_eq!(payload, expected);
            bench.spool().remove(segment);
        }
        prop_assert!(model.is_empty(), "{} are lost", model.len());
        let left: u64 = std::fs::read_dir(bench.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        prop_assert_eq!(left, 0, "only the lock and an empty spare are left");
    }
}
