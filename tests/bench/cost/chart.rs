//! The rows of the table as a bar chart, readable on dark and light backgrounds.

use svg::node::element::{Group, Rectangle, Style, Text, Title};
use svg::{Document, Node};

use crate::dialect::Dialect;
use crate::results::{Results, Row, amount};
use crate::server::Kind;

const WIDTH: f64 = 900.0;
const MARGIN: f64 = 24.0;
/// Where the bars begin, and the length of the longest bar of a row.
const BARS: f64 = 200.0;
const LONGEST: f64 = 520.0;
const BAR: f64 = 15.0;
const BETWEEN_BARS: f64 = 3.0;
const BETWEEN_ROWS: f64 = 14.0;
const HEADING: f64 = 46.0;
/// From the top of a bar to the baseline of its text.
const BASELINE: f64 = 12.0;

const STYLE: &str = "
svg { color-scheme: light dark; font-family: system-ui, -apple-system, 'Segoe UI', sans-serif; font-size: 13px; }
.paper { fill: #ffffff; } .words { fill: #1f2328; } .quiet { fill: #59636e; }
.handclasp { fill: #0a7d5a; } .npm { fill: #c9762b; } .limit { fill: #a9b3be; }
.heading { font-size: 16px; font-weight: 600; } .strong { font-weight: 600; } .small { font-size: 12px; }
@media (prefers-color-scheme: dark) {
  .paper { fill: #0d1117; } .words { fill: #e6edf3; } .quiet { fill: #9198a1; }
  .handclasp { fill: #2fbf8f; } .npm { fill: #e09a55; } .limit { fill: #57606a; }
}";

/// Draws the chart.
pub fn draw(results: &Results) -> String {
    let mut chart = Chart { parts: Group::new(), y: MARGIN };
    chart.legend();
    for dialect in [Dialect::Phoenix, Dialect::PeerJs, Dialect::SocketIo] {
        let rows: Vec<&Row> = results.rows.iter().filter(|row| row.dialect == dialect).collect();
        if !rows.is_empty() {
            chart.heading(dialect.name());
            rows.into_iter().for_each(|row| chart.row(row));
        }
    }
    chart.foot(results);
    let height = chart.y + MARGIN;
    let paper = rectangle("paper", 0.0, 0.0, WIDTH, height).set("rx", 8);
    let document = Document::new()
        .set("viewBox", (0.0, 0.0, WIDTH, height))
        .set("width", WIDTH)
        .set("height", height)
        .set("role", "img")
        .add(Title::new("What the broker costs"))
        .add(Style::new(STYLE))
        .add(paper)
        .add(chart.parts);
    format!("{document}\n")
}

/// A chart that grows downwards.
struct Chart {
    parts: Group,
    y: f64,
}

impl Chart {
    fn legend(&mut self) {
        self.write("words heading", MARGIN, self.y + BASELINE, "CPU time or memory of the server: shorter is better");
        self.y += 28.0;
        let mut x = MARGIN;
        for (kind, text) in [
            (Kind::Handclasp, "Handclasp"),
            (Kind::Limit, "limit: a bare epoll loop without checks"),
            (Kind::Npm, "npm’s peer, npm’s socket.io"),
        ] {
            self.add(rectangle(class(kind), x, self.y, BAR, BAR).set("rx", 3));
            self.write("quiet", x + BAR + 6.0, self.y + BASELINE, text);
            x += 40.0 + text.chars().count() as f64 * 6.6;
        }
        self.y += BAR;
    }

    fn heading(&mut self, text: &str) {
        self.y += HEADING;
        self.write("words heading", MARGIN, self.y - 16.0, text);
    }

    /// A row. Each row has a scale of its own, because the units differ.
    fn row(&mut self, row: &Row) {
        let longest = row.figures.values().map(|figure| figure.cost).fold(1e-9, f64::max);
        self.write("words", MARGIN, self.y + BASELINE, &row.work);
        self.write("quiet small", MARGIN, self.y + BASELINE + 16.0, &row.unit);
        let top = self.y;
        for (kind, figure) in &row.figures {
            let length = (figure.cost / longest * LONGEST).max(2.0);
            self.add(rectangle(class(*kind), BARS, self.y, length, BAR).set("rx", 3));
            let weight = if *kind == Kind::Handclasp { "words strong" } else { "quiet" };
            self.write(weight, BARS + length + 8.0, self.y + BASELINE, &text(row, *kind, figure.cost));
            self.y += BAR + BETWEEN_BARS;
        }
        // two lines of text stand beside the bars
        self.y = self.y.max(top + 32.0) + BETWEEN_ROWS;
    }

    fn foot(&mut self, results: &Results) {
        for line in results.caption().split_inclusive(". ") {
            self.y += 18.0;
            self.write("quiet small", MARGIN, self.y, line.trim_end());
        }
    }

    fn write(&mut self, class: &str, x: f64, y: f64, text: &str) {
        self.add(Text::new(text).set("class", class).set("x", x).set("y", y));
    }

    fn add(&mut self, part: impl Node) {
        self.parts.append(part);
    }
}

/// The cost, and how Handclasp compares.
fn text(row: &Row, kind: Kind, cost: f64) -> String {
    let compared = match kind {
        Kind::Handclasp => None,
        Kind::Limit if row.unit.starts_with("bytes") => None,
        other => row.ratio(other).map(|ratio| format!(" · Handclasp takes {ratio:.2} of it")),
    };
    amount(cost) + &compared.unwrap_or_default()
}

fn rectangle(class: &str, x: f64, y: f64, width: f64, height: f64) -> Rectangle {
    let rectangle = Rectangle::new().set("class", class).set("x", x).set("y", y);
    rectangle.set("width", (width * 10.0).round() / 10.0).set("height", height)
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Handclasp => "handclasp",
        Kind::Npm => "npm",
        Kind::Limit => "limit",
    }
}
