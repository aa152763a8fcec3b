//! A chart of a run for a page: bars as ratios to hyper.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Result;
use crate::report::{Run, Summary};

/// The panels: a title, a suite, how the name of the group begins, and how it ends.
const PANELS: &[(&str, &str, &str, &str)] = &[
    ("Round trips over a Unix socket, two cores", "duo", "Unix, apart", ""),
    ("Round trips over a Unix socket, one core", "duo", "Unix, same", ""),
    ("Round trips over IPv6, two cores", "duo", "IPv6, apart", ""),
    ("Round trips over TLS, one core", "tls", "round trips, same", ""),
    ("Requests a second over 64 connections", "throughput", "64 connections: ", "second"),
    ("Requests for a second of CPU, 64 connections", "throughput", "64 connections: ", "CPU time a request"),
    ("Requests a second, 64 connections, 16 deep", "throughput", "64 connections, 16 deep: ", "second"),
    ("Idle connections in the same memory", "idle", "", "0 connections"),
];

/// The contestants that are shown, in this order, and as what.
const BARS: &[(&str, &str)] = &[
    ("raw-poll", "no HTTP, polling"),
    ("raw", "no HTTP, blocking"),
    ("raw-tokio", "no HTTP, tokio"),
    ("degu", "Degu"),
    ("degu-blocking → degu", "Degu, blocking client"),
    ("hyper", "hyper"),
    ("hyper-flush", "hyper, pipeline_flush"),
    ("nginx", "nginx"),
];

const WIDTH: i32 = 440;
const HEIGHT: i32 = 220;
const ROW: i32 = 20;
const LABELS: i32 = 150;
/// The longest bar.
const LONGEST: f64 = 170.0;

/// Draws the panels whose groups the run has.
pub(crate) fn draw(run: &Run, file: &Path) -> Result {
    let panels: Vec<_> = PANELS.iter().filter_map(|panel| Some((panel.0, bars(run, panel)?))).collect();
    let rows = i32::try_from(panels.len().div_ceil(2))?;
    let area = SVGBackend::new(file, ((2 * WIDTH) as u32, (rows * HEIGHT + 20) as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |words: &str, at: (i32, i32), size: i32, side: HPos| {
        let style = ("sans-serif", size).into_text_style(&area).pos(Pos::new(side, VPos::Center));
        area.draw(&Text::new(words.to_owned(), at, style))
    };
    for (number, (title, bars)) in (0..).zip(&panels) {
        let (left, top) = (number % 2 * WIDTH, number / 2 * HEIGHT);
        text(title, (left + 10, top + 16), 14, HPos::Left)?;
        let most = bars.iter().map(|(_, ratio, _)| *ratio).fold(1.0, f64::max);
        let length = |ratio: f64| (ratio / most * LONGEST) as i32;
        for (row, (label, ratio, figure)) in (0..).zip(bars) {
            let (begin, y) = (left + LABELS, top + 34 + row * ROW);
            let colour = if label.starts_with("Degu") { RGBColor(9, 105, 218) } else { RGBColor(140, 149, 159) };
            area.draw(&Rectangle::new([(begin, y), (begin + length(*ratio), y + 15)], colour.filled()))?;
            text(label, (begin - 6, y + 8), 12, HPos::Right)?;
            text(&format!("{ratio:.2}× ({figure})"), (begin + length(*ratio) + 5, y + 8), 11, HPos::Left)?;
        }
    }
    text(&format!("times as good as hyper; {}", run.machine), (10, rows * HEIGHT + 8), 10, HPos::Left)?;
    Ok(area.present()?)
}

/// Label, how many times as good as hyper, and the figure itself.
fn bars(run: &Run, (_, suite, begins, ends): &(&str, &str, &str, &str)) -> Option<Vec<(&'static str, f64, String)>> {
    let report = run.reports.iter().find(|report| report.suite == *suite)?;
    let group = report.groups.iter().find(|group| group.name.starts_with(begins) && group.name.ends_with(ends))?;
    let bar = |(name, label): &(&str, &'static str)| {
        let entry = group.entry(name)?;
        let ratio = group.ratio(entry, "hyper")?.median;
        let median = Summary::of(entry.samples.iter().copied())?.median;
        let figure = format!("{} {}", group.unit.show(median), group.unit.symbol());
        Some((*label, if group.unit.more_is_better() { ratio } else { 1.0 / ratio }, figure))
    };
    Some(BARS.iter().filter_map(bar).collect()).filter(|bars: &Vec<_>| !bars.is_empty())
}
