//! The results as a picture: the orders per second of each trial.

use super::{measured::Round, variant::Variant};
use crate::bars::{Bar, Group, Scale, draw};

/// The colours of the variants, the last for the last one.
const COLOURS: [&str; 4] = ["#d8c3a5", "#d98e04", "#9aa5b1", "#2f6fde"];

/// A group for each round, and in it a bar for each variant.
pub(super) fn picture(variants: &[Variant], rounds: &[Round]) -> String {
    let colours = &COLOURS[COLOURS.len() - variants.len()..];
    let groups = rounds.iter().enumerate().map(|(number, round)| {
        let bars = variants.iter().zip(round).zip(colours).map(|((variant, measured), colour)| Bar {
            label: variant.name.clone(),
            value: measured.orders_per_s,
            text: format!("{:.0}", measured.orders_per_s),
            colour,
        });
        Group { heading: format!("Orders per second, round {}", number + 1), bars: bars.collect() }
    });
    draw(&groups.collect::<Vec<_>>(), Scale::Common)
}
