//! The README's chart: CPU seconds per million rows, as bars.

use std::fmt::Write;

use anyhow::Result;

use super::cases::standard::{FLINK, FLINK_ALONE, FLOOR, PRODUCT, SCRIPT};
use super::report::{Line, Results, Table};

const WIDTH: f64 = 760.0;
const BAR: f64 = 26.0;
const STEP: f64 = 38.0;
const LABEL: f64 = 250.0;
/// Space for a figure behind the longest bar.
const FIGURE: f64 = 60.0;

/// Light and dark pages show the same file, so its colours suit both.
const STYLE: &str = "text{font:14px system-ui,sans-serif;fill:#57606a}.b{fill:#8c959f}.p{fill:#0969da}.f{font-weight:600}\
                     @media(prefers-color-scheme:dark){text{fill:#9198a1}.b{fill:#656c76}.p{fill:#4493f8}}";

pub(crate) fn svg(standard: &Table) -> Result<String> {
    let mut bars: Vec<(&Line, f64)> =
        standard.lines.iter().filter_map(|line| Some((line, line.of("cpu")?))).collect();
    bars.retain(|(line, _)| line.name != FLINK_ALONE);
    bars.sort_by(|a, b| a.1.total_cmp(&b.1));
    let longest = bars.last().map_or(1.0, |(_, cpu)| *cpu);
    let height = 40.0 + STEP * bars.len() as f64;
    let title = "CPU seconds to move a million records from Kafka into Parquet; less is better";
    let mut svg = String::new();
    writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">"#
    )?;
    writeln!(svg, "<style>{STYLE}</style>\n<text x=\"0\" y=\"18\" class=\"f\">{title}</text>")?;
    for (place, (line, cpu)) in bars.iter().enumerate() {
        let (y, width) = (36.0 + STEP * place as f64, (WIDTH - LABEL - FIGURE) * cpu / longest);
        let class = if line.name == PRODUCT { "p" } else { "b" };
        let (text, end) = (y + BAR * 0.7, LABEL + width + 8.0);
        writeln!(svg, r#"<text x="{}" y="{text:.0}" text-anchor="end">{}</text>"#, LABEL - 10.0, line.name)?;
        writeln!(
            svg,
            r#"<rect class="{class}" x="{LABEL}" y="{y:.0}" width="{width:.1}" height="{BAR}" rx="3"/>"#
        )?;
        writeln!(svg, r#"<text x="{end:.0}" y="{text:.0}" class="f">{cpu:.1}</text>"#)?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// The README's lines: the chart, and what it says.
pub(crate) fn summary(results: &Results) -> Option<String> {
    let of = |line, key| results.figure("standard", line, key);
    let (cpu, memory) = (of(PRODUCT, "cpu")?, of(PRODUCT, "rss")?);
    let mut text = format!(
        "![CPU seconds to move a million records](docs/benchmarks.svg)\n\n\
         A million JSON records of 421 bytes cost {cpu:.1} CPU seconds from Kafka into typed Parquet, exactly once, in {memory:.0} MiB"
    );
    let times = |line| of(line, "cpu").map(|other| other / cpu);
    let beside = [
        ("a consumer without any guarantee", times(FLOOR)),
        ("a script with pyarrow", times(SCRIPT)),
        ("Flink", times(FLINK)),
    ];
    let beside: Vec<String> =
        beside.iter().filter_map(|(name, times)| Some(format!("{name} {:.1}", (*times)?))).collect();
    if !beside.is_empty() {
        let _ = write!(text, "; as a multiple of that: {}", beside.join(", "));
    }
    text.push_str(
        ".\nEvery output was read back and added up exactly. `./x bench` runs it all again:\n\
         [docs/benchmarks.md](docs/benchmarks.md); how to tune: [docs/tuning.md](docs/tuning.md).\n",
    );
    Some(text)
}
