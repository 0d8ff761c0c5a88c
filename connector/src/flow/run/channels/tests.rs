use std::collections::BTreeMap;

use tidegate_sinks::memory::Memory;
use tidegate_sinks::{CommitId, Span, TopicPartition};

use super::*;
use crate::config::{Column, Compression, File, Format, Table};
use crate::flow::decode;
use crate::flow::event::Budget;
use crate::flow::stage::StageSettings;
use crate::flow::stage::tests::support::settings;

/// Its first file is one too many.
fn narrow_stager(sink: &Arc<dyn Sink>) -> Stager {
    let column = Column::new("id", "int64");
    let format = Format::default();
    let settings = StageSettings {
        table: Table::Named("t".into()),
        file: File { compression: Compression::None, ..settings().file },
        memory: 4 << 10,
        ..settings()
    };
    Stager::new(settings, sink.clone(), move |_: &str| {
        decode::decoder(&format, std::slice::from_ref(&column))
    })
    .unwrap()
}

fn fetch(partition: &TopicPartition, from: i64) -> Fetch {
    let mut fetch = Fetch::new(partition.clone(), 1, from);
    for offset in from..from + 1_000 {
        let json = format!(r#"{{"id": {offset}}}"#);
        fetch.push(offset, None, None, Some(json.as_bytes()), []);
    }
    fetch
}

#[tokio::test]
async fn what_comes_to_a_crowded_worker_waits_with_its_permits_and_is_sealed_with_the_rest() {
    let sink: Arc<dyn Sink> = Arc::new(Memory::new("memory://"));
    let (reports, mut told) = mpsc::unbounded_channel();
    let report = move |report| drop(reports.send(report));
    let mut on_tasks: Spawn = Box::new(|_, worker| {
        tokio::spawn(worker);
        Ok(())
    });
    let channels = Channels::start(vec![narrow_stager(&sink)], &sink, report, &mut on_tasks).unwrap();
    let (partition, budget) = (TopicPartition::new("t", 0), Budget::default());
    let attempt = |id: CommitId| {
        let begin = Begin::new(id.clone(), 1, BTreeMap::from([(partition.clone(), 0)]));
        let (job, next_file) = ("j".into(), Arc::default());
        Shared::new(Attempt { id, incarnation: 1, job, counted_as: None, next_file }, begin, None)
    };
    let give = |attempt: &Arc<Shared>, from| channels.give(attempt, fetch(&partition, from), budget.take(1));
    let seal = async |attempt: &Shared, from, to| {
        let delta = Delta(BTreeMap::from([(partition.clone(), Span::new(from, to).unwrap())]));
        channels.seal(attempt, &delta).await.unwrap().staged.rows[&partition]
    };

    let first = attempt(CommitId::new());
    give(&first, 0);
    assert!(matches!(told.recv().await, Some(Report::Crowded(told)) if Arc::ptr_eq(&told, &first)));
    give(&first, 1_000);
    give(&first, 2_000);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(budget.used_bytes(), 2, "nobody has decoded them");
    assert_eq!(seal(&first, 0, 3_000).await, 3_000);
    assert_eq!(budget.used_bytes(), 0);

    let dropped = attempt(CommitId::new());
    give(&dropped, 3_000);
    assert!(matches!(told.recv().await, Some(Report::Crowded(_))), "once for each attempt");
    give(&dropped, 4_000);
    dropped.abandon();
    channels.discard().await;
    let last = attempt(CommitId::new());
    give(&last, 3_000);
    assert_eq!(seal(&last, 3_000, 4_000).await, 1_000);
    assert_eq!(budget.used_bytes(), 0);
    assert!(matches!(told.recv().await, Some(Report::Crowded(told)) if Arc::ptr_eq(&told, &last)));
    assert!(told.try_recv().is_err());
}
