//! Which room of the code knows which. Imports run one way, so that the code can be read from the ground up,
//! and so that no two rooms have to be understood at once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Rooms of `connector/src`, from the ground up: each imports only rooms before it.
const CONNECTOR: &[&str] = &[
    "limits",
    "names",
    "memory",
    "tasks",
    "metrics",
    "error",
    "kafka",
    "columns",
    "formats",
    "config",
    "logs",
    "replica/control",
    "replica/status",
    "replica/traces",
    "replica/agent",
    "flow/event",
    "flow/coverage",
    "flow/source",
    "flow/decode",
    "flow/rejects",
    "flow/stage",
    "flow/tables",
    "flow/run",
    "job/checkpoints",
    "job/audit",
    "job/savepoint",
    "job/replay",
    "job/reload",
    "show/telemetry",
    "show/http",
    "import",
    "cli",
];

/// The same of `sinks/src`.
const SINKS: &[&str] = &[
    "model",
    "failpoints",
    "sink",
    "store",
    "moves",
    "table",
    "settings",
    "tables",
    "chain",
    "open",
    "memory",
    "faulty",
    "conformance",
];

/// Files that only say which rooms there are.
const DOORS: &[&str] = &["lib", "main", "flow", "job", "replica", "show"];

/// Modules by path, as `flow/run/engine`, with what they say outside of tests.
fn modules(src: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![src.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.with_extension("").strip_prefix(src).unwrap().to_str().unwrap().to_owned();
                if !name.split('/').any(|part| part == "tests") {
                    found.insert(name, without_tests(&fs::read_to_string(&path).unwrap()));
                }
            }
        }
    }
    found
}

/// What stands before the module of tests in a file, without comments.
fn without_tests(text: &str) -> String {
    let code = text.split("mod tests {").next().unwrap_or_default();
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Paths below `crate::` that a text names; of `{…}` each member.
fn named(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|before: char| before.is_alphanumeric() || matches!(before, '_' | ':')) {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | ':')).unwrap_or(rest.len());
        let path = rest[..end].trim_end_matches(':').replace("::", "/");
        match rest[end..].strip_prefix('{').and_then(|list| list.split('}').next()) {
            Some(list) => paths.extend(
                list.split(',')
                    .map(|member| format!("{path}/{}", member.trim()).trim_matches('/').to_owned()),
            ),
            None => paths.push(path),
        }
    }
    paths
}

/// The room that a module, or something in one, lies in: its place in `rooms`.
fn room(rooms: &[&str], path: &str) -> Option<usize> {
    let holds =
        |room: &str| path == room || path.strip_prefix(room).is_some_and(|rest| rest.starts_with('/'));
    rooms.iter().position(|room| holds(room))
}

fn arrows_up(src: &Path, rooms: &[&str], doors: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (module, code) in modules(src) {
        let Some(own) = room(rooms, &module) else {
            if !doors.contains(&module.as_str()) {
                wrong.push(format!("{module} lies in no room: give it a place in the list"));
            }
            continue;
        };
        for path in named(&code) {
            match room(rooms, &path) {
                Some(other) if other > own => {
                    wrong.push(format!("{module} imports {path}, which comes later in the list"))
                }
                _ => {}
            }
        }
    }
    wrong
}

#[test]
fn no_room_imports_one_above_it() {
    for (of, rooms) in [("connector", CONNECTOR), ("sinks", SINKS)] {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(of).join("src");
        let wrong = arrows_up(&src, rooms, DOORS);
        assert!(wrong.is_empty(), "{of}:\n{}", wrong.join("\n"));
    }
}

#[test]
fn imports_that_look_up_are_found_however_they_are_written() {
    let dir = std::env::temp_dir().join(format!("tidegate-rooms-{}", std::process::id()));
    fs::create_dir_all(dir.join("low")).unwrap();
    for (name, text) in [
        ("lib.rs", "pub mod low;"),
        ("high.rs", "use crate::low::a;"),
        (
            "low/a.rs",
            "use crate::{\n    high,\n};\n// crate::high in a comment\n#[cfg(test)]\nmod tests { use crate::high; }",
        ),
        ("low/b.rs", "fn f() { crate::high::g() }"),
        ("low/c.rs", "#[cfg(test)]\nmod tests {\n    use crate::high;\n}"),
        ("stray.rs", ""),
    ] {
        fs::write(dir.join(name), text).unwrap();
    }
    let wrong = arrows_up(&dir, &["low", "high"], &["lib"]);
    fs::remove_dir_all(&dir).unwrap();
    let starts: Vec<_> = wrong.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(starts, ["low/a", "low/b", "stray"], "{wrong:?}");
}
