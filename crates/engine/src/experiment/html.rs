//! The report as one self-contained page: accuracy with intervals, accuracy against diversity, cost of training. No scripts, nothing
//! loaded from elsewhere.

use std::fmt::Write;

use super::report::{ModelResult, Report};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 190.0;
const ROW: f64 = 24.0;

/// The page.
pub fn page(report: &Report) -> String {
    let mut out = String::new();
    let title = format!("Evaluation of {} — {}", escape(&report.dataset.name), escape(&report.protocol));
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head><body>\
         <h1>{title}</h1><p>{} users, {} items, {} events; seed {}; bars show 95 % bootstrap intervals over users.</p>",
        report.dataset.users, report.dataset.items, report.dataset.events, report.seed
    );
    for metric in ["ndcg@10", "hr@10", "mrr@20"] {
        if report.results.iter().any(|row| row.metrics.contains_key(metric)) {
            out += &section(&format!("Accuracy: {metric}"), &bars(report, metric));
        }
    }
    out += &section("Accuracy against diversity (ndcg@10, intra-list diversity at 10)", &scatter(report));
    out += &section("Training cost (CPU seconds of the final fit)", &costs(report));
    out += &section("All figures", &table(report));
    out += &section("Paired differences", &paired(report));
    out += "</body></html>\n";
    out
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}\
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;font-size:13px}\
td,th{padding:.2rem .6rem;border-bottom:1px solid #d8dee4;text-align:right}td:first-child,th:first-child{text-align:left}\
svg{max-width:100%;height:auto}.bar{fill:#4c8dae}.best{fill:#c8553d}.err{stroke:#1b1f24;stroke-width:1.4}text{font-size:12px;fill:#1b1f24}";

fn section(title: &str, content: &str) -> String {
    format!("<h2>{}</h2>{content}", escape(title))
}

/// Horizontal bars with intervals; the best row stands out.
fn bars(report: &Report, metric: &str) -> String {
    let value = |row: &ModelResult| row.metrics.get(metric).copied().unwrap_or(0.0);
    let upper = |row: &ModelResult| row.ci95.get(metric).map_or(value(row), |(_, high)| *high);
    let largest = report.results.iter().map(upper).fold(f64::MIN_POSITIVE, f64::max);
    let best = report.results.iter().map(value).fold(0.0, f64::max);
    let scale = (WIDTH - LEFT - 130.0) / largest;
    chart(report.results.len(), |out| {
        for (place, row) in report.results.iter().enumerate() {
            let class = if value(row) >= best { "best" } else { "bar" };
            bar(out, place, &row.label(), value(row) * scale, class, &row.cell(metric));
            if let Some((low, high)) = row.ci95.get(metric) {
                let y = place as f64 * ROW + ROW / 2.0;
                let (from, to) = (LEFT + low * scale, LEFT + high * scale);
                let _ = write!(out, "<line class=\"err\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{y}\" y2=\"{y}\"/>");
            }
        }
    })
}

fn costs(report: &Report) -> String {
    let largest = report.results.iter().map(|row| row.cpu_seconds).fold(f64::MIN_POSITIVE, f64::max);
    let scale = (WIDTH - LEFT - 130.0) / largest;
    chart(report.results.len(), |out| {
        for (place, row) in report.results.iter().enumerate() {
            bar(out, place, &row.label(), row.cpu_seconds * scale, "bar", &format!("{:.2} s", row.cpu_seconds));
        }
    })
}

fn chart(rows: usize, draw: impl Fn(&mut String)) -> String {
    let height = rows as f64 * ROW + 4.0;
    let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
    draw(&mut out);
    out += "</svg>";
    out
}

fn bar(out: &mut String, place: usize, label: &str, length: f64, class: &str, note: &str) {
    let y = place as f64 * ROW;
    let (text_y, end) = (y + 16.0, LEFT + length);
    let _ = write!(
        out,
        "<text x=\"{}\" y=\"{text_y}\" text-anchor=\"end\">{}</text><rect class=\"{class}\" x=\"{LEFT}\" y=\"{}\" width=\"{length:.1}\" \
         height=\"16\"/><text x=\"{:.1}\" y=\"{text_y}\">{}</text>",
        LEFT - 8.0,
        escape(label),
        y + 4.0,
        end.max(LEFT) + 34.0,
        escape(note)
    );
}

fn scatter(report: &Report) -> String {
    let points: Vec<(f64, f64, String)> = report.results.iter().filter_map(point).collect();
    let largest = |pick: fn(&(f64, f64, String)) -> f64| points.iter().map(pick).fold(f64::MIN_POSITIVE, f64::max);
    let (x_max, y_max) = (largest(|p| p.0), largest(|p| p.1));
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} 300\" role=\"img\"><line class=\"err\" x1=\"40\" x2=\"{WIDTH}\" y1=\"270\" y2=\"270\"/><line class=\"err\" x1=\"40\" x2=\"40\" y1=\"10\" y2=\"270\"/><text x=\"{}\" y=\"290\" text-anchor=\"end\">diversity → {x_max:.3}</text><text x=\"44\" y=\"18\">ndcg@10 ↑ {y_max:.4}</text>",
        WIDTH - 4.0
    );
    for (x, y, label) in &points {
        let (px, py) = (40.0 + x / x_max * (WIDTH - 180.0), 270.0 - y / y_max * 230.0);
        let _ = write!(
            out,
            "<circle class=\"bar\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"5\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            px + 8.0,
            py + 4.0,
            escape(label)
        );
    }
    out + "</svg>"
}

fn point(row: &ModelResult) -> Option<(f64, f64, String)> {
    Some((*row.metrics.get("diversity@10")?, *row.metrics.get("ndcg@10")?, row.label()))
}

fn table(report: &Report) -> String {
    let mut names: Vec<&String> = report.results.iter().flat_map(|row| row.metrics.keys()).collect();
    names.sort();
    names.dedup();
    let mut out = "<table><tr><th>model</th>".to_owned();
    for name in &names {
        let _ = write!(out, "<th>{}</th>", escape(name));
    }
    out += "<th>cases</th><th>fit s</th><th>µs/user</th></tr>";
    for row in &report.results {
        let _ = write!(out, "<tr><td>{}</td>", escape(&row.label()));
        for name in &names {
            let _ = write!(out, "<td>{}</td>", row.cell(name));
        }
        let _ = write!(
            out,
            "<td>{}</td><td>{:.2}</td><td>{:.0}</td></tr>",
            row.cases, row.fit_seconds, row.score_microseconds_per_user
        );
    }
    out + "</table>"
}

fn paired(report: &Report) -> String {
    let mut out =
        "<table><tr><th>model</th><th>against</th><th>metric</th><th>difference</th><th>95 % interval</th></tr>"
            .to_owned();
    for pair in &report.paired {
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{:+.4}</td><td>{:+.4} … {:+.4}</td></tr>",
            escape(&pair.model),
            escape(&pair.against),
            pair.metric,
            pair.difference,
            pair.ci95.0,
            pair.ci95.1
        );
    }
    out + "</table>"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
