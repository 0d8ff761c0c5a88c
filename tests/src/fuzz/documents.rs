//! The decoder beside serde_json: what both read is the same to the last digit, and
//! neither reads what is no JSON.

use std::cell::RefCell;

use tidegate::flow::decode::Rows;

use super::ours::{append, decoder};
use super::peers::{Tree, cell, row};

/// One column of each way to read, with short names, so that they are guessed soon.
const COLUMNS: [(&str, &str); 9] = [
    ("b", "bool"),
    ("i", "int"),
    ("l", "int64"),
    ("u", "uint64"),
    ("d", "double"),
    ("s", "string"),
    ("o", "struct<i: int, s: string, d: double>"),
    ("a", "list<double>"),
    ("t", "list<struct<s: string, l: list<int>>>"),
];

/// Types that serde_json has nothing to say about; they must not panic, and take the same documents as JSON.
const OTHERS: [(&str, &str); 9] = [
    ("b", "binary"),
    ("i", "decimal(18,2)"),
    ("l", "timestamp(ms, UTC)"),
    ("u", "timestamp(us)"),
    ("d", "date"),
    ("s", "time(ms)"),
    ("o", "map<string, int>"),
    ("a", "json"),
    ("t", "float"),
];

/// Of a column that documents do not have, so that all is passed over.
const NO_COLUMN: &str = "no such key";

thread_local! {
    static DECODERS: RefCell<[Rows; 3]> =
        RefCell::new([decoder(&COLUMNS), decoder(&OTHERS), decoder(&[(NO_COLUMN, "int")])]);
}

pub(crate) fn read(document: &[u8]) {
    DECODERS.with_borrow_mut(|[decoder, others, passing]| {
        compare(document, decoder, others, passing);
    });
}

fn compare(document: &[u8], decoder: &mut Rows, others: &mut Rows, passing: &mut Rows) {
    let (is_row, is_other, is_object) =
        (append(decoder, document), append(others, document), append(passing, document));
    let batch = decoder.finish();
    others.finish();
    passing.finish();
    assert_eq!(batch.num_rows(), usize::from(is_row), "what was refused has left something");
    let tree = Tree::read(document);
    let members = match &tree {
        Ok(Tree::Object(members)) => Some(members),
        _ => None,
    };
    if members.is_some_and(|members| members.iter().any(|(key, _)| key == NO_COLUMN)) {
        return;
    }
    assert!(is_object || !(is_row || is_other), "no object, and a row");
    let Some(members) = members.filter(|_| is_object) else {
        let too_deep = tree.as_ref().is_ok_and(|tree| depth(tree) > 126);
        assert!(!is_object && (members.is_none() || too_deep), "serde_json: {tree:?}");
        return;
    };
    let expected = row(batch.schema().fields(), members);
    let cells = is_row.then(|| batch.columns().iter().map(|column| cell(column, 0)).collect::<Vec<_>>());
    assert_eq!(cells, expected, "serde_json reads otherwise");
}

fn depth(tree: &Tree) -> usize {
    match tree {
        Tree::List(trees) => 1 + trees.iter().map(depth).max().unwrap_or(0),
        Tree::Object(members) => 1 + members.iter().map(|(_, tree)| depth(tree)).max().unwrap_or(0),
        _ => 0,
    }
}
