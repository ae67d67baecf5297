//! Lists whose entries may be secret or contain secrets.

use toml::de::DeValue;

/// Reads a list of at most `most` entries, or a single value, which is the same as a list with one entry. Errors give the
/// position of an invalid entry, and never its text. `plural` names the entries.
pub(super) fn entries<T>(
    value: &DeValue<'_>,
    most: usize,
    plural: &str,
    read: impl Fn(&DeValue<'_>) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let items: Vec<&DeValue<'_>> = match value {
        DeValue::Array(items) => items.iter().map(|item| item.get_ref()).collect(),
        one => vec![one],
    };
    if items.len() > most {
        return Err(format!("{} {plural} are too many, at most {most}", items.len()));
    }
    let numbered = items.into_iter().enumerate();
    numbered.map(|(i, item)| read(item).map_err(|error| format!("entry {}: {error}", i + 1))).collect()
}
