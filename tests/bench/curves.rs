//! Curves as SVG: panels in two columns, each with axes and a line for every series.
//!
//! Pure: numbers in, text out.

use std::fmt::Write;

/// One diagram.
#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) across: &'static str,
    pub(crate) upwards: &'static str,
    /// Whether both axes go by powers of ten.
    pub(crate) is_logarithmic: bool,
    pub(crate) series: Vec<Series>,
}

/// One line: its name and its points.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 44.0;
const COLOURS: [&str; 6] = ["#1b6ca8", "#4f9d69", "#7a4fa3", "#d1495b", "#e08e45", "#8d6b4f"];

/// All panels in one picture.
pub(crate) fn svg(panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(2);
    let (width, height) = (2.0 * WIDTH, rows as f64 * HEIGHT);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (index, panel) in panels.iter().enumerate() {
        let (x, y) = ((index % 2) as f64 * WIDTH, (index / 2) as f64 * HEIGHT);
        let _ = write!(text, "<g transform=\"translate({x},{y})\">\n{}</g>\n", drawn(panel));
    }
    text + "</svg>\n"
}

fn drawn(panel: &Panel) -> String {
    let points = || panel.series.iter().flat_map(|series| &series.points);
    let across = Axis::new(points().map(|point| point.0), panel.is_logarithmic, LEFT, WIDTH - RIGHT);
    let upwards = Axis::new(points().map(|point| point.1), panel.is_logarithmic, HEIGHT - BOTTOM, TOP);
    let mut text = format!("<text x=\"{LEFT}\" y=\"20\" font-size=\"13\">{}</text>\n", panel.title);
    let (foot, end) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for value in across.marks() {
        let x = across.place(value);
        let _ = writeln!(
            text,
            "<path d=\"M{x:.1} {foot}V{TOP}\" stroke=\"#e4e4e4\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            foot + 15.0,
            short(value)
        );
    }
    for value in upwards.marks() {
        let y = upwards.place(value);
        let _ = writeln!(
            text,
            "<path d=\"M{LEFT} {y:.1}H{end}\" stroke=\"#e4e4e4\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 5.0,
            y + 4.0,
            short(value)
        );
    }
    let _ = write!(
        text,
        "<path d=\"M{LEFT} {TOP}V{foot}H{end}\" fill=\"none\" stroke=\"#333\"/>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n\
         <text transform=\"translate(14,{}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
        (LEFT + end) / 2.0,
        HEIGHT - 10.0,
        panel.across,
        (TOP + foot) / 2.0,
        panel.upwards
    );
    for (index, Series { name, points }) in panel.series.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let places: Vec<_> = points.iter().map(|point| (across.place(point.0), upwards.place(point.1))).collect();
        let line: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            line.join(" ")
        );
        for (x, y) in places {
            let _ = write!(text, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{colour}\"/>");
        }
        let y = TOP + 12.0 + 16.0 * index as f64;
        let _ = writeln!(text, "\n<text x=\"{}\" y=\"{y}\" fill=\"{colour}\">{name}</text>", end + 8.0);
    }
    text
}

/// Where values are between two places of a panel.
struct Axis {
    low: f64,
    high: f64,
    is_logarithmic: bool,
    start: f64,
    end: f64,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64>, is_logarithmic: bool, start: f64, end: f64) -> Self {
        let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = match is_logarithmic {
            true => (10_f64.powf(low.max(1e-3).log10().floor()), 10_f64.powf(high.max(1e-3).log10().ceil())),
            false => (0.0, high * 1.05),
        };
        Axis { low, high, is_logarithmic, start, end }
    }

    fn place(&self, value: f64) -> f64 {
        let part = match self.is_logarithmic {
            true => (value.max(self.low) / self.low).log10() / (self.high / self.low).log10().max(1.0),
            false => value / self.high,
        };
        self.start + part * (self.end - self.start)
    }

    fn marks(&self) -> Vec<f64> {
        match self.is_logarithmic {
            true => {
                let powers = (self.high / self.low).log10().round() as i32;
                (0..=powers).map(|power| self.low * 10_f64.powi(power)).collect()
            }
            false => (0..=4).map(|part| self.high / 1.05 * f64::from(part) / 4.0).collect(),
        }
    }
}

fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", value / 1e6),
        value if value >= 1e3 => format!("{}k", value / 1e3),
        value => format!("{}", (value * 1000.0).round() / 1000.0),
    }
}
