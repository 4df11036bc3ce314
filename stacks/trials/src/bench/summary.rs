//! The results as tables, for people.

use std::fmt::Write as _;

use super::{
    measured::{Cost, Measured, Round, SERVICES, median},
    variant::Variant,
};

/// One number of a trial.
type Number = fn(&Measured) -> f64;

/// The tables and the medians over the pairs, in Markdown.
pub(super) fn summary(variants: &[Variant], rounds: &[Round]) -> String {
    let mut text = format!("{}\n{}\n", trials(variants, rounds), services(variants, rounds));
    let now = variants.len() - 2;
    if now > 0 {
        text += &format!("{}\n", ratios(&variants[now].name, rounds));
    }
    let ratio = across(rounds, now + 1, now, |measured| measured.orders_per_s, |on, off| on / off);
    let added = across(rounds, now + 1, now, |measured| measured.total().cpu_us, |on, off| on - off);
    let share = across(rounds, now + 1, now, |measured| measured.total().cpu_us, |on, off| on / off - 1.0);
    let off = rounds.iter().map(|round| round[now].orders_per_s);
    let (min, max) =
        off.fold((f64::INFINITY, 0.0), |(min, max), rate| (f64::min(min, rate), f64::max(max, rate)));
    text += &format!(
        "Throughput on / off: {ratio:.2}. CPU that telemetry adds to an order: {added:.0} µs, {:.0} % of what it takes without. \
         Both are medians over the pairs.\nWithout telemetry the trials reached {min:.0} to {max:.0} orders/s: a wide range means \
         that the machine was busy.\n",
        share * 100.0
    );
    text
}

/// A row for each variant.
fn trials(variants: &[Variant], rounds: &[Round]) -> String {
    let mut text = "| telemetry | orders/s | CPU µs an order | switches an order | p50 ms | p99 ms | ready ms | spans lost | lines lost |\n\
                    |---|---:|---:|---:|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for (index, variant) in variants.iter().enumerate() {
        let of = |number: Number| median(rounds.iter().map(|round| number(&round[index])));
        let lost = |count: fn(&Measured) -> u64| rounds.iter().map(|round| count(&round[index])).sum::<u64>();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.0} | {:.1} | {:.1} | {:.1} | {:.0} | {} | {} |",
            variant.name,
            of(|measured| measured.orders_per_s),
            of(|measured| measured.total().cpu_us),
            of(|measured| measured.total().switches),
            of(|measured| measured.p50_ms),
            of(|measured| measured.p99_ms),
            of(|measured| measured.ready_ms),
            lost(|measured| measured.spans_lost),
            lost(|measured| measured.lines_lost),
        );
    }
    text
}

/// A row for each service of each variant.
fn services(variants: &[Variant], rounds: &[Round]) -> String {
    let mut text = "| telemetry | service | CPU µs an order | switches | statements | commits | peak MiB |\n\
                    |---|---|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for (index, variant) in variants.iter().enumerate() {
        for (service, name) in SERVICES.iter().enumerate() {
            let of = |number: fn(Cost) -> f64| {
                median(rounds.iter().map(|round| number(round[index].services[service])))
            };
            let _ = writeln!(
                text,
                "| {} | {name} | {:.0} | {:.1} | {} | {} | {:.1} |",
                variant.name,
                of(|cost| cost.cpu_us),
                of(|cost| cost.switches),
                counted(of(|cost| cost.statements)),
                counted(of(|cost| cost.commits)),
                of(|cost| cost.peak_mib)
            );
        }
    }
    text
}

/// A number of statements or commits; a service without a database has none, and the base may not count them.
fn counted(number: f64) -> String {
    if number > 0.0 { format!("{number:.2}") } else { "–".to_owned() }
}

/// What the second pair takes as a share of the first: medians over the pairs.
fn ratios(second: &str, rounds: &[Round]) -> String {
    const MEASURES: [(&str, Number); 4] = [
        ("CPU an order", |measured| measured.total().cpu_us),
        ("switches an order", |measured| measured.total().switches),
        ("peak memory", |measured| measured.total().peak_mib),
        ("orders/s", |measured| measured.orders_per_s),
    ];
    let title = if second.starts_with("grown") { "grown / empty" } else { "now / base" };
    let mut text = format!("| {title} | telemetry off | telemetry on |\n|---|---:|---:|\n");
    for (name, number) in MEASURES {
        let [off, on] = [0, 1].map(|base| across(rounds, base + 2, base, number, |now, base| now / base));
        let _ = writeln!(text, "| {name} | {off:.2} | {on:.2} |");
    }
    text
}

/// The median of a comparison of two trials within each round.
fn across(rounds: &[Round], one: usize, other: usize, number: Number, compare: fn(f64, f64) -> f64) -> f64 {
    median(rounds.iter().map(|round| compare(number(&round[one]), number(&round[other]))))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::bench::picture::picture;

    fn measured(orders_per_s: f64, cpu_us: f64) -> Measured {
        let cost = Cost { cpu_us: cpu_us / 3.0, switches: 2.0, peak_mib: 3.0, statements: 5.0, commits: 0.0 };
        Measured {
            orders_per_s,
            p50_ms: 1.0,
            p99_ms: 2.0,
            ready_ms: 90.0,
            services: [cost; 3],
            spans_lost: 1,
            lines_lost: 0,
        }
    }

    #[test]
    fn ratios_are_taken_within_a_pair_and_losses_are_summed() {
        let variants = Variant::pair("", Path::new("bin"));
        let rounds = [
            vec![measured(100.0, 100.0), measured(80.0, 150.0)],
            vec![measured(200.0, 100.0), measured(150.0, 130.0)],
            vec![measured(50.0, 100.0), measured(45.0, 140.0)],
        ];
        let text = summary(&variants, &rounds);
        for part in [
            "\n| on | 80 | 140 | 6.0 | 1.0 | 2.0 | 90 | 3 | 0 |\n",
            "\n| on | mailer | 47 | 2.0 | 5.00 | – | 3.0 |\n",
            "Throughput on / off: 0.80. CPU that telemetry adds to an order: 40 µs, 40 % of",
            "reached 50 to 200 orders/s",
        ] {
            assert!(text.contains(part), "`{part}` is not in {text}");
        }
        assert_eq!(picture(&variants, &rounds).matches("<rect x=").count(), 6);
    }

    #[test]
    fn a_base_is_compared_within_each_round() {
        let variants = [Variant::pair("base ", Path::new("a")), Variant::pair("", Path::new("b"))].concat();
        let round = vec![
            measured(100.0, 400.0),
            measured(90.0, 500.0),
            measured(200.0, 100.0),
            measured(45.0, 250.0),
        ];
        let text = summary(&variants, &[round]);
        for part in [
            "\n| base on | 90 | 500 | 6.0 | 1.0 | 2.0 | 90 | 1 | 0 |\n",
            "\n| CPU an order | 0.25 | 0.50 |\n",
            "\n| orders/s | 2.00 | 0.50 |\n",
        ] {
            assert!(text.contains(part), "`{part}` is not in {text}");
        }
    }
}
