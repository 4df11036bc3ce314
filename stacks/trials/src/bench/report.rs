//! What a benchmark comes to: a table for people, rows for machines, and a picture.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::trial::{Measured, VARIANTS};

/// Each round has one trial of each variant, in the order of [`VARIANTS`].
pub(super) type Round = [Measured; 2];

/// The middle of some numbers.
pub(super) fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    match numbers.len() {
        0 => 0.0,
        length if length % 2 == 1 => numbers[length / 2],
        length => f64::midpoint(numbers[length / 2 - 1], numbers[length / 2]),
    }
}

/// Throughput with telemetry on, as a share of that with it off: the median over the pairs.
pub(super) fn ratio(rounds: &[Round]) -> f64 {
    median(rounds.iter().map(|[off, on]| on.orders_per_s / off.orders_per_s))
}

/// The medians of one variant; what was lost is added up.
fn middle(rounds: &[Round], variant: usize) -> Measured {
    let of = |number: fn(&Measured) -> f64| median(rounds.iter().map(|round| number(&round[variant])));
    Measured {
        orders_per_s: of(|measured| measured.orders_per_s),
        cpu_s_per_1000: of(|measured| measured.cpu_s_per_1000),
        p50_ms: of(|measured| measured.p50_ms),
        p99_ms: of(|measured| measured.p99_ms),
        peak_mib: of(|measured| measured.peak_mib),
        ready_ms: of(|measured| measured.ready_ms),
        spans_lost: rounds.iter().map(|round| round[variant].spans_lost).sum(),
        lines_lost: rounds.iter().map(|round| round[variant].lines_lost).sum(),
    }
}

/// The table, in Markdown.
pub(super) fn table(rounds: &[Round]) -> String {
    let mut text =
        "| telemetry | orders/s | CPU s per 1000 | p50 ms | p99 ms | peak MiB | ready ms | spans lost | lines lost |\n\
                    |---|---:|---:|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
    for (index, variant) in VARIANTS.iter().enumerate() {
        let Measured {
            orders_per_s,
            cpu_s_per_1000,
            p50_ms,
            p99_ms,
            peak_mib,
            ready_ms,
            spans_lost,
            lines_lost,
        } = middle(rounds, index);
        // Writing to a String can't fail.
        let _ = writeln!(
            text,
            "| {} | {orders_per_s:.0} | {cpu_s_per_1000:.3} | {p50_ms:.1} | {p99_ms:.1} | {peak_mib:.1} | {ready_ms:.0} | {spans_lost} | {lines_lost} |",
            variant.name
        );
    }
    text
}

/// Microseconds of CPU that telemetry adds to an order: the median over the pairs.
pub(super) fn added_us(rounds: &[Round]) -> f64 {
    median(rounds.iter().map(|[off, on]| (on.cpu_s_per_1000 - off.cpu_s_per_1000) * 1000.0))
}

/// The same as a share of what an order costs without telemetry: machines differ, and so do the hours of one.
pub(super) fn added_share(rounds: &[Round]) -> f64 {
    median(rounds.iter().map(|[off, on]| on.cpu_s_per_1000 / off.cpu_s_per_1000 - 1.0))
}

/// The fewest and the most orders per second without telemetry: how quiet the machine was.
pub(super) fn spread(rounds: &[Round]) -> (f64, f64) {
    let off = rounds.iter().map(|[off, _]| off.orders_per_s);
    off.fold((f64::INFINITY, 0.0), |(fewest, most), rate| (f64::min(fewest, rate), f64::max(most, rate)))
}

/// Writes every trial as a row of JSON, and what they come to.
pub(super) fn write(rounds: &[Round], file: &Path) -> Result<()> {
    let rows: Vec<_> = rounds
        .iter()
        .flat_map(|round| VARIANTS.iter().zip(round))
        .map(|(variant, measured)| {
            json!({
                "variant": variant.name,
                "orders_per_s": measured.orders_per_s,
                "cpu_s_per_1000": measured.cpu_s_per_1000,
                "p50_ms": measured.p50_ms,
                "p99_ms": measured.p99_ms,
                "peak_mib": measured.peak_mib,
                "ready_ms": measured.ready_ms,
                "spans_lost": measured.spans_lost,
                "lines_lost": measured.lines_lost,
            })
        })
        .collect();
    let report =
        json!({"rows": rows, "ratio_on_off": ratio(rounds), "added_cpu_us_per_order": added_us(rounds)});
    let text = serde_json::to_string_pretty(&report).context("the rows can't be written as JSON")?;
    fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))
}

/// A bar for each trial, in pairs.
pub(super) fn picture(rounds: &[Round]) -> String {
    const WIDTH: f64 = 640.0;
    const BAR: f64 = 18.0;
    let most = rounds.iter().flatten().map(|measured| measured.orders_per_s).fold(1.0, f64::max);
    let height = 40.0 + rounds.len() as f64 * (2.0 * BAR + 14.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"white\"/>\
         <text x=\"10\" y=\"22\" font-size=\"14\">Orders per second, telemetry off and on; median ratio {:.2}</text>\n",
        ratio(rounds)
    );
    for (index, round) in rounds.iter().enumerate() {
        for (bar, ((variant, measured), colour)) in
            VARIANTS.iter().zip(round).zip(["#9aa5b1", "#2f6fde"]).enumerate()
        {
            let y = 36.0 + index as f64 * (2.0 * BAR + 14.0) + bar as f64 * BAR;
            let width = measured.orders_per_s / most * (WIDTH - 160.0);
            // Writing to a String can't fail.
            let _ = writeln!(
                svg,
                "<text x=\"10\" y=\"{:.1}\">{}</text><rect x=\"45\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" \
                 fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\">{:.0}</text>",
                y + 13.0,
                variant.name,
                BAR - 3.0,
                52.0 + width,
                y + 13.0,
                measured.orders_per_s
            );
        }
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(orders_per_s: f64, cpu_s_per_1000: f64) -> Measured {
        Measured {
            orders_per_s,
            cpu_s_per_1000,
            p50_ms: 1.0,
            p99_ms: 2.0,
            peak_mib: 3.0,
            ready_ms: 90.0,
            spans_lost: 1,
            lines_lost: 0,
        }
    }

    #[test]
    fn ratios_are_taken_within_a_pair_and_losses_are_added_up() {
        let rounds = [
            [measured(100.0, 0.1), measured(80.0, 0.15)],
            [measured(200.0, 0.1), measured(150.0, 0.13)],
            [measured(50.0, 0.1), measured(45.0, 0.14)],
        ];
        assert!((ratio(&rounds) - 0.8).abs() < 1e-9);
        assert!((added_us(&rounds) - 40.0).abs() < 1e-6);
        assert!((added_share(&rounds) - 0.4).abs() < 1e-9);
        assert_eq!(spread(&rounds), (50.0, 200.0));
        assert!(
            table(&rounds).ends_with("| on | 80 | 0.140 | 1.0 | 2.0 | 3.0 | 90 | 3 | 0 |\n"),
            "{}",
            table(&rounds)
        );
        assert_eq!(picture(&rounds).matches("<rect x=").count(), 6);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median([4.0, 1.0, 3.0, 2.0].into_iter()), 2.5);
        assert_eq!(median(std::iter::empty()), 0.0);
    }
}
