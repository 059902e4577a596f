//! A chart of what was measured, as SVG: a group of bars for every call, a bar for every program, as long as the logarithm of its time.

use serde_json::Value;

const BAR: usize = 16;
const LABELS: usize = 340;
const WIDTH: usize = 900;
/// Names in a row of the legend.
const NAMES: usize = 3;
/// What has no bar at all, in ms.
const LEAST: f64 = 0.01;
const COLOURS: [&str; 6] = ["#9aa0a6", "#2f7d4f", "#b4552d", "#3b6ea8", "#c7c9cc", "#a03050"];

/// The chart of `rows`, as the report has them: `case`, `program` and `added_ms`.
pub(crate) fn of(rows: &[Value], machine: &str) -> String {
    let text = |row: &Value, member: &str| row[member].as_str().unwrap_or_default().to_owned();
    let most = rows.iter().filter_map(|row| row["added_ms"].as_f64()).fold(0.1, f64::max);
    let length = |ms: f64| (ms.max(LEAST) / LEAST).log10();
    let mut programs: Vec<String> = Vec::new();
    let (mut body, mut y, mut case) = (String::new(), 60, String::new());
    for row in rows {
        let program = text(row, "program");
        let known = programs.iter().position(|known| *known == program).unwrap_or_else(|| {
            programs.push(program);
            programs.len() - 1
        });
        if text(row, "case") != case {
            case = text(row, "case");
            y += BAR / 2;
            body += &format!(
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n",
                LABELS - 8,
                y + BAR - 4,
                escaped(&case)
            );
        }
        let added = row["added_ms"].as_f64().unwrap_or_default().max(0.0);
        let room = (WIDTH - LABELS - 90) as f64;
        let width = length(added) / length(most) * room;
        let colour = COLOURS[known % COLOURS.len()];
        body += &format!(
            "<rect x=\"{LABELS}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" fill=\"{colour}\"/>\n",
            BAR - 3
        );
        body += &format!("<text x=\"{:.1}\" y=\"{}\">{added:.2} ms</text>\n", LABELS as f64 + width + 6.0, y + BAR - 4);
        y += BAR;
    }
    let legend: String = programs
        .iter()
        .enumerate()
        .map(|(index, program)| {
            let (x, y) = (LABELS + index % NAMES * 190, 12 + index / NAMES * 20);
            let colour = COLOURS[index % COLOURS.len()];
            let name = escaped(program);
            format!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"{}\" y=\"{}\">{name}</text>\n",
                x + 18,
                y + 11
            )
        })
        .collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{legend}{body}\
         <text x=\"8\" y=\"{}\" fill=\"#666\">added to a call, median of pairs, drawn by its logarithm; {}</text>\n</svg>\n",
        y + 40,
        y + 26,
        escaped(machine)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
