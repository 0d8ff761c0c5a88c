//! Java's patterns of dates and times in the words of strptime.

/// `yyyy-MM-dd HH:mm:ss` as `%Y-%m-%d %H:%M:%S`; `None` for a pattern with
/// something that strptime has no word for.
pub(super) fn strptime(pattern: &str) -> Option<String> {
    let (mut format, mut rest) = (String::new(), pattern);
    while let Some(symbol) = rest.chars().next() {
        // Two quotes are one, within quotes and outside of them.
        if let Some(after) = rest.strip_prefix("''") {
            format.push('\'');
            rest = after;
            continue;
        }
        if let Some(quoted) = rest.strip_prefix('\'') {
            let mut literal = String::new();
            let mut symbols = quoted.char_indices().peekable();
            let end = loop {
                match symbols.next()? {
                    (at, '\'') if symbols.next_if(|(_, next)| *next == '\'').is_none() => break at + 1,
                    (_, symbol) => literal.push(symbol),
                }
            };
            format.push_str(&literal.replace('%', "%%"));
            rest = &quoted[end..];
            continue;
        }
        let run = rest.len() - rest.trim_start_matches(symbol).len();
        let (letters, after) = rest.split_at(run);
        if symbol == '%' {
            format.push_str(&"%%".repeat(run));
            rest = after;
            continue;
        }
        format.push_str(match letters {
            "yyyy" | "uuuu" => "%Y",
            "yy" | "uu" => "%y",
            "MMMM" => "%B",
            "MMM" => "%b",
            "MM" | "M" => "%m",
            "dd" | "d" => "%d",
            "HH" | "H" => "%H",
            "hh" | "h" => "%I",
            "mm" | "m" => "%M",
            "ss" | "s" => "%S",
            "a" => "%p",
            "EEEE" => "%A",
            "E" | "EEE" => "%a",
            "XXX" | "xxx" => "%:z",
            "Z" | "XX" | "xx" => "%z",
            _ if symbol == 'S' && run <= 9 => "%f",
            _ if symbol.is_ascii_alphabetic() => return None,
            literal => literal,
        });
        rest = after;
    }
    Some(format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_strptime_can_say_are_said() {
        for (pattern, format) in [
            ("yyyy-MM-dd HH:mm:ss", Some("%Y-%m-%d %H:%M:%S")),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", Some("%Y-%m-%dT%H:%M:%S.%f%:z")),
            ("dd.MM.yyyy", Some("%d.%m.%Y")),
            ("d MMM yy, h 'o''clock' a", Some("%d %b %y, %I o'clock %p")),
            ("yyyyMMdd", Some("%Y%m%d")),
            ("100% yyyy", Some("100%% %Y")),
            ("yyyy-'W'ww", None),
            ("yyyy 'open", None),
            ("QQQ", None),
        ] {
            assert_eq!(strptime(pattern).as_deref(), format, "{pattern}");
        }
    }
}
