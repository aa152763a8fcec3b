//! A chart of a run for a page: bars as ratios to hyper, readable on a light and on a dark page.

use std::fmt::Write;

use super::report::{Group, Run};
use super::stats::Summary;
use super::unit::Unit;

/// One chart of the page: a group of a report, chosen by its suite and by how its name begins and ends.
struct Panel {
    title: &'static str,
    suite: &'static str,
    begins: &'static str,
    ends: &'static str,
    /// What a bar of length 1 is.
    reference: &'static str,
    /// What more than one of it means.
    better: &'static str,
}

const PANELS: &[Panel] = &[
    Panel {
        title: "Round trips over a Unix socket, two cores",
        suite: "duo",
        begins: "Unix, apart",
        ends: "",
        reference: "hyper",
        better: "times as fast as hyper",
    },
    Panel {
        title: "Round trips over a Unix socket, one core",
        suite: "duo",
        begins: "Unix, same",
        ends: "",
        reference: "hyper",
        better: "times as fast as hyper",
    },
    Panel {
        title: "Round trips over IPv6, two cores",
        suite: "duo",
        begins: "IPv6, apart",
        ends: "",
        reference: "hyper",
        better: "times as fast as hyper",
    },
    Panel {
        title: "Round trips over TLS, one core",
        suite: "tls",
        begins: "round trips, same",
        ends: "",
        reference: "hyper",
        better: "times as fast as hyper over rustls",
    },
    Panel {
        title: "Requests a second over 64 connections",
        suite: "throughput",
        begins: "64 connections: ",
        ends: "second",
        reference: "hyper",
        better: "times as many as hyper",
    },
    Panel {
        title: "Requests for a second of CPU, 64 connections",
        suite: "throughput",
        begins: "64 connections: ",
        ends: "CPU time a request",
        reference: "hyper",
        better: "times as many as hyper",
    },
    Panel {
        title: "Requests a second, 64 connections, 16 deep",
        suite: "throughput",
        begins: "64 connections, 16 deep: ",
        ends: "second",
        reference: "hyper, flush",
        better: "times as many as hyper with pipeline_flush",
    },
    Panel {
        title: "Idle connections in the same memory",
        suite: "idle",
        begins: "",
        ends: "connections: memory of each",
        reference: "hyper",
        better: "times as many as hyper",
    },
];

/// Who is shown, in this order, and as what.
const BARS: &[(&str, &str)] = &[
    ("raw-poll", "no HTTP, polling"),
    ("raw", "no HTTP, blocking"),
    ("raw-tokio", "no HTTP, tokio"),
    ("degu", "Degu"),
    ("degu-blocking → degu", "Degu, blocking client"),
    ("hyper", "hyper"),
    ("hyper, flush", "hyper, pipeline_flush"),
    ("nginx", "nginx"),
    ("degu-0.18", "Degu 0.18"),
];

/// A panel's size, and where its bars begin and end, in pixels.
const WIDTH: usize = 440;
const LABELS: usize = 150;
const LONGEST: f64 = 180.0;
const ROW: usize = 20;
const HEAD: usize = 44;

/// The chart of all panels whose groups the run has; `None` if it has none of them.
pub(super) fn chart(run: &Run) -> Option<String> {
    let panels: Vec<(&Panel, Vec<Bar>)> = PANELS.iter().filter_map(|panel| Some((panel, bars(run, panel)?))).collect();
    if panels.is_empty() {
        return None;
    }
    let rows: Vec<&[(&Panel, Vec<Bar>)]> = panels.chunks(2).collect();
    let height =
        |row: &[(&Panel, Vec<Bar>)]| HEAD + row.iter().map(|(_, bars)| bars.len()).max().unwrap_or(0) * ROW + 16;
    let all_width = panels.len().min(2) * WIDTH;
    let all_height = rows.iter().map(|row| height(row)).sum::<usize>() + 20;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{all_width}\" height=\"{all_height}\" \
         viewBox=\"0 0 {all_width} {all_height}\" role=\"img\">\n<title>Benchmark, as ratios to hyper</title>\n{STYLE}"
    );
    let mut top = 0;
    for row in &rows {
        for (number, (panel, bars)) in row.iter().enumerate() {
            draw(&mut svg, panel, bars, number * WIDTH, top);
        }
        top += height(row);
    }
    write_line(&mut svg, &text("small", 10.0, all_height as f64 - 8.0, "start", &run.machine));
    svg += "</svg>\n";
    Some(svg)
}

