//! Parts of a path, by bytes.

/// Without the last `n` extensions; as it is when there are not so many. The last dot begins one, also
/// when nothing follows, but not when a slash does.
pub(super) fn no_extension(path: &[u8], n: usize) -> &[u8] {
    stem(path, n).unwrap_or(path)
}

/// The last `n` extensions, without the dot before them; nothing when there are not so many.
pub(super) fn extension(path: &[u8], n: usize) -> &[u8] {
    stem(path, n).map_or(b"", |stem| &path[stem.len() + 1..])
}

fn stem(path: &[u8], n: usize) -> Option<&[u8]> {
    (0..n).try_fold(path, |path, _| {
        let dot = memchr::memrchr2(b'.', b'/', path)?;
        (path[dot] == b'.').then_some(&path[..dot])
    })
}

pub(super) fn base(path: &[u8]) -> &[u8] {
    memchr::memrchr(b'/', path).map_or(path, |slash| &path[slash + 1..])
}

/// What comes before the last slash.
pub(super) fn before(path: &[u8]) -> &[u8] {
    memchr::memrchr(b'/', path).map_or(b"", |slash| &path[..slash])
}

/// As `dirname(1)` says: slashes at the end count for nothing.
pub(super) fn directory(path: &[u8]) -> &[u8] {
    let trimmed = trim_slashes(path);
    if trimmed.is_empty() {
        return if path.is_empty() { b"." } else { b"/" };
    }
    match memchr::memrchr(b'/', trimmed) {
        None => b".",
        Some(slash) => match trim_slashes(&trimmed[..slash]) {
            b"" => b"/",
            directory => directory,
        },
    }
}

fn trim_slashes(path: &[u8]) -> &[u8] {
    let end = path
        .iter()
        .rposition(|&b| b != b'/')
        .map_or(0, |last| last + 1);
    &path[..end]
}
