//! The syntax of a transcript line: `${300*x}`, `${name}`, and bytes as `00 ff "text"`.
//! `tests/protocols/transcripts.rs` says what the lines mean and runs them. The fuzz targets also use this file, to
//! read the clients' messages.

use std::collections::HashMap;

/// Expands every `${300*x}`.
pub(super) fn repeated(text: &str) -> String {
    let mut out = String::new();
    for (literal, inner) in parts(text) {
        out.push_str(literal);
        match inner.map(|inner| (inner, inner.split_once('*'))) {
            Some((_, Some((times, what)))) => out.push_str(&what.repeat(times.parse().unwrap())),
            Some((name, None)) => out.push_str(&format!("${{{name}}}")),
            None => {}
        }
    }
    out
}

/// Replaces every known `${name}`.
pub(super) fn filled(text: &str, variables: &HashMap<String, String>) -> String {
    let known = |name: &str| variables.get(name).cloned().unwrap_or_else(|| format!("${{{name}}}"));
    parts(text).map(|(literal, name)| literal.to_owned() + &name.map(known).unwrap_or_default()).collect()
}

/// Splits at every `${...}`, into the text before it and its content.
pub(super) fn parts(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let now = rest?;
        let cut = now.split_once("${").and_then(|(before, after)| Some((before, after.split_once('}')?)));
        let part = cut.map_or((now, None), |(before, (inner, _))| (before, Some(inner)));
        rest = cut.map(|(_, (_, after))| after);
        Some(part)
    })
}

/// Parses `00 ff "text" 'text'`.
pub(super) fn bytes(mut text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        text = text.trim_start();
        let Some(first) = text.chars().next() else { return out };
        if first == '"' || first == '\'' {
            let (inner, rest) = text[1..].split_once(first).expect("a closing quote");
            out.extend_from_slice(inner.as_bytes());
            text = rest;
        } else {
            let (byte, rest) = text.split_once(' ').unwrap_or((text, ""));
            out.push(u8::from_str_radix(byte, 16).unwrap_or_else(|_| panic!("{byte:?} is not a byte")));
            text = rest;
        }
    }
}
