//! Changes single members of a JSON text and leaves every other byte as it is.
//!
//! A parser and writer of JSON would normalise what the comparison is about (order of members,
//! spacing, escapes), so this one only finds where members and elements begin and end.

/// The members of an object: the name as it is written between its quotes, and the value's text.
pub(super) fn members(object: &str) -> Vec<(&str, &str)> {
    items(object)
        .into_iter()
        .map(|item| {
            let end = string_end(item);
            (&item[1..end - 1], &item[end + 1..])
        })
        .collect()
}

/// The elements of an array.
pub(super) fn elements(array: &str) -> Vec<&str> {
    items(array)
}

/// The text of one member.
pub(super) fn member<'a>(object: &'a str, name: &str) -> &'a str {
    members(object)
        .into_iter()
        .find_map(|(one, value)| (one == name).then_some(value))
        .unwrap_or_else(|| panic!("no member {name} in {object}"))
}

/// The object with each member as `change` gives it; `None` leaves it out.
pub(super) fn with_members(
    object: &str,
    mut change: impl FnMut(&str, &str) -> Option<(String, String)>,
) -> String {
    let changed = members(object).into_iter().filter_map(|(name, value)| change(name, value));
    let texts: Vec<String> = changed.map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", texts.join(","))
}

/// The object with another text for one of its members.
pub(super) fn with_member(object: &str, name: &str, text: &str) -> String {
    with_members(object, |one, value| {
        Some((one.to_owned(), if one == name { text } else { value }.to_owned()))
    })
}

/// The array with each element as `change` gives it; `null` stays.
pub(super) fn with_elements(array: &str, mut change: impl FnMut(usize, &str) -> String) -> String {
    if array == "null" {
        return array.to_owned();
    }
    let changed = elements(array).into_iter().enumerate().map(|(at, text)| change(at, text));
    format!("[{}]", changed.collect::<Vec<_>>().join(","))
}

/// What is between the brackets, cut at the commas of the outermost level.
fn items(text: &str) -> Vec<&str> {
    let inner = &text[1..text.len() - 1];
    let mut items = Vec::new();
    let (mut begin, mut at, mut depth) = (0, 0, 0);
    while at < inner.len() {
        match inner.as_bytes()[at] {
            b'"' => {
                at += string_end(&inner[at..]);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => {
                items.push(&inner[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    if !inner.is_empty() {
        items.push(&inner[begin..]);
    }
    items
}

/// Behind the closing quote of the string that the text begins with.
fn string_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

#[test]
fn a_changed_member_leaves_every_other_byte_as_it_is() {
    let object = r#"{"a":[1,{"b":"x,}\""}],"c":{},"d":"é"}"#;
    assert_eq!(member(object, "c"), "{}");
    assert_eq!(elements(member(object, "a")), ["1", r#"{"b":"x,}\""}"#]);
    assert_eq!(with_member(object, "d", "2"), r#"{"a":[1,{"b":"x,}\""}],"c":{},"d":2}"#);
    assert_eq!(with_members(object, |name, value| Some((name.into(), value.into()))), object);
}
