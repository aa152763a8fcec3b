//! Charts of saved samples: bars with ratios to hyper, and curves of percentiles.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Result;
use crate::report::{Entry, Group, Run, Unit};
use crate::suites::PERCENTILES;

/// The panels with bars. Each has a title, a suite, and the beginning and the end of the names of the groups that it
/// shows.
const PANELS: &[(&str, &str, &str, &str)] = &[
    ("Instructions of a server", "counts", "instructions, server", ""),
    ("Instructions of a client", "counts", "instructions, client", ""),
    ("Round trips over a Unix socket, one core", "peers", "Unix, same", ""),
    ("Round trips over a Unix socket, two cores", "peers", "Unix, apart", ""),
    ("Server's CPU time, 64 connections", "throughput", "64 connections: ", "CPU time a request"),
    ("Memory of an idle connection", "idle", "", "0 connections"),
];

/// The labels of the contestants without HTTP, which are the lower bounds.
const FLOORS: [(&str, &str); 3] =
    [("raw-poll", "no HTTP, polling"), ("raw", "no HTTP, blocking"), ("raw-tokio", "no HTTP, tokio")];

/// The contestants with curves, and the colours of these curves.
const CURVES: &[(&str, RGBColor)] = &[
    ("raw-tokio", RGBColor(170, 170, 170)),
    ("hyper", RGBColor(207, 34, 46)),
    ("axum", RGBColor(191, 135, 0)),
    ("degu-off", RGBColor(26, 127, 55)),
    ("degu", RGBColor(9, 105, 218)),
];

const WIDTH: i32 = 460;
const ROW: i32 = 20;
const LABELS: i32 = 150;
/// The length of the longest bar, in pixels, for [`MOST`] times hyper's figure and for all larger figures.
const LONGEST: f64 = 180.0;
const MOST: f64 = 4.0;
const CURVES_HEIGHT: i32 = 280;

const OURS: RGBColor = RGBColor(9, 105, 218);
const OTHERS: RGBColor = RGBColor(140, 149, 159);

