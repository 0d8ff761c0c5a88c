//! Shapes of topics and tables that could make memory grow or speed collapse.

use anyhow::Result;

use super::standard::ENOUGH;
use crate::bench::Bench;
use crate::conditions;
use crate::job::Settings;
use crate::measure::Cost;
use crate::report::{COSTS, Line, Table, columns};
use crate::workload::{Kind, Shape};

struct Case {
    name: &'static str,
    shape: Shape,
    sink: Option<&'static str>,
}

fn cases(records: u64) -> Vec<Case> {
    let case = |name, shape| Case { name, shape, sink: None };
    let standard = Shape::events(records);
    vec![
        case("4 partitions", standard.clone()),
        case("200 partitions", Shape { partitions: 200, ..Shape::named("partitions", records) }),
        Case {
            sink: Some("partition_by: [\"bucket(50, user_id)\"]"),
            ..case("50 open table partitions", standard)
        },
        case("200 columns", Shape { kind: Kind::Wide, ..Shape::named("wide", records / 10) }),
        case("messages of 1 MiB", Shape { kind: Kind::Large, ..Shape::named("large", records / 1_000) }),
        case("messages of 60 bytes", Shape { kind: Kind::Small, ..Shape::named("small", records * 3) }),
        case("90 % in one partition", Shape { skew_percent: 90, ..Shape::named("skew", records) }),
        case("half aborted", Shape { aborted_percent: 50, ..Shape::named("aborted", records) }),
    ]
}

pub(crate) async fn memory(bench: &mut Bench) -> Result<Table> {
    let cases = cases(bench.records.min(ENOUGH));
    let mut costs: Vec<Vec<Cost>> = cases.iter().map(|_| Vec::new()).collect();
    let mut output = vec![(0, 0); cases.len()];
    for _ in 0..bench.rounds {
        for (place, case) in cases.iter().enumerate() {
            let topic = bench.topic(&case.shape).await?;
            let mut settings = Settings::new(bench.name("memory"), &case.shape);
            if let Some(sink) = case.sink {
                settings = settings.with("sink", sink);
            }
            let (cost, found) = bench.run(&settings, &topic).await?;
            eprintln!("{}: {cost:?}", case.name);
            costs[place].push(cost);
            output[place] = (found.files, found.bytes);
        }
    }
    let mut lines = Vec::new();
    for (place, case) in cases.iter().enumerate() {
        let topic = bench.topic(&case.shape).await?;
        let line = Line::of_costs(case.name, topic.totals.rows, topic.bytes, &costs[place], &costs[0]);
        let cpu = line.of("cpu").map(|cpu| cpu * topic.totals.rows as f64 / topic.bytes as f64);
        lines.push(line.with("cpu_gb", cpu.map(|cpu| cpu * 1e3)).with("files", output[place].0 as f64));
    }
    let mut all: Vec<_> = COSTS.into_iter().filter(|(key, ..)| *key != "to_reference").collect();
    all.extend([("cpu_gb", "CPU s / GB", 2), ("files", "files", 0)]);
    Ok(Table {
        conditions: conditions(bench.rounds, bench.records.min(ENOUGH)),
        columns: columns(&all),
        lines,
    })
}
