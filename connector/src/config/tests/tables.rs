//! Tables of one job: what each says is laid over what the job says.

use super::super::file::error::Report;
use super::super::file::raw;
use super::super::file::section::Section;
use super::super::tables::{self, Record, TableJob, Unrouted};
use super::super::{Compression, Origin, Topics, Unknown};
use super::{parse, with};

/// The tables of a job file, and all that is wrong with them.
fn read(text: &str) -> ((Vec<TableJob>, Unrouted), Vec<String>) {
    let root = raw::parse(text, &Origin("job.yaml".into())).unwrap();
    let report = Report::default();
    let (read, _) = Section::root(&root, &report, |root| {
        root.not_built(&["tables", "unrouted", "format", "sink"]);
        tables::read(root)
    });
    let errors = report.into_errors().into_iter().filter(|error| !error.problem.contains("not built"));
    (read, errors.map(|error| error.to_string()).collect())
}

const JOB: &str = "
format: {unknown: reject, metadata: [key], columns: [{name: a, type: string}]}
sink: {partition_by: [a], file: {compression: snappy, target_size: 1MiB}}
unrouted: stop
tables:
  - {name: plain, topics: [a]}
  - name: own
    topics_regex: 'shop\\.'
    record: {header: kind, is: order}
    format: {columns: [{name: at, type: 'timestamp(ms, UTC)'}]}
    sink: {partition_by: ['day(at)'], file: {compression: none}}
";

#[test]
fn a_table_has_its_own_keys_and_the_jobs_for_the_rest() {
    let ((tables, unrouted), errors) = read(JOB);
    assert_eq!(errors, [] as [&str; 0]);
    assert_eq!(unrouted, Unrouted::Stop);
    let [plain, own] = &tables[..] else { panic!("{tables:?}") };
    assert_eq!((plain.name.as_str(), &plain.topics), ("plain", &Topics::List(vec!["a".into()])));
    assert_eq!(plain.format.columns.as_ref().unwrap()[0].name, "a");
    assert_eq!(plain.layout.file.compression, Compression::Snappy);
    assert_eq!(own.record, Some(Record::Header { header: "kind".into(), is: "order".into() }));
    let columns = own.format.columns.as_ref().unwrap();
    assert_eq!((columns.len(), columns[0].name.as_str()), (1, "at"), "a list takes the place of a list");
    assert_eq!(own.layout.partition_by[0].to_string(), "day(at)");
    assert_eq!(own.layout.file.compression, Compression::None);
    for table in [plain, own] {
        assert_eq!((table.format.unknown, table.format.metadata.len()), (Unknown::Reject, 1));
        assert_eq!(table.layout.file.target_size, 1 << 20);
    }
}

#[test]
fn what_is_wrong_is_told_where_it_stands_and_once() {
    for (tables, told) in [
        ("[{topics: [a]}]", "tables[0].name (line 1): is missing"),
        ("[{name: t}]", "tables[0].topics (line 1): is missing"),
        ("[{name: _t, topics: [a]}]", "tables[0].name (line 1): \"_t\" begins with"),
        ("[{name: t, topics: [a], checkpoint: {}}]", "tables[0].checkpoint"),
        (
            "[{name: t, topics: [a], sink: {url: 'file:///x'}}]",
            "tables[0].sink.url (line 1): belongs to the whole job",
        ),
        (
            "[{name: t, topics: [a], sink: {partition_by: [b]}}]",
            "tables[0].sink.partition_by[0] (line 1): names",
        ),
        ("[{name: t, topics: [a], format: {colums: []}}]", "tables[0].format.colums"),
        (
            "[{name: t, topics: [a]}, {name: t, topics: [b]}]",
            "tables[1] (line 1): has the name of a table before it",
        ),
        (
            "[{name: t, topics: [a]}, {name: u, topics: [b, a]}]",
            "tables[1] (line 1): takes the same records of a as",
        ),
        (
            "[{name: t, topics: [x]}, {name: u, topics_regex: 'x|y'}]",
            "takes the same records of x as table t",
        ),
        ("[{name: t, topics: [a], record: {is: x}}]", "does not say where to look"),
        ("[{name: t, topics: [a], record: {header: h}}]", "tables[0].record.is (line 1): is missing"),
        ("{name: t}", "tables (line 1): expected a list"),
    ] {
        let text = format!("{{format: {{columns: [{{name: a, type: string}}]}}, tables: {tables}}}");
        let (_, errors) = read(&text);
        assert!(errors.iter().any(|error| error.contains(told)), "{tables}: {errors:?}");
    }
    // The job's value is wrong once, however many tables have it.
    let shared = "{format: {tombstones: eat}, tables: [{name: t, topics: [a]}, {name: u, topics: [b]}]}";
    let errors = parse(&with(shared)).unwrap_err().to_string();
    assert_eq!(errors.matches("format.tombstones").count(), 1, "{errors}");
}

#[test]
fn the_records_of_a_topic_go_to_tables_by_what_they_are() {
    let kinds = "{tables: [{name: t, topics: [a], record: com.shop.Created}, {name: u, topics: [a], record: com.shop.Paid},
                  {name: v, topics: [b], record: {field: type, is: paid}}]}";
    let ((tables, unrouted), errors) = read(kinds);
    assert_eq!((errors.len(), tables.len(), unrouted), (0, 3, Unrouted::Reject), "{errors:?}");
}

#[test]
fn tables_are_refused_by_name_until_they_are_written() {
    let errors = parse(&with("{kafka: {topics: null}, tables: [{name: t, topics: [a]}], unrouted: ignore}"))
        .unwrap_err();
    let paths: Vec<&str> = errors.errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(paths, ["tables", "unrouted"], "{errors}");
}
