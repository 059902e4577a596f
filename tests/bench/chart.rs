//! A chart of what was measured, as SVG: a group of bars for every call, a bar for every program.

use serde_json::Value;

const BAR: usize = 16;
const LABELS: usize = 340;
const WIDTH: usize = 900;
const COLOURS: [&str; 5] = ["#9aa0a6", "#2f7d4f", "#b4552d", "#3b6ea8", "#7a4fa3"];

/// The chart of `rows`, as the report has them: `case`, `program` and `added_ms`.
pub(crate) fn of(rows: &[Value], machine: &str) -> String {
    let text = |row: &Value, member: &str| row[member].as_str().unwrap_or_default().to_owned();
    let most = rows.iter().filter_map(|row| row["added_ms"].as_f64()).fold(0.1, f64::max);
    let mut programs: Vec<String> = Vec::new();
    let (mut body, mut y, mut case) = (String::new(), 40, String::new());
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
        let width = added / most * room;
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
            let x = LABELS + index * 190;
            let colour = COLOURS[index % COLOURS.len()];
            format!("<rect x=\"{x}\" y=\"12\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"{}\" y=\"23\">{}</text>\n", x + 18, escaped(program))
        })
        .collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{legend}{body}\
         <text x=\"8\" y=\"{}\" fill=\"#666\">added to a call, median; {}</text>\n</svg>\n",
        y + 40,
        y + 26,
        escaped(machine)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
