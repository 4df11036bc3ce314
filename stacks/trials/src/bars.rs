//! Bar charts as SVG.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
/// The left end of the bars.
const LEFT: f64 = 90.0;
/// The space for the values behind the bars.
const RIGHT: f64 = 110.0;
/// The height of a bar with its gap.
const BAR: f64 = 18.0;

/// One bar.
pub(crate) struct Bar {
    /// The text before it.
    pub(crate) label: String,
    /// Its length, compared with the largest value of its scale.
    pub(crate) value: f64,
    /// The text behind it.
    pub(crate) text: String,
    /// Its colour, in SVG.
    pub(crate) colour: &'static str,
}

/// Bars with a heading.
pub(crate) struct Group {
    /// The heading.
    pub(crate) heading: String,
    /// The bars.
    pub(crate) bars: Vec<Bar>,
}

/// Whether all bars have one scale, or those of each group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// One scale.
    Common,
    /// A scale for each group.
    OfGroup,
}

/// Draws groups below each other.
pub(crate) fn draw(groups: &[Group], scale: Scale) -> String {
    let max = |groups: &[Group]| {
        let values = groups.iter().flat_map(|group| &group.bars).map(|bar| bar.value);
        values.fold(f64::MIN_POSITIVE, f64::max)
    };
    let height: f64 = groups.iter().map(|group| 30.0 + group.bars.len() as f64 * BAR).sum();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {:.0}\" font-family=\"sans-serif\" \
         font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        height + 10.0
    );
    let mut y = 24.0;
    for group in groups {
        let max = max(if scale == Scale::Common { groups } else { std::slice::from_ref(group) });
        // Writing to a String cannot fail.
        let _ = writeln!(svg, "<text x=\"10\" y=\"{y:.0}\" font-weight=\"bold\">{}</text>", group.heading);
        y += 6.0;
        for Bar { label, value, text, colour } in &group.bars {
            let (width, height, base) =
                ((value / max * (WIDTH - LEFT - RIGHT)).max(1.0), BAR - 4.0, y + 12.0);
            let _ = writeln!(
                svg,
                "<text x=\"20\" y=\"{base:.0}\">{label}</text><rect x=\"{LEFT}\" y=\"{y:.0}\" width=\"{width:.1}\" \
                 height=\"{height:.0}\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{base:.0}\">{text}</text>",
                LEFT + width + 8.0
            );
            y += BAR;
        }
        y += 24.0;
    }
    svg + "</svg>\n"
}
