//! Which names an entry may have: no two readers may disagree on what they mean.

use std::collections::HashSet;

use unicode_normalization::UnicodeNormalization;

const NAME_SIZE_MAX: usize = 1024;

/// A relative path of normal segments; a directory's ends in one slash.
pub(super) fn decode_name(raw: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(raw)
        .ok()
        .filter(|name| name.len() <= NAME_SIZE_MAX)?;
    let path = name.strip_suffix('/').unwrap_or(name);
    let is_drive = matches!(path.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    let is_plain = !is_drive && !path.chars().any(|c| c.is_control() || c == '\\');
    let segments_ok = path
        .split('/')
        .all(|segment| !matches!(segment, "" | "." | ".."));
    (is_plain && segments_ok).then(|| name.to_owned())
}

/// The first name that means the same as an earlier one on some file system, or lies below a file.
pub(super) fn first_clash<'a>(names: impl Iterator<Item = &'a str>) -> Option<usize> {
    let names: Vec<String> = names.map(fold).collect();
    let mut all = HashSet::with_capacity(names.len());
    let mut files = HashSet::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let path = name.strip_suffix('/').unwrap_or(name);
        if !all.insert(path) {
            return Some(index);
        }
        if path.len() == name.len() {
            files.insert(path);
        }
    }
    let is_below_a_file = |name: &String| {
        name.match_indices('/')
            .any(|(end, _)| files.contains(&name[..end]))
    };
    names.iter().position(is_below_a_file)
}

/// Lower and then upper case: "\u{df}", "SS" and "ss" are one name somewhere.
fn fold(name: &str) -> String {
    let composed: String = name.nfc().collect();
    composed.to_lowercase().to_uppercase().nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_paths_of_normal_segments() {
        for good in [
            "a",
            "a/",
            "a/b.so",
            "lib/x86_64/lib\u{e9}.so",
            "a b",
            "...",
            "ab:c",
        ] {
            assert_eq!(decode_name(good.as_bytes()).as_deref(), Some(good));
        }
        let long = "n".repeat(NAME_SIZE_MAX + 1);
        for bad in [
            "", "/", "/a", "a//b", "a/./b", "../a", "a/..", "a\\b", "a\nb", "a\0", "c:", "C:/a",
            "\u{85}", &long,
        ] {
            assert_eq!(decode_name(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(decode_name(&[b'a', 0xff]), None);
    }

    #[test]
    fn names_that_meet_on_some_file_system_clash() {
        for clash in [
            ["a", "a"],
            ["a", "A"],
            ["a/", "a"],
            ["\u{e9}", "e\u{301}"],
            ["stra\u{df}e", "STRASSE"],
            ["b", "b/c"],
        ] {
            assert_eq!(first_clash(clash.into_iter()), Some(1), "{clash:?}");
        }
        assert_eq!(first_clash(["b/c", "B"].into_iter()), Some(0));
        assert_eq!(first_clash(["a/", "a/b", "ab", "a.b"].into_iter()), None);
    }
}