/// Draws the charts for which the run has samples: `NAME-ratios.svg` and `NAME-latency.svg`.
pub(crate) fn draw(run: &Run, name: &Path) -> Result {
    let file = |end: &str| format!("{}-{end}.svg", name.display());
    let panels: Vec<_> = PANELS.iter().filter_map(|panel| Some((panel.0, bars(run, panel)?))).collect();
    let height = 44 + ROW * panels.iter().map(|panel| panel.1.len()).max().unwrap_or(0) as i32;
    let about = format!("hyper = 1, less is better; {}", run.machine);
    draw_panels(&file("ratios"), &panels, height, &about, |(title, bars), area| draw_bars(title, bars, area))?;

    let open = run.reports.iter().filter(|report| report.suite == "open");
    let loads = open.flat_map(|report| report.groups.chunk_by(|one, other| one.condition() == other.condition()));
    let loads: Vec<_> = loads.filter(|load| load.len() > PERCENTILES.len()).collect();
    let about = format!("latency by percentile, open loop; {}", run.machine);
    draw_panels(&file("latency"), &loads, CURVES_HEIGHT, &about, |load, area| draw_curves(load, area))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws panels of this height in two columns, and a line of text under them. Without a panel, there is no file.
fn draw_panels<P>(
    file: &str,
    panels: &[P],
    height: i32,
    about: &str,
    draw: impl Fn(&P, &Area<'_>) -> Result,
) -> Result {
    if panels.is_empty() {
        return Ok(());
    }
    let rows = i32::try_from(panels.len().div_ceil(2))?;
    let area = SVGBackend::new(file, ((2 * WIDTH) as u32, (rows * height + 20) as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let (above, below) = area.split_vertically(rows * height);
    for (panel, area) in panels.iter().zip(above.split_evenly((rows as usize, 2))) {
        draw(panel, &area)?;
    }
    text(&below, about, (10, 8), 10, HPos::Left)?;
    Ok(area.present()?)
}

fn text(area: &Area<'_>, words: &str, at: (i32, i32), size: i32, side: HPos) -> Result {
    let style = ("sans-serif", size).into_text_style(area).pos(Pos::new(side, VPos::Center));
    Ok(area.draw(&Text::new(words.to_owned(), at, style))?)
}

/// A bar: its label, the ratio to hyper's figure, and the figure as text.
type Bar = (String, f64, String);

fn draw_bars(title: &str, bars: &[Bar], area: &Area<'_>) -> Result {
    text(area, title, (10, 16), 14, HPos::Left)?;
    let most = bars.iter().map(|bar| bar.1).fold(1.0, f64::max).min(MOST);
    for (row, (label, ratio, figure)) in (0..).zip(bars) {
        let (y, end) = (34 + row * ROW, LABELS + (ratio.min(most) / most * LONGEST) as i32);
        let colour = if label.starts_with("degu") && !label.contains("0.18") { OURS } else { OTHERS };
        area.draw(&Rectangle::new([(LABELS, y), (end, y + 15)], colour.filled()))?;
        text(area, label, (LABELS - 6, y + 8), 12, HPos::Right)?;
        text(area, &format!("{ratio:.2} ({figure})"), (end + 5, y + 8), 11, HPos::Left)?;
    }
    Ok(())
}

fn bars(run: &Run, (_, suite, begins, ends): &(&str, &str, &str, &str)) -> Option<Vec<Bar>> {
    let report = run.reports.iter().find(|report| report.suite == *suite)?;
    let group = report.groups.iter().find(|group| group.name.starts_with(begins) && group.name.ends_with(ends))?;
    let bar = |entry: &Entry| {
        let label = FLOORS.iter().find(|floor| floor.0 == entry.name).map_or(entry.name.as_str(), |floor| floor.1);
        let unit = if group.unit == Unit::Count { "" } else { group.unit.symbol() };
        let figure = format!("{} {unit}", group.unit.show(entry.summary()?.median)).trim_end().to_owned();
        Some((label.to_owned(), group.ratio(entry, "hyper")?.median, figure))
    };
    Some(group.entries.iter().filter_map(bar).collect()).filter(|bars: &Vec<_>| !bars.is_empty())
}

/// Draws the curves of a load. The horizontal axis is the percentile, and the vertical axis the latency in microseconds.
/// Both are logarithmic.
fn draw_curves(load: &[Group], area: &Area<'_>) -> Result {
    // One request in this number of requests is slower than the percentile.
    let odds = |percentile: &f64| 1.0 / (1.0 - percentile / 100.0);
    let curve = |&(name, colour): &(&'static str, RGBColor)| {
        let median = |group: &Group| Some(group.entry(name)?.summary()?.median / 1000.0);
        let medians = load[..PERCENTILES.len()].iter().map(median).collect::<Option<Vec<f64>>>()?;
        Some((name, colour, medians))
    };
    let curves: Vec<_> = CURVES.iter().filter_map(curve).collect();
    let all = || curves.iter().flat_map(|curve| curve.2.iter().copied());
    let range = all().fold(f64::MAX, f64::min) * 0.8..all().fold(1.0, f64::max) * 1.3;
    let mut chart = ChartBuilder::on(area)
        .caption(load[0].condition(), ("sans-serif", 13))
        .margin(8)
        .margin_right(24)
        .x_label_area_size(24)
        .y_label_area_size(48)
        .build_cartesian_2d((2.0..10_000.0).log_scale(), range.log_scale())?;
    chart
        .configure_mesh()
        .x_label_formatter(&|odds| match *odds as u64 {
            10 => "p90".into(),
            100 => "p99".into(),
            1000 => "p99.9".into(),
            10_000 => "p99.99".into(),
            _ => String::new(),
        })
        .y_label_formatter(&|micros| {
            // Only times of one, two and five times a power of ten have labels.
            match (micros / 10_f64.powf((micros.log10() + 1e-9).floor())).round() as u32 {
                1 | 2 | 5 if *micros < 1000.0 => format!("{micros:.0} µs"),
                1 | 2 | 5 => format!("{:.0} ms", micros / 1000.0),
                _ => String::new(),
            }
        })
        .light_line_style(WHITE)
        .draw()?;
    for (name, colour, medians) in curves {
        chart
            .draw_series(LineSeries::new(PERCENTILES.iter().map(odds).zip(medians), colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .border_style(OTHERS)
        .background_style(WHITE)
        .draw()?;
    Ok(())
}
