//! What was measured, drawn: an SVG with a chart for each case, made of rectangles, lines and text.

use std::fmt::Write;

use crate::report::{Book, Fact, PUMP, Row, Spread, is_in_table};

/// All lengths are in pixels.
const WIDTH: f64 = 900.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 250.0;
const BAR: f64 = 18.0;
const STEP: f64 = 26.0;
const TITLE: f64 = 34.0;
const GAP: f64 = 22.0;

/// Colours of ours, of the limit, and of the others.
const OURS: &str = "#1b6ca8";
const LIMIT: &str = "#9aa5b1";
const OTHERS: &str = "#d98e32";

/// A bar, with the least and the most as a line through its end.
struct Bar {
    name: String,
    colour: &'static str,
    spread: Spread,
    label: String,
}

/// A chart; its scale is linear from 0, or logarithmic where the values are far from each other, as latencies are.
struct Chart {
    title: String,
    bars: Vec<Bar>,
    is_logarithmic: bool,
}

/// The whole drawing.
pub fn svg(book: &Book) -> String {
    let charts = charts(book);
    let heights = charts.iter().map(|chart| TITLE + STEP * chart.bars.len() as f64 + GAP);
    let height = heights.sum::<f64>() + GAP;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let mut y = GAP / 2.0;
    for chart in &charts {
        y = chart.draw(y, &mut out);
    }
    out.push_str("</svg>\n");
    out
}

fn charts(book: &Book) -> Vec<Chart> {
    let mut charts: Vec<Chart> = Vec::new();
    for row in &book.rows {
        let Some(spread) = row.rate() else { continue };
        let title = format!("{}, {} bytes: messages a second (medians; lines: least to most)", row.case, row.size);
        let label = match row.lost() {
            0 => thousands(spread.median),
            lost => format!("{}, {lost} LOST", thousands(spread.median)),
        };
        let bar = Bar { name: row.system.to_owned(), colour: colour(row), spread, label };
        put(&mut charts, title, bar, false);
    }
    for fact in book.facts.iter().filter(|fact| !is_in_table(fact) || fact.what == "messages") {
        let is_latency = fact.case.starts_with("latency") && fact.unit == "ms";
        let title = if is_latency {
            format!("{}: {}, logarithmic", fact.case, fact.unit)
        } else {
            format!("{}: {}, {}", fact.case, fact.what, fact.unit)
        };
        if let Some(bar) = fact_bar(fact, is_latency) {
            put(&mut charts, title, bar, is_latency);
        }
    }
    charts
}

fn fact_bar(fact: &Fact, with_what: bool) -> Option<Bar> {
    let spread = Spread::of(fact.values.iter().copied().filter(|value| value.is_finite()))?;
    let name = if with_what { format!("{} {}", fact.system, short(&fact.what)) } else { fact.system.clone() };
    let lost = fact.lost.filter(|lost| *lost > 0).map_or(String::new(), |lost| format!(", {lost} LOST"));
    let label = format!("{}{lost}", thousands(spread.median));
    let colour = if fact.system.starts_with("ours") || is_in_table(fact) {
        OURS
    } else if is_limit(&fact.system) {
        LIMIT
    } else {
        OTHERS
    };
    Some(Bar { name, colour, spread, label })
}

fn short(what: &str) -> &str {
    if what.contains("own delay") { "(sender)" } else { what }
}

fn is_limit(system: &str) -> bool {
    system.starts_with(PUMP)
}

fn colour(row: &Row) -> &'static str {
    match row.is_ours {
        true => OURS,
        false if is_limit(row.system) => LIMIT,
        false => OTHERS,
    }
}

fn put(charts: &mut Vec<Chart>, title: String, bar: Bar, is_logarithmic: bool) {
    match charts.iter_mut().find(|chart| chart.title == title) {
        Some(chart) => chart.bars.push(bar),
        None => charts.push(Chart { title, bars: vec![bar], is_logarithmic }),
    }
}

impl Chart {
    /// Draws it from `top` on; where it ends.
    fn draw(&self, top: f64, out: &mut String) -> f64 {
        let positive = self.bars.iter().map(|bar| bar.spread.least).filter(|value| *value > 0.0);
        let least = positive.fold(f64::INFINITY, f64::min).min(1e9);
        let most = self.bars.iter().map(|bar| bar.spread.most).fold(f64::MIN_POSITIVE, f64::max);
        let room = WIDTH - LEFT - RIGHT;
        let x = |value: f64| {
            let part = if self.is_logarithmic {
                // Half of the least, so that its bar is seen.
                (value.max(least) / (least / 2.0)).ln() / (most / (least / 2.0)).ln()
            } else {
                value / most
            };
            LEFT + room * part.clamp(0.0, 1.0)
        };
        text(out, 10.0, top + 18.0, "start", true, &self.title);
        let mut y = top + TITLE - 6.0;
        for bar in &self.bars {
            let Spread { median, least, most } = bar.spread;
            let (end, middle) = (x(median), y + BAR / 2.0);
            text(out, LEFT - 6.0, middle + 4.0, "end", false, &bar.name);
            line(
                out,
                format_args!(
                    "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{}\"/>",
                    end - LEFT,
                    bar.colour
                ),
            );
            let [from, to] = [x(least), x(most)];
            line(
                out,
                format_args!(
                    "<path d=\"M{from:.1} {middle:.1}H{to:.1}M{from:.1} {:.1}v8M{to:.1} {:.1}v8\" stroke=\"#222222\"/>",
                    middle - 4.0,
                    middle - 4.0
                ),
            );
            text(out, end.max(to) + 8.0, middle + 4.0, "start", false, &bar.label);
            y += STEP;
        }
        y + GAP
    }
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, is_bold: bool, words: &str) {
    let weight = if is_bold { " font-weight=\"bold\"" } else { "" };
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    line(out, format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{weight}>{words}</text>"));
}

fn line(out: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    _ = writeln!(out, "{what}");
}

/// A number with a space before each three digits, or with decimals where it is small.
fn thousands(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}
