//! The goals that speed is judged by, beside what was measured.

use std::fmt::Write;

use super::cases::standard::{FLINK, FLINK_ALONE, FLOOR, PRODUCT, SCRIPT};
use super::report::{Results, percent};

/// A goal: what is asked, the figure, what it is compared with, and whether it is met.
struct Goal {
    goal: &'static str,
    figure: Option<String>,
    reference: Option<String>,
    is_met: Option<bool>,
}

/// The table of goals; what was not measured is said so.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = String::from("| goal | figure | beside | met |\n|---|---|---|---|\n");
    for (place, goal) in goals(results).into_iter().enumerate() {
        let verdict = match goal.is_met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "not measured",
        };
        let cell = Option::unwrap_or_default;
        let _ = writeln!(
            text,
            "| {}. {} | {} | {} | {verdict} |",
            place + 1,
            goal.goal,
            cell(goal.figure),
            cell(goal.reference)
        );
    }
    text
}

fn goals(results: &Results) -> Vec<Goal> {
    costs(results).into_iter().chain(times(results)).collect()
}

/// Goals 1 to 5: what a row costs, and how large it is.
fn costs(results: &Results) -> [Goal; 5] {
    let of = |line, key| results.figure("standard", line, key);
    let cpu = |line| of(line, "cpu");
    let to_floor = of(PRODUCT, "to_reference");
    let times = |line| Some(cpu(line)? / cpu(PRODUCT)?);
    let wall = of(PRODUCT, "wall_to_reference").map(|part| 1.0 / part);
    let size = (|| Some(of(PRODUCT, "mb")? / of(FLINK, "mb")?))();
    let memory = |line| results.figure("memory", line, "rss");
    let memories = ["4 partitions", "200 partitions", "50 open table partitions"].map(memory);
    let beside =
        |line, key, unit: &'static str| of(line, key).map(|figure| format!("{line}: {figure:.2} {unit}"));
    [
        Goal {
            goal: "At most 1.1 times the floor's CPU seconds",
            figure: to_floor.map(|times| format!("{times:.2} times")),
            reference: beside(FLOOR, "cpu", "CPU s / M rows"),
            is_met: to_floor.map(|times| times <= 1.1),
        },
        Goal {
            goal: "6 times Flink's rows per CPU second, 3.5 times without its start, 2 times the script's",
            figure: (|| {
                let (whole, alone, script) = (times(FLINK)?, times(FLINK_ALONE)?, times(SCRIPT)?);
                Some(format!("{whole:.1}, {alone:.1}, {script:.1} times"))
            })(),
            reference: (|| {
                let (whole, alone, script) = (cpu(FLINK)?, cpu(FLINK_ALONE)?, cpu(SCRIPT)?);
                Some(format!("{whole:.1}, {alone:.1}, {script:.1} CPU s / M rows"))
            })(),
            is_met: (|| Some(times(FLINK)? >= 6.0 && times(FLINK_ALONE)? >= 3.5 && times(SCRIPT)? >= 2.0))(),
        },
        Goal {
            goal: "With two cores free, 1.7 times as fast as one thread of the floor",
            figure: wall.map(|times| format!("{times:.2} times")),
            reference: beside(FLOOR, "wall", "s"),
            is_met: wall.map(|times| times >= 1.7),
        },
        Goal {
            goal: "Peak memory: 256 MiB with 4 and with 200 partitions, 512 MiB with 50 open table partitions",
            figure: memories.into_iter().collect::<Option<Vec<f64>>>().map(|all| {
                let all: Vec<String> = all.iter().map(|mib| format!("{mib:.0}")).collect();
                format!("{} MiB", all.join(", "))
            }),
            reference: beside(FLOOR, "rss", "MiB"),
            is_met: match memories {
                [Some(few), Some(many), Some(open)] => Some(few <= 256.0 && many <= 256.0 && open <= 512.0),
                _ => None,
            },
        },
        Goal {
            goal: "Output within 10 % of Flink's size",
            figure: size.map(percent),
            reference: beside(FLINK, "mb", "MB"),
            is_met: size.map(|part| part <= 1.1),
        },
    ]
}

/// Goals 6 to 8: start, standstill, growth.
fn times(results: &Results) -> [Goal; 3] {
    let start = |line: &str, key| results.figure("start", line, key);
    let (clean, killed) = ("200 partitions, after a clean stop", "200 partitions, after kill -9");
    let starts = (|| {
        Some([
            start(clean, "read")?,
            start(killed, "read")?,
            start(clean, "visible")?,
            start(killed, "visible")?,
        ])
    })();
    let steady = "steady 30 MB/s, a checkpoint every 0.5 s";
    let stall = |line, key| results.figure("stall", line, key);
    let (waits, short) = (stall(steady, "waits"), stall(steady, "short"));
    let outside = stall(steady, "p99").zip(stall("steady 30 MB/s, no checkpoint", "p99"));
    let growth: Option<Vec<f64>> = results
        .0
        .get("scaling")
        .map(|table| table.lines.iter().filter_map(|line| line.of("to_reference")).skip(1).collect());
    [
        Goal {
            goal: "200 partitions: first record within 1 s of a clean start, within the session timeout (10 s) + 1 s after a kill; first file an interval (2 s) + 2 s later",
            figure: starts.map(|[clean, killed, first, late]| {
                format!(
                    "{clean:.2} s, {killed:.2} s; {:.2} s and {:.2} s later",
                    first - clean,
                    late - killed
                )
            }),
            reference: start("1 partitions, after a clean stop", "read")
                .map(|seconds| format!("1 partition: {seconds:.2} s")),
            is_met: starts.map(|[clean, killed, first, late]| {
                clean <= 1.0 && killed <= 11.0 && first - clean <= 4.0 && late - killed <= 4.0
            }),
        },
        Goal {
            goal: "The source never waits more than 50 ms for a checkpoint (p99 of its waits by its own count; 4 partitions, a folder, 30 MB/s)",
            figure: waits.map(|waits| match short {
                Some(short) => format!("{waits:.0} waits, {short:.1} % of them up to 50 ms"),
                None => format!("{waits:.0} waits"),
            }),
            reference: outside.map(|(with, without)| {
                format!("seen from outside: p99 {with:.0} ms, without checkpoints {without:.0} ms")
            }),
            is_met: waits.map(|waits| waits == 0.0 || short.is_some_and(|short| short >= 99.0)),
        },
        Goal {
            goal: "CPU seconds per row within 10 % with 5 times the rows, and with 2 and 4 replicas",
            figure: growth.clone().map(|all| {
                let all: Vec<String> = all.iter().copied().map(percent).collect();
                all.join(", ")
            }),
            reference: None,
            is_met: growth.map(|all| all.iter().all(|part| *part <= 1.1)),
        },
    ]
}