/// Text in the middle of whatever page it is on; ours stands out.
const STYLE: &str = "\
<style>
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 13px }
.small { font-size: 10px; fill: #57606a }
.other { fill: #8c959f }
.ours { fill: #0969da }
.one { stroke: #57606a; stroke-dasharray: 3 2 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.small { fill: #9198a1 }
.other { fill: #6e7681 }
.ours { fill: #4493f8 }
.one { stroke: #9198a1 }
}
</style>
";

#[derive(Debug, PartialEq)]
struct Bar {
    label: &'static str,
    /// How many times as good as the reference.
    ratio: f64,
    /// The figure itself.
    figure: String,
}

fn bars(run: &Run, panel: &Panel) -> Option<Vec<Bar>> {
    let report = run.reports.iter().find(|report| report.suite == panel.suite)?;
    let chosen = |group: &&Group| group.name.starts_with(panel.begins) && group.name.ends_with(panel.ends);
    let group = report.groups.iter().find(chosen)?;
    let reference = group.entry(panel.reference)?;
    let bar = |(name, label): &(&str, &'static str)| {
        let entry = group.entry(name)?;
        // The same as in the table, or turned over where less is better.
        let ratio = Summary::of_ratios(&entry.samples, &reference.samples)?.median;
        let ratio = if group.unit.more_is_better() { ratio } else { 1.0 / ratio };
        let shown = group.unit.show(Summary::of(&entry.samples)?.median);
        let figure = match group.unit {
            Unit::PerSecond => format!("{shown}/s"),
            unit => format!("{shown} {}", unit.symbol()),
        };
        ratio.is_finite().then_some(Bar { label, ratio, figure })
    };
    Some(BARS.iter().filter_map(bar).collect())
}

fn draw(svg: &mut String, panel: &Panel, bars: &[Bar], left: usize, top: usize) {
    let most = bars.iter().map(|bar| bar.ratio).fold(1.0, f64::max);
    let length = |ratio: f64| ratio / most * LONGEST;
    let (left, top) = (left as f64, top as f64);
    write_line(svg, &text("title", left + 10.0, top + 18.0, "start", panel.title));
    write_line(svg, &text("small", left + 10.0, top + 33.0, "start", panel.better));
    let begin = left + LABELS as f64;
    for (number, bar) in bars.iter().enumerate() {
        let y = top + (HEAD + number * ROW) as f64;
        let class = if bar.label.starts_with("Degu") && bar.label != "Degu 0.18" { "ours" } else { "other" };
        write_line(svg, &text("label", begin - 6.0, y + 12.0, "end", bar.label));
        let width = length(bar.ratio);
        write_line(
            svg,
            &format!("<rect class=\"{class}\" x=\"{begin:.0}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"15\"/>"),
        );
        let value = format!("{:.2}× ({})", bar.ratio, bar.figure);
        write_line(svg, &text("small", begin + width + 5.0, y + 11.0, "start", &value));
    }
    let (x, from, to) = (begin + length(1.0), top + HEAD as f64 - 3.0, top + (HEAD + bars.len() * ROW) as f64 - 2.0);
    write_line(svg, &format!("<line class=\"one\" x1=\"{x:.1}\" y1=\"{from:.0}\" x2=\"{x:.1}\" y2=\"{to:.0}\"/>"));
}

fn text(class: &str, x: f64, y: f64, anchor: &str, words: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.0}\" text-anchor=\"{anchor}\">{words}</text>")
}

fn write_line(svg: &mut String, line: &str) {
    // A string takes whatever is written.
    let _ = writeln!(svg, "{line}");
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    fn run(suite: &str, group: &str, unit: Unit) -> Run {
        let entries: [(&str, &[f64]); 3] =
            [("hyper", &[20.0, 40.0]), ("degu", &[5.0, 10.0]), ("degu → hyper", &[9.0, 9.0])];
        let mut report = report(&["hyper"], &entries);
        report.suite = suite.into();
        (report.groups[0].name, report.groups[0].unit) = (group.into(), unit);
        Run { machine: "4 × <processor>".into(), reports: vec![report] }
    }

    #[test]
    fn less_is_better_or_worse() {
        let bars = |unit| super::bars(&run("duo", "Unix, apart", unit), &PANELS[0]).unwrap();
        let ratios = |unit| bars(unit).iter().map(|bar| (bar.label, bar.ratio)).collect::<Vec<_>>();
        assert_eq!(ratios(Unit::Nanoseconds), [("Degu", 4.0), ("hyper", 1.0)]);
        assert_eq!(ratios(Unit::PerSecond), [("Degu", 0.25), ("hyper", 1.0)]);
        assert_eq!(bars(Unit::Nanoseconds)[0].figure, "7.5 ns");
    }

    #[test]
    fn the_chart() {
        let svg = chart(&run("idle", "1000 connections: memory of each", Unit::Kibibytes)).unwrap();
        assert_eq!(svg.matches("<rect").count(), 2);
        assert!(svg.contains("Idle connections in the same memory") && !svg.contains("Round trips"));
        assert!(svg.contains("4 × &lt;processor&gt;") && svg.contains(">4.00× (0.01 KiB)<"));
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        // Each tag that is not closed by itself is closed once.
        for tag in ["text", "style", "title", "svg"] {
            let opened = svg.matches(&format!("<{tag}>")).count() + svg.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, svg.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }

    #[test]
    fn nothing_to_show() {
        assert_eq!(chart(&run("wire", "small", Unit::Nanoseconds)), None);
    }
}
