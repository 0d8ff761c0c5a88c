//! Which folders are tables.

/// Whether a folder of the URL may be the table of a topic, whose name stands
/// between these two. What is none is not to be looked into: it may be nobody's to
/// read, as `lost+found` of a mounted volume, or hold keys that no listing takes.
pub(super) fn is_table(folder: &str, prefix: &str, suffix: &str) -> bool {
    let of_a_topic = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let topic = folder.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix));
    // What begins so is hidden from readers; no table is.
    let is_hidden = folder.starts_with(['.', '_']);
    !is_hidden && topic.is_some_and(|topic| !topic.is_empty() && topic.bytes().all(of_a_topic))
}

#[cfg(test)]
mod tests {
    use super::is_table;

    #[test]
    fn a_table_by_topic_is_called_after_one() {
        let is_ours = |folder| is_table(folder, "raw_", ".v1");
        assert!(is_ours("raw_orders.v1") && is_ours("raw_a.B_c-1.v1") && is_table("orders", "", ""));
        for other in ["orders", "raw_orders", "raw_.v1", "raw_a b.v1", "raw_ü.v1"] {
            assert!(!is_ours(other), "{other}");
        }
        for other in ["_tidegate", ".snapshot", "lost+found", "a b", "%40", ""] {
            assert!(!is_table(other, "", ""), "{other}");
        }
        // Where both overlap, nothing is left for a topic.
        assert!(!is_table("aa", "aa", "a"));
    }
}
