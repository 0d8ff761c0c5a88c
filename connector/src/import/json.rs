//! JSON as people write it into job files: with comments, and commas after the last item.

/// The same without either, every character at its line.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.strip_prefix('\u{feff}').unwrap_or(text).chars().peekable();
    // A comma waits until it is known that something follows.
    let mut comma = false;
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('/', Some('/')) => {
                while characters.peek().is_some_and(|next| *next != '\n') {
                    characters.next();
                }
            }
            ('/', Some('*')) => {
                characters.next();
                let mut before = ' ';
                for next in characters.by_ref() {
                    if next == '\n' {
                        plain.push('\n');
                    }
                    if (before, next) == ('*', '/') {
                        break;
                    }
                    before = next;
                }
            }
            (',', _) if !comma => comma = true,
            (space, _) if space.is_whitespace() => plain.push(space),
            (other, _) => {
                if std::mem::take(&mut comma) && !matches!(other, '}' | ']') {
                    plain.push(',');
                }
                plain.push(other);
                if other == '"' {
                    string(&mut characters, &mut plain);
                }
            }
        }
    }
    plain
}

fn string(characters: &mut impl Iterator<Item = char>, plain: &mut String) {
    let mut is_escaped = false;
    for character in characters {
        plain.push(character);
        match character {
            '"' if !is_escaped => return,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::plain;

    #[test]
    fn comments_and_last_commas_go_and_strings_stay() {
        let text = r#"{ // one
            "a": "x // y, /* z */ \"", /* two,
            */ "b": [1, 2, /* three */ ], "c": ",]",
        }"#;
        let value: Value = serde_json::from_str(&plain(text)).unwrap();
        assert_eq!(value, json!({"a": "x // y, /* z */ \"", "b": [1, 2], "c": ",]"}));
        assert!(serde_json::from_str::<Value>(&plain("{\"a\": 1,, \"b\": 2}")).is_err());
        assert!(serde_json::from_str::<Value>(&plain("{\"a\": \"open")).is_err());
    }
}
